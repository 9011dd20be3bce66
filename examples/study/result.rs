//! What follows from the turns of a point: its figures, their intervals, and whether the machine allowed them.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::contenders::Contender;
use crate::point::{Point, Setting};
use crate::stats::{Estimate, estimate, median, quantile};
use crate::turns::Taken;

/// Half the width of an interval, as a part of the figure, above which a point is noisy.
pub(crate) const NOISY: f64 = 0.1;

/// The fewest passes from which an interval says something: three are on both sides of the median in three of four cases,
/// `1 - 2 / 2^3`, five in fifteen of sixteen.
pub(crate) const FEWEST_PASSES: usize = 5;

/// A point and its result. Times are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) point: Point,
    /// Turns that count, turns that were repeated, and turns that count although something disturbed them.
    pub(crate) passes: usize,
    pub(crate) turns: usize,
    pub(crate) repeated: usize,
    pub(crate) disturbed: usize,
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_second: f64,
    /// The lower quartile of the time of an event.
    pub(crate) quartile: f64,
    /// The median of the time to publish an event and for all readers to read it.
    pub(crate) nanos_per_event: Estimate,
    /// Whether the interval is so wide that the figure should not be quoted.
    pub(crate) noisy: bool,
    /// The median of the ratios to the base, turn by turn.
    pub(crate) ratio: Option<(Contender, Estimate)>,
    pub(crate) publish_p50: Estimate,
    /// The 0.99 and 0.999 quantiles of a publish, as medians over the turns that support them, if half of them do; and the
    /// longest.
    pub(crate) publish_high: [Option<f64>; 3],
    /// Where the system says how much memory a process has.
    pub(crate) bytes_per_subscription: Option<u64>,
    /// Of a batch as the point has them, with its events.
    pub(crate) bytes_per_batch: Option<u64>,
}

/// The figures of the turns that count, pass by pass.
pub(crate) fn by_pass(turns: &[&Taken], figure: impl Fn(&Taken) -> f64) -> Vec<Vec<f64>> {
    let mut passes = Vec::<Vec<f64>>::new();
    let mut last = None;
    for taken in turns.iter().filter(|taken| taken.counts) {
        if last.replace(taken.pass) != Some(taken.pass) {
            passes.push(Vec::new());
        }
        passes.last_mut().expect("pushed").push(figure(taken));
    }
    passes
}

/// The ratios of the turns of one contender to those of another in the same round, pass by pass.
fn ratios(turns: &[&Taken], base: &[&Taken]) -> Vec<Vec<f64>> {
    let place = |taken: &Taken| (taken.pass, taken.round);
    let base: HashMap<_, f64> =
        base.iter().filter(|taken| taken.counts).map(|taken| (place(taken), taken.nanos_per_event)).collect();
    let both: Vec<&Taken> =
        turns.iter().copied().filter(|taken| taken.counts && base.contains_key(&place(taken))).collect();
    by_pass(&both, |taken| base.get(&place(taken)).map_or(f64::NAN, |base| taken.nanos_per_event / base))
}

/// Computes a point from its turns. `base` is what its ratio compares with.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds and counts of turns")]
fn row(point: Point, turns: &[&Taken], base: Option<(Contender, &[&Taken])>, seed: u64) -> Option<Row> {
    let counted: Vec<&Taken> = turns.iter().copied().filter(|taken| taken.counts).collect();
    let first = counted.first()?;
    let each = by_pass(turns, |taken| taken.nanos_per_event);
    let event = estimate(&each, 0.5, seed);
    let all: Vec<f64> = each.iter().flatten().copied().collect();
    let publish = |place: usize| {
        let nanos = counted.iter().filter_map(|taken| *taken.publish.get(place)?);
        nanos.map(|nanos| nanos as f64).collect::<Vec<_>>()
    };
    let middle = |nanos: Vec<f64>| (!nanos.is_empty() && nanos.len() * 2 >= counted.len()).then(|| median(&nanos));
    let deliveries_per_event = counted.iter().map(|taken| taken.deliveries).sum::<u64>() as f64
        / counted.iter().map(|taken| taken.events).sum::<u64>().max(1) as f64;
    let ratio = base.map(|(base, turns_of_base)| (base, estimate(&ratios(turns, turns_of_base), 0.5, seed)));
    Some(Row {
        point,
        passes: each.len(),
        turns: counted.len(),
        repeated: turns.len() - counted.len(),
        disturbed: counted.iter().filter(|taken| taken.spoiled).count(),
        events: counted.iter().map(|taken| taken.events).sum(),
        deliveries: counted.iter().map(|taken| taken.deliveries).sum(),
        deliveries_per_second: deliveries_per_event * 1e9 / event.value,
        quartile: quantile(&all, 0.25),
        nanos_per_event: event,
        noisy: event.uncertainty() > NOISY || each.len() < FEWEST_PASSES,
        ratio: ratio.filter(|(_, ratio)| ratio.value.is_finite()),
        publish_p50: estimate(&by_pass(turns, |taken| taken.publish[0].unwrap_or_default() as f64), 0.5, seed),
        publish_high: [middle(publish(1)), middle(publish(2)), publish(3).into_iter().reduce(f64::max)],
        bytes_per_subscription: None,
        bytes_per_batch: None,
    })
    .filter(|_| first.events > 0)
}

