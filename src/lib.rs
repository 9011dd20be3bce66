//! The in-process event broker for servers with a replicated or versioned state.
//! A server that schedules, orchestrates or stores publishes one batch of events for each commit of its state, and
//! many readers follow, each at its own pace: by topic, key and namespace, from any index that is still buffered.
//!
//! What is lost is counted to the batch and told; who may read is decided by the server's own code, and taken back
//! while a stream is open; what leaves the process is framed as newline-delimited JSON, over whatever transport the
//! server has. The crate starts no thread, opens no socket, needs no runtime, and has no unsafe code.
//!
//! ```
//! use event_broker::{Broker, Event, RecvError, Request, Start, Term};
//!
//! let broker = Broker::<&str>::builder().max_batches(1_000).build()?;
//! let mut web = broker.subscribe(Request::new().term(Term::key("web")?))?;
//!
//! // All that one commit changed, under its index.
//! broker.publish(7, [
//!     Event::new("Job", "JobRegistered", "web", "spec").with_namespace("default"),
//!     Event::new("Allocation", "AllocationUpdated", "8f2c", "running")
//!         .with_namespace("default")
//!         .with_filter_key("web"),
//!     Event::new("Job", "JobRegistered", "db", "spec").with_namespace("default"),
//! ])?;
//!
//! let delivery = web.recv()?; // or as a task, in a window, by a doorbell
//! let payloads: Vec<_> = delivery.events().map(|event| *event.payload()).collect();
//! assert_eq!((delivery.index(), payloads), (7, vec!["spec", "running"]));
//!
//! // Whoever comes back goes on where it was, here or at a replica.
//! let mut resumed = broker.subscribe(Request::new().start(Start::After(delivery.token())))?;
//! broker.close();
//! assert_eq!(resumed.recv().unwrap_err(), RecvError::Closed, "nothing was missed, nothing comes twice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Map
//!
//! | to | use |
//! |---|---|
//! | make a broker, bound its buffer | [`Broker::builder`], [`Builder`] |
//! | publish | [`Event`], [`Broker::publish`]; [`Batch::builder`] while a commit is under way |
//! | ask | [`Request`]: [`Term`]s, namespaces, types, a predicate, [`Start`], [`LagPolicy`], [`Principal`] |
//! | read | [`Subscription`], [`Delivery`], [`Drain`]; [`RecvError`] says why no more |
//! | watch or end a reader from elsewhere | [`SubscriptionHandle`], [`Broker::subscriptions`] |
//! | say who may read | [`Authorizer`], [`Grant`], [`AccessChange`] |
//! | send NDJSON | [`Subscription::into_frames`], [`Subscription::into_frame_stream`], [`Delivery::frame`] |
//! | read NDJSON | [`Decoder`], [`FrameReader`] |
//! | look inside | [`Broker::stats`], [`Observer`], [`Subscription::explain`] |
//! | keep commits flat under ten thousand waiting readers | [`Broker::dispatcher`] |
//! | speak the words of a scheduler's HTTP API: query string, topics, rights | [`nomad`] |
//!
//! # Guarantees
//!
//! - **Order, once, whole.** A subscription sees batches in the order of publishing and no batch twice. The events of a
//!   batch that match arrive together, each once, in the order of the commit.
//! - **No silent loss.** A batch that matches was delivered, or lies in a loss that was told ([`Verdict::Lost`], or
//!   exactly by [`Lagged`]), or behind a terminal end.
//! - **Resumable.** [`Start::After`] a reader's last [`Token`] goes on exactly, also at a replica.
//! - **Bounded.** A buffer of 100 batches holds 100. Readers hold numbers: one that stalls keeps nothing in memory.
//! - **The publisher waits for nobody.** No reader that is slow, stuck or panicking holds up [`Broker::publish`].
//! - **Fenced.** Nothing published at or after a revocation is handed out under the old grant.
//! - **Isolated.** Hooks, wakers and payloads of the host run under no lock; their panics harm no other reader.
//! - **Live.** A waiting reader is woken by its batch, and by no other reader's; nothing polls.
//! - **Strangers' input** panics nothing, and takes no more memory than its limits say.
//!
//! The README says which tests would fail if one were broken.
//!
//! # Commit, then publish
//!
//! Collect events while the commit is under way; commit; publish under the commit's index. So a reader that sees an
//! event finds its change in the state, and an authorizer that is asked because of it finds the new rules. Indexes
//! never fall, may have gaps, and may repeat: an equal index is a further batch of the same commit. The order of
//! publishing is the caller's: whoever commits publishes before the next commit does, under one lock or on one thread.
//!
//! # Ways of reading
//!
//! | a reader that is | reads with |
//! |---|---|
//! | a thread | [`recv`](Subscription::recv), [`recv_timeout`](Subscription::recv_timeout), a `for` loop |
//! | a task on any runtime | [`recv_async`](Subscription::recv_async), or as a `Stream` |
//! | a hot loop | [`drain`](Subscription::drain): a window whose items borrow |
//! | a `select!` over channels | [`doorbell`](Subscription::doorbell), then a [`drain`](Subscription::drain) for each ring |
//! | a connection | [`into_frames`][`Subscription::into_frames`]: heartbeats included |
//!
//! A read looks at what was published before it began, and a task gives way to others now and then, so neither a fast
//! publisher nor a predicate that refuses everything keeps a thread from its deadline or a runtime from its other tasks.
//!
//! A reader that was overtaken by the buffer gets [`RecvError::Lagged`] with the number of batches and where it goes
//! on, and by its [`LagPolicy`] is closed (the default) or continues. It is raised only if something that was asked for
//! is among them.
//!
//! # List, then follow
//!
//! To mirror a state: read it, with the index `i` that it stands at, and subscribe [`Start::Index`]`(i + 1)`. What was
//! published in between is in the buffer. If so much was that it no longer is, the [`Verdict`] says so before the first
//! event; if the mirror falls behind later, a read says so. Either way: list again.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Mutex;
//! use event_broker::{Broker, Event, RecvError, Request, Start, SubscribeError, Subscription, TryRecvError, Verdict};
//!
//! #[derive(Clone, Debug, Default, PartialEq)]
//! struct State {
//!     index: u64,
//!     jobs: BTreeMap<String, u32>,
//! }
//!
//! fn commit(store: &Mutex<State>, broker: &Broker<u32>, job: &str, version: u32) {
//!     let mut state = store.lock().unwrap();
//!     state.index += 1;
//!     state.jobs.insert(job.to_owned(), version); // committed; and only then, in the same order:
//!     broker.publish(state.index, [Event::new("Job", "JobRegistered", job, version)]).unwrap();
//! }
//!
//! /// A copy of the state, and a reader of all that comes after it.
//! fn list(
//!     store: &Mutex<State>,
//!     broker: &Broker<u32>,
//! ) -> Result<(State, Subscription<u32>), SubscribeError> {
//!     loop {
//!         let state = store.lock().unwrap().clone();
//!         let reader = broker.subscribe(Request::new().start(Start::Index(state.index + 1)))?;
//!         match reader.verdict() {
//!             // More was committed since the copy than the buffer holds: the copy is too old.
//!             Verdict::Lost { .. } => continue,
//!             // Nothing is missing. (In the future: the store is ahead of the publisher, which will catch up.)
//!             _ => return Ok((state, reader)),
//!         }
//!     }
//! }
//!
//! let store = Mutex::new(State::default());
//! let broker = Broker::builder().max_batches(2).build()?;
//! commit(&store, &broker, "web", 1);
//! let (mut mirror, mut reader) = list(&store, &broker)?;
//! commit(&store, &broker, "db", 1); // followed
//! let mut lists = 1;
//! loop {
//!     match reader.try_recv() {
//!         Ok(delivery) => {
//!             for event in delivery.events() {
//!                 mirror.jobs.insert(event.key().to_string(), *event.payload());
//!             }
//!             mirror.index = delivery.index();
//!             if lists == 1 {
//!                 (2..=9).for_each(|version| commit(&store, &broker, "web", version)); // too fast to follow
//!             }
//!         }
//!         Err(TryRecvError::Recv(RecvError::Lagged(_) | RecvError::Reset)) => {
//!             (mirror, reader) = list(&store, &broker)?;
//!             lists += 1;
//!         }
//!         Err(TryRecvError::Empty) => break,
//!         Err(end) => return Err(end.into()),
//!     }
//! }
//! assert_eq!((&mirror, lists), (&*store.lock().unwrap(), 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Access, and taking it back
//!
//! An [`Authorizer`] answers a request with a [`Grant`] that says what it rests on: a token, policies, roles. Its
//! [`changes`](Authorizer::changes) says which published events change access; [`Broker::access_changed`] announces
//! what no event stands for. Such a change is a fence in the sequence: it is set on every subscription concerned before
//! its batch becomes visible, and a reader at a fence asks the authorizer again, on its own thread, before anything
//! more is handed out. Denied, it ends with [`RecvError::Revoked`], and what it had not read stays unread; allowed, the
//! new grant governs from there. A grant may also expire: reads end by themselves, and [`Broker::tick`] wakes the tasks
//! that wait; one that has expired already is a denial. What a delivery holds, or a socket's buffer, was handed out: a fence cannot fetch it back.
//!
//! # Tokens and epochs
//!
//! A [`Token`] is where a reader stands: epoch, index, and place within the index, since one index may unvisited several
//! batches. Deliveries have one, and so have [subscriptions](Subscription::token) before their first event,
//! [handles](SubscriptionHandle::token), heartbeats if [asked for], and
//! [the broker](Broker::token). An [`Epoch`] names one history. Replicas of a history that publish the same batches under
//! the same indexes share it by [`Builder::epoch`], and a reader moves between them by token.
//!
//! # Restarts and replicas
//!
//! A broker that begins in the middle of a history must be told where, or a reader could not be told that it missed what
//! came before. If it is told too much, readers that had seen everything are told of a loss, and all list again at once.
//!
//! | the broker | the host calls | readers that had read everything |
//! |---|---|---|
//! | restarts, and a token was kept beside the snapshot ([`Broker::token`]) | [`Builder::starts_after`] | go on |
//! | the same, and the log behind the snapshot is applied again | [`Builder::starts_after`], then publishes what is applied | go on |
//! | restarts at an index; one batch a commit | [`Builder::rising_indexes`], [`Builder::initial_index`] and the same [`Builder::epoch`] | go on |
//! | restarts at an index that may unvisited several batches | [`Builder::initial_index`] | are told of a loss: one batch more may have come |
//! | installs a snapshot of the same history | [`Broker::skip_to`] | go on |
//! | restores another state: indexes mean something else | [`Broker::reset`] | end with [`RecvError::Reset`] |
//!
//! The token must be that of the snapshot: read it where commits are put in order, under the same lock. It does not hold
//! an index that batches without events have reached since the last one with some. [`Verdict::Future`] is no loss: a
//! reader that comes back before the replica has caught up waits.
//!
//! After a reset a token of the old epoch starts at the oldest batch, with [`Verdict::OtherEpoch`], and work of the old
//! history that may still be published is refused if it names its epoch: [`Broker::publish_in`]. Where the last commit may
//! be applied again after a restart, [rising indexes](Builder::rising_indexes) refuse to publish it twice. A batch without
//! events is no way to jump ahead: it says that the commits up to its index changed nothing.
//!
//! # Limits
//!
//! - One process, in memory. What is evicted is gone: the state store is the truth, the buffer a window on its changes.
//! - The default request is that of the HTTP API whose event stream [`nomad`] describes: namespace `default`
//!   only. Say `*` to [`Request::namespace`] for all.
//! - A buffer takes its bounds, an eighth more at most, and what users hold: deliveries, windows, payloads they share.
//! - Finer filters than topic, key and namespace (types, predicates, [`Authorizer::permits`]) run on the reader's
//!   thread for each event that gets so far, and do not spare it the wake-up.
//! - Tasks and doorbells are not woken by time: give [`Broker::tick`] a timer if grants expire. A stream of frames has a
//!   timer of its own.
//!
//! # Features
//!
//! `json` and `stream` are on by default; without them it is a whole broker.
//!
//! | feature | for | cost |
//! |---|---|---|
//! | `json` | frames out, recorded streams in | `serde_json`; two words of cache a batch |
//! | `stream` | `futures_core::Stream` for subscriptions and frames | `futures-core`, which has no code of its own |
//! | `bytes`, off by default | a frame as `bytes::Bytes`, without a copy | `bytes`; `json` with it |
//!
//! # When not to use it
//!
//! - Between two threads, for work that somebody must do once: a channel, as `crossbeam-channel` has it.
//! - If every reader must get everything and the publisher is to wait for the slowest: a bounded channel a reader.
//! - If only the latest value counts: `tokio::sync::watch`, or a lock.
//! - If events must outlive the process, or reach others by themselves: a durable log or a message broker.
//! - If there is no order to publish in. Indexes never fall: many writers must agree on one sequence first.
//! - If most readers want arbitrary conditions that topics, keys and namespaces cannot say: each is then run for each
//!   event and reader, and nothing here makes that cheap.
//!
#![cfg_attr(feature = "json", doc = "[asked for]: FrameOptions::tokens")]
// Without a feature, the links to what it adds lead to the features.
#![cfg_attr(not(feature = "json"), doc = "[`Decoder`]: #features")]
#![cfg_attr(not(feature = "json"), doc = "[`Delivery::frame`]: #features")]
#![cfg_attr(not(feature = "json"), doc = "[`FrameReader`]: #features")]
#![cfg_attr(not(feature = "json"), doc = "[asked for]: #features")]
#![cfg_attr(not(feature = "json"), doc = "[`Subscription::into_frames`]: #features")]
#![cfg_attr(not(all(feature = "json", feature = "stream")), doc = "[`Subscription::into_frame_stream`]: #features")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod broker;
mod core;
#[cfg(feature = "json")]
mod frame;
#[cfg(feature = "json")]
mod frames;
pub mod guide;
mod interest;
mod log;
#[cfg(all(test, broker_loom))]
mod models;
pub mod nomad;
mod panics;
#[cfg(broker_steps)]
#[doc(hidden)]
pub mod steps;
#[cfg(not(broker_steps))]
mod steps;
mod subscription;
mod sync;
mod types;
mod wait;

