//! Benchmark: the latency from just before a publish until one reader has the batch, on another core.
//!
//! Many readers, and what reading costs them, are in `live`.
//!
//! - A batch's index is the time at which its publish was due, in nanoseconds since a common start. The publisher spins
//!   until then, so a publish that begins late counts with its delay. The reader reads the clock as soon as it has the
//!   batch. What reading the clock costs is printed first; each latency contains it once or twice.
//! - To a reader that spins, batches are published every 10 µs; to a parked thread and to a task every 50 µs, so that
//!   they are parked or have returned to their runtime. All batches are built before the first is due.
//! - A task is alone on the current-thread runtime of the reader's thread.
//! - The floors carry one number and no batch: an atomic one that a thread spins on, the same with `park` and `unpark`,
//!   and a version with a list of wakers. What is overwritten before it is read has arrived with what replaced it.
//! - After each round of one or two milliseconds the reader must have received all of its batches in order. The
//!   percentiles are the medians of those of the quiet rounds, without a latency of half a millisecond. Those of all
//!   rounds together are beside them; on a busy machine they are its scheduler's.
//!
//! On Linux each thread is kept on a core of its own, if the program `taskset` is there.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::Structure;
use support::crew::Crew;
use support::link::{
    Clock, Course, Link, Publish, Read, Windows, crossbeam, drain, flume_channel, number, ours, parked, rtrb_ring,
    spinning, task, tokio_broadcast, wakers,
};
use support::measure::median;
use support::turns::{self, Options, Report, Size, Spread, Table};
use support::wakers::Wakers;

mod support;

/// All latencies of a round that counts are below this. Another program that gets a core keeps it for longer.
const QUIET: Duration = Duration::from_micros(500);

/// Who takes part, and the clock of all.
struct Bench<'a> {
    crew: Arc<Crew>,
    clock: Clock,
    options: &'a Options,
}

impl Bench<'_> {
    fn side(&self, name: &str, course: Course, carries_all: bool, link: (Publish, Read)) -> Spread {
        let link = Link::new(link, carries_all);
        let (crew, clock) = (Arc::clone(&self.crew), self.clock);
        Spread::new(name, move |latencies| link.round(&crew, clock, course, latencies))
    }

    fn course(&self, batches: u32, pace: Duration) -> Course {
        Course { batches: if self.options.size == Size::Test { 10 } else { batches }, pace }
    }

    fn table(&self, title: &str, group: &'static str, course: Course) -> Table<'static> {
        Table {
            title: format!("{title}, a batch every {:?}", course.pace),
            group,
            parameter: course.pace.as_micros().to_string(),
            rounds: self.options.rounds(100),
            base: 0..1,
        }
    }

    fn spinning(&self, report: &mut Report) -> std::io::Result<()> {
        let course = self.course(100, Duration::from_micros(10));
        let side = |name: &str, link| self.side(name, course, true, link);
        let clock = self.clock;
        let sides = vec![
            side(
                "crossbeam, try_recv",
                crossbeam(clock, |receiver| {
                    spinning(move |arrivals| {
                        if let Ok(batch) = receiver.try_recv() {
                            arrivals.note(batch.index());
                        }
                    })
                }),
            ),
            side(
                "event-broker, drain",
                ours(clock, |mut reader| spinning(move |arrivals| drain(&mut reader, arrivals))),
            ),
            side(
                "event-broker, try_recv",
                ours(clock, |mut reader| {
                    spinning(move |arrivals| {
                        if let Ok(delivery) = reader.try_recv() {
                            arrivals.note(delivery.index());
                        }
                    })
                }),
            ),
            side(
                "tokio broadcast, try_recv",
                tokio_broadcast(clock, |mut receiver| {
                    spinning(move |arrivals| {
                        if let Ok(batch) = receiver.try_recv() {
                            arrivals.note(batch.index());
                        }
                    })
                }),
            ),
            side("rtrb, pop", rtrb_ring(clock)),
            self.side("floor: an atomic number", course, false, number(clock, false)),
        ];
        report.distributions(&self.table("to a reader that spins", "latency_spinning", course), QUIET, sides)
    }

    fn parked(&self, report: &mut Report) -> std::io::Result<()> {
        let course = self.course(40, Duration::from_micros(50));
        let side = |name: &str, link| self.side(name, course, true, link);
        let clock = self.clock;
        let sides = vec![
            side(
                "crossbeam, recv",
                crossbeam(clock, |receiver| parked(move || receiver.recv().ok().map(|batch| batch.index()))),
            ),
            side(
                "event-broker, recv",
                ours(clock, |mut reader| parked(move || reader.recv().ok().map(|delivery| delivery.index()))),
            ),
            side(
                "tokio broadcast, blocking_recv",
                tokio_broadcast(clock, |mut receiver| {
                    parked(move || receiver.blocking_recv().ok().map(|batch| batch.index()))
                }),
            ),
            side(
                "flume, recv",
                flume_channel(clock, |receiver| parked(move || receiver.recv().ok().map(|batch| batch.index()))),
            ),
            self.side("floor: an atomic number, park", course, false, number(clock, true)),
        ];
        report.distributions(&self.table("to a parked thread", "latency_parked", course), QUIET, sides)
    }

    fn tasks(&self, report: &mut Report) -> std::io::Result<()> {
        let course = self.course(40, Duration::from_micros(50));
        let side = |name: &str, link| self.side(name, course, true, link);
        let clock = self.clock;
        let sides = vec![
            side("tokio broadcast, recv", tokio_broadcast(clock, |receiver| task(receiver))),
            side("event-broker, recv_async", ours(clock, |reader| task(reader))),
            side("event-broker, readable and drain", ours(clock, |reader| task(Windows(reader)))),
            side("flume, recv_async", flume_channel(clock, |receiver| task(receiver))),
            self.side(Wakers::name(), course, false, wakers(clock)),
        ];
        report.distributions(&self.table("to a task", "latency_task", course), QUIET, sides)
    }
}

/// What reading the clock costs: the median of a thousand times a hundred readings.
#[expect(clippy::cast_precision_loss, reason = "small numbers, for show")]
fn clock_cost(clock: Clock) -> f64 {
    let hundred = || {
        let start = Instant::now();
        for _ in 0..100 {
            std::hint::black_box(clock.now());
        }
        start.elapsed().as_nanos() as f64 / 100.0
    };
    let mut costs: Vec<_> = (0..1_000).map(|_| hundred()).collect();
    median(&mut costs)
}

fn main() -> ExitCode {
    turns::main("latency", |options, report| {
        let bench = Bench { crew: Crew::new(2), clock: Clock(Instant::now()), options };
        let placed = if bench.crew.is_pinned() { "each kept on a core of its own" } else { "placed by the system" };
        println!("threads {placed}; reading the clock takes {:.1} ns", clock_cost(bench.clock));
        bench.spinning(report)?;
        bench.parked(report)?;
        bench.tasks(report)
    })
}
