//! Implements the log's one writer: appending, eviction, and the order in which readers come to see a batch.
//! What is published, and who is woken for it, is decided in `core`; the bounds are computed in `retention`.
//!
//! Invariants:
//! - a slot is written before `oldest` moves, and `oldest` moves before `end`;
//! - the directory and `oldest` change together under the directory's lock whenever a segment leaves the directory;
//! - what is evicted and not freed yet stays within the slack ([`Retention::fits_slack`]): the evicted part of the
//!   first segment, what is left in the retired segment, and the deferred drops. A segment that a reader still holds
//!   does not count.
//!
//! Callers: `core` under the broker's lock. It drops what [`Evicted`] holds after the lock.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

use super::directory::Directory;
use super::frontier::End;
use super::retention::{Cost, Retention};
use super::seek::{Indexes, Placed};
use super::segment::Segment;
use super::shared::Log;
use crate::panics::Panics;
use crate::steps::{Step, count};
use crate::sync::Slot;
use crate::types::position::{Position, Run};
use crate::types::token::Place;

/// A batch as the log counts it.
pub(crate) trait Weighed {
    /// Returns what the batch counts for, including what is cached beside it.
    fn cost(&self) -> Cost;
    /// Returns the same for the last time. From now on nothing more is cached beside the batch. Called only if bytes
    /// are bounded.
    fn close(&self) -> Cost;
    /// Returns how many events were written before the batch.
    fn events_before(&self) -> u64;
}

/// What was evicted. It holds payloads, so the caller drops it after it has released the lock.
#[derive(Debug)]
pub(crate) struct Evicted<T> {
    /// Mostly the only one. There are two when a segment is replaced, and where batches are weighed.
    one: Option<T>,
    two: Option<T>,
    more: Option<Box<More<T>>>,
}

#[derive(Debug)]
struct More<T> {
    values: Vec<T>,
    segments: Vec<Segment<T>>,
}

impl<T> Evicted<T> {
    /// Takes one of the evicted batches, so that the dispatcher can drop it.
    pub(crate) fn take_one(&mut self) -> Option<T> {
        self.one.take()
    }

    #[inline]
    pub(crate) fn add(&mut self, value: T) {
        if self.one.is_none() {
            self.one = Some(value);
        } else if self.two.is_none() {
            self.two = Some(value);
        } else {
            self.more().values.push(value);
        }
    }

    fn add_segments(&mut self, segments: impl IntoIterator<Item = Segment<T>>) {
        let mut segments = segments.into_iter().peekable();
        if segments.peek().is_some() {
            self.more().segments.extend(segments);
        }
    }

    #[cold]
    fn more(&mut self) -> &mut More<T> {
        self.more.get_or_insert_default()
    }

    /// Drops everything. Payloads are foreign code: a panic in one drop does not keep the others from being dropped,
    /// and the first panic resumes when all are dropped. Must not be called under a lock.
    #[inline]
    pub(crate) fn discard(self) {
        if self.two.is_some() || self.more.is_some() {
            self.discard_many();
        }
    }

    #[cold]
    fn discard_many(self) {
        let more = self.more.map_or_else(More::default, |more| *more);
        let mut panics = Panics::default();
        self.one.into_iter().chain(self.two).chain(more.values).for_each(|value| panics.catch(|| drop(value)));
        more.segments.into_iter().for_each(|segment| panics.catch(|| drop(segment)));
        panics.resume();
    }
}

impl<T> Default for Evicted<T> {
    fn default() -> Self {
        Self { one: None, two: None, more: None }
    }
}

impl<T> Default for More<T> {
    fn default() -> Self {
        Self { values: Vec::new(), segments: Vec::new() }
    }
}

/// The writer's side of the log. A publish makes room, writes the slot, and then moves the end.
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
    retention: Retention,
    /// The segments of the readers' directory. The appender writes to the last one.
    segments: VecDeque<Arc<Segment<T>>>,
    /// The indexes of all batches in `oldest..end`.
    indexes: Indexes,
    oldest: Position,
    end: Position,
    /// The number of slots left in the last segment.
    room: usize,
    /// The position at which the first segment ends, or `u64::MAX` if there is no segment.
    front_end: Position,
    /// The number of events written so far.
    events: u64,
    /// The cost of `oldest..end`. Events are counted only if the retention [weighs](Retention::weighs). The number of
    /// batches is computed from the positions where it is needed. The bytes are counted by the log, because readers add
    /// to them.
    held: Cost,
    /// The cost of all that was written to the last segment, evicted or not.
    tail_cost: Cost,
    /// The cost of the evicted part of the first segment.
    front_evicted: Cost,
    retired: Option<Retired<T>>,
    /// A retired segment that is empty, kept to be written to again. Allocating a segment is by far the largest
    /// allocation of a publish.
    spare: Option<Segment<T>>,
    closed: bool,
}

