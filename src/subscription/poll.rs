//! Reading as a task: polls, the futures made of them, and yielding to other tasks.
//! It knows no runtime and no timer. How a waiter registers is in `register`.
//!
//! Invariants:
//! - A poll that is pending has stored the caller's waker and registered after that, or it has woken the waker itself.
//! - A poll passes a batch only if it returns its delivery, or if nothing of it is for this reader. So dropping a
//!   future loses nothing.
//!
//! Callers: users; `stream` and `frames`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::budget::{Budget, DELIVERY_BUDGET};
use super::cursor::Located;
use super::delivery::Delivery;
use super::owned::Next;
use super::state::Subscription;
use crate::panics::ignore_panic;
use crate::types::error::RecvError;

/// What a read would find.
enum Readiness {
    Ready,
    Nothing,
    /// Access changes faster than the authorizer can be asked.
    Unsettled,
}

impl<P> Subscription<P> {
    /// Waits for the next delivery as a task, on any runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use event_broker::{Broker, Event, RecvError, Request};
    ///
    /// let broker = Broker::<()>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let reading = tokio::spawn(async move {
    ///     let index = reader.recv_async().await?.index();
    ///     Ok::<_, RecvError>((index, reader.recv_async().await.unwrap_err()))
    /// });
    /// tokio::task::yield_now().await; // it waits
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// broker.close();
    /// assert_eq!(reading.await??, (7, RecvError::Closed));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a delivery is passed only when the future returns it.
    pub fn recv_async(&mut self) -> Recv<'_, P> {
        Recv { subscription: self, waker_stored: false }
    }

    /// Polls for the next delivery. [`recv_async`](Self::recv_async) and `Stream` are made of it.
    ///
    /// When it is pending, the waker of the last call is woken once there may be something to read.
    ///
    /// It yields to other tasks: after 128 deliveries without a pause, and after some thousand events that were
    /// refused, it is pending once and wakes the waker itself.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery<P>, RecvError>> {
        if self.deliveries_left > 0
            && let Some(delivery) = self.next_fast()
        {
            self.deliveries_left -= 1;
            return Poll::Ready(Ok(delivery));
        }
        self.poll_recv_slow(context)
    }

    #[inline(never)]
    fn poll_recv_slow(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery<P>, RecvError>> {
        if self.deliveries_left == 0 && self.ended.is_none() {
            return self.yield_now(context);
        }
        let _rings = self.rings_on_panic();
        let mut budget = Budget::for_poll();
        // A poll that finds something has mostly found it by the fast path, and then the next one finds nothing.
        let mut found = None;
        if !self.is_caught_up() {
            found = Some(self.next_slow(&mut budget)).filter(|found| !matches!(found, Ok(Next::Empty)));
        }
        if found.is_none() {
            self.waiter.set_waker(context.waker());
            found = self.register_and_retry(|reader| reader.next_if_any(&mut budget));
            if found.is_some() {
                self.waiter.clear_signal();
            }
        }
        match found {
            Some(Ok(Next::Delivery(delivery))) => {
                self.deliveries_left = self.deliveries_left.saturating_sub(1);
                Poll::Ready(Ok(delivery))
            }
            Some(Ok(Next::BudgetSpent)) => self.yield_now(context),
            Some(Ok(Next::Empty)) | None => {
                self.deliveries_left = DELIVERY_BUDGET;
                Poll::Pending
            }
            Some(Err(error)) => {
                // A loss after which the reader continues counts like a delivery.
                self.deliveries_left = self.deliveries_left.saturating_sub(1);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Yields to other tasks: wakes the waker at once, and is pending.
    #[cold]
    fn yield_now<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.deliveries_left = DELIVERY_BUDGET;
        ignore_panic(|| context.waker().wake_by_ref());
        Poll::Pending
    }

    /// Waits as a task until there is something to read, an end, or a loss. The next [`drain`](Self::drain) or
    /// [`try_recv`](Self::try_recv) returns which.
    ///
    /// The request's predicate or types may refuse what was found, so the window may be empty.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<u64>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// reader.readable().await;
    /// assert_eq!(reader.drain()?.iter().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: it reads nothing.
    pub fn readable(&mut self) -> Readable<'_, P> {
        Readable { subscription: self, waker_stored: false }
    }

    /// Polls for something to read; see [`readable`](Self::readable).
    ///
    /// It yields to other tasks as [`poll_recv`](Self::poll_recv) does: after it was ready 128 times without a pause,
    /// it is pending once and wakes the waker itself.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.deliveries_left == 0 && self.ended.is_none() {
            return self.yield_now(context);
        }
        let _rings = self.rings_on_panic();
        let mut readiness = self.readiness();
        if let Readiness::Nothing = readiness {
            self.waiter.set_waker(context.waker());
            let found = self.register_and_retry(|reader| match reader.readiness() {
                Readiness::Nothing => None,
                found => Some(found),
            });
            readiness = found.unwrap_or(Readiness::Nothing);
            if !matches!(readiness, Readiness::Nothing) {
                self.waiter.clear_signal();
            }
        }
        match readiness {
            Readiness::Ready => {
                self.deliveries_left = self.deliveries_left.saturating_sub(1);
                Poll::Ready(())
            }
            Readiness::Nothing => {
                self.deliveries_left = DELIVERY_BUDGET;
                Poll::Pending
            }
            Readiness::Unsettled => self.yield_now(context),
        }
    }

    /// Returns whether a read would find a batch, an end or a loss. It passes nothing that might be delivered.
    fn readiness(&mut self) -> Readiness {
        if self.is_caught_up() {
            return Readiness::Nothing;
        }
        let (finished, end) = match self.begin_read(&mut Budget::for_poll()) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return Readiness::Unsettled,
            Err(_) => return Readiness::Ready,
        };
        let nothing = if end.closed { Readiness::Ready } else { Readiness::Nothing };
        if !self.ensure_placed(finished) {
            return nothing;
        }
        match self.cursor.locate(&self.core.log, &self.waiter, end.position, &mut self.directory, &mut None) {
            Located::CaughtUp => {
                self.record_caught_up(finished);
                nothing
            }
            Located::At(_) => {
                // The cursor may have moved beyond batches that were evicted and do not match.
                self.store_cursor();
                Readiness::Ready
            }
            Located::Lost => Readiness::Ready,
        }
    }
}

