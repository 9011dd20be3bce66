//! The table of live segments, as one value that readers share.
//! It never changes: the appender replaces it.

use std::sync::Arc;

use super::segment::Segment;
use crate::position::{Position, Run};
use crate::sync::Slot;

/// Live segments by base, oldest first.
///
/// Few: a segment holds an eighth of the retention, up to [`MAX_SEGMENT`](super::retention::MAX_SEGMENT) batches.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    segments: Box<[(Position, Arc<Segment<T>>)]>,
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self { segments: Box::default() }
    }
}

impl<T> Directory<T> {
    pub(crate) fn new<'a>(segments: impl Iterator<Item = &'a Arc<Segment<T>>>) -> Self
    where
        T: 'a,
    {
        Self { segments: segments.map(|segment| (segment.base(), Arc::clone(segment))).collect() }
    }

    /// The segment that would hold a position, if it is not older than all of them.
    #[inline]
    pub(crate) fn segment(&self, position: Position) -> Option<&Segment<T>> {
        // Most reads are near the end.
        let (base, last) = self.segments.last()?;
        if *base <= position {
            return Some(last);
        }
        let after = self.segments.partition_point(|(base, _)| *base <= position);
        self.segments.get(after.checked_sub(1)?).map(|(_, segment)| &**segment)
    }

    /// The slots at the beginning of a run, as far as they lie in one segment.
    pub(crate) fn slots(&self, run: Run) -> &[Slot<T>] {
        let after = self.segments.partition_point(|(base, _)| *base <= run.start);
        let Some((_, segment)) = after.checked_sub(1).and_then(|at| self.segments.get(at)) else { return &[] };
        // A segment may have been closed before it was full: what follows is in the next one.
        let end = self.segments.get(after).map_or(run.end, |(next, _)| run.end.min(*next));
        segment.slots(Run { end, ..run })
    }

    /// The value at a position, if its segment is here and it has been written.
    #[inline]
    pub(crate) fn get(&self, position: Position) -> Option<&T> {
        self.segment(position)?.get(position)
    }
}
