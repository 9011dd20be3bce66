//! The comparison of two runs: what changed beyond noise.
//!
//! Some contenders are controls: their code is the same in both runs. By how much they moved in a setting says how fast
//! the machine was when that setting was measured, and is taken out of the factors there; how far the controls are apart
//! says how large noise is.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::contenders::Contender;
use crate::manifest;
use crate::open_loop;
use crate::plots::{Change, Curve, draw_changes};
use crate::point::{Mode, Point};
use crate::result::{Turns, by_pass};
use crate::sheet::{self, replace};
use crate::stats::{Estimate, geometric_mean, median, quantile, ratio_of};
use crate::turns::Taken;

/// No change below this is reported, however quiet the machine is: code that is placed otherwise makes as much.
const LEAST: f64 = 1.02;

/// How many standard deviations a mean must be away from that of the controls.
const DEVIATIONS: f64 = 2.5;

/// The fewest controls whose means say how large noise is.
const FEWEST_CONTROLS: usize = 3;

/// The least limit of noise where there are fewer.
const WITH_FEW_CONTROLS: f64 = 1.1;

/// By what factor controls may move, or the runs hardly compare.
const OTHER_MACHINE: f64 = 1.15;

/// By what part of a drift a structure may move beside it: the speed of a processor and that of its memory change each by
/// itself. Between equal programs of which one ran a sixth faster, the crate moved by 0.45 of that more than the controls.
const OF_DRIFT: f64 = 0.5;

/// The half-width of a 95 % interval in standard deviations.
const NORMAL: f64 = 1.96;

/// The most points that are listed.
const LISTED: usize = 24;

/// A point that both runs have.
struct Both {
    contender: Contender,
    /// What all contenders of the point have in common.
    setting: String,
    before: f64,
    after: f64,
    /// After by before, without what the machine changed.
    factor: Estimate,
}

fn figures(turns: &Turns, point: &Point, figure: fn(&Taken) -> f64) -> Vec<Vec<f64>> {
    by_pass(&turns.of_point(point), figure)
}

/// What both runs have of one mode, or of one quantile of the open loop.
struct Compared {
    title: String,
    /// The title where there is little room.
    short_title: &'static str,
    points: Vec<Both>,
    /// By what factor the controls moved on average, and how many controls there are.
    drift: f64,
    controls: usize,
    /// The standard deviation of a control's mean from those of the others, as a logarithm.
    between: f64,
    /// That of the points of a contender, pooled, or nothing if no contender has two points.
    within: Option<f64>,
    /// How far from 1 the factor of a point may be by noise.
    point_limit: f64,
}

#[expect(clippy::cast_precision_loss, reason = "numbers of points")]
fn number(count: usize) -> f64 {
    count as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / number(values.len())
}

/// The sum of the squares of the distances from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

impl Compared {
    fn new(title: String, short_title: &'static str, mut points: Vec<Both>) -> Self {
        points.retain(|both| both.factor.value.is_finite());
        let mut compared = Self {
            title,
            short_title,
            points,
            drift: 1.0,
            controls: 0,
            between: 0.0,
            within: None,
            point_limit: WITH_FEW_CONTROLS,
        };
        compared.take_out_drift();
        compared
    }

    /// The time of an event.
    fn of_mode(mode: Mode, before: &Turns, after: &Turns, seed: u64) -> Self {
        let event = |taken: &Taken| taken.nanos_per_event;
        let both = |point: &&Point| point.setting.mode == mode && after.points().any(|other| other == *point);
        let compare = |point: &Point| {
            let (was, is) = (figures(before, point, event), figures(after, point, event));
            let all = |passes: &[Vec<f64>]| median(&passes.iter().flatten().copied().collect::<Vec<_>>());
            Both {
                contender: point.contender,
                setting: point.setting.to_string(),
                before: all(&was),
                after: all(&is),
                factor: ratio_of(&was, &is, 0.5, seed),
            }
        };
        let points = before.points().filter(both).map(compare).collect();
        Self::new(mode.title().to_owned(), mode.short_title(), points)
    }

    /// A quantile of latencies. Its interval is that of the rounds, from the least to the most.
    fn of_latency(short_title: &'static str, before: &[Curve], after: &[Curve], of: fn(&Curve) -> [f64; 3]) -> Self {
        let compare = |was: &Curve| {
            let is = after.iter().find(|is| is.is_same_point(was))?;
            let ([before, least, most], [after, low, high]) = (of(was), of(is));
            let factor = Estimate { low: low / most, value: after / before, high: high / least };
            Some(Both { contender: was.contender, setting: was.setting(), before, after, factor })
        };
        let title = format!("{short_title} under load, open loop");
        Self::new(title, short_title, before.iter().filter_map(compare).collect())
    }

