//! Benchmark: what reading costs a thread while threads on other cores read, too.
//!
//! Each thread has 4,000 readers of its own, subscribed to everything or all to one key. Between two reads of a reader a
//! window of batches is published, with one event each that all readers want. Windows of 1 are those of live readers.
//!
//! A figure is the time that a thread was reading, divided by the deliveries to its readers; the mean of the threads.
//! "ratio" divides it by that of one thread alone with 4,000 readers, measured just before. At 1.0 two threads read twice
//! as much as one in the same time, at 2.0 no more than one, and above they read less than one does alone.
//!
//! - The lower quartile, median and upper quartile are those of rounds. All sides take turns of one round each, first
//!   one thread and then more, and each turn begins with another structure.
//! - A round is a few milliseconds of passes. In a pass a window is published, and then all threads start to read it at
//!   the same time; `support/parallel.rs` says how. Publishing is not measured: channels pay for a delivery there.
//! - A round's figure is the median of its passes. Passes in which the threads were reading at the same time for less
//!   than three quarters of the time are left out. A round with more than half of them is repeated, and "repeated" counts
//!   these; "rounds" are those that count. "overlap" is the share of a round, with all of its passes, in which all
//!   threads were reading; the median of rounds. Far below 0.9 it means that other programs had the cores. Then ratios
//!   are too high where readers lock: a thread that is preempted with the lock stops the others too, and they overlap.
//! - The publisher is one of the threads that read, or on a thread apart. It never publishes while others read, so this
//!   does not show what a publish costs readers; `fanout` and `wake` do.
//!
//! On Linux each thread is kept on a core of its own, if the program `taskset` is there; the first line of the output
//! says whether. Two cores may be two hardware threads of one, or share a cache. Then the ratio of a structure that
//! writes nothing when it is read is above 1.0, too: the ring whose batches are borrowed shows how much.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use support::crew::Crew;
use support::event::key;
use support::floor::Ring;
use support::indexed::{Crossbeam, Indexed};
use support::measure::quartiles;
use support::ours::Ours;
use support::parallel::{CAPACITY, Course, Parallel, Publisher, Rig};
use support::rivals::{AsyncBroadcast, Tokio};
use support::rows::{Row, Rows};
use support::{Structure, Want};

mod support;

const USAGE: &str = "\
usage: cargo bench --bench cores -- [OPTION …]
  --windows N,…         batches between two reads, up to 128; default 1,4,16,64
  --contenders NAME,…   drain, try_recv, tokio, async-broadcast, crossbeam, ring, ring-cloned; default all
  --wants NAME,…        everything, key; default both
  --publishers NAME,…   reader, apart; default both
  --threads N,…         beside one; default 2, and as many as there are cores if they are more
  --readers N           of each thread, default 4000
  --rounds N            of each side, default 15
  --csv FILE            the figures as CSV, too, in the form of benches/record
  --quick               5 shorter rounds of windows of 1 and 16
  --test                checks that it works; the figures mean nothing";

/// A structure under test.
struct Contender {
    /// Its name on the command line.
    name: &'static str,
    title: &'static str,
    open: fn(&Arc<Crew>, usize, usize, &Want) -> Box<dyn Rig>,
}

fn open<S: Structure + Sync>(crew: &Arc<Crew>, threads: usize, readers: usize, want: &Want) -> Box<dyn Rig> {
    Box::new(Parallel::<S>::new(crew, threads, readers, want))
}

const CONTENDERS: [Contender; 7] = [
    Contender { name: "drain", title: "event-broker, drain", open: open::<Ours<false>> },
    Contender { name: "try_recv", title: "event-broker, try_recv", open: open::<Ours<true>> },
    Contender { name: "tokio", title: "tokio broadcast", open: open::<Tokio> },
    Contender { name: "async-broadcast", title: "async-broadcast", open: open::<AsyncBroadcast> },
    Contender { name: "crossbeam", title: "crossbeam a reader", open: open::<Indexed<Crossbeam>> },
    Contender { name: "ring", title: "bare ring, borrowed", open: open::<Ring<false>> },
    Contender { name: "ring-cloned", title: "bare ring, Arc cloned", open: open::<Ring<true>> },
];

/// What the readers ask for, with its name on the command line.
struct Request {
    name: &'static str,
    title: &'static str,
    want: fn() -> Want,
}

const WANTS: [Request; 2] = [
    Request { name: "everything", title: "everything", want: || Want::Everything },
    Request { name: "key", title: "one key", want: || Want::Key(key(0)) },
];

/// Who publishes, with its name on the command line.
struct Place {
    name: &'static str,
    title: &'static str,
    publisher: Publisher,
}

