//! The ways of reading a subscription: when to use each, what each costs, and what readers share.
//! For those who choose one. The README has the figures, with the benchmarks that measure them.
//!
//! There is one type, [`Subscription`], with one place in the stream. Every way of reading is a method of it, and a
//! reader may change from one way to another at any time.
//!
//! | way | waits as | returns | use it |
//! |---|---|---|---|
//! | [`recv`], [`iter`] | a thread | a [`Delivery`] | for a thread that does nothing else |
//! | [`recv_timeout`], [`recv_deadline`] | a thread | a [`Delivery`] | for a thread that also does something now and then |
//! | [`try_recv`] | it does not wait | a [`Delivery`] | in tests, and in loops that poll |
//! | [`recv_async`], `Stream` | a task | a [`Delivery`] | for a task, on any runtime |
//! | [`drain`] | it does not wait | a window of [`DeliveryRef`]s | for hot loops, after a wait of another way |
//! | [`readable`], then `drain` | a task | a window | for a task that handles much at once |
//! | [`doorbell`], then `drain` | a `select!` over crossbeam channels | a window | for a thread with several sources |
//! | [`into_frames`] | a thread | lines of JSON | for a connection with a thread of its own |
//! | [`into_frame_stream`] | a task | lines of JSON | for a connection that is a task |
//!
//! Every way reports the same losses and ends. A read examines what was published before it began. So it returns even
//! if a fast publisher keeps publishing and a predicate refuses everything, and a timed read keeps its deadline.
//!
//! ```
//! use std::time::Duration;
//! use event_broker::{Broker, Event, Request, Term, TryRecvError};
//!
//! let broker = Broker::<u64>::new();
//! let mut reader = broker.subscribe(Request::new().term(Term::topic("Job")?))?;
//! for index in 1..=6 {
//!     broker.publish(index, [Event::new("Job", "JobRegistered", "web", index)])?;
//! }
//! assert_eq!(reader.recv()?.index(), 1);
//! assert_eq!(reader.recv_timeout(Duration::from_secs(1))?.index(), 2);
//! assert_eq!(reader.try_recv()?.index(), 3);
//! // A window borrows. What it has not yielded is read by the next read, of whatever way.
//! let indexes: Vec<_> = reader.drain()?.iter().take(2).map(|delivery| delivery.index()).collect();
//! assert_eq!(indexes, [4, 5]);
//! assert_eq!(reader.recv()?.index(), 6);
//! assert_eq!(reader.try_recv().unwrap_err(), TryRecvError::Empty);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Owned deliveries
//!
//! [`recv`], its timed forms, [`try_recv`], [`recv_async`] and `Stream` return a [`Delivery`]. It shares the batch by a
//! reference count, copies no event, and may be kept; it keeps its own batch in memory and no other.
//!
//! - *Allocations*: none, with two exceptions. A thread allocates once when the directory has changed. And for a batch of
//!   more than 64 events of which only a part was selected, the delivery has a list of the selected ones. The benchmark `memory` counts the allocations of a `try_recv`.
//! - *Reference counts*: two for each delivery. The reader holds a directory of the log during the read, and the
//!   delivery holds its batch. Each is an increment and a decrement, so that there are four read-modify-writes; the
//!   README's section on figures has their share of the time.
//! - *Locks*: none, except that a reader takes a short one the first time that it reads after the directory has changed,
//!   which is once in an eighth of the buffer, and another to wait.
//!
//! A thread that finds nothing retries a few times before it sleeps: at a high publish rate the next batch arrives
//! before the thread could sleep and wake.
//!
//! A task yields. After 128 deliveries without a pause, or some thousand events that were refused, the poll returns
//! `Pending` once and wakes its own waker. Cancelling a read loses nothing: a delivery is consumed only when the future
//! returns it.
//!
//! # Windows
//!
//! [`drain`] opens a window on what is readable now. Its items borrow from the window.
//!
//! - *Allocations*: none for an item, with the same exceptions.
//! - *Reference counts*: one, that of a directory, for the window, and none for an item. *Locks*: as for an owned
//!   delivery. Eviction, fence and expiry are checked when it opens.
//! - An item that was yielded counts as read. The rest stays unread when the window is dropped.
//! - A window keeps in memory what was buffered when it was opened. So a loop handles the items and drops the window;
//!   it does not wait for something in between. An item that is to be kept becomes a [`Delivery`] by
//!   [`to_delivery`](crate::DeliveryRef::to_delivery).
//!
//! A window pays for itself if it yields several batches. For one batch at a time, opening it is most of the cost. The
//! benchmark `fanout` compares windows with owned deliveries and with other crates, on one thread, as tasks and as
//! threads, and `selective` does it for readers of one key each.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use event_broker::{Broker, Event, RecvError, Request};
//!
//! let broker = Broker::<u64>::new();
//! let mut reader = broker.subscribe(Request::new())?;
//! let summing = tokio::spawn(async move {
//!     let mut sum = 0;
//!     loop {
//!         reader.readable().await;
//!         match reader.drain() {
//!             Ok(mut window) => {
//!                 for delivery in &mut window {
//!                     sum += delivery.events().map(|event| event.payload()).sum::<u64>();
//!                 }
//!             } // the window is dropped before the next await
//!             Err(RecvError::Closed) => return sum,
//!             Err(error) if error.is_terminal() => panic!("{error}"),
//!             Err(loss) => eprintln!("{loss}"),
//!         }
//!     }
//! });
//! for index in 1..=10 {
//!     broker.publish(index, [Event::new("Job", "JobRegistered", "web", index)])?;
//! }
//! broker.close();
//! assert_eq!(summing.await?, 55);
//! # Ok(())
//! # }
//! ```
//!
//! # Doorbells
//!
//! [`doorbell`] returns a `crossbeam_channel::Receiver<()>` for `select!`. It rings when there is something to read,
//! and at every end. The reader opens one window for each ring; the bell rings again at once if anything is left. A
//! ring may find nothing, and none is missed. One [`try_recv`] for each ring is not enough: the bell is armed again by
//! a window, or by a `try_recv` that finds nothing.
//!
//! The channel is allocated when the doorbell is first asked for, and each ring sends to it. Time rings nothing: see
//! [`Broker::tick`] for grants that expire.
//!
//! # Frames
//!
//! [`into_frames`] and [`into_frame_stream`] give lines of newline-delimited JSON, with heartbeats. They read owned
//! deliveries, and have their costs. In addition:
//!
//! - Each event is encoded once, by the first reader that needs it, outside every lock. The bytes stay beside the
//!   batch. Nothing is kept beside a batch that has been evicted already.
//! - If a whole batch matches, its frame is shared: a further reader takes a reference count. If a part matches, the
//!   line is put together from the encoded events, and allocated for that reader.
//! - A stream of frames allocates once, for the future of its timer. A heartbeat `{}` allocates nothing; one with
//!   progress or a token is a line of its own.
//!
//! The benchmark `frames` compares shared frames with encoding for each reader, and with copying the same bytes. A host
//! with a transport of its own calls [`Delivery::frame`] instead. [The guide on HTTP servers](super::http_server) has
//! the rest.
//!
//! # Waking
//!
//! A reader that waits registers with what it asked for. Publishing wakes the readers that registered with something
//! that the batch hits, and no others; the benchmark `bystanders` measures what idle readers of other keys cost. A
//! match takes the registration, and the reader registers again when it finds nothing to read. So a burst of batches
//! wakes a reader once, and not once for each batch. Types, predicates and [`Authorizer::permits`] are decided by the
//! reader, after it was woken.
//!
//! Without a dispatcher, [`Broker::publish`] wakes on its own thread, outside its lock: one `wake` for each waiting
//! reader that matches.
//!
//! A [`Dispatcher`] moves that to a thread of the host's. Publishing then queues whole lists for it, and takes the same
//! time however many readers wait. The readers are woken somewhat later; the documentation of [`Dispatcher`] says by
//! how much. If it stops or panics, or if too much is queued for it, the publishing thread wakes the readers.
//!
//! The runtime's part of waking a task is most of the cost: with a thousand tasks that keep up, a publish takes as long
//! as with any other broadcast, tens of microseconds, and with a dispatcher about one (benchmark `live`). There is no way
//! to wake several tasks at once in Rust; the dispatcher is how a commit path does not pay for it.
//!
//! | situation | dispatcher |
//! |---|---|
//! | thousands of readers wait for the same batches, and commits must stay flat | yes |
//! | each batch wakes few readers, however many there are | no |
//! | the latency of readers matters more than that of commits | no |
//! | readers are mostly busy and seldom wait | no: a reader that reads is not woken |
//!
//! The benchmark `wake` measures a publish to ten thousand readers that wait, with and without one.
//!
//! ```
//! use std::thread;
//! use event_broker::{Broker, Event, Request};
//!
//! let broker = Broker::<u64>::new();
//! let dispatcher = broker.dispatcher();
//! let waking = thread::spawn(move || dispatcher.run());
//! let readers: Vec<_> = (0..4)
//!     .map(|_| {
//!         let mut reader = broker.subscribe(Request::new()).unwrap();
//!         thread::spawn(move || reader.iter().count())
//!     })
//!     .collect();
//! broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
//! broker.close(); // ends the dispatcher as well
//! for reader in readers {
//!     assert_eq!(reader.join().unwrap(), 1);
//! }
//! waking.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What readers share
//!
//! What one core writes and another one reads or writes next is moved between them, which takes as long as some ten reads
//! of memory that nobody writes. So readers on different threads share as little of that as they can:
//!
//! | operation | what another reader writes as well |
//! |---|---|
//! | a window of any length, also an empty one | nothing |
//! | a read that finds nothing | nothing |
//! | an owned delivery | the reference count of its batch, now and when it is dropped |
//! | the frame of a whole batch, out of a window | the reference count of its bytes |
//! | the frame of a part of a batch, out of a window | nothing |
//! | the first read of a thread after the directory has changed, which is once in an eighth of the buffer | the lock and the reference count of the directory |
//! | waiting for something that fewer than 64 readers wait for | the lock of the wait list of that term |
//! | waiting for something that more readers wait for | a word of that wait list, by the first waiter of each thread after a hit; nothing by the others |
//! | opening or closing a subscription, a check of access, a call of `token` | the broker's lock, for which the publisher has priority |
//!
//! `tests/cost/shared.rs` holds the table up to the last row: it records every atomic, lock and count that an operation
//! writes on two threads, and compares the addresses. The publisher writes the end of the log for each batch, which
//! every reader loads, and takes the wait lists of what the batch hits.
//!
//! This works by *stripes*. Each thread that reads has one of 64, and a stripe has a reference of the directory of its
//! own. It also has a part of the wait list of all readers of everything, and shares the parts of another list with
//! other stripes: such a list has 8. More threads than 64 share stripes. What the stripes hold is taken from them whenever a part of the log is
//! freed, so that threads that have read, and read no more, keep nothing of what is evicted.
//!
//! An owned delivery has the count of its batch because it may outlive the buffer, and the batch is one for all readers.
//! Readers on several cores that keep up and read by windows pay nothing for each other; with owned deliveries the count
//! travels between the cores. The README gives the cost of both (benchmark `cores`).
//!
//! [`Authorizer::permits`]: crate::Authorizer::permits
//! [`Broker::publish`]: crate::Broker::publish
//! [`Broker::tick`]: crate::Broker::tick
//! [`Delivery`]: crate::Delivery
//! [`DeliveryRef`]: crate::DeliveryRef
//! [`Dispatcher`]: crate::Dispatcher
//! [`Subscription`]: crate::Subscription
//! [`doorbell`]: crate::Subscription::doorbell
//! [`drain`]: crate::Subscription::drain
//! [`iter`]: crate::Subscription::iter
//! [`readable`]: crate::Subscription::readable
//! [`recv`]: crate::Subscription::recv
//! [`recv_async`]: crate::Subscription::recv_async
//! [`recv_deadline`]: crate::Subscription::recv_deadline
//! [`recv_timeout`]: crate::Subscription::recv_timeout
//! [`try_recv`]: crate::Subscription::try_recv
//!
#![cfg_attr(
    feature = "json",
    doc = "
[`Delivery::frame`]: crate::Delivery::frame
[`into_frames`]: crate::Subscription::into_frames"
)]
#![cfg_attr(
    all(feature = "json", feature = "stream"),
    doc = "
[`into_frame_stream`]: crate::Subscription::into_frame_stream"
)]
// Without a feature, the links to what it adds lead to the features.
#![cfg_attr(
    not(feature = "json"),
    doc = "
[`Delivery::frame`]: crate#features
[`into_frames`]: crate#features"
)]
#![cfg_attr(
    not(all(feature = "json", feature = "stream")),
    doc = "
[`into_frame_stream`]: crate#features"
)]
