//! Frames for a task, by feature: a stream whose silence is measured in the caller's ticks.
//! No timer is known here: the host has one, whichever runtime it is on.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use serde::Serialize;

use crate::frame::Frame;
use crate::frames::error::FrameError;
use crate::frames::options::FrameOptions;
use crate::subscription::Subscription;

impl<P> Subscription<P> {
    /// Reads on as frames, as a task on any runtime.
    ///
    /// Each item of `ticks` stands for one heartbeat interval that has passed; the interval of the options is not
    /// used. A heartbeat is due at a tick if nothing but heartbeats was given since the tick before, so the stream is
    /// silent for less than two intervals: tick twice as often where one is the limit. With every tick the
    /// subscription is looked at, so that a grant that has run out ends the stream.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::pin::{Pin, pin};
    /// use std::task::{Context, Poll};
    /// use std::time::Duration;
    /// use event_broker::{Broker, FrameOptions, Request};
    /// use futures_core::Stream;
    ///
    /// struct Ticks(tokio::time::Interval);
    ///
    /// impl Stream for Ticks {
    ///     type Item = ();
    ///
    ///     fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
    ///         self.0.poll_tick(context).map(|_| Some(()))
    ///     }
    /// }
    ///
    /// let broker = Broker::<u32>::new();
    /// let ticks = Ticks(tokio::time::interval(Duration::from_millis(15)));
    /// let mut frames = pin!(broker.subscribe(Request::new())?.into_frame_stream(FrameOptions::new(), ticks));
    /// for _ in 0..3 {
    ///     let frame = std::future::poll_fn(|context| frames.as_mut().poll_next(context)).await.unwrap()?;
    ///     assert_eq!(frame.as_str(), "{}\n");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_frame_stream<T: Stream>(self, options: FrameOptions, ticks: T) -> FrameStream<P, T> {
        FrameStream { subscription: self, options, state: State::Unopened, ticks: Some(Box::pin(ticks)) }
    }
}

/// A subscription as frames for a task: the opening heartbeat `{}`, then a frame for each delivery, and a heartbeat
/// at a [tick](Subscription::into_frame_stream) if nothing else was given since the tick before.
///
/// Ticks that pass while nobody polls are worth one heartbeat at most, and none if there is something to read. The end
/// of the ticks is not the end of the stream: heartbeats then cease. Errors and the end are as those of
/// [`Frames`](crate::Frames).
///
/// # Cancel safety
///
/// A frame is passed only when it is given: a future of the next item can be dropped, and nothing is lost.
///
/// # Panics
///
/// As [`Frames`](crate::Frames), and if the ticks do.
pub struct FrameStream<P, T> {
    subscription: Subscription<P>,
    options: FrameOptions,
    state: State,
    /// None once they have ended.
    ticks: Option<Pin<Box<T>>>,
}

/// What was given since the last tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was given at all.
    Unopened,
    /// Nothing but the opening heartbeat or one that this tick was worth: the next tick is worth one.
    Silent,
    /// The frame of a delivery.
    Given,
}

/// So many ticks are taken in one poll, in case of ticks that are always ready.
const TICKS: usize = 32;

impl<P, T> FrameStream<P, T> {
    /// The subscription: where it stands, its numbers, its handle.
    pub fn subscription(&self) -> &Subscription<P> {
        &self.subscription
    }

    /// The options.
    pub fn options(&self) -> FrameOptions {
        self.options
    }

    /// Gives the subscription back, at the place where the frames got to.
    pub fn into_subscription(self) -> Subscription<P> {
        self.subscription
    }
}

impl<P, T: Stream> FrameStream<P, T> {
    /// Takes the ticks that have passed, and says whether they are worth a heartbeat.
    ///
    /// Either the ticks will wake the task, or there were two at least, which are worth one: then the poll is ready.
    fn take_ticks(&mut self, context: &mut Context<'_>) -> bool {
        let mut is_due = false;
        for _ in 0..TICKS {
            match self.ticks.as_mut().map(|ticks| ticks.as_mut().poll_next(context)) {
                None | Some(Poll::Pending) => break,
                Some(Poll::Ready(None)) => self.ticks = None,
                Some(Poll::Ready(Some(_))) => {
                    is_due |= self.state == State::Silent;
                    if self.state == State::Given {
                        self.state = State::Silent;
                    }
                }
            }
        }
        is_due
    }
}

impl<P: Serialize, T: Stream> Stream for FrameStream<P, T> {
    type Item = Result<Frame, FrameError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // First, because intervals that passed before a frame do not count after it.
        let is_due = this.take_ticks(context);
        if this.state == State::Unopened {
            // Whoever has lost access already is not told "still here".
            if this.subscription.mind().is_ok() {
                this.state = State::Silent;
                return Poll::Ready(Some(Ok(this.options.opening(&this.subscription))));
            }
        }
        match this.subscription.poll_recv(context) {
            Poll::Ready(Ok(delivery)) => {
                let frame = this.options.frame(&delivery)?;
                this.state = State::Given;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(this.subscription.last_error(error).map(|error| Err(error.into()))),
            Poll::Pending if is_due => Poll::Ready(Some(Ok(this.options.beat(&this.subscription)))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<P, T> fmt::Debug for FrameStream<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream")
            .field("subscription", &self.subscription)
            .field("options", &self.options)
            .field("state", &self.state)
            .field("ticks", &self.ticks.is_some())
            .finish()
    }
}
