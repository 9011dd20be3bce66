//! Open loop: batches are published when they are due, whatever the readers do, and latency counts from then. So a stall
//! is in the latency of every batch that was due meanwhile (no coordinated omission).
//!
//! The publisher has a thread of its own, and the readers are tasks of a runtime on another.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::Builder;
use tokio::sync::broadcast;

use crate::contenders::{Contender, UnknownName};
use crate::options::Options;
use crate::plots::{self, Curve};
use crate::progress::Progress;
use crate::result::FEWEST_PASSES;
use crate::sheet::replace;
use crate::stats::Random;
use crate::support::Want;
use crate::support::event::{Item, Payload, event};
use crate::support::link::{Arrivals as Received, Clock, Task, Windows, share};
use crate::support::measure::nanos;
use crate::support::ours::{broker, publish, subscribe};
use crate::watch::Moment;

/// When batches are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// At equal distances.
    Constant,
    /// At random, independent of each other.
    Poisson,
    /// [`BURST`] at once, at equal distances.
    Bursts,
}

const BURST: usize = 32;

impl Arrivals {
    pub(crate) const ALL: [Self; 3] = [Self::Constant, Self::Poisson, Self::Bursts];

    const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
            Self::Bursts => "bursts",
        }
    }

    /// The times at which so many batches are due, in nanoseconds, each above the one before.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of nanoseconds"
    )]
    fn schedule(self, batches: usize, rate: u64, random: &mut Random) -> Vec<u64> {
        let each = 1e9 / rate as f64;
        let mut at = 0.0;
        let mut last = 0;
        let mut due = Vec::with_capacity(batches);
        for number in 0..batches {
            at += match self {
                Self::Constant => each,
                Self::Poisson => -each * (1.0 - random.fraction()).ln(),
                Self::Bursts if number.is_multiple_of(BURST) => each * BURST as f64,
                Self::Bursts => 0.0,
            };
            last = (at as u64).max(last + 1);
            due.push(last);
        }
        due
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arrivals {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|arrivals| arrivals.name() == name).ok_or(UnknownName)
    }
}

/// One point of the open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) contender: Contender,
    pub(crate) arrivals: Arrivals,
    pub(crate) subscribers: usize,
    /// Batches a second.
    pub(crate) rate: u64,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contender, arrivals, subscribers, rate } = self;
        write!(f, "open, {contender}, {arrivals}, subscribers {subscribers}, rate {rate}")
    }
}

impl Contender {
    /// Whether the open loop has readers of it.
    pub(crate) fn is_timed(self) -> bool {
        matches!(self, Self::Drain | Self::Owned | Self::Tokio | Self::Flume)
    }
}

/// The most deliveries of a point: more take too long where readers cannot keep up.
const MOST_DELIVERIES: usize = 5_000_000;

/// The fewest batches of a round. One before the first pass has no more.
const FEWEST_BATCHES: usize = 200;

/// From the start of a round until its first batch is due.
const LEAD: Duration = Duration::from_millis(5);

/// How long building a batch takes at most.
const BUILD: Duration = Duration::from_micros(2);

/// How long before a batch is due the publisher stops sleeping, and spins.
const SPIN: Duration = Duration::from_micros(200);

/// What a round measured.
#[derive(Debug)]
struct Round {
    latencies: Histogram<u64>,
    /// How late the publisher was.
    late: Histogram<u64>,
    /// From the first time due to the last arrival.
    elapsed: Duration,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("up to ten minutes")
}

