//! The budget of one read: how many events it may examine without a delivery, and how often it may ask the authorizer.
//! What is read and how a reader waits are decided elsewhere.
//!
//! A read examines what was published before it began. That may be much, and post-filters may refuse all of it. So each
//! kind of read has its own limit:
//! - A read that does not wait, and a blocking read without a deadline, continue to the end of the log.
//! - A blocking read with a deadline stops at the deadline.
//! - A poll of a task stops after [`EVENT_BUDGET`] events. A task also yields after [`DELIVERY_BUDGET`] deliveries.
//!
//! Invariant: within one budget, the authorizer is asked at most [`MAX_ATTEMPTS`] times. A blocking read that finds
//! access unsettled pauses, and continues with a new budget.
//!
//! Callers: each read and each poll makes its own budget. `poll` counts deliveries across polls, in the subscription.

use std::time::Instant;

use crate::core::{MAX_ATTEMPTS, OnStale};

/// Number of deliveries that a task receives without a pause before it yields once. It is the number of operations that
/// tokio allows a task before it makes the task yield.
pub(super) const DELIVERY_BUDGET: u8 = 128;

/// Number of events that one poll of a task may examine without a delivery: some 10 to 100 µs of work if a predicate is
/// cheap.
const EVENT_BUDGET: u32 = 1024;

/// Number of events that a read with a deadline examines between two reads of the clock, if no foreign code runs on
/// them: some 300 ns of work.
const EVENTS_PER_CLOCK_READ: u32 = 64;

#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    Deadline(Instant),
    Task,
}

/// The budget of one read or one poll.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Limit,
    examined: u32,
    attempts: u32,
}

impl Budget {
    const fn new(limit: Limit) -> Self {
        Self { limit, examined: 0, attempts: 0 }
    }

    /// Returns the budget of a read that waits: until the deadline, if it has one.
    pub(super) const fn until(deadline: Option<Instant>) -> Self {
        Self::new(match deadline {
            None => Limit::None,
            Some(deadline) => Limit::Deadline(deadline),
        })
    }

    /// Returns the budget of a read that does not wait.
    pub(super) const fn unlimited() -> Self {
        Self::new(Limit::None)
    }

    /// Returns the budget of one poll of a task.
    pub(super) const fn for_poll() -> Self {
        Self::new(Limit::Task)
    }

    /// Charges events that were examined and are not delivered. `runs_hooks` says whether foreign code ran on them.
    /// Returns whether the budget is spent.
    pub(super) fn spend(&mut self, events: usize, runs_hooks: bool) -> bool {
        self.examined = self.examined.saturating_add(u32::try_from(events).unwrap_or(u32::MAX).max(1));
        match self.limit {
            Limit::Task => self.examined >= EVENT_BUDGET,
            Limit::Deadline(deadline) if runs_hooks || self.examined >= EVENTS_PER_CLOCK_READ => {
                self.examined = 0;
                Instant::now() >= deadline
            }
            Limit::Deadline(_) | Limit::None => false,
        }
    }

    /// Returns whether the read asks the authorizer again, after a decision that had become stale.
    pub(super) fn on_stale_decision(&mut self) -> OnStale {
        self.attempts += 1;
        let deadline_passed = matches!(self.limit, Limit::Deadline(deadline) if Instant::now() >= deadline);
        let give_up = deadline_passed || self.attempts >= MAX_ATTEMPTS;
        if give_up { OnStale::GiveUp } else { OnStale::Retry }
    }
}
