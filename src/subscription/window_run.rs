//! What an open window has handed to its iterator of a run that is given whole.
//! What that means for the reader's place is decided by the window, or by the next read after a forgotten one.

use crate::types::position::Position;

/// What of a run that is given whole an iterator was handed, and how much of that it has yet to yield.
///
/// It lies in the subscription, so that a window that is forgotten instead of dropped has passed what it yielded: the
/// next read finds it here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowRun {
    /// One past the last batch that was handed over; zero if no such run is under way.
    pub(super) past: Position,
    pub(super) left: usize,
}

impl WindowRun {
    /// Whether there is a run under way that is given whole.
    #[inline]
    pub(super) fn is_under_way(self) -> bool {
        self.past != Position::ZERO
    }

    /// One past the last batch that was yielded.
    #[inline]
    pub(super) fn here(self) -> Position {
        Position(self.past.0 - self.left as u64)
    }
}
