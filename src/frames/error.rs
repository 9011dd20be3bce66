//! Why there is no frame, or no more of them.
//! Why a subscription ends, and why an event cannot be encoded, is said elsewhere.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::frame::EncodeError;
use crate::types::error::RecvError;

/// Why a stream of frames gave no frame. It never appears in the stream itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The subscription ended, or lost batches; the only reason that may be an end.
    Recv(RecvError),
    /// An event refused to be JSON. Its delivery has been passed as a whole, and the stream goes on behind it.
    Encode(EncodeError),
}

impl FrameError {
    /// Whether no frame will follow.
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

// Either error already says all that this says: it is no source beside that.
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

/// Why [`Frames::write_to`](crate::Frames::write_to) stopped although the subscription had nothing to say.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer failed. The frame it was given counts as read, and a part of it may have been written: what was
    /// written so far must not be continued.
    Io(io::Error),
    /// An event refused to be JSON, and nothing was written of its delivery, which has been passed. Writing can go on.
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
            // It already says all that this says.
            Self::Encode(_) => None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A heartbeat interval that is too short to be one, such as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatError {
    /// The interval that was refused.
    pub interval: Duration,
    /// The shortest there is.
    pub minimum: Duration,
}

impl fmt::Display for HeartbeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interval, minimum } = self;
        write!(f, "heartbeat interval is {interval:?}, expected at least {minimum:?}")
    }
}

impl Error for HeartbeatError {}
