//! Defines positions: the dense count of batches from which losses are computed.
//! Indexes, which are the caller's numbers, are handled in `core` and `token`.
//!
//! Invariants: positions have no gaps and never repeat, also across a reset.
//!
//! Callers: `log`, `interest`, `core` and `subscription`.

/// The position of a batch in the log: the number of batches published before it.
///
/// Positions never repeat and have no gaps, also across a reset. The difference of two is an exact number of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    pub(crate) const ZERO: Self = Self(0);

    /// Returns the position after this one.
    #[inline]
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Returns the number of batches between `earlier` and this position. It is 0 if `earlier` is not earlier.
    #[inline]
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A range of consecutive positions: `start` is inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: Position,
    pub(crate) end: Position,
}

impl Run {
    /// The empty run. Its start is no position of a batch.
    pub(crate) const EMPTY: Self = Self { start: Position(u64::MAX), end: Position(u64::MAX) };

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }
}
