//! The command line, and the errors of it.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt};
use serde_json::json;

use crate::contenders::{Contender, UnknownName};
use crate::dimension;
use crate::open_loop::{Arrivals, Course};
use crate::point::{Keys, MOST_THREADS, Mode, Setting};
use crate::weight::Load;

const HELP: &str = "\
Measures event-broker and its rivals, compares runs, and plots the results.

Usage: study [OPTIONS]                measure
       study compare A B [--out DIR]  compare the runs in two directories

What is measured: every combination of
  --subscribers N,…        numbers of readers (1,10,100,1000,10000)
  --match F,…              part of the keys that a reader asks for: 1 divided by a whole number
                           (1.0,0.1,0.001)
  --batch N,…              events a batch (1,16)
  --payload BYTES,…        size of an event's payload (64,2048)
  --window N,…             batches that are published before all read them; 1 is live (1,64)
  --buffer N,…             batches that the structure holds; 0 for two windows (0)
  --workers N,…            threads of the runtime, where readers are tasks (2)
  --keys NAME,…            of the events, where readers ask for a part: uniform, zipf (uniform)
  --publishers N,…         threads that publish at once, mode drain (1)
  --churn N,…              readers that leave before each window, and as many that join, mode
                           drain (0)
  --sweep                  batch, payload, buffer, workers, keys, publishers and churn vary one at a
                           time, and the others have the first of their values
  --modes NAME,…           drain: publish and read on one thread, those readers that would be woken;
                           poll: the same by all readers; frames: as drain, of frames; tasks:
                           readers as tasks of a runtime, the publisher among them; threads: a
                           thread for each of up to 200 readers; open: see below (drain,tasks)
  --rivals NAME,…          rivals to compare with; \"none\" for no rival (all):
{rivals}

How: contenders of a setting take turns; all of it is repeated in passes with new readers
  --seconds-per-point S    how long a point is measured in all (0.5)
  --passes N               (5)
  --turns N                of each contender in a pass (10)
  --warm-up N              windows before a turn that are not measured; of an open loop rounds
                           before the first (1)
  --order NAME             of the contenders in a round: rotate, random, fixed (rotate)
  --base NAME              what ratios compare with; where it is not measured, with tokio or with
                           event-broker (tokio)
  --seed N                 of orders and resamples (1)
  --pin CPU,…              runs on these processors only, by taskset
  --quick                  few and short points, within a minute; other options still apply

Open loop (mode open): events arrive at a given rate, whatever the readers do, and latency counts
from the time at which an event was due until a reader has it
  --rate N,…               batches a second (1000,10000,50000)
  --arrivals NAME,…        constant, poisson, bursts (of 32 at once) (constant,poisson,bursts)

Results
  --out DIR                where they go (target/study); an earlier run there is moved aside
  --against DIR            compares with the run in this directory at the end
  --plot-only DIR          measures nothing, draws the results of an earlier run again, with --base as
                           multiples of another
  --help                   prints this text

Writes manifest.json; turns.csv, a row as soon as it is measured; points.csv, points.json and
summary.txt, anew with each pass of a setting; table.md, table.tex and plots as SVG at the end; and
of an open loop latency.csv and a distribution of each point as .hgrm. A run that is interrupted
leaves its turns: --plot-only draws them. A reader that loses a delivery ends the study. What the
figures mean is in examples/study/METHOD.md.
";

/// The text of `--help`.
pub(crate) fn help() -> String {
    let mut rivals = String::new();
    for line in Contender::RIVALS.chunks(5) {
        let names: Vec<&str> = line.iter().map(|rival| rival.name()).collect();
        _ = writeln!(rivals, "{:27}{},", "", names.join(", "));
    }
    HELP.replace("{rivals}", rivals.trim_end_matches(",\n"))
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(Box<Options>),
    Plot(PathBuf, Option<Contender>, Option<u64>),
    Compare {
        before: PathBuf,
        after: PathBuf,
        out: Option<PathBuf>,
        seed: u64,
    },
    /// Used by the study when it runs a copy of itself.
    Weigh(Load),
}

