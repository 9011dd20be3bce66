//! Choosing the bounds of the buffer, what happens to a reader that falls behind, and how to read `stats()`.
//! For those who configure a broker, and who watch one that runs.
//!
//! The buffer is a window on the newest batches. The publisher never waits for a reader, so a reader that is slower
//! than the publisher falls behind, and at some point the buffer evicts what it has not read. The bounds decide how
//! much a reader may fall behind, and how much memory that takes.
//!
//! # The bounds
//!
//! | setting | bounds | if it is not set |
//! |---|---|---|
//! | [`Builder::max_batches`] | batches, exactly: a buffer of 100 holds 100 | 100 |
//! | [`Builder::max_events`] | events of all batches together | no bound |
//! | [`Builder::max_bytes`] | bytes of all batches together, as the weigher counts them, with what is kept beside them | no bound |
//!
//! All bounds hold at once, and the oldest batches go first. The newest batch always stays, however large it is. A
//! bound of zero is refused when the broker is built. There is no bound by age, and bounds do not change while a broker
//! runs.
//!
//! A batch is the unit of loss, so batches are the first bound to choose. Events or bytes are a second bound, for
//! commits that are now and then a thousand times as large as others.
//!
//! # How many batches
//!
//! A reader loses nothing if it comes back before all buffered batches have been replaced. So the number of batches is
//! at least
//!
//! > commits per second, at the busiest, × the longest pause of a reader in seconds
//!
//! and a factor of two beside it costs little. Only commits with events count: a batch without events is not stored.
//! Pauses to consider:
//!
//! - how long a connection may be blocked before the server's write timeout ends it;
//! - how long a client takes to reconnect with its token, the back-off included;
//! - how long it takes to list the state, for a client that lists and then follows;
//! - how long a restart takes at the other end.
//!
//! ```
//! use event_broker::{Broker, Event, Request, Start, Verdict};
//!
//! // 50 commits a second at the busiest, and a client that may take 30 s to come back; twice that.
//! let broker = Broker::<u32>::builder().max_batches(2 * 50 * 30).build()?;
//! let mut reader = broker.subscribe(Request::new())?;
//! let commit = |index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]);
//! commit(1)?;
//! let token = reader.recv()?.token();
//! drop(reader);
//! for index in 2..=1_501 { // 30 s
//!     commit(index)?;
//! }
//! let mut resumed = broker.subscribe(Request::new().start(Start::After(token)))?;
//! assert_eq!((resumed.verdict(), resumed.recv()?.index()), (Verdict::Whole, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bytes, and the weigher
//!
//! The broker does not look into payloads. For a bound in bytes a [weigher](crate::Builder::weigher) says what an event
//! takes. Without one the bound is refused for payload types that may own memory, because it would not limit memory.
//! The weigher runs once for each event, on the publishing thread and outside every lock. It should count the event
//! itself and what the payload holds on the heap. With the feature `json`, [`Builder::weigh_encoded`] counts the length
//! of the event's JSON instead; that suits payloads that are mostly text.
//!
//! ```
//! use event_broker::{Broker, Event};
//!
//! let weigh = |event: &Event<String>| (size_of_val(event) + event.payload().capacity()) as u64;
//! let broker = Broker::<String>::builder().max_batches(1_000).max_bytes(64 << 10).weigher(weigh).build()?;
//! for index in 1..=1_000 {
//!     broker.publish(index, [Event::new("Job", "JobRegistered", "web", "x".repeat(1 << 10))])?;
//! }
//! let stats = broker.stats();
//! assert!(stats.buffered_bytes <= 64 << 10);
//! assert!(stats.buffered_batches < 1_000, "the bytes are the bound that decides");
//!
//! // The newest stays, however heavy it is.
//! broker.publish(1_001, [Event::new("Job", "JobRegistered", "web", "x".repeat(1 << 20))])?;
//! assert_eq!(broker.stats().buffered_batches, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The bound also counts what the broker keeps beside the events: the links that lead from a topic or key to the batch,
//! and the JSON that readers of frames have made. A reader that encodes a batch may therefore evict the oldest batches,
//! as publishing does. A buffer whose batches are all read as frames holds about half as many batches as a buffer whose
//! batches are not encoded. Some 200 bytes a batch of the buffer's own tables are not counted.
//!
//! # Falling behind
//!
//! A reader that was overtaken gets [`RecvError::Lagged`] from its next read. [`Lagged`] says how many batches were
//! evicted between the reader and the oldest one, in which range of indexes, and where the reader continues. The count
//! is of all batches, whether they would have matched or not. The error itself is raised only if something among them
//! matched the topics, keys and namespaces of the reader: a reader of rare things that lost none of them gets no error.
//!
//! | [`LagPolicy`] | the reader | use it |
//! |---|---|---|
//! | `Close`, the default | ends with the error, which repeats | where a gap makes everything after it useless: mirrors, and streams that leave the process |
//! | `Continue` | gets the error once for each loss, and continues at the oldest batch | where only recent events matter: dashboards, counters, caches that are only invalidated |
//!
//! A loss that the [`Verdict`](crate::Verdict) of a start has reported is not reported again as lag. [`Start::Oldest`],
//! and a start whose verdict reports a loss, begin at the oldest batch of the first read: batches that were buffered
//! when the subscription was opened, and are evicted before that read, are no lag. Batches that were published later
//! are.
//!
//! ```
//! use event_broker::{Broker, Event, LagPolicy, RecvError, Request, Term, TryRecvError};
//!
//! let broker = Broker::<u32>::builder().max_batches(10).build()?;
//! let mut all = broker.subscribe(Request::new().lag_policy(LagPolicy::Continue))?;
//! let mut rare = broker.subscribe(Request::new().term(Term::topic("Node")?))?;
//! for index in 1..=25 {
//!     broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)])?;
//! }
//! assert_eq!(all.stats().lag, 25);
//! let Err(TryRecvError::Recv(RecvError::Lagged(lagged))) = all.try_recv() else { panic!("it was overtaken") };
//! assert_eq!((lagged.missed, lagged.through, lagged.resumes_at), (15, 15, 16));
//! assert_eq!(all.try_recv()?.index(), 16);
//! assert_eq!((all.stats().missed, all.stats().lag), (15, 9));
//!
//! // Nothing that this reader asked for was lost, and nothing is left to read.
//! assert_eq!(rare.stats().lag, 0);
//! assert_eq!(rare.try_recv().unwrap_err(), TryRecvError::Empty);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a stalled reader keeps
//!
//! A subscription stores its place as a number. A reader that never reads again keeps no batch in memory, and a
//! thousand of them keep none. The test `tests/memory.rs` publishes a million batches beside a thousand stalled readers
//! and compares the heap. These keep something:
//!
//! | held by a user | keeps |
//! |---|---|
//! | a [`Delivery`] | its own batch, and no other |
//! | a [`Drain`] window that is open | everything that was buffered when it was opened, evicted since or not |
//! | a subscription, or a [handle](crate::SubscriptionHandle) of one | the buffer, also after the broker was dropped |
//! | a frame | its own line |
//!
//! # Memory
//!
//! The heap of a broker is bounded by
//!
//! > what is buffered × 9/8 + subscriptions + distinct terms + what users hold
//!
//! The eighth is for what is evicted and not freed yet. `tests/heap/explained.rs` has the formula in full, with an
//! upper bound for each part, and its test fails if the live heap exceeds the sum by more than a quarter. In bytes,
//! from there:
//!
//! | part | at most |
//! |---|---|
//! | an idle broker | 8,192 |
//! | a buffered batch | 256 |
//! | an event in it | 144, and its payload, names of more than 23 bytes, and filter keys if there are several |
//! | a distinct term that a batch hits | 40 |
//! | the JSON of a batch that was encoded | its length, for each of up to three forms: the events, the whole frame, the frame with its token |
//! | a subscription | 512, and 128 for each term that it joins |
//! | a distinct term, of all subscriptions | 448 |
//! | a doorbell | 768 |
//! | a thread that reads, of up to 64 | 256, of which 128 stay when it reads no more |
//! | a term that 64 readers have waited for at once | 1,536, while anybody subscribes to it |
//!
//! The benchmark `memory` measures what an idle subscription takes, by what it asks for; the README has its figures.
//!
//! # Reading the numbers
//!
//! [`Broker::stats`] returns the broker's numbers, all of one instant. [`SubscriptionHandle::stats`] returns those of
//! one subscription, and takes the same time however far behind it is.
//!
//! | question | answer |
//! |---|---|
//! | how fast does the server commit? | the growth of `published_batches` and `published_events` in a time |
//! | how far back does the buffer reach? | `oldest_index` to `latest_index`; in seconds, `buffered_batches` over the rate |
//! | which bound decides? | if `evicted_batches` grows while `buffered_batches` is below `max_batches`, events or bytes do |
//! | who is about to be overtaken? | subscriptions whose `lag` comes near `buffered_batches` |
//! | who has lost something? | subscriptions whose `missed` grows; [`Observer::on_lag`] is called for each loss when the reader gets the error |
//! | is a reader stuck or idle? | `lag` above 0 and `batches` that do not grow: stuck; `lag` of 0: nothing that it asked for is unread |
//! | how often does publishing wake a reader? | the growth of `wakeups`, beside that of `published_batches` |
//!
//! `lag` counts batches up to the newest, including evicted ones; it is 0 if nothing that the reader asked for is
//! unread. If the unread backlog is long and older than the subscription, `lag` assumes a match. The counts of a
//! subscription are those of its last completed read or window.
//!
//! ```
//! use event_broker::{Broker, Event, Principal, Request};
//!
//! let broker = Broker::<u32>::builder().max_batches(100).build()?;
//! let mut fast = broker.subscribe(Request::new().principal(Principal::new("fast")))?;
//! let slow = broker.subscribe(Request::new().principal(Principal::new("slow")))?;
//! for index in 1..=80 {
//!     broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)])?;
//!     fast.recv()?;
//! }
//! // Who has read less than the newest half of the buffer?
//! let bound = 100;
//! let behind = broker.subscriptions().into_iter().filter(|handle| handle.stats().lag > bound / 2);
//! let names: Vec<_> = behind.map(|handle| handle.principal_id().to_owned()).collect();
//! assert_eq!(names, ["slow"]);
//! assert_eq!(slow.stats().lag, 80);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Broker::stats`]: crate::Broker::stats
//! [`Builder::max_batches`]: crate::Builder::max_batches
//! [`Builder::max_bytes`]: crate::Builder::max_bytes
//! [`Builder::max_events`]: crate::Builder::max_events
//! [`Delivery`]: crate::Delivery
//! [`Drain`]: crate::Drain
//! [`LagPolicy`]: crate::LagPolicy
//! [`Lagged`]: crate::Lagged
//! [`Observer::on_lag`]: crate::Observer::on_lag
//! [`RecvError::Lagged`]: crate::RecvError::Lagged
//! [`Start::Oldest`]: crate::Start::Oldest
//! [`SubscriptionHandle::stats`]: crate::SubscriptionHandle::stats
//!
#![cfg_attr(
    feature = "json",
    doc = "
[`Builder::weigh_encoded`]: crate::Builder::weigh_encoded"
)]
// Without a feature, the links to what it adds lead to the features.
#![cfg_attr(
    not(feature = "json"),
    doc = "
[`Builder::weigh_encoded`]: crate#features"
)]