/// A segment that is out of reach and that no reader holds, with what is left in it.
#[derive(Debug)]
struct Retired<T> {
    segment: Segment<T>,
    next: usize,
    /// An upper bound of the cost of what is left.
    left: Cost,
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
            held: Cost::default(),
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
    pub(crate) fn held(&self) -> (u64, u64) {
        let before = self.get(self.oldest).map_or(self.events, Weighed::events_before);
        (self.end.since(self.oldest), self.events - before)
    }

    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        if position < self.oldest {
            return None;
        }
        // Eviction asks for the oldest batch, which is nearly always in the first segment.
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

    /// Evicts the oldest batches until one of this cost fits or nothing is left. Returns how many it evicted.
    /// [`write`](Self::write) must follow: readers learn of the eviction only when the new batch has been written.
    ///
    /// `on_evict` sees each batch before it is evicted, if `watched`. If it is not, and batches are not weighed, no
    /// batch is looked at.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        log: &Log<T>,
        cost: Cost,
        watched: bool,
        on_evict: impl FnMut(Position, &T),
    ) -> u64 {
        if watched || self.retention.weighs() {
            return self.make_weighed_room(log, cost, on_evict);
        }
        let batches = self.end.since(self.oldest).min(self.retention.excess(self.end.since(self.oldest) + 1));
        self.oldest = Position(self.oldest.0 + batches);
        count(Step::Evict, usize::try_from(batches).unwrap_or(usize::MAX));
        self.front_evicted.batches += batches;
        self.indexes.evict(batches);
        batches
    }

    fn make_weighed_room(&mut self, log: &Log<T>, cost: Cost, mut on_evict: impl FnMut(Position, &T)) -> u64 {
        if log.bytes.are_bounded() {
            // Added before the total is read, so that a reader that charges bytes later finds that the total exceeds
            // the bound.
            log.bytes.add(cost.bytes);
        }
        let (retention, cost) = (self.retention, Cost { bytes: 0, ..cost });
        self.advance_oldest(log, |held, position, value| {
            let goes = !retention.holds(held.add(cost));
            if goes {
                on_evict(position, value);
            }
            goes
        })
    }

    /// Evicts the oldest batch for as long as `should_evict` returns true. It receives the cost of what is held, and
    /// the oldest batch with its position. Nothing is written, and the end does not move. Returns how many batches were
    /// evicted.
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

    /// Evicts the oldest batches until the bounds hold, but never the newest. `on_evict` sees each batch before it is
    /// evicted.
    #[cfg(any(feature = "json", test))]
    pub(crate) fn evict_excess(
        &mut self,
        log: &Log<T>,
        deferred: u64,
        evicted: &mut Evicted<T>,
        mut on_evict: impl FnMut(Position, &T),
    ) -> u64 {
        let (retention, end) = (self.retention, self.end);
        self.evict(log, deferred, evicted, |held, position, value| {
            let goes = position.next() < end && !retention.holds(held);
            if goes {
                on_evict(position, value);
            }
            goes
        })
    }

    /// Moves `oldest` in the appender. Readers do not see it until it is stored in the frontier.
    fn advance_oldest(&mut self, log: &Log<T>, mut should_evict: impl FnMut(Cost, Position, &T) -> bool) -> u64 {
        let bounded = log.bytes.are_bounded();
        let (mut oldest, mut held, mut front) = (self.oldest, self.held, self.front_evicted);
        while oldest < self.end {
            count(Step::Evict, 1);
            held.batches = self.end.since(oldest);
            held.bytes = if bounded { log.bytes.get() } else { 0 };
            if let Some(value) = self.get(oldest) {
                if !should_evict(held, oldest, value) {
                    break;
                }
                let cost = self.retention.weigh(if bounded { value.close() } else { value.cost() });
                held = held.sub(cost);
                front = front.add(cost);
                if bounded {
                    log.bytes.sub(cost.bytes);
                }
            }
            oldest = oldest.next();
        }
        held.bytes = 0;
        let batches = oldest.since(self.oldest);
        self.indexes.evict(batches);
        (self.oldest, self.held, self.front_evicted) = (oldest, held, front);
        batches
    }

    /// Evicts everything. A reader that looks from now on finds the log empty.
    pub(crate) fn clear(&mut self, log: &Log<T>, evicted: &mut Evicted<T>) {
        if log.bytes.are_bounded() {
            self.advance_oldest(log, |_, _, _| true);
        }
        count(Step::Evict, usize::try_from(self.end.since(self.oldest)).unwrap_or(usize::MAX));
        self.oldest = self.end;
        self.indexes.clear();
        self.held = Cost::default();
        self.tail_cost = Cost::default();
        self.front_evicted = Cost::default();
        self.room = 0;
        let segments: Vec<_> = self.segments.drain(..).collect();
        self.find_front_end();
        self.replace_directory(log);
        evicted.add_segments(segments.into_iter().filter_map(Arc::into_inner));
        evicted.add_segments(self.retired.take().map(|retired| retired.segment));
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
            self.held.events += cost.events;
        }
        if weighs || full || self.front_end <= self.oldest {
            self.finish_eviction(log, full, deferred, evicted);
        } else {
            self.empty_retired(deferred, false, evicted);
            log.frontier.set_oldest(self.oldest);
        }
    }

    /// Moves `oldest` for readers, and frees what may not stay. `grown` is true if a segment was added.
    #[inline(never)]
    fn finish_eviction(&mut self, log: &Log<T>, grown: bool, deferred: u64, evicted: &mut Evicted<T>) {
        // Emptied completely, before another segment becomes the retired one.
        let replaced = self.front_end <= self.oldest || self.is_outgrown(self.front_evicted);
        self.empty_retired(deferred, replaced, evicted);
        if grown || replaced {
            self.retire_segments(log, evicted);
            // With small bounds the slack is zero, and nothing may stay.
            self.empty_retired(deferred, false, evicted);
        } else {
            log.frontier.set_oldest(self.oldest);
        }
    }

    /// Returns whether one more drop may be deferred, beside the given number of [deferred drops](Self::write).
    pub(crate) fn may_defer(&self, deferred: u64) -> bool {
        deferred < self.retention.max_deferred()
    }

    /// Makes the written batch visible as a whole. The caller looks for waiters after it, so the store is sequentially
    /// consistent: see `Frontier::set_end_and_fence`.
    pub(crate) fn make_visible(&mut self, log: &Log<T>) {
        self.end = self.end.next();
        log.frontier.set_end_and_fence(End { position: self.end, closed: self.closed });
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
        let segment = Arc::new(segment);
        if let Some(tail) = self.segments.back() {
            tail.set_next(&segment);
        }
        self.segments.push_back(segment);
        (self.room, self.tail_cost) = (len, Cost::default());
        self.find_front_end();
    }

    /// Finds the position at which the first segment ends. The last segment ends where its slots do.
    fn find_front_end(&mut self) {
        let end = |front: &Arc<Segment<T>>| Position(front.base().0 + front.len() as u64);
        self.front_end = match (self.segments.front(), self.segments.get(1)) {
            (_, Some(next)) => next.base(),
            (Some(front), None) => end(front),
            (None, None) => Position(u64::MAX),
        };
    }

    /// Returns whether more than the slack is evicted of a segment that cannot be freed, because it still holds a batch
    /// in reach.
    fn is_outgrown(&self, front: Cost) -> bool {
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
        if self.is_outgrown(front) {
            evicted_segments.extend(self.split_first_segment());
            front = Cost::default();
        }
        self.replace_directory(log);
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
        if let Some(next) = self.segments.get(1) {
            rest.set_next(next);
        }
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

    /// Replaces the directory that readers take. The directory and `oldest` change together under the directory's lock,
    /// so a reader that holds this lock finds the oldest position in the directory.
    ///
    /// The replaced directory shares its segments with the appender, so dropping it drops no payload.
    fn replace_directory(&self, log: &Log<T>) {
        count(Step::Move, self.segments.len());
        let mut current = log.directory.lock();
        if let Some(directory) = Arc::get_mut(&mut *current) {
            directory.update(&self.segments);
            log.frontier.set_oldest(self.oldest);
            return;
        }
        let directory = Arc::new(Directory::new(self.segments.iter()));
        log.frontier.set_oldest(self.oldest);
        let before = mem::replace(&mut *current, directory);
        drop(current);
        drop(before);
    }

    /// Frees batches of the retired segment until what is evicted is within the slack, or all of them.
    #[inline]
    fn empty_retired(&mut self, deferred: u64, all: bool, evicted: &mut Evicted<T>) {
        if let Some(retired) = &self.retired {
            // Mostly there is one batch too many, and nothing else to compute.
            let stays = self.retention.slack_left(self.front_evicted.batches + deferred);
            if all || self.retention.weighs() || retired.left.batches > stays {
                self.empty_retired_to(stays, deferred, all, evicted);
            }
        }
    }

    #[inline(never)]
    fn empty_retired_to(&mut self, stays: u64, deferred: u64, all: bool, evicted: &mut Evicted<T>) {
        let Some(retired) = &mut self.retired else { return };
        if self.retention.weighs() {
            let front = self.front_evicted.add(Cost { batches: deferred, ..Cost::default() });
            while all || !self.retention.fits_slack(front.add(retired.left)) {
                let Some(value) = retired.take() else { break };
                retired.left = retired.left.sub(value.cost());
                evicted.add(value);
            }
        } else {
            let stays = if all { 0 } else { stays };
            while retired.left.batches > stays {
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

impl<T> Retired<T> {
    fn is_empty(&self) -> bool {
        self.next >= self.segment.len()
    }

    fn take(&mut self) -> Option<T> {
        // A segment may have been closed before it was full. The slots that follow are empty then.
        let value = self.segment.take(self.next);
        self.next = if value.is_some() { self.next + 1 } else { self.segment.len() };
        value
    }
}
