//! What is cached beside a batch, charged to the bytes of its buffer.
//! What is cached is decided by the codec in `frame`, and how charges and evictions meet by the log.
//!
//! Invariant: whatever was charged, the buffer is within its bounds again when the account is dropped.
//!
//! Callers: readers that encode frames, without a lock. Dropping an account may take the broker's lock.

#[cfg(any(feature = "json", all(broker_loom, test)))]
use std::cell::{Cell, OnceCell};
#[cfg(not(any(feature = "json", all(broker_loom, test))))]
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
#[cfg(any(feature = "json", all(broker_loom, test)))]
use std::sync::{Arc, Weak};

#[cfg(feature = "json")]
use crate::frame::Account;
#[cfg(any(feature = "json", all(broker_loom, test)))]
use crate::log::{CachedBytes, Charge};

/// A buffer that is charged for what is cached beside its batches.
#[cfg(any(feature = "json", all(broker_loom, test)))]
pub(crate) trait Buffer {
    /// Charges bytes that are about to be cached beside the batch of this account.
    fn charge(&self, cached: &CachedBytes, bytes: u64) -> Charge;

    /// Takes back what was charged and then not cached.
    fn refund(&self, cached: &CachedBytes, bytes: u64);

    /// Evicts the oldest batches until the buffer is within its bounds, but never the newest.
    fn evict_excess(&self);
}

/// The buffer that is charged for what is cached. Dangling if bytes are not bounded.
///
/// A panic leaves the broker usable, so the buffer may be reached through a batch after one, as through any handle.
#[cfg(any(feature = "json", all(broker_loom, test)))]
#[derive(Debug)]
pub(crate) struct ChargedBuffer<B>(AssertUnwindSafe<Weak<B>>);

/// Without frames nothing is cached.
#[cfg(not(any(feature = "json", all(broker_loom, test))))]
#[derive(Debug)]
pub(crate) struct ChargedBuffer<B>(AssertUnwindSafe<PhantomData<fn() -> B>>);

#[cfg(any(feature = "json", all(broker_loom, test)))]
impl<B: Buffer> ChargedBuffer<B> {
    pub(crate) fn new(buffer: Weak<B>) -> Self {
        Self(AssertUnwindSafe(buffer))
    }

    /// Returns an account for what is cached beside the batch that has this counter.
    pub(crate) fn account<'b>(&'b self, cached: &'b CachedBytes) -> CacheAccount<'b, B> {
        CacheAccount { charged_buffer: self, cached, buffer: OnceCell::new(), exceeds: Cell::new(false) }
    }
}

#[cfg(not(any(feature = "json", all(broker_loom, test))))]
impl<B> ChargedBuffer<B> {
    pub(crate) fn none() -> Self {
        Self(AssertUnwindSafe(PhantomData))
    }
}

/// Charges what is cached beside a batch to the bytes of the buffer.
///
/// When it is dropped, the buffer is within its bounds again, unless the newest batch alone exceeds them. The oldest
/// batches are evicted for that, and the batch of the account may be one of them.
#[cfg(any(feature = "json", all(broker_loom, test)))]
pub(crate) struct CacheAccount<'b, B: Buffer> {
    charged_buffer: &'b ChargedBuffer<B>,
    cached: &'b CachedBytes,
    /// Looked up once there is something to charge.
    buffer: OnceCell<Option<Arc<B>>>,
    exceeds: Cell<bool>,
}

#[cfg(any(feature = "json", all(broker_loom, test)))]
impl<B: Buffer> CacheAccount<'_, B> {
    fn buffer(&self) -> Option<&B> {
        // A batch of a broker that is gone belongs to its holder, with all that is cached.
        self.buffer.get_or_init(|| self.charged_buffer.0.upgrade()).as_deref()
    }

    /// Charges bytes that are about to be cached. Returns whether they may be cached: beside a batch that has been
    /// evicted nothing more may be.
    pub(crate) fn charge(&self, bytes: u64) -> bool {
        let Some(buffer) = self.buffer() else { return true };
        match buffer.charge(self.cached, bytes) {
            Charge::Closed => false,
            Charge::Fits => true,
            Charge::Exceeds => {
                self.exceeds.set(true);
                true
            }
        }
    }

    /// Takes back what was charged and then not cached.
    pub(crate) fn refund(&self, bytes: u64) {
        if let Some(buffer) = self.buffer() {
            buffer.refund(self.cached, bytes);
        }
    }
}

#[cfg(feature = "json")]
impl<B: Buffer> Account for CacheAccount<'_, B> {
    fn charge(&self, bytes: u64) -> bool {
        self.charge(bytes)
    }

    fn refund(&self, bytes: u64) {
        self.refund(bytes);
    }
}

#[cfg(any(feature = "json", all(broker_loom, test)))]
impl<B: Buffer> Drop for CacheAccount<'_, B> {
    fn drop(&mut self) {
        if self.exceeds.get()
            && let Some(buffer) = self.buffer()
        {
            buffer.evict_excess();
        }
    }
}
