//! Pseudo-random numbers from a seed, the same on every machine. Not fit for secrets.

#![allow(dead_code, reason = "every test crate uses its own part of this")]

/// A generator of numbers that look random (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn number(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The same as an index.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number(bound as u64)).expect("below a usize")
    }

    /// Whether one case in `count` has come.
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.number(count) == 0
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.get(self.below(from.len())).expect("below the length")
    }
}