/// Publishes on this thread, and reads on another. What a reader has received is counted when the round is over.
fn round<T: Task>(clock: Clock, due: &[u64], mut publish: impl FnMut(u64) + Send, readers: Vec<T>) -> Round {
    let last = due.last().copied().expect("a batch");
    let first = due.first().copied().expect("a batch");
    let batches = due.len();
    let reading = thread::spawn(move || {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async move {
            let read = |mut reader: T| async move {
                let mut received = Received::until(last, clock, batches);
                while !received.are_complete() {
                    reader.next(&mut received).await;
                }
                received
            };
            let tasks: Vec<_> = readers.into_iter().map(|reader| tokio::spawn(read(reader))).collect();
            let mut all = Vec::with_capacity(tasks.len());
            for task in tasks {
                all.push(task.await.expect("a reader"));
            }
            all
        })
    });
    let mut late = histogram();
    for &due in due {
        loop {
            let now = clock.now();
            let Some(left) = due.checked_sub(now).filter(|left| *left > 0) else {
                late.record((now - due).max(1)).expect("up to ten minutes");
                break;
            };
            match Duration::from_nanos(left).checked_sub(SPIN) {
                Some(sleep) if sleep > SPIN => thread::sleep(sleep),
                _ => std::hint::spin_loop(),
            }
        }
        publish(due);
    }
    let mut latencies = histogram();
    let mut end = first;
    for mut received in reading.join().expect("the readers") {
        for (due, at) in received.take() {
            latencies.record(at.saturating_sub(due).max(1)).expect("up to ten minutes");
            end = end.max(at);
        }
    }
    Round { latencies, late, elapsed: Duration::from_nanos(end - first) }
}

/// Opens a course, and runs one round of it.
fn measure(course: &Course, batches: usize, random: &mut Random) -> Round {
    let clock = Clock(Instant::now());
    let payload = Payload::of(256);
    let mut due = course.arrivals.schedule(batches, course.rate, random);
    let readers = course.subscribers;
    // What is published is built before the first is due.
    let lead = nanos(LEAD + BUILD * u32::try_from(batches).unwrap_or(u32::MAX));
    let begin = |due: &mut Vec<u64>| {
        let start = clock.now() + lead;
        for due in due.iter_mut() {
            *due += start;
        }
    };
    let events = |due: &u64| vec![event(*due, &payload)];
    let items = |due: &[u64]| due.iter().map(|due| share(*due, events(due))).collect::<VecDeque<Item>>();
    match course.contender {
        Contender::Drain | Contender::Owned => {
            let broker = broker(batches);
            let subscriptions: Vec<_> = (0..readers).map(|_| subscribe(&broker, &Want::Everything)).collect();
            begin(&mut due);
            let mut ready: VecDeque<_> = due.iter().map(events).collect();
            let send = |due| publish(&broker, due, ready.pop_front().expect("one for each time"));
            if course.contender == Contender::Drain {
                round(clock, &due, send, subscriptions.into_iter().map(Windows).collect())
            } else {
                round(clock, &due, send, subscriptions)
            }
        }
        Contender::Tokio => {
            let sender = broadcast::Sender::new(batches);
            let receivers: Vec<_> = (0..readers).map(|_| sender.subscribe()).collect();
            begin(&mut due);
            let mut ready = items(&due);
            let send = |_| _ = sender.send(ready.pop_front().expect("one for each time"));
            round(clock, &due, send, receivers)
        }
        Contender::Flume => {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..readers).map(|_| flume::bounded(batches)).unzip();
            begin(&mut due);
            let mut ready = items(&due);
            let send = |_| {
                let batch = ready.pop_front().expect("one for each time");
                for sender in &senders {
                    sender.try_send(Arc::clone(&batch)).expect("room");
                }
            };
            round(clock, &due, send, receivers)
        }
        other => unreachable!("{other} is not timed"),
    }
}

/// How many batches must have been later than a quantile, or it is not given.
const BEYOND: f64 = 2.0;

const FILE: &str = "latency.csv";
const HEADER: &str = "run,contender,arrivals,subscribers,rate,batches,deliveries,rounds,achieved_rate,\
late_p50_ns,late_p99_ns,p50_ns,p50_low,p50_high,p90_ns,p99_ns,p99_low,p99_high,p999_ns,p9999_ns,max_ns,p50_noisy,p99_noisy";

/// The least and the most of one quantile in the rounds, around that of all.
fn spread(rounds: &[Round], all: &Histogram<u64>, quantile: f64) -> [u64; 3] {
    let each = || rounds.iter().map(|round| round.latencies.value_at_quantile(quantile));
    let value = all.value_at_quantile(quantile);
    [value, each().min().unwrap_or(value).min(value), each().max().unwrap_or(value).max(value)]
}

