//! The gate of one subscription: has access changed, has it been ended from outside.
//! What to do about it is decided by the reader that looks.

use crate::sync::{AtomicU64, Ordering};

/// One word, so that a reader checks everything with one load: six flags, and above them a count of access changes.
/// Four flags are ends; one says that a part of the history was skipped, and is cleared by the reader; one that the
/// reader has left.
///
/// This is the fence: a publisher passes a change through the gates it concerns before it makes the position visible
/// that brought it. A reader loads the end of the log first and the gate after it, so one that sees the position sees
/// the change, and hands out nothing under the old grant. The position itself need not be kept.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU64);

/// What a gate said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateState(u64);

/// Why a subscription was ended from outside, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Ending {
    Reset = 1,
    TokenDeleted = 2,
    Expired = 4,
    Cancelled = 8,
}

const SKIPPED: u64 = 16;
const LEFT: u64 = 32;
const CHANGE: u64 = 64;

impl Gate {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Acquire, with the Release of the two writes: whoever sees a change sees what it was made from.
    #[inline]
    pub(crate) fn state(&self) -> GateState {
        GateState(self.0.load(Ordering::Acquire))
    }

    /// Access has changed: the grant is to be asked for again.
    pub(crate) fn change(&self) {
        self.0.fetch_add(CHANGE, Ordering::Release);
    }

    pub(crate) fn end(&self, ending: Ending) {
        self.0.fetch_or(ending as u64, Ordering::Release);
    }

    /// The history goes on behind a part that was never published here, and the reader stands before it.
    pub(crate) fn skip(&self) {
        self.0.fetch_or(SKIPPED, Ordering::Release);
    }

    /// The reader has left: nobody keeps account of what it loses any more.
    pub(crate) fn leave(&self) {
        self.0.fetch_or(LEFT, Ordering::Release);
    }

    /// Takes notice of a skip. Acquire: what the reader looks at next is as it is after the skip. A skip that comes
    /// later sets the flag again.
    pub(crate) fn clear_skipped(&self) {
        self.0.fetch_and(!SKIPPED, Ordering::AcqRel);
    }
}

impl GateState {
    /// What a new gate says.
    pub(crate) const OPEN: Self = Self(0);

    #[inline]
    pub(crate) fn is(self, ending: Ending) -> bool {
        self.0 & ending as u64 != 0
    }

    /// Whether it was ended for a reason that does not wait for an answer about access.
    pub(crate) fn is_ended_at_once(self) -> bool {
        self.0 & (Ending::Reset as u64 | Ending::TokenDeleted as u64 | Ending::Cancelled as u64) != 0
    }

    #[inline]
    pub(crate) fn is_skipped(self) -> bool {
        self.0 & SKIPPED != 0
    }

    pub(crate) fn has_left(self) -> bool {
        self.0 & LEFT != 0
    }

    /// The same after [`Gate::clear_skipped`].
    pub(crate) fn without_skipped(self) -> Self {
        Self(self.0 & !SKIPPED)
    }

    /// The same flags, with the changes of `other`.
    pub(crate) fn with_changes_of(self, other: Self) -> Self {
        Self(self.0 % CHANGE + other.0 / CHANGE * CHANGE)
    }

    /// How many access changes there were: only their being equal means anything.
    #[inline]
    pub(crate) fn changes(self) -> u64 {
        self.0 / CHANGE
    }
}