const PUBLISHERS: [Place; 2] = [
    Place { name: "reader", title: "publisher on a thread that reads", publisher: Publisher::Reader },
    Place { name: "apart", title: "publisher apart", publisher: Publisher::Apart },
];

struct Options {
    windows: Vec<usize>,
    contenders: Vec<&'static Contender>,
    wants: Vec<&'static Request>,
    publishers: Vec<&'static Place>,
    /// Numbers of threads that are compared with one.
    threads: Vec<usize>,
    readers: usize,
    rounds: usize,
    /// How long a round is at least.
    round: Duration,
    /// How many rounds may be tried for one whose threads overlap.
    attempts: usize,
    csv: Option<PathBuf>,
}

impl Options {
    fn normal() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            windows: vec![1, 4, 16, 64],
            contenders: CONTENDERS.iter().collect(),
            wants: WANTS.iter().collect(),
            publishers: PUBLISHERS.iter().collect(),
            threads: if cores > 2 { vec![2, cores] } else { vec![2] },
            readers: 4_000,
            rounds: 15,
            round: Duration::from_millis(4),
            attempts: 8,
            csv: None,
        }
    }

    fn quick() -> Self {
        Self { windows: vec![1, 16], rounds: 5, round: Duration::from_millis(2), ..Self::normal() }
    }

    fn test() -> Self {
        Self { readers: 100, rounds: 1, round: Duration::ZERO, attempts: 1, ..Self::normal() }
    }

    /// Reads the command line; nothing means that it asked for help.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        let given = |option: &str| std::env::args().any(|argument| argument == option);
        let mut options = match (given("--test"), given("--quick")) {
            (true, _) => Self::test(),
            (_, true) => Self::quick(),
            _ => Self::normal(),
        };
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("windows") => options.windows = numbers(&mut parser, CAPACITY)?,
                Arg::Long("contenders") => options.contenders = named(&mut parser, &CONTENDERS, |one| one.name)?,
                Arg::Long("wants") => options.wants = named(&mut parser, &WANTS, |one| one.name)?,
                Arg::Long("publishers") => options.publishers = named(&mut parser, &PUBLISHERS, |one| one.name)?,
                Arg::Long("threads") => options.threads = numbers(&mut parser, 1_024)?,
                Arg::Long("readers") => options.readers = number(&parser.value()?.string()?, usize::MAX)?,
                Arg::Long("rounds") => options.rounds = number(&parser.value()?.string()?, usize::MAX)?,
                Arg::Long("csv") => options.csv = Some(parser.value()?.into()),
                Arg::Long("help") | Arg::Short('h') => return Ok(None),
                Arg::Long("bench" | "test" | "quick") => {}
                // All benchmarks of a `cargo bench` receive the same arguments.
                other => eprintln!("cores: ignored, as an argument for criterion: {}", other.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

fn number(text: &str, most: usize) -> Result<usize, lexopt::Error> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("{text:?} is no number that fits, expected one from 1 to {most}").into()),
    }
}

fn numbers(parser: &mut Parser, most: usize) -> Result<Vec<usize>, lexopt::Error> {
    parser.value()?.string()?.split(',').map(|text| number(text, most)).collect()
}

