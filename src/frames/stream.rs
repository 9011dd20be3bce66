//! Frames for a task, by feature: a stream that sleeps by the host's timer and beats by the broker's clock.
//! No runtime is known here.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_core::Stream;
use serde::Serialize;

use crate::frame::Frame;
use crate::frames::error::FrameError;
use crate::frames::options::FrameOptions;
use crate::frames::timer::Timer;
use crate::subscription::Subscription;

impl<P> Subscription<P> {
    /// Reads on as frames, as a task on any runtime.
    ///
    /// The timer is that of the runtime. It serves the heartbeats, which come as those of
    /// [`into_frames`](Self::into_frames) do, and ends the stream in time when a grant expires. Payloads are encoded as
    /// they are there, NaN and infinite numbers as `null`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::future::poll_fn;
    /// use std::pin::Pin;
    /// use std::time::{Duration, Instant};
    /// use event_broker::{Broker, FrameOptions, Request};
    /// use futures_core::Stream;
    ///
    /// let broker = Broker::<u32>::new();
    /// let options = FrameOptions::new().heartbeat(Duration::from_millis(15))?;
    /// let mut frames = broker.subscribe(Request::new())?.into_frame_stream(options, tokio::time::sleep);
    /// let begun = Instant::now();
    /// for _ in 0..3 {
    ///     let frame = poll_fn(|context| Pin::new(&mut frames).poll_next(context)).await.unwrap()?;
    ///     assert_eq!(frame.as_str(), "{}\n");
    /// }
    /// assert!(begun.elapsed() >= 2 * Duration::from_millis(15), "the first comes at once, the others do not");
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_frame_stream<T: Timer>(self, options: FrameOptions, timer: T) -> FrameStream<P, T> {
        FrameStream { subscription: self, options, state: State::Unopened, timer, sleep: None, wakes_at: None }
    }
}

/// A subscription as frames for a task: the opening heartbeat `{}`, then a frame for each delivery, and a heartbeat
/// whenever the interval passes without a frame.
///
/// The interval is that of the [options](FrameOptions::heartbeat) and counts, by the broker's [`Clock`](crate::Clock),
/// from the last frame that was given: no heartbeat comes earlier, and none is gathered while nobody polls. The
/// [timer](Timer) only wakes the task. It does so at the expiry of the grant, too, so a stream that is idle ends in time.
/// Errors and the end are as those of [`Frames`](crate::Frames).
///
/// It is `Unpin`, whatever the timer is, and allocates once, for the future of the timer.
///
/// # Cancel safety
///
/// A frame is passed only when it is given: a future of the next item can be dropped, and nothing is lost.
///
/// # Panics
///
/// As [`Frames`](crate::Frames), and if the timer or its future does.
pub struct FrameStream<P, T: Timer> {
    subscription: Subscription<P>,
    options: FrameOptions,
    state: State,
    timer: T,
    /// Kept from one sleep to the next, so that each is made in the same place.
    sleep: Option<Pin<Box<T::Sleep>>>,
    /// When the sleep ends, by the broker's clock; none if it has ended, or there is none.
    wakes_at: Option<Instant>,
}

/// The timer is never pinned, and its future is in a box.
impl<P, T: Timer> Unpin for FrameStream<P, T> {}

#[derive(Clone, Copy, Debug)]
enum State {
    Unopened,
    /// The last frame was given then, by the broker's clock.
    Given(Instant),
}

/// So many sleeps are begun in one poll, in case of a timer that is always ready. One that ends a little early, as a
/// timer of coarse ticks may, needs two.
const SLEEPS: usize = 4;

impl<P, T: Timer> FrameStream<P, T> {
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

    fn give(&mut self, frame: Frame) -> Frame {
        self.state = State::Given(self.subscription.now());
        frame
    }

    /// Returns when the next heartbeat is due, by the broker's clock; never, if the clock cannot say it.
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Unopened => None,
            State::Given(last) => last.checked_add(self.options.heartbeat_interval()),
        }
    }

    /// Begins to sleep until this instant, unless a sleep that ends no later is under way.
    fn sleep_until(&mut self, until: Instant, now: Instant) {
        // Every frame puts the next heartbeat off. Sleeping anew then would cost more than being woken once too early.
        // A sleep that should have ended says nothing of what follows: then the clock has gone faster than the timer.
        if self.wakes_at.is_some_and(|wakes_at| now < wakes_at && wakes_at <= until) {
            return;
        }
        let sleep = self.timer.sleep(until.saturating_duration_since(now));
        match &mut self.sleep {
            Some(place) => place.set(sleep),
            None => self.sleep = Some(Box::pin(sleep)),
        }
        self.wakes_at = Some(until);
    }

    /// Whether the sleep under way has ended. If not, or if there is none, the task is woken when there is something to
    /// do.
    fn has_slept(&mut self, context: &mut Context<'_>) -> bool {
        let Some(sleep) = self.sleep.as_mut().filter(|_| self.wakes_at.is_some()) else { return false };
        let ended = sleep.as_mut().poll(context).is_ready();
        if ended {
            self.wakes_at = None;
        }
        ended
    }
}

impl<P: Serialize, T: Timer> FrameStream<P, T> {
    fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, FrameError>>> {
        self.subscription.poll_recv(context).map(|received| match received {
            Ok(delivery) => {
                let framed = self.options.frame(&delivery);
                Some(framed.map(|frame| self.give(frame)).map_err(FrameError::from))
            }
            Err(error) => self.subscription.last_error(error).map(|error| Err(error.into())),
        })
    }

    /// The heartbeat, if it is due; if not, the task is woken when it will be, or when the grant expires. A read has
    /// found nothing before, or has given way.
    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, FrameError>>> {
        for _ in 0..SLEEPS {
            let now = self.subscription.now();
            let (due, expiry) = (self.due(), self.subscription.expiry());
            if expiry.is_some_and(|expiry| expiry <= now) {
                return self.poll_delivery(context);
            }
            if due.is_some_and(|due| due <= now) {
                let beat = self.options.beat(&self.subscription);
                return Poll::Ready(Some(Ok(self.give(beat))));
            }
            let Some(until) = due.into_iter().chain(expiry).min() else { return Poll::Pending };
            self.sleep_until(until, now);
            if !self.has_slept(context) {
                return Poll::Pending;
            }
        }
        // The timer is ready again and again, and the clock has not moved: others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<P: Serialize, T: Timer> Stream for FrameStream<P, T> {
    type Item = Result<Frame, FrameError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // Whoever has lost access already is not told "still here".
        if matches!(this.state, State::Unopened) && this.subscription.check_gate().is_ok() {
            let opening = this.options.opening(&this.subscription);
            return Poll::Ready(Some(Ok(this.give(opening))));
        }
        match this.poll_delivery(context) {
            Poll::Pending => this.poll_heartbeat(context),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl<P, T: Timer> fmt::Debug for FrameStream<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream")
            .field("subscription", &self.subscription)
            .field("options", &self.options)
            .field("state", &self.state)
            .field("wakes_at", &self.wakes_at)
            .finish_non_exhaustive()
    }
}
