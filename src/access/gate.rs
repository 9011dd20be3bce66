//! The gate of one subscription: an atomic word that reports access changes, ends from outside and skips.
//! What a reader does about them is decided in `subscription::gate_check`; whom a change concerns, in `core`.
//!
//! Invariants:
//! - Fence: a publisher records a change in every gate that it concerns before the end in `log::frontier` reveals the
//!   position that carries it. A reader loads that end first and the gate after it. A reader that sees the position
//!   therefore sees the change, and hands out nothing under the old grant. The gate need not hold the position.
//! - A flag that is set stays set. The only exception is the flag of a skip, which the reader clears.
//!
//! Callers: `core` records changes, ends, skips and leaving under the broker's lock. `subscription` reads the gate,
//! clears or restores a skip and cancels without it.

use crate::sync::{AtomicU64, Ordering};

/// One word, so that a reader checks everything with one load. The low six bits are flags, and the bits above them
/// count access changes.
///
/// Four flags are ends. `SKIPPED` reports that a part of the history was skipped. `LEFT` reports that the reader has
/// left.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU64);

/// The value of a gate at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateState(u64);

/// Why a subscription was ended from outside, in falling order of precedence.
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

    /// Loads the state. Acquire, paired with the Release in [`change`](Self::change), [`end`](Self::end),
    /// [`set_skipped`](Self::set_skipped) and [`set_left`](Self::set_left): a reader that sees a change sees everything that preceded it.
    #[inline]
    pub(crate) fn state(&self) -> GateState {
        GateState(self.0.load(Ordering::Acquire))
    }

    /// Counts an access change, so that the reader asks the authorizer again.
    pub(crate) fn change(&self) {
        self.0.fetch_add(CHANGE, Ordering::Release);
    }

    pub(crate) fn end(&self, ending: Ending) {
        self.0.fetch_or(ending as u64, Ordering::Release);
    }

    /// Reports that a part of the history was skipped, which was never published here, and that the reader is before
    /// it.
    pub(crate) fn set_skipped(&self) {
        self.0.fetch_or(SKIPPED, Ordering::Release);
    }

    /// Reports that the reader has left, so that its losses are no longer accounted for.
    pub(crate) fn set_left(&self) {
        self.0.fetch_or(LEFT, Ordering::Release);
    }

    /// Clears the flag of a skip. Acquire, paired with the Release in [`set_skipped`](Self::set_skipped): what the
    /// reader loads next is at least as new as the skip. A later skip sets the flag again.
    pub(crate) fn clear_skipped(&self) {
        self.0.fetch_and(!SKIPPED, Ordering::AcqRel);
    }
}

impl GateState {
    /// The state of a new gate.
    pub(crate) const OPEN: Self = Self(0);

    #[inline]
    pub(crate) fn is(self, ending: Ending) -> bool {
        self.0 & ending as u64 != 0
    }

    /// Returns whether the subscription was reset, cancelled or lost its token. These ends do not wait for the
    /// authorizer's decision.
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

    /// Returns this state as it is after [`Gate::clear_skipped`].
    pub(crate) fn without_skipped(self) -> Self {
        Self(self.0 & !SKIPPED)
    }

    /// Returns the flags of this state with the change count of `other`.
    pub(crate) fn with_changes_of(self, other: Self) -> Self {
        Self(self.0 % CHANGE + other.0 / CHANGE * CHANGE)
    }

    /// Returns the number of access changes. Only its equality is meaningful.
    #[inline]
    pub(crate) fn changes(self) -> u64 {
        self.0 / CHANGE
    }
}