    /// The logarithms of the factors of a contender's points.
    fn logs(&self, contender: Contender) -> Vec<f64> {
        self.factors(contender).iter().map(|factor| factor.ln()).collect()
    }

    /// The controls' factors in a setting, but for those of one contender, as logarithms.
    fn controls_of(&self, setting: &str, without: Contender) -> Vec<f64> {
        let controls = self.points.iter().filter(|both| both.setting == setting && both.contender.is_control());
        controls.filter(|both| both.contender != without).map(|both| both.factor.value.ln()).collect()
    }

    /// Takes out of each factor by how much the controls of its setting moved, and of a control's those of the others.
    fn take_out_drift(&mut self) {
        let raw: Vec<Vec<f64>> = Self::controls().map(|each| self.logs(each)).filter(|logs| !logs.is_empty()).collect();
        self.controls = raw.len();
        let all: Vec<f64> = raw.into_iter().flatten().collect();
        if !all.is_empty() {
            self.drift = mean(&all).exp();
        }
        let drift_at = |both: &Both| {
            let others = self.controls_of(&both.setting, both.contender);
            match (others.is_empty(), both.contender.is_control()) {
                (false, _) => mean(&others).exp(),
                (true, false) => self.drift,
                // With one control it is not known by how much that moved by itself.
                (true, true) => 1.0,
            }
        };
        let drifts: Vec<f64> = self.points.iter().map(drift_at).collect();
        for (both, drift) in self.points.iter_mut().zip(drifts) {
            let Estimate { low, value, high } = both.factor;
            both.factor = Estimate { low: low / drift, value: value / drift, high: high / drift };
        }
        let contenders = Contender::OURS.into_iter().chain(Self::controls());
        let all: Vec<Vec<f64>> = contenders.map(|each| self.logs(each)).filter(|logs| !logs.is_empty()).collect();
        let degrees: usize = all.iter().map(|logs| logs.len() - 1).sum();
        self.within =
            (degrees > 0).then(|| (all.iter().map(|logs| squares(logs)).sum::<f64>() / number(degrees)).sqrt());
        let controls: Vec<Vec<f64>> =
            Self::controls().map(|each| self.logs(each)).filter(|logs| !logs.is_empty()).collect();
        if controls.len() > 1 {
            // Around 0, which is where they would be without noise.
            let sum: f64 = controls.iter().map(|logs| mean(logs).powi(2)).sum();
            self.between = (sum / number(controls.len())).sqrt();
        }
        let apart: Vec<f64> = controls.iter().flatten().map(|log| log.abs()).collect();
        let least = if self.controls < FEWEST_CONTROLS { WITH_FEW_CONTROLS } else { LEAST };
        let of_noise = if apart.is_empty() { 0.0 } else { quantile(&apart, 0.95) };
        self.point_limit = of_noise.hypot(self.of_drift()).exp().max(least);
    }

    fn controls() -> impl Iterator<Item = Contender> {
        Contender::RIVALS.into_iter().filter(|each| each.is_control())
    }

    /// How far the mean of a contender may be from 1 by noise, as a logarithm, in one of three cases; or nothing if there
    /// are too few points to say so.
    fn deviation(&self, contender: Contender) -> Option<f64> {
        let (within, points) = (self.within?, self.factors(contender).len());
        if points < 2 {
            return None;
        }
        let of_points = within / number(points).sqrt();
        if self.controls >= FEWEST_CONTROLS {
            return Some(self.between.max(of_points));
        }
        let of_controls: usize = Self::controls().map(|each| self.factors(each).len()).sum();
        let of_controls = if of_controls == 0 { 0.0 } else { 1.0 / number(of_controls) };
        Some(within * (1.0 / number(points) + of_controls).sqrt())
    }

    /// Whether the machine became so much faster or slower that the runs hardly compare.
    fn is_other_machine(&self) -> bool {
        self.drift.max(1.0 / self.drift) > OTHER_MACHINE
    }

    /// How far structures may move apart where the machine became faster or slower.
    fn of_drift(&self) -> f64 {
        OF_DRIFT * self.drift.ln().abs()
    }

    /// How far from 1 the mean of a contender may be by noise, or nothing if there are too few points to say so.
    fn mean_limit(&self, contender: Contender) -> Option<f64> {
        let least = if self.controls >= FEWEST_CONTROLS { LEAST } else { WITH_FEW_CONTROLS };
        Some((DEVIATIONS * self.deviation(contender)?).hypot(self.of_drift()).exp().max(least))
    }

