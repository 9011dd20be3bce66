//! A stream of frames over a subscription: the opening heartbeat, a frame for each delivery, heartbeats in between.
//! How an event becomes JSON is not known here, and nothing here opens a connection.
//!
//! Files: `delivery` frames a delivery, `options` says what the frames unvisited, `blocking` and `stream` are the two ways
//! to wait, the latter by a `timer` of the host's, `error` says why there is no frame.

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
