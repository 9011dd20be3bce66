//! Tokens, epochs, and what a broker needs to know if it begins in the middle of a history.
//! For servers that restart, restore snapshots or run as replicas, and whose readers should lose nothing by it.
//!
//! # Tokens
//!
//! A [`Token`] is the place of a reader in the stream. It consists of an [`Epoch`], an index, and a place within the
//! index, because one index may carry several batches. Its text is opaque, and [`FromStr`](std::str::FromStr) reads it
//! back. A reader that subscribes [`Start::After`] its last token misses no batch and gets none twice, as long as the
//! buffer holds what comes after the token.
//!
//! | token of | is the place |
//! |---|---|
//! | a [delivery](crate::Delivery::token) | after that delivery |
//! | a [subscription](crate::Subscription::token) | of the reader; it exists before the first event, too, and after a read that found nothing it is ahead of the last delivery |
//! | a [handle](crate::SubscriptionHandle::token) | of the reader after its last completed read or window |
//! | a frame or a heartbeat, if [asked for] | of a client that has read that line |
//! | the [broker](crate::Broker::token) | after the last batch that was published |
//!
//! # Epochs
//!
//! An [`Epoch`] names one history of indexes. Within an epoch an index means the same at every broker. The epoch is
//! part of every token, so a broker recognizes a token of another history: such a reader starts at the oldest batch,
//! with [`Verdict::OtherEpoch`].
//!
//! A broker for which no epoch is set draws a random one. Then no token outlives the process. A host whose readers are
//! to resume after a restart, or at another replica, sets the epoch with [`Builder::epoch`] or
//! [`Builder::starts_after`], and keeps it with its state.
//!
//! Replicas share an epoch if they publish the same batches under the same indexes in the same order. Then a reader
//! moves between them by token:
//!
//! ```
//! use event_broker::{Broker, Epoch, Event, Request, Start, TryRecvError, Verdict};
//!
//! let replica = |batches| Broker::<u32>::builder().epoch(Epoch::from(7)).max_batches(batches).build();
//! let (leader, late, small) = (replica(100)?, replica(100)?, replica(1)?);
//! let commit = |broker: &Broker<u32>, index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]);
//! for index in [7, 7, 8] { // the commit 7 has two batches
//!     commit(&leader, index)?;
//!     commit(&small, index)?;
//! }
//!
//! let mut reader = leader.subscribe(Request::new())?;
//! reader.recv()?;
//! let token = reader.recv()?.token(); // after the second batch of 7
//!
//! // A replica that lags: the place has not come, and the reader waits for it.
//! let mut moved = late.subscribe(Request::new().start(Start::After(token)))?;
//! assert_eq!(moved.verdict(), Verdict::Future { latest: 0 });
//! commit(&late, 7)?;
//! commit(&late, 7)?;
//! assert_eq!(moved.try_recv().unwrap_err(), TryRecvError::Empty, "it has read both");
//! commit(&late, 8)?;
//! assert_eq!(moved.recv()?.index(), 8);
//!
//! // A replica with a smaller buffer says what is lost there.
//! let first = leader.subscribe(Request::new())?.recv()?.token();
//! let moved = small.subscribe(Request::new().start(Start::After(first)))?;
//! assert_eq!(moved.verdict(), Verdict::Lost { oldest: Some(8) });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Verdict::Future`] is no loss. The reader may have come back before the replica has caught up, and it waits until
//! its place comes.
//!
//! # Which call for which situation
//!
//! A new broker assumes that no history is missing. A host that begins in the middle must say where. If it does not, a
//! reader that missed something does not learn of it. If it declares more of the history to be past than necessary,
//! every reader that had read everything gets a loss reported, and all of them list the state again at once.
//!
//! | the broker | the host calls | readers that had read everything |
//! |---|---|---|
//! | restarts, and a token was kept beside the snapshot | [`Builder::starts_after`] | continue |
//! | the same, and the log after the snapshot is applied again | [`Builder::starts_after`], and publishes what is applied | continue |
//! | restarts at an index; one batch a commit | [`Builder::rising_indexes`], [`Builder::initial_index`] and the same [`Builder::epoch`] | continue |
//! | restarts at an index that may carry several batches | [`Builder::initial_index`] and the same [`Builder::epoch`] | get a loss reported |
//! | installs a snapshot of the same history | [`Broker::skip_to`] | continue |
//! | restores another state, where indexes have another meaning | [`Broker::reset`] | end with [`RecvError::Reset`] |
//!
//! # A token beside the snapshot
//!
//! [`Broker::token`] is the place after the last batch. The host reads it where commits are put in order, under the
//! same lock as the snapshot, and stores it beside the snapshot. After the restart [`Builder::starts_after`] sets the
//! place and the epoch. A reader at this place has lost nothing. A reader before it has lost batches.
//!
//! ```
//! use event_broker::{Broker, Epoch, Event, PublishErrorKind, Request, Start, TryRecvError, Verdict};
//!
//! let broker = Broker::<u32>::builder().epoch(Epoch::from(7)).build()?;
//! let commit = |broker: &Broker<u32>, index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]);
//! let mut reader = broker.subscribe(Request::new())?;
//! commit(&broker, 9)?;
//! let snapshot = broker.token().to_string(); // with the state, under the lock of the commits
//! let at_snapshot = reader.recv()?.token();
//! commit(&broker, 10)?;
//! commit(&broker, 11)?;
//! reader.recv()?;
//! let newest = reader.recv()?.token();
//! drop(broker); // the process ends
//!
//! // The state is that of the snapshot. The log after it is applied again, and what is applied is published.
//! let restarted = Broker::<u32>::builder().starts_after(snapshot.parse()?).build()?;
//! let resume = |token| restarted.subscribe(Request::new().start(Start::After(token)));
//! let mut from_snapshot = resume(at_snapshot)?;
//! assert_eq!(from_snapshot.verdict(), Verdict::Whole);
//! let mut from_newest = resume(newest)?; // it comes back before the log has been applied
//! assert_eq!(from_newest.verdict(), Verdict::Future { latest: 9 });
//! // What was published before the snapshot is past.
//! assert_eq!(commit(&restarted, 8).unwrap_err().kind, PublishErrorKind::Falling { index: 8, latest: 9 });
//! for index in [10, 11, 12] {
//!     commit(&restarted, index)?;
//! }
//! assert_eq!(from_snapshot.recv()?.index(), 10);
//! assert_eq!(from_newest.recv()?.index(), 12, "it had read 10 and 11 before the restart");
//! assert_eq!(from_newest.try_recv().unwrap_err(), TryRecvError::Empty);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is applied again must be published in the same batches as before, or the places within an index differ. A
//! broker that starts after a token accepts a further batch of the token's index. A host that may apply its last commit
//! a second time sets [`Builder::rising_indexes`] as well, and the second publish is refused.
//!
//! A token holds no index that batches without events have reached since the last batch with some. So a store keeps its
//! own index beside the token. Readers whose tokens passed such batches continue without a loss.
//!
//! # An index, and one batch a commit
//!
//! A store that publishes exactly one batch for each commit can restart from its index alone. With
//! [`Builder::rising_indexes`] an index identifies one batch, as a token does, and publishing an index twice is
//! refused:
//!
//! ```
//! use event_broker::{Broker, Builder, Epoch, Event, PublishErrorKind, Request, Start, Verdict};
//!
//! fn builder() -> Builder<u32> {
//!     Broker::builder().epoch(Epoch::from(7)).rising_indexes(true)
//! }
//!
//! let broker = builder().build()?;
//! let commit = |broker: &Broker<u32>, index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]);
//! let mut reader = broker.subscribe(Request::new())?;
//! commit(&broker, 9)?;
//! let token = reader.recv()?.token();
//! drop(broker);
//!
//! let restarted = builder().initial_index(9).build()?; // the index of the state
//! let mut resumed = restarted.subscribe(Request::new().start(Start::After(token)))?;
//! assert_eq!(resumed.verdict(), Verdict::Whole);
//! // The commit 9 is applied again.
//! assert_eq!(commit(&restarted, 9).unwrap_err().kind, PublishErrorKind::Repeated { index: 9 });
//! commit(&restarted, 10)?;
//! assert_eq!(resumed.recv()?.index(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both parts of the history must rise, before the restart and after it. A batch without events counts as a batch of
//! its index. If such a batch is the last of the history, the snapshot has that index, and the last delivery's token is
//! lower. A reader that has read again since, and found nothing more, has a token at that index, and continues; a
//! client that only kept the token of its last delivery gets a loss reported. [Progress and tokens in heartbeats][asked
//! for] keep clients near the present.
//!
//! # An index that may carry several batches
//!
//! An index alone does not say how many of its batches a reader has seen. So without rising indexes a reader whose
//! token is at the initial index gets a loss reported, although it may have read all of that index:
//!
//! ```
//! use event_broker::{Broker, Epoch, Event, PublishErrorKind, Request, Start, Verdict};
//!
//! let broker = Broker::<u32>::builder().epoch(Epoch::from(7)).build()?;
//! let commit = |broker: &Broker<u32>, index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]);
//! let mut reader = broker.subscribe(Request::new())?;
//! commit(&broker, 9)?;
//! let token = reader.recv()?.token();
//! drop(broker);
//!
//! let restarted = Broker::<u32>::builder().epoch(Epoch::from(7)).initial_index(9).build()?;
//! let verdict = |start| restarted.subscribe(Request::new().start(start)).map(|reader| reader.verdict());
//! assert_eq!(verdict(Start::After(token))?, Verdict::Lost { oldest: None }, "9 may have had a second batch");
//! assert_eq!(verdict(Start::Index(9))?, Verdict::Lost { oldest: None });
//! assert_eq!(verdict(Start::Index(10))?, Verdict::Whole, "a reader that has listed the state at 9 continues");
//! assert_eq!(commit(&restarted, 9).unwrap_err().kind, PublishErrorKind::Past { index: 9, initial: 9 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A snapshot of the same history
//!
//! A replica that has fallen behind installs a snapshot instead of what it missed. It continues in the same history,
//! after a part that was never published there. [`Broker::skip_to`] takes the token of the broker that the snapshot was
//! made beside. Readers at that place continue. Readers before it get a loss reported whose size is unknown:
//!
//! ```
//! use event_broker::{Broker, Epoch, Event, LagPolicy, RecvError, Request, Start, TryRecvError};
//!
//! let replica = || Broker::<u32>::builder().epoch(Epoch::from(7)).build();
//! let (leader, follower) = (replica()?, replica()?);
//! let commit = |broker: &Broker<u32>, index| broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]);
//! for index in 1..=9 {
//!     commit(&leader, index)?;
//! }
//! let mut there = follower.subscribe(Request::new().start(Start::After(leader.token())))?;
//! let mut before = follower.subscribe(Request::new().lag_policy(LagPolicy::Continue))?;
//!
//! follower.skip_to(leader.token())?;
//! let Err(TryRecvError::Recv(RecvError::Lagged(lagged))) = before.try_recv() else { panic!("it has lost a part") };
//! assert_eq!((lagged.count(), lagged.through), (None, 9));
//!
//! commit(&follower, 10)?;
//! assert_eq!(there.recv()?.index(), 10);
//! assert_eq!(before.recv()?.index(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Do not use a batch without events to skip history. It declares that the commits up to its index produced no events,
//! so readers before it get no loss reported.
//!
//! # Another state
//!
//! After a restore of another state, indexes have another meaning. [`Broker::reset`] empties the buffer, starts a new
//! epoch at the index of the restored state, and ends every subscription with [`RecvError::Reset`]. The new epoch must
//! be one that no history has had. Replicas that restore the same state use the same new epoch.
//!
//! Work that was begun before the reset may still be under way, and its index may even fit. [`Broker::publish_in`]
//! names the epoch that the work belongs to, and is refused in any other:
//!
//! ```
//! use event_broker::{Broker, Epoch, Event, PublishErrorKind, RecvError, Request, Start, Verdict};
//!
//! let broker = Broker::<u32>::builder().epoch(Epoch::from(7)).build()?;
//! let event = || Event::new("Job", "JobRegistered", "web", 1);
//! let mut reader = broker.subscribe(Request::new())?;
//! broker.publish(90, [event()])?;
//! let token = reader.recv()?.token();
//! let begun_in = broker.epoch(); // a commit begins
//!
//! broker.reset(50, Epoch::from(8)); // the state of a snapshot of index 50
//! assert_eq!(reader.recv().unwrap_err(), RecvError::Reset);
//! let refused = broker.publish_in(begun_in, 91, [event()]).unwrap_err();
//! assert_eq!(refused.kind, PublishErrorKind::OtherEpoch { epoch: begun_in, current: Epoch::from(8) });
//!
//! broker.publish_in(broker.epoch(), 51, [event()])?;
//! let mut again = broker.subscribe(Request::new().start(Start::After(token)))?;
//! assert_eq!(again.verdict(), Verdict::OtherEpoch { oldest: Some(51) });
//! assert_eq!(again.recv()?.index(), 51);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A mirror that gets [`Verdict::OtherEpoch`] lists the state again. What it holds is of another history, and the
//! buffer reaches back to the restored state only as long as nothing was evicted.
//!
//! [`Broker::publish_in`]: crate::Broker::publish_in
//! [`Broker::reset`]: crate::Broker::reset
//! [`Broker::skip_to`]: crate::Broker::skip_to
//! [`Broker::token`]: crate::Broker::token
//! [`Builder::epoch`]: crate::Builder::epoch
//! [`Builder::initial_index`]: crate::Builder::initial_index
//! [`Builder::rising_indexes`]: crate::Builder::rising_indexes
//! [`Builder::starts_after`]: crate::Builder::starts_after
//! [`Epoch`]: crate::Epoch
//! [`RecvError::Reset`]: crate::RecvError::Reset
//! [`Start::After`]: crate::Start::After
//! [`Token`]: crate::Token
//! [`Verdict::Future`]: crate::Verdict::Future
//! [`Verdict::OtherEpoch`]: crate::Verdict::OtherEpoch
//!
#![cfg_attr(
    feature = "json",
    doc = "
[asked for]: crate::FrameOptions::tokens"
)]
// Without a feature, the links to what it adds lead to the features.
#![cfg_attr(
    not(feature = "json"),
    doc = "
[asked for]: crate#features"
)]
