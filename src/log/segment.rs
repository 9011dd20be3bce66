//! A fixed array of write-once slots.
//! Which of them is in reach is decided elsewhere.

use std::sync::{Arc, Weak};

use crate::panics::Panics;
use crate::sync::Slot;
use crate::types::position::{Position, Run};

/// Slots for consecutive positions, from `base` on.
#[derive(Debug)]
pub(crate) struct Segment<T> {
    base: Position,
    slots: Box<[Slot<T>]>,
    /// The one after it, for readers who come to the end of this one. It keeps nothing in memory.
    next: Slot<Weak<Self>>,
}

impl<T> Segment<T> {
    pub(crate) fn new(base: Position, len: usize) -> Self {
        Self { base, slots: (0..len).map(|_| Slot::new()).collect(), next: Slot::new() }
    }

    /// Takes a value out, if there is one: the slot is as new.
    #[inline]
    pub(crate) fn take(&mut self, offset: usize) -> Option<T> {
        self.slots.get_mut(offset)?.take()
    }

    /// The same slots for other positions. They are as new.
    pub(crate) fn rebase(mut self, base: Position) -> Self {
        self.base = base;
        self.next = Slot::new();
        self
    }

    /// What is written.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(Slot::get)
    }

    /// Takes out what is written from `position` on.
    pub(super) fn clear_from(&mut self, position: Position) {
        let offset = usize::try_from(position.since(self.base)).unwrap_or(usize::MAX);
        for slot in self.slots.iter_mut().skip(offset) {
            slot.take();
        }
    }

    /// Lets readers go on from here to `next`, once.
    pub(super) fn lead_to(&self, next: &Arc<Self>) {
        let first = self.next.set(Arc::downgrade(next)).is_ok();
        debug_assert!(first, "a segment is followed by one other");
    }

    /// The segment after this one, if there is one and it is still there.
    pub(crate) fn next(&self) -> Option<&Weak<Self>> {
        self.next.get()
    }

    #[inline]
    pub(crate) fn base(&self) -> Position {
        self.base
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether this is the position of the last slot.
    #[inline]
    pub(crate) fn is_last(&self, position: Position) -> bool {
        position.0.wrapping_sub(self.base.0).wrapping_add(1) == self.slots.len() as u64
    }

    /// The slot's value, if the position lies in this segment and has been written.
    #[inline]
    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        let offset = usize::try_from(position.0.wrapping_sub(self.base.0)).ok()?;
        self.slots.get(offset)?.get()
    }

    /// The slots of consecutive positions, as far as they lie here.
    #[inline]
    pub(crate) fn slots(&self, run: Run) -> &[Slot<T>] {
        let offset = |position: Position| usize::try_from(position.since(self.base)).unwrap_or(usize::MAX);
        let end = offset(run.end).min(self.slots.len());
        self.slots.get(offset(run.start)..end).unwrap_or_default()
    }

    /// So many slots from the first on, as far as there are.
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
    /// A segment of all slots from `base` on, with what is written there.
    pub(super) fn rest(&self, base: Position) -> Self {
        let end = Position(self.base.0 + self.slots.len() as u64);
        let copy = |slot: &Slot<T>| {
            let copy = Slot::new();
            if let Some(value) = slot.get() {
                copy.set_first(value.clone());
            }
            copy
        };
        Self { base, slots: self.slots(Run { start: base, end }).iter().map(copy).collect(), next: Slot::new() }
    }
}

impl<T> Drop for Segment<T> {
    fn drop(&mut self) {
        let mut panics = Panics::default();
        self.slots.iter_mut().for_each(|slot| panics.catch(|| drop(slot.take())));
        panics.resume();
    }
}
