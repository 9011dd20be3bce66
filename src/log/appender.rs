//! The log's one writer: eviction, segments, and the order in which readers come to see a batch.
//! It runs under the broker's lock and calls nobody.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::Log;
use super::directory::Directory;
use super::frontier::End;
use super::retention::{Cost, Retention};
use super::seek::{Placed, seek};
use super::segment::Segment;
use crate::position::Position;
use crate::token::Place;

/// A batch as the log counts it.
pub(crate) trait Weighed {
    fn cost(&self) -> Cost;
}

/// Evicted segments and replaced directories: dropped by the caller, after its lock.
#[derive(Debug)]
pub(crate) struct Garbage<T> {
    pub(super) segments: Vec<Arc<Segment<T>>>,
    pub(super) directories: Vec<Arc<Directory<T>>>,
}

impl<T> Garbage<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.directories.is_empty()
    }
}

impl<T> Default for Garbage<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), directories: Vec::new() }
    }
}

/// The writer's side of the log. A publish makes room, writes the slot, and then moves the end.
#[derive(Debug)]
pub(crate) struct Appender<T> {
    retention: Retention,
    /// As the readers' directory; the last one is written to.
    segments: VecDeque<Arc<Segment<T>>>,
    oldest: Position,
    end: Position,
    /// All of `oldest..end`.
    held: Cost,
    /// All written to the last segment, evicted or not.
    tail: Cost,
    closed: bool,
}

impl<T: Weighed + Placed> Appender<T> {
    pub(crate) fn new(retention: Retention) -> Self {
        Self {
            retention,
            segments: VecDeque::new(),
            oldest: Position::ZERO,
            end: Position::ZERO,
            held: Cost::default(),
            tail: Cost::default(),
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

    pub(crate) fn held(&self) -> Cost {
        self.held
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
        seek(&self.segments, self.oldest, self.end, from)
    }

    /// Gives up the oldest batches until one of this cost fits, or nothing is left. `evicted` sees each before readers
    /// can know of it, which is when the new batch has been [written](Self::write).
    pub(crate) fn make_room(&mut self, cost: Cost, mut evicted: impl FnMut(Position, &T)) {
        let (mut oldest, mut held) = (self.oldest, self.held);
        while oldest < self.end && !self.retention.holds(held.add(cost)) {
            if let Some(value) = self.get(oldest) {
                evicted(oldest, value);
                held = held.sub(value.cost());
            }
            oldest = oldest.next();
        }
        self.oldest = oldest;
        self.held = held;
    }

    /// Evicts everything: a reader that comes now finds the log empty.
    pub(crate) fn clear(&mut self, log: &Log<T>, garbage: &mut Garbage<T>) {
        self.oldest = self.end;
        self.held = Cost::default();
        self.tail = Cost::default();
        garbage.segments.extend(self.segments.drain(..));
        self.replace_directory(log, garbage);
    }

    /// Writes the batch at [`end`](Self::end), and puts what made room for it out of reach. Readers do not see it yet.
    ///
    /// The slot is written before `oldest` moves, so that the oldest position is always one that can be read: a reader
    /// that was overtaken is told where it goes on without waiting for the publisher.
    pub(crate) fn write(&mut self, log: &Log<T>, value: T, cost: Cost, garbage: &mut Garbage<T>) {
        let used = self.segments.back().map_or(0, |tail| self.end.since(tail.base()));
        let len = self.segments.back().map_or(0, |tail| tail.len());
        let used = usize::try_from(used).unwrap_or(len);
        let full = used >= len || !self.retention.shares(self.tail.add(cost)) && used > 0;
        if full {
            let len = self.retention.next_segment(len, used);
            let spare = log.spare.lock().take_if(|spare| spare.len() == len);
            let segment = match spare {
                Some(spare) => spare.rebase(self.end),
                None => Segment::new(self.end, len),
            };
            self.segments.push_back(Arc::new(segment));
            self.tail = Cost::default();
        }
        if let Some(tail) = self.segments.back() {
            tail.set(self.end, value);
        }
        self.tail = self.tail.add(cost);
        self.held = self.held.add(cost);
        if self.pop_evicted(garbage) || full {
            self.replace_directory(log, garbage);
        } else {
            log.frontier.set_oldest(self.oldest);
        }
    }

    /// Makes what was written visible, whole.
    pub(crate) fn reveal(&mut self, log: &Log<T>) {
        self.end = self.end.next();
        log.frontier.set_end(End { position: self.end, closed: self.closed });
    }

    /// Lets readers know that nothing follows.
    pub(crate) fn close(&mut self, log: &Log<T>) {
        self.closed = true;
        log.frontier.set_end(End { position: self.end, closed: true });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes out segments that hold nothing in reach, but not one that has room left.
    fn pop_evicted(&mut self, garbage: &mut Garbage<T>) -> bool {
        let mut popped = false;
        while let Some(front) = self.segments.front() {
            let end = match self.segments.get(1) {
                Some(next) => next.base(),
                None => Position(front.base().0 + front.len() as u64),
            };
            if end > self.oldest {
                break;
            }
            garbage.segments.extend(self.segments.pop_front());
            popped = true;
        }
        popped
    }

    /// Lets readers find the segments there are now. Directory and oldest position change together, under the
    /// directory's lock: whoever reads under it finds one in the other.
    fn replace_directory(&self, log: &Log<T>, garbage: &mut Garbage<T>) {
        let directory = Arc::new(Directory::new(self.segments.iter()));
        let mut current = log.directory.lock();
        log.frontier.set_oldest(self.oldest);
        garbage.directories.push(mem::replace(&mut *current, directory));
        drop(current);
    }
}
