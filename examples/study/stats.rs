//! Quantiles of what was measured, and intervals by bootstrap. The method is described in `METHOD.md`.

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1_000;

/// The part of the resamples that an interval leaves out on each side.
const TAIL: f64 = 0.025;

/// Numbers that look random, the same for a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or_default()
    }

    /// A number in `0..1`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The value at this quantile, between neighbours in proportion. Not a number without values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lists are short"
)]
pub(crate) fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = quantile * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(below), Some(above)) => below + (above - below) * place.fract(),
        _ => f64::NAN,
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// A figure, and the interval that holds it in 95 of 100 repetitions of the study, as far as the passes show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) low: f64,
    pub(crate) value: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// Half the width of the interval, as a part of the value.
    pub(crate) fn uncertainty(&self) -> f64 {
        (self.high - self.low) / 2.0 / self.value
    }
}

/// The median over the passes of the `at` quantile of the turns of each.
fn of_passes(passes: &[Vec<f64>], at: f64) -> f64 {
    median(&passes.iter().map(|turns| quantile(turns, at)).collect::<Vec<_>>())
}

/// The same of passes that are drawn, and of turns that are drawn in each.
fn resample(passes: &[Vec<f64>], at: f64, random: &mut Random) -> f64 {
    let figures = (0..passes.len()).map(|_| {
        let turns = passes.get(random.below(passes.len())).map_or(&[][..], Vec::as_slice);
        let drawn = (0..turns.len()).filter_map(|_| turns.get(random.below(turns.len())).copied());
        quantile(&drawn.collect::<Vec<_>>(), at)
    });
    median(&figures.collect::<Vec<_>>())
}

/// Estimates the `at` quantile of turns, by the median over the passes. A resample draws passes, and turns of each: what
/// differs from pass to pass (where memory lies, how hashes fall, who else runs) widens the interval, too.
pub(crate) fn estimate(passes: &[Vec<f64>], at: f64, seed: u64) -> Estimate {
    let mut random = Random::new(seed);
    let resamples: Vec<f64> = (0..RESAMPLES).map(|_| resample(passes, at, &mut random)).collect();
    let value = of_passes(passes, at);
    let (low, high) = (quantile(&resamples, TAIL), quantile(&resamples, 1.0 - TAIL));
    Estimate { low: low.min(value), value, high: high.max(value) }
}

/// The mean of logarithms as a factor, with an interval by bootstrap over the factors.
#[expect(clippy::cast_precision_loss, reason = "lists are short")]
pub(crate) fn geometric_mean(factors: &[f64], seed: u64) -> Estimate {
    let mean = |factors: &[f64]| (factors.iter().map(|factor| factor.ln()).sum::<f64>() / factors.len() as f64).exp();
    let mut random = Random::new(seed);
    let mut resample = || {
        let drawn = (0..factors.len()).filter_map(|_| factors.get(random.below(factors.len())).copied());
        mean(&drawn.collect::<Vec<_>>())
    };
    let resamples: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
    Estimate { low: quantile(&resamples, TAIL), value: mean(factors), high: quantile(&resamples, 1.0 - TAIL) }
}

/// Estimates by what factor a figure changed from one run to another, by resamples of both.
pub(crate) fn ratio_of(before: &[Vec<f64>], after: &[Vec<f64>], at: f64, seed: u64) -> Estimate {
    let mut random = Random::new(seed);
    let ratios: Vec<f64> =
        (0..RESAMPLES).map(|_| resample(after, at, &mut random) / resample(before, at, &mut random)).collect();
    let value = of_passes(after, at) / of_passes(before, at);
    Estimate { low: quantile(&ratios, TAIL).min(value), value, high: quantile(&ratios, 1.0 - TAIL).max(value) }
}
