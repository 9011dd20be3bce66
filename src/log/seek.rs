//! Finds a position by the caller's index, in O(log n).
//! Whether the position found means a loss is decided in `core::open`.
//!
//! Invariants: indexes do not fall, because places rise with positions.
//!
//! Callers: `appender` and `evict` under the broker's lock.

use std::collections::VecDeque;

use crate::types::position::Position;
use crate::types::token::Place;

/// A value that has a place in the history. Places rise with positions.
pub(crate) trait Placed {
    fn place(&self) -> Place;
}

/// The indexes of all batches in reach, apart from the batches. A search among 100,000 reads about fifteen cache lines
/// instead of fifty.
#[derive(Debug, Default)]
pub(super) struct Indexes(VecDeque<u64>);

impl Indexes {
    #[inline]
    pub(super) fn push(&mut self, index: u64) {
        self.0.push_back(index);
    }

    /// Removes the oldest indexes.
    #[inline]
    pub(super) fn evict(&mut self, batches: u64) {
        (0..batches).for_each(|_| _ = self.0.pop_front());
    }

    pub(super) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    /// Returns the first position whose place is at least `from`, or the end. `oldest` is the position of the first
    /// index. `place` is called only to choose among several batches of one index.
    pub(super) fn seek(&self, oldest: Position, from: Place, place: impl Fn(Position) -> Option<Place>) -> Position {
        let position = |offset: usize| Position(oldest.0 + offset as u64);
        let mut low = position(self.0.partition_point(|index| *index < from.index));
        if from == Place::before(from.index) {
            return low;
        }
        let mut high = position(self.0.partition_point(|index| *index <= from.index));
        while low < high {
            let middle = Position(low.0.midpoint(high.0));
            if place(middle).is_some_and(|place| place < from) {
                low = middle.next();
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn gaps_repeats_and_places_are_found() {
        // Batches of 3, 5, 5, 5 and 9, the first of which was evicted.
        let places: Vec<Place> =
            [(3, 0), (5, 0), (5, 1), (5, 2), (9, 0)].map(|(index, count)| Place { index, count }).into();
        let mut indexes = Indexes::default();
        for place in &places {
            indexes.push(place.index);
        }
        indexes.evict(1);
        let seek = |index, count| {
            let place = |position: Position| places.get(usize::try_from(position.0).ok()?).copied();
            indexes.seek(Position(1), Place { index, count }, place).0
        };
        for (index, found) in [(0, 1), (3, 1), (5, 1), (6, 4), (9, 4), (10, 5)] {
            assert_eq!(seek(index, 0), found, "{index}");
        }
        for (count, found) in [(1, 2), (2, 3), (3, 4), (u32::MAX, 4)] {
            assert_eq!(seek(5, count), found, "5 after {count}");
        }
        assert_eq!((seek(9, 1), seek(3, 7)), (5, 1));
    }
}
