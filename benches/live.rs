//! Benchmark: readers that keep up. One batch of one event is published at a time, and the next when all have read it.
//!
//! How bursts and backlogs are read is in `fanout`, and how long one delivery takes to arrive in `latency`.
//!
//! - On one thread: the time of reading alone. Every reader reads once a batch: by a window (`drain`), by `try_recv`
//!   until it says that there is no more, or by one `try_recv`. Where there are few readers, several structures with as
//!   many are read in turn, so that the clock is read once for 64 deliveries or more.
//! - As tasks: the time from a publish until the last task has read, over the number of deliveries. The publisher is a
//!   task among them. The floor is a version number and a bare list of wakers (`support/wakers.rs`), which does nothing
//!   else; what runs a task, and tells the publisher that all have read, is in every figure.
//! - The publisher on another thread: the latency of a publish alone, to tasks on a current-thread runtime. They have all
//!   read the batch before, and most are parked.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use support::dispatched::Dispatched;
use support::event::Plan;
use support::floor::Ring;
use support::measure::median;
use support::ours::Ours;
use support::rivals::Tokio;
use support::tasks::{Placement, Run, Waiting};
use support::turns::{self, Options, Report, Side, Size, Spread, Table};
use support::wakers::Wakers;
use support::{Awaited, Seen, Stepwise, Structure};

mod support;

/// Deliveries that are timed together at least.
const TOGETHER: usize = 64;

/// Batches that a structure holds.
const CAPACITY: usize = 128;

const TASKS: usize = 1_000;

fn live() -> Plan {
    Plan { window: 1, ..Plan::everything() }
}

/// Reading one new batch on one thread; the median of as many passes as make a round of this length.
fn reading<S: Structure>(
    name: &str,
    readers: usize,
    round: Duration,
    read: impl Fn(&S, &mut S::Reader) -> Seen + 'static,
) -> Side<1> {
    let plan = live();
    let wants: Vec<_> = (0..readers).map(|reader| plan.want(reader)).collect();
    let mut rigs: Vec<_> = (0..TOGETHER.div_ceil(readers)).map(|_| S::open(&wants, CAPACITY)).collect();
    let deliveries = rigs.len() * readers;
    let mut number = 0;
    Side::new(name, move || {
        let mut passes = Vec::new();
        let began = Instant::now();
        while passes.is_empty() || began.elapsed() < round {
            for (structure, _) in &mut rigs {
                structure.publish(S::prepare(number + 1, plan.events(number)));
            }
            number += 1;
            let start = Instant::now();
            for (structure, readers) in &mut rigs {
                for reader in readers {
                    let seen = read(structure, reader);
                    assert!(seen == Seen { batches: 1, events: 1 }, "{}: {seen:?} instead of a batch", S::name());
                }
            }
            passes.push(start.elapsed().as_nanos() as f64 / deliveries as f64);
        }
        [median(&mut passes)]
    })
}

/// One batch at a time, read by one call.
fn once<S: Stepwise>(structure: &S, reader: &mut S::Reader) -> Seen {
    structure.step(reader).unwrap_or_default()
}

/// What a round of this many readers needs to be measured: nothing if it only has to work.
fn round(options: &Options) -> Duration {
    if options.size == Size::Test { Duration::ZERO } else { Duration::from_millis(3) }
}

fn one_thread(options: &Options, report: &mut Report) -> std::io::Result<()> {
    for readers in [1, 100, 4_000] {
        let round = round(options);
        let table = Table {
            title: format!("one batch at a time to {readers} readers on one thread, reading alone"),
            group: "live_inline",
            parameter: readers.to_string(),
            rounds: options.rounds(25),
            base: 0..1,
        };
        let sides = vec![
            reading::<Tokio>("tokio broadcast, try_recv once", readers, round, once),
            reading::<Tokio>("tokio broadcast, try_recv until empty", readers, round, Tokio::drain),
            reading::<Ours<false>>("event-broker, drain", readers, round, Ours::drain),
            reading::<Ours<true>>("event-broker, try_recv once", readers, round, once),
            reading::<Ours<true>>("event-broker, try_recv until empty", readers, round, Ours::drain),
            reading::<Ring<false>>(Ring::<false>::name(), readers, round, Ring::drain),
            reading::<Ring<true>>(Ring::<true>::name(), readers, round, Ring::drain),
        ];
        report.compare(&table, [("a delivery", "")], sides)?;
    }
    Ok(())
}

