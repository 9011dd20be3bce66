//! Reading one delivery at a time: at once, blocking, as a task, or by a doorbell.
//! All wait the same way: leave a signal, enrol, look once more, sleep.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::reader::Located;
use super::{Ended, Stand, Subscription};
use crate::delivery::Delivery;
use crate::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::sync::{PATIENCE, current, park, park_timeout, spin_loop, yield_now};
use crate::wait::{Signal, look_again};

impl<P> Subscription<P> {
    /// Waits for the next delivery.
    ///
    /// # Errors
    ///
    /// If the subscription has ended, or if the reader was overtaken; see [`RecvError`].
    ///
    /// # Panics
    ///
    /// If the request's predicate, or the authorizer's judgement of an event, panics. Nothing is passed by it.
    pub fn recv(&mut self) -> Result<Delivery<P>, RecvError> {
        match self.recv_until(None) {
            Ok(Some(delivery)) => Ok(delivery),
            Ok(None) => unreachable!("without a deadline the wait ends with a delivery or an error"),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next delivery, for so long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use event_broker::{Broker, RecvTimeoutError, Request};
    ///
    /// let broker = Broker::<()>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// assert_eq!(reader.recv_timeout(Duration::from_millis(1)).unwrap_err(), RecvTimeoutError::Timeout);
    /// # Ok::<(), event_broker::SubscribeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and if nothing came in time.
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Delivery<P>, RecvTimeoutError> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.recv_deadline(deadline),
            // Longer than the clock can say.
            None => Ok(self.recv()?),
        }
    }

    /// Waits for the next delivery, until then. What is there to read is given even if the deadline has passed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and if nothing came in time.
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Delivery<P>, RecvTimeoutError> {
        self.recv_until(Some(deadline))?.ok_or(RecvTimeoutError::Timeout)
    }

    /// The next delivery, if there is one now.
    ///
    /// [`TryRecvError::Empty`] means that everything published before the call has been passed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and if there is nothing to read.
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Delivery<P>, TryRecvError> {
        if let Some(batch) = self.next_whole() {
            return Ok(Delivery::whole(batch));
        }
        // Not returned as it is: then what is returned above would go through memory, too.
        let mut read = Err(TryRecvError::Empty);
        self.try_recv_otherwise(&mut read);
        read
    }

    #[cold]
    #[inline(never)]
    fn try_recv_otherwise(&mut self, read: &mut Result<Delivery<P>, TryRecvError>) {
        *read = match self.next_part() {
            Some(delivery) => Ok(delivery),
            None => self.try_recv_looked_for(),
        };
    }

