//! Which index the next batch may have, and where the history of a broker begins.
//! Batches are admitted in `state`, which compares an index with the bound.
//!
//! Callers: `state`, `publish` and `history` under the broker's lock, and `broker` when it builds one.

use crate::types::token::Place;

/// The lower bound of the next index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NextIndexBound {
    /// Any index: nothing was published, and no history is missing.
    None,
    /// The state was restored at this index. The next index must be above it.
    Above(u64),
    /// This index was published last. The next index must not be lower, and not equal where indexes rise.
    Published(u64),
    /// Everything below this index is past. The next index must be this one or higher.
    AtLeast(u64),
}

/// Where the history of a broker begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum HistoryStart {
    /// No history is missing.
    #[default]
    Complete,
    /// Everything up to and including this index is past.
    Above(u64),
    /// Everything up to this place is past.
    After(Place),
}

impl HistoryStart {
    /// Returns the bound of the first index, and the place after the last batch.
    pub(crate) fn begin(self) -> (NextIndexBound, Place) {
        match self {
            Self::Complete => (NextIndexBound::None, Place::before(0)),
            Self::Above(index) => (NextIndexBound::Above(index), Place::after_all_of(index)),
            Self::After(place) if place.count == 0 => (NextIndexBound::AtLeast(place.index), place),
            Self::After(place) => (NextIndexBound::Published(place.index), place),
        }
    }
}

impl NextIndexBound {
    /// Returns the latest index, as far as it is known: 0 if nothing was published.
    pub(crate) fn latest_index(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Above(index) | Self::Published(index) => index,
            Self::AtLeast(index) => index.saturating_sub(1),
        }
    }

    /// Returns the lowest index that a later batch can still have.
    pub(crate) fn finished_below(self, rising: bool) -> u64 {
        match self {
            Self::None => 0,
            Self::AtLeast(index) => index,
            Self::Above(index) => index.saturating_add(1),
            Self::Published(index) => index.saturating_add(u64::from(rising)),
        }
    }
}
