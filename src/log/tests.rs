//! Tests the appender's evictions, with and without a write, and when it frees what it evicted.
//! Readers on other threads are in `models`.

use std::sync::Arc;

use super::bytes::{CachedBytes, Charge};
use super::{Appender, Cost, Directory, DirectoryHandle, Evicted, Log, Placed, Retention, Weighed};
use crate::sync::Slot;
use crate::types::position::{Position, Run};
use crate::types::token::Place;

/// A batch of one event.
#[derive(Debug)]
struct Batch {
    number: u64,
    weight: u64,
    cached: CachedBytes,
}

impl Weighed for Arc<Batch> {
    fn cost(&self) -> Cost {
        Cost { batches: 1, events: 1, bytes: self.weight + self.cached.get() }
    }

    fn close(&self) -> Cost {
        self.cached.close();
        self.cost()
    }

    fn events_before(&self) -> u64 {
        self.number
    }
}

impl Placed for Arc<Batch> {
    fn place(&self) -> Place {
        Place { index: self.number, count: 0 }
    }
}

/// A log with its writer, and weak references to every batch that was written to it.
struct Rig {
    log: Log<Arc<Batch>>,
    appender: Appender<Arc<Batch>>,
    written: Vec<std::sync::Weak<Batch>>,
    max_bytes: u64,
    /// Whether a test holds something that may be evicted.
    holds: bool,
}

impl Rig {
    fn new(batches: u64, max_bytes: Option<u64>) -> Self {
        let (log, appender) =
            (Log::new(0, 0, false, max_bytes), Appender::new(Retention::new(batches, None, max_bytes)));
        Self { log, appender, written: Vec::new(), max_bytes: max_bytes.unwrap_or(u64::MAX), holds: false }
    }

    fn write(&mut self, weight: u64) {
        let batch = Arc::new(Batch { number: self.appender.end().0, weight, cached: CachedBytes::new() });
        self.written.push(Arc::downgrade(&batch));
        let (cost, mut evicted) = (batch.cost(), Evicted::default());
        let Self { log, appender, .. } = self;
        appender.evict_to_fit(log, cost, false, |_, _| {});
        appender.write(log, batch, cost, 0, &mut evicted);
        appender.make_visible(log);
        evicted.discard();
        self.check();
    }

    fn live(&self, number: u64) -> Option<Arc<Batch>> {
        self.written.get(usize::try_from(number).ok()?)?.upgrade()
    }

    /// Caches bytes beside a batch, as a reader does. Returns whether that was allowed.
    fn cache(&mut self, number: u64, bytes: u64) -> bool {
        let batch = self.live(number).expect("it is there");
        let charge = self.log.charge(&batch.cached, bytes);
        drop(batch);
        if charge == Charge::Exceeds {
            let mut evicted = Evicted::default();
            self.appender.evict_excess(&self.log, 0, &mut evicted, |_, _| {});
            evicted.discard();
        }
        self.check();
        charge != Charge::Closed
    }

    fn evict(&mut self, batches: u64) -> Vec<u64> {
        let (until, mut evicted, mut seen) = (self.log.oldest().0 + batches, Evicted::default(), Vec::new());
        self.appender.evict(&self.log, 0, &mut evicted, |_, position, batch| {
            let goes = position.0 < until;
            if goes {
                seen.push(batch.number);
            }
            goes
        });
        evicted.discard();
        self.check();
        seen
    }

