//! The command line, and the errors of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt};

use crate::contenders::Contender;
use crate::point::{Mode, Point};
use crate::weight::Load;

pub(crate) const HELP: &str = "\
Measures event-broker and its rivals, and plots the results.

Usage: study [OPTIONS]

  --subscribers N,…        numbers of readers (1,10,100,1000,10000)
  --match F,…              fraction of the events that a reader asks for, 0 to 1 (1.0,0.1,0.001)
  --batch N,…              events a batch (1,16)
  --payload BYTES,…        size of an event's payload (64,2048)
  --rivals NAME,…          rivals to compare with; \"none\" for no rival (all):
                           tokio, async-broadcast, crossbeam, flume, rtrb, ring
  --modes NAME,…           drain: publish and read on one thread; tasks: readers as tasks of a
                           2-worker runtime, the publisher among them (drain,tasks)
  --seconds-per-point S    how long a point is measured (0.5)
  --quick                  few and short points, within a minute; other options still apply
  --out DIR                where the results go (target/study)
  --plot-only DIR          measures nothing, draws the results of an earlier run again
  --help                   prints this text

Writes points.csv, a row as soon as it is measured; summary.txt, anew with each row; machine.txt;
and at the end plots as SVG, of the first batch and payload size. A run that is interrupted leaves
its rows and its summary: --plot-only draws them. A reader that loses a delivery ends the study.
";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(Options),
    Plot(PathBuf),
    /// Used by the study when it runs a copy of itself.
    Weigh(Load),
}

#[derive(Debug)]
pub(crate) struct Options {
    subscribers: Vec<usize>,
    fractions: Vec<f64>,
    batches: Vec<usize>,
    payloads: Vec<usize>,
    contenders: Vec<Contender>,
    modes: Vec<Mode>,
    pub(crate) seconds_per_point: Duration,
    pub(crate) out: PathBuf,
}

impl Options {
    /// Every combination, the cheap ones first.
    pub(crate) fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        for &mode in &self.modes {
            for &subscribers in &self.subscribers {
                for &fraction in &self.fractions {
                    for &batch in &self.batches {
                        for &payload in &self.payloads {
                            let able = self.contenders.iter().filter(|contender| contender.can(mode));
                            points.extend(able.map(|&contender| Point {
                                mode,
                                contender,
                                subscribers,
                                fraction,
                                batch,
                                payload,
                            }));
                        }
                    }
                }
            }
        }
        points
    }
}

/// What is wrong with the command line.
#[derive(Debug)]
pub(crate) enum OptionError {
    /// Not an option, or an option without its value.
    Syntax(lexopt::Error),
    /// An option without a meaning here.
    Value { option: &'static str, given: String, expected: &'static str },
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(f),
            Self::Value { option, given, expected } => write!(f, "{option} is \"{given}\", expected {expected}"),
        }
    }
}

impl std::error::Error for OptionError {}

impl From<lexopt::Error> for OptionError {
    fn from(error: lexopt::Error) -> Self {
        Self::Syntax(error)
    }
}

/// The value of one option.
struct Given {
    option: &'static str,
    text: String,
}

impl Given {
    fn take(option: &'static str, parser: &mut Parser) -> Result<Self, OptionError> {
        Ok(Self { option, text: parser.value()?.string()? })
    }

    fn wrong(&self, expected: &'static str) -> OptionError {
        OptionError::Value { option: self.option, given: self.text.clone(), expected }
    }

    /// A list whose items all satisfy `holds`.
    fn list<T: FromStr>(&self, expected: &'static str, holds: impl Fn(&T) -> bool) -> Result<Vec<T>, OptionError> {
        let items = self.text.split(',').map(|item| item.trim().parse().ok().filter(&holds));
        items.collect::<Option<Vec<T>>>().ok_or_else(|| self.wrong(expected))
    }
}

