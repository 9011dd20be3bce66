//! The test kit: what a test of a state store, or of code that reads from a broker, needs beside the broker itself.
//! Nothing here is used by the broker, and nothing here belongs into a server.
//!
//! Feature `testing`, meant for `[dev-dependencies]`.

mod assert;
mod diff;
mod outline;
mod recorder;

#[doc(hidden)]
pub use assert::{empty, ended, events, lagged, published, received};
pub use outline::{EventPlace, Outline, Outlined};
pub use recorder::{Recorder, RecorderBy, Recording, TIME_LIMIT};
pub mod history;
pub mod oracle;
