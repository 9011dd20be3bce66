//! The study: the broker and its rivals over numbers of readers, selectivity, batch sizes and payload sizes.
//!
//! This file runs the points one after another. `cargo run --release --example study -- --help` describes the options.

mod contenders;
mod machine;
mod options;
mod plots;
mod point;
mod progress;
mod sheet;
mod summary;
#[path = "../../benches/support/mod.rs"]
mod support;
mod weight;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use options::{Command, HELP, Options};
use progress::Progress;
use sheet::Sheet;

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
            print!("{HELP}");
            Ok(())
        }
        Command::Weigh(load) => {
            weight::print_own(&load);
            Ok(())
        }
        Command::Plot(directory) => redraw(&directory),
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

/// Measures every point and draws the plots. Row and summary are written as soon as a point is measured, so an
/// interrupted study keeps both.
fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&options.out).map_err(|error| format!("cannot make {}: {error}", options.out.display()))?;
    fs::write(options.out.join("machine.txt"), machine::description())?;
    let mut sheet = Sheet::create(&options.out)?;
    let points = options.points();
    let mut progress = Progress::new(points.len());
    let mut weights = weight::Weights::default();
    let mut rows = Vec::new();
    for point in points {
        progress.begin(&point);
        let bytes = weights.of(&point);
        let row = point::measure(&point, options.seconds_per_point, bytes);
        sheet.append(&row)?;
        rows.push(row);
        summary::write(&rows, &options.out)?;
        progress.done();
    }
    progress.finish();
    show(&rows, &options.out)
}

/// Plots an existing sheet, also of an interrupted run.
fn redraw(directory: &Path) -> Result<(), Box<dyn Error>> {
    let rows = sheet::read(directory)?;
    show(&rows, directory)
}

fn show(rows: &[sheet::Row], directory: &Path) -> Result<(), Box<dyn Error>> {
    let drawn = plots::draw(rows, directory)?;
    summary::write(rows, directory)?;
    print!("{}", summary::table(rows));
    println!("\n{} points and {} plots are in {}", rows.len(), drawn.len(), directory.display());
    Ok(())
}
