//! Pseudo-random numbers from a seed, the same on every machine.
//! What is drawn, and in which order, is decided by those who use them. They are not fit for secrets.

/// A generator of numbers that look random (splitmix64), for tests that must be repeatable.
///
/// ```
/// use event_broker::testing::Random;
///
/// let draw = |seed| {
///     let mut random = Random::new(seed);
///     (0..8).map(|_| random.pick(&["web", "db", "cache"])).collect::<Vec<_>>()
/// };
/// assert_eq!(draw(7), draw(7), "the same seed, the same numbers");
/// assert_ne!(draw(7), draw(8));
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates a generator. Every seed is as good as any other.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns any number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, for example an index of a slice of this length. For bounds that are no power of
    /// two, low numbers are a little more frequent, by less than one in a billion for bounds below 2^34.
    ///
    /// # Panics
    ///
    /// Panics if `bound` is 0.
    #[track_caller]
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number is below 0");
        usize::try_from(self.next_u64() % bound as u64).unwrap_or_default()
    }

    /// Does the same with numbers that are no index.
    ///
    /// # Panics
    ///
    /// Panics if `bound` is 0.
    #[track_caller]
    pub const fn number(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        self.next_u64() % bound
    }

    /// Returns `true` once in `count` times on average.
    ///
    /// # Panics
    ///
    /// Panics if `count` is 0.
    #[track_caller]
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Returns one of these.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[track_caller]
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        assert!(!from.is_empty(), "nothing can be picked from an empty slice");
        let place = self.below(from.len());
        let Some(picked) = from.get(place) else { unreachable!("{place} is below the length") };
        picked.clone()
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// The first numbers of splitmix64 from the seed 1234567, as its authors give them.
    #[test]
    fn it_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        let numbers = [(); 3].map(|()| random.next_u64());
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_number_below_a_bound_is_drawn() {
        let mut random = Random::new(1);
        let mut drawn = [0_u32; 5];
        for _ in 0..1000 {
            let number = random.below(drawn.len());
            *drawn.get_mut(number).expect("below the bound") += 1;
        }
        assert!(drawn.iter().all(|count| (150..250).contains(count)), "{drawn:?}");
        assert!((0..100).all(|_| random.one_in(1)));
    }
}
