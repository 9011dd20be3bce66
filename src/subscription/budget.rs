//! How long one read may go on: what it has examined in vain, and how often access was asked for.
//! What is read, and how a reader waits, is not known here.
//!
//! A read looks at what was published before it began, which may be much, and all of it may be refused. So each kind
//! of read has a limit of its own:
//! - a read that does not wait goes on to the end, and so does one that waits without a deadline;
//! - a read with a deadline keeps it;
//! - a task gives way to others after some thousand events, and after so many deliveries.
//!
//! All of them ask for access a bounded number of times.

use std::time::Instant;

use crate::core::{Again, MOST_QUESTIONS};

/// A task that is given so many deliveries without a pause gives way once: as many as tokio lets a task do before it
/// makes it yield.
pub(super) const DELIVERIES: u8 = 128;

/// So many events are examined in vain in one poll of a task, some 10 to 100 µs of work if a predicate is cheap.
const EVENTS: u32 = 1024;

/// So many events that no foreign code judges are examined between two looks at the clock: some 300 ns.
const UNFILTERED: u32 = 64;

#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    Deadline(Instant),
    Task,
}

/// One read, or one poll.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Limit,
    examined: u32,
    questions: u32,
}

impl Budget {
    const fn new(limit: Limit) -> Self {
        Self { limit, examined: 0, questions: 0 }
    }

    /// Of a read that waits, until then if it has a deadline.
    pub(super) const fn until(deadline: Option<Instant>) -> Self {
        Self::new(match deadline {
            None => Limit::None,
            Some(deadline) => Limit::Deadline(deadline),
        })
    }

    /// Of a read that does not wait.
    pub(super) const fn unlimited() -> Self {
        Self::new(Limit::None)
    }

    /// Of one poll.
    pub(super) const fn for_poll() -> Self {
        Self::new(Limit::Task)
    }

    /// Notes that these events were examined and none is delivered; `runs_hooks` if foreign code was asked about them.
    /// Whether the turn is over.
    pub(super) fn spend(&mut self, events: usize, runs_hooks: bool) -> bool {
        self.examined = self.examined.saturating_add(u32::try_from(events).unwrap_or(u32::MAX).max(1));
        match self.limit {
            Limit::Task => self.examined >= EVENTS,
            Limit::Deadline(deadline) if runs_hooks || self.examined >= UNFILTERED => {
                self.examined = 0;
                Instant::now() >= deadline
            }
            Limit::Deadline(_) | Limit::None => false,
        }
    }

    /// Whether access is asked for again, after an answer that had become stale.
    pub(super) fn may_ask_again(&mut self) -> Again {
        self.questions += 1;
        let has_come = matches!(self.limit, Limit::Deadline(deadline) if Instant::now() >= deadline);
        let over = has_come || self.questions >= MOST_QUESTIONS;
        if over { Again::GiveUp } else { Again::Ask }
    }
}