    fn factors(&self, contender: Contender) -> Vec<f64> {
        self.points.iter().filter(|both| both.contender == contender).map(|both| both.factor.value).collect()
    }

    /// The mean of a contender. Its interval is that of its points, widened by how far controls are apart.
    fn mean(&self, contender: Contender, seed: u64) -> Option<Estimate> {
        let factors = self.factors(contender);
        let Estimate { low, value, high } = (!factors.is_empty()).then(|| geometric_mean(&factors, seed))?;
        let wider = |end: f64| (end / value).ln().hypot(NORMAL * self.between).exp();
        Some(Estimate { low: value / wider(low), value, high: value * wider(high) })
    }

    /// What the mean of a contender says.
    fn verdict(&self, contender: Contender, mean: &Estimate) -> &'static str {
        let Some(limit) = self.mean_limit(contender) else { return "too few points" };
        let beyond = mean.value > limit || mean.value < 1.0 / limit;
        match mean {
            _ if beyond && self.is_other_machine() => "measure again",
            Estimate { low, .. } if beyond && *low > 1.0 => "slower",
            Estimate { high, .. } if beyond && *high < 1.0 => "faster",
            _ => "no change beyond noise",
        }
    }

    /// The points that changed beyond noise, the largest changes first.
    fn changed(&self) -> Vec<&Both> {
        let beyond = |both: &&Both| {
            let Estimate { low, high, .. } = both.factor;
            // With one point a contender noise is not known.
            let knows = self.mean_limit(both.contender).is_some() && !self.is_other_machine();
            knows && (low > self.point_limit || high < 1.0 / self.point_limit)
        };
        let mut changed: Vec<&Both> = self.points.iter().filter(beyond).collect();
        let size = |both: &Both| both.factor.value.ln().abs();
        changed.sort_by(|a, b| size(b).total_cmp(&size(a)));
        changed
    }
}

/// A run that is compared.
pub(crate) struct Side {
    directory: PathBuf,
    run: String,
    turns: Turns,
    latencies: Vec<Curve>,
    facts: serde_json::Map<String, Value>,
}

impl Side {
    /// Reads a run.
    pub(crate) fn read(directory: &Path) -> Result<Self, sheet::SheetError> {
        let (run, turns) = sheet::read(directory)?;
        let facts = manifest::read(directory).unwrap_or_default();
        let run = facts.get("run").and_then(Value::as_str).map_or(run, str::to_owned);
        let latencies = open_loop::read(directory);
        Ok(Self { directory: directory.to_owned(), run, turns: Turns::of(turns), latencies, facts })
    }

    fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name)?.as_str()
    }

    fn name(&self) -> String {
        let dirty = self.facts.get("dirty").and_then(Value::as_bool).unwrap_or_default();
        let commit: String = self.fact("commit").unwrap_or("unknown").chars().take(8).collect();
        let old = self.facts.get("older_than_sources").and_then(Value::as_bool).unwrap_or_default();
        let changed = match (dirty, old) {
            (_, true) => ", by a program that is older",
            (true, false) => ", with changes",
            (false, false) => "",
        };
        let verdict = self.fact("verdict").unwrap_or("interrupted");
        format!("run {}, commit {commit}{changed}; {verdict}", self.run)
    }
}

/// What the runs do not have in common that their figures depend on.
fn differences(before: &Side, after: &Side) -> Vec<String> {
    let facts = ["processor", "compiler", "flags", "features", "rivals", "method", "pinned", "governor", "build"];
    let text = |side: &Side, fact: &str| side.facts.get(fact).map_or_else(|| "unknown".to_owned(), Value::to_string);
    let differ = facts.into_iter().filter(|fact| text(before, fact) != text(after, fact));
    differ.map(|fact| format!("{fact}: {} before, {} after", text(before, fact), text(after, fact))).collect()
}

/// Compares the runs in two directories, prints what changed, and writes it as `compare.md` and `compare.svg`.
pub(crate) fn run(before: &Path, after: &Path, out: Option<&Path>, seed: u64) -> Result<(), Box<dyn Error>> {
    let (before, after) = (Side::read(before)?, Side::read(after)?);
    let out = out.unwrap_or(&after.directory).to_owned();
    sides(&before, &after, &out, seed)
}

