//! The comparison of two runs: what changed beyond noise.
//!
//! The contenders that are not the crate are controls: the same code in both runs, or at least not what is compared. By
//! how much they moved says how fast the machine was (their median) and how large noise is (their spread).

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use crate::contenders::Contender;
use crate::manifest;
use crate::plots::{Change, draw_changes};
use crate::point::{Mode, Point};
use crate::result::{Turns, by_pass};
use crate::sheet::{self, replace};
use crate::stats::{Estimate, geometric_mean, median, quantile, ratio_of};
use crate::turns::Taken;

/// No change below this is reported, however quiet the machine is: code that is placed otherwise makes as much.
const LEAST: f64 = 1.02;

/// How many standard deviations of the controls' means a mean must be away from 1.
const DEVIATIONS: f64 = 2.5;

/// The limit of noise where there are no controls.
const WITHOUT_CONTROLS: f64 = 1.1;

/// The most points that are listed.
const LISTED: usize = 24;

/// A point that both runs have.
struct Both {
    point: Point,
    before: f64,
    after: f64,
    /// After by before, without what the machine changed.
    factor: Estimate,
}

fn figures(turns: &Turns, point: &Point, figure: fn(&Taken) -> f64) -> Vec<Vec<f64>> {
    by_pass(&turns.of_point(point), figure)
}

/// What both runs have of one mode.
struct Compared {
    mode: Mode,
    points: Vec<Both>,
    /// By what factor the controls moved, which is taken out of all factors.
    drift: Option<f64>,
    /// How far from 1 the factor of a point, and the mean of a contender, may be by noise.
    point_limit: f64,
    mean_limit: f64,
}

impl Compared {
    fn new(mode: Mode, before: &Turns, after: &Turns, seed: u64) -> Self {
        let event = |taken: &Taken| taken.nanos_per_event;
        let both = |point: &&Point| point.setting.mode == mode && after.points().any(|other| other == *point);
        let mut points: Vec<Both> = before
            .points()
            .filter(both)
            .map(|point| {
                let (was, is) = (figures(before, point, event), figures(after, point, event));
                let all = |passes: &[Vec<f64>]| median(&passes.iter().flatten().copied().collect::<Vec<_>>());
                Both { point: *point, before: all(&was), after: all(&is), factor: ratio_of(&was, &is, 0.5, seed) }
            })
            .filter(|both| both.factor.value.is_finite())
            .collect();
        let controls = |points: &[Both]| -> Vec<f64> {
            points.iter().filter(|both| !both.point.contender.is_ours()).map(|both| both.factor.value).collect()
        };
        let drift = (!controls(&points).is_empty()).then(|| median(&controls(&points)));
        for both in &mut points {
            let Estimate { low, value, high } = both.factor;
            let by = drift.unwrap_or(1.0);
            both.factor = Estimate { low: low / by, value: value / by, high: high / by };
        }
        let apart: Vec<f64> = controls(&points).iter().map(|factor| factor.ln().abs()).collect();
        let mut compared = Self { mode, points, drift, point_limit: WITHOUT_CONTROLS, mean_limit: WITHOUT_CONTROLS };
        if drift.is_some() {
            compared.point_limit = quantile(&apart, 0.95).exp().max(LEAST);
            let means: Vec<f64> = Contender::RIVALS
                .into_iter()
                .filter_map(|contender| Some(compared.mean(contender, seed)?.value.ln().powi(2)))
                .collect();
            #[expect(clippy::cast_precision_loss, reason = "eight at most")]
            let deviation = (means.iter().sum::<f64>() / means.len() as f64).sqrt();
            compared.mean_limit = (DEVIATIONS * deviation).exp().max(LEAST);
        }
        compared
    }

    fn factors(&self, contender: Contender) -> Vec<f64> {
        self.points.iter().filter(|both| both.point.contender == contender).map(|both| both.factor.value).collect()
    }

    fn mean(&self, contender: Contender, seed: u64) -> Option<Estimate> {
        let factors = self.factors(contender);
        (!factors.is_empty()).then(|| geometric_mean(&factors, seed))
    }

    /// What a mean says.
    fn verdict(&self, mean: &Estimate) -> &'static str {
        let beyond = mean.value > self.mean_limit || mean.value < 1.0 / self.mean_limit;
        match mean {
            Estimate { low, .. } if beyond && *low > 1.0 => "slower",
            Estimate { high, .. } if beyond && *high < 1.0 => "faster",
            _ => "no change beyond noise",
        }
    }

    /// The points that changed beyond noise, the largest changes first.
    fn changed(&self) -> Vec<&Both> {
        let beyond = |both: &&Both| {
            let Estimate { low, high, .. } = both.factor;
            low > self.point_limit || high < 1.0 / self.point_limit
        };
        let mut changed: Vec<&Both> = self.points.iter().filter(beyond).collect();
        let size = |both: &Both| both.factor.value.ln().abs();
        changed.sort_by(|a, b| size(b).total_cmp(&size(a)));
        changed
    }
}

