//! The three numbers that readers poll: the end, the oldest, and the latest index.
//! All orderings of the log but the slots' own live here.

use crate::sync::{AtomicU64, Ordering, store_and_fence};
use crate::types::position::Position;

/// One past the newest position, and whether anything can still follow it.
///
/// Both in one word, so that a reader that finds nothing more also knows, of the same instant, whether more can come.
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

/// On a cache line of its own: readers poll it, only the appender writes it.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Frontier {
    end: AtomicU64,
    oldest: AtomicU64,
    latest_index: AtomicU64,
    /// Only of a history of rising indexes, where it is one more than the latest index that is visible.
    finished: AtomicU64,
    rising: bool,
}

impl Frontier {
    /// All below `finished` is past.
    pub(crate) fn new(latest_index: u64, finished: u64, rising: bool) -> Self {
        let [end, oldest] = [const { 0 }; 2].map(AtomicU64::new);
        Self { end, oldest, latest_index: AtomicU64::new(latest_index), finished: AtomicU64::new(finished), rising }
    }

    /// Acquire, with the Release of [`set_end`](Self::set_end): whoever sees an end sees the slots, links, node
    /// positions and fences that were set before it.
    #[inline]
    pub(crate) fn end(&self) -> End {
        End::unpack(self.end.load(Ordering::Acquire))
    }

    pub(crate) fn set_end(&self, end: End) {
        self.end.store(end.pack(), Ordering::Release);
    }

    /// The same, and what the caller looks at next is looked at after it by everybody's clock.
    pub(crate) fn reveal_end(&self, end: End) {
        store_and_fence(&self.end, end.pack());
    }

    /// Acquire, with the Release of [`set_oldest`](Self::set_oldest): whoever sees an oldest sees what the eviction
    /// noted in the nodes.
    #[inline]
    pub(crate) fn oldest(&self) -> Position {
        Position(self.oldest.load(Ordering::Acquire))
    }

    pub(crate) fn set_oldest(&self, oldest: Position) {
        self.oldest.store(oldest.0, Ordering::Release);
    }

    /// Acquire, so that the load stays before that of the end which follows it in every read.
    #[inline]
    pub(crate) fn latest_index(&self) -> u64 {
        self.latest_index.load(Ordering::Acquire)
    }

    pub(crate) fn set_latest_index(&self, index: u64) {
        self.latest_index.store(index, Ordering::Release);
    }

    /// The index that no batch to come is below: all that is lower lies before an end that is loaded after this.
    ///
    /// A further batch of the latest index may come, unless indexes rise. Acquire, as the latest index is.
    #[inline]
    pub(crate) fn finished_below(&self) -> u64 {
        if self.rising { self.finished.load(Ordering::Acquire) } else { self.latest_index() }
    }

    /// Notes that all up to `index` is visible. Release, after the end, with the Acquire of
    /// [`finished_below`](Self::finished_below).
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
