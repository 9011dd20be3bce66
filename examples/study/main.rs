//! The study: the broker and its rivals over numbers of readers, selectivity, batch sizes and payload sizes, with
//! intervals, and comparisons of runs.
//!
//! This file runs the settings one after another. `cargo run --release --example study -- --help` describes the options,
//! and `METHOD.md` beside it what the figures mean.

mod compare;
mod contenders;
mod dimension;
mod manifest;
mod open_loop;
mod options;
mod paper;
mod plots;
mod point;
mod progress;
mod result;
mod rigs;
mod sheet;
mod stats;
mod summary;
#[path = "../../benches/support/mod.rs"]
mod support;
#[cfg(test)]
mod tests;
mod turns;
mod watch;
mod weight;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use contenders::Contender;
use manifest::Manifest;
use open_loop::Noise;
use options::{Command, Options};
use progress::Progress;
use result::{FEWEST_PASSES, NOISY, Row, Turns};
use sheet::Sheet;
use stats::Random;
use watch::{Moment, Others};

fn main() -> ExitCode {
    let command = match options::parse(lexopt::Parser::from_env()) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("study: {error}; --help says more");
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help => {
            print!("{}", options::help());
            Ok(())
        }
        Command::Weigh(load) => {
            weight::print_own(&load);
            Ok(())
        }
        Command::Plot(directory, base, seed) => redraw(&directory, base, seed),
        Command::Compare { before, after, out, seed } => compare::run(&before, &after, out.as_deref(), seed),
        Command::Run(options) => run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("study: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every setting in passes, and draws the plots. A turn is written as soon as it is measured, and what follows
/// from them with each pass of a setting, so an interrupted study keeps all of it.
fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    // Before anything is measured, and before an earlier run is moved, which may be the one to compare with.
    let before = options.against.as_deref().map(compare::Side::read).transpose()?;
    for words in options.without_effect() {
        eprintln!("study: no effect on what is measured: {words}");
    }
    if let Some(processors) = &options.pin {
        pin(processors)?;
    }
    keep_earlier(&options.out)?;
    fs::create_dir_all(&options.out).map_err(|error| format!("cannot make {}: {error}", options.out.display()))?;
    let mut manifest = Manifest::begin(options);
    manifest.write(&options.out)?;
    let others = Others::begin();
    let rows = closed_loop(options, &manifest.run)?;
    let open = open_loop::run(options, &manifest.run)?;
    let all = Noise {
        points: rows.len() + open.points,
        noisy: rows.iter().filter(|row| row.noisy).count() + open.noisy,
        noisy_p99: open.noisy_p99,
        repeated: rows.iter().map(|row| row.repeated).sum::<usize>() + open.repeated,
    };
    let certain =
        |row: &&Row| row.passes >= FEWEST_PASSES && row.ratio.is_some_and(|(_, ratio)| ratio.uncertainty() <= NOISY);
    let ratios = rows.iter().filter(certain).count();
    let mut words = verdict(all, options.method.passes, others.processors());
    if !rows.is_empty() {
        _ = write!(words, "; ratios are certain to 10 % at {ratios} of {} points", rows.len());
    }
    manifest.set("certain_ratios", json!(ratios));
    manifest.set("points", json!(all.points));
    manifest.set("noisy_points", json!(all.noisy));
    manifest.set("repeated_turns", json!(all.repeated));
    manifest.set("processors_used_by_others", json!(others.processors()));
    manifest.set("verdict", json!(words));
    manifest.end();
    manifest.write(&options.out)?;
    show(&rows, &manifest.run, &options.out)?;
    println!("{words}");
    if let Some(before) = before {
        println!();
        compare::sides(&before, &compare::Side::read(&options.out)?, &options.out, options.seed)?;
    }
    Ok(())
}

/// Measures all settings, pass by pass.
fn closed_loop(options: &Options, run: &str) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut sheet = Sheet::create(&options.out, run)?;
    let settings = options.settings();
    let mut progress = Progress::new(settings.len() * options.method.passes);
    let mut weights = weight::Weights::default();
    let mut random = Random::new(options.seed);
    let (mut turns, mut rows) = (Turns::default(), Vec::<Row>::new());
    for pass in 0..options.method.passes {
        for (setting, contenders) in &settings {
            progress.begin(setting);
            turns::pass(*setting, contenders, &options.method, pass, &mut random, |taken| {
                sheet.append(&taken)?;
                turns.add(taken);
                Ok(())
            })?;
            for contender in contenders {
                let point = point::Point { setting: *setting, contender: *contender };
                let Some(mut row) = turns.row(&point, options.method.base, options.seed) else { continue };
                row.bytes_per_subscription = weights.of_subscription(&point);
                row.bytes_per_batch = weights.of_batch(&point);
                match rows.iter_mut().find(|other| other.point == point) {
                    Some(other) => *other = row,
                    None => rows.push(row),
                }
            }
            sheet::write_points(&rows, run, &options.out)?;
            summary::write(&rows, &options.out)?;
            progress.done();
        }
    }
    progress.finish();
    Ok(rows)
}