fn name(directory: &Path, run: &str) -> String {
    let fact = |facts: &serde_json::Map<String, serde_json::Value>, name: &str| {
        facts.get(name).and_then(|fact| fact.as_str().map(str::to_owned)).unwrap_or_default()
    };
    match manifest::read(directory) {
        Some(facts) => {
            let dirty = facts.get("dirty").and_then(serde_json::Value::as_bool).unwrap_or_default();
            let commit: String = fact(&facts, "commit").chars().take(8).collect();
            let changed = if dirty { ", with changes" } else { "" };
            format!("run {run}, commit {commit}{changed}, {}", fact(&facts, "processor"))
        }
        None => format!("run {run}"),
    }
}

/// Compares the runs in two directories, prints what changed, and writes it as `compare.md` and `compare.svg`.
pub(crate) fn run(before: &Path, after: &Path, out: Option<&Path>, seed: u64) -> Result<(), Box<dyn Error>> {
    let ((run_before, turns_before), (run_after, turns_after)) = (sheet::read(before)?, sheet::read(after)?);
    let (was, is) = (Turns::of(turns_before), Turns::of(turns_after));
    let compared: Vec<Compared> = Mode::ALL
        .into_iter()
        .map(|mode| Compared::new(mode, &was, &is, seed))
        .filter(|compared| !compared.points.is_empty())
        .collect();
    if compared.is_empty() {
        return Err("the runs have no point in common".into());
    }
    let (text, changes) = report(&compared, &name(before, &run_before), &name(after, &run_after), seed);
    print!("{text}");
    let out = out.unwrap_or(after);
    std::fs::create_dir_all(out)?;
    replace(&out.join("compare.md"), &text)?;
    let subtitle = format!("before: run {run_before}; after: run {run_after}");
    draw_changes(&changes, &subtitle, &out.join("compare.svg"))?;
    Ok(())
}

fn report(compared: &[Compared], before: &str, after: &str, seed: u64) -> (String, Vec<Change>) {
    let mut text = format!("# Comparison\n\n- before: {before}\n- after: {after}\n");
    let mut changes = Vec::new();
    let mut line = |line: String| text.write_str(&(line + "\n")).expect("a string takes everything");
    for one in compared {
        line(format!("\n## {}\n", one.mode.title()));
        match one.drift {
            Some(drift) => line(format!(
                "The contenders that cannot have changed took {drift:.3}x, which is taken out. They say that noise moves \
                 a point by up to {:.1} %, and a mean by up to {:.1} %.\n",
                (one.point_limit - 1.0) * 100.0,
                (one.mean_limit - 1.0) * 100.0
            )),
            None => line(format!(
                "No contender that cannot have changed is in both runs, so that noise is unknown and taken for {:.0} %. \
                 Measure with rivals.\n",
                (WITHOUT_CONTROLS - 1.0) * 100.0
            )),
        }
        line("| contender | points | after / before | interval | |\n|---|---|---|---|---|".to_owned());
        for contender in Contender::OURS.into_iter().chain(Contender::RIVALS) {
            let Some(mean) = one.mean(contender, seed) else { continue };
            let factors = one.factors(contender);
            let Estimate { low, value, high } = mean;
            let verdict = if contender.is_ours() { one.verdict(&mean) } else { "control" };
            line(format!("| {contender} | {} | {value:.3} | {low:.3} to {high:.3} | {verdict} |", factors.len()));
            let label = format!(
                "{}; {}",
                contender.title(),
                match one.mode {
                    Mode::Drain => "one thread",
                    Mode::Tasks => "tasks",
                    Mode::Threads => "threads",
                }
            );
            changes.push(Change { label, factor: mean, points: factors, limit: one.mean_limit, contender });
        }
        let moved = one.changed();
        let ours = moved.iter().filter(|both| both.point.contender.is_ours()).count();
        line(format!("\n{ours} points of the crate changed beyond noise, and {} of the others.", moved.len() - ours));
        let listed: Vec<_> = moved.iter().filter(|both| both.point.contender.is_ours()).take(LISTED).collect();
        if !listed.is_empty() {
            line("\n| point | before, ns | after, ns | factor | interval |\n|---|---|---|---|---|".to_owned());
        }
        for Both { point, before, after, factor: Estimate { low, value, high } } in listed {
            line(format!("| {point} | {before:.1} | {after:.1} | {value:.3} | {low:.3} to {high:.3} |"));
        }
    }
    (text, changes)
}
