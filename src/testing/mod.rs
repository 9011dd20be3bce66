//! The test kit: what a test of a state store, or of code that reads from a broker, needs beside the broker itself.
//! Nothing here is used by the broker, and nothing here belongs into a server.
//!
//! It is behind the feature `testing`, which is meant for tests only:
//!
//! ```toml
//! [dependencies]
//! event-broker = "0.1"
//!
//! [dev-dependencies]
//! event-broker = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # Map
//!
//! | a test wants to | use |
//! |---|---|
//! | see all that a store publishes, whatever its broker buffers and whoever may read | [`Recorder`] |
//! | say what was published, as a line an event, and see what differs | [`assert_published!`](crate::assert_published), [`assert_nothing_published!`](crate::assert_nothing_published), [`assert_events!`](crate::assert_events), [`assert_outline!`](crate::assert_outline), [`Outline`] |
//! | say what a reader receives | [`assert_recv!`](crate::assert_recv), [`assert_empty!`](crate::assert_empty), [`assert_lagged!`](crate::assert_lagged), [`assert_ended!`](crate::assert_ended) |
//! | check everything that readers rely on, with scripts that are drawn and shrunk | [`suite`], [`store_tests!`](crate::store_tests) |
//! | decide what time it is, and when a grant or a sleep ends | [`ManualClock`]; `ManualTicks` for streams of frames (features `json` and `stream`) |
//! | switch access, and see what was asked | [`Rules`], [`Rule`] |
//! | make a hook slow without a sleep | [`Gate`] |
//! | see what a broker does | [`RecordingObserver`] |
//! | poll a reader by hand, or know that a thread waits | [`Probe`], [`wait_until_waiting`] |
//! | run publishers and readers in an order from a seed | [`Executor`], [`explore`] |
//! | compare the stream that a server sends with a file | `golden!` and `Golden` (feature `json`) |
//! | have plausible events of a scheduler | [`sample`] |
//! | have arbitrary names, events and requests for property tests | `strategies` (feature `testing-proptest`) |
//! | predict what a reader must receive | [`oracle`] |
//! | judge what readers have received in a run that nothing predicts | [`history`] |
//!
//! # A first test
//!
//! [`Broker::publish`](crate::Broker::publish) has made the batch visible when it returns. So a test commits and then
//! looks at what was published, without a thread, a runtime or a sleep:
//!
//! ```
//! use event_broker::testing::Recorder;
//! use event_broker::{Broker, Event, Request, Term};
//! use event_broker::{assert_empty, assert_nothing_published, assert_published, assert_recv};
//!
//! struct Store(Broker<u32>);
//! # impl Store {
//! #     fn register(&self, namespace: &str, job: &str, version: u32) {
//! #         let job = Event::new("Job", "JobRegistered", job, version).with_namespace(namespace);
//! #         self.0.publish(u64::from(version), [job]).unwrap();
//! #     }
//! # }
//!
//! let store = Store(Broker::new());
//! let recorder = Recorder::of(&store.0);
//! let mut web = store.0.subscribe(Request::new().term(Term::new("Job", "web")?).namespace("prod"))?;
//!
//! store.register("prod", "web", 1);
//! store.register("prod", "db", 2);
//! assert_published!(recorder, "1 Job/JobRegistered prod:web", "2 Job/JobRegistered prod:db");
//! assert_nothing_published!(recorder);
//! assert_recv!(web, "1 Job/JobRegistered prod:web");
//! assert_empty!(web);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If the store had published into another namespace, the test would fail at its own line, and say:
//!
//! ```text
//! what was published differs (- expected, + found):
//! - 1 Job/JobRegistered prod:web
//! + 1 Job/JobRegistered default:web
//!   2 Job/JobRegistered prod:db
//! ```
//!
//! `examples/store_tests.rs` in the repository is a store of some 70 lines with its tests, none of which is longer than 12.

mod assert;
mod clock;
mod diff;
mod executor;
mod gate;
#[cfg(feature = "json")]
mod golden;
pub mod history;
mod observer;
pub mod oracle;
mod outline;
mod random;
mod recorder;
mod rule;
mod rules;
mod run_error;
pub mod sample;
mod step;
#[cfg(feature = "testing-proptest")]
pub mod strategies;
pub mod suite;
#[cfg(all(feature = "json", feature = "stream"))]
mod ticks;

#[doc(hidden)]
pub use assert::{AssertedReader, events, line, lines, outline, published};
pub use clock::{ManualClock, Sleep};
pub use executor::{Executor, YieldNow, explore, yield_now};
pub use gate::Gate;
#[cfg(feature = "json")]
pub use golden::{Framed, GOLDEN_VARIABLE, Golden};
pub use observer::{Observed, ObservedCounts, RecordingObserver};
pub use outline::{EventPlace, Outline, Outlined};
pub use random::Random;
pub use recorder::{Recorder, RecorderBy, Recording};
pub use rule::Rule;
pub use rules::{Asked, AskedCounts, Rules};
pub use run_error::{RunError, RunErrorKind};
pub use step::{Probe, TIME_LIMIT, wait_until, wait_until_waiting, wait_until_within};
#[cfg(all(feature = "json", feature = "stream"))]
pub use ticks::ManualTicks;