/// The order of the contenders in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each round begins with another one.
    Rotate,
    Random,
    Fixed,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Random => "random",
            Self::Fixed => "fixed",
        }
    }
}

impl FromStr for Order {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Rotate, Self::Random, Self::Fixed].into_iter().find(|order| order.name() == name).ok_or(UnknownName)
    }
}

/// How a point is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    pub(crate) time: Duration,
    pub(crate) passes: usize,
    pub(crate) turns: usize,
    pub(crate) warm_up: u64,
    pub(crate) order: Order,
    pub(crate) base: Contender,
}

impl Method {
    /// The length of a turn.
    pub(crate) fn turn(&self) -> Duration {
        self.time / u32::try_from(self.passes * self.turns).unwrap_or(u32::MAX)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "seconds_per_point": self.time.as_secs_f64(),
            "passes": self.passes,
            "turns": self.turns,
            "warm_up": self.warm_up,
            "order": self.order.name(),
            "base": self.base.name(),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Options {
    subscribers: Vec<usize>,
    fractions: Vec<f64>,
    batches: Vec<usize>,
    payloads: Vec<usize>,
    windows: Vec<usize>,
    buffers: Vec<usize>,
    workers: Vec<usize>,
    keys: Vec<Keys>,
    publishers: Vec<usize>,
    churns: Vec<usize>,
    sweep: bool,
    contenders: Vec<Contender>,
    /// The rivals that were asked for by name.
    named_rivals: Vec<Contender>,
    named_base: Option<Contender>,
    /// Whether something about the open loop was given.
    times_given: bool,
    modes: Vec<Mode>,
    open: bool,
    rates: Vec<u64>,
    arrivals: Vec<Arrivals>,
    pub(crate) method: Method,
    pub(crate) seed: u64,
    pub(crate) pin: Option<String>,
    pub(crate) out: PathBuf,
    pub(crate) against: Option<PathBuf>,
}

impl Options {
    /// Every combination, the cheap ones first, with the contenders that can be measured there. A sweep has only those
    /// that differ from the first values in one dimension at most.
    pub(crate) fn settings(&self) -> Vec<(Setting, Vec<Contender>)> {
        let mut settings = Vec::new();
        for &mode in &self.modes {
            for &window in &self.windows {
                for &subscribers in &self.subscribers {
                    for &fraction in &self.fractions {
                        let first = Setting {
                            mode,
                            subscribers,
                            fraction,
                            window,
                            batch: 1,
                            payload: 0,
                            buffer: 0,
                            workers: 0,
                            keys: Keys::Uniform,
                            publishers: 1,
                            churn: 0,
                        };
                        for setting in self.variants(first) {
                            if !settings.contains(&setting) {
                                settings.push(setting);
                            }
                        }
                    }
                }
            }
        }
        let able = |setting: &Setting| self.contenders.iter().copied().filter(|each| each.can(setting)).collect();
        settings.into_iter().map(|setting| (setting, able(&setting))).collect()
    }

    /// The settings that have mode, window, readers and fraction of this one.
    fn variants(&self, like: Setting) -> Vec<Setting> {
        type Set<'s> = (&'s [usize], fn(&mut Setting, usize));
        let (tasks, drain) = (like.mode == Mode::Tasks, like.mode == Mode::Drain);
        let sets: [Set<'_>; 6] = [
            (&self.batches, |setting, batch| setting.batch = batch),
            (&self.payloads, |setting, payload| setting.payload = payload),
            (&self.buffers, |setting, buffer| {
                // Two windows have one name.
                setting.buffer = if buffer == 2 * setting.window { 0 } else { buffer };
            }),
            (if tasks { &self.workers } else { &[0] }, |setting, workers| setting.workers = workers),
            (if drain { &self.publishers } else { &[1] }, |setting, publishers| setting.publishers = publishers),
            (if drain { &self.churns } else { &[0] }, |setting, churn| setting.churn = churn),
        ];
        let mut settings = vec![like];
        for (values, set) in sets {
            let with = |setting: Setting| {
                values.iter().map(move |value| {
                    let mut setting = setting;
                    set(&mut setting, *value);
                    setting
                })
            };
            settings = settings.into_iter().flat_map(with).collect();
        }
        let with_keys = |setting: Setting| self.keys.iter().map(move |keys| Setting { keys: *keys, ..setting });
        settings = settings.into_iter().flat_map(with_keys).collect();
        if self.sweep
            && let Some(first) = settings.first().copied()
        {
            settings.retain(|setting| dimension::is_swept(setting, &first));
        }
        settings.retain(Setting::is_possible);
        settings
    }

    /// What was given and has no effect on what is measured.
    pub(crate) fn without_effect(&self) -> Vec<String> {
        let settings = self.settings();
        let used = |of: fn(&Setting) -> usize, values: &[usize]| {
            let used = |value: &&usize| !settings.iter().any(|(setting, _)| of(setting) == **value);
            values.iter().filter(used).map(usize::to_string).collect::<Vec<_>>().join(",")
        };
        let mut words = Vec::new();
        let mut note = |option: &str, values: String| {
            if !values.is_empty() {
                words.push(format!("{option} {values}"));
            }
        };
        if !self.modes.is_empty() {
            note("--subscribers", used(|setting| setting.subscribers, &self.subscribers));
            note("--window", used(|setting| setting.window, &self.windows));
            note("--publishers", used(|setting| setting.publishers, &self.publishers));
            note("--churn", used(|setting| setting.churn, &self.churns));
            let held = |setting: &Setting| if setting.buffer == 0 { 2 * setting.window } else { setting.buffer };
            let buffers: Vec<usize> = self.buffers.iter().copied().filter(|buffer| *buffer > 0).collect();
            note("--buffer", used(held, &buffers));
        }
        let courses = self.courses();
        let measured = |contender: &Contender| {
            settings.iter().any(|(_, contenders)| contenders.contains(contender))
                || courses.iter().any(|course| course.contender == *contender)
        };
        let idle: Vec<&str> = self.named_rivals.iter().filter(|each| !measured(each)).map(|each| each.name()).collect();
        note("--rivals", idle.join(","));
        if let Some(base) = self.named_base.filter(|base| !measured(base)) {
            note("--base", base.to_string());
        }
        if self.times_given && !self.open {
            note("--rate and --arrivals", "without mode open".to_owned());
        }
        words
    }

    /// The points of the open loop.
    pub(crate) fn courses(&self) -> Vec<Course> {
        let mut courses = Vec::new();
        for &arrivals in self.arrivals.iter().filter(|_| self.open) {
            for &subscribers in &self.subscribers {
                for &rate in &self.rates {
                    let able = self.contenders.iter().filter(|contender| contender.is_timed());
                    courses.extend(able.map(|&contender| Course { contender, arrivals, subscribers, rate }));
                }
            }
        }
        courses
    }
}

/// What is wrong with the command line.
#[derive(Debug)]
pub(crate) enum OptionError {
    /// Not an option, or an option without its value.
    Syntax(lexopt::Error),
    /// An option without a meaning here.
    Value { option: &'static str, given: String, expected: &'static str },
    /// An option that says nothing beside others.
    Beside { option: String, what: String },
    /// Not two directories.
    Compare(usize),
    /// No point can be measured.
    Nothing,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(f),
            Self::Value { option, given, expected } => write!(f, "{option} is \"{given}\", expected {expected}"),
            Self::Nothing => write!(
                f,
                "no point is left to measure: threads are for up to {MOST_THREADS} readers; keys make a difference \
                 only where readers ask for a part; a window has a batch for each publisher, with which no reader \
                 leaves or joins; no more leave than there are; and a buffer holds a window"
            ),
            Self::Beside { option, what } => write!(f, "{option} has no effect here, expected no more than {what}"),
            Self::Compare(given) => write!(f, "compare has {given} directories, expected 2"),
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

