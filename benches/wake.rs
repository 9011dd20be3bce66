//! Benchmark: publishing to parked readers that all match.
//!
//! Criterion shows the whole cycle of parking, publishing and reading. The printed table shows the latency of `publish`
//! alone, as a distribution.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use event_broker::{Broker, Subscription};
use hdrhistogram::Histogram;

use support::dispatched::Waking;
use support::event::{Event, Payload, Plan, event};
use support::indexed::{Flume, Indexed};
use support::measure::{Latencies, nanos};
use support::ours::Ours;
use support::rivals::{AsyncBroadcast, Tokio};
use support::tasks::{Placement, Run, Waiting};
use support::{Awaited, Structure, Want, measure, ours};

mod support;

const PARKED: [usize; 4] = [0, 100, 1_000, 10_000];

/// A cheap waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Sets up what wakes the readers, and returns what must live during the measurement.
type Host = fn(&Broker<Payload>) -> Option<Waking>;

const HOSTS: [(&str, Host); 2] =
    [("woken by the publisher", |_| None), ("dispatcher", |broker| Some(Waking::start(broker)))];

/// Readers that are polled by hand, and a second broker without readers.
///
/// Parking and reading ten thousand readers takes milliseconds, after which the code and data of a publish are in no
/// cache, with readers or without. So the publish without readers is measured at the same rate: in every other cycle the
/// second broker goes first and is timed instead.
struct Parked {
    _waking: Option<Waking>,
    broker: Broker<Payload>,
    beside: Broker<Payload>,
    readers: Vec<Subscription<Payload>>,
    woken: Arc<Count>,
    waker: Waker,
    payload: Payload,
    index: u64,
}

/// What a cycle measured: a publish to the readers, or one without readers.
enum Timed {
    Parked(Duration),
    Alone(Duration),
}

impl Parked {
    fn new(readers: usize, host: Host) -> Self {
        let broker = ours::broker(128);
        let readers = (0..readers).map(|_| ours::subscribe(&broker, &Want::Everything)).collect();
        let woken = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let (beside, payload) = (ours::broker(128), Payload::of(256));
        Self { _waking: host(&broker), broker, beside, readers, woken, waker, payload, index: 0 }
    }

    fn publish(&self, broker: &Broker<Payload>, events: Vec<Event>) -> Duration {
        let start = Instant::now();
        ours::publish(broker, self.index, events);
        start.elapsed()
    }

    /// Parks all readers, publishes, and lets all readers read. Returns the time of the `publish` that went first.
    fn cycle(&mut self) -> Timed {
        let mut context = Context::from_waker(&self.waker);
        for reader in &mut self.readers {
            assert!(reader.poll_recv(&mut context).is_pending(), "everything was read");
        }
        self.woken.0.store(0, Ordering::Release);
        self.index += 1;
        let [first, second] = [(); 2].map(|()| vec![event(self.index, &self.payload)]);
        let timed = if self.index.is_multiple_of(2) {
            let elapsed = self.publish(&self.beside, first);
            self.publish(&self.broker, second);
            Timed::Alone(elapsed)
        } else {
            let elapsed = self.publish(&self.broker, first);
            self.publish(&self.beside, second);
            Timed::Parked(elapsed)
        };
        let start = Instant::now();
        while self.woken.0.load(Ordering::Acquire) < self.readers.len() {
            assert!(start.elapsed() < Duration::from_secs(60), "a parked reader was not woken");
            std::thread::yield_now();
        }
        for reader in &mut self.readers {
            match reader.poll_recv(&mut context) {
                Poll::Ready(Ok(delivery)) => assert_eq!(delivery.index(), self.index),
                other => panic!("a reader lost its delivery: {other:?}"),
            }
        }
        timed
    }
}

fn polled(c: &mut Criterion) {
    let mut latencies = Latencies::titled("wake: publish with readers parked by poll, waker of one atomic");
    let mut group = c.benchmark_group("wake");
    for (name, host) in HOSTS {
        for parked in PARKED {
            if parked >= 1_000 {
                measure::slow(&mut group);
            } else {
                measure::normal(&mut group);
            }
            let mut timed = Histogram::<u64>::new(3).expect("three digits");
            let mut beside = timed.clone();
            let mut rig = None;
            group.bench_function(BenchmarkId::new(format!("event-broker, {name}, whole cycle"), parked), |b| {
                let rig = rig.get_or_insert_with(|| Parked::new(parked, host));
                b.iter(|| match rig.cycle() {
                    Timed::Parked(elapsed) => timed.record(nanos(elapsed)).expect("resizes"),
                    Timed::Alone(elapsed) => beside.record(nanos(elapsed)).expect("resizes"),
                });
            });
            latencies.row(format!("event-broker, {name}, {parked} parked")).add(timed).expect("resizes");
            latencies.row(format!("  the same pace, {name}, no reader")).add(beside).expect("resizes");
        }
    }
    group.finish();
}

/// Tasks of a current-thread runtime on another thread. Most are parked when the next batch is published.
fn tasks_of<S: Awaited>(c: &mut Criterion, latencies: &mut Latencies, name: &str) {
    let mut group = c.benchmark_group("wake_tasks");
    measure::slow(&mut group);
    for parked in PARKED.into_iter().skip(1) {
        let row = latencies.row(format!("{name}, {parked} tasks"));
        let mut rig = None;
        group.bench_function(BenchmarkId::new(format!("{name}, whole cycle"), parked), |b| {
            let rig = rig.get_or_insert_with(|| {
                let plan = Plan { window: 1, ..Plan::everything() };
                let mut rig = Waiting::<S>::tasks(parked, plan, Placement::OwnThread);
                // The first batch finds tasks that have not been polled yet.
                rig.run(1, Run::timed());
                std::thread::sleep(Duration::from_millis(20));
                rig
            });
            b.iter_custom(|publishes| {
                let run = rig.run(publishes, Run::with_latencies());
                assert_eq!(run.deliveries, publishes * parked as u64);
                row.add(run.latencies.expect("asked for")).expect("resizes");
                run.elapsed
            });
        });
    }
    group.finish();
}

fn tasks(c: &mut Criterion) {
    let mut latencies = Latencies::titled("wake_tasks: publish to the tasks of another thread's runtime");
    tasks_of::<Ours<true>>(c, &mut latencies, "event-broker, recv_async");
    tasks_of::<Tokio>(c, &mut latencies, Tokio::name());
    tasks_of::<AsyncBroadcast>(c, &mut latencies, AsyncBroadcast::name());
    tasks_of::<Indexed<Flume>>(c, &mut latencies, "flume a reader");
}

criterion_group! { name = benches; config = measure::config(); targets = polled, tasks }
criterion_main!(benches);
