//! The window run: what an open drain window iterates.
//! What it means for the cursor is decided by the window, or by the next read after a window that was forgotten.
//!
//! Invariant: the batches below [`WindowRun::yielded_end`] were yielded, and those from there to [`WindowRun::end`]
//! were not.
//!
//! Callers: `drain` writes it, and reads it for the token of `state`.

use crate::types::position::Position;

/// The part of a run of whole batches that a window's iterator holds, and how much of it is yet to be yielded.
///
/// It is a field of the subscription and not of the window. So a window that is forgotten instead of dropped has passed
/// what it yielded: the next read finds it here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowRun {
    /// One past the last batch that the iterator holds; zero if it iterates no run of whole batches.
    pub(super) end: Position,
    /// Number of batches that the iterator holds and has not yielded.
    pub(super) remaining: usize,
}

impl WindowRun {
    /// Returns whether a run of whole batches is being iterated.
    #[inline]
    pub(super) fn is_active(self) -> bool {
        self.end != Position::ZERO
    }

    /// Returns one past the last batch that was yielded.
    #[inline]
    pub(super) fn yielded_end(self) -> Position {
        Position(self.end.0 - self.remaining as u64)
    }
}
