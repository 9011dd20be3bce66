//! Wait lists: the waiters of one thing, and the fence between registering and reading again.
//! How a waiter is woken is decided in `waiter`, and when in `wake`.
//!
//! Invariants:
//! - Under the lock of the list, each entry is in the slot that its registration names.
//! - While there is an entry, the flag is set. A publisher locks no list whose flag is clear.
//! - No operation moves more than one chunk of entries.
//!
//! Callers: `subscription` registers and `core` leaves, both without the broker's lock; `core` takes all under it.

use std::fmt;
use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

use super::waiter::{Registration, Waiter};
use crate::steps::{Step, count};
use crate::sync::{AtomicBool, Mutex, Ordering, fence};

/// A waiter in a list, and the number that the list has for the waiter.
pub(super) struct Entry<X> {
    pub(super) waiter: Arc<Waiter<X>>,
    pub(super) list: u32,
}

impl<X> Entry<X> {
    /// Returns the waiter's registration in this list.
    pub(super) fn registration(&self) -> Option<&Registration> {
        self.waiter.registrations.get(usize::try_from(self.list).ok()?)
    }
}

/// The waiters of one thing.
pub(crate) struct WaitList<X> {
    occupied: AtomicBool,
    entries: Mutex<Entries<X>>,
}

/// The entries of a list, each in a slot. It grows and shrinks in small steps.
pub(super) struct Entries<X> {
    /// The full chunks before the last one.
    #[expect(clippy::box_collection, reason = "most lists have none, and a node has a list")]
    chunks: Option<Box<Vec<Chunk<X>>>>,
    /// At most one chunk.
    last: Chunk<X>,
}

type Chunk<X> = SmallVec<[Entry<X>; 1]>;

/// The number of entries in a chunk. Adding an entry copies at most as many.
const ENTRIES_PER_CHUNK: usize = 256;

impl<X> Entries<X> {
    fn new() -> Self {
        Self { chunks: None, last: SmallVec::new() }
    }

    fn chunks(&self) -> &[Chunk<X>] {
        self.chunks.as_ref().map_or(&[], |chunks| chunks)
    }

    pub(super) fn len(&self) -> usize {
        self.chunks().len() * ENTRIES_PER_CHUNK + self.last.len()
    }

    fn get(&self, slot: usize) -> Option<&Entry<X>> {
        self.chunks().get(slot / ENTRIES_PER_CHUNK).unwrap_or(&self.last).get(slot % ENTRIES_PER_CHUNK)
    }

    fn push(&mut self, entry: Entry<X>) {
        if self.last.len() == ENTRIES_PER_CHUNK {
            self.chunks.get_or_insert_default().push(mem::take(&mut self.last));
        }
        self.last.push(entry);
    }

    /// Removes the entry at a slot, and moves the last entry there.
    fn swap_remove(&mut self, slot: usize) -> Option<Entry<X>> {
        let last = self.last.pop()?;
        let removed = if slot == self.len() {
            last
        } else {
            let chunk = self
                .chunks
                .as_mut()
                .and_then(|chunks| chunks.get_mut(slot / ENTRIES_PER_CHUNK))
                .unwrap_or(&mut self.last);
            mem::replace(chunk.get_mut(slot % ENTRIES_PER_CHUNK)?, last)
        };
        if let Some(moved) = self.get(slot)
            && let Some(registration) = moved.registration()
        {
            registration.set(slot);
        }
        self.shrink();
        Some(removed)
    }

    /// Frees memory that will hardly be needed again. Afterwards the last chunk is not empty unless all are.
    fn shrink(&mut self) {
        if self.last.is_empty() {
            let chunks = self.chunks.as_mut();
            self.last = chunks.and_then(|chunks| chunks.pop()).unwrap_or_default();
            if self.chunks().is_empty() {
                self.chunks = None;
            }
        } else if self.last.spilled() && self.last.len() * 4 <= self.last.capacity() {
            self.last.shrink_to_fit();
        }
    }
}

impl<X> IntoIterator for Entries<X> {
    type Item = Entry<X>;
    type IntoIter = std::iter::Chain<
        std::iter::Flatten<std::iter::Flatten<std::option::IntoIter<Vec<Chunk<X>>>>>,
        smallvec::IntoIter<[Entry<X>; 1]>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.map(|chunks| *chunks).into_iter().flatten().flatten().chain(self.last)
    }
}

