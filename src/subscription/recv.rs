//! Reading one delivery at a time: without waiting, blocking, or by a doorbell; and how every reader registers.
//! How a task waits is in `poll`, and how a window arms the doorbell in `drain`.
//!
//! Every reader waits in the same order: it leaves its signal, registers its waiter, reads once more, and sleeps.
//!
//! Invariants:
//! - A reader reads after it has registered, and before it sleeps. So either it sees a batch, or the publisher of the
//!   batch sees its registration; `wait` gives the argument.
//! - What a waiter is registered for follows from where its reader stands. A read may place a cursor whose start was
//!   pending. The waiter is not registered in its nodes' lists then, so
//!   [`register_and_retry`](Subscription::register_and_retry) registers and reads again.
//! - Unless a read returns a delivery or an end, it leaves the doorbell armed or ringing.

use std::fmt;
use std::sync::Arc;
use std::thread::panicking;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::budget::Budget;
use super::delivery::Delivery;
use super::owned::Next;
use super::state::{Ended, StartState, Subscription};
use crate::core::Waiter;
use crate::sync::{RECV_SPIN_LIMIT, current, park, park_timeout, spin_loop, yield_now};
use crate::types::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::wait::{Signal, seq_cst_fence};

impl<P> Subscription<P> {
    /// Waits for the next delivery.
    ///
    /// # Errors
    ///
    /// Returns an error if the subscription has ended, or if the reader was overtaken; see [`RecvError`].
    ///
    /// # Panics
    ///
    /// Panics if the request's predicate or the authorizer's check of an event panics. The batch is not passed then.
    pub fn recv(&mut self) -> Result<Delivery<P>, RecvError> {
        match self.recv_until(None) {
            Ok(Some(delivery)) => Ok(delivery),
            Ok(None) => unreachable!("without a deadline the wait ends with a delivery or an error"),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next delivery, for at most `timeout` by the system's clock.
    ///
    /// The timeout is kept however many events are refused meanwhile by types, the authorizer or a predicate. What was
    /// refused is passed, and the next read goes on behind it.
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
    /// As [`recv`](Self::recv), and [`RecvTimeoutError::Timeout`] if nothing came in time.
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Delivery<P>, RecvTimeoutError> {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.recv_deadline(deadline),
            // The deadline is later than the clock can represent.
            None => Ok(self.recv()?),
        }
    }

    /// Waits for the next delivery until a deadline.
    ///
    /// A delivery that is there already is returned even if the deadline has passed, unless something must be refused
    /// first.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`RecvTimeoutError::Timeout`] if nothing came in time.
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Delivery<P>, RecvTimeoutError> {
        self.recv_until(Some(deadline))?.ok_or(RecvTimeoutError::Timeout)
    }

    /// Returns the next delivery, if there is one now.
    ///
    /// [`TryRecvError::Empty`] means that everything published before the call is passed. What is published during the
    /// call is left to the next read, so that the call ends.
    ///
    /// There is one exception: if what access rests on changes each time that the authorizer is asked, the call gives
    /// up after some tries. It has then passed nothing, and leaves a [doorbell](Self::doorbell) ringing.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and [`TryRecvError::Empty`] if there is nothing to read.
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Delivery<P>, TryRecvError> {
        if let Some(batch) = self.next_whole() {
            return Ok(Delivery::whole(batch));
        }
        // Written through a reference. If it were returned directly, the result above would go through memory, too.
        let mut read = Err(TryRecvError::Empty);
        self.try_recv_not_whole(&mut read);
        read
    }

    #[cold]
    #[inline(never)]
    fn try_recv_not_whole(&mut self, read: &mut Result<Delivery<P>, TryRecvError>) {
        *read = match self.next_partial() {
            Some(delivery) => Ok(delivery),
            None => self.try_recv_slow(),
        };
    }

    fn try_recv_slow(&mut self) -> Result<Delivery<P>, TryRecvError> {
        let _rings = self.rings_on_panic();
        let mut budget = Budget::unlimited();
        let mut next = self.next_slow(&mut budget)?;
        if matches!(next, Next::Empty) && self.waiter.has_doorbell() {
            // Registering arms the bell. The repeated read finds what came before that.
            let found = self.register_and_retry(|reader| reader.next_if_any(&mut budget));
            next = found.transpose()?.unwrap_or(Next::Empty);
        }
        match next {
            Next::Delivery(delivery) => Ok(delivery),
            Next::Empty => Err(TryRecvError::Empty),
            Next::BudgetSpent => {
                self.ring();
                Err(TryRecvError::Empty)
            }
        }
    }

    /// Returns what a read finds now, or `None` if it finds nothing.
    pub(super) fn next_if_any(&mut self, budget: &mut Budget) -> Option<Result<Next<P>, RecvError>> {
        match self.try_next(budget) {
            Ok(Next::Empty) => None,
            found => Some(found),
        }
    }

    /// Returns a channel that receives one `()` when there is anything to read and at every end, for
    /// `crossbeam_channel::select!`.
    ///
    /// After each ring, open a window, or call [`try_recv`](Self::try_recv) until it finds nothing more. Either arms
    /// the bell again. A window that leaves anything unread makes the bell ring at once. So one window for each ring is
    /// enough, and the other channels have their turn however fast batches come. A loop that reads until nothing is
    /// left may not return to them.
    ///
    /// A ring may find nothing to read, but a ring is never missed. A read that returns neither a delivery, nor
    /// nothing, nor an end leaves the bell ringing: a loss after which the reader goes on, for example. The first ring
    /// comes at once.
    ///
    /// One [`try_recv`](Self::try_recv) for each ring is not enough: the bell stays silent until it finds nothing. The
    /// passing of time does not ring the bell, see [`Broker::tick`](crate::Broker::tick). A subscription has one bell,
    /// and each call returns a receiver of it. The bell is disconnected once the subscription and all its
    /// [handles](Self::handle) are dropped.
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
    ///     drop(broker); // closes it
    ///     # std::thread::park();
    ///     drop(stop);
    /// });
    /// let mut sum = 0;
    /// loop {
    ///     select! {
    ///         recv(bell) -> _ => match reader.drain() {
    ///             Ok(mut window) => {
    ///                 for delivery in &mut window {
    ///                     sum += delivery.events().map(|event| event.payload()).sum::<u64>();
    ///                 }
    ///             }
    ///             Err(end) if end.is_terminal() => break,
    ///             Err(loss) => eprintln!("{loss}"), // it goes on, and the bell rings again
    ///         },
    ///         recv(stopped) -> _ => break,
    ///     }
    /// }
    /// # publisher.thread().unpark();
    /// # publisher.join().unwrap();
    /// assert_eq!(sum, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn doorbell(&mut self) -> Receiver<()> {
        let bell = self.waiter.doorbell();
        self.register();
        // The first ring stands for everything that came before the bell could ring.
        self.waiter.wake();
        bell
    }