/// The future of [`Subscription::recv_async`].
///
/// # Cancel safety
///
/// Dropping it loses nothing.
#[must_use = "futures do nothing unless polled"]
pub struct Recv<'s, P> {
    subscription: &'s mut Subscription<P>,
    /// Whether the subscription's waiter holds the waker of this future.
    waker_stored: bool,
}

impl<P> Future for Recv<'_, P> {
    type Output = Result<Delivery<P>, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Set before the poll, which may panic.
        self.waker_stored = true;
        let polled = self.subscription.poll_recv(context);
        self.waker_stored = polled.is_pending();
        polled
    }
}

impl<P> Drop for Recv<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if self.waker_stored {
            self.subscription.waiter.clear_signal();
        }
    }
}

impl<P> fmt::Debug for Recv<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").field("subscription", &self.subscription).finish()
    }
}

/// The future of [`Subscription::readable`].
///
/// # Cancel safety
///
/// Dropping it loses nothing: it reads nothing.
#[must_use = "futures do nothing unless polled"]
pub struct Readable<'s, P> {
    subscription: &'s mut Subscription<P>,
    /// Whether the subscription's waiter holds the waker of this future.
    waker_stored: bool,
}

impl<P> Future for Readable<'_, P> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.waker_stored = true;
        let polled = self.subscription.poll_readable(context);
        self.waker_stored = polled.is_pending();
        polled
    }
}

impl<P> Drop for Readable<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if self.waker_stored {
            self.subscription.waiter.clear_signal();
        }
    }
}

impl<P> fmt::Debug for Readable<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable").field("subscription", &self.subscription).finish()
    }
}
