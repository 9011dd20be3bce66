//! Frees evicted batches, a few at a time: retires the segments that are out of reach, and empties them.
//! What is evicted is decided in `evict`. How much may be evicted and not freed yet is computed in `retention`.
//!
//! Invariants:
//! - the directory and `oldest` change together under the directory's lock whenever a segment leaves the directory;
//! - what is evicted and not freed yet stays within the slack
//!   ([`Retention::fits_slack`](super::retention::Retention::fits_slack)): the evicted part of the first segment, what
//!   is left in the retired segment, and the deferred drops. A segment that a reader still holds does not count;
//! - no payload is dropped here. What is freed moves to an [`Evicted`].
//!
//! Callers: `appender` and `evict` under the broker's lock; `core` for [`Appender::may_defer`].

use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

use super::appender::{Appender, Weighed};
use super::evicted::Evicted;
use super::retention::Cost;
use super::retired::Retired;
use super::seek::Placed;
use super::segment::Segment;
use super::shared::Log;
use crate::steps::{Step, count};
use crate::sync::Slot;
use crate::types::position::Run;

impl<T: Weighed + Placed + Clone> Appender<T> {
    /// Stores `oldest` for readers, and frees what exceeds the slack. `grown` is true if a segment was added.
    #[inline(never)]
    pub(super) fn finish_eviction(&mut self, log: &Log<T>, grown: bool, deferred: u64, evicted: &mut Evicted<T>) {
        // Emptied completely, before another segment becomes the retired one.
        let replaced = self.front_end <= self.oldest || self.exceeds_slack(self.front_evicted);
        self.empty_retired(deferred, replaced, evicted);
        if grown || replaced {
            self.retire_segments(log, evicted);
            // With small bounds the slack is zero, and everything must be freed.
            self.empty_retired(deferred, false, evicted);
        } else {
            log.frontier.set_oldest(self.oldest);
        }
    }

    /// Returns whether one more drop may be deferred, beside the given number of [deferred drops](Self::write).
    pub(crate) fn may_defer(&self, deferred: u64) -> bool {
        deferred < self.retention.max_deferred()
    }

    /// Returns whether more than the slack is evicted of a segment that cannot be freed, because it still holds a batch
    /// in reach.
    fn exceeds_slack(&self, front: Cost) -> bool {
        self.retention.weighs() && !self.retention.fits_slack(front)
    }

    /// Removes the segments that hold nothing in reach, retires them, and replaces the directory.
    fn retire_segments(&mut self, log: &Log<T>, evicted: &mut Evicted<T>) {
        let mut evicted_segments = SmallVec::<[Arc<Segment<T>>; 1]>::new();
        while self.front_end <= self.oldest {
            evicted_segments.extend(self.segments.pop_front());
            self.find_front_end();
        }
        let mut front = if evicted_segments.is_empty() { self.front_evicted } else { self.evicted_of_first() };
        if self.exceeds_slack(front) {
            evicted_segments.extend(self.split_first_segment());
            front = Cost::default();
        }
        log.directories.replace(&log.frontier, &self.segments, self.oldest, !evicted_segments.is_empty());
        if evicted_segments.is_empty() {
            return;
        }
        let left = mem::replace(&mut self.front_evicted, front).sub(front);
        for segment in evicted_segments {
            // If a window or a reader still holds the segment, it is the last to drop it.
            if let Some(mut segment) = Arc::into_inner(segment) {
                // The part in reach was copied. It is dropped with the copy.
                segment.clear_from(self.oldest);
                let before = self.retired.replace(Retired { segment, next: 0, left });
                evicted.add_segments(before.map(|before| before.segment));
            }
        }
    }

    /// Moves the part of the first segment that is in reach to a segment of its own. Returns the first segment, which
    /// holds the evicted part.
    ///
    /// It copies one reference for each batch. An eighth of the bounds has been evicted since the last time.
    #[cold]
    fn split_first_segment(&mut self) -> Option<Arc<Segment<T>>> {
        let first = self.segments.front()?;
        let rest = Arc::new(first.copy_from(self.oldest));
        if self.segments.len() == 1 {
            // The copy is also the last segment, so `tail_cost` counts what it holds. If that is nothing, `write` does
            // not close the segment before it has written to it.
            self.tail_cost = rest.values().fold(Cost::default(), |sum, value| sum.add(value.cost()));
        }
        let first = mem::replace(self.segments.front_mut()?, rest);
        self.find_front_end();
        Some(first)
    }

    /// Returns the cost of the evicted part of the first segment. It is a few batches when the segment has just become
    /// the first.
    fn evicted_of_first(&self) -> Cost {
        let Some(first) = self.segments.front() else { return Cost::default() };
        if !self.retention.weighs() {
            return Cost { batches: self.oldest.since(first.base()), ..Cost::default() };
        }
        let evicted = first.slots(Run { start: first.base(), end: self.oldest });
        count(Step::Move, evicted.len());
        evicted.iter().filter_map(Slot::get).fold(Cost::default(), |sum, value| sum.add(value.cost()))
    }

    /// Frees batches of the retired segment until what is evicted is within the slack, or all of them.
    #[inline]
    pub(super) fn empty_retired(&mut self, deferred: u64, all: bool, evicted: &mut Evicted<T>) {
        if let Some(retired) = &self.retired {
            // Usually one batch exceeds the slack, and nothing else needs to be computed.
            let keep = self.retention.slack_left(self.front_evicted.batches + deferred);
            if all || self.retention.weighs() || retired.left.batches > keep {
                self.empty_retired_to(keep, deferred, all, evicted);
            }
        }
    }

    #[inline(never)]
    fn empty_retired_to(&mut self, keep: u64, deferred: u64, all: bool, evicted: &mut Evicted<T>) {
        let Some(retired) = &mut self.retired else { return };
        if self.retention.weighs() {
            let front = self.front_evicted.add(Cost { batches: deferred, ..Cost::default() });
            while all || !self.retention.fits_slack(front.add(retired.left)) {
                let Some(value) = retired.take() else { break };
                retired.left = retired.left.sub(value.cost());
                evicted.add(value);
            }
        } else {
            let keep = if all { 0 } else { keep };
            while retired.left.batches > keep {
                let Some(value) = retired.take() else { break };
                retired.left.batches -= 1;
                evicted.add(value);
            }
        }
        if retired.is_empty() {
            self.spare = self.retired.take().map(|retired| retired.segment);
        }
    }
}
