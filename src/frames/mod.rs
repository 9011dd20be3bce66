//! A stream of frames over a subscription: the opening heartbeat, a frame for each delivery, heartbeats in between.
//! How an event becomes JSON is not known here, and nothing here opens a connection.
//!
//! Files: `delivery` frames a delivery, `options` says what the frames carry, `blocking` and `stream` are the two ways
//! to wait, `error` says why there is no frame.

mod blocking;
mod delivery;
mod error;
mod options;
#[cfg(feature = "stream")]
mod stream;

pub use blocking::Frames;
pub use error::{FrameError, HeartbeatError, WriteError};
pub use options::FrameOptions;
#[cfg(feature = "stream")]
pub use stream::FrameStream;
