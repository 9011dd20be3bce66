//! The log's one writer: eviction, segments, and the order in which readers come to see a batch.
//! It runs under the broker's lock and calls nobody.

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
    /// What it counts for, with what is cached beside it.
    fn cost(&self) -> Cost;
    /// The same for the last time: from now on nothing more is cached beside it. Only where bytes are bounded.
    fn close(&self) -> Cost;
    /// How many events were written before it.
    fn events_before(&self) -> u64;
}

/// What was evicted. It holds payloads, so the caller drops it after its lock.
#[derive(Debug)]
pub(crate) struct Evicted<T> {
    /// Mostly all there is; when a segment is replaced, and where batches are weighed, there are two.
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
    /// One of the evicted batches, for somebody else to drop.
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

    /// Drops everything. Payloads are foreign code: one whose drop panics must not keep the others from being dropped,
    /// and the first panic goes on when all are. Never call it under a lock.
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
/// What is evicted is not freed at once: its segment goes as a whole. To free a batch with each publish instead of a
/// segment with one in many, a segment that is out of reach is kept as [`retired`](Retired), and emptied as fast as
/// the next one is evicted from: together the two never hold more evicted than an eighth of the bounds.
///
/// A segment is closed early, so that what is written to it is within that eighth as well. What is cached beside its
/// batches later is not known then: once more is evicted of the first segment than may stay, what is in reach moves to
/// a segment of its own.
#[derive(Debug)]
pub(crate) struct Appender<T> {
    retention: Retention,
    /// As the readers' directory; the last one is written to.
    segments: VecDeque<Arc<Segment<T>>>,
    /// Of all in `oldest..end`.
    indexes: Indexes,
    oldest: Position,
    end: Position,
    /// Slots left in the last segment, and where the first one ends.
    room: usize,
    front_end: Position,
    /// Events written so far.
    events: u64,
    /// All of `oldest..end`: events count only if the retention [weighs](Retention::weighs), batches are set by whoever
    /// needs them, and bytes are counted by the log, because readers add to them.
    held: Cost,
    /// All written to the last segment, evicted or not.
    tail: Cost,
    /// What of the first segment is evicted.
    front: Cost,
    retired: Option<Retired<T>>,
    /// A retired segment that is empty, to be written to again: allocating one is by far the largest allocation of a
    /// publish.
    spare: Option<Segment<T>>,
    closed: bool,
}

/// A segment that nobody else holds any more, with what is left in it.
#[derive(Debug)]
struct Retired<T> {
    segment: Segment<T>,
    next: usize,
    /// At least what is in it.
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
            tail: Cost::default(),
            front: Cost::default(),
            retired: None,
            spare: None,
            closed: false,
        }
    }

    pub(crate) fn oldest(&self) -> Position {
        self.oldest
    }

    /// Where the next batch goes.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Events written so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// How many batches and events are in reach.
    pub(crate) fn held(&self) -> (u64, u64) {
        let before = self.get(self.oldest).map_or(self.events, Weighed::events_before);
        (self.end.since(self.oldest), self.events - before)
    }

    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        if position < self.oldest {
            return None;
        }
        // Eviction asks for the oldest, which is nearly always in the first segment.
        if let Some(value) = self.segments.front()?.get(position) {
            return Some(value);
        }
        let after = self.segments.partition_point(|segment| segment.base() <= position);
        self.segments.get(after.checked_sub(1)?)?.get(position)
    }

    /// The first position whose place is at least `from`, or the end.
    pub(crate) fn seek(&self, from: Place) -> Position {
        self.indexes.seek(self.oldest, from, |position| self.get(position).map(Placed::place))
    }

    /// Gives up the oldest batches until one of this cost fits, or nothing is left. Readers can know of it when the new
    /// batch has been [written](Self::write), which must follow. Returns how many there were.
    ///
    /// `evicted` sees each before, if it is `watched`. Otherwise, and unless batches are weighed, nothing is looked at.
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
        self.front.batches += batches;
        self.indexes.evict(batches);
        batches
    }

    fn make_weighed_room(&mut self, log: &Log<T>, cost: Cost, mut on_evict: impl FnMut(Position, &T)) -> u64 {
        if log.bytes.are_bounded() {
            // Before the total is looked at: a reader that charges something later finds that it is too much.
            log.bytes.add(cost.bytes);
        }
        let (retention, cost) = (self.retention, Cost { bytes: 0, ..cost });
        self.give_up(log, |held, position, value| {
            let goes = !retention.holds(held.add(cost));
            if goes {
                on_evict(position, value);
            }
            goes
        })
    }

    /// Evicts the oldest batches for as long as `goes` says so of what is held, and of the oldest of it. Nothing is
    /// written, and the end does not move. Returns how many there were.
    ///
    /// `lent` is as [`write`](Self::write) has it.
    #[cfg(any(feature = "json", test))]
    pub(crate) fn evict(
        &mut self,
        log: &Log<T>,
        deferred: u64,
        evicted: &mut Evicted<T>,
        goes: impl FnMut(Cost, Position, &T) -> bool,
    ) -> u64 {
        let batches = self.give_up(log, goes);
        if batches > 0 {
            self.settle(log, false, deferred, evicted);
        }
        batches
    }

    /// Evicts the oldest batches until the bounds hold, but never the newest. `evicted` sees each before.
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

    /// Moves the oldest position, of which readers do not know yet.
    fn give_up(&mut self, log: &Log<T>, mut goes: impl FnMut(Cost, Position, &T) -> bool) -> u64 {
        let bounded = log.bytes.are_bounded();
        let (mut oldest, mut held, mut front) = (self.oldest, self.held, self.front);
        while oldest < self.end {
            count(Step::Evict, 1);
            held.batches = self.end.since(oldest);
            held.bytes = if bounded { log.bytes.get() } else { 0 };
            if let Some(value) = self.get(oldest) {
                if !goes(held, oldest, value) {
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
        (self.oldest, self.held, self.front) = (oldest, held, front);
        batches
    }

    /// Evicts everything: a reader that comes now finds the log empty.
    pub(crate) fn clear(&mut self, log: &Log<T>, evicted: &mut Evicted<T>) {
        if log.bytes.are_bounded() {
            self.give_up(log, |_, _, _| true);
        }
        count(Step::Evict, usize::try_from(self.end.since(self.oldest)).unwrap_or(usize::MAX));
        self.oldest = self.end;
        self.indexes.clear();
        self.held = Cost::default();
        self.tail = Cost::default();
        self.front = Cost::default();
        self.room = 0;
        let segments: Vec<_> = self.segments.drain(..).collect();
        self.find_front_end();
        self.replace_directory(log);
        evicted.add_segments(segments.into_iter().filter_map(Arc::into_inner));
        evicted.add_segments(self.retired.take().map(|retired| retired.segment));
    }

    /// Writes the batch at [`end`](Self::end), and puts what made room for it out of reach. Readers do not see it yet.
    ///
    /// The slot is written before `oldest` moves, so that the oldest position is always one that can be read: a reader
    /// that was overtaken is told where it goes on without waiting for the publisher.
    ///
    /// `lent` says how many evicted batches are somebody else's to drop, and are not dropped yet.
    pub(crate) fn write(&mut self, log: &Log<T>, value: T, cost: Cost, deferred: u64, evicted: &mut Evicted<T>) {
        let weighs = self.retention.weighs();
        let full = self.room == 0 || weighs && self.tail.batches > 0 && !self.retention.fits_slack(self.tail.add(cost));
        if full {
            self.add_segment();
        }
        self.indexes.push(value.place().index);
        if let Some(tail) = self.segments.back() {
            tail.set(self.end, value);
        }
        self.room -= 1;
        self.events += cost.events;
        self.tail.batches += 1;
        if weighs {
            self.tail = self.tail.add(Cost { batches: 0, ..cost });
            self.held.events += cost.events;
        }
        if weighs || full || self.front_end <= self.oldest {
            self.settle(log, full, deferred, evicted);
        } else {
            self.empty_retired(deferred, false, evicted);
            log.frontier.set_oldest(self.oldest);
        }
    }

    /// Puts what was given up out of reach, and frees as much of it as may not stay. `grown` says that there is a new
    /// segment.
    #[inline(never)]
    fn settle(&mut self, log: &Log<T>, grown: bool, deferred: u64, evicted: &mut Evicted<T>) {
        // Whole, before another segment takes its place.
        let replaced = self.front_end <= self.oldest || self.is_outgrown(self.front);
        self.empty_retired(deferred, replaced, evicted);
        if grown || replaced {
            self.rotate(log, evicted);
            // Small bounds let nothing stay.
            self.empty_retired(deferred, false, evicted);
        } else {
            log.frontier.set_oldest(self.oldest);
        }
    }

    /// Whether somebody else may have another batch to drop, while so many are [lent](Self::write).
    pub(crate) fn may_defer(&self, deferred: u64) -> bool {
        deferred < self.retention.may_defer()
    }

    /// Makes what was written visible, whole. Sequentially consistent: whoever waits is looked for after it.
    pub(crate) fn reveal(&mut self, log: &Log<T>) {
        self.end = self.end.next();
        log.frontier.reveal_end(End { position: self.end, closed: self.closed });
    }

    /// Lets readers know that nothing follows.
    pub(crate) fn close(&mut self, log: &Log<T>) {
        self.closed = true;
        log.frontier.set_end(End { position: self.end, closed: true });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Goes on in another segment, whose length follows from how much of the last one was used.
    fn add_segment(&mut self) {
        let len = self.segments.back().map_or(0, |tail| tail.len());
        let len = self.retention.next_segment(len, len - self.room);
        let segment = match self.spare.take_if(|spare| spare.len() == len) {
            Some(spare) => spare.rebase(self.end),
            None => Segment::new(self.end, len),
        };
        let segment = Arc::new(segment);
        if let Some(tail) = self.segments.back() {
            tail.lead_to(&segment);
        }
        self.segments.push_back(segment);
        (self.room, self.tail) = (len, Cost::default());
        self.find_front_end();
    }

    /// Notes up to where the first segment goes; the last one goes as far as it has room.
    fn find_front_end(&mut self) {
        let end = |front: &Arc<Segment<T>>| Position(front.base().0 + front.len() as u64);
        self.front_end = match (self.segments.front(), self.segments.get(1)) {
            (_, Some(next)) => next.base(),
            (Some(front), None) => end(front),
            (None, None) => Position(u64::MAX),
        };
    }

    /// Whether more than may stay is evicted of a segment that cannot be freed, because it still holds what is in reach.
    fn is_outgrown(&self, front: Cost) -> bool {
        self.retention.weighs() && !self.retention.fits_slack(front)
    }

    /// Takes segments out that hold nothing in reach, and lets readers find those there are now.
    fn rotate(&mut self, log: &Log<T>, evicted: &mut Evicted<T>) {
        let mut evicted_segments = SmallVec::<[Arc<Segment<T>>; 1]>::new();
        while self.front_end <= self.oldest {
            evicted_segments.extend(self.segments.pop_front());
            self.find_front_end();
        }
        let mut front = if evicted_segments.is_empty() { self.front } else { self.evicted_of_first() };
        if self.is_outgrown(front) {
            evicted_segments.extend(self.split_first());
            front = Cost::default();
        }
        self.replace_directory(log);
        if evicted_segments.is_empty() {
            return;
        }
        let left = mem::replace(&mut self.front, front).sub(front);
        for segment in evicted_segments {
            // Whoever holds it still drops it: a window, or a reader of this moment.
            if let Some(mut segment) = Arc::into_inner(segment) {
                // What is in reach was copied, and is dropped as a copy.
                segment.clear_from(self.oldest);
                let before = self.retired.replace(Retired { segment, next: 0, left });
                evicted.add_segments(before.map(|before| before.segment));
            }
        }
    }

    /// Moves what is in reach of the first segment to one of its own. Returns the first, for what is evicted of it.
    ///
    /// It takes a reference a batch. An eighth of the bounds has been evicted since the last time.
    #[cold]
    fn split_first(&mut self) -> Option<Arc<Segment<T>>> {
        let first = self.segments.front()?;
        let rest = Arc::new(first.rest(self.oldest));
        if let Some(next) = self.segments.get(1) {
            rest.lead_to(next);
        }
        if self.segments.len() == 1 {
            // What is written on to has only this: a segment must not be closed before anything is written to it.
            self.tail = rest.values().fold(Cost::default(), |sum, value| sum.add(value.cost()));
        }
        let first = mem::replace(self.segments.front_mut()?, rest);
        self.find_front_end();
        Some(first)
    }

    /// What of the first segment is evicted. Few batches, when it has just become the first.
    fn evicted_of_first(&self) -> Cost {
        let Some(first) = self.segments.front() else { return Cost::default() };
        if !self.retention.weighs() {
            return Cost { batches: self.oldest.since(first.base()), ..Cost::default() };
        }
        let evicted = first.slots(Run { start: first.base(), end: self.oldest });
        count(Step::Move, evicted.len());
        evicted.iter().filter_map(Slot::get).fold(Cost::default(), |sum, value| sum.add(value.cost()))
    }

    /// Lets readers find the segments there are now. Directory and oldest position change together, under the
    /// directory's lock: whoever reads under it finds one in the other.
    ///
    /// What is dropped here holds segments that are held by the appender as well, so no payload is dropped.
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

    /// Gives up as much of the retired segment as keeps what is evicted within an eighth of the bounds, or all of it.
    #[inline]
    fn empty_retired(&mut self, deferred: u64, all: bool, evicted: &mut Evicted<T>) {
        if let Some(retired) = &self.retired {
            // Mostly there is one too many, and nothing else to be looked at.
            let stays = self.retention.slack_left(self.front.batches + deferred);
            if all || self.retention.weighs() || retired.left.batches > stays {
                self.empty_retired_to(stays, deferred, all, evicted);
            }
        }
    }

    #[inline(never)]
    fn empty_retired_to(&mut self, stays: u64, deferred: u64, all: bool, evicted: &mut Evicted<T>) {
        let Some(retired) = &mut self.retired else { return };
        if self.retention.weighs() {
            let front = self.front.add(Cost { batches: deferred, ..Cost::default() });
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
        // A segment may have been closed before it was full: then the rest of it is empty.
        let value = self.segment.take(self.next);
        self.next = if value.is_some() { self.next + 1 } else { self.segment.len() };
        value
    }
}
