//! Holds the numbers that readers poll: the end, the oldest position, and the latest index.
//! All orderings of the log live here, except those of the slots, which are in `sync`.
//!
//! Invariants:
//! - a batch's slot, its links, its node positions, its fences and the oldest position are stored before the end that
//!   makes it visible;
//! - the latest index is stored before that end, and loaded before the end in every read;
//! - `finished` is stored after that end;
//! - the generation of the directory is stored before an end or an oldest position that only that directory serves.
//!
//! Callers: `appender`, `directories` and `shared` write, under the broker's lock; `directories` and `shared` read
//! without it.

use crate::sync::{AtomicU64, Ordering, store_and_fence};
use crate::types::position::Position;

/// One past the newest position, and whether the log is closed.
///
/// Both are in one word. A reader that finds no further batch also learns, atomically, whether any can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) position: Position,
    pub(crate) closed: bool,
}

impl End {
    const CLOSED: u64 = 1;

    const fn unpack(word: u64) -> Self {
        Self { position: Position(word >> 1), closed: word & Self::CLOSED != 0 }
    }

    const fn pack(self) -> u64 {
        self.position.0 << 1 | if self.closed { Self::CLOSED } else { 0 }
    }
}

/// The numbers that readers poll, on cache lines of their own. Only publishing and evicting change them.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Frontier {
    end: AtomicU64,
    oldest: AtomicU64,
    latest_index: AtomicU64,
    /// One more than the latest index that is visible. Used only in a history of rising indexes.
    finished: AtomicU64,
    /// How often the directory has changed.
    generation: AtomicU64,
    rising: bool,
}

impl Frontier {
    /// Creates the frontier of an empty log. `finished` is a lower bound of all future indexes.
    pub(crate) fn new(latest_index: u64, finished: u64, rising: bool) -> Self {
        let [end, oldest, generation] = [const { 0 }; 3].map(AtomicU64::new);
        let [latest_index, finished] = [latest_index, finished].map(AtomicU64::new);
        Self { end, oldest, latest_index, finished, generation, rising }
    }

    /// Loads the end. Acquire, pairs with the Release in [`set_end`](Self::set_end) and
    /// [`store_end_seq_cst`](Self::store_end_seq_cst): a reader that sees an end also sees the slots, links, node
    /// positions and fences that were stored before it.
    #[inline]
    pub(crate) fn end(&self) -> End {
        End::unpack(self.end.load(Ordering::Acquire))
    }

    /// Stores the end. Release, pairs with the Acquire in [`end`](Self::end).
    pub(crate) fn set_end(&self, end: End) {
        self.end.store(end.pack(), Ordering::Release);
    }

    /// Stores the end, Release as in [`set_end`](Self::set_end), and keeps sequentially consistent loads that follow it
    /// after the store. The caller checks for waiters next, in `wait::WaitList::is_occupied`. A reader registers first,
    /// and loads the end after `wait::seq_cst_fence`. So one of the two sees the other.
    pub(crate) fn store_end_seq_cst(&self, end: End) {
        store_and_fence(&self.end, end.pack());
    }

    /// Loads the oldest position. Acquire, pairs with the Release in [`set_oldest`](Self::set_oldest): a reader that
    /// sees it also sees the evicted matches that were recorded in `interest::node`.
    #[inline]
    pub(crate) fn oldest(&self) -> Position {
        Position(self.oldest.load(Ordering::Acquire))
    }

    /// Stores the oldest position. Release, pairs with the Acquire in [`oldest`](Self::oldest).
    pub(crate) fn set_oldest(&self, oldest: Position) {
        self.oldest.store(oldest.0, Ordering::Release);
    }

    /// Loads the generation of the directory. Acquire, so that the load of the oldest position that follows it in every
    /// read stays after it. A reader that has loaded an end sees the generation that was stored before that end.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Stores the generation. Release, pairs with the Acquire in [`generation`](Self::generation). Called under the
    /// directory's lock, before the end that makes the directory necessary is stored.
    pub(crate) fn set_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// Loads the latest index. Acquire, so that the load of the end that follows it in every read stays after it.
    #[inline]
    pub(crate) fn latest_index(&self) -> u64 {
        self.latest_index.load(Ordering::Acquire)
    }

    /// Stores the latest index. Release, pairs with the Acquire in [`latest_index`](Self::latest_index).
    pub(crate) fn set_latest_index(&self, index: u64) {
        self.latest_index.store(index, Ordering::Release);
    }

    /// Returns a lower bound of all future indexes. Every batch of a lower index is before an end that is loaded after
    /// this call.
    ///
    /// A future batch may have that index itself, unless indexes rise. Acquire, as in
    /// [`latest_index`](Self::latest_index).
    #[inline]
    pub(crate) fn finished_below(&self) -> u64 {
        if self.rising { self.finished.load(Ordering::Acquire) } else { self.latest_index() }
    }

    /// Records that everything up to `index` is visible. Called after the end was stored. Release, pairs with the
    /// Acquire in [`finished_below`](Self::finished_below).
    #[inline]
    pub(crate) fn finish(&self, index: u64) {
        if self.rising {
            self.finished.store(index.saturating_add(1), Ordering::Release);
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_one_word() {
        for end in [
            End { position: Position(0), closed: false },
            End { position: Position(0), closed: true },
            End { position: Position(u64::MAX >> 1), closed: true },
        ] {
            assert_eq!(End::unpack(end.pack()), end);
        }
    }
}
