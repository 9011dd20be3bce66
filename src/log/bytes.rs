//! Counts bytes that readers add to: the total of the log, and an account of what is cached beside each batch.
//! Which batches are evicted, and when, is decided in `evict`.
//!
//! A reader that is about to cache something [charges](TotalBytes::charge) it to the total first, and then to the
//! batch's account. The writer that evicts a batch [closes](CachedBytes::close) its account, and subtracts its final
//! value from the total.
//!
//! Invariants:
//! - every charge is added to the total before it is added to an account, so the total is never below the sum of the
//!   accounts;
//! - a closed account does not change any more. A reader that finds it closed subtracts its charge from the total again
//!   and caches nothing. So what is evicted and not freed yet does not grow;
//! - a thread that raises the total above the bound evicts until it fits: a reader after its charge, and the publisher
//!   before it writes, having added the batch to the total first.
//!
//! Callers: `evict` under the broker's lock; `core`, through the [`Log`](super::Log), without it when readers cache
//! encoded forms.

use crate::sync::{AtomicU64, Ordering};

/// The most bytes that one batch counts for, and the highest bound in bytes. It is low enough that sums of a few such
/// numbers do not overflow.
pub(crate) const MAX_BYTES: u64 = 1 << 62;

/// The bytes of all batches in reach, including what is cached beside them, and their bound.
#[derive(Debug)]
pub(crate) struct TotalBytes {
    buffered: AtomicU64,
    /// `u64::MAX` means that there is no bound. Then nothing is counted.
    bound: u64,
}

impl TotalBytes {
    pub(super) fn new(bound: Option<u64>) -> Self {
        Self { buffered: AtomicU64::new(0), bound: bound.unwrap_or(u64::MAX) }
    }

    /// Returns whether there is a bound. Without one, no other method may be called.
    #[inline]
    pub(super) fn are_bounded(&self) -> bool {
        self.bound != u64::MAX
    }

    // Relaxed: every change is a read-modify-write, so the total is exact for the thread that makes one, and no other
    // memory is read because of it. The Release in `CachedBytes::charge` orders a charge before its subtraction.

    /// Adds bytes, and returns the new total.
    pub(super) fn add(&self, bytes: u64) -> u64 {
        self.buffered.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(super) fn sub(&self, bytes: u64) {
        self.buffered.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.buffered.load(Ordering::Relaxed)
    }
}

/// The account of one batch: the bytes cached beside it. It is closed when the batch is evicted.
#[cfg(any(feature = "json", test))]
#[derive(Debug)]
pub(crate) struct CachedBytes(AtomicU64);

#[cfg(any(feature = "json", test))]
impl CachedBytes {
    /// The bit that is set when the account is closed.
    const CLOSED: u64 = 1 << 63;

    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & !Self::CLOSED
    }

    /// Returns whether the batch has been evicted. If not, it may be by the time that this returns.
    fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Self::CLOSED != 0
    }

    /// Adds bytes, unless the account is closed. Release, pairs with the Acquire in [`close`](Self::close): the bytes
    /// that the writer subtracts have been added to the total.
    fn charge(&self, bytes: u64) -> bool {
        self.change(Ordering::Release, |held| held + bytes)
    }

    /// Subtracts bytes that were charged, unless the account is closed. Release, pairs with the Acquire in
    /// [`close`](Self::close), because the value may include another reader's charge.
    fn refund(&self, bytes: u64) -> bool {
        self.change(Ordering::Release, |held| held - bytes)
    }

    fn change(&self, set: Ordering, change: impl Fn(u64) -> u64) -> bool {
        let open = |word| (word & Self::CLOSED == 0).then(|| change(word));
        self.0.fetch_update(set, Ordering::Relaxed, open).is_ok()
    }

    /// Closes the account, and returns what it holds. Acquire, pairs with the Release in [`charge`](Self::charge) and
    /// [`refund`](Self::refund).
    pub(crate) fn close(&self) -> u64 {
        self.0.fetch_or(Self::CLOSED, Ordering::Acquire) & !Self::CLOSED
    }
}

/// The outcome of a charge.
#[cfg(any(feature = "json", test))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// The bytes were charged, and the total is within the bound.
    Fits,
    /// The bytes were charged, and the total exceeds the bound. The oldest batches must be evicted.
    Exceeds,
    /// The batch has been evicted. Nothing was charged, and nothing may be cached beside it.
    Closed,
}

#[cfg(any(feature = "json", test))]
impl TotalBytes {
    /// Charges bytes that are about to be cached beside a batch.
    pub(super) fn charge(&self, account: &CachedBytes, bytes: u64) -> Charge {
        // Most evicted batches were evicted long ago. This check spares the total a change back and forth.
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

    /// Removes a charge for something that was not cached.
    pub(super) fn refund(&self, account: &CachedBytes, bytes: u64) {
        // The writer that closed the account has subtracted what it held.
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
        assert!(!account.charge(1), "also if it was closed after `is_closed` was called");
    }
}
