//! Differences of live heap, and bounds that are checked one after another.

use std::cell::Cell;

pub(crate) use crate::heap::{live, peak};

/// Live heap since the meter was made, without the test's own.
#[derive(Debug)]
pub(crate) struct Meter {
    base: usize,
    own: Cell<isize>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { base: live(), own: Cell::new(0) }
    }

    /// Runs bookkeeping of the test. Its allocations are not counted as the broker's.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = live();
        let result = work();
        self.own.set(self.own.get() + live().cast_signed() - before.cast_signed());
        result
    }

    /// The heap of the broker.
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
