//! Defines the errors of a stream of frames.
//! The ends of a subscription and the errors of encoding are defined in `types` and `frame`.
//!
//! Callers: `blocking`, `stream` and `options`.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::frame::EncodeError;
use crate::types::error::RecvError;

/// Why a stream of frames returned no frame. It never appears in the stream itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The subscription ended, or lost batches. Only this error can be terminal.
    Recv(RecvError),
    /// An event cannot be encoded as JSON. Its whole delivery has been consumed, and the stream continues after it.
    Encode(EncodeError),
}

impl FrameError {
    /// Returns whether no frame will follow.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Recv(error) if error.is_terminal())
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recv(error) => fmt::Display::fmt(error, f),
            Self::Encode(error) => fmt::Display::fmt(error, f),
        }
    }
}

// The message is that of the inner error, so the inner error is not a source.
impl Error for FrameError {}

impl From<RecvError> for FrameError {
    fn from(error: RecvError) -> Self {
        Self::Recv(error)
    }
}

impl From<EncodeError> for FrameError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

/// Why [`Frames::write_to`](crate::Frames::write_to) stopped without an end or a loss of the subscription.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer failed. The delivery of its frame counts as read. A part of the frame may have been written, so
    /// nothing may be written after it.
    Io(io::Error),
    /// An event cannot be encoded as JSON. Nothing of its delivery was written, and the delivery has been consumed.
    /// Writing can continue.
    Encode(EncodeError),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot write frames: {error}"),
            Self::Encode(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for WriteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            // The message of this error is that of the encode error, so the encode error is not a source.
            Self::Encode(_) => None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A heartbeat interval that is too short, such as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatError {
    /// The refused interval.
    pub interval: Duration,
    /// The minimum interval.
    pub minimum: Duration,
}

impl fmt::Display for HeartbeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interval, minimum } = self;
        write!(f, "heartbeat interval is {interval:?}, expected at least {minimum:?}")
    }
}

impl Error for HeartbeatError {}
