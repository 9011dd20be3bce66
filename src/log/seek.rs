//! Finding a place in the log by the caller's index, in O(log n).
//! Whether the place found is a loss is decided elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segment::Segment;
use crate::position::Position;
use crate::token::Place;

/// A value that lies at a place of the history; places rise with positions.
pub(crate) trait Placed {
    fn place(&self) -> Place;
}

/// The first position in `oldest..end` whose place is at least `from`, or `end` if there is none.
pub(crate) fn seek<T: Placed>(
    segments: &VecDeque<Arc<Segment<T>>>,
    oldest: Position,
    end: Position,
    from: Place,
) -> Position {
    // The segment whose first batch is the last one before `from` holds the boundary, or ends at it.
    let after =
        segments.partition_point(|segment| segment.get(segment.base()).is_some_and(|first| first.place() < from));
    let Some(segment) = after.checked_sub(1).and_then(|before| segments.get(before)) else {
        return oldest;
    };
    let limit = segments.get(after).map_or(end, |next| next.base());
    let (mut low, mut high) = (segment.base().next(), limit);
    while low < high {
        let middle = Position(low.0.midpoint(high.0));
        if segment.get(middle).is_some_and(|value| value.place() < from) {
            low = middle.next();
        } else {
            high = middle;
        }
    }
    low.max(oldest)
}
