//! Benchmark: publishing to one active reader beside many idle readers of other keys.
//!
//! It measures the publisher and the active reader at growing numbers of idle readers. The idle readers are parked, as
//! the tasks of open streams are.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use event_broker::{Broker, Subscription};

use support::event::{Event, Item, Payload, event, key};
use support::indexed::{Crossbeam, Indexed};
use support::measure::{Latencies, nanos};
use support::ours;
use support::rivals::Tokio;
use support::{Structure, Want, measure};

mod support;

const HOT: u64 = 0;
const IDLE: [usize; 3] = [0, 1_000, 100_000];
const CAPACITY: usize = 128;

fn idle_keys(idle: usize) -> impl Iterator<Item = Want> {
    (1..=idle as u64).map(|number| Want::Key(key(number)))
}

/// A broker with idle readers that are parked.
struct Crowd {
    broker: Broker<Payload>,
    idle: Vec<Subscription<Payload>>,
    payload: Payload,
    index: u64,
}

impl Crowd {
    /// Returns the idle readers' broker, and the active reader.
    fn new(idle: usize) -> (Self, Subscription<Payload>) {
        let broker = ours::broker(CAPACITY);
        let hot = ours::subscribe(&broker, &Want::Key(key(HOT)));
        let mut idle: Vec<_> = idle_keys(idle).map(|want| ours::subscribe(&broker, &want)).collect();
        for reader in &mut idle {
            assert!(reader.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        (Self { broker, idle, payload: Payload::of(256), index: 0 }, hot)
    }

    fn window(&self) -> Vec<Vec<Event>> {
        (0..64).map(|_| vec![event(HOT, &self.payload)]).collect()
    }

    fn publish(&mut self, events: Vec<Event>) {
        self.index += 1;
        ours::publish(&self.broker, self.index, events);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let woken = self.idle.iter().filter(|reader| reader.stats().wakeups > 0).count();
        assert!(woken == 0 || std::thread::panicking(), "{woken} idle readers were woken");
    }
}

/// Publishing alone, in windows of 64. The active reader reads them outside the measured time.
fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("bystanders_publish");
    for idle in IDLE {
        let mut crowd = None;
        group.bench_function(BenchmarkId::new("event-broker", idle), |b| {
            let (crowd, hot) = crowd.get_or_insert_with(|| Crowd::new(idle));
            b.iter_custom(|publishes| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..publishes.div_ceil(64) {
                    let window = crowd.window();
                    let start = Instant::now();
                    for events in window {
                        crowd.publish(events);
                    }
                    elapsed += start.elapsed();
                    assert_eq!(ours::drain(hot).expect("not overtaken").events, 64);
                }
                elapsed.mul_f64(publishes as f64 / (publishes.div_ceil(64) * 64) as f64)
            });
        });
    }
    group.finish();
}

/// Publishing and reading by the active reader, on one thread.
fn publish_and_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("bystanders");
    let payload = Payload::of(256);
    for idle in IDLE {
        let mut crowd = None;
        group.bench_function(BenchmarkId::new("event-broker", idle), |b| {
            let (crowd, hot) = crowd.get_or_insert_with(|| Crowd::new(idle));
            b.iter_batched(
                || vec![event(HOT, &payload)],
                |events| {
                    crowd.publish(events);
                    assert_eq!(hot.try_recv().expect("published").len(), 1);
                },
                criterion::BatchSize::SmallInput,
            );
        });
        rival::<Indexed<Crossbeam, true>>(&mut group, Indexed::<Crossbeam, true>::name(), idle, &payload);
        if idle == 0 {
            rival::<Tokio>(&mut group, "tokio broadcast, bystanders elsewhere", idle, &payload);
        }
    }
    group.finish();
}

/// The same for a structure whose idle readers are channels that are never read. A filtered broadcast would wake all of
/// them.
fn rival<S: Structure<Prepared = Item>>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    idle: usize,
    payload: &Payload,
) {
    let mut rig = None;
    group.bench_function(BenchmarkId::new(name, idle), |b| {
        let (structure, readers) = rig.get_or_insert_with(|| {
            let wants: Vec<_> = std::iter::once(Want::Key(key(HOT))).chain(idle_keys(idle)).collect();
            // Idle channels allocate room for batches that never come, so their capacity is as small as possible.
            S::open(&wants, 2)
        });
        let hot = readers.first_mut().expect("the hot one");
        b.iter_batched(
            || S::prepare(1, vec![event(HOT, payload)]),
            |batch| {
                structure.publish(batch);
                assert_eq!(structure.drain(hot).events, 1);
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

/// The time from publishing to the receipt by the active reader, a thread that blocks. Most of it is the machine's time
/// to wake a thread.
fn latency(c: &mut Criterion) {
    let mut latencies = Latencies::titled("bystanders_latency: publish to delivery on another thread");
    let mut group = c.benchmark_group("bystanders_latency");
    measure::slow(&mut group);
    for idle in IDLE {
        let row = latencies.row(format!("event-broker, {idle} bystanders"));
        let mut rig = None;
        group.bench_function(BenchmarkId::new("event-broker, recv", idle), |b| {
            let (crowd, read, epoch) = rig.get_or_insert_with(|| {
                let (crowd, mut hot) = Crowd::new(idle);
                let read = Arc::new(AtomicU64::new(0));
                let epoch = Instant::now();
                let received = Arc::clone(&read);
                std::thread::spawn(move || {
                    while hot.recv().is_ok() {
                        received.store(nanos(epoch.elapsed()).max(1), Ordering::Release);
                    }
                });
                (crowd, read, epoch)
            });
            b.iter_custom(|publishes| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..publishes {
                    let events = vec![event(HOT, &crowd.payload)];
                    read.store(0, Ordering::Release);
                    let start = nanos(epoch.elapsed());
                    crowd.publish(events);
                    let end = loop {
                        match read.load(Ordering::Acquire) {
                            0 => std::hint::spin_loop(),
                            end => break end,
                        }
                    };
                    let latency = end.saturating_sub(start);
                    row.record(latency).expect("resizes");
                    elapsed += Duration::from_nanos(latency);
                    // Until the reader sleeps again.
                    std::thread::yield_now();
                }
                elapsed
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = measure::config(); targets = publish, publish_and_read, latency }
criterion_main!(benches);
