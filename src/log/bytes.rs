//! Bytes that readers may add to: the total of the buffer, and what is cached beside one batch.
//! When a batch is evicted is not decided here.
//!
//! A reader that is about to cache something [charges](TotalBytes::charge) it to the total, and then to the batch. The writer
//! that evicts a batch [closes](CachedBytes::close) its account, and subtracts what it found there from the total.
//!
//! Invariants:
//! - whatever an account holds was added to the total before, so the total never falls below what the accounts hold;
//! - a closed account does not change any more: who finds it closed takes the charge back from the total, and caches
//!   nothing. So what is evicted and not freed yet does not grow;
//! - whoever raises the total above the bound evicts until it fits: a reader after its charge, the publisher before
//!   it writes, having added the batch first.

use crate::sync::{AtomicU64, Ordering};

/// The most that one batch counts for, and the highest bound that is told from none: sums of a few do not overflow.
pub(crate) const HEAVIEST: u64 = 1 << 62;

/// What all batches in reach take, with what is cached beside them, and how much that may be.
#[derive(Debug)]
pub(crate) struct TotalBytes {
    held: AtomicU64,
    /// `u64::MAX` is none: then nothing is counted.
    bound: u64,
}

impl TotalBytes {
    pub(super) fn new(bound: Option<u64>) -> Self {
        Self { held: AtomicU64::new(0), bound: bound.unwrap_or(u64::MAX) }
    }

    /// Whether there is a bound. If not, nothing else may be called.
    #[inline]
    pub(super) fn are_bounded(&self) -> bool {
        self.bound != u64::MAX
    }

    // Relaxed: every change is a read-modify-write, so that the total is exact for whoever makes one, and nothing else
    // is known by it. That a charge is added before it is subtracted again is the accounts' business.

    /// Returns the new total.
    pub(super) fn add(&self, bytes: u64) -> u64 {
        self.held.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(super) fn sub(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// The account of one batch: the bytes cached beside it, until it is closed.
#[cfg(any(feature = "json", test))]
#[derive(Debug)]
pub(crate) struct CachedBytes(AtomicU64);

#[cfg(any(feature = "json", test))]
impl CachedBytes {
    /// Set when the batch has been evicted.
    const CLOSED: u64 = 1 << 63;

    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & !Self::CLOSED
    }

    /// Whether the batch has been evicted. If not, it may be by the time that this returns.
    fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Self::CLOSED != 0
    }

    /// Adds bytes, unless the account is closed. Release, with the Acquire of [`close`](Self::close): what the writer
    /// finds has been added to the total.
    fn charge(&self, bytes: u64) -> bool {
        self.change(Ordering::Release, |held| held + bytes)
    }

    /// Removes bytes that were charged, unless the account is closed. Release, as another's charge may be read with
    /// it.
    fn refund(&self, bytes: u64) -> bool {
        self.change(Ordering::Release, |held| held - bytes)
    }

    fn change(&self, set: Ordering, change: impl Fn(u64) -> u64) -> bool {
        let open = |word| (word & Self::CLOSED == 0).then(|| change(word));
        self.0.fetch_update(set, Ordering::Relaxed, open).is_ok()
    }

    /// Closes the account, and returns what it holds. Acquire, with the Release of [`charge`](Self::charge).
    pub(crate) fn close(&self) -> u64 {
        self.0.fetch_or(Self::CLOSED, Ordering::Acquire) & !Self::CLOSED
    }
}

/// What became of a charge.
#[cfg(any(feature = "json", test))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// The bytes count.
    Fits,
    /// They count, and there are more now than the bound allows: the oldest batches must go.
    Exceeds,
    /// The batch has been evicted: nothing may be cached beside it.
    Closed,
}

#[cfg(any(feature = "json", test))]
impl TotalBytes {
    /// Charges bytes that are about to be cached beside a batch.
    pub(super) fn charge(&self, account: &CachedBytes, bytes: u64) -> Charge {
        // Most that is evicted was so long ago, and then the total need not move back and forth.
        if account.is_closed() {
            return Charge::Closed;
        }
        let total = self.add(bytes);
        if !account.charge(bytes) {
            self.sub(bytes);
            Charge::Closed
        } else if total > self.bound {
            Charge::Exceeds
        } else {
            Charge::Fits
        }
    }

    /// Takes a charge back of what was not cached after all.
    pub(super) fn refund(&self, account: &CachedBytes, bytes: u64) {
        // What a closed account held was subtracted by whoever closed it.
        if account.refund(bytes) {
            self.sub(bytes);
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_closed_account_does_not_change() {
        let total = TotalBytes::new(Some(10));
        let account = CachedBytes::new();
        assert_eq!(total.charge(&account, 7), Charge::Fits);
        assert_eq!(total.charge(&account, 4), Charge::Exceeds);
        total.refund(&account, 4);
        assert_eq!((account.get(), total.get()), (7, 7));
        assert_eq!(account.close(), 7);
        total.sub(7);
        assert_eq!(total.charge(&account, 1), Charge::Closed);
        total.refund(&account, 7);
        assert_eq!((account.get(), total.get()), (7, 0));
        assert!(!account.charge(1), "also if it was closed after it was looked at");
    }
}