const COUNTS: &str = "numbers from 1 to 1000000, separated by commas";

fn counts(given: &Given) -> Result<Vec<usize>, OptionError> {
    given.list(COUNTS, |count| (1..=1_000_000).contains(count))
}

/// Reads the command line.
pub(crate) fn parse(mut parser: Parser) -> Result<Command, OptionError> {
    let (mut subscribers, mut fractions, mut batches, mut payloads) = (None, None, None, None);
    let (mut contenders, mut modes, mut seconds, mut quick) = (None, None, None, false);
    let mut out = PathBuf::from("target/study");
    let mut plot = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("quick") => quick = true,
            Long("subscribers") => subscribers = Some(counts(&Given::take("--subscribers", &mut parser)?)?),
            Long("batch") => batches = Some(counts(&Given::take("--batch", &mut parser)?)?),
            Long("payload") => payloads = Some(counts(&Given::take("--payload", &mut parser)?)?),
            Long("match") => {
                let given = Given::take("--match", &mut parser)?;
                fractions =
                    Some(given.list("fractions from 0.000001 to 1, separated by commas", |fraction: &f64| {
                        (1e-6..=1.0).contains(fraction)
                    })?);
            }
            Long("rivals") => {
                let given = Given::take("--rivals", &mut parser)?;
                contenders = Some(if given.text == "none" {
                    Vec::new()
                } else {
                    given.list("names of rivals as --help lists them", |contender: &Contender| !contender.is_ours())?
                });
            }
            Long("modes") => {
                modes = Some(Given::take("--modes", &mut parser)?.list("drain, tasks, or both", |_| true)?);
            }
            Long("seconds-per-point") => {
                let given = Given::take("--seconds-per-point", &mut parser)?;
                let number = given.text.parse().ok().filter(|number| (0.001..=3_600.0).contains(number));
                seconds = Some(number.ok_or_else(|| given.wrong("seconds from 0.001 to 3600"))?);
            }
            Long("out") => out = PathBuf::from(parser.value()?),
            Long("plot-only") => plot = Some(PathBuf::from(parser.value()?)),
            Long("weigh") => return Ok(Command::Weigh(load(&Given::take("--weigh", &mut parser)?)?)),
            Value(_) | Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if let Some(directory) = plot {
        return Ok(Command::Plot(directory));
    }
    let full = |full: &[usize], short: &[usize]| if quick { short.to_vec() } else { full.to_vec() };
    let mut all = Contender::OURS.to_vec();
    all.extend(contenders.unwrap_or_else(|| Contender::RIVALS.to_vec()));
    Ok(Command::Run(Options {
        subscribers: subscribers.unwrap_or_else(|| full(&[1, 10, 100, 1_000, 10_000], &[1, 10, 100, 1_000])),
        fractions: fractions.unwrap_or_else(|| if quick { vec![1.0, 0.01] } else { vec![1.0, 0.1, 0.001] }),
        batches: batches.unwrap_or_else(|| full(&[1, 16], &[1])),
        payloads: payloads.unwrap_or_else(|| full(&[64, 2_048], &[64])),
        contenders: all,
        modes: modes.unwrap_or_else(|| Mode::ALL.to_vec()),
        seconds_per_point: Duration::from_secs_f64(seconds.unwrap_or(if quick { 0.1 } else { 0.5 })),
        out,
    }))
}

/// `CONTENDER:GROUPS:READERS`.
fn load(given: &Given) -> Result<Load, OptionError> {
    let parts: Vec<&str> = given.text.split(':').collect();
    let load = match parts.as_slice() {
        [contender, groups, readers] => match (contender.parse(), groups.parse(), readers.parse()) {
            (Ok(contender), Ok(groups), Ok(readers)) => Some(Load { contender, groups, readers }),
            _ => None,
        },
        _ => None,
    };
    load.ok_or_else(|| given.wrong("CONTENDER:GROUPS:READERS"))
}
