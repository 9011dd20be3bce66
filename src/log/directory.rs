//! The table of live segments, as one value that readers share.
//! It never changes while a reader holds it: then the appender replaces it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segment::Segment;
use crate::position::{Position, Run};
use crate::sync::Slot;

/// Live segments by base, oldest first.
///
/// Few: a segment holds an eighth of the retention, up to [`MAX_SEGMENT`](super::retention::MAX_SEGMENT) batches.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    segments: Vec<(Position, Arc<Segment<T>>)>,
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self { segments: Vec::new() }
    }
}

impl<T> Directory<T> {
    pub(crate) fn new<'a>(segments: impl Iterator<Item = &'a Arc<Segment<T>>>) -> Self
    where
        T: 'a,
    {
        Self { segments: segments.map(|segment| (segment.base(), Arc::clone(segment))).collect() }
    }

    /// Drops what is no longer among `live`, and adds what is new there.
    pub(super) fn update(&mut self, live: &VecDeque<Arc<Segment<T>>>) {
        let first = live.front().map(|segment| segment.base());
        let gone = self.segments.iter().take_while(|(base, _)| first.is_none_or(|first| *base < first)).count();
        self.segments.drain(..gone);
        let known = self.segments.len();
        self.segments.extend(live.iter().skip(known).map(|segment| (segment.base(), Arc::clone(segment))));
    }

    /// Where the segment stands that would hold a position, if it is not older than all of them.
    #[inline]
    fn find(&self, position: Position) -> Option<usize> {
        // Few are counted without a branch that could be mispredicted: a narrow read of ten segments took 10 % longer
        // with a search.
        let older = if self.segments.len() <= 16 {
            self.segments.iter().filter(|(base, _)| *base <= position).count()
        } else {
            self.segments.partition_point(|(base, _)| *base <= position)
        };
        older.checked_sub(1)
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

    /// Few segments are counted, many are searched: either way a position is found where it was written, also the
    /// first and the last of a segment, and after one that was closed early.
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
    }
}
