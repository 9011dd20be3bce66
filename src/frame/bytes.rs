//! A frame: one line of JSON with its newline, as shared text.
//! What stands in the line is put together elsewhere.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::types::token::Token;

/// One line of JSON with its newline: what one write puts on the wire.
///
/// A clone shares the bytes. The newline at the end is the only one, so a line is a frame and a frame is a line.
/// Since it is `AsRef<[u8]>`, what takes owners of bytes takes it without a copy; with the feature `bytes` it converts
/// into a `bytes::Bytes`, which shares the bytes as well.
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
    /// A token, no index and no events.
    Bookmark(Arc<Box<str>>),
    /// An index and no events, with or without a token.
    Progress(Arc<Box<str>>),
    Batch(Arc<Box<str>>),
}

impl Frame {
    /// The frame that says "still here": `{}`. It does not allocate.
    pub const fn heartbeat() -> Self {
        Self(Content::Heartbeat)
    }

    /// A heartbeat that says how far the state got: `{"Index":7,"Events":[]}`, everything up to and including 7 is
    /// finished.
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

    /// A heartbeat that carries a resume token, and progress if an index is given.
    ///
    /// A reader to whom nothing was sent yet can so resume where it stands.
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

    /// The frame of a batch; `line` ends with its newline and holds no other.
    pub(super) fn batch(line: String) -> Self {
        debug_assert_eq!(line.find(['\n', '\r']), line.len().checked_sub(1), "a frame is a line");
        Self(Content::Batch(Arc::new(line.into_boxed_str())))
    }

    /// What the line takes, shared by all clones: its bytes, and the pointer and the two counts of the [`Arc`].
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Content::Heartbeat => 0,
            Content::Bookmark(line) | Content::Progress(line) | Content::Batch(line) => {
                line.len() + size_of::<Box<str>>() + 2 * size_of::<usize>()
            }
        }
    }

    /// The line as text, newline included.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Content::Heartbeat => "{}\n",
            Content::Bookmark(line) | Content::Progress(line) | Content::Batch(line) => line,
        }
    }

    /// The line as text, without its newline: for transports that have a framing of their own, such as server-sent
    /// events or messages of a socket.
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

    /// The line as bytes, newline included.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// Whether the frame is there to say "still here", with or without progress and token: it carries no events.
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

/// Shares the bytes of the frame.
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
    /// The line, newline included.
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
    fn heartbeats_with_and_without_progress_are_told_apart_from_batches() {
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
