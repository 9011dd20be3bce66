//! How far a window has come, and what it holds beside what its iterator has.
//! What is yielded next is decided in `iter`, and what counts as read there and in `partial`.
//!
//! Invariant: a window that is exhausted or unsettled stays so.
//!
//! Callers: `drain/mod.rs` makes and drops it with the window; `iter` and `partial` move it on.

use crate::core::Record;
use crate::subscription::cursor::Cursor;
use crate::subscription::window_run::WindowRun;
use crate::sync::Slot;
use crate::types::position::Position;

/// How far a window has come.
///
/// Of a run of whole batches, what was yielded is passed when the iterator moves on to another run, or is left. It
/// begins at the cursor and ends at [`WindowRun::yielded_end`]. Partial batches are passed one by one.
pub(super) struct Progress {
    /// The end of the window.
    pub(super) end: Position,
    /// Where in the directory the search for the next slots begins.
    pub(super) segment: usize,
    /// Number of events that were published before the first batch of the run.
    pub(super) events_before: u64,
    pub(super) rest: Rest,
}

/// What a window holds after the slots that its iterator has. It takes a whole word: when it took a byte, moving a
/// window took ten instructions more.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Rest {
    /// The window is the cursor's run of whole batches, and no iterator has taken slots of it.
    Run,
    /// There may be more.
    Unknown,
    /// Those slots are the last ones.
    Nothing,
    /// Everything was yielded, or the window ended early because of eviction. It stays so.
    Exhausted,
    /// The window is empty, because access was not settled. There may be more to read. It stays so.
    Unsettled,
}

impl Progress {
    #[inline]
    pub(super) fn new(end: Position, rest: Rest) -> Self {
        Self { end, segment: 0, events_before: 0, rest }
    }

    #[inline]
    pub(super) fn is_exhausted(&self) -> bool {
        self.rest == Rest::Exhausted
    }

    /// Records that the last slots were yielded, unless the window was over before.
    #[inline]
    pub(super) fn end_window(&mut self) {
        if self.rest == Rest::Nothing {
            self.rest = Rest::Exhausted;
        }
    }

    /// Forgets the slots of an iterator that was left, which may not have yielded them all.
    #[inline]
    pub(super) fn leave_slots(&mut self) {
        if self.rest == Rest::Nothing {
            self.rest = Rest::Unknown;
        }
    }

    /// Returns the number of events from the beginning of the window run to the end of this batch of it.
    #[inline]
    pub(super) fn events_through<P>(&self, last: &Record<P>) -> u64 {
        let before = self.events_before;
        last.events_before + last.events.len() as u64 - before
    }

    /// Records that an iterator takes these slots, which are of the cursor's run. Returns them as a window run.
    #[inline]
    pub(super) fn take_slots<P>(&mut self, cursor: &Cursor, start: Position, slots: &[Slot<Record<P>>]) -> WindowRun {
        let end = Position(start.0 + slots.len() as u64);
        if end == cursor.run().end && cursor.is_last_run(self.end) {
            self.rest = Rest::Nothing;
        }
        WindowRun { end, remaining: slots.len() }
    }
}