/// Whether the rounds are too far apart, or too few.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds")]
fn is_noisy([_, low, high]: &[u64; 3], rounds: usize) -> bool {
    rounds < FEWEST_PASSES || *high as f64 > NOISY * *low as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
fn row(run: &str, course: &Course, batches: usize, rounds: &[Round]) -> (String, Histogram<u64>) {
    let (mut all, mut late) = (histogram(), histogram());
    for round in rounds {
        all.add(&round.latencies).expect("the same bounds");
        late.add(&round.late).expect("the same bounds");
    }
    let seconds: f64 = rounds.iter().map(|round| round.elapsed.as_secs_f64()).sum();
    let achieved = (batches * rounds.len()) as f64 / seconds;
    let Course { contender, arrivals, subscribers, rate } = course;
    let [p50, p99] = [0.5, 0.99].map(|quantile| spread(rounds, &all, quantile));
    // Of all deliveries. A batch that is late is late for all readers, so what counts is how many batches lie beyond.
    let at = |quantile| {
        let beyond = (batches * rounds.len()) as f64 * (1.0 - quantile);
        if beyond < BEYOND { String::new() } else { all.value_at_quantile(quantile).to_string() }
    };
    let row = format!(
        "{run},{contender},{arrivals},{subscribers},{rate},{batches},{},{},{achieved:.0},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
        all.len(),
        rounds.len(),
        late.value_at_quantile(0.5),
        late.value_at_quantile(0.99),
        p50[0],
        p50[1],
        p50[2],
        at(0.9),
        p99[0],
        p99[1],
        p99[2],
        at(0.999),
        at(0.9999),
        all.max(),
        is_noisy(&p50, rounds.len()),
        is_noisy(&p99, rounds.len()),
    );
    (row, all)
}

/// A distribution as text, as the tools of `HdrHistogram` read it, in nanoseconds.
fn distribution(all: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for value in all.iter_quantiles(5) {
        let quantile = value.quantile_iterated_to();
        let count = all.count_between(0, value.value_iterated_to());
        let tail = if quantile < 1.0 { format!("{:14.2}", 1.0 / (1.0 - quantile)) } else { String::new() };
        _ = writeln!(text, "{:12}.000 {quantile:.12} {count:10} {tail}", value.value_iterated_to());
    }
    _ = write!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12}.000, Total count    = {:12}]\n",
        all.mean(),
        all.stdev(),
        all.max(),
        all.len()
    );
    text
}

/// How many points there are, how many of them are noisy, and how many rounds were repeated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    pub(crate) points: usize,
    pub(crate) noisy: usize,
    /// Points of the open loop whose p99 is noisy.
    pub(crate) noisy_p99: usize,
    pub(crate) repeated: usize,
}

/// The factor between the least and the most of the rounds, in the median, above which a point is noisy.
const NOISY: f64 = 1.5;

/// Involuntary switches that a round may have: two threads, one of which sleeps.
const OWN_SWITCHES: u64 = 2;

/// Measures a round, again if something disturbed it, as long as repeats are left.
fn measure_undisturbed(course: &Course, batches: usize, random: &mut Random, repeats: &mut usize) -> (Round, usize) {
    let mut repeated = 0;
    loop {
        let before = Moment::now();
        let round = measure(course, batches, random);
        if *repeats == 0 || !before.until_now().spoils(OWN_SWITCHES) {
            return (round, repeated);
        }
        *repeats -= 1;
        repeated += 1;
    }
}