impl<X> Default for WaitList<X> {
    fn default() -> Self {
        Self { occupied: AtomicBool::new(false), entries: Mutex::new(Entries::new()) }
    }
}

impl<X> fmt::Debug for WaitList<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").field("occupied", &self.is_occupied()).finish_non_exhaustive()
    }
}

impl<X> WaitList<X> {
    /// Registers a waiter that has the number `list` for this list, unless it is registered. [`seq_cst_fence`] must
    /// follow.
    #[expect(clippy::significant_drop_tightening, reason = "registration, slot and flag change together")]
    pub(crate) fn register(&self, waiter: &Arc<Waiter<X>>, list: usize) {
        count(Step::Wake, 1);
        let Some(registration) = waiter.registrations.get(list) else { return };
        if registration.get().is_some() {
            return;
        }
        let mut entries = self.entries.lock();
        registration.set(entries.len());
        entries.push(Entry { waiter: Arc::clone(waiter), list: u32::try_from(list).unwrap_or(Registration::NONE) });
        // Relaxed: the fence of `seq_cst_fence` orders it against what the taker made visible.
        self.occupied.store(true, Ordering::Relaxed);
    }

    /// Returns whether the list has an entry. What its waiters wait for must have been made visible with a
    /// [fence](crate::sync::store_and_fence), whose partner this load is.
    #[inline]
    pub(crate) fn is_occupied(&self) -> bool {
        self.occupied.load(Ordering::SeqCst)
    }

    /// Takes all entries, in O(1).
    pub(super) fn take_all(&self) -> Entries<X> {
        let mut entries = self.entries.lock();
        self.occupied.store(false, Ordering::Relaxed);
        mem::replace(&mut *entries, Entries::new())
    }

    /// Removes a waiter, if it is in the list.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter<X>>, list: usize) {
        count(Step::Wake, 1);
        let Some(registration) = waiter.registrations.get(list) else { return };
        let mut entries = self.entries.lock();
        let Some(slot) = registration.get() else { return };
        // The registration can be stale after the list was taken. Then another waiter is in that slot, or none.
        if !entries.get(slot).is_some_and(|here| Arc::ptr_eq(&here.waiter, waiter)) {
            return;
        }
        let left = entries.swap_remove(slot);
        registration.clear();
        drop(entries);
        drop(left);
    }
}

/// The reader's fence in the first step at the top of [`wait`](super), after registering and before reading again.
#[inline]
pub(crate) fn seq_cst_fence() {
    fence(Ordering::SeqCst);
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    fn waiters(count: usize) -> Vec<Arc<Waiter<usize>>> {
        (0..count).map(|number| Arc::new(Waiter::new(Registration::for_lists(1), false, number))).collect()
    }

    fn register(list: &WaitList<usize>, waiters: &[Arc<Waiter<usize>>]) {
        for waiter in waiters {
            list.register(waiter, 0);
        }
    }

    /// A waiter is found where its registration says, in a list of any length, in whatever order waiters leave. The
    /// list keeps nothing of a waiter that left.
    #[test]
    fn waiters_leave_a_long_list_in_any_order() {
        for step in [1, 7, 500, 997] {
            let list = WaitList::default();
            let mut waiters = waiters(1_000);
            register(&list, &waiters);
            let mut slot = 0;
            while !waiters.is_empty() {
                slot = (slot + step) % waiters.len();
                let gone = waiters.swap_remove(slot);
                list.leave(&gone, 0);
                assert_eq!(Arc::strong_count(&gone), 1, "it was in the list");
                assert_eq!(list.entries.lock().len(), waiters.len());
                // A waiter that is registered is not registered again.
                register(&list, waiters.get(..3).unwrap_or_default());
                assert_eq!(list.entries.lock().len(), waiters.len());
            }
            let Entries { chunks, last } = list.entries.into_inner();
            assert!(chunks.is_none() && !last.spilled());
        }
    }

    /// A waiter whose list was taken keeps its registration until it is woken. If it leaves before that, the waiter that
    /// registered at its slot meanwhile stays.
    #[test]
    fn a_waiter_that_was_taken_leaves_no_other() {
        let list = WaitList::default();
        let waiters = waiters(2);
        let [first, second] = &waiters[..] else { unreachable!("there are two") };
        list.register(first, 0);
        let taken = list.take_all();
        list.register(second, 0);
        list.leave(first, 0);
        assert_eq!((taken.len(), list.entries.lock().len()), (1, 1));
        list.leave(second, 0);
        assert_eq!(list.entries.lock().len(), 0);
    }
}
