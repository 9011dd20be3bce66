//! The table of live segments, as one value that readers share.
//! It never changes while a reader holds it: then the appender replaces it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segment::Segment;
use crate::sync::Slot;
use crate::types::position::{Position, Run};

/// Live segments by base, oldest first.
///
/// Few: a segment holds an eighth of the retention, up to [`MAX_SEGMENT`](super::retention::MAX_SEGMENT) batches.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    segments: Vec<(Position, Arc<Segment<T>>)>,
    stride: Stride,
}

/// One over the distance of the last two segments' bases, in 2^-32: those before are mostly as far apart, but for the
/// first ones of a log that grows.
#[derive(Clone, Copy, Debug, Default)]
struct Stride(u64);

impl Stride {
    fn of<T>(segments: &[(Position, Arc<Segment<T>>)]) -> Self {
        match segments {
            [.., (before, _), (last, _)] => Self((1 << 32) / last.since(*before).max(1) + 1),
            _ => Self::default(),
        }
    }

    /// How many segments lie wholly in so many positions, if all are as far apart.
    #[inline]
    fn count(self, positions: u64) -> usize {
        usize::try_from(positions.min(u64::from(u32::MAX)).wrapping_mul(self.0) >> 32).unwrap_or(usize::MAX)
    }
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), stride: Stride::default() }
    }
}

impl<T> Directory<T> {
    pub(crate) fn new<'a>(segments: impl Iterator<Item = &'a Arc<Segment<T>>>) -> Self
    where
        T: 'a,
    {
        let segments: Vec<_> = segments.map(|segment| (segment.base(), Arc::clone(segment))).collect();
        Self { stride: Stride::of(&segments), segments }
    }

    /// Drops what is no longer among `live`, and adds what is new there.
    pub(super) fn update(&mut self, live: &VecDeque<Arc<Segment<T>>>) {
        // A first segment that was split is another: then none is known.
        let is_first = |(_, known): &(_, Arc<Segment<T>>)| live.front().is_some_and(|first| Arc::ptr_eq(known, first));
        let gone = self.segments.iter().position(is_first).unwrap_or(self.segments.len());
        self.segments.drain(..gone);
        let known = self.segments.len();
        self.segments.extend(live.iter().skip(known).map(|segment| (segment.base(), Arc::clone(segment))));
        self.stride = Stride::of(&self.segments);
    }

    /// Where the segment stands that would hold a position, if it is not older than all of them.
    ///
    /// In one step if the segments from there on are of one length, as they are in a log that has grown and is not
    /// weighed. A search among ten took a narrow read 10 % longer.
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

    /// The segment that would hold a position, if it is not older than all of them.
    #[inline]
    pub(crate) fn segment(&self, position: Position) -> Option<&Arc<Segment<T>>> {
        self.segments.get(self.find(position)?).map(|(_, segment)| segment)
    }

    /// The slots at the beginning of a run, as far as they lie in one segment.
    ///
    /// `at` is where the last call found its segment, if there was one: the next is looked for after it.
    #[inline]
    pub(crate) fn slots(&self, at: &mut usize, run: Run) -> &[Slot<T>] {
        let found = match self.segments.get(*at) {
            Some((base, segment)) if *at > 0 && *base == run.start => segment,
            _ => {
                let Some(found) = self.find(run.start) else { return &[] };
                *at = found;
                match self.segments.get(found) {
                    Some((_, segment)) => segment,
                    None => return &[],
                }
            }
        };
        *at += 1;
        // A segment may have been closed before it was full: what follows is in the next one.
        let end = self.segments.get(*at).map_or(run.end, |(next, _)| run.end.min(*next));
        found.slots(Run { end, ..run })
    }

    /// What [`slots`](Self::slots) would give next, if `at` is as that left it and the run goes on where its slots ended.
    /// Otherwise nothing: then `slots` must be asked.
    #[inline]
    pub(crate) fn slots_after(&self, at: &mut usize, run: Run) -> &[Slot<T>] {
        match self.segments.get(*at..) {
            Some([(base, segment), rest @ ..]) if *base == run.start && *at > 0 => {
                *at += 1;
                // A segment may have been closed before it was full: what follows is in the next one.
                let end = rest.first().map_or(run.end, |(next, _)| run.end.min(*next));
                segment.first_slots(end.since(run.start))
            }
            _ => &[],
        }
    }

    /// The value at a position, without a search if it lies in the segment found last; `at` is as [`slots`](Self::slots)
    /// has it.
    #[inline]
    pub(crate) fn get_near(&self, at: &mut usize, position: Position) -> Option<&T> {
        let near = at.checked_sub(1).and_then(|at| self.segments.get(at));
        if let Some((_, segment)) = near.filter(|(base, _)| *base <= position)
            && let Some(value) = segment.get(position)
        {
            return Some(value);
        }
        let found = self.find(position)?;
        *at = found + 1;
        self.segments.get(found)?.1.get(position)
    }

    /// The value at a position, without a search if it lies in the slots given last; `at` is as those left it.
    #[inline]
    pub(crate) fn get_given(&self, at: usize, position: Position) -> Option<&T> {
        match at.checked_sub(1).and_then(|at| self.segments.get(at)) {
            Some((base, segment)) if *base <= position => segment.get(position),
            _ => self.get(position),
        }
    }

    /// The value at a position, if its segment is here and it has been written.
    #[inline]
    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        self.segment(position)?.get(position)
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// A position is found where it was written, also the first and the last of a segment, and after one that was closed
    /// early; in one step where all segments are of one length, by a search where they are not.
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
            let directory = Directory::new(segments.iter());
            let mut at = 0;
            for position in (10..end.0).map(Position) {
                assert_eq!(directory.get(position), Some(&position.0), "{count}");
                let slots = directory.slots(&mut 0, Run { start: position, end });
                assert_eq!(slots.first().and_then(Slot::get), Some(&position.0), "{count}");
                if (position.0 - 10) % USED == 0 {
                    assert_eq!(directory.slots(&mut at, Run { start: position, end }).len(), 3, "{count}");
                }
                assert_eq!(directory.get_given(at, position), Some(&position.0), "{count}");
                assert_eq!(directory.get_given(at, Position(10)), Some(&10), "{count}");
            }
            assert_eq!(directory.get(Position(9)), None);
            assert_eq!(directory.get(end), None);
        }
        // Lengths that grow, as those of a new log do, shrink, and grow again; found by an update or from the start.
        for lens in [[16, 32, 64, 64], [64, 16, 1, 64], [1, 1, 90, 2], [5, 5, 5, 6]] {
            let bases: Vec<u64> = lens.iter().scan(7, |end, len| Some(std::mem::replace(end, *end + len))).collect();
            let segments: Vec<_> = bases.iter().map(|base| Arc::new(Segment::<()>::new(Position(*base), 64))).collect();
            let mut directory = Directory::new(segments.iter().take(2));
            directory.update(&segments.iter().skip(1).cloned().collect());
            for position in bases.get(1).copied().unwrap_or_default()..7 + lens.iter().sum::<u64>() {
                let at = bases.iter().rposition(|base| *base <= position).map(|at| at - 1);
                assert_eq!(directory.find(Position(position)), at, "{position} in {lens:?}");
            }
            let directory = Directory::new(segments.iter());
            for position in 7..7 + lens.iter().sum::<u64>() {
                let at = bases.iter().rposition(|base| *base <= position);
                assert_eq!(directory.find(Position(position)), at, "{position} in {lens:?}");
            }
        }
    }
}
