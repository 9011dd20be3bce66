//! The waiters that a publish has to wake, collected under the broker's lock and woken after it.
//! Whether they are woken on this thread or by a dispatcher is decided in `dispatch`.
//!
//! Invariants:
//! - A registration, or the flag of a queued waiter, is cleared before the waiter is locked to take its signal.
//! - Waking runs foreign code, so no lock is held.
//!
//! Callers: `core` collects under the broker's lock; `dispatch` wakes without it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::list::{Entries, Entry, WaitList};
use super::waiter::Waiter;
use crate::steps::{Step, count};

/// The waiters that are to be woken: whole lists that were hit, and single waiters.
pub(crate) struct WakeBatch<X> {
    lists: SmallVec<[Entries<X>; 1]>,
    waiters: Vec<Arc<Waiter<X>>>,
}

impl<X> Default for WakeBatch<X> {
    fn default() -> Self {
        Self { lists: SmallVec::new(), waiters: Vec::new() }
    }
}

impl<X> WakeBatch<X> {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty() && self.lists.is_empty()
    }

    /// Returns how many waiters there are to wake.
    pub(crate) fn len(&self) -> u64 {
        (self.waiters.len() + self.lists.iter().map(Entries::len).sum::<usize>()) as u64
    }

    /// Takes all waiters of a list, in O(1) for each of its parts. Their registrations are cleared when they are woken.
    pub(crate) fn take<const PARTS: u8>(&mut self, list: &WaitList<X, PARTS>) {
        count(Step::Wake, 1);
        // All that were registered may have left.
        self.lists.extend(list.take_all().filter(|entries| entries.len() > 0));
    }

    /// Takes all waiters of a list, and puts its number into the hit queue of each, so that the next read visits that
    /// node. In O(waiters).
    pub(crate) fn queue_hits<const PARTS: u8>(&mut self, list: &WaitList<X, PARTS>) {
        for entry in list.take_all().flatten() {
            count(Step::Wake, 1);
            if let Some(registration) = entry.registration() {
                registration.clear();
            }
            let Entry { waiter, list } = entry;
            if let Some(hit_queue) = &waiter.hit_queue {
                hit_queue.lock().push_back(list);
            }
            self.push(&waiter);
        }
    }

    /// Adds a single waiter, unless it is queued already. What it is woken for must be visible already.
    pub(crate) fn push(&mut self, waiter: &Arc<Waiter<X>>) {
        if waiter.queued.set() {
            self.waiters.push(Arc::clone(waiter));
        }
    }

    /// Wakes all waiters. Never call it under a lock.
    pub(crate) fn wake(self) {
        for waiter in self.waiters {
            // Cleared before the signal is taken, as for a registration.
            waiter.queued.clear();
            waiter.wake();
        }
        for entry in self.lists.into_iter().flatten() {
            // Cleared before `wake` locks the waiter: see the second step at the top of [`wait`](super).
            if let Some(registration) = entry.registration() {
                registration.clear();
            }
            entry.waiter.wake();
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::super::waiter::Registration;
    use super::*;

    #[test]
    fn all_of_a_long_list_are_taken_at_once() {
        let list = WaitList::<_>::default();
        let waiters: Vec<_> =
            (0..1_000).map(|number| Arc::new(Waiter::new(Registration::for_lists(1), false, number))).collect();
        for waiter in &waiters {
            list.register(waiter, 0);
        }
        let mut wake_batch = WakeBatch::default();
        wake_batch.take(&list);
        assert_eq!((wake_batch.len(), list.is_occupied()), (waiters.len() as u64, false));
        assert!(wake_batch.lists.into_iter().flatten().map(|entry| entry.waiter.shared).eq(0..waiters.len()));
    }
}
