//! Stores consecutive batches: a fixed array of write-once slots.
//! Which slots are in reach is decided in `evict`.
//!
//! Invariants:
//! - a slot is written once, unless its value was taken by the only owner of the segment.
//!
//! Callers: `appender` and `free` write, under the broker's lock; readers read through a
//! [`Directory`](super::Directory), without it. The orderings of a slot are those of [`Slot`].

use crate::panics::Panics;
use crate::sync::Slot;
use crate::types::position::{Position, Run};

/// Slots for consecutive positions, beginning at `base`.
#[derive(Debug)]
pub(crate) struct Segment<T> {
    base: Position,
    slots: Box<[Slot<T>]>,
}

impl<T> Segment<T> {
    pub(crate) fn new(base: Position, len: usize) -> Self {
        Self { base, slots: (0..len).map(|_| Slot::new()).collect() }
    }

    /// Takes a value out, if there is one. The slot can then be written again.
    #[inline]
    pub(crate) fn take(&mut self, offset: usize) -> Option<T> {
        self.slots.get_mut(offset)?.take()
    }

    /// Moves the slots to other positions. All of them must be empty.
    pub(crate) fn rebase(mut self, base: Position) -> Self {
        self.base = base;
        self
    }

    /// Returns the values that have been written.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(Slot::get)
    }

    /// Drops the values from `position` on.
    pub(super) fn clear_from(&mut self, position: Position) {
        let offset = usize::try_from(position.since(self.base)).unwrap_or(usize::MAX);
        for slot in self.slots.iter_mut().skip(offset) {
            slot.take();
        }
    }

    #[inline]
    pub(crate) fn base(&self) -> Position {
        self.base
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns the value at a position, or `None` if the position is not in this segment or has not been written.
    #[inline]
    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        let offset = usize::try_from(position.0.wrapping_sub(self.base.0)).ok()?;
        self.slots.get(offset)?.get()
    }

    /// Returns the slots of a run, as far as they are in this segment.
    #[inline]
    pub(crate) fn slots(&self, run: Run) -> &[Slot<T>] {
        let offset = |position: Position| usize::try_from(position.since(self.base)).unwrap_or(usize::MAX);
        let end = offset(run.end).min(self.slots.len());
        self.slots.get(offset(run.start)..end).unwrap_or_default()
    }

    /// Returns the first `count` slots, or all if there are fewer.
    #[inline]
    pub(crate) fn first_slots(&self, count: u64) -> &[Slot<T>] {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.slots.len());
        self.slots.get(..count).unwrap_or_default()
    }

    /// Writes a slot for the first and only time.
    #[inline]
    pub(crate) fn set(&self, position: Position, value: T) {
        let offset = usize::try_from(position.since(self.base)).ok();
        let slot = offset.and_then(|offset| self.slots.get(offset));
        debug_assert!(slot.is_some(), "the appender writes to its own segment");
        if let Some(slot) = slot {
            slot.set_first(value);
        }
    }
}

impl<T: Clone> Segment<T> {
    /// Returns a segment of the slots from `base` on, with clones of their values.
    pub(super) fn copy_from(&self, base: Position) -> Self {
        let end = Position(self.base.0 + self.slots.len() as u64);
        let copy = |slot: &Slot<T>| {
            let copy = Slot::new();
            if let Some(value) = slot.get() {
                copy.set_first(value.clone());
            }
            copy
        };
        Self { base, slots: self.slots(Run { start: base, end }).iter().map(copy).collect() }
    }
}

impl<T> Drop for Segment<T> {
    fn drop(&mut self) {
        let mut panics = Panics::default();
        self.slots.iter_mut().for_each(|slot| panics.catch(|| drop(slot.take())));
        panics.resume();
    }
}
