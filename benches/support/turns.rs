//! Comparisons whose sides take turns of one round each, as tables and as rows of CSV.
//!
//! It measures nothing: each side returns the figures of its round.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hdrhistogram::Histogram;
use lexopt::{Arg, Parser};

use super::measure::{median, processor, quartiles};
use super::rows::{Row, Rows};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Only what shows that it works.
    Test,
    Quick,
    Normal,
}

/// The command line of a benchmark.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) size: Size,
    csv: Option<PathBuf>,
}

impl Options {
    /// Reads the command line; nothing means that it asked for help.
    fn parse(name: &str) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { size: Size::Normal, csv: None };
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("test") => options.size = Size::Test,
                Arg::Long("quick") => options.size = Size::Quick,
                Arg::Long("csv") => options.csv = Some(parser.value()?.into()),
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("bench") => {}
                // All benchmarks of a `cargo bench` receive the same arguments.
                other => eprintln!("{name}: ignored, as an argument for criterion: {}", other.unexpected()),
            }
        }
        Ok(Some(options))
    }

    /// This many normally, a fifth of it for a quick run, and one to see that it works.
    pub(crate) fn rounds(&self, normal: usize) -> usize {
        match self.size {
            Size::Test => 1,
            Size::Quick => normal.div_ceil(5),
            Size::Normal => normal,
        }
    }
}