    /// A value that satisfies `holds`.
    fn one<T: FromStr>(&self, expected: &'static str, holds: impl Fn(&T) -> bool) -> Result<T, OptionError> {
        self.text.parse().ok().filter(holds).ok_or_else(|| self.wrong(expected))
    }

    /// A list whose items all satisfy `holds`.
    fn list<T: FromStr + PartialEq>(
        &self,
        expected: &'static str,
        holds: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, OptionError> {
        // Once each.
        let mut items: Vec<T> = Vec::new();
        for text in self.text.split(',').map(str::trim) {
            let item = text.parse().ok().filter(&holds).ok_or_else(|| self.wrong(expected))?;
            if !items.contains(&item) {
                items.push(item);
            }
        }
        Ok(items)
    }
}

const COUNTS: &str = "numbers from 1 to 1000000, separated by commas";

fn counts(option: &'static str, parser: &mut Parser) -> Result<Vec<usize>, OptionError> {
    Given::take(option, parser)?.list(COUNTS, |count| (1..=1_000_000).contains(count))
}

fn folder(option: &'static str, parser: &mut Parser) -> Result<PathBuf, OptionError> {
    let folder = PathBuf::from(parser.value()?);
    // One without a name cannot be moved aside.
    if folder.file_name().is_none() {
        let given = folder.display().to_string();
        return Err(OptionError::Value { option, given, expected: "a folder with a name" });
    }
    Ok(folder)
}

/// What was given, before the defaults.
#[derive(Default)]
struct Wanted {
    subscribers: Option<Vec<usize>>,
    fractions: Option<Vec<f64>>,
    batches: Option<Vec<usize>>,
    payloads: Option<Vec<usize>>,
    windows: Option<Vec<usize>>,
    buffers: Option<Vec<usize>>,
    workers: Option<Vec<usize>>,
    keys: Option<Vec<Keys>>,
    publishers: Option<Vec<usize>>,
    churns: Option<Vec<usize>>,
    sweep: bool,
    rivals: Option<Vec<Contender>>,
    modes: Option<(Vec<Mode>, bool)>,
    rates: Option<Vec<u64>>,
    arrivals: Option<Vec<Arrivals>>,
    seconds: Option<f64>,
    passes: Option<usize>,
    turns: Option<usize>,
    warm_up: Option<u64>,
    order: Option<Order>,
    base: Option<Contender>,
    seed: Option<u64>,
    pin: Option<String>,
    quick: bool,
    out: Option<PathBuf>,
    against: Option<PathBuf>,
    plot: Option<PathBuf>,
    /// `compare` and what follows it.
    words: Vec<String>,
    /// The names of all options.
    given: Vec<String>,
}

/// Reads the command line.
pub(crate) fn parse(mut parser: Parser) -> Result<Command, OptionError> {
    let mut wanted = Wanted::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("weigh") => {
                return Ok(Command::Weigh(
                    Given::take("--weigh", &mut parser)?.one("what the study gives itself", |_| true)?,
                ));
            }
            Value(word) if !wanted.words.is_empty() || word == "compare" => wanted.words.push(word.string()?),
            Long(name) => {
                let name = name.to_owned();
                if !wanted.read(&name, &mut parser)? {
                    return Err(Long(&name).unexpected().into());
                }
                wanted.given.push(format!("--{name}"));
            }
            Value(_) | Short(_) => return Err(argument.unexpected().into()),
        }
    }
    wanted.command()
}