/// Measures the courses of the options, whose contenders take turns of one round each.
pub(crate) fn run(options: &Options, run: &str) -> io::Result<Noise> {
    let courses = options.courses();
    let mut noise = Noise::default();
    if courses.is_empty() {
        return Ok(noise);
    }
    let method = &options.method;
    let mut progress = Progress::new(courses.len());
    let mut file = File::create(options.out.join(FILE))?;
    writeln!(file, "{HEADER}")?;
    // A contender is the innermost of a course.
    for same in courses.chunk_by(|a, b| (a.arrivals, a.subscribers, a.rate) == (b.arrivals, b.subscribers, b.rate)) {
        let Some(first) = same.first() else { continue };
        let batches = batches(first.rate, method.time / u32::try_from(method.passes).unwrap_or(u32::MAX));
        if batches * first.subscribers * method.passes > MOST_DELIVERIES {
            eprintln!("left out, above {MOST_DELIVERIES} deliveries: {first}");
            for _ in same {
                progress.done();
            }
            continue;
        }
        let mut repeats = method.passes * same.len();
        let mut rounds: Vec<Vec<Round>> = same.iter().map(|_| Vec::new()).collect();
        for _ in 0..method.warm_up {
            for course in same {
                drop(measure(course, batches.min(FEWEST_BATCHES), &mut Random::new(options.seed)));
            }
        }
        for pass in 0..method.passes {
            for place in 0..same.len() {
                let place = (place + pass) % same.len();
                let (Some(course), Some(rounds)) = (same.get(place), rounds.get_mut(place)) else { continue };
                progress.begin(course);
                // The same times for all of them.
                let mut random = Random::new(options.seed ^ (pass as u64 + 1) << 32);
                let (round, repeated) = measure_undisturbed(course, batches, &mut random, &mut repeats);
                noise.repeated += repeated;
                rounds.push(round);
            }
        }
        for (course, rounds) in same.iter().zip(&rounds) {
            let (row, all) = row(run, course, batches, rounds);
            writeln!(file, "{row}")?;
            noise.points += 1;
            noise.noisy += usize::from(is_noisy(&spread(rounds, &all, 0.5), rounds.len()));
            noise.noisy_p99 += usize::from(is_noisy(&spread(rounds, &all, 0.99), rounds.len()));
            let Course { contender, arrivals, subscribers, rate } = course;
            let name = format!("latency-{contender}-{arrivals}-{subscribers}-{rate}.hgrm");
            replace(&options.out.join(name), &distribution(&all))?;
            progress.done();
        }
    }
    progress.finish();
    Ok(noise)
}

/// The batches that are due within this time, at least so many that a quantile means something.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of batches"
)]
fn batches(rate: u64, time: Duration) -> usize {
    ((rate as f64 * time.as_secs_f64()) as usize).max(FEWEST_BATCHES)
}

/// Reads the latencies of a run, none if it has no open loop.
pub(crate) fn read(directory: &Path) -> Vec<Curve> {
    let text = fs::read_to_string(directory.join(FILE)).unwrap_or_default();
    let curve = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
        Some(Curve {
            contender: fields.get(1)?.parse().ok()?,
            arrivals: fields.get(2)?.parse().ok()?,
            subscribers: number(3)?,
            rate: number(4)?,
            p50: [number(11)?, number(12)?, number(13)?],
            p99: [number(15)?, number(16)?, number(17)?],
            noisy: [21, 22].map(|place| fields.get(place) == Some(&"true")),
        })
    };
    text.lines().skip(1).filter_map(curve).collect()
}

/// The latencies as a table.
pub(crate) fn table(latencies: &[Curve], run: &str) -> String {
    let mut text = format!(
        "Run {run}. Latency from when a batch was due to its delivery, and what it was in the least and the most of the \
         rounds.\n\n| | arrivals | readers | batches/s | p50 | p99 |\n|---|---|---|---|---|---|\n"
    );
    for Curve { contender, arrivals, subscribers, rate, p50, p99, noisy } in latencies {
        let cell = |[value, low, high]: [f64; 3], noisy: bool| {
            let noisy = if noisy { " (noisy)" } else { "" };
            format!("{} [{}, {}]{noisy}", plots::time(value), plots::time(low), plots::time(high))
        };
        let (p50, p99) = (cell(*p50, noisy[0]), cell(*p99, noisy[1]));
        _ = writeln!(text, "| {} | {arrivals} | {subscribers} | {rate} | {p50} | {p99} |", contender.title());
    }
    text
}

/// Draws the latencies of a run, if it has an open loop.
pub(crate) fn draw(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn std::error::Error>> {
    plots::draw_latency(&read(directory), directory)
}
