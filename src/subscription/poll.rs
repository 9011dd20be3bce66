//! Reading as a task: polls, the futures made of them, and giving way to other tasks.
//! No runtime is known here, and no timer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::budget::{Budget, DELIVERIES};
use super::cursor::Located;
use super::delivery::Delivery;
use super::owned::Next;
use super::state::Subscription;
use crate::panics::ignore_panic;
use crate::types::error::RecvError;

/// Whether there is something to read.
enum Readiness {
    Ready,
    Nothing,
    /// Access changes faster than it can be asked for.
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
    /// Dropping the future loses nothing: a delivery is passed only when the future gives it.
    pub fn recv_async(&mut self) -> Recv<'_, P> {
        Recv { subscription: self, waits: false }
    }

    /// Polls for the next delivery; what [`recv_async`](Self::recv_async) and `Stream` are made of.
    ///
    /// When it is pending, the waker of the last call is woken once there may be something to read. So that other tasks
    /// have their turn, it is pending once, and wakes the waker itself, after 128 deliveries without a pause, and after
    /// some thousand events that were refused.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery<P>, RecvError>> {
        if self.deliveries_left > 0
            && let Some(delivery) = self.next_known()
        {
            self.deliveries_left -= 1;
            return Poll::Ready(Ok(delivery));
        }
        self.poll_looked_for(context)
    }

    #[inline(never)]
    fn poll_looked_for(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery<P>, RecvError>> {
        if self.deliveries_left == 0 && self.ended.is_none() {
            return self.give_way(context);
        }
        let _rings = self.rings_on_panic();
        let mut budget = Budget::for_poll();
        let mut found = match self.next_looked_for(&mut budget) {
            Ok(Next::Empty) => None,
            found => Some(found),
        };
        if found.is_none() {
            self.waiter.wait_task(context.waker());
            found = self.look_registered(|reader| reader.next_if_any(&mut budget));
            if found.is_some() {
                self.waiter.stop_waiting();
            }
        }
        match found {
            Some(Ok(Next::Delivery(delivery))) => {
                self.deliveries_left = self.deliveries_left.saturating_sub(1);
                Poll::Ready(Ok(delivery))
            }
            Some(Ok(Next::BudgetSpent)) => self.give_way(context),
            Some(Ok(Next::Empty)) | None => {
                self.deliveries_left = DELIVERIES;
                Poll::Pending
            }
            Some(Err(error)) => {
                // A loss after which the reader goes on is one of many things that it is given.
                self.deliveries_left = self.deliveries_left.saturating_sub(1);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Lets other tasks have their turn: pending, and woken at once.
    #[cold]
    fn give_way<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.deliveries_left = DELIVERIES;
        ignore_panic(|| context.waker().wake_by_ref());
        Poll::Pending
    }

    /// Waits as a task until there is something to read, or an end or a loss to be told; the next
    /// [`drain`](Self::drain) or [`try_recv`](Self::try_recv) says which.
    ///
    /// What is there may yet be refused by the request's predicate or types, so the window may turn out empty.
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
    /// Nothing is read, so nothing is lost.
    pub fn readable(&mut self) -> Readable<'_, P> {
        Readable { subscription: self, waits: false }
    }

    /// Polls for something to read; see [`readable`](Self::readable). As [`poll_recv`](Self::poll_recv) it gives way: after
    /// it was ready 128 times without a pause, it is pending once and wakes the waker itself.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.deliveries_left == 0 && self.ended.is_none() {
            return self.give_way(context);
        }
        let mut readiness = self.readiness();
        if let Readiness::Nothing = readiness {
            self.waiter.wait_task(context.waker());
            let found = self.look_registered(|reader| match reader.readiness() {
                Readiness::Nothing => None,
                found => Some(found),
            });
            readiness = found.unwrap_or(Readiness::Nothing);
            if !matches!(readiness, Readiness::Nothing) {
                self.waiter.stop_waiting();
            }
        }
        match readiness {
            Readiness::Ready => {
                self.deliveries_left = self.deliveries_left.saturating_sub(1);
                Poll::Ready(())
            }
            Readiness::Nothing => {
                self.deliveries_left = DELIVERIES;
                Poll::Pending
            }
            Readiness::Unsettled => self.give_way(context),
        }
    }

    /// Whether a read would find a batch, an end or a loss. Nothing is passed that might be delivered.
    fn readiness(&mut self) -> Readiness {
        let (finished, end) = match self.look(&mut Budget::for_poll()) {
            Ok(Some(now)) => now,
            Ok(None) => return Readiness::Unsettled,
            Err(_) => return Readiness::Ready,
        };
        let nothing = if end.closed { Readiness::Ready } else { Readiness::Nothing };
        if !self.has_begun(finished) {
            return nothing;
        }
        match self.cursor.locate(&self.core.log, &self.waiter, end.position, &mut None) {
            Located::CaughtUp => {
                self.pass_all(finished);
                nothing
            }
            Located::At(_) => {
                // It may have skipped what was evicted and not asked for.
                self.note_cursor();
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
    /// Whether it has left word how to wake it.
    waits: bool,
}

impl<P> Future for Recv<'_, P> {
    type Output = Result<Delivery<P>, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Also if it panics.
        self.waits = true;
        let polled = self.subscription.poll_recv(context);
        self.waits = polled.is_pending();
        polled
    }
}

impl<P> Drop for Recv<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.subscription.waiter.stop_waiting();
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
/// Nothing is read, so dropping it loses nothing.
#[must_use = "futures do nothing unless polled"]
pub struct Readable<'s, P> {
    subscription: &'s mut Subscription<P>,
    /// Whether it has left word how to wake it.
    waits: bool,
}

impl<P> Future for Readable<'_, P> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.waits = true;
        let polled = self.subscription.poll_readable(context);
        self.waits = polled.is_pending();
        polled
    }
}

impl<P> Drop for Readable<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.subscription.waiter.stop_waiting();
        }
    }
}

impl<P> fmt::Debug for Readable<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable").field("subscription", &self.subscription).finish()
    }
}
