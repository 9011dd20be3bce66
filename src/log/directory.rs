//! Finds the segment and the slot of a position: the table of live segments that readers share.
//! When segments are added is decided in `appender`, and when they are removed in `free`.
//!
//! A reader that reads many positions one after another keeps a *hint*: one more than the index of the segment it found
//! last, or 0 if it has found none. With the hint, the next segment is found without a search.
//!
//! Invariants:
//! - segments are sorted by base, and their bases differ;
//! - a directory does not change while a reader holds it: it is replaced then;
//! - each change of the appender's directory has a generation of its own.
//!
//! Callers: `subscription` and `interest::walk` without a lock; `directories` under the lock of the directory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segment::Segment;
use crate::sync::Slot;
use crate::types::position::{Position, Run};

/// The live segments by base, oldest first.
///
/// There are few of them: a segment holds an eighth of the retention, up to
/// [`MAX_SEGMENT`](super::retention::MAX_SEGMENT) batches.
///
/// The alignment keeps the count of references, which lies before it in memory, on a cache line of its own: all readers
/// read the rest.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Directory<T> {
    segments: Vec<(Position, Arc<Segment<T>>)>,
    stride: Stride,
    generation: u64,
}

/// The reciprocal of the distance between the last two bases, in units of 2^-32. Most earlier segments are the same
/// distance apart, except for the first ones of a log that grows.
#[derive(Clone, Copy, Debug, Default)]
struct Stride(u64);

impl Stride {
    fn of<T>(segments: &[(Position, Arc<Segment<T>>)]) -> Self {
        match segments {
            [.., (before, _), (last, _)] => Self((1 << 32) / last.since(*before).max(1) + 1),
            _ => Self::default(),
        }
    }

    /// Returns how many whole segments fit into `positions`, if all are the same distance apart.
    #[inline]
    fn count(self, positions: u64) -> usize {
        usize::try_from(positions.min(u64::from(u32::MAX)).wrapping_mul(self.0) >> 32).unwrap_or(usize::MAX)
    }
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), stride: Stride::default(), generation: 0 }
    }
}