impl Wanted {
    /// Reads the value of an option, and returns whether there is such an option.
    fn read(&mut self, name: &str, parser: &mut Parser) -> Result<bool, OptionError> {
        match name {
            "quick" => self.quick = true,
            "sweep" => self.sweep = true,
            "publishers" => {
                let given = Given::take("--publishers", parser)?;
                self.publishers = Some(given.list("numbers from 1 to 1000", |count| (1..=1_000).contains(count))?);
            }
            "churn" => {
                let given = Given::take("--churn", parser)?;
                self.churns = Some(given.list("numbers from 0 to 1000000", |count| (0..=1_000_000).contains(count))?);
            }
            "subscribers" => self.subscribers = Some(counts("--subscribers", parser)?),
            "batch" => self.batches = Some(counts("--batch", parser)?),
            "payload" => self.payloads = Some(counts("--payload", parser)?),
            "window" => self.windows = Some(counts("--window", parser)?),
            "workers" => {
                let given = Given::take("--workers", parser)?;
                self.workers = Some(given.list("numbers from 1 to 256", |count| (1..=256).contains(count))?);
            }
            "keys" => self.keys = Some(Given::take("--keys", parser)?.list("uniform, zipf, or both", |_| true)?),
            "buffer" => {
                let given = Given::take("--buffer", parser)?;
                self.buffers = Some(given.list("numbers from 0 to 1000000", |count| (0..=1_000_000).contains(count))?);
            }
            "rate" => {
                let given = Given::take("--rate", parser)?;
                self.rates = Some(given.list("numbers from 10 to 10000000", |rate| (10..=10_000_000).contains(rate))?);
            }
            "arrivals" => {
                let given = Given::take("--arrivals", parser)?;
                self.arrivals = Some(given.list("constant, poisson, bursts", |_| true)?);
            }
            "match" => {
                let given = Given::take("--match", parser)?;
                let expected = "1 divided by whole numbers up to 1000000, such as 1,0.5,0.001";
                let one_of = |fraction: f64| (1.0 / fraction - (1.0 / fraction).round()).abs() < 1e-3 / fraction;
                self.fractions = Some(given.list(expected, |each: &f64| (1e-6..=1.0).contains(each) && one_of(*each))?);
            }
            "rivals" => {
                let given = Given::take("--rivals", parser)?;
                let expected = "names of rivals as --help lists them";
                self.rivals = Some(match given.text.as_str() {
                    "none" => Vec::new(),
                    _ => given.list(expected, |contender: &Contender| !contender.is_ours())?,
                });
            }
            "modes" => {
                let given = Given::take("--modes", parser)?;
                let open = given.text.split(',').any(|name| name.trim() == "open");
                let rest: Vec<&str> = given.text.split(',').filter(|name| name.trim() != "open").collect();
                let rest = Given { option: given.option, text: rest.join(",") };
                let modes = if rest.text.is_empty() && open {
                    Vec::new()
                } else {
                    rest.list("drain, poll, frames, tasks, threads, open, or several of them", |_| true)?
                };
                self.modes = Some((modes, open));
            }
            "seconds-per-point" => {
                let given = Given::take("--seconds-per-point", parser)?;
                self.seconds = Some(given.one("seconds from 0.001 to 3600", |each| (0.001..=3_600.0).contains(each))?);
            }
            "passes" => {
                let given = Given::take("--passes", parser)?;
                self.passes = Some(given.one("a number from 1 to 1000", |each| (1..=1_000).contains(each))?);
            }
            "turns" => {
                let given = Given::take("--turns", parser)?;
                self.turns = Some(given.one("a number from 1 to 10000", |each| (1..=10_000).contains(each))?);
            }
            "warm-up" => {
                let given = Given::take("--warm-up", parser)?;
                self.warm_up = Some(given.one("a number from 0 to 10000", |each| (0..=10_000).contains(each))?);
            }
            "order" => self.order = Some(Given::take("--order", parser)?.one("rotate, random or fixed", |_| true)?),
            "base" => {
                let given = Given::take("--base", parser)?;
                self.base = Some(given.one("the name of a contender, as in points.csv", |_| true)?);
            }
            "seed" => self.seed = Some(Given::take("--seed", parser)?.one("a number", |_| true)?),
            "pin" => {
                let given = Given::take("--pin", parser)?;
                let range = |part: &str| part.split('-').all(|number| number.parse::<u16>().is_ok());
                if !given.text.split(',').all(range) {
                    return Err(given.wrong("numbers of processors, such as 0,2-3"));
                }
                self.pin = Some(given.text);
            }
            "out" => self.out = Some(folder("--out", parser)?),
            "against" => self.against = Some(folder("--against", parser)?),
            "plot-only" => self.plot = Some(PathBuf::from(parser.value()?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// An error if other options than these were given.
    fn only(&self, options: &[&'static str]) -> Result<(), OptionError> {
        let other = self.given.iter().find(|given| !options.contains(&given.as_str()));
        other.map_or(Ok(()), |other| Err(OptionError::Beside { option: other.clone(), what: options.join(", ") }))
    }

    fn command(self) -> Result<Command, OptionError> {
        let quick = self.quick;
        let (base, seed) = (self.base.unwrap_or(Contender::Tokio), self.seed.unwrap_or(1));
        if let Some((_, directories)) = self.words.split_first() {
            let [before, after] = directories else { return Err(OptionError::Compare(directories.len())) };
            self.only(&["compare", "--out", "--seed"])?;
            return Ok(Command::Compare { before: before.into(), after: after.into(), out: self.out, seed });
        }
        if let Some(directory) = self.plot.clone() {
            self.only(&["--plot-only", "--base", "--seed"])?;
            return Ok(Command::Plot(directory, self.base, self.seed));
        }
        let full = |full: &[usize], short: &[usize]| if quick { short.to_vec() } else { full.to_vec() };
        let named_rivals = self.rivals.clone().unwrap_or_default();
        let mut contenders = Contender::OURS.to_vec();
        contenders.extend(self.rivals.unwrap_or_else(|| Contender::RIVALS.to_vec()));
        let (modes, open) = self.modes.unwrap_or_else(|| (vec![Mode::Drain, Mode::Tasks], false));
        let options = Options {
            subscribers: self.subscribers.unwrap_or_else(|| full(&[1, 10, 100, 1_000, 10_000], &[1, 10, 100, 1_000])),
            fractions: self.fractions.unwrap_or_else(|| if quick { vec![1.0, 0.01] } else { vec![1.0, 0.1, 0.001] }),
            batches: self.batches.unwrap_or_else(|| full(&[1, 16], &[1])),
            payloads: self.payloads.unwrap_or_else(|| full(&[64, 2_048], &[64])),
            windows: self.windows.unwrap_or_else(|| full(&[1, 64], &[64])),
            buffers: self.buffers.unwrap_or_else(|| vec![0]),
            workers: self.workers.unwrap_or_else(|| vec![2]),
            keys: self.keys.unwrap_or_else(|| vec![Keys::Uniform]),
            publishers: self.publishers.unwrap_or_else(|| vec![1]),
            churns: self.churns.unwrap_or_else(|| vec![0]),
            sweep: self.sweep,
            contenders,
            named_rivals,
            named_base: self.base,
            times_given: self.rates.is_some() || self.arrivals.is_some(),
            modes,
            open,
            rates: self.rates.unwrap_or_else(|| if quick { vec![10_000] } else { vec![1_000, 10_000, 50_000] }),
            arrivals: self.arrivals.unwrap_or_else(|| Arrivals::ALL.to_vec()),
            method: Method {
                time: Duration::from_secs_f64(self.seconds.unwrap_or(if quick { 0.1 } else { 0.5 })),
                passes: self.passes.unwrap_or(5),
                turns: self.turns.unwrap_or(if quick { 4 } else { 10 }),
                warm_up: self.warm_up.unwrap_or(1),
                order: self.order.unwrap_or(Order::Rotate),
                base,
            },
            seed,
            pin: self.pin,
            // Without a slash at the end, since an earlier run there is moved to a name beside it.
            out: self.out.map_or_else(|| PathBuf::from("target/study"), |out| out.components().collect()),
            against: self.against,
        };
        if options.settings().is_empty() && options.courses().is_empty() {
            return Err(OptionError::Nothing);
        }
        Ok(Command::Run(Box::new(options)))
    }
}
