//! Computes how much the log keeps: arithmetic on counts of batches, events and bytes.
//! What is evicted is decided in `evict`, and when it is freed in `free`, by these numbers.
//!
//! The *slack* is what may be evicted and not freed yet: an eighth of each bound. The log *weighs* if anything but the
//! number of batches is bounded.
//!
//! Invariants: a segment of several batches and the deferred drops together have at most as many batches as the slack.
//!
//! Callers: `appender`, `evict` and `free` under the broker's lock; `broker` when it is built.

/// The length of the longest segment, in batches. It is long enough that crossing into the next segment adds nothing to
/// the cost of a batch, and short enough that allocating one (16 KiB) does not show in a publisher's tail latency.
pub(crate) const MAX_SEGMENT: usize = 1024;

/// The length of a log's first segment. Each segment that fills doubles it, so that a broker that publishes little
/// allocates little.
const FIRST_SEGMENT: usize = 16;

/// The slack is one over this of each bound.
const SLACK_DIVISOR: u64 = 8;

/// What one batch, or all buffered batches, count for.
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

/// The bounds of the log. `u64::MAX` means that there is no bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    bound: Cost,
    /// What may be evicted and not freed yet. A segment of more than one batch holds at most as much.
    slack: Cost,
    segment: usize,
}

impl Retention {
    pub(crate) fn new(batches: u64, events: Option<u64>, bytes: Option<u64>) -> Self {
        let bound = Cost { batches, events: events.unwrap_or(u64::MAX), bytes: bytes.unwrap_or(u64::MAX) };
        let slack = Cost {
            batches: bound.batches / SLACK_DIVISOR,
            events: bound.events / SLACK_DIVISOR,
            bytes: bound.bytes / SLACK_DIVISOR,
        };
        // An eighth of the slack is for deferred drops, and is not available to a segment.
        let segment = slack.batches.max(1) - slack.batches / SLACK_DIVISOR;
        let segment = usize::try_from(segment).map_or(MAX_SEGMENT, |segment| segment.min(MAX_SEGMENT));
        Self { bound, slack, segment }
    }

    /// Returns whether anything but the number of batches is bounded.
    #[inline]
    pub(crate) fn weighs(&self) -> bool {
        self.bound.events != u64::MAX || self.bound.bytes != u64::MAX
    }

    /// Returns by how many a number of batches exceeds the bound.
    #[inline]
    pub(crate) fn excess(&self, batches: u64) -> u64 {
        batches.saturating_sub(self.bound.batches)
    }

    /// Returns the part of a batch's cost that counts.
    #[inline]
    pub(crate) fn weigh(&self, cost: Cost) -> Cost {
        if self.weighs() { cost } else { Cost { batches: 1, ..Cost::default() } }
    }

    /// Returns whether so much may be buffered at once.
    #[inline]
    pub(crate) fn holds(&self, buffered: Cost) -> bool {
        buffered.within(self.bound)
    }

    /// Returns whether so much may be evicted and not freed yet. The slack is an eighth of each bound, which is zero
    /// for a bound below eight. A segment of several batches holds at most as much, because all of it but its last
    /// batch may be evicted.
    #[inline]
    pub(crate) fn fits_slack(&self, evicted: Cost) -> bool {
        evicted.within(self.slack)
    }

    /// Returns how many more batches may be evicted and not freed, beside the given number. Only for a log that does
    /// not weigh.
    #[inline]
    pub(crate) fn slack_left(&self, evicted: u64) -> u64 {
        self.slack.batches.saturating_sub(evicted)
    }

    /// Returns how many drops may be deferred: an eighth of the slack, and none if the log weighs. What remains of the
    /// slack is for segments.
    #[inline]
    pub(crate) fn max_deferred(&self) -> u64 {
        if self.weighs() { 0 } else { self.slack.batches / SLACK_DIVISOR }
    }

    /// Returns how long the segment should be that follows one of `len` slots, of which `used` were written.
    pub(crate) fn next_segment_len(&self, len: usize, used: usize) -> usize {
        let wanted = if len == 0 { FIRST_SEGMENT } else { used.saturating_mul(2) };
        wanted.clamp(1, self.segment)
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_at_most_an_eighth_and_leaves_room_for_deferred_drops() {
        for (batches, segment) in [(1, 1), (7, 1), (8, 1), (100, 11), (1_000_000, MAX_SEGMENT)] {
            let retention = Retention::new(batches, None, None);
            assert_eq!(retention.next_segment_len(MAX_SEGMENT, MAX_SEGMENT), segment, "{batches}");
        }
    }

    #[test]
    fn segments_grow_with_use_and_shrink_when_closed_early() {
        let retention = Retention::new(100_000, None, None);
        assert_eq!(retention.next_segment_len(0, 0), 16);
        assert_eq!(retention.next_segment_len(16, 16), 32);
        assert_eq!(retention.next_segment_len(1024, 3), 6);
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

    /// If only the number of batches is bounded, nothing else is counted, and drops may be deferred.
    #[test]
    fn unbounded_counts_are_not_weighed() {
        let cost = Cost { batches: 1, events: 3, bytes: 40 };
        let counted = Retention::new(640, None, None);
        assert!(!counted.weighs());
        assert_eq!(counted.weigh(cost), Cost { batches: 1, ..Cost::default() });
        assert_eq!([639, 640, 643].map(|batches| counted.excess(batches)), [0, 0, 3]);
        // The slack of 640 is 80, and an eighth of it is for deferred drops.
        assert_eq!([0, 79, 80, 81].map(|evicted| counted.slack_left(evicted)), [80, 1, 0, 0]);
        assert_eq!(counted.max_deferred(), 10);
        for weighed in [Retention::new(640, Some(9), None), Retention::new(640, None, Some(9))] {
            assert!(weighed.weighs());
            assert_eq!((weighed.weigh(cost), weighed.max_deferred()), (cost, 0));
        }
    }
}
