//! Wait lists: the waiters of one thing, and the fence between registering and reading again.
//! How a waiter is woken is decided in `waiter`, and when in `wake`.
//!
//! A list that has grown is *striped*: each [stripe](crate::stripes) of threads has a part of it, with a lock of its own,
//! so that readers on different cores register without waiting for each other. A list never stops being striped, so it
//! has few parts, unless there is one such list in a broker. A list whose waiters stay registered until a hit takes them
//! is never striped. The first part, which every list has, keeps the waiters that registered before.
//!
//! Invariants:
//! - Under the lock of its part, each entry is in the slot that its registration names.
//! - While a part has an entry, its bit is set. A publisher locks no part whose bit is clear. A bit changes under the
//!   lock of its part only.
//! - No operation moves more than one chunk of entries.
//!
//! Callers: `subscription` registers and `core` leaves, both without the broker's lock; `core` takes all under it.

use std::fmt;
use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

use super::waiter::{Place, Registration, Waiter};
use crate::steps::{Step, count};
use crate::stripes;
use crate::sync::{AtomicU64, Mutex, Ordering, Slot, fence};
use crate::writes;

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

/// The waiters of one thing. Once it has grown it has so many `PARTS` beside the first one, at most 63; with none it is
/// never striped.
pub(crate) struct WaitList<X, const PARTS: u8 = FEW_PARTS> {
    /// The parts that have an entry, one bit each.
    occupied: AtomicU64,
    first: Mutex<Entries<X>>,
    /// The other parts, once there are any. A part is allocated when a thread of its stripe registers.
    striped: Slot<Parts<X>>,
}

type Parts<X> = Box<[Slot<Box<Part<X>>>]>;

/// A part of a striped list. The alignment keeps its lock apart from what other threads write.
#[repr(align(128))]
struct Part<X>(Mutex<Entries<X>>);

/// The number of entries with which a list becomes striped. In models the second waiter makes it so.
const STRIPED_FROM: usize = if cfg!(all(broker_loom, test)) { 1 } else { 64 };

/// The parts of a list of which a broker has one for each term.
const FEW_PARTS: u8 = 8;
/// The parts of a list of which a broker has one.
pub(crate) const MANY_PARTS: u8 = 63;

/// The number of the first part, which has the last bit. The others are numbered from 0.
const FIRST: u32 = 63;

/// The entries of a part of a list, each in a slot. It grows and shrinks in small steps.
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

    /// Removes the entry at a slot of this part, and moves the last entry there.
    fn swap_remove(&mut self, Place { part, slot }: Place) -> Option<Entry<X>> {
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
            registration.set(Place { part, slot });
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

impl<X, const PARTS: u8> Default for WaitList<X, PARTS> {
    fn default() -> Self {
        Self { occupied: AtomicU64::new(0), first: Mutex::new(Entries::new()), striped: Slot::new() }
    }
}

impl<X, const PARTS: u8> fmt::Debug for WaitList<X, PARTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").field("occupied", &self.is_occupied()).finish_non_exhaustive()
    }
}

impl<X, const PARTS: u8> WaitList<X, PARTS> {
    /// Registers a waiter that has the number `list` for this list, unless it is registered. [`seq_cst_fence`] must
    /// follow.
    pub(crate) fn register(&self, waiter: &Arc<Waiter<X>>, list: usize) {
        count(Step::Wake, 1);
        let Some(registration) = waiter.registrations.get(list) else { return };
        if registration.get().is_some() {
            return;
        }
        writes::reference(&**waiter);
        let entry = Entry { waiter: Arc::clone(waiter), list: u32::try_from(list).unwrap_or(Registration::NONE) };
        let mut first = if self.striped.get().is_none() { Some(self.first.lock()) } else { None };
        if let Some(first) = first.take_if(|first| first.len() >= STRIPED_FROM && PARTS > 0) {
            drop(first);
            // Of two threads that find the list grown, one makes it striped.
            let _ = self.striped.set((0..PARTS).map(|_| Slot::new()).collect());
        }
        if let Some(mut first) = first {
            self.push(FIRST, &mut first, entry, registration);
        } else {
            let (part, entries) = self.own_part();
            self.push(part, &mut entries.lock(), entry, registration);
        }
    }

    /// Adds an entry to a part, under its lock.
    fn push(&self, part: u32, entries: &mut Entries<X>, entry: Entry<X>, registration: &Registration) {
        registration.set(Place { part, slot: entries.len() });
        entries.push(entry);
        let bit = 1 << part;
        // Written once, and not by every waiter: other threads read it. Release, so that a taker that sees the bit finds
        // the part; the fence of `seq_cst_fence` orders it against what the taker made visible.
        if self.occupied.load(Ordering::Relaxed) & bit == 0 {
            self.occupied.fetch_or(bit, Ordering::Release);
        }
    }

