//! The dense count of batches that losses are counted by.
//! Indexes are the caller's and live elsewhere.

/// How many batches were published before: the place of a batch in the log.
///
/// Positions never repeat and have no gaps, also across a reset, so a difference is an exact number of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    pub(crate) const ZERO: Self = Self(0);

    /// The position after this one.
    #[inline]
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// How many batches lie between `earlier` and here; 0 if it is not earlier.
    #[inline]
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Consecutive positions, `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: Position,
    pub(crate) end: Position,
}

impl Run {
    /// A run of nothing that begins nowhere: no position is its start.
    pub(crate) const EMPTY: Self = Self { start: Position(u64::MAX), end: Position(u64::MAX) };

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }
}