/// The rig of tasks, after two batches: the first finds tasks that have not been polled yet.
fn tasks_of<S: Awaited>(placement: Placement) -> Waiting<S> {
    let mut rig = Waiting::<S>::tasks(TASKS, live(), placement);
    rig.run(2, Run::timed());
    rig
}

/// The time of a delivery to tasks: the median of so many batches.
fn awaited<S: Awaited>(name: &str, placement: Placement, batches: u64) -> Side<1> {
    let mut rig = tasks_of::<S>(placement);
    Side::new(name, move || {
        let each = |run: Run| run.elapsed.as_nanos() as f64 / run.deliveries as f64;
        let mut all: Vec<_> = (0..batches).map(|_| each(rig.run(1, Run::timed()))).collect();
        [median(&mut all)]
    })
}

fn tasks(options: &Options, report: &mut Report) -> std::io::Result<()> {
    let batches = if options.size == Size::Test { 1 } else { 32 };
    for (place, parameter, placement) in [
        ("a runtime of 2 workers", "2", Placement::AmongTasks),
        ("a current-thread runtime", "1", Placement::AmongTasksOfOneThread),
    ] {
        let table = Table {
            title: format!("one batch at a time to {TASKS} tasks on {place}, the publisher among them"),
            group: "live_tasks",
            parameter: parameter.to_owned(),
            rounds: options.rounds(50),
            base: 0..1,
        };
        let sides = vec![
            awaited::<Wakers>(Wakers::name(), placement, batches),
            awaited::<Ours<true>>("event-broker, recv_async", placement, batches),
            awaited::<Ours<false>>("event-broker, readable and drain", placement, batches),
            awaited::<Tokio>(Tokio::name(), placement, batches),
        ];
        report.compare(&table, [("a delivery", "")], sides)?;
    }
    Ok(())
}

/// The latency of publishes to tasks of another thread.
fn publishing<S: Awaited>(name: &str, batches: u64) -> Spread {
    let mut rig = tasks_of::<S>(Placement::OwnThread);
    Spread::new(name, move |latencies| {
        let run = rig.run(batches, Run::with_latencies());
        assert_eq!(run.deliveries, batches * TASKS as u64);
        latencies.add(run.latencies.expect("asked for")).expect("up to a minute");
    })
}

fn publisher(options: &Options, report: &mut Report) -> std::io::Result<()> {
    let batches = if options.size == Size::Test { 2 } else { 50 };
    let table = Table {
        title: format!("a publish to {TASKS} tasks that keep up, on another thread"),
        group: "live_publish",
        parameter: TASKS.to_string(),
        rounds: options.rounds(25),
        base: 0..1,
    };
    let sides = vec![
        publishing::<Tokio>(Tokio::name(), batches),
        publishing::<Ours<true>>("event-broker, recv_async", batches),
        publishing::<Dispatched<true>>("event-broker, recv_async, dispatcher", batches),
        publishing::<Ours<false>>("event-broker, readable and drain", batches),
        publishing::<Dispatched<false>>("event-broker, readable and drain, dispatcher", batches),
        publishing::<Wakers>(Wakers::name(), batches),
    ];
    // A publish that wakes all tasks takes as long as a time slice, so no round is left out.
    report.distributions(&table, Duration::MAX, sides)
}

fn main() -> ExitCode {
    turns::main("live", |options, report| {
        one_thread(options, report)?;
        tasks(options, report)?;
        publisher(options, report)
    })
}