impl<T> Directory<T> {
    pub(crate) fn new<'a>(segments: impl Iterator<Item = &'a Arc<Segment<T>>>, generation: u64) -> Self
    where
        T: 'a,
    {
        let segments: Vec<_> = segments.map(|segment| (segment.base(), Arc::clone(segment))).collect();
        Self { stride: Stride::of(&segments), segments, generation }
    }

    /// Returns how often the appender had changed its directory when it was like this one.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Removes the segments that are no longer in `live`, and adds the new ones.
    pub(super) fn update(&mut self, live: &VecDeque<Arc<Segment<T>>>, generation: u64) {
        // If the first segment was split, its copy is not in the table. Then no known segment is found, and all are
        // replaced.
        let is_first = |(_, known): &(_, Arc<Segment<T>>)| live.front().is_some_and(|first| Arc::ptr_eq(known, first));
        let gone = self.segments.iter().position(is_first).unwrap_or(self.segments.len());
        self.segments.drain(..gone);
        let known = self.segments.len();
        self.segments.extend(live.iter().skip(known).map(|segment| (segment.base(), Arc::clone(segment))));
        self.stride = Stride::of(&self.segments);
        self.generation = generation;
    }

    /// Returns the index of the segment that would hold a position, or `None` if the position is older than all
    /// segments.
    ///
    /// One guess is enough if the segments from there on have the same length, as they have in a log that has grown and
    /// is not weighed. A binary search among ten segments made a narrow read 10 % slower.
    #[inline]
    fn find(&self, position: Position) -> Option<usize> {
        let newest = self.segments.len().checked_sub(1)?;
        let (last, _) = self.segments.get(newest)?;
        let before = last.since(position);
        let guess = if before == 0 { newest } else { newest.wrapping_sub(1 + self.stride.count(before - 1)) };
        let begins = |at: usize| self.segments.get(at).is_some_and(|(base, _)| *base <= position);
        if begins(guess) && !begins(guess.wrapping_add(1)) { Some(guess) } else { self.search(position) }
    }

    #[inline(never)]
    fn search(&self, position: Position) -> Option<usize> {
        self.segments.partition_point(|(base, _)| *base <= position).checked_sub(1)
    }

    /// Returns the segment that would hold a position, or `None` if the position is older than all segments.
    #[inline]
    pub(crate) fn segment(&self, position: Position) -> Option<&Arc<Segment<T>>> {
        self.segments.get(self.find(position)?).map(|(_, segment)| segment)
    }

    /// Returns the slots at the beginning of a run, as far as they are in one segment.
    ///
    /// If the run begins in the segment found last, or where the one at index `hint` does, no search is made. `hint`
    /// then moves to the segment after the one that was found.
    #[inline]
    pub(crate) fn slots(&self, hint: &mut usize, run: Run) -> &[Slot<T>] {
        // A reader that keeps up reads in the newest segment.
        if let Some((base, segment)) = self.segments.last()
            && *base <= run.start
        {
            *hint = self.segments.len();
            return segment.slots(run);
        }
        self.older_slots(hint, run)
    }

    #[inline(never)]
    fn older_slots(&self, hint: &mut usize, run: Run) -> &[Slot<T>] {
        let near = match hint.checked_sub(1).and_then(|last| self.segments.get(last..)) {
            Some([(base, _), (next, _), ..]) if *base <= run.start && run.start <= *next => {
                Some(if run.start == *next { *hint } else { *hint - 1 })
            }
            _ => self.find(run.start),
        };
        let Some(found) = near else { return &[] };
        *hint = found + 1;
        match self.segments.get(found..) {
            Some([(_, segment), newer @ ..]) => {
                // A segment may have been closed before it was full. The positions that follow are in the next one.
                let end = newer.first().map_or(run.end, |(next, _)| run.end.min(*next));
                segment.slots(Run { end, ..run })
            }
            _ => &[],
        }
    }

    /// Returns what [`slots`](Self::slots) would return, if `hint` is as that call left it and the run continues where
    /// its slots ended. Otherwise returns no slots, and `slots` must be called.
    #[inline]
    pub(crate) fn next_slots(&self, hint: &mut usize, run: Run) -> &[Slot<T>] {
        match self.segments.get(*hint..) {
            Some([(base, segment), rest @ ..]) if *base == run.start && *hint > 0 => {
                *hint += 1;
                // As in `slots`: a segment may have been closed before it was full.
                let end = rest.first().map_or(run.end, |(next, _)| run.end.min(*next));
                segment.first_slots(end.since(run.start))
            }
            _ => &[],
        }
    }

    /// Returns the value at a position, and moves `hint` to the segment after it. No search is made if the position is
    /// in the segment found last.
    #[inline]
    pub(crate) fn get_near(&self, hint: &mut usize, position: Position) -> Option<&T> {
        let near = hint.checked_sub(1).and_then(|at| self.segments.get(at));
        if let Some((_, segment)) = near.filter(|(base, _)| *base <= position)
            && let Some(value) = segment.get(position)
        {
            return Some(value);
        }
        let found = self.find(position)?;
        *hint = found + 1;
        self.segments.get(found)?.1.get(position)
    }

    /// Returns the value at a position, without a search if it is in the segment found last. `hint` is as
    /// [`slots`](Self::slots) or [`get_near`](Self::get_near) left it.
    #[inline]
    pub(crate) fn get_hinted(&self, hint: usize, position: Position) -> Option<&T> {
        match hint.checked_sub(1).and_then(|at| self.segments.get(at)) {
            Some((base, segment)) if *base <= position => segment.get(position),
            _ => self.get_searched(position),
        }
    }

    /// Does what [`get`](Self::get) does, in a function of its own: callers are short without it.
    #[cold]
    #[inline(never)]
    fn get_searched(&self, position: Position) -> Option<&T> {
        self.get(position)
    }

    /// Returns the value at a position, or `None` if its segment is not here or the slot has not been written.
    #[inline]
    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        self.segment(position)?.get(position)
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// A position is found where it was written: in the first and in the last slot of a segment, and after a segment
    /// that was closed early. A guess finds it where all segments have the same length, and a search where they do not.
    #[test]
    fn a_position_is_found_among_few_segments_and_many() {
        const USED: u64 = 3;
        for count in [1, 2, 9, 16, 17, 40_u64] {
            let segments: Vec<_> = (0..count).map(|n| Arc::new(Segment::new(Position(10 + n * USED), 4))).collect();
            let end = Position(10 + count * USED);
            for position in (10..end.0).map(Position) {
                let at = usize::try_from((position.0 - 10) / USED).expect("a few");
                segments.get(at).expect("one for each").set(position, position.0);
            }
            let directory = Directory::new(segments.iter(), 0);
            let mut at = 0;
            for position in (10..end.0).map(Position) {
                assert_eq!(directory.get(position), Some(&position.0), "{count}");
                let slots = directory.slots(&mut 0, Run { start: position, end });
                assert_eq!(slots.first().and_then(Slot::get), Some(&position.0), "{count}");
                if (position.0 - 10) % USED == 0 {
                    assert_eq!(directory.slots(&mut at, Run { start: position, end }).len(), 3, "{count}");
                }
                assert_eq!(directory.get_hinted(at, position), Some(&position.0), "{count}");
                assert_eq!(directory.get_hinted(at, Position(10)), Some(&10), "{count}");
            }
            assert_eq!(directory.get(Position(9)), None);
            assert_eq!(directory.get(end), None);
        }
        // Lengths that grow, as in a new log, that shrink, and that grow again; in a directory that was updated and in
        // a new one.
        for lens in [[16, 32, 64, 64], [64, 16, 1, 64], [1, 1, 90, 2], [5, 5, 5, 6]] {
            let bases: Vec<u64> = lens.iter().scan(7, |end, len| Some(std::mem::replace(end, *end + len))).collect();
            let segments: Vec<_> = bases.iter().map(|base| Arc::new(Segment::<()>::new(Position(*base), 64))).collect();
            let mut directory = Directory::new(segments.iter().take(2), 0);
            directory.update(&segments.iter().skip(1).cloned().collect(), 1);
            for position in bases.get(1).copied().unwrap_or_default()..7 + lens.iter().sum::<u64>() {
                let at = bases.iter().rposition(|base| *base <= position).map(|at| at - 1);
                assert_eq!(directory.find(Position(position)), at, "{position} in {lens:?}");
            }
            let directory = Directory::new(segments.iter(), 0);
            for position in 7..7 + lens.iter().sum::<u64>() {
                let at = bases.iter().rposition(|base| *base <= position);
                assert_eq!(directory.find(Position(position)), at, "{position} in {lens:?}");
            }
        }
    }
}
