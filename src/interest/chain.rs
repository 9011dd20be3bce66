//! Defines the chain of a node's matches: its end, and the link that each match stores.
//! When a link is made, and what is done with it, is decided in `node` and `hits`. How a chain is followed is decided in
//! `walk`.
//!
//! A *link* is what a slot stores for one node that its batch hit. A *run* is a series of consecutive batches that all
//! hit one node. An *end* is one past a match, or zero if there is no match.
//!
//! Invariants:
//! - the slot of a match is written before the chain's end moves beyond it ([`Chain::extend`]). All orderings of a
//!   chain are in this file;
//! - apart from its end, the state of a chain is accessed under the broker's lock only.
//!
//! Callers: `node` and `hits` write, under the broker's lock; `links` and `walk` read links without it; `core` and
//! `subscription` read the end without it.

use super::jumps::NodeId;
use crate::sync::{AtomicU64, Ordering};
use crate::types::position::Position;

/// One past a match, or zero if there is none.
#[derive(Debug)]
pub(super) struct AtomicEnd(AtomicU64);

impl AtomicEnd {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Loads the position. Acquire, pairs with the Release in [`set`](Self::set): a reader that sees the end of a chain
    /// finds the slot of its last match written.
    #[inline]
    pub(super) fn get(&self) -> Position {
        Position(self.0.load(Ordering::Acquire))
    }

    /// Stores the position. Release, pairs with the Acquire in [`get`](Self::get).
    pub(super) fn set(&self, end: Position) {
        self.0.store(end.0, Ordering::Release);
    }
}

/// One past the last match before a run, or zero; and whether the run is a [checkpoint](super::jumps). The flag is the
/// highest bit, which no position reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PreviousEnd(u64);

impl PreviousEnd {
    const CHECKPOINT: u64 = 1 << 63;

    fn new(end: Position) -> Self {
        Self(end.0)
    }

    pub(super) fn of_checkpoint(self) -> Self {
        Self(self.0 | Self::CHECKPOINT)
    }

    #[inline]
    pub(super) fn end(self) -> Position {
        Position(self.0 & !Self::CHECKPOINT)
    }

    #[inline]
    pub(super) fn is_checkpoint(self) -> bool {
        self.0 & Self::CHECKPOINT != 0
    }
}

/// A [`PreviousEnd`] that is accessed under the broker's lock only.
#[derive(Debug)]
pub(super) struct AtomicPreviousEnd(AtomicU64);

impl AtomicPreviousEnd {
    fn load(&self, ordering: Ordering) -> PreviousEnd {
        PreviousEnd(self.0.load(ordering))
    }

    pub(super) fn store(&self, previous_end: PreviousEnd, ordering: Ordering) {
        self.0.store(previous_end.0, ordering);
    }
}

/// The newest run of a chain, written under the broker's lock. Readers load only the end.
#[derive(Debug)]
pub(crate) struct Chain {
    end: AtomicEnd,
    pub(super) previous_end: AtomicPreviousEnd,
    lengths: AtomicU64,
}

/// What a new match adds to its chain.
pub(super) struct NextLink {
    pub(super) lengths: RunLengths,
    pub(super) previous_end: PreviousEnd,
    /// Whether a run begins with the match.
    pub(super) begins: bool,
}

/// The lengths of the run that ends with a match: how many batches in a row matched, and how many of those in a row, up
/// to the match, matched with all their events.
///
/// After 2^32 - 1 batches a new run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RunLengths {
    matched: u32,
    all_events: u32,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self { end: AtomicEnd::new(), previous_end: AtomicPreviousEnd(AtomicU64::new(0)), lengths: AtomicU64::new(0) }
    }

    /// Returns one past the last match, or zero.
    #[inline]
    pub(crate) fn end(&self) -> Position {
        self.end.get()
    }

    /// Computes what a match at `position` stores: the lengths of the run that ends with it, and one past the last
    /// match before that run.
    ///
    /// [`extend`](Self::extend) must follow, once it is stored.
    #[inline]
    pub(super) fn link(&self, position: Position, all_match: bool) -> NextLink {
        // Relaxed: these are accessed under the broker's lock only.
        let word = self.lengths.load(Ordering::Relaxed);
        let end = self.end.get();
        let RunLengths { matched, all_events } = RunLengths::unpack(word);
        let begins = end != position || end == Position::ZERO || matched == u32::MAX;
        let (matched, all_events) = if begins { (0, 0) } else { (matched, all_events) };
        let lengths = RunLengths { matched: matched + 1, all_events: if all_match { all_events + 1 } else { 0 } };
        self.lengths.store(lengths.pack(), Ordering::Relaxed);
        if begins {
            self.previous_end.store(PreviousEnd::new(end), Ordering::Relaxed);
        }
        NextLink { lengths, previous_end: self.previous_end.load(Ordering::Relaxed), begins }
    }

    /// Moves the end past the match at `position`, so that readers find it. Its link must have been stored.
    pub(super) fn extend(&self, position: Position) {
        self.end.set(position.next());
    }
}

impl RunLengths {
    const fn pack(self) -> u64 {
        (self.matched as u64) << 32 | self.all_events as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    const fn unpack(word: u64) -> Self {
        Self { matched: (word >> 32) as u32, all_events: word as u32 }
    }
}

/// What a slot stores for one node that it matched.
///
/// Consecutive matches form a run, so that a reader with many matches passes over them in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(super) node: NodeId,
    /// One past the last match before the run that ends here.
    pub(super) previous_end: PreviousEnd,
    /// Which events matched: [`ALL`](Self::ALL), or one bit for each event of a batch of up to 64, or a range of the
    /// slot's ordinals with its start in the upper half and its length in the lower half.
    pub(super) events: u64,
    pub(super) lengths: RunLengths,
}

impl Link {
    /// All events matched.
    pub(super) const ALL: u64 = u64::MAX;

    /// Returns where the run begins that ends at `end`, and from where on all events of its batches match.
    #[inline]
    pub(super) fn run(&self, end: Position) -> (Position, Position) {
        let back = |batches: u32| Position(end.0.saturating_sub(u64::from(batches)));
        (back(self.lengths.matched), back(self.lengths.all_events))
    }
}