/// Compares two runs, prints what changed, and writes it into a directory.
pub(crate) fn sides(before: &Side, after: &Side, out: &Path, seed: u64) -> Result<(), Box<dyn Error>> {
    let (was, is) = (&before.latencies, &after.latencies);
    let latencies = [
        Compared::of_latency("latency p50", was, is, |curve| curve.p50),
        Compared::of_latency("latency p99", was, is, |curve| curve.p99),
    ];
    let modes = Mode::ALL.into_iter().map(|mode| Compared::of_mode(mode, &before.turns, &after.turns, seed));
    let compared: Vec<Compared> = modes.chain(latencies).filter(|compared| !compared.points.is_empty()).collect();
    if compared.is_empty() {
        return Err("the runs have no point in common".into());
    }
    let (text, changes) = report(&compared, before, after, seed);
    print!("{text}");
    std::fs::create_dir_all(out)?;
    replace(&out.join("compare.md"), &text)?;
    let subtitle = format!("before: run {}; after: run {}", before.run, after.run);
    draw_changes(&changes, &subtitle, &out.join("compare.svg"))?;
    Ok(())
}

fn report(compared: &[Compared], before: &Side, after: &Side, seed: u64) -> (String, Vec<Change>) {
    let mut text = format!("# Comparison\n\n- before: {}\n- after: {}\n", before.name(), after.name());
    let mut changes = Vec::new();
    let mut line = |line: String| text.write_str(&(line + "\n")).expect("a string takes everything");
    for difference in differences(before, after) {
        line(format!("- the runs differ in {difference}"));
    }
    let points = |one: &Side, other: &Side| {
        one.turns.points().filter(|point| !other.turns.points().any(|each| each == *point)).count()
    };
    match [points(before, after), points(after, before)] {
        [0, 0] => {}
        [was, is] => line(format!("- {was} points are only in the run before, and {is} only in the one after")),
    }
    for one in compared {
        line(format!("\n## {}\n", one.title));
        let limit = one.mean_limit(Contender::Drain).or_else(|| one.mean_limit(Contender::Owned));
        let limit = limit.map_or_else(
            || "factors that are unknown".to_owned(),
            |limit| format!("factors of {:.3} to {limit:.3}", 1.0 / limit),
        );
        if one.controls > 0 {
            line(format!(
                "The controls took {:.3}x; what they took in a setting is taken out there. They say that noise moves a \
                 point by factors of {:.3} to {:.3}, and a mean by {limit}.",
                one.drift,
                1.0 / one.point_limit,
                one.point_limit
            ));
        }
        if one.controls < FEWEST_CONTROLS {
            line(format!(
                "Fewer than {FEWEST_CONTROLS} controls are in both runs, so noise is hardly known, and nothing within \
                 {limit} counts."
            ));
        }
        if one.is_other_machine() {
            line(format!(
                "The machine was so much faster or slower in one of the runs that they hardly compare, more than a factor \
                 of {OTHER_MACHINE}. Measure again: nothing counts."
            ));
        }
        line(String::new());
        line("| contender | points | after / before | interval | |\n|---|---|---|---|---|".to_owned());
        for contender in Contender::OURS.into_iter().chain(Contender::RIVALS) {
            let Some(mean) = one.mean(contender, seed) else { continue };
            let factors = one.factors(contender);
            let Estimate { low, value, high } = mean;
            let verdict = match contender {
                contender if contender.is_ours() => one.verdict(contender, &mean),
                contender if contender.is_control() => "control",
                _ => "no control",
            };
            line(format!("| {contender} | {} | {value:.3} | {low:.3} to {high:.3} | {verdict} |", factors.len()));
            let label = format!("{}; {}", contender.title(), one.short_title);
            changes.push(Change {
                label,
                factor: mean,
                points: factors,
                limit: one.mean_limit(contender).unwrap_or(f64::INFINITY),
                contender,
            });
        }
        let moved = one.changed();
        let ours = moved.iter().filter(|both| both.contender.is_ours()).count();
        line(format!(
            "\nOf single points {ours} of the crate changed beyond noise, and {} of the others.",
            moved.len() - ours
        ));
        let listed: Vec<_> = moved.iter().filter(|both| both.contender.is_ours()).take(LISTED).collect();
        if !listed.is_empty() {
            line("\n| point | before, ns | after, ns | factor | interval |\n|---|---|---|---|---|".to_owned());
        }
        for Both { contender, setting, before, after, factor: Estimate { low, value, high } } in listed {
            line(format!("| {contender}, {setting} | {before:.1} | {after:.1} | {value:.3} | {low:.3} to {high:.3} |"));
        }
    }
    (text, changes)
}
