//! Recorders of the test kit: each receives every batch when it becomes visible, whatever the bounds of the buffer are.
//! Which broker gives them to which tap is decided in `attach`, and what a recorder shows of them in `testing`.
//!
//! Invariant: no foreign code runs under the broker's lock. A tap only adds to a list there, and the last reference of
//! a tap is dropped without the lock.
//!
//! Callers: `publish` under the lock; `broker` and `testing` without it.

use std::time::{Duration, Instant};

use crate::sync::{Condvar, SleepGuard, SleepMutex, wait_until};

/// The batches, as the records of the log, that were published since they were last taken.
pub(crate) struct Tap<R> {
    batches: SleepMutex<Vec<R>>,
    more: Condvar,
}

impl<R: Clone> Tap<R> {
    pub(crate) fn new() -> Self {
        Self { batches: SleepMutex::new(Vec::new()), more: Condvar::new() }
    }

    /// Adds a batch.
    pub(super) fn push(&self, record: &R) {
        self.batches.lock().push(record.clone());
        self.more.notify_all();
    }

    /// Returns the batches.
    pub(crate) fn batches(&self) -> SleepGuard<'_, Vec<R>> {
        self.batches.lock()
    }

    /// Waits until this many batches are there, and returns whether they are. Gives up after `limit`.
    pub(crate) fn wait_for(&self, batches: usize, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let guard = wait_until(&self.more, self.batches.lock(), until, |recorded| recorded.len() >= batches);
        guard.len() >= batches
    }
}
