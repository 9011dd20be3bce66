//! A stream of frames over a subscription: the opening heartbeat, a frame for each delivery, heartbeats in between.
//! How an event becomes JSON is decided in `frame`. The host opens and closes connections.
//!
//! Invariants:
//! - every frame is returned by a call that has checked access before;
//! - a heartbeat is due by the broker's clock alone;
//! - the opening heartbeat is the first frame, and is returned once.
//!
//! Files:
//! - `delivery`: the frame of a delivery;
//! - `options`: what frames carry, and the heartbeat interval;
//! - `blocking`: frames for a thread;
//! - `stream`, `timer`: frames for a task, and how it sleeps;
//! - `error`: why no frame was returned.
//!
//! Callers: hosts.

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
