//! How much the log keeps: arithmetic on counts.
//! No log is known here.

/// The longest segment, in batches: long enough that crossing into the next costs nothing a batch, short enough that
/// allocating one (16 KiB) does not show in a publisher's tail latency.
pub(crate) const MAX_SEGMENT: usize = 1024;

/// The length of a log's first segment, doubled with each one that fills, so that a broker that publishes little
/// allocates little.
const FIRST_SEGMENT: usize = 16;

/// What is evicted and not freed yet is at most this share of each bound.
const SHARE: u64 = 8;

/// What one batch, or all that are held, count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) batches: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Cost {
    #[inline]
    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            batches: self.batches.saturating_add(other.batches),
            events: self.events.saturating_add(other.events),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    #[inline]
    pub(crate) fn sub(self, other: Self) -> Self {
        Self {
            batches: self.batches.saturating_sub(other.batches),
            events: self.events.saturating_sub(other.events),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    #[inline]
    fn within(self, bound: Self) -> bool {
        self.batches <= bound.batches && self.events <= bound.events && self.bytes <= bound.bytes
    }
}

/// The bounds of the log; `u64::MAX` is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    bound: Cost,
    /// What may be evicted and not freed yet, and so what a segment may hold, of more than one batch.
    slack: Cost,
    segment: usize,
}

impl Retention {
    pub(crate) fn new(batches: u64, events: Option<u64>, bytes: Option<u64>) -> Self {
        let bound = Cost { batches, events: events.unwrap_or(u64::MAX), bytes: bytes.unwrap_or(u64::MAX) };
        let slack = Cost { batches: bound.batches / SHARE, events: bound.events / SHARE, bytes: bound.bytes / SHARE };
        // What may be lent is no segment's.
        let segment = slack.batches.max(1) - slack.batches / SHARE;
        let segment = usize::try_from(segment).map_or(MAX_SEGMENT, |segment| segment.min(MAX_SEGMENT));
        Self { bound, slack, segment }
    }

    /// Whether anything but the number of batches counts.
    #[inline]
    pub(crate) fn weighs(&self) -> bool {
        self.bound.events != u64::MAX || self.bound.bytes != u64::MAX
    }

    /// How many of so many batches are too many.
    #[inline]
    pub(crate) fn excess(&self, batches: u64) -> u64 {
        batches.saturating_sub(self.bound.batches)
    }

    /// Of the cost of one batch, what counts.
    #[inline]
    pub(crate) fn weigh(&self, cost: Cost) -> Cost {
        if self.weighs() { cost } else { Cost { batches: 1, ..Cost::default() } }
    }

    /// Whether all this may be held at once.
    #[inline]
    pub(crate) fn holds(&self, held: Cost) -> bool {
        held.within(self.bound)
    }

    /// Whether so much may be evicted and not freed yet: an eighth, which of a bound below eight is nothing. A segment
    /// of several batches holds no more, because it may be evicted but for the last of them.
    #[inline]
    pub(crate) fn fits_slack(&self, evicted: Cost) -> bool {
        evicted.within(self.slack)
    }

    /// How many more batches may be, beside so many, where nothing but their number counts.
    #[inline]
    pub(crate) fn slack_left(&self, evicted: u64) -> u64 {
        self.slack.batches.saturating_sub(evicted)
    }

    /// How many evicted batches others may have to drop: an eighth of what may stay. The rest is a segment's.
    #[inline]
    pub(crate) fn may_defer(&self) -> u64 {
        if self.weighs() { 0 } else { self.slack.batches / SHARE }
    }

    /// How long the segment after one of `len` slots, of which `used` were written, should be.
    pub(crate) fn next_segment(&self, len: usize, used: usize) -> usize {
        let wish = if len == 0 { FIRST_SEGMENT } else { used.saturating_mul(2) };
        wish.clamp(1, self.segment)
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_at_most_an_eighth_and_leaves_room_for_what_is_lent() {
        for (batches, segment) in [(1, 1), (7, 1), (8, 1), (100, 11), (1_000_000, MAX_SEGMENT)] {
            let retention = Retention::new(batches, None, None);
            assert_eq!(retention.next_segment(MAX_SEGMENT, MAX_SEGMENT), segment, "{batches}");
        }
    }

    #[test]
    fn segments_grow_with_use_and_shrink_when_closed_early() {
        let retention = Retention::new(100_000, None, None);
        assert_eq!(retention.next_segment(0, 0), 16);
        assert_eq!(retention.next_segment(16, 16), 32);
        assert_eq!(retention.next_segment(1024, 3), 6);
    }

    #[test]
    fn every_bound_counts() {
        let retention = Retention::new(8, Some(16), Some(80));
        let held = Cost { batches: 8, events: 16, bytes: 80 };
        assert!(retention.holds(held));
        for more in [
            Cost { batches: 1, ..Cost::default() },
            Cost { events: 1, ..Cost::default() },
            Cost { bytes: 1, ..Cost::default() },
        ] {
            assert!(!retention.holds(held.add(more)));
        }
        assert!(retention.fits_slack(Cost { batches: 1, events: 2, bytes: 10 }));
        assert!(!retention.fits_slack(Cost { batches: 1, events: 3, bytes: 10 }));
    }

    /// Where nothing but the number of batches is bounded, nothing else is counted, and others may have some to drop.
    #[test]
    fn what_is_not_bounded_is_not_weighed() {
        let cost = Cost { batches: 1, events: 3, bytes: 40 };
        let counted = Retention::new(640, None, None);
        assert!(!counted.weighs());
        assert_eq!(counted.weigh(cost), Cost { batches: 1, ..Cost::default() });
        assert_eq!([639, 640, 643].map(|batches| counted.excess(batches)), [0, 0, 3]);
        // An eighth of 640 may stay, and an eighth of that is lent.
        assert_eq!([0, 79, 80, 81].map(|evicted| counted.slack_left(evicted)), [80, 1, 0, 0]);
        assert_eq!(counted.may_defer(), 10);
        for weighed in [Retention::new(640, Some(9), None), Retention::new(640, None, Some(9))] {
            assert!(weighed.weighs());
            assert_eq!((weighed.weigh(cost), weighed.may_defer()), (cost, 0));
        }
    }
}
