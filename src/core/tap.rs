//! Recorders of the test kit: each receives every batch when it becomes visible, whatever the bounds of the buffer are.
//! Which broker gives them to which tap is decided in `attach`, and what a recorder shows of them in `testing`.
//!
//! Invariant: no foreign code runs under the broker's lock. A tap only adds to a list there, and the last reference of
//! a tap is dropped without the lock.
//!
//! Callers: `publish` under the lock; `broker` and `testing` without it.

use std::mem;
use std::time::{Duration, Instant};

use crate::sync::{SleepCondvar, SleepMutex, wait_until};

/// The batches, as the records of the log, that were published since they were last taken.
pub(crate) struct Tap<R> {
    recorded: SleepMutex<Recorded<R>>,
    more: SleepCondvar,
}

enum Recorded<R> {
    Batches(Vec<R>),
    /// The recorder has gone, and a broker that it was given to before it was built still has the tap.
    Closed,
}

impl<R> Recorded<R> {
    fn batches(&self) -> &[R] {
        match self {
            Self::Batches(batches) => batches,
            Self::Closed => &[],
        }
    }
}

impl<R: Clone> Tap<R> {
    pub(crate) fn new() -> Self {
        Self { recorded: SleepMutex::new(Recorded::Batches(Vec::new())), more: SleepCondvar::new() }
    }

    /// Adds a batch, unless the recorder has gone.
    pub(super) fn push(&self, record: &R) {
        if let Recorded::Batches(batches) = &mut *self.recorded.lock() {
            batches.push(record.clone());
        }
        self.more.notify_all();
    }

    /// Returns the number of batches.
    pub(crate) fn len(&self) -> usize {
        self.recorded.lock().batches().len()
    }

    /// Returns the batches, and leaves them there.
    pub(crate) fn copied(&self) -> Vec<R> {
        self.recorded.lock().batches().to_vec()
    }

    /// Takes the batches.
    pub(crate) fn take(&self) -> Vec<R> {
        match &mut *self.recorded.lock() {
            Recorded::Batches(batches) => mem::take(batches),
            Recorded::Closed => Vec::new(),
        }
    }

    /// Drops the batches, and adds no more.
    pub(crate) fn close(&self) {
        let recorded = mem::replace(&mut *self.recorded.lock(), Recorded::Closed);
        // Without the lock, as this drops payloads.
        drop(recorded);
    }

    /// Waits until this many batches are there, and takes all of them. Gives up after `limit`.
    pub(crate) fn wait_for(&self, batches: usize, limit: Duration) -> Option<Vec<R>> {
        let now = Instant::now();
        // A limit that cannot be represented is none: a year.
        let until = now.checked_add(limit).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600));
        let mut guard =
            wait_until(&self.more, self.recorded.lock(), until, |recorded| recorded.batches().len() >= batches);
        match &mut *guard {
            Recorded::Batches(recorded) if recorded.len() >= batches => Some(mem::take(recorded)),
            _ => None,
        }
    }
}
