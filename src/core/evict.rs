//! Eviction for what readers cache: charges count in the bytes of the buffer, and what exceeds the bound is evicted.
//! Room for a batch that is published is made in `publish`, and the order of the writes is decided in the log.
//!
//! Invariant: the observer is called, and payloads are dropped, after the lock is released.
//!
//! Callers: `cache_charge` through [`Buffer`], on the thread of a reader and without a lock.

use super::cache_charge::Buffer;
use super::publish::AfterUnlock;
use super::state::{Core, Record, State};
use crate::log::{CachedBytes, Charge, Log};
use crate::panics::ignore_panic;

/// What readers cache beside batches counts in the bytes of the buffer.
impl<P> Buffer for Core<P> {
    fn charge(&self, cached: &CachedBytes, bytes: u64) -> Charge {
        self.log.charge(cached, bytes)
    }

    fn refund(&self, cached: &CachedBytes, bytes: u64) {
        self.log.refund(cached, bytes);
    }

    /// Evicts the oldest batches until the buffer is within its bounds, but never the newest. Called after readers have
    /// cached something beside batches.
    ///
    /// No reader is woken: one that waits has passed everything. Dropping payloads runs foreign code. Its panic is
    /// caught, because the reader on this thread did not cause it.
    fn evict_excess(&self) {
        let mut after_unlock = AfterUnlock::default();
        self.state.lock_step().evict_excess(&self.log, self.dispatch.deferred_drops(), &mut after_unlock);
        self.observe_evicted(&after_unlock);
        ignore_panic(|| after_unlock.evicted.discard());
    }
}

impl<P> State<P> {
    fn evict_excess(&mut self, log: &Log<Record<P>>, deferred: u64, after_unlock: &mut AfterUnlock<P>) {
        let Self { appender, interest, counters, .. } = self;
        let oldest = appender.oldest();
        after_unlock.evicted_batches =
            appender.evict_excess(log, deferred, &mut after_unlock.evicted, |position, record| {
                interest.record_eviction(position, oldest, &record.events);
                after_unlock.evicted_through = record.place.index;
            });
        counters.evicted += after_unlock.evicted_batches;
    }
}
