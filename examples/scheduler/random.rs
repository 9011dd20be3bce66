//! Pseudo-random numbers that are the same in every run. Not fit for secrets.

/// A xorshift generator with a multiplied output.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// 0 is replaced by 1, because the generator would stay at 0.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    /// One of these, if there is one.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let bound = u64::try_from(choices.len()).ok().filter(|len| *len > 0)?;
        choices.get(usize::try_from(self.below(bound)).ok()?)
    }

    /// An id in the form of a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        let (first, second, third) = (a >> 32, a >> 16 & 0xffff, a & 0xfff);
        let (fourth, last) = (b >> 48 & 0x3fff | 0x8000, b & 0xffff_ffff_ffff);
        format!("{first:08x}-{second:04x}-4{third:03x}-{fourth:04x}-{last:012x}")
    }
}
