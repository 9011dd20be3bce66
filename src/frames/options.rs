//! Defines the options of a stream of frames: what frames carry, and how long the stream may be silent.
//! When a frame is due is decided in `blocking` and `stream`.
//!
//! Callers: hosts set the options; `blocking` and `stream` create the heartbeats by them.

use std::time::Duration;

use crate::frame::{EncodeError, Frame};
use crate::frames::error::HeartbeatError;
use crate::subscription::{Delivery, Subscription};
use serde::Serialize;

/// The options of a stream of frames. The defaults are those of the HTTP API whose event stream [`nomad`](crate::nomad)
/// describes.
///
/// There is no option for how payloads become JSON. Their `Serialize` decides it. JSON has no NaN and no infinities, so
/// those become `null`.
///
/// ```
/// use std::time::Duration;
/// use event_broker::FrameOptions;
///
/// let options = FrameOptions::new().heartbeat(Duration::from_secs(10))?.progress(true).tokens(true);
/// assert_eq!(options.heartbeat_interval(), Duration::from_secs(10));
///
/// let refused = FrameOptions::new().heartbeat(Duration::ZERO).unwrap_err();
/// assert_eq!(refused.to_string(), "heartbeat interval is 0ns, expected at least 1ms");
/// # Ok::<(), event_broker::HeartbeatError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameOptions {
    heartbeat: Duration,
    progress: bool,
    tokens: bool,
}

impl FrameOptions {
    /// The default interval, 30 s: that of the HTTP API whose event stream [`nomad`](crate::nomad) describes.
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);

    /// The minimum interval, 1 ms. With a shorter one a silent stream would only send heartbeats.
    pub const MIN_HEARTBEAT: Duration = Duration::from_millis(1);

    /// Creates the default options: a heartbeat after 30 s of silence, no progress, no tokens.
    pub const fn new() -> Self {
        Self { heartbeat: Self::DEFAULT_HEARTBEAT, progress: false, tokens: false }
    }

    /// Sets how long the stream may be silent. With [`Duration::MAX`] the opening heartbeat is the only one.
    ///
    /// The interval means the same for threads and for tasks: a heartbeat is due when this time has passed since the
    /// last frame was returned, by the broker's [`Clock`](crate::Clock). It never comes earlier. However long the
    /// reader stalled, it gets only one.
    ///
    /// # Errors
    ///
    /// Returns an error if the interval is shorter than [`MIN_HEARTBEAT`](Self::MIN_HEARTBEAT).
    pub const fn heartbeat(mut self, interval: Duration) -> Result<Self, HeartbeatError> {
        if interval.as_nanos() < Self::MIN_HEARTBEAT.as_nanos() {
            return Err(HeartbeatError { interval, minimum: Self::MIN_HEARTBEAT });
        }
        self.heartbeat = interval;
        Ok(self)
    }

    /// Sets whether heartbeats report progress, such as `{"Index":7,"Events":[]}`: everything up to and including 7 was
    /// returned or does not match. A reader that matches little can then resume near the present, at one index more.
    ///
    /// The reported index is one below the newest index that the reader has consumed, because several batches may have
    /// the same index. While nothing is finished a heartbeat carries no index. The opening heartbeat never carries one.
    #[must_use]
    pub const fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Sets whether frames carry the resume token as their last field, `Token`.
    ///
    /// Heartbeats carry it as well, the opening one included: `{"Token":"…"}`, and with [progress](Self::progress)
    /// `{"Index":7,"Events":[],"Token":"…"}`. A reader that never matched anything can therefore resume, too.
    ///
    /// ```
    /// use event_broker::{Broker, FrameOptions, Request};
    ///
    /// let broker = Broker::<u32>::builder().epoch(7.into()).build()?;
    /// let mut frames = broker.subscribe(Request::new())?.into_frames(FrameOptions::new().tokens(true));
    /// assert_eq!(frames.try_frame()?.unwrap().line(), r#"{"Token":"0000000000000007-0-0"}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn tokens(mut self, tokens: bool) -> Self {
        self.tokens = tokens;
        self
    }

    /// Returns how long the stream may be silent.
    pub const fn heartbeat_interval(&self) -> Duration {
        self.heartbeat
    }

    /// Returns whether heartbeats carry progress.
    pub const fn has_progress(&self) -> bool {
        self.progress
    }

    /// Returns whether frames carry the resume token.
    pub const fn has_tokens(&self) -> bool {
        self.tokens
    }

    pub(super) fn frame<P: Serialize>(&self, delivery: &Delivery<P>) -> Result<Frame, EncodeError> {
        if self.tokens { delivery.frame_with_token() } else { delivery.frame() }
    }

    /// Returns the first frame of a stream.
    pub(super) fn opening<P>(&self, subscription: &Subscription<P>) -> Frame {
        if self.tokens { Frame::bookmark(None, subscription.token()) } else { Frame::heartbeat() }
    }

    /// Returns the heartbeat for a subscription whose last read found nothing.
    pub(super) fn heartbeat_frame<P>(&self, subscription: &Subscription<P>) -> Frame {
        let index = subscription.finished().filter(|_| self.progress);
        match index {
            _ if self.tokens => Frame::bookmark(index, subscription.token()),
            Some(index) => Frame::progress(index),
            None => Frame::heartbeat(),
        }
    }
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self::new()
    }
}
