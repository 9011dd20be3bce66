//! The account of a batch: what is cached beside it counts in the bytes of the buffer.
//! What is cached, and how, is the codec's; how charges and evictions meet, the log's.

use std::cell::{Cell, OnceCell};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use super::Published;
use crate::broker::Core;
#[cfg(feature = "json")]
use crate::frame::Account;
use crate::log::Charge;

/// The broker whose buffer what is cached counts in; none if bytes are not bounded.
///
/// A panic leaves the broker usable: it may be looked at through a batch after one, as through any handle.
#[derive(Debug)]
pub(crate) struct Home<P>(AssertUnwindSafe<Weak<Core<P>>>);

impl<P> Home<P> {
    pub(crate) fn new(core: Weak<Core<P>>) -> Self {
        Self(AssertUnwindSafe(core))
    }
}

/// Charges what is cached beside a batch to the buffer's bytes.
///
/// Whatever it charged, the buffer is within its bounds again when it is dropped, unless the newest batch alone is not:
/// the oldest batches are evicted, which may be that of the account.
pub(crate) struct Charging<'b, P> {
    batch: &'b Published<P>,
    /// Looked for once there is something to charge.
    core: OnceCell<Option<Arc<Core<P>>>>,
    exceeds: Cell<bool>,
}

impl<P> Published<P> {
    /// What is cached beside the batch is charged to this.
    pub(crate) fn account(&self) -> Charging<'_, P> {
        Charging { batch: self, core: OnceCell::new(), exceeds: Cell::new(false) }
    }
}

impl<P> Charging<'_, P> {
    fn core(&self) -> Option<&Core<P>> {
        // Whoever holds a batch of a broker that is gone holds what is cached, too.
        self.core.get_or_init(|| self.batch.home.0.upgrade()).as_deref()
    }

    /// Charges bytes that are about to be cached. Returns whether they may be: a batch that has been evicted takes
    /// nothing more.
    pub(crate) fn charge(&self, bytes: u64) -> bool {
        let Some(core) = self.core() else { return true };
        match core.log.charge(&self.batch.cached, bytes) {
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
        if let Some(core) = self.core() {
            core.log.refund(&self.batch.cached, bytes);
        }
    }
}

#[cfg(feature = "json")]
impl<P> Account for Charging<'_, P> {
    fn charge(&self, bytes: u64) -> bool {
        self.charge(bytes)
    }

    fn refund(&self, bytes: u64) {
        self.refund(bytes);
    }
}

impl<P> Drop for Charging<'_, P> {
    fn drop(&mut self) {
        if self.exceeds.get()
            && let Some(core) = self.core()
        {
            core.evict_excess();
        }
    }
}
