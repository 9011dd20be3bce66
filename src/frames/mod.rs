//! A stream of frames over a subscription: the opening heartbeat, a frame for each delivery, heartbeats in between.
//! How an event becomes JSON is decided in `frame`, and nothing here opens a connection.
//!
//! Files: `delivery` frames a delivery, `options` holds what frames carry, `blocking` and `stream` are the two ways to
//! wait, `timer` is what `stream` sleeps by, and `error` holds the reasons for no frame.

mod blocking;
mod delivery;
mod error;
mod options;
#[cfg(feature = "stream")]
mod stream;
#[cfg(feature = "stream")]
mod timer;

pub use blocking::Frames;
pub use error::{FrameError, HeartbeatError, WriteError};
pub use options::FrameOptions;
#[cfg(feature = "stream")]
pub use stream::FrameStream;
#[cfg(feature = "stream")]
pub use timer::Timer;
