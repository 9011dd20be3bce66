//! Defines the retired segment: one that is out of reach, and is emptied a few batches at a time.
//! When a segment retires, and how much of it is freed, is decided in `free`.
//!
//! Invariants: the slots before `next` are empty. `left` is never below the cost of what the other slots hold.
//!
//! Callers: `appender` and `free` under the broker's lock.

use super::retention::Cost;
use super::segment::Segment;

/// A segment that is out of reach and that no reader holds, with what is left in it.
#[derive(Debug)]
pub(super) struct Retired<T> {
    pub(super) segment: Segment<T>,
    /// The first slot that has not been emptied.
    pub(super) next: usize,
    /// An upper bound of the cost of what is left.
    pub(super) left: Cost,
}

impl<T> Retired<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.segment.len()
    }

    /// Takes the oldest batch that is left.
    pub(super) fn take(&mut self) -> Option<T> {
        // A segment may have been closed before it was full. The slots that follow are empty then.
        let value = self.segment.take(self.next);
        self.next = if value.is_some() { self.next + 1 } else { self.segment.len() };
        value
    }
}