/// Runs a benchmark that prints tables: reads the command line, and prints what all of them begin with.
pub(crate) fn main(name: &str, run: impl FnOnce(&Options, &mut Report) -> std::io::Result<()>) -> ExitCode {
    let options = match Options::parse(name) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("usage: cargo bench --bench {name} -- [--quick | --test] [--csv FILE]");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{}; sides take turns; only ratios of one table are meaningful", processor());
    let written = Rows::open(options.csv.as_deref()).and_then(|rows| run(&options, &mut Report { rows }));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: the CSV file cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One side of a comparison. A round returns `N` figures in nanoseconds.
pub(crate) struct Side<const N: usize> {
    name: String,
    round: Box<dyn FnMut() -> [f64; N]>,
    taken: Vec<[f64; N]>,
}

impl<const N: usize> Side<N> {
    pub(crate) fn new(name: impl Into<String>, round: impl FnMut() -> [f64; N] + 'static) -> Self {
        Self { name: name.into(), round: Box::new(round), taken: Vec::new() }
    }
}

/// Records the latencies of a round, in nanoseconds.
type Record = dyn FnMut(&mut Histogram<u64>);

/// One side of a comparison of distributions.
pub(crate) struct Spread {
    name: String,
    round: Box<Record>,
    all: Histogram<u64>,
    rounds: Vec<Histogram<u64>>,
}

impl Spread {
    pub(crate) fn new(name: impl Into<String>, round: impl FnMut(&mut Histogram<u64>) + 'static) -> Self {
        Self { name: name.into(), round: Box::new(round), all: histogram(), rounds: Vec::new() }
    }

    /// The value at this quantile in each round whose latencies are all below a limit.
    fn at(&self, quantile: f64, limit: Duration) -> Vec<f64> {
        let rounds = self.rounds.iter().filter(|round| u128::from(round.max()) < limit.as_nanos());
        rounds.map(|round| round.value_at_quantile(quantile) as f64).collect()
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("up to a minute")
}

/// What a table is called, and what its ratios compare with.
pub(crate) struct Table<'a> {
    pub(crate) title: String,
    /// The group of the rows, and their parameter.
    pub(crate) group: &'a str,
    pub(crate) parameter: String,
    pub(crate) rounds: usize,
    /// The sides of which the one with the lowest median is what all are divided by.
    pub(crate) base: Range<usize>,
}

/// Runs `turn` for each side, `rounds` times, each time beginning with another side. A first round warms the caches.
fn take_turns<T>(sides: &mut [T], rounds: usize, mut turn: impl FnMut(&mut T, bool)) {
    if rounds > 1 {
        for side in &mut *sides {
            turn(side, false);
        }
    }
    for round in 0..rounds {
        let (later, first) = sides.split_at_mut(round % sides.len());
        first.iter_mut().chain(later).for_each(|side| turn(side, true));
    }
}

/// The side that the others are divided by.
fn lowest<'a, T>(sides: &'a [T], table: &Table<'_>, figure: impl Fn(&T) -> f64) -> &'a T {
    let base = sides.get(table.base.clone()).into_iter().flatten();
    base.min_by(|one, other| figure(one).total_cmp(&figure(other))).expect("one of the sides")
}

fn columns(figures: &mut [f64]) -> String {
    let three = quartiles(figures).unwrap_or([f64::NAN; 3]);
    three.map(|figure| if figure < 1_000.0 { format!("{figure:>9.2}") } else { format!("{figure:>9.0}") }).join(" ")
}

/// Where tables go: the output, and rows of CSV.
pub(crate) struct Report {
    rows: Rows,
}

impl Report {
    /// Compares sides by the figures of their rounds. A measure is what its table is headed with, and what is appended
    /// to the group of its rows.
    pub(crate) fn compare<const N: usize>(
        &mut self,
        table: &Table<'_>,
        measures: [(&str, &str); N],
        mut sides: Vec<Side<N>>,
    ) -> std::io::Result<()> {
        take_turns(&mut sides, table.rounds, |side, counts| {
            let figures = (side.round)();
            if counts {
                side.taken.push(figures);
            }
        });
        println!("\n{}; lower quartile, median, upper quartile of {} rounds", table.title, table.rounds);
        let width = sides.iter().map(|side| side.name.len()).max().unwrap_or(0);
        for (place, (measure, suffix)) in measures.into_iter().enumerate() {
            let of = |side: &Side<N>| -> Vec<f64> {
                side.taken.iter().filter_map(|figures| figures.get(place).copied()).collect()
            };
            let base = lowest(&sides, table, |side| median(&mut of(side)));
            println!("  {measure:<width$} {:>29}   ratio to {}", "ns", base.name);
            let base = of(base);
            for side in &sides {
                let mut each = of(side);
                if each.iter().all(|figure| figure.is_nan()) {
                    continue;
                }
                let mut ratios: Vec<_> = each.iter().zip(&base).map(|(each, base)| each / base).collect();
                println!("  {:<width$} {} {}", side.name, columns(&mut each), columns(&mut ratios));
                let group = format!("{}{suffix}", table.group);
                let quartiles = quartiles(&mut each).unwrap_or([f64::NAN; 3]);
                let parameter = table.parameter.clone();
                self.rows.write(&Row { group, variant: side.name.clone(), parameter, elements: 1, quartiles })?;
            }
        }
        Ok(())
    }

    /// Compares sides by their distributions. The percentiles are the medians of those of the quiet rounds, all of whose
    /// latencies are below `limit`, so that rounds in which another program had a core do not decide; those of all
    /// rounds together follow. The ratios are those of the medians. The rows hold the quartiles of the quiet rounds'
    /// percentiles.
    pub(crate) fn distributions(
        &mut self,
        table: &Table<'_>,
        limit: Duration,
        mut sides: Vec<Spread>,
    ) -> std::io::Result<()> {
        take_turns(&mut sides, table.rounds, |side, counts| {
            let mut latencies = histogram();
            (side.round)(&mut latencies);
            if counts {
                side.all.add(&latencies).expect("the same bounds");
                side.rounds.push(latencies);
            }
        });
        let width = sides.iter().map(|side| side.name.len()).max().unwrap_or(0);
        let median_at = |side: &Spread, quantile| median(&mut side.at(quantile, limit));
        let base = lowest(&sides, table, |side| median_at(side, 0.5));
        println!("\n{}; medians of the quiet ones of {} rounds", table.title, table.rounds);
        println!(
            "  {:<width$} {:>6} {:>9} {:>9} {:>9}  all: {:>7} {:>9} {:>10} {:>10}  p50 and p99 to those of {}",
            "ns", "quiet", "p50", "p90", "p99", "n", "p50", "p99", "max", base.name
        );
        for side in &sides {
            for quantile in [0.5, 0.9, 0.99] {
                let Some(quartiles) = quartiles(&mut side.at(quantile, limit)) else { continue };
                let group = format!("{}_p{:.0}", table.group, quantile * 100.0);
                let parameter = table.parameter.clone();
                self.rows.write(&Row { group, variant: side.name.clone(), parameter, elements: 1, quartiles })?;
            }
            println!(
                "  {:<width$} {:>6} {:>9.0} {:>9.0} {:>9.0}       {:>7} {:>9} {:>10} {:>10}  {:>6.2} {:>6.2}",
                side.name,
                side.at(0.5, limit).len(),
                median_at(side, 0.5),
                median_at(side, 0.9),
                median_at(side, 0.99),
                side.all.len(),
                side.all.value_at_quantile(0.5),
                side.all.value_at_quantile(0.99),
                side.all.max(),
                median_at(side, 0.5) / median_at(base, 0.5),
                median_at(side, 0.99) / median_at(base, 0.99),
            );
        }
        Ok(())
    }
}
