//! Reading one delivery at a time as a thread: without waiting, blocking, or until a deadline.
//! How a waiter registers is in `register`, how a task waits in `poll`, and what is read in `owned`.
//!
//! Invariants:
//! - A thread sleeps only after it has stored its signal, registered, and read once more.
//! - The signal is cleared when the read ends, also by a panic.
//!
//! Callers: users, and `frames` for its blocking stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::delivery::Delivery;
use super::owned::Next;
use super::register::ClearSignalOnDrop;
use super::state::Subscription;
use crate::sync::{RECV_SPIN_LIMIT, current, park, park_timeout, spin_loop, yield_now};
use crate::types::error::{RecvError, RecvTimeoutError, TryRecvError};
use crate::wait::Signal;

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
    /// refused is passed, and the next read continues after it.
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
    /// A matching delivery is returned even after the deadline, unless a post-filter must refuse other events first.
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
    /// call is left to the next read, so that the call returns.
    ///
    /// There is one exception: if access keeps changing while the authorizer is asked, the call returns `Empty` after
    /// 16 attempts. It has then passed nothing, and leaves a [doorbell](Self::doorbell) ringing.
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
        // A doorbell must be armed first.
        if !self.waiter.has_doorbell() && self.is_caught_up() {
            return Err(TryRecvError::Empty);
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
        // It is called for the second look of a reader that waits, which mostly finds nothing.
        if self.is_caught_up() {
            return None;
        }
        match self.try_next(budget) {
            Ok(Next::Empty) => None,
            found => Some(found),
        }
    }

    /// Waits for a delivery, an error, or the deadline. Returns `None` at the deadline.
    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Option<Delivery<P>>, RecvError> {
        if let Some(delivery) = self.next_fast() {
            return Ok(Some(delivery));
        }
        let _rings = self.rings_on_panic();
        let deadline_passed = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut budget = Budget::until(deadline);
        // At a high publish rate the next batch arrives before this thread could sleep and wake.
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
        let waiting = ClearSignalOnDrop(Arc::clone(&self.waiter));
        let mut pause = SHORTEST_PAUSE;
        loop {
            waiting.0.set_signal(Signal::Thread(current()));
            let mut unsettled_pause = None;
            match self.register_and_retry(|reader| reader.next_if_any(&mut budget)).transpose()? {
                Some(Next::Delivery(delivery)) => return Ok(Some(delivery)),
                Some(Next::BudgetSpent) if deadline_passed() => {
                    // The read has not examined everything, and must be repeated although nothing more is published.
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
}

/// The first and the longest pause of a thread that finds access unsettled. Every end wakes it earlier.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);
