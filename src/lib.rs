//! An in-process event broker for servers with a replicated or versioned state.
//! This page is the overview: what the crate promises, where to find what, and when not to use it.
//!
//! A server that schedules, orchestrates or stores publishes one batch of events for each commit of its state. Readers
//! subscribe by topic, key and namespace, from any index that is still buffered, and read at their own pace. Losses are
//! counted to the batch and reported. The server's own code decides who may read, and can take access back while a
//! stream is open. What leaves the process is framed as newline-delimited JSON, over whatever transport the server has.
//!
//! The crate starts no thread, opens no socket, needs no runtime, and has no unsafe code.
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
//! // A reader that comes back continues where it was, here or at a replica.
//! let mut resumed = broker.subscribe(Request::new().start(Start::After(delivery.token())))?;
//! broker.close();
//! assert_eq!(resumed.recv().unwrap_err(), RecvError::Closed, "nothing was missed, nothing comes twice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to start
//!
//! - To link it into a server: [commit, then publish](#commit-then-publish) and [list, then follow](#list-then-follow)
//!   on this page, and the guide on [HTTP servers](guide::http_server).
//! - To test a state store with it: [testing a store](#testing-a-store), and the module `testing`.
//! - To measure fan-out: [measuring](#measuring), and the guide on [ways of reading](guide::ways_of_reading), which
//!   says what each way costs and what readers share.
//!
//! The other [guides](guide) are about [access](guide::access), [restarts and replicas](guide::restart_and_replicas),
//! and [bounds and lag](guide::bounds_and_lag); [internals](guide::internals) shows how the broker works.
//!
//! # Map
//!
//! | to | use |
//! |---|---|
//! | make a broker, bound its buffer | [`Broker::builder`], [`Builder`] |
//! | publish | [`Event`], [`Broker::publish`]; [`Batch::builder`] while a commit is under way |
//! | ask for events | [`Request`]: [`Term`]s, namespaces, types, a predicate, [`Start`], [`LagPolicy`], [`Principal`] |
//! | read | [`Subscription`], [`Delivery`], [`Drain`]; [`RecvError`] says why there is no more |
//! | watch or end a reader from elsewhere | [`SubscriptionHandle`], [`Broker::subscriptions`] |
//! | decide who may read | [`Authorizer`], [`Grant`], [`AccessChange`] |
//! | send NDJSON | [`Subscription::into_frames`], [`Subscription::into_frame_stream`], [`Delivery::frame`] |
//! | read NDJSON | [`Decoder`], [`FrameReader`] |
//! | look inside | [`Broker::stats`], [`Observer`], [`Subscription::explain`] |
//! | keep commits flat under ten thousand waiting readers | [`Broker::dispatcher`] |
//! | resume after a restart or at a replica | [`Token`], [`Builder::starts_after`], [`Broker::skip_to`], [`Broker::reset`] |
//! | use the query string, topics and rights of a scheduler's HTTP API | [`nomad`] |
//!
//! # Guarantees
//!
//! - **Order, once, whole.** A subscription receives batches in the order of publishing, and no batch twice. The
//!   matching events of a batch arrive together, each once, in the order of the commit.
//! - **No silent loss.** A matching batch is delivered, or is part of a loss that was reported ([`Verdict::Lost`], or
//!   exactly by [`Lagged`]), or comes after a terminal end.
//! - **Resumable.** [`Start::After`] a reader's last [`Token`] continues exactly, also at a replica.
//! - **Bounded.** A buffer of 100 batches holds 100. A reader holds a number, so a stalled reader keeps nothing in
//!   memory.
//! - **The publisher waits for no reader.** No reader that is slow, stuck or panicking holds up [`Broker::publish`].
//! - **Fenced.** Nothing published at or after a revocation is delivered under the old grant.
//! - **Isolated.** Hooks, wakers and payloads of the host run under no lock. Their panics harm no other reader.
//! - **Live.** A waiting reader is woken by its batch, and by no other reader's. No reader has to poll.
//! - **Untrusted input** causes no panic, and takes no more memory than its limits say.
//!
//! The README names the tests that fail if one of these is broken.
//!
//! # Commit, then publish
//!
//! A server collects the events while the commit is under way, commits, and then publishes under the commit's index. A
//! reader that sees an event then finds its change in the state, and an authorizer that is asked because of it finds
//! the new rules. Indexes never fall, may have gaps, and may repeat: an equal index is a further batch of the same
//! commit. The caller is responsible for the order of publishing. Publish each commit before the next one is made,
//! under one lock or on one thread.
//!
//! # Reading
//!
//! Every way of reading is a method of [`Subscription`]: for a thread, a task on any runtime, a hot loop, a `select!`
//! over channels, or a connection. The guide on [ways of reading](guide::ways_of_reading) compares them.
//!
//! A reader that was overtaken by the buffer gets [`RecvError::Lagged`], with the number of batches and where it
//! continues. Its [`LagPolicy`] closes it (the default) or lets it continue. The error is raised only if something that
//! the reader asked for is lost.
//!
//! # List, then follow
//!
//! To mirror a state, read it together with its index `i`, and subscribe [`Start::Index`]`(i + 1)`. What was published
//! in between is in the buffer. If so much was published that it no longer is, the [`Verdict`] says so before the first
//! event. If the mirror falls behind later, a read says so. In either case, list again.
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
//! # Testing a store
//!
//! [`Broker::publish`] has made the batch visible when it returns. So a unit test of a state store commits, and then
//! reads what was published with [`try_recv`](Subscription::try_recv), without a thread, a runtime or a sleep:
//!
//! ```
//! use event_broker::{Broker, Event, Request, TryRecvError};
//!
//! let broker = Broker::<u32>::new(); // of the store under test
//! # let register = |job: &str, version| broker.publish(1, [Event::new("Job", "JobRegistered", job, version)]).unwrap();
//! let mut published = broker.subscribe(Request::new().namespace("*"))?; // everything
//! register("web", 3); // the store commits and publishes
//! let delivery = published.try_recv()?;
//! let event = delivery.events().next().unwrap();
//! assert_eq!((delivery.len(), event.key().as_str(), *event.payload()), (1, "web", 3));
//! assert_eq!(published.try_recv().unwrap_err(), TryRecvError::Empty, "and nothing else");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The test kit (module `testing`, by the feature of that name) has what more than a few such tests need: a recorder of
//! all that is published, assertions that show what differs, a clock and rules that the test changes, golden files, and a
//! suite that checks with drawn scripts whatever readers of a store rely on. `examples/store_tests.rs` is a store with
//! its tests.
//!
//! [`Subscription::explain`] says why a subscription does not receive an event. A test of expiry or heartbeats supplies
//! a [`Clock`]. One that decides when waiting readers are woken uses [`Dispatcher::start`]. [`Decoder`] and
//! [`FrameReader`] read recorded streams back as batches that can be published again.
//!
//! # Measuring
//!
//! The repository has the benchmarks, with other crates beside this one where they can do the same. `fanout` compares
//! the ways of reading, `ratios` measures the sides alternately, and the example `study` measures fan-out in the large,
//! with intervals, and compares runs; `examples/study/METHOD.md` says how, and what its figures mean.
//! The README has the figures, the commands and the processors, and `benches/record/` the dated records.
//!
//! # Limits
//!
//! - One process, in memory. What is evicted is gone: the state store is authoritative.
//! - The default request is that of the HTTP API whose event stream [`nomad`] implements: namespace `default` only.
//!   [`Request::namespace`] with `*` asks for all.
//! - A buffer takes its bounds, an eighth more at most, and what users hold: deliveries, windows, payloads they share.
//! - Finer filters than topic, key and namespace (types, predicates, [`Authorizer::permits`]) run on the reader's
//!   thread after the reader was woken, for each event that matches those three.
//! - The passing of time does not wake tasks and doorbells: call [`Broker::tick`] from a timer if grants expire. A
//!   stream of frames has a timer of its own.
//!
//! # Features
//!
//! `json` and `stream` are on by default; without them the broker is complete.
//!
//! | feature | for | cost |
//! |---|---|---|
//! | `json` | frames out, recorded streams in | `serde_json`; two words of cache a batch |
//! | `stream` | `futures_core::Stream` for subscriptions and frames | `futures-core`, which has no code of its own |
//! | `bytes`, off by default | a frame as `bytes::Bytes`, without a copy | `bytes`; `json` with it |
//! | `testing`, off by default | the test kit, for dev-dependencies: module `testing` | `similar`; a publish looks for recorders |
//! | `testing-proptest`, off by default | strategies of the test kit for property tests | `proptest`; `testing` with it |
//!
//! # When not to use it
//!
//! - Between two threads, for work that one of them must do once: a channel, such as `crossbeam-channel`.
//! - If every reader must get everything and the publisher is to wait for the slowest: a bounded channel for each
//!   reader.
//! - If only the latest value counts: `tokio::sync::watch`, or a lock.
//! - If events must outlive the process, or reach other processes: a durable log or a message broker.
//! - If there is no order to publish in. Indexes never fall: many writers must agree on one sequence first.
//! - If most readers need conditions that topics, keys and namespaces cannot express: a predicate runs for each event
//!   and reader, and the crate does not make that cheap.
//!
// Without a feature, the links to what it adds lead to the features.
#![cfg_attr(not(feature = "json"), doc = "[`Decoder`]: #features")]
#![cfg_attr(not(feature = "json"), doc = "[`Delivery::frame`]: #features")]
#![cfg_attr(not(feature = "json"), doc = "[`FrameReader`]: #features")]
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
mod stripes;
mod subscription;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod types;
mod wait;
#[cfg(broker_steps)]
#[doc(hidden)]
pub mod writes;
#[cfg(not(broker_steps))]
mod writes;

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