/// Whether the machine allowed the figures.
fn verdict(Noise { points, noisy, noisy_p99, repeated }: Noise, passes: usize, others: Option<f64>) -> String {
    let others = others.map_or_else(String::new, |others| format!("; others used {others:.2} processors"));
    let said = match noisy * 10 {
        0 if points == 0 => "nothing was measured",
        0 => "every interval is within its limit",
        _ if passes < FEWEST_PASSES => "fewer than five passes say little, and every point counts as noisy",
        some if some < points => "a few points are noisy, and are marked",
        _ => "this machine would not allow it: do not quote what is marked as noisy",
    };
    let watched = if Moment::is_known() {
        format!("{repeated} turns were disturbed and repeated")
    } else {
        "what disturbed turns is unknown here".to_owned()
    };
    let p99 = if noisy_p99 > 0 { format!(" (of the open loop p99 at {noisy_p99})") } else { String::new() };
    format!("{noisy} of {points} points are noisy{p99}, {watched}{others}: {said}")
}

/// Moves an earlier run aside, and says so.
fn keep_earlier(directory: &Path) -> Result<(), Box<dyn Error>> {
    if !directory.join("turns.csv").exists() {
        return Ok(());
    }
    if !sheet::is_ours(directory) {
        return Err(
            format!("{} has a turns.csv that is not of the study; choose another folder", directory.display()).into()
        );
    }
    let run = manifest::read(directory).and_then(|facts| Some(facts.get("run")?.as_str()?.to_owned()));
    let beside = |number: usize| {
        let mut kept = directory.as_os_str().to_owned();
        kept.push(run.as_ref().map_or_else(|| format!("-earlier-{number}"), |run| format!("-{run}")));
        kept
    };
    let mut number = 1;
    while run.is_none() && Path::new(&beside(number)).exists() {
        number += 1;
    }
    let kept = beside(number);
    fs::rename(directory, &kept).map_err(|error| format!("cannot move the earlier run aside: {error}"))?;
    eprintln!("the earlier run in {} was moved to {}", directory.display(), Path::new(&kept).display());
    Ok(())
}

/// Restricts this process to some processors. Threads that it starts later are restricted, too.
fn pin(processors: &str) -> Result<(), Box<dyn Error>> {
    let id = std::process::id().to_string();
    let output = std::process::Command::new("taskset").args(["-pc", processors, &id]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("--pin {processors}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
        Err(error) => Err(format!("--pin needs taskset: {error}").into()),
    }
}

/// Draws the results of a run, also of an interrupted one.
fn redraw(directory: &Path, base: Option<Contender>, seed: Option<u64>) -> Result<(), Box<dyn Error>> {
    // As the run had it, unless something else is wanted.
    let facts = manifest::read(directory).unwrap_or_default();
    let measured = || facts.get("method")?.get("base")?.as_str()?.parse().ok();
    let base = base.or_else(measured).unwrap_or(Contender::Tokio);
    let seed = seed.or_else(|| facts.get("seed")?.as_u64()).unwrap_or(1);
    let (run, turns) = sheet::read(directory)?;
    let run = facts.get("run").and_then(serde_json::Value::as_str).map_or(run, str::to_owned);
    if turns.is_empty() && open_loop::read(directory).is_empty() {
        return Err(format!("{} has no turn", directory.display()).into());
    }
    let mut rows = Turns::of(turns).rows(base, seed);
    sheet::keep_weights(&mut rows, directory);
    sheet::write_points(&rows, &run, directory)?;
    show(&rows, &run, directory)
}

fn show(rows: &[Row], run: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut drawn = plots::draw(rows, directory)?;
    drawn.extend(open_loop::draw(directory)?);
    if !rows.is_empty() {
        summary::write(rows, directory)?;
        paper::write(rows, run, directory)?;
        print!("{}", summary::table(rows));
    }
    let latencies = open_loop::read(directory);
    if !latencies.is_empty() {
        let table = open_loop::table(&latencies, run);
        sheet::replace(&directory.join("latency.md"), &table)?;
        print!("{}{table}", if rows.is_empty() { "" } else { "\n" });
    }
    let points = rows.len() + latencies.len();
    println!("\n{points} points and {} plots of run {run} are in {}", drawn.len(), directory.display());
    Ok(())
}
