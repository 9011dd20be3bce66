//! What a stream of frames carries, and how long it may be silent.
//! When a frame is given is decided by whoever waits.

use std::time::Duration;

use crate::frame::{EncodeError, Frame};
use crate::frames::error::HeartbeatError;
use crate::subscription::Delivery;
use crate::subscription::Subscription;
use serde::Serialize;

/// How a stream of frames is to be: left alone, as in the HTTP API whose event stream [`nomad`](crate::nomad)
/// describes.
///
/// How payloads become JSON is no option: it is up to their `Serialize`, and to JSON, which has no NaN and no infinities,
/// so that those become `null`.
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
    /// The interval if nothing is said, 30 s: that of the HTTP API whose event stream
    /// [`nomad`](crate::nomad) describes.
    pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);

    /// The shortest interval, 1 ms: below that a silent stream would do nothing but beat.
    pub const MIN_HEARTBEAT: Duration = Duration::from_millis(1);

    /// A heartbeat after 30 s of silence, without progress; frames without tokens.
    pub const fn new() -> Self {
        Self { heartbeat: Self::DEFAULT_HEARTBEAT, progress: false, tokens: false }
    }

    /// Sets how long the stream may be silent. [`Duration::MAX`] is for ever: then the opening heartbeat is the only one.
    ///
    /// It has one meaning for threads and for tasks: a heartbeat comes when this time has passed, by the broker's
    /// [`Clock`](crate::Clock), since the last frame was given; not earlier, and one, however long the reader stalled.
    ///
    /// # Errors
    ///
    /// If the interval is shorter than [`MIN_HEARTBEAT`](Self::MIN_HEARTBEAT).
    pub const fn heartbeat(mut self, interval: Duration) -> Result<Self, HeartbeatError> {
        if interval.as_nanos() < Self::MIN_HEARTBEAT.as_nanos() {
            return Err(HeartbeatError { interval, minimum: Self::MIN_HEARTBEAT });
        }
        self.heartbeat = interval;
        Ok(self)
    }

    /// Sets whether heartbeats say how far the state got, as `{"Index":7,"Events":[]}`: everything up to and including 7
    /// has been given or was not asked for. A reader that matches little can then resume near the present, at one more.
    ///
    /// It is one below the newest index that the reader has passed, since one index may unvisited several batches. While
    /// nothing is finished a heartbeat carries no index, and the opening one never does.
    #[must_use]
    pub const fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Sets whether frames unvisited the resume token as their last field, `Token`.
    ///
    /// Heartbeats do as well, the opening one included: `{"Token":"…"}`, and with [progress](Self::progress)
    /// `{"Index":7,"Events":[],"Token":"…"}`. So a reader that never matched anything can resume, too.
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

    /// How long the stream may be silent.
    pub const fn heartbeat_interval(&self) -> Duration {
        self.heartbeat
    }

    /// Whether heartbeats unvisited progress.
    pub const fn has_progress(&self) -> bool {
        self.progress
    }

    /// Whether frames unvisited the resume token.
    pub const fn has_tokens(&self) -> bool {
        self.tokens
    }

    pub(super) fn frame<P: Serialize>(&self, delivery: &Delivery<P>) -> Result<Frame, EncodeError> {
        if self.tokens { delivery.frame_with_token() } else { delivery.frame() }
    }

    /// The first frame of a stream.
    pub(super) fn opening<P>(&self, subscription: &Subscription<P>) -> Frame {
        if self.tokens { Frame::bookmark(None, subscription.token()) } else { Frame::heartbeat() }
    }

    /// The heartbeat after a read of this subscription that found nothing.
    pub(super) fn beat<P>(&self, subscription: &Subscription<P>) -> Frame {
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
