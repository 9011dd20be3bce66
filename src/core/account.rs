//! The account of a batch: what is cached beside it counts in the bytes of its buffer.
//! What is cached, and how, is the codec's; how charges and evictions meet, the log's.
//!
//! Invariant: whatever was charged, the buffer is within its bounds again when the account is dropped.

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

/// A buffer that pays for what is cached beside its batches.
#[cfg(any(feature = "json", all(broker_loom, test)))]
pub(crate) trait Buffer {
    /// Charges bytes that are about to be cached beside the batch of this account.
    fn charge(&self, cached: &CachedBytes, bytes: u64) -> Charge;

    /// Takes back what was charged and has not been cached after all.
    fn refund(&self, cached: &CachedBytes, bytes: u64);

    /// Evicts the oldest batches until the buffer is within its bounds, but never the newest.
    fn evict_excess(&self);
}

/// The buffer that what is cached counts in; none if bytes are not bounded.
///
/// A panic leaves the broker usable: it may be looked at through a batch after one, as through any handle.
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

    /// Returns an account to charge what is cached to, beside the batch that has cached so much.
    pub(crate) fn account<'b>(&'b self, cached: &'b CachedBytes) -> CacheAccount<'b, B> {
        CacheAccount { home: self, cached, buffer: OnceCell::new(), exceeds: Cell::new(false) }
    }
}

#[cfg(not(any(feature = "json", all(broker_loom, test))))]
impl<B> ChargedBuffer<B> {
    pub(crate) fn none() -> Self {
        Self(AssertUnwindSafe(PhantomData))
    }
}

/// Charges what is cached beside a batch to the buffer's bytes.
///
/// Whatever it charged, the buffer is within its bounds again when it is dropped, unless the newest batch alone is not:
/// the oldest batches are evicted, which may be that of the account.
#[cfg(any(feature = "json", all(broker_loom, test)))]
pub(crate) struct CacheAccount<'b, B: Buffer> {
    home: &'b ChargedBuffer<B>,
    cached: &'b CachedBytes,
    /// Looked for once there is something to charge.
    buffer: OnceCell<Option<Arc<B>>>,
    exceeds: Cell<bool>,
}

#[cfg(any(feature = "json", all(broker_loom, test)))]
impl<B: Buffer> CacheAccount<'_, B> {
    fn buffer(&self) -> Option<&B> {
        // Whoever holds a batch of a broker that is gone holds what is cached, too.
        self.buffer.get_or_init(|| self.home.0.upgrade()).as_deref()
    }

    /// Charges bytes that are about to be cached. Returns whether they may be: a batch that has been evicted takes
    /// nothing more.
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

    /// Takes back what was charged and has not been cached after all.
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
