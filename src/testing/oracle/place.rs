//! A place in a history, as the naive broker computes with it: an index, and a count of its batches.
//! A place that leaves the oracle is a resume token, which hides both.

use crate::types::token::{self, Epoch, Token};

/// An index can have this many batches.
const MAX_COUNT: u64 = u32::MAX as u64;

/// `count` batches of the index, and all batches of lower indexes, are before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) index: u64,
    pub(super) count: u64,
}

impl Place {
    pub(super) const fn before(index: u64) -> Self {
        Self { index, count: 0 }
    }

    pub(super) fn of(token: Token) -> Self {
        let place = token.place();
        Self { index: place.index, count: u64::from(place.count) }
    }

    /// After everything that the index can have.
    pub(super) fn after_all_of(index: u64) -> Self {
        index.checked_add(1).map_or(Self { index, count: MAX_COUNT }, Self::before)
    }

    pub(super) const fn next(self) -> Self {
        Self { index: self.index, count: self.count + 1 }
    }

    /// Whether the index can have no further batch.
    pub(super) const fn is_full(self) -> bool {
        self.count >= MAX_COUNT
    }

    /// The highest index that a batch before this place can have.
    pub(super) const fn last_index(self) -> u64 {
        if self.count == 0 { self.index.saturating_sub(1) } else { self.index }
    }

    pub(super) fn token(self, epoch: Epoch) -> Token {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        Token::new(epoch, token::Place { index: self.index, count })
    }
}
