//! Benchmark: delivering everything to many readers, on one thread, as tasks and as threads.
//!
//! A window is 64 batches of one event. Building the batches is not measured.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use support::event::Plan;
use support::floor::Ring;
use support::indexed::{Crossbeam, Flume, Indexed, Rtrb};
use support::inline::Inline;
use support::ours::Ours;
use support::rivals::{AsyncBroadcast, Bus, Tokio};
use support::tasks::{Placement, Run, Waiting};
use support::{Awaited, Structure, Want, measure};

mod support;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// The part of the work that is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    Draining,
    Both,
}

/// Several rigs with the same readers, so that the clock is read rarely in relation to the work.
struct Lanes<S: Structure>(Vec<Inline<S>>);

impl<S: Structure> Lanes<S> {
    fn new(readers: usize, plan: &Plan) -> Self {
        Self((0..64_usize.div_ceil(readers)).map(|_| Inline::new(readers, plan.clone())).collect())
    }

    fn run(&mut self, windows: u64, clock: Clock) -> Duration {
        let mut elapsed = Duration::ZERO;
        for _ in 0..windows {
            let prepared: Vec<_> = self.0.iter().map(Inline::prepare).collect();
            let both = Instant::now();
            for (lane, window) in self.0.iter_mut().zip(prepared) {
                lane.publish(window);
            }
            let draining = Instant::now();
            let expected: u64 = self.0.iter().map(Inline::expected).sum();
            assert_eq!(self.0.iter_mut().map(Inline::drain).sum::<u64>(), expected);
            elapsed += if clock == Clock::Both { both } else { draining }.elapsed();
        }
        elapsed
    }
}

fn drained<S: Structure>(group: &mut Group<'_>, name: &str, readers: usize, plan: &Plan, clock: Clock) {
    let lanes = 64_usize.div_ceil(readers);
    group.throughput(Throughput::Elements((lanes * readers * plan.window) as u64));
    let mut rig = None;
    group.bench_function(BenchmarkId::new(name, readers), |b| {
        let rig = rig.get_or_insert_with(|| Lanes::<S>::new(readers, plan));
        b.iter_custom(|windows| rig.run(windows, clock));
    });
}

/// Throughput is deliveries; only reading is measured.
fn drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout");
    let plan = Plan::everything();
    let scoped = Plan { all: Want::DefaultNamespace, ..Plan::everything() };
    for readers in [1, 100, 1_000, 10_000] {
        match readers {
            1 => measure::brief(&mut group),
            10_000 => measure::slow(&mut group),
            _ => measure::normal(&mut group),
        }
        drained::<Ours<false>>(&mut group, "event-broker, drain", readers, &plan, Clock::Draining);
        drained::<Ours<false>>(&mut group, "event-broker, drain, namespace default", readers, &scoped, Clock::Draining);
        drained::<Ours<true>>(&mut group, "event-broker, try_recv", readers, &plan, Clock::Draining);
        drained::<Ring<false>>(&mut group, Ring::<false>::name(), readers, &plan, Clock::Draining);
        drained::<Ring<true>>(&mut group, Ring::<true>::name(), readers, &plan, Clock::Draining);
        drained::<Tokio>(&mut group, Tokio::name(), readers, &plan, Clock::Draining);
        drained::<AsyncBroadcast>(&mut group, AsyncBroadcast::name(), readers, &plan, Clock::Draining);
        drained::<Indexed<Crossbeam>>(&mut group, "crossbeam a reader", readers, &plan, Clock::Draining);
        drained::<Indexed<Flume>>(&mut group, "flume a reader", readers, &plan, Clock::Draining);
        drained::<Indexed<Rtrb>>(&mut group, "rtrb a reader", readers, &plan, Clock::Draining);
        if readers <= 1_000 {
            drained::<Bus>(&mut group, Bus::name(), readers, &plan, Clock::Draining);
        }
    }
    group.finish();
}

/// Publishing and reading: channels pay for a delivery when they send, a shared buffer when it is read.
fn publish_and_drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout_with_publish");
    let plan = Plan::everything();
    let readers = 1_000;
    drained::<Ours<false>>(&mut group, "event-broker, drain", readers, &plan, Clock::Both);
    drained::<Ours<true>>(&mut group, "event-broker, try_recv", readers, &plan, Clock::Both);
    drained::<Ring<false>>(&mut group, Ring::<false>::name(), readers, &plan, Clock::Both);
    drained::<Tokio>(&mut group, Tokio::name(), readers, &plan, Clock::Both);
    drained::<AsyncBroadcast>(&mut group, AsyncBroadcast::name(), readers, &plan, Clock::Both);
    drained::<Indexed<Crossbeam>>(&mut group, "crossbeam a reader", readers, &plan, Clock::Both);
    drained::<Indexed<Flume>>(&mut group, "flume a reader", readers, &plan, Clock::Both);
    drained::<Indexed<Rtrb>>(&mut group, "rtrb a reader", readers, &plan, Clock::Both);
    group.finish();
}

fn waiting<S: Structure>(group: &mut Group<'_>, name: &str, readers: usize, make: impl Fn(usize, Plan) -> Waiting<S>) {
    let plan = Plan::everything();
    group.throughput(Throughput::Elements((readers * plan.window) as u64));
    let mut rig = None;
    group.bench_function(BenchmarkId::new(name, readers), |b| {
        let rig = rig.get_or_insert_with(|| make(readers, plan.clone()));
        b.iter_custom(|windows| {
            let run = rig.run(windows, Run::timed());
            assert_eq!(run.deliveries, windows * (readers * plan.window) as u64);
            run.elapsed
        });
    });
}

fn as_tasks<S: Awaited>(group: &mut Group<'_>, name: &str, placement: Placement) {
    waiting(group, name, 1_000, |readers, plan| Waiting::<S>::tasks(readers, plan, placement));
}

/// Readers as tasks, each window read before the next.
fn tasks(c: &mut Criterion) {
    for (group, placement) in
        [("fanout_tasks_2_workers", Placement::AmongTasks), ("fanout_tasks_other_thread", Placement::OwnThread)]
    {
        let mut group = c.benchmark_group(group);
        measure::slow(&mut group);
        as_tasks::<Ours<true>>(&mut group, "event-broker, recv_async", placement);
        as_tasks::<Ours<false>>(&mut group, "event-broker, readable and drain", placement);
        as_tasks::<Tokio>(&mut group, Tokio::name(), placement);
        as_tasks::<AsyncBroadcast>(&mut group, AsyncBroadcast::name(), placement);
        as_tasks::<Indexed<Flume>>(&mut group, "flume a reader", placement);
        group.finish();
    }
}

/// Readers as threads, each window read before the next.
fn threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout_threads");
    measure::slow(&mut group);
    for readers in [1, 8] {
        waiting(&mut group, "event-broker, recv", readers, Waiting::<Ours<true>>::threads);
        waiting(&mut group, "event-broker, recv and drain", readers, Waiting::<Ours<false>>::threads);
        waiting(&mut group, Tokio::name(), readers, Waiting::<Tokio>::threads);
        waiting(&mut group, "crossbeam a reader", readers, Waiting::<Indexed<Crossbeam>>::threads);
        waiting(&mut group, "flume a reader", readers, Waiting::<Indexed<Flume>>::threads);
        waiting(&mut group, Bus::name(), readers, Waiting::<Bus>::threads);
    }
    group.finish();
}

criterion_group! { name = benches; config = measure::config(); targets = drain, publish_and_drain, tasks, threads }
criterion_main!(benches);