    /// Checks what readers find, what is counted, and what is evicted and not freed.
    fn check(&self) {
        let (oldest, end) = (self.log.oldest(), self.log.end().position);
        assert_eq!((oldest, end), (self.appender.oldest(), self.appender.end()));
        let directory = self.log.directory();
        let mut held = 0;
        for position in (oldest.0..end.0).map(Position) {
            let batch = directory
                .get(position)
                .unwrap_or_else(|| panic!("{position:?} of {oldest:?}..{end:?} in {directory:?}"));
            assert_eq!(batch.number, position.0);
            assert_eq!(self.appender.get(position).map(|batch| batch.number), Some(position.0));
            held += batch.cost().bytes;
        }
        let run = Run { start: oldest, end };
        assert_eq!(found(&directory, run), (oldest.0..end.0).collect::<Vec<_>>(), "runs continue in the next segment");
        drop(directory);
        if self.max_bytes == u64::MAX {
            return;
        }
        assert_eq!(self.log.buffered_bytes(), held);
        assert!(held <= self.max_bytes || oldest.next() == end, "{held} of {}", self.max_bytes);
        let evicted: u64 = (0..oldest.0).filter_map(|number| Some(self.live(number)?.cost().bytes)).sum();
        assert!(self.holds || evicted <= self.max_bytes / 8, "{evicted} evicted of {}", self.max_bytes);
    }

    fn numbers(&self) -> Vec<u64> {
        (self.log.oldest().0..self.log.end().position.0).collect()
    }
}

/// Returns the batches of a run, read by [`Directory::slots`].
fn found(directory: &Directory<Arc<Batch>>, mut run: Run) -> Vec<u64> {
    let (mut at, mut found) = (0, Vec::new());
    while run.start < run.end {
        let slots = directory.slots(&mut at, run);
        assert!(!slots.is_empty(), "{run:?} is not found");
        found.extend(slots.iter().filter_map(Slot::get).map(|batch| batch.number));
        run.start = Position(run.start.0 + slots.len() as u64);
    }
    found
}

#[test]
fn evicting_moves_the_oldest_and_nothing_else() {
    for max_bytes in [None, Some(1_000_000)] {
        let mut rig = Rig::new(100, max_bytes);
        (0..50).for_each(|_| rig.write(1));
        assert!(rig.evict(0).is_empty());
        for (count, oldest) in [(3, 3), (1, 4), (20, 24), (25, 49), (1, 50)] {
            assert_eq!(rig.evict(count), (oldest - count..oldest).collect::<Vec<_>>());
            assert_eq!(rig.log.oldest(), Position(oldest));
        }
        assert!(rig.evict(7).is_empty(), "nothing is left");
        (0..30).for_each(|_| rig.write(1));
        assert_eq!(rig.numbers(), (50..80).collect::<Vec<_>>());
        assert_eq!(rig.appender.buffered(), (30, 30));
    }
}

/// Also in the middle of the only segment, and when nothing is left of it.
#[test]
fn evictions_without_a_write_are_freed_down_to_an_eighth() {
    for batches in 1..40 {
        let mut rig = Rig::new(1_000, Some(160));
        (0..batches).for_each(|number| rig.write(1 + number % 5));
        for _ in 0..batches {
            rig.evict(1);
        }
        assert_eq!(rig.log.buffered_bytes(), 0);
        rig.write(1);
        assert_eq!(rig.numbers(), [batches]);
    }
}

#[test]
fn the_newest_stays_whatever_is_cached_beside_it() {
    let mut rig = Rig::new(100, Some(100));
    (0..10).for_each(|_| rig.write(10));
    assert!(rig.cache(9, 1_000));
    assert_eq!(rig.numbers(), [9]);
    assert_eq!(rig.log.buffered_bytes(), 1_010);
    assert!(rig.cache(9, 1), "what is in reach takes more");
    rig.write(10);
    assert_eq!(rig.numbers(), [10]);
    assert_eq!(rig.log.buffered_bytes(), 10);
}

/// A segment's length is chosen for what is written to it. What is cached later can exceed the segment's share. Then
/// the evicted part is freed although the segment is not evicted as a whole, whatever segments follow it.
#[test]
fn a_segment_that_outgrows_its_share_is_split() {
    for ahead in [0, 1, 20, 200] {
        let mut rig = Rig::new(1_000, Some(8_000));
        (0..100).for_each(|_| rig.write(10));
        for number in 0..20 {
            assert!(rig.cache(number, 190));
        }
        (0..ahead).for_each(|_| rig.write(10));
        for number in 1..=100 {
            assert_eq!(rig.evict(1), [number - 1]);
        }
        (0..50).for_each(|_| rig.write(10));
        assert_eq!(rig.numbers(), (100..150 + ahead).collect::<Vec<_>>());
    }
}

