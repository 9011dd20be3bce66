//! Defines a frame: one line of JSON with its newline, as shared text.
//! What the line holds is assembled in `encode` and `cache`.
//!
//! Invariants: the text of a frame has one newline, and it is the last byte.
//!
//! Callers: `encode` and `cache` create the frames of batches, and `frames` those of heartbeats; hosts read them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::types::token::Token;

/// One line of JSON with its newline. It is sent with one write.
///
/// A clone shares the bytes. The newline at the end is the only one, so every line of a stream is one frame. A frame is
/// `AsRef<[u8]>`, so whatever accepts an owner of bytes accepts it without a copy. With the feature `bytes` it converts
/// into a `bytes::Bytes` that shares the bytes.
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

/// The content of a frame. The text is behind two pointers because a `Box<str>` moves into the `Arc` without being
/// copied.
#[derive(Clone)]
enum Content {
    Heartbeat,
    /// A token without an index and without events.
    Bookmark(Arc<Box<str>>),
    /// An index without events, with or without a token.
    Progress(Arc<Box<str>>),
    Batch(Arc<Box<str>>),
}

impl Frame {
    /// Returns the heartbeat `{}`, which reports that the sender is alive. Does not allocate.
    pub const fn heartbeat() -> Self {
        Self(Content::Heartbeat)
    }

    /// Creates a heartbeat that reports progress, such as `{"Index":7,"Events":[]}`: everything up to and including 7
    /// is finished.
    ///
    /// ```
    /// use event_broker::Frame;
    ///
    /// let frame = Frame::progress(7);
    /// assert_eq!(frame.as_str(), "{\"Index\":7,\"Events\":[]}\n");
    /// assert!(frame.is_heartbeat());
    /// ```
    pub fn progress(index: u64) -> Self {
        let line = format!("{{\"Index\":{index},\"Events\":[]}}\n");
        Self(Content::Progress(Arc::new(line.into_boxed_str())))
    }

    /// Creates a heartbeat that carries a resume token, and progress if an index is given.
    ///
    /// A reader that has not received a batch yet can resume from it.
    ///
    /// ```
    /// use event_broker::{Broker, Frame, Request};
    ///
    /// let broker = Broker::<u32>::builder().epoch(7.into()).build()?;
    /// let token = broker.subscribe(Request::new())?.token();
    /// let frame = Frame::bookmark(None, token);
    /// assert_eq!(frame.as_str(), "{\"Token\":\"0000000000000007-0-0\"}\n");
    /// assert!(frame.is_heartbeat() && !frame.is_progress());
    ///
    /// let frame = Frame::bookmark(Some(7), token);
    /// assert_eq!(frame.as_str(), "{\"Index\":7,\"Events\":[],\"Token\":\"0000000000000007-0-0\"}\n");
    /// assert!(frame.is_heartbeat() && frame.is_progress());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bookmark(index: Option<u64>, token: Token) -> Self {
        Self(match index {
            None => Content::Bookmark(Arc::new(format!("{{\"Token\":\"{token}\"}}\n").into_boxed_str())),
            Some(index) => {
                let line = format!("{{\"Index\":{index},\"Events\":[],\"Token\":\"{token}\"}}\n");
                Content::Progress(Arc::new(line.into_boxed_str()))
            }
        })
    }

    /// Creates the frame of a batch. `line` ends with its newline and holds no other.
    pub(super) fn batch(line: String) -> Self {
        debug_assert_eq!(line.find(['\n', '\r']), line.len().checked_sub(1), "a frame is a line");
        Self(Content::Batch(Arc::new(line.into_boxed_str())))
    }

    /// Returns the heap memory that all clones share: the bytes of the line, its `Box<str>`, and the two counts of the
    /// [`Arc`].
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Content::Heartbeat => 0,
            Content::Bookmark(line) | Content::Progress(line) | Content::Batch(line) => {
                line.len() + size_of::<Box<str>>() + 2 * size_of::<usize>()
            }
        }
    }

    /// Returns the line as text, newline included.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Content::Heartbeat => "{}\n",
            Content::Bookmark(line) | Content::Progress(line) | Content::Batch(line) => line,
        }
    }

    /// Returns the line as text, without its newline. It serves transports with a framing of their own, such as
    /// server-sent events or WebSocket messages.
    ///
    /// ```
    /// use event_broker::Frame;
    ///
    /// assert_eq!(Frame::progress(7).line(), r#"{"Index":7,"Events":[]}"#);
    /// ```
    #[inline]
    pub fn line(&self) -> &str {
        let text = self.as_str();
        text.strip_suffix('\n').unwrap_or(text)
    }

    /// Returns the line as bytes, newline included.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// Returns whether the frame carries no events, with or without progress and token.
    #[inline]
    pub fn is_heartbeat(&self) -> bool {
        !matches!(self.0, Content::Batch(_))
    }

    /// Returns whether the frame is a heartbeat that carries progress.
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