    fn try_recv_looked_for(&mut self) -> Result<Delivery<P>, TryRecvError> {
        if let Some(delivery) = self.next_looked_for()? {
            return Ok(delivery);
        }
        if self.station.has_doorbell() {
            // Emptied: from now on the bell rings again, and what came before it could is read here.
            self.enrol();
            if let Some(delivery) = self.next_now()? {
                return Ok(delivery);
            }
        }
        Err(TryRecvError::Empty)
    }

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
    /// When it is pending, the waker of the last call is woken once there may be something to read.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery<P>, RecvError>> {
        match self.next_known() {
            Some(delivery) => Poll::Ready(Ok(delivery)),
            None => self.poll_looked_for(context),
        }
    }

    #[inline(never)]
    fn poll_looked_for(&mut self, context: &mut Context<'_>) -> Poll<Result<Delivery<P>, RecvError>> {
        if let Some(result) = self.next_looked_for().transpose() {
            return Poll::Ready(result);
        }
        self.station.wait_task(context.waker());
        self.enrol();
        match self.next_now().transpose() {
            Some(result) => {
                self.station.stop_waiting();
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
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
    pub async fn readable(&mut self) {
        std::future::poll_fn(|context| self.poll_readable(context)).await;
    }

    /// Polls for something to read; see [`readable`](Self::readable).
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.has_news() {
            return Poll::Ready(());
        }
        self.station.wait_task(context.waker());
        self.enrol();
        if self.has_news() {
            self.station.stop_waiting();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// A channel that rings, with one `()`, when there is anything to read and at every end, for
    /// `crossbeam_channel::select!`.
    ///
    /// Read until [`try_recv`](Self::try_recv) or [`drain`](Self::drain) finds nothing more: that re-arms the bell. A
    /// ring may find nothing to read; a ring is never missed. The first comes at once.
    ///
    /// ```
    /// use crossbeam_channel::{bounded, select};
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<u64>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let bell = reader.doorbell();
    /// let (stop, stopped) = bounded::<()>(0);
    /// let publisher = std::thread::spawn(move || {
    ///     broker.publish(1, [Event::new("Job", "JobRegistered", "web", 7)]).unwrap();
    ///     drop(stop);
    /// });
    /// let mut sum = 0;
    /// loop {
    ///     select! {
    ///         recv(bell) -> _ => {}
    ///         recv(stopped) -> _ => break,
    ///     }
    ///     while let Ok(delivery) = reader.try_recv() {
    ///         sum += delivery.events().map(|event| event.payload()).sum::<u64>();
    ///     }
    /// }
    /// # while let Ok(delivery) = reader.try_recv() { sum += delivery.events().map(|event| event.payload()).sum::<u64>(); }
    /// # publisher.join().unwrap();
    /// assert_eq!(sum, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn doorbell(&mut self) -> Receiver<()> {
        let bell = self.station.doorbell();
        self.enrol();
        // Whatever was there before it could ring, the first ring stands for.
        self.station.wake();
        bell
    }

    /// Iterates over deliveries, waiting for each. The end is the last item, as an error; for
    /// [`RecvError::Closed`] there is none. A loss that is no end is an item like any other.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<()>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// for index in [10, 20] {
    ///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// }
    /// broker.close();
    /// let indexes: Vec<_> = reader.iter().map(|item| item.map(|delivery| delivery.index())).collect::<Result<_, _>>()?;
    /// assert_eq!(indexes, [10, 20]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&mut self) -> Iter<'_, P> {
        Iter { subscription: self }
    }

    /// Whether a read would find a batch, an end or a loss. Nothing is passed that might be delivered.
    pub(super) fn has_news(&mut self) -> bool {
        let Ok((latest, end)) = self.look() else { return true };
        if !self.has_begun(latest) {
            return end.closed;
        }
        match self.reader.locate(&self.core.log, &self.station, end.position, &mut None) {
            Located::Dry => {
                self.pass_all(latest);
                end.closed
            }
            Located::At(_) => {
                // It may have skipped what was evicted and not asked for.
                self.station.owner.meters.set_cursor(self.reader.cursor());
                true
            }
            Located::Lost(_) => true,
        }
    }

    /// Makes sure that the next hit of anything asked for wakes this reader. The caller looks once more afterwards.
    pub(super) fn enrol(&mut self) {
        let nodes = &self.station.owner.nodes;
        if self.stand == Stand::Pending {
            // The place that it waits for wakes it.
        } else if self.station.is_named() {
            self.reader.enrol_carried(&self.station);
        } else if nodes.is_empty() {
            self.core.everyone.enrol(&self.station, 0);
        } else {
            for (list, node) in nodes.iter().enumerate() {
                node.lists.parked.enrol(&self.station, list);
            }
        }
        look_again();
    }

    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Option<Delivery<P>>, RecvError> {
        if let Some(delivery) = self.next_now()? {
            return Ok(Some(delivery));
        }
        // A publisher in full flight has the next batch before this thread could be put to sleep and woken.
        for patience in 0..PATIENCE {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            if patience < PATIENCE / 2 {
                (0..1 << patience).for_each(|_| spin_loop());
            } else {
                yield_now();
            }
            if let Some(delivery) = self.next_now()? {
                return Ok(Some(delivery));
            }
        }
        let result = loop {
            self.station.wait(Signal::Thread(current()));
            self.enrol();
            if let Some(result) = self.next_now().transpose() {
                break result.map(Some);
            }
            // On the broker's clock, which need not be the one that the deadline is on.
            let expires_in =
                self.sieve.expiry().map(|expiry| expiry.saturating_duration_since(self.core.hooks.clock.now()));
            let ends_in = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if ends_in == Some(Duration::ZERO) {
                break Ok(None);
            }
            match expires_in.into_iter().chain(ends_in).min() {
                Some(longest) => park_timeout(longest),
                None => park(),
            }
        };
        self.station.stop_waiting();
        result
    }

    /// What an iterator or stream yields for `error`: an end once, and then none.
    pub(crate) fn last_error(&mut self, error: RecvError) -> Option<RecvError> {
        if !error.is_terminal() {
            return Some(error);
        }
        let before = self.ended.replace(Box::new(Ended { error: error.clone(), over: true }));
        let over = before.is_some_and(|ended| ended.over);
        (!over && error != RecvError::Closed).then_some(error)
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
        let polled = self.subscription.poll_recv(context);
        if polled.is_pending() {
            self.waits = true;
        }
        polled
    }
}

impl<P> Drop for Recv<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.subscription.station.stop_waiting();
        }
    }
}

impl<P> fmt::Debug for Recv<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").field("subscription", &self.subscription).finish()
    }
}

/// The iterator of [`Subscription::iter`].
pub struct Iter<'s, P> {
    subscription: &'s mut Subscription<P>,
}

impl<P> Iterator for Iter<'_, P> {
    type Item = Result<Delivery<P>, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.subscription.recv() {
            Ok(delivery) => Some(Ok(delivery)),
            Err(error) => self.subscription.last_error(error).map(Err),
        }
    }
}

impl<P> fmt::Debug for Iter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("subscription", &self.subscription).finish()
    }
}

#[expect(clippy::into_iter_without_iter, reason = "`iter` is what callers look for; items are not mutable")]
impl<'s, P> IntoIterator for &'s mut Subscription<P> {
    type Item = Result<Delivery<P>, RecvError>;
    type IntoIter = Iter<'s, P>;

    fn into_iter(self) -> Iter<'s, P> {
        self.iter()
    }
}
