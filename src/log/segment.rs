//! A fixed array of write-once slots.
//! Which of them is in reach is decided elsewhere.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::position::{Position, Run};
use crate::sync::Slot;

/// Slots for consecutive positions, from `base` on.
#[derive(Debug)]
pub(crate) struct Segment<T> {
    base: Position,
    slots: Box<[Slot<T>]>,
}

impl<T> Segment<T> {
    pub(crate) fn new(base: Position, len: usize) -> Self {
        Self { base, slots: (0..len).map(|_| Slot::new()).collect() }
    }

    /// An evicted segment made as new, if nobody holds it any more. Its values are dropped.
    pub(crate) fn recycle(segment: Arc<Self>) -> Option<Self> {
        let mut segment = Arc::into_inner(segment)?;
        segment.clear();
        Some(segment)
    }

    /// Drops the values one by one: payloads are foreign code, and one whose drop panics must not be unwound into by
    /// another. The first panic goes on when all are dropped.
    fn clear(&mut self) {
        let mut first = None;
        for slot in &mut self.slots {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(slot.take()))) {
                first.get_or_insert(panic);
            }
        }
        if let Some(panic) = first
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }

    /// The same slots for other positions. They are as new.
    pub(crate) fn rebase(mut self, base: Position) -> Self {
        self.base = base;
        self
    }

    pub(crate) fn base(&self) -> Position {
        self.base
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
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

    /// Writes a slot for the first and only time.
    pub(crate) fn set(&self, position: Position, value: T) {
        let offset = usize::try_from(position.since(self.base)).ok();
        let slot = offset.and_then(|offset| self.slots.get(offset));
        let written = slot.is_some_and(|slot| slot.set(value).is_ok());
        debug_assert!(written, "the appender writes each slot of its segment once");
    }
}

impl<T> Drop for Segment<T> {
    fn drop(&mut self) {
        self.clear();
    }
}