pub use access::{AccessChange, AccessRequest, Authorizer, Grant};
pub use broker::{Broker, Builder, DispatchGuard, Dispatcher, WeakBroker};
#[cfg(feature = "json")]
pub use frame::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Frame, FrameReader, Incoming, ReadError};
#[cfg(feature = "json")]
pub use frames::{FrameError, FrameOptions, Frames, HeartbeatError, WriteError};
#[cfg(all(feature = "json", feature = "stream"))]
pub use frames::{FrameStream, Timer};
pub use subscription::{
    Delivery, DeliveryRef, Drain, DrainIter, Events, Explanation, Iter, Readable, Recv, Subscription,
    SubscriptionHandle,
};
pub use types::clock::{Clock, SystemClock};
pub use types::error::{
    BuildError, BuildErrorKind, Denial, Lagged, PublishError, PublishErrorKind, RecvError, RecvTimeoutError, SkipError,
    SubscribeError, TryRecvError,
};
pub use types::event::{Batch, BatchBuilder, Event};
pub use types::name::{EventType, Key, Namespace, Topic};
pub use types::observer::Observer;
pub use types::principal::Principal;
pub use types::request::{LagPolicy, Request};
pub use types::start::{Start, Verdict};
pub use types::stats::{BrokerStats, SubscriptionId, SubscriptionStats};
pub use types::term::{InvalidRequest, Named, Scope, Term};
pub use types::token::{Epoch, ParseTokenError, Token};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