/// Writes, caches and evicts in any order.
#[test]
fn bytes_are_bounded_whatever_is_cached() {
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for bound in [1, 7, 64, 1_000, 20_000] {
        let mut rig = Rig::new(200, Some(bound));
        for _ in 0..3_000 {
            let numbers = rig.numbers();
            match random(10) {
                0..5 => rig.write(random(bound / 20 + 3)),
                5..9 if !numbers.is_empty() => {
                    let number = numbers.first().expect("not empty") + random(numbers.len() as u64);
                    assert!(rig.cache(number, random(bound / 10 + 3)));
                }
                _ => drop(rig.evict(random(4))),
            }
        }
        let mut evicted = Evicted::default();
        rig.appender.clear(&rig.log, &mut evicted);
        evicted.discard();
        assert_eq!(rig.log.buffered_bytes(), 0);
        assert!((0..rig.appender.end().0).all(|number| rig.live(number).is_none()));
    }
}

/// A batch that was evicted and is still held takes no further charge, and counts in no total.
#[test]
fn what_was_evicted_takes_no_charge() {
    let mut rig = Rig::new(100, Some(100));
    (0..5).for_each(|_| rig.write(10));
    let kept = rig.live(1).expect("it is there");
    assert_eq!(rig.log.charge(&kept.cached, 5), Charge::Fits);
    rig.holds = true;
    rig.evict(2);
    assert_eq!(rig.log.charge(&kept.cached, 5), Charge::Closed);
    rig.log.refund(&kept.cached, 5);
    assert_eq!(kept.cost().bytes, 15);
    drop(kept);
    rig.holds = false;
    rig.check();

    let kept = rig.live(4).expect("it is there");
    let mut evicted = Evicted::default();
    rig.appender.clear(&rig.log, &mut evicted);
    evicted.discard();
    assert_eq!(rig.log.charge(&kept.cached, 5), Charge::Closed);
    assert_eq!(rig.log.buffered_bytes(), 0);
}

/// A reader that holds a segment that is split continues to read it, and finds in another what is written later.
#[test]
fn a_directory_that_is_held_is_as_it_was() {
    let mut rig = Rig::new(1_000, Some(8_000));
    (0..8).for_each(|_| rig.write(10));
    let directory = rig.log.directory();
    rig.holds = true;
    (0..6).for_each(|number| assert!(rig.cache(number, 190)));
    rig.evict(6);
    rig.write(10);
    let run = Run { start: Position(0), end: Position(8) };
    assert_eq!(found(&directory, run), (0..8).collect::<Vec<_>>());
    drop(directory);
    rig.holds = false;
    rig.check();
}

/// A reader finds the copy of its last read again, but on no other thread. A copy that was removed is not found.
#[test]
fn a_copy_is_found_again_by_its_own_thread() {
    let mut rig = Rig::new(16, None);
    rig.write(1);
    let mut handle = DirectoryHandle::default();
    let copy = handle.current(&rig.log);
    let is_last = |handle: &DirectoryHandle<Arc<Batch>>| handle.last().is_some_and(|last| Arc::ptr_eq(&last, &copy));
    assert!(is_last(&handle) && Arc::ptr_eq(&handle.current(&rig.log), &copy));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(handle.last().is_none(), "it would write what another thread reads");
            assert!(!Arc::ptr_eq(&handle.current(&rig.log), &copy));
            assert!(handle.last().is_some());
        });
    });
    assert!(!is_last(&handle));
    assert!(Arc::ptr_eq(&handle.current(&rig.log), &copy), "the first thread has the same copy");
    // Another segment, and the copy is stale; it is not removed before a segment leaves.
    (1..4).for_each(|_| rig.write(1));
    assert!(is_last(&handle) && !Arc::ptr_eq(&handle.current(&rig.log), &copy));
    drop(copy);
    (4..40).for_each(|_| rig.write(1));
    assert!(handle.last().is_none());
    assert_eq!(found(&handle.current(&rig.log), Run { start: Position(24), end: Position(40) }).len(), 16);
}
