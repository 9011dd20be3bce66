//! What can be compared with a golden file, and its frames as bytes.
//! How frames are encoded is decided in `frame`.

use serde::Serialize;

use crate::frame::{EncodeError, Frame};
use crate::subscription::{Delivery, DeliveryRef};
use crate::testing::recorder::Recorder;
use crate::types::event::Batch;

/// What can be compared with a [golden file](super::Golden): deliveries, batches, frames, and bytes that were sent.
///
/// A [`Recorder`] gives what it has recorded, and begins again with nothing. Bytes and texts are what
/// [`Frames::write_to`](crate::Frames::write_to) wrote, or what a server sent. Slices, arrays and vectors of all these
/// are one stream.
///
/// ```
/// use event_broker::testing::Framed;
/// use event_broker::{Batch, Event, Frame};
///
/// let batches = vec![Batch::new(7, vec![Event::new("Job", "JobRegistered", "web", 1)])];
/// let mut stream = Vec::new();
/// batches.write_frames(&mut stream)?;
/// [Frame::heartbeat()].write_frames(&mut stream)?;
/// assert!(stream.starts_with(br#"{"Index":7,"Events":[{"Topic":"Job","#) && stream.ends_with(b"]}\n{}\n"));
/// # Ok::<(), event_broker::EncodeError>(())
/// ```
pub trait Framed {
    /// Appends the frames to `stream`, one a line, as a server would send them.
    ///
    /// # Errors
    ///
    /// Returns an error that names the event if a payload cannot be encoded as JSON.
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError>;
}

impl<P: Serialize> Framed for Recorder<P> {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.take().write_frames(stream)
    }
}

impl<P: Serialize> Framed for Delivery<P> {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.frame()?.write_frames(stream)
    }
}

impl<P: Serialize> Framed for DeliveryRef<'_, P> {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.frame()?.write_frames(stream)
    }
}

impl<P: Serialize> Framed for Batch<P> {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        Frame::encode(self)?.write_frames(stream)
    }
}

impl Framed for Frame {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_bytes().write_frames(stream)
    }
}

impl Framed for [u8] {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        stream.extend_from_slice(self);
        Ok(())
    }
}

impl Framed for Vec<u8> {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_slice().write_frames(stream)
    }
}

impl<const N: usize> Framed for [u8; N] {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_slice().write_frames(stream)
    }
}

impl Framed for str {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_bytes().write_frames(stream)
    }
}

impl Framed for String {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_bytes().write_frames(stream)
    }
}

impl<T: Framed> Framed for [T] {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.iter().try_for_each(|part| part.write_frames(stream))
    }
}

impl<T: Framed> Framed for Vec<T> {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_slice().write_frames(stream)
    }
}

impl<T: Framed, const N: usize> Framed for [T; N] {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.as_slice().write_frames(stream)
    }
}

impl<T: Framed + ?Sized> Framed for &T {
    fn write_frames(&self, stream: &mut Vec<u8>) -> Result<(), EncodeError> {
        (**self).write_frames(stream)
    }
}