    /// Returns the part of this thread's stripe in a striped list, and its number.
    fn own_part(&self) -> (u32, &Mutex<Entries<X>>) {
        let number = stripes::current() % u32::from(PARTS).max(1);
        let slot = self.striped.get().and_then(|striped| striped.get(usize::try_from(number).ok()?));
        if let Some(slot) = slot.filter(|slot| slot.get().is_none()) {
            // Of two threads that share the stripe, one allocates it.
            let _ = slot.set(Box::new(Part(Mutex::new(Entries::new()))));
        }
        let part = slot.and_then(Slot::get);
        part.map_or((FIRST, &self.first), |part| (number, &part.0))
    }

    fn part(&self, number: u32) -> Option<&Mutex<Entries<X>>> {
        if number == FIRST {
            return Some(&self.first);
        }
        Some(&self.striped.get()?.get(usize::try_from(number).ok()?)?.get()?.0)
    }

    /// Returns whether the list has an entry. What its waiters wait for must have been made visible with a
    /// [fence](crate::sync::store_and_fence), whose partner this load is.
    #[inline]
    pub(crate) fn is_occupied(&self) -> bool {
        self.occupied.load(Ordering::SeqCst) != 0
    }

    /// Takes all entries, in O(1) for each part.
    pub(super) fn take_all(&self) -> impl Iterator<Item = Entries<X>> {
        // Acquire, with the Release of `register`: the parts of these bits are found.
        let mut occupied = self.occupied.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            while occupied != 0 {
                // The first part first: its waiters have waited longest.
                let part = occupied.ilog2();
                occupied &= !(1 << part);
                if let Some(entries) = self.part(part) {
                    let mut entries = entries.lock();
                    self.occupied.fetch_and(!(1 << part), Ordering::Relaxed);
                    return Some(mem::replace(&mut *entries, Entries::new()));
                }
            }
            None
        })
    }

    /// Removes a waiter, if it is in the list.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter<X>>, list: usize) {
        count(Step::Wake, 1);
        let Some(registration) = waiter.registrations.get(list) else { return };
        let Some(place) = registration.get() else { return };
        let Some(entries) = self.part(place.part) else { return };
        let mut entries = entries.lock();
        // It may have been taken before the lock. If the waiter that was last moves, it stays in its part.
        let Some(place) = registration.get() else { return };
        // The registration can be stale after the list was taken. Then another waiter is in that slot, or none.
        if !entries.get(place.slot).is_some_and(|here| Arc::ptr_eq(&here.waiter, waiter)) {
            return;
        }
        let left = entries.swap_remove(place);
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

    impl<X, const PARTS: u8> WaitList<X, PARTS> {
        fn parts(&self) -> impl Iterator<Item = &Mutex<Entries<X>>> {
            (0..64).filter_map(|number| self.part(number))
        }

        fn len(&self) -> usize {
            self.parts().map(|part| part.lock().len()).sum()
        }
    }

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
            let list = WaitList::<_>::default();
            let mut waiters = waiters(1_000);
            register(&list, &waiters);
            let mut slot = 0;
            while !waiters.is_empty() {
                slot = (slot + step) % waiters.len();
                let gone = waiters.swap_remove(slot);
                list.leave(&gone, 0);
                assert_eq!(Arc::strong_count(&gone), 1, "it was in the list");
                assert_eq!(list.len(), waiters.len());
                // A waiter that is registered is not registered again.
                register(&list, waiters.get(..3).unwrap_or_default());
                assert_eq!(list.len(), waiters.len());
            }
            for part in list.parts() {
                let Entries { chunks, last } = &*part.lock();
                assert!(chunks.is_none() && !last.spilled());
            }
        }
    }

    /// A waiter whose list was taken keeps its registration until it is woken. If it leaves before that, the waiter that
    /// registered at its slot meanwhile stays.
    #[test]
    fn a_waiter_that_was_taken_leaves_no_other() {
        let list = WaitList::<_>::default();
        let waiters = waiters(2);
        let [first, second] = &waiters[..] else { unreachable!("there are two") };
        list.register(first, 0);
        let taken: Vec<_> = list.take_all().collect();
        list.register(second, 0);
        list.leave(first, 0);
        assert_eq!((taken.iter().map(Entries::len).sum::<usize>(), list.len()), (1, 1));
        list.leave(second, 0);
        assert_eq!(list.len(), 0);
    }
}
