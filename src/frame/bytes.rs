//! A frame: one line of JSON with its newline, as shared text.
//! What stands in the line is put together elsewhere.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

use crate::event::Batch;
use crate::frame::encode::{EncodeError, FrameCache};

/// One line of JSON with its newline: what one write puts on the wire.
///
/// A clone shares the bytes. The newline at the end is the only one, so a line is a frame and a frame is a line.
/// Since it is `AsRef<[u8]>`, what takes owners of bytes, such as `bytes::Bytes::from_owner`, takes it without a copy.
///
/// ```
/// use event_broker::{Batch, Event, Frame};
///
/// let batch = Batch::new(7, vec![Event::new("Node", "NodeDrain", "ccc4", "line\nbreak")]);
/// let frame = Frame::encode(&batch)?;
/// assert_eq!(
///     frame.as_str(),
///     concat!(
///         r#"{"Index":7,"Events":[{"Topic":"Node","Type":"NodeDrain","Key":"ccc4","Namespace":"","FilterKeys":null,"#,
///         r#""Index":7,"Payload":"line\nbreak"}]}"#,
///         "\n",
///     ),
/// );
/// assert_eq!(&*Frame::heartbeat(), b"{}\n");
/// # Ok::<(), event_broker::EncodeError>(())
/// ```
#[derive(Clone)]
pub struct Frame(Content);

/// The text stands behind two pointers because it is then moved in as it was built, instead of copied.
#[derive(Clone)]
enum Content {
    Heartbeat,
    Progress(Arc<Box<str>>),
    Batch(Arc<Box<str>>),
}

impl Frame {
    /// The frame that says "still here": `{}`. It does not allocate.
    pub const fn heartbeat() -> Self {
        Self(Content::Heartbeat)
    }

    /// A heartbeat that says how far the state got: `{"Index":7}`, everything up to and including 7 is finished.
    ///
    /// ```
    /// use event_broker::Frame;
    ///
    /// let frame = Frame::progress(7);
    /// assert_eq!(frame.as_str(), "{\"Index\":7}\n");
    /// assert!(frame.is_heartbeat());
    /// ```
    pub fn progress(index: u64) -> Self {
        Self(Content::Progress(Arc::new(format!("{{\"Index\":{index}}}\n").into_boxed_str())))
    }

    /// The frame of a batch that no broker carries, such as one to record. The events keep the index they carry.
    ///
    /// # Errors
    ///
    /// If the payload of an event refuses to be JSON; the error names the event.
    ///
    /// # Panics
    ///
    /// If the payload's `Serialize` does.
    pub fn encode<P: Serialize>(batch: &Batch<P>) -> Result<Self, EncodeError> {
        FrameCache::new().whole(batch.index(), batch.events(), None)
    }

    /// The frame of a batch; `line` ends with its newline and holds no other.
    pub(super) fn batch(line: String) -> Self {
        debug_assert_eq!(line.find(['\n', '\r']), line.len().checked_sub(1), "a frame is a line");
        Self(Content::Batch(Arc::new(line.into_boxed_str())))
    }

    /// The line as text, newline included.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Content::Heartbeat => "{}\n",
            Content::Progress(line) | Content::Batch(line) => line,
        }
    }

    /// The line as bytes, newline included.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// Whether the frame is there to say "still here", with or without progress: it carries no events.
    #[inline]
    pub fn is_heartbeat(&self) -> bool {
        !matches!(self.0, Content::Batch(_))
    }

    /// Whether the frame is a heartbeat that carries progress.
    pub fn is_progress(&self) -> bool {
        matches!(self.0, Content::Progress(_))
    }
}

impl AsRef<[u8]> for Frame {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<str> for Frame {
    #[inline]
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Deref for Frame {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Frame").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Frame {
    /// The line, newline included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_with_and_without_progress_are_told_apart_from_batches() {
        let batch = Frame::encode(&Batch::<()>::new(3, [])).ok();
        assert_eq!(batch.as_ref().map(Frame::as_str), Some("{\"Index\":3,\"Events\":[]}\n"));
        assert_eq!(batch.map(|frame| frame.is_heartbeat()), Some(false));
        assert!(Frame::heartbeat().is_heartbeat() && !Frame::heartbeat().is_progress());
        assert!(Frame::progress(3).is_heartbeat() && Frame::progress(3).is_progress());
        assert_eq!(Frame::progress(u64::MAX).to_string(), "{\"Index\":18446744073709551615}\n");
    }

    #[test]
    fn a_clone_shares_and_equality_is_of_bytes() {
        let frame = Frame::progress(1);
        assert_eq!(frame.clone().as_ptr(), frame.as_ptr());
        assert_eq!(frame, Frame::progress(1));
        assert_ne!(frame, Frame::heartbeat());
        assert_eq!(format!("{frame:?}"), r#"Frame("{\"Index\":1}\n")"#);
    }
}
