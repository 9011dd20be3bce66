//! The test kit: what a test of a state store, or of code that reads from a broker, needs beside the broker itself.
//! Nothing here is used by the broker, and nothing here belongs into a server.
//!
//! Feature `testing`, meant for `[dev-dependencies]`.

mod assert;
mod diff;
#[cfg(feature = "json")]
mod golden;
mod outline;
mod random;
mod recorder;
pub mod sample;
#[cfg(feature = "testing-proptest")]
pub mod strategies;

#[doc(hidden)]
pub use assert::{empty, ended, events, lagged, published, received};
#[cfg(feature = "json")]
pub use golden::{Framed, GOLDEN_VARIABLE, Golden};
pub use outline::{EventPlace, Outline, Outlined};
pub use random::Random;
pub use recorder::{Recorder, RecorderBy, Recording, TIME_LIMIT};
pub mod history;
pub mod oracle;