/// Those of `all` whose names are the next argument.
fn named<T>(parser: &mut Parser, all: &'static [T], name: fn(&T) -> &str) -> Result<Vec<&'static T>, lexopt::Error> {
    let find = |text: &str| {
        let names = || all.iter().map(name).collect::<Vec<_>>().join(", ");
        all.iter().find(|one| name(one) == text).ok_or_else(|| format!("{text:?} is none of: {}", names()).into())
    };
    parser.value()?.string()?.split(',').map(find).collect()
}

/// One structure read by so many threads, with what its rounds took.
struct Side {
    threads: usize,
    rig: Box<dyn Rig>,
    passes: usize,
    each: Vec<f64>,
    /// Those over the time of one thread in the same turn.
    ratios: Vec<f64>,
    overlaps: Vec<f64>,
    repeated: usize,
}

impl Side {
    fn new(threads: usize, rig: Box<dyn Rig>) -> Self {
        Self { threads, rig, passes: 1, each: Vec::new(), ratios: Vec::new(), overlaps: Vec::new(), repeated: 0 }
    }

    fn prepare(&mut self, window: usize, publisher: Publisher, round: Duration) {
        self.passes = self.rig.calibrate(window, publisher, round);
        self.each.clear();
        self.ratios.clear();
        self.overlaps.clear();
        self.repeated = 0;
    }

    /// Takes a turn beside one thread's time of the same turn, and returns its own. There is none if the threads did
    /// not overlap.
    fn turn(&mut self, window: usize, publisher: Publisher, attempts: usize, alone: Option<f64>) -> Option<f64> {
        let course = Course { window, passes: self.passes, publisher };
        let (round, repeated) = self.rig.overlapping_round(course, attempts);
        self.repeated += repeated;
        let round = round?;
        self.each.push(round.each);
        self.overlaps.push(round.overlap);
        self.ratios.extend(alone.map(|alone| round.each / alone));
        Some(round.each)
    }
}

/// A structure with its sides: one thread, and then more.
struct Entry {
    title: &'static str,
    sides: Vec<Side>,
}

impl Entry {
    fn turn(&mut self, window: usize, publisher: Publisher, attempts: usize) {
        let mut alone = None;
        for side in &mut self.sides {
            let each = side.turn(window, publisher, attempts, alone);
            alone = alone.or(each);
        }
    }
}

/// Runs the turns of one table.
fn measure(entries: &mut [Entry], options: &Options, window: usize, publisher: Publisher) {
    for side in entries.iter_mut().flat_map(|entry| &mut entry.sides) {
        side.prepare(window, publisher, options.round);
    }
    for turn in 0..options.rounds {
        let (later, first) = entries.split_at_mut(turn % entries.len());
        for entry in first.iter_mut().chain(later) {
            entry.turn(window, publisher, options.attempts);
        }
    }
}

fn print(title: &str, entries: &mut [Entry]) {
    println!("\n{title}");
    println!(
        "  {:<24} {:>7}  {:>26}  {:>23} {:>8} {:>7} {:>9}",
        "", "threads", "ns a delivery and thread", "ratio to one thread", "overlap", "rounds", "repeated"
    );
    for Entry { title, sides } in entries {
        for side in sides {
            let each = columns(quartiles(&mut side.each), 8);
            let ratios = if side.threads == 1 { String::new() } else { columns(quartiles(&mut side.ratios), 7) };
            let overlap =
                quartiles(&mut side.overlaps).map_or_else(String::new, |[_, median, _]| format!("{median:.2}"));
            println!(
                "  {title:<24} {:>7}  {each:>26}  {ratios:>23} {overlap:>8} {:>7} {:>9}",
                side.threads,
                side.each.len(),
                side.repeated,
            );
        }
    }
}

/// Three figures, or that no round overlapped.
fn columns(quartiles: Option<[f64; 3]>, width: usize) -> String {
    quartiles.map_or_else(
        || "no overlap".to_owned(),
        |quartiles| quartiles.map(|figure| format!("{figure:>width$.2}")).join(" "),
    )
}

/// An iteration is a pass of one thread: all of its readers read one window.
fn write(rows: &mut Rows, group: &str, entries: &mut [Entry], window: usize, readers: usize) -> std::io::Result<()> {
    for Entry { title, sides } in entries {
        for side in sides {
            let Some(quartiles) = quartiles(&mut side.each) else { continue };
            let threads = if side.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", side.threads) };
            let variant = format!("{title}, {threads}");
            let (group, parameter) = (group.to_owned(), window.to_string());
            rows.write(&Row { group, variant, parameter, elements: readers * window, quartiles })?;
        }
    }
    Ok(())
}

/// A contender with all of its sides.
fn entry(contender: &Contender, options: &Options, crew: &Arc<Crew>, want: &Want) -> Entry {
    let threads = std::iter::once(1).chain(options.threads.iter().copied().filter(|threads| *threads > 1));
    let side = |threads| Side::new(threads, (contender.open)(crew, threads, options.readers, want));
    Entry { title: contender.title, sides: threads.map(side).collect() }
}

fn run(options: &Options) -> std::io::Result<()> {
    let mut rows = Rows::open(options.csv.as_deref())?;
    let crew = Crew::new(options.threads.iter().copied().max().unwrap_or(1));
    let readers = options.readers;
    let placed = if crew.is_pinned() { "each kept on a core of its own" } else { "placed by the system" };
    println!("lower quartile, median and upper quartile of {} rounds or fewer; threads {placed}", options.rounds);
    for request in &options.wants {
        let want = (request.want)();
        let contenders = options.contenders.iter();
        let mut entries: Vec<_> = contenders.map(|contender| entry(contender, options, &crew, &want)).collect();
        for place in &options.publishers {
            let group = format!("cores_{}_{}", request.name, place.name);
            for &window in &options.windows {
                measure(&mut entries, options, window, place.publisher);
                let (of, place) = (request.title, place.title);
                print(&format!("windows of {window} to {readers} readers of {of} a thread, {place}"), &mut entries);
                write(&mut rows, &group, &mut entries, window, readers)?;
            }
        }
    }
    println!();
    Ok(())
}

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("cores: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cores: the CSV file cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