    /// Iterates over deliveries and waits for each.
    ///
    /// The end is the last item, as an error; [`RecvError::Closed`] is not yielded. A loss after which the reader goes
    /// on is an item like any other.
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

    /// Registers the waiter for what the reader waits for, and reads once more.
    ///
    /// The read may find that the pending start has come, and nothing to read there. The waiter is not registered for
    /// its terms then, so it is registered and the read repeated.
    pub(super) fn register_and_retry<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        loop {
            let was_pending = self.start_state == StartState::Pending;
            self.register();
            let found = read(self);
            if found.is_some() || was_pending == (self.start_state == StartState::Pending) {
                return found;
            }
        }
    }

    /// Registers the waiter so that the next hit of anything asked for wakes the reader. The caller must read once more
    /// afterwards, and check that the reader still waits for what it was registered for.
    ///
    /// The fence at the end orders the registration before that read. Its partner is `sync::store_and_fence` in the
    /// publisher.
    pub(super) fn register(&mut self) {
        let nodes = &self.waiter.owner.nodes;
        if self.start_state == StartState::Pending {
            // Its pending start wakes it when the place comes.
        } else if self.waiter.has_hit_queue() {
            self.cursor.register_unvisited(&self.waiter);
        } else if nodes.is_empty() {
            self.core.everyone.register(&self.waiter, 0);
        } else {
            for (list, node) in nodes.iter().enumerate() {
                node.lists.parked.register(&self.waiter, list);
            }
        }
        seq_cst_fence();
    }

    /// Waits for a delivery, an error, or the deadline. Returns `None` at the deadline.
    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Option<Delivery<P>>, RecvError> {
        if let Some(delivery) = self.next_fast() {
            return Ok(Some(delivery));
        }
        let _rings = self.rings_on_panic();
        let deadline_passed = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut budget = Budget::until(deadline);
        // A publisher that publishes without a pause has the next batch ready before this thread could sleep and wake.
        for spin in 0..=RECV_SPIN_LIMIT {
            match self.try_next(&mut budget)? {
                Next::Delivery(delivery) => return Ok(Some(delivery)),
                Next::BudgetSpent => break,
                Next::Empty => {}
            }
            if spin == RECV_SPIN_LIMIT || deadline_passed() {
                break;
            }
            if spin < RECV_SPIN_LIMIT / 2 {
                (0..1 << spin).for_each(|_| spin_loop());
            } else {
                yield_now();
            }
        }
        let waiting = StopWaitingOnDrop(Arc::clone(&self.waiter));
        let mut pause = SHORTEST_PAUSE;
        loop {
            waiting.0.wait(Signal::Thread(current()));
            let mut unsettled_pause = None;
            match self.register_and_retry(|reader| reader.next_if_any(&mut budget)).transpose()? {
                Some(Next::Delivery(delivery)) => return Ok(Some(delivery)),
                Some(Next::BudgetSpent) if deadline_passed() => {
                    // The read has not examined everything, and no further publish need come to make the reader read
                    // again.
                    self.ring();
                    return Ok(None);
                }
                // Access changes faster than the authorizer can be asked.
                Some(Next::BudgetSpent) => {
                    unsettled_pause = Some(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    budget = Budget::until(deadline);
                }
                Some(Next::Empty) | None => {}
            }
            // The expiry is on the broker's clock, and the deadline may be on another one.
            let expires_in =
                self.selector.expiry().map(|expiry| expiry.saturating_duration_since(self.core.hooks.clock.now()));
            let ends_in = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if ends_in == Some(Duration::ZERO) {
                if unsettled_pause.is_some() {
                    self.ring();
                }
                return Ok(None);
            }
            match expires_in.into_iter().chain(ends_in).chain(unsettled_pause).min() {
                Some(longest) => park_timeout(longest),
                None => park(),
            }
        }
    }

    /// Returns a guard that leaves the doorbell ringing if a panic drops it.
    pub(super) fn rings_on_panic(&self) -> Option<RingsOnPanic> {
        self.waiter.has_doorbell().then(|| RingsOnPanic(Arc::clone(&self.waiter)))
    }

    /// Returns what an iterator or stream yields for `error`: an end once, and then `None`.
    pub(crate) fn last_error(&mut self, error: RecvError) -> Option<RecvError> {
        if !error.is_terminal() {
            return Some(error);
        }
        let before = self.ended.replace(Box::new(Ended { error: error.clone(), yielded: true }));
        let yielded = before.is_some_and(|ended| ended.yielded);
        (!yielded && error != RecvError::Closed).then_some(error)
    }
}

/// The first and the longest pause of a thread that finds access unsettled. Every end wakes it before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Removes the signal of a waiting thread when it is dropped, also if a read panics.
struct StopWaitingOnDrop(Waiter);

impl Drop for StopWaitingOnDrop {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

/// Leaves the doorbell ringing if a read panics: the read returned neither a delivery, nor nothing, nor an end.
pub(super) struct RingsOnPanic(Waiter);

impl Drop for RingsOnPanic {
    fn drop(&mut self) {
        if panicking() {
            self.0.wake();
        }
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
