//! Evicts the oldest batches: moves `oldest` on, until the bounds hold.
//! The bounds are computed in `retention`. When the memory of evicted batches is freed is decided in `free`.
//!
//! Invariants:
//! - an eviction for a batch that is to be written moves `oldest` in the appender only. [`Appender::write`] stores it
//!   for readers, after the slot;
//! - the newest batch is evicted only for another one, or by [`Appender::clear`];
//! - if bytes are bounded, an evicted batch's account is closed, and its cost is subtracted from the total.
//!
//! Callers: `core` under the broker's lock.

use std::sync::Arc;

use super::appender::{Appender, Weighed};
use super::evicted::Evicted;
use super::retention::Cost;
use super::seek::Placed;
use super::shared::Log;
use crate::steps::{Step, count};
use crate::types::position::Position;

impl<T: Weighed + Placed + Clone> Appender<T> {
    /// Evicts the oldest batches until one of this cost fits or nothing is left. Returns how many it evicted.
    /// [`write`](Self::write) must follow: readers learn of the eviction only when the new batch has been written.
    ///
    /// If `visit_evicted`, `on_evict` is called with each batch before it is evicted. If not, and batches are not
    /// weighed, no batch is read.
    #[inline]
    pub(crate) fn evict_to_fit(
        &mut self,
        log: &Log<T>,
        cost: Cost,
        visit_evicted: bool,
        on_evict: impl FnMut(Position, &T),
    ) -> u64 {
        if visit_evicted || self.retention.weighs() {
            return self.evict_weighed_to_fit(log, cost, on_evict);
        }
        let batches = self.end.since(self.oldest).min(self.retention.excess(self.end.since(self.oldest) + 1));
        self.oldest = Position(self.oldest.0 + batches);
        count(Step::Evict, usize::try_from(batches).unwrap_or(usize::MAX));
        self.front_evicted.batches += batches;
        self.indexes.evict(batches);
        batches
    }

    fn evict_weighed_to_fit(&mut self, log: &Log<T>, cost: Cost, mut on_evict: impl FnMut(Position, &T)) -> u64 {
        if log.bytes.are_bounded() {
            // Added before the total is read, so that a reader that charges bytes later finds that the total exceeds
            // the bound.
            log.bytes.add(cost.bytes);
        }
        let (retention, cost) = (self.retention, Cost { bytes: 0, ..cost });
        self.advance_oldest(log, |buffered, position, value| {
            let evict = !retention.holds(buffered.add(cost));
            if evict {
                on_evict(position, value);
            }
            evict
        })
    }

    /// Evicts the oldest batch for as long as `should_evict` returns true. It receives the cost of what is buffered,
    /// and the oldest batch with its position. Nothing is written, and the end does not move. Returns how many batches
    /// were evicted.
    ///
    /// `deferred` is as in [`write`](Self::write).
    #[cfg(any(feature = "json", test))]
    pub(crate) fn evict(
        &mut self,
        log: &Log<T>,
        deferred: u64,
        evicted: &mut Evicted<T>,
        should_evict: impl FnMut(Cost, Position, &T) -> bool,
    ) -> u64 {
        let batches = self.advance_oldest(log, should_evict);
        if batches > 0 {
            self.finish_eviction(log, false, deferred, evicted);
        }
        batches
    }

    /// Evicts the oldest batches until the bounds hold, but never the newest. `on_evict` is called with each batch
    /// before it is evicted.
    #[cfg(any(feature = "json", test))]
    pub(crate) fn evict_excess(
        &mut self,
        log: &Log<T>,
        deferred: u64,
        evicted: &mut Evicted<T>,
        mut on_evict: impl FnMut(Position, &T),
    ) -> u64 {
        let (retention, end) = (self.retention, self.end);
        self.evict(log, deferred, evicted, |buffered, position, value| {
            let evict = position.next() < end && !retention.holds(buffered);
            if evict {
                on_evict(position, value);
            }
            evict
        })
    }

    /// Moves `oldest` in the appender for as long as `should_evict` returns true. Readers do not see it until it is
    /// stored in the frontier.
    fn advance_oldest(&mut self, log: &Log<T>, mut should_evict: impl FnMut(Cost, Position, &T) -> bool) -> u64 {
        let bounded = log.bytes.are_bounded();
        let (mut oldest, mut buffered, mut front) = (self.oldest, self.buffered, self.front_evicted);
        while oldest < self.end {
            count(Step::Evict, 1);
            buffered.batches = self.end.since(oldest);
            buffered.bytes = if bounded { log.bytes.get() } else { 0 };
            if let Some(value) = self.get(oldest) {
                if !should_evict(buffered, oldest, value) {
                    break;
                }
                let cost = self.retention.weigh(if bounded { value.close() } else { value.cost() });
                buffered = buffered.sub(cost);
                front = front.add(cost);
                if bounded {
                    log.bytes.sub(cost.bytes);
                }
            }
            oldest = oldest.next();
        }
        buffered.bytes = 0;
        let batches = oldest.since(self.oldest);
        self.indexes.evict(batches);
        (self.oldest, self.buffered, self.front_evicted) = (oldest, buffered, front);
        batches
    }

    /// Evicts everything. From now on readers find the log empty.
    pub(crate) fn clear(&mut self, log: &Log<T>, evicted: &mut Evicted<T>) {
        if log.bytes.are_bounded() {
            self.advance_oldest(log, |_, _, _| true);
        }
        count(Step::Evict, usize::try_from(self.end.since(self.oldest)).unwrap_or(usize::MAX));
        self.oldest = self.end;
        self.indexes.clear();
        self.buffered = Cost::default();
        self.tail_cost = Cost::default();
        self.front_evicted = Cost::default();
        self.room = 0;
        let segments: Vec<_> = self.segments.drain(..).collect();
        self.find_front_end();
        log.directories.replace(&log.frontier, &self.segments, self.oldest, true);
        evicted.add_segments(segments.into_iter().filter_map(Arc::into_inner));
        evicted.add_segments(self.retired.take().map(|retired| retired.segment));
    }
}