/// Turns by point, in the order in which points were first measured.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    points: Vec<(Point, Vec<Taken>)>,
}

impl Turns {
    pub(crate) fn of(turns: Vec<Taken>) -> Self {
        let mut all = Self::default();
        for taken in turns {
            all.add(taken);
        }
        all
    }

    pub(crate) fn add(&mut self, taken: Taken) {
        match self.points.iter_mut().find(|(point, _)| *point == taken.point) {
            Some((_, turns)) => turns.push(taken),
            None => self.points.push((taken.point, vec![taken])),
        }
    }

    pub(crate) fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().map(|(point, _)| point)
    }

    pub(crate) fn of_point(&self, point: &Point) -> Vec<&Taken> {
        let found = self.points.iter().find(|(other, _)| other == point);
        found.map(|(_, turns)| turns.iter().collect()).unwrap_or_default()
    }

    /// What the ratios of a setting compare with: the wanted contender, or the first of those that were measured.
    fn base(&self, setting: &Setting, wanted: Contender) -> Option<Contender> {
        let measured =
            |contender| self.points.iter().any(|(point, _)| *point == Point { setting: *setting, contender });
        [wanted, Contender::Tokio, Contender::Drain].into_iter().find(|contender| measured(*contender))
    }

    /// Computes one point.
    pub(crate) fn row(&self, point: &Point, base: Contender, seed: u64) -> Option<Row> {
        let base = self.base(&point.setting, base);
        let of_base = base.map(|contender| self.of_point(&Point { contender, ..*point })).unwrap_or_default();
        row(*point, &self.of_point(point), base.map(|base| (base, &*of_base)), seed)
    }

    /// Computes all points.
    pub(crate) fn rows(&self, base: Contender, seed: u64) -> Vec<Row> {
        self.points().filter_map(|point| self.row(point, base, seed)).collect()
    }
}

impl Row {
    pub(crate) fn json(&self, run: &str) -> Value {
        let Point { contender, setting } = self.point;
        let interval =
            |estimate: Estimate| json!({"low": estimate.low, "value": estimate.value, "high": estimate.high});
        json!({
            "run": run,
            "mode": setting.mode.name(),
            "contender": contender.name(),
            "subscribers": setting.subscribers,
            "match": setting.fraction,
            "batch": setting.batch,
            "payload": setting.payload,
            "window": setting.window,
            "buffer": setting.buffer,
            "workers": setting.workers,
            "keys": setting.keys.name(),
            "publishers": setting.publishers,
            "churn": setting.churn,
            "turns": self.turns,
            "repeated": self.repeated,
            "disturbed": self.disturbed,
            "events": self.events,
            "deliveries": self.deliveries,
            "deliveries_per_second": self.deliveries_per_second,
            "ns_per_event_quartile": self.quartile,
            "ns_per_event": interval(self.nanos_per_event),
            "noisy": self.noisy,
            "ratio": self.ratio.map(|(base, ratio)| json!({"base": base.name(), "of": interval(ratio)})),
            "publish_p50_ns": interval(self.publish_p50),
            "publish_p99_ns": self.publish_high[0],
            "publish_p999_ns": self.publish_high[1],
            "publish_max_ns": self.publish_high[2],
            "bytes_per_subscription": self.bytes_per_subscription,
            "bytes_per_batch": self.bytes_per_batch,
        })
    }
}
