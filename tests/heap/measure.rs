//! Live heap by deltas, and bounds that are checked one after the other.
//! What a bound is made of is not known here.

use std::cell::Cell;

/// Live heap of the whole process.
pub(crate) fn live() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// The highest live heap since the case began.
pub(crate) fn peak() -> usize {
    dhat::HeapStats::get().max_bytes
}

/// Live heap since a beginning, without what the test itself keeps.
#[derive(Debug)]
pub(crate) struct Meter {
    base: usize,
    own: Cell<isize>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { base: live(), own: Cell::new(0) }
    }

    /// Runs bookkeeping of the test's own: what it allocates or frees is not the broker's.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = live();
        let result = work();
        self.own.set(self.own.get() + live().cast_signed() - before.cast_signed());
        result
    }

    /// What the broker keeps.
    pub(crate) fn broker(&self) -> usize {
        let all = live().cast_signed() - self.base.cast_signed();
        (all - self.own.get()).max(0).unsigned_abs()
    }
}

/// Bounds and what exceeded them.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    failures: usize,
}

impl Checks {
    pub(crate) fn at_most(&mut self, what: &str, bytes: usize, bound: usize) {
        let exceeded = bytes > bound;
        self.failures += usize::from(exceeded);
        let verdict = if exceeded { "  EXCEEDED" } else { "" };
        println!("  {what}: {bytes} bytes, at most {bound}{verdict}");
    }

    /// As [`at_most`](Self::at_most), silent where the bound holds: for what is checked very often.
    pub(crate) fn silently_at_most(&mut self, what: impl FnOnce() -> String, bytes: usize, bound: usize) {
        if bytes > bound {
            self.at_most(&what(), bytes, bound);
        }
    }

    pub(crate) fn failures(&self) -> usize {
        self.failures
    }
}

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(0x1234_5678))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let place = usize::try_from(self.below(from.len() as u64)).expect("few");
        from.get(place).expect("below the length")
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}