/// Converts without a copy: the result shares the bytes of the frame.
#[cfg(feature = "bytes")]
impl From<Frame> for ::bytes::Bytes {
    fn from(frame: Frame) -> Self {
        match frame.0 {
            Content::Heartbeat => Self::from_static(b"{}\n"),
            _ => Self::from_owner(frame),
        }
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
    /// Writes the line, newline included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::event::{Batch, Event};
    use crate::types::token::{Epoch, Place};

    fn token() -> Token {
        Token::new(Epoch::from(0xab), Place { index: 7, count: 1 })
    }

    #[test]
    fn heartbeats_with_and_without_progress_differ_from_batches() {
        let empty = Frame::encode(&Batch::<()>::new(3, [])).ok();
        assert_eq!(empty, Some(Frame::progress(3)));
        assert_eq!(empty.map(|frame| frame.is_heartbeat() && frame.is_progress()), Some(true));
        let batch = Frame::encode(&Batch::new(3, vec![Event::new("", "", "", ())])).ok();
        assert_eq!(batch.map(|frame| frame.is_heartbeat() || frame.is_progress()), Some(false));
        assert!(Frame::heartbeat().is_heartbeat() && !Frame::heartbeat().is_progress());
        assert!(Frame::progress(3).is_heartbeat() && Frame::progress(3).is_progress());
        assert_eq!(Frame::progress(u64::MAX).to_string(), "{\"Index\":18446744073709551615,\"Events\":[]}\n");
    }

    #[test]
    fn bookmarks_are_heartbeats_whose_token_comes_last() {
        let bare = Frame::bookmark(None, token());
        assert_eq!(bare.as_str(), "{\"Token\":\"00000000000000ab-7-1\"}\n");
        assert!(bare.is_heartbeat() && !bare.is_progress());
        let progress = Frame::bookmark(Some(6), token());
        assert_eq!(progress.as_str(), "{\"Index\":6,\"Events\":[],\"Token\":\"00000000000000ab-7-1\"}\n");
        assert!(progress.is_heartbeat() && progress.is_progress());
    }

    #[test]
    fn a_line_is_a_frame_without_its_newline() {
        let batch = Frame::encode(&Batch::new(3, vec![Event::new("a", "b", "c\n", "\n")])).ok();
        for frame in [Frame::heartbeat(), Frame::progress(1), Frame::bookmark(None, token())].into_iter().chain(batch) {
            assert_eq!(format!("{}\n", frame.line()), frame.as_str());
            assert!(!frame.line().contains('\n'));
        }
    }

    #[cfg(feature = "bytes")]
    #[test]
    fn a_frame_becomes_bytes_without_a_copy() {
        for frame in [Frame::heartbeat(), Frame::progress(1), Frame::bookmark(None, token())] {
            let bytes = ::bytes::Bytes::from(frame.clone());
            assert_eq!(&*bytes, frame.as_bytes());
            if frame != Frame::heartbeat() {
                assert_eq!(bytes.as_ptr(), frame.as_ptr());
            }
        }
    }

    #[test]
    fn a_clone_shares_and_equality_is_of_bytes() {
        let frame = Frame::progress(1);
        assert_eq!(frame.clone().as_ptr(), frame.as_ptr());
        assert_eq!(frame, Frame::progress(1));
        assert_ne!(frame, Frame::heartbeat());
        assert_eq!(format!("{frame:?}"), r#"Frame("{\"Index\":1,\"Events\":[]}\n")"#);
    }
}
