//! Yields frames to a task: a stream that sleeps by the host's timer, and times heartbeats by the broker's clock.
//! Which runtime polls it, and by which timer it sleeps, is decided by the host.
//!
//! Invariants:
//! - A heartbeat is due by the broker's clock alone. The timer only wakes the task.
//! - A poll that returns `Pending` has registered its waker with the subscription or has woken the task itself. If a
//!   sleep is pending, its end wakes the task as well.
//!
//! Callers: hosts.

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
    /// Turns the subscription into frames that a task reads, on any runtime.
    ///
    /// The timer is that of the runtime. It wakes the task for heartbeats, which come as in
    /// [`into_frames`](Self::into_frames), and for the expiry of the grant, so that the stream ends in time. Payloads
    /// are encoded as there, NaN and infinite numbers as `null`.
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
/// The interval is that of the [options](FrameOptions::heartbeat). It counts from the last frame that was returned, by
/// the broker's [`Clock`](crate::Clock). No heartbeat comes earlier, and heartbeats do not accumulate while the stream
/// is not polled. The [timer](Timer) only wakes the task. It does so at the expiry of the grant, too, so that an idle
/// stream ends in time. Errors and the end are those of [`Frames`](crate::Frames).
///
/// The stream is `Unpin`, whatever the timer is. It allocates once, for the future of the timer.
///
/// # Cancel safety
///
/// A frame counts as consumed only when it is returned. Dropping a future of the next item loses nothing.
///
/// # Panics
///
/// Panics where [`Frames`](crate::Frames) does, and if the timer or its future does.
pub struct FrameStream<P, T: Timer> {
    subscription: Subscription<P>,
    options: FrameOptions,
    state: State,
    timer: T,
    /// The box is kept from one sleep to the next, so that only the first sleep allocates.
    sleep: Option<Pin<Box<T::Sleep>>>,
    /// When the sleep ends, by the broker's clock. `None` if it has ended, or if there is none.
    wakes_at: Option<Instant>,
}

/// The timer is never pinned, and its future is in a box.
impl<P, T: Timer> Unpin for FrameStream<P, T> {}

#[derive(Clone, Copy, Debug)]
enum State {
    Unopened,
    /// The time of the last frame, by the broker's clock.
    LastFrameAt(Instant),
}

/// The maximum number of sleeps that one poll begins, for a timer that is always ready. A sleep that ends a little
/// early, as with a timer of coarse ticks, takes two.
const MAX_SLEEPS_PER_POLL: usize = 4;

impl<P, T: Timer> FrameStream<P, T> {
    /// Returns the subscription: its place, its statistics, its handle.
    pub fn subscription(&self) -> &Subscription<P> {
        &self.subscription
    }

    /// Returns the options.
    pub fn options(&self) -> FrameOptions {
        self.options
    }

    /// Returns the subscription, at the place that the frames have reached.
    pub fn into_subscription(self) -> Subscription<P> {
        self.subscription
    }

    /// Records the time of a frame, and returns the frame.
    fn emit(&mut self, frame: Frame) -> Frame {
        self.state = State::LastFrameAt(self.subscription.now());
        frame
    }

    /// Returns when the next heartbeat is due, by the broker's clock. Returns `None` if the clock cannot represent that
    /// time, or if the stream is not open yet.
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Unopened => None,
            State::LastFrameAt(last) => last.checked_add(self.options.heartbeat_interval()),
        }
    }

    /// Begins a sleep until this instant, unless a sleep that ends no later is pending.
    fn sleep_until(&mut self, until: Instant, now: Instant) {
        // Every frame postpones the next heartbeat. A new sleep for each would cost more than waking once too early. A
        // pending sleep that should have ended already does not count: the clock has then advanced faster than the
        // timer.
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

    /// Returns whether the pending sleep has ended. If it has not, its end wakes the task. If there is no sleep,
    /// returns `false`.
    fn poll_sleep(&mut self, context: &mut Context<'_>) -> bool {
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
                Some(framed.map(|frame| self.emit(frame)).map_err(FrameError::from))
            }
            Err(error) => self.subscription.yield_error(error).map(|error| Err(error.into())),
        })
    }

    /// Returns the heartbeat if it is due. If not, the task is woken when it will be, or when the grant expires. Called
    /// after a read that found nothing or yielded to other tasks.
    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, FrameError>>> {
        for _ in 0..MAX_SLEEPS_PER_POLL {
            let now = self.subscription.now();
            let (due, expiry) = (self.due(), self.subscription.expiry());
            if expiry.is_some_and(|expiry| expiry <= now) {
                return self.poll_delivery(context);
            }
            if due.is_some_and(|due| due <= now) {
                let heartbeat = self.options.heartbeat_frame(&self.subscription);
                return Poll::Ready(Some(Ok(self.emit(heartbeat))));
            }
            let Some(until) = due.into_iter().chain(expiry).min() else { return Poll::Pending };
            self.sleep_until(until, now);
            if !self.poll_sleep(context) {
                return Poll::Pending;
            }
        }
        // The timer is ready again and again, and the clock has not advanced. Yields to other tasks.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<P: Serialize, T: Timer> Stream for FrameStream<P, T> {
    type Item = Result<Frame, FrameError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // A reader whose access is revoked already gets no opening heartbeat.
        if matches!(this.state, State::Unopened) && this.subscription.check_gate().is_ok() {
            let opening = this.options.opening(&this.subscription);
            return Poll::Ready(Some(Ok(this.emit(opening))));
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
