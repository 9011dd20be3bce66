//! Benchmark: readers of one key each. A window of 64 batches is published, and the readers that it concerns read it.
//!
//! A filtered broadcast concerns all readers. Building the batches is outside the measured time, dropping them inside.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use support::event::Plan;
use support::indexed::{Crossbeam, Indexed, Rtrb};
use support::inline::Inline;
use support::ours::Ours;
use support::rivals::Tokio;
use support::{Structure, measure};

mod support;

fn selective<S: Structure>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, readers: usize, window: usize) {
    let plan = Plan { window, ..Plan::selective(readers as u64) };
    group.throughput(Throughput::Elements(window as u64));
    let mut rig = None;
    group.bench_function(BenchmarkId::new(name, readers), |b| {
        let rig = rig.get_or_insert_with(|| {
            let mut rig = Inline::<S>::new(readers, plan.clone());
            // One full round, so that every reader has read and the buffer evicts.
            for _ in 0..=readers.div_ceil(window).max(2).min(if S::SEES_ALL { 2 } else { usize::MAX }) {
                let prepared = rig.prepare();
                rig.publish(prepared);
                rig.drain();
            }
            rig
        });
        b.iter_custom(|windows| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..windows {
                let prepared = rig.prepare();
                let start = Instant::now();
                rig.publish(prepared);
                let delivered = rig.drain();
                elapsed += start.elapsed();
                assert_eq!(delivered, window as u64, "one match per event");
            }
            elapsed
        });
    });
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("selective");
    for readers in [100, 10_000] {
        measure::normal(&mut group);
        selective::<Ours<false>>(&mut group, "event-broker, drain", readers, 64);
        selective::<Ours<true>>(&mut group, "event-broker, try_recv", readers, 64);
        selective::<Indexed<Crossbeam>>(&mut group, Indexed::<Crossbeam>::name(), readers, 64);
        selective::<Indexed<Crossbeam, true>>(&mut group, Indexed::<Crossbeam, true>::name(), readers, 64);
        selective::<Indexed<Rtrb>>(&mut group, Indexed::<Rtrb>::name(), readers, 64);
        measure::slow(&mut group);
        selective::<Tokio>(&mut group, "tokio broadcast, filter at the receiver", readers, 64);
    }
    group.finish();
}

criterion_group! { name = all; config = measure::config(); targets = benches }
criterion_main!(all);
