//! Reading one delivery at a time: at once, blocking, or by a doorbell; and how every reader waits.
//! Waiting as a task is in `poll`.
//!
//! All wait the same way: leave a signal, register, look once more, sleep. What a reader is registered for follows from
//! what it knows of its place. A look may place a reader whose place was still to come, and then it is registered for
//! something that it no longer waits for: [`look_registered`](Subscription::look_registered) registers it anew.

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

    /// Waits for the next delivery, for so long by the system's clock. The timeout is kept however much is refused
    /// meanwhile by types, the authorizer or a predicate: what has been refused is passed, and the next read goes on
    /// behind it.
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

    /// Waits for the next delivery, until then. What is there to read is given even if the deadline has passed, unless
    /// something must be refused first.
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
    /// [`TryRecvError::Empty`] means that everything published before the call has been passed. What is published
    /// while it looks is left to the next read, so that it ends. The one exception: if what access rests on changes each
    /// time that the authorizer is asked, this gives up after some tries, has passed nothing, and leaves a
    /// [doorbell](Self::doorbell) ringing.
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
        let _rings = self.rings_on_panic();
        let mut budget = Budget::unlimited();
        let mut next = self.next_looked_for(&mut budget)?;
        if matches!(next, Next::Empty) && self.waiter.has_doorbell() {
            // Emptied: from now on the bell rings again, and what came before it could is read here.
            let found = self.look_registered(|reader| reader.next_if_any(&mut budget));
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

    /// What a read finds now, if it finds anything.
    pub(super) fn next_if_any(&mut self, budget: &mut Budget) -> Option<Result<Next<P>, RecvError>> {
        match self.next_now(budget) {
            Ok(Next::Empty) => None,
            found => Some(found),
        }
    }

    /// A channel that rings, with one `()`, when there is anything to read and at every end, for
    /// `crossbeam_channel::select!`.
    ///
    /// Read a window, or until [`try_recv`](Self::try_recv) finds nothing more: then the bell is armed again. It rings at
    /// once if anything is left, so a window for each ring is enough, and leaves the other channels their turn however
    /// fast batches come: a loop that reads until nothing is left may not come back to them. A ring may find nothing to
    /// read; a ring is never missed. Whatever a read gives that is neither a delivery, nor nothing, nor an end, such as a
    /// loss after which the reader goes on, leaves the bell ringing. The first ring comes at once.
    ///
    /// One [`try_recv`](Self::try_recv) for each ring is not enough: until it finds nothing, the bell stays silent. Time
    /// rings nothing, see [`Broker::tick`](crate::Broker::tick). There is one bell, which each call returns anew; when the
    /// subscription is dropped it is disconnected.
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
        // Whatever was there before it could ring, the first ring stands for.
        self.waiter.wake();
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

    /// Registers for whatever the reader waits for, and looks once more.
    ///
    /// The look may find that the place has come that the reader waited for, and nothing to read there. Then it must be
    /// registered for its terms, which it was not, and look again.
    pub(super) fn look_registered<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        loop {
            let was_pending = self.start_state == StartState::Pending;
            self.register();
            let found = look(self);
            if found.is_some() || was_pending == (self.start_state == StartState::Pending) {
                return found;
            }
        }
    }

    /// Makes sure that the next hit of anything asked for wakes this reader. The caller looks once more afterwards, and
    /// then holds that what it was registered for is what it waits for.
    pub(super) fn register(&mut self) {
        let nodes = &self.waiter.owner.nodes;
        if self.start_state == StartState::Pending {
            // The place that it waits for wakes it.
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

    /// Waits until there is a delivery, an error, or the deadline has come.
    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Option<Delivery<P>>, RecvError> {
        if let Some(delivery) = self.next_known() {
            return Ok(Some(delivery));
        }
        let _rings = self.rings_on_panic();
        let has_come = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut budget = Budget::until(deadline);
        // A publisher in full flight has the next batch before this thread could be put to sleep and woken.
        for spin in 0..=RECV_SPIN_LIMIT {
            match self.next_now(&mut budget)? {
                Next::Delivery(delivery) => return Ok(Some(delivery)),
                Next::BudgetSpent => break,
                Next::Empty => {}
            }
            if spin == RECV_SPIN_LIMIT || has_come() {
                break;
            }
            if spin < RECV_SPIN_LIMIT / 2 {
                (0..1 << spin).for_each(|_| spin_loop());
            } else {
                yield_now();
            }
        }
        let waits = StopsWaiting(Arc::clone(&self.waiter));
        let mut pause = SHORTEST_PAUSE;
        loop {
            waits.0.wait(Signal::Thread(current()));
            let mut settles = None;
            match self.look_registered(|reader| reader.next_if_any(&mut budget)).transpose()? {
                Some(Next::Delivery(delivery)) => return Ok(Some(delivery)),
                Some(Next::BudgetSpent) if has_come() => {
                    // It has not looked at everything, and nothing that is published need come to have it look again.
                    self.ring();
                    return Ok(None);
                }
                // Access changes faster than it can be asked for.
                Some(Next::BudgetSpent) => {
                    settles = Some(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    budget = Budget::until(deadline);
                }
                Some(Next::Empty) | None => {}
            }
            // On the broker's clock, which need not be the one that the deadline is on.
            let expires_in =
                self.selector.expiry().map(|expiry| expiry.saturating_duration_since(self.core.hooks.clock.now()));
            let ends_in = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if ends_in == Some(Duration::ZERO) {
                if settles.is_some() {
                    self.ring();
                }
                return Ok(None);
            }
            match expires_in.into_iter().chain(ends_in).chain(settles).min() {
                Some(longest) => park_timeout(longest),
                None => park(),
            }
        }
    }

    /// Leaves the doorbell ringing if what follows panics, as long as this is held.
    pub(super) fn rings_on_panic(&self) -> Option<RingsOnPanic> {
        self.waiter.has_doorbell().then(|| RingsOnPanic(Arc::clone(&self.waiter)))
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

/// How long a thread pauses that finds access unsettled, at first and at most. It wakes up for every end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Takes back the word that a thread has left, also if a read panics.
struct StopsWaiting(Waiter);

impl Drop for StopsWaiting {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

/// Leaves the doorbell ringing if a read panics: it was neither a delivery, nor nothing, nor an end.
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
