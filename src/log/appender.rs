//! Implements the log's one writer: it appends batches, and makes them visible to readers.
//! What is evicted is decided in `evict`, and when it is freed in `free`. What is published, and who is woken for it, is
//! decided in `core`.
//!
//! Invariants:
//! - a slot is written before `oldest` moves in the frontier, and `oldest` moves before `end`;
//! - a slot is written once. Positions are written without gaps;
//! - `indexes` holds one index for each position in `oldest..end`.
//!
//! Callers: `core` under the broker's lock.

use std::collections::VecDeque;
use std::sync::Arc;

use super::evicted::Evicted;
use super::frontier::End;
use super::retention::{Cost, Retention};
use super::retired::Retired;
use super::seek::{Indexes, Placed};
use super::segment::Segment;
use super::shared::Log;
use crate::types::position::Position;
use crate::types::token::Place;

/// A batch as the log counts it.
pub(crate) trait Weighed {
    /// Returns what the batch counts for, including what is cached beside it.
    fn cost(&self) -> Cost;
    /// Returns the final cost, and closes the batch's account: nothing more is cached beside it. Called only if bytes
    /// are bounded.
    fn close(&self) -> Cost;
    /// Returns how many events were written before the batch.
    fn events_before(&self) -> u64;
}

/// The writer's side of the log. A publish [evicts](Self::evict_to_fit) until the batch fits, [writes](Self::write) the
/// slot, and then [moves the end](Self::make_visible).
///
/// Evicted batches are not freed one by one in place, because their segment is shared with readers as a whole. When a
/// segment is out of reach, and no reader holds it, the appender keeps it as [`retired`](Retired). Each publish then
/// frees as many of its batches as are evicted from the next segment. So a publish frees about one batch, instead of a
/// whole segment once in many publishes. The evicted batches in both segments together stay within an eighth of the
/// bounds.
///
/// A segment is closed early where batches are weighed, so that what is written to it fits into that eighth as well.
/// The appender does not know then what readers will cache beside the batches later. If more of the first segment is
/// evicted than may stay, the part in reach moves to a segment of its own.
#[derive(Debug)]
pub(crate) struct Appender<T> {
    pub(super) retention: Retention,
    /// The segments of the readers' directory. The appender writes to the last one.
    pub(super) segments: VecDeque<Arc<Segment<T>>>,
    /// The indexes of all batches in `oldest..end`.
    pub(super) indexes: Indexes,
    pub(super) oldest: Position,
    pub(super) end: Position,
    /// The number of slots left in the last segment.
    pub(super) room: usize,
    /// The position at which the first segment ends, or `u64::MAX` if there is no segment.
    pub(super) front_end: Position,
    /// The number of events written so far.
    events: u64,
    /// The cost of `oldest..end`. Events are counted only if the retention [weighs](Retention::weighs). The number of
    /// batches is computed from the positions where it is needed. The bytes are counted by the log, because readers add
    /// to them.
    pub(super) buffered: Cost,
    /// The cost of all that was written to the last segment, evicted or not.
    pub(super) tail_cost: Cost,
    /// The cost of the evicted part of the first segment.
    pub(super) front_evicted: Cost,
    pub(super) retired: Option<Retired<T>>,
    /// A retired segment that is empty, kept to be written to again. Allocating a segment is by far the largest
    /// allocation of a publish.
    pub(super) spare: Option<Segment<T>>,
    closed: bool,
}

impl<T: Weighed + Placed + Clone> Appender<T> {
    pub(crate) fn new(retention: Retention) -> Self {
        Self {
            retention,
            segments: VecDeque::new(),
            indexes: Indexes::default(),
            oldest: Position::ZERO,
            end: Position::ZERO,
            room: 0,
            front_end: Position(u64::MAX),
            events: 0,
            buffered: Cost::default(),
            tail_cost: Cost::default(),
            front_evicted: Cost::default(),
            retired: None,
            spare: None,
            closed: false,
        }
    }

