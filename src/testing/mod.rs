//! The test kit: what a test of a state store, or of code that reads from a broker, needs beside the broker itself.
//! Nothing here is used by the broker, and nothing here belongs into a server.
//!
//! Feature `testing`, meant for `[dev-dependencies]`.

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
#[cfg(all(feature = "json", feature = "stream"))]
mod ticks;

#[doc(hidden)]
pub use assert::{empty, ended, events, lagged, published, received};
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