    pub(crate) fn oldest(&self) -> Position {
        self.oldest
    }

    /// Returns the position of the next batch.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Returns the number of events written so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Returns how many batches and events are in reach.
    pub(crate) fn buffered(&self) -> (u64, u64) {
        let before = self.get(self.oldest).map_or(self.events, Weighed::events_before);
        (self.end.since(self.oldest), self.events - before)
    }

    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        if position < self.oldest {
            return None;
        }
        // Eviction reads the oldest batch, which is nearly always in the first segment.
        if let Some(value) = self.segments.front()?.get(position) {
            return Some(value);
        }
        let after = self.segments.partition_point(|segment| segment.base() <= position);
        self.segments.get(after.checked_sub(1)?)?.get(position)
    }

    /// Returns the first position whose place is at least `from`, or the end.
    pub(crate) fn seek(&self, from: Place) -> Position {
        self.indexes.seek(self.oldest, from, |position| self.get(position).map(Placed::place))
    }

    /// Writes the batch at [`end`](Self::end), and stores the new `oldest` in the frontier. Readers do not see the
    /// batch before [`make_visible`](Self::make_visible).
    ///
    /// The slot is written before `oldest` moves, so that the oldest position can always be read. A reader that was
    /// overtaken learns where it continues without waiting for the publisher.
    ///
    /// `deferred` is the number of deferred drops: evicted batches that the dispatcher is to drop and has not dropped
    /// yet.
    pub(crate) fn write(&mut self, log: &Log<T>, value: T, cost: Cost, deferred: u64, evicted: &mut Evicted<T>) {
        let weighs = self.retention.weighs();
        let full = self.room == 0
            || weighs && self.tail_cost.batches > 0 && !self.retention.fits_slack(self.tail_cost.add(cost));
        if full {
            self.add_segment();
        }
        self.indexes.push(value.place().index);
        if let Some(tail) = self.segments.back() {
            tail.set(self.end, value);
        }
        self.room -= 1;
        self.events += cost.events;
        self.tail_cost.batches += 1;
        if weighs {
            self.tail_cost = self.tail_cost.add(Cost { batches: 0, ..cost });
            self.buffered.events += cost.events;
        }
        if weighs || full || self.front_end <= self.oldest {
            self.finish_eviction(log, full, deferred, evicted);
        } else {
            self.empty_retired(deferred, false, evicted);
            log.frontier.set_oldest(self.oldest);
        }
    }

    /// Makes the written batch visible as a whole. The caller checks for waiters after it, so the store is sequentially
    /// consistent: see `Frontier::store_end_seq_cst`.
    pub(crate) fn make_visible(&mut self, log: &Log<T>) {
        self.end = self.end.next();
        log.frontier.store_end_seq_cst(End { position: self.end, closed: self.closed });
    }

    /// Closes the log: readers learn that nothing follows the end.
    pub(crate) fn close(&mut self, log: &Log<T>) {
        self.closed = true;
        log.frontier.set_end(End { position: self.end, closed: true });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds a segment. Its length depends on how much of the last one was used.
    fn add_segment(&mut self) {
        let len = self.segments.back().map_or(0, |tail| tail.len());
        let len = self.retention.next_segment_len(len, len - self.room);
        let segment = match self.spare.take_if(|spare| spare.len() == len) {
            Some(spare) => spare.rebase(self.end),
            None => Segment::new(self.end, len),
        };
        self.segments.push_back(Arc::new(segment));
        (self.room, self.tail_cost) = (len, Cost::default());
        self.find_front_end();
    }

    /// Finds the position at which the first segment ends. The last segment ends where its slots do.
    pub(super) fn find_front_end(&mut self) {
        let end = |front: &Arc<Segment<T>>| Position(front.base().0 + front.len() as u64);
        self.front_end = match (self.segments.front(), self.segments.get(1)) {
            (_, Some(next)) => next.base(),
            (Some(front), None) => end(front),
            (None, None) => Position(u64::MAX),
        };
    }
}
