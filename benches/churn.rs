//! Benchmark: subscribing and unsubscribing during publishing, and operations on many elements: the terms of one
//! reader, the readers of one term, the events of one batch.
//!
//! Each operation runs at two or more sizes. The printed table shows the time for each element and how it grows.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use event_broker::{Broker, Request, Start, Subscription, Term};

use support::event::{Event, Payload, TOPIC, event, key};
use support::ours;
use support::{Want, measure};

mod support;

/// Nanoseconds per element at two sizes. A quadratic operation shows a ratio like that of the sizes.
struct Growth {
    rows: Vec<(String, Vec<(u64, f64)>)>,
}

impl Growth {
    fn note(&mut self, name: &str, n: u64, nanos: f64) {
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, sizes)) => sizes.push((n, nanos)),
            None => self.rows.push((name.to_owned(), vec![(n, nanos)])),
        }
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        if self.rows.is_empty() || std::thread::panicking() {
            return;
        }
        println!("\nchurn: ns an element at each size, and how that grew");
        for (name, sizes) in &self.rows {
            let shown: Vec<_> = sizes.iter().map(|(n, nanos)| format!("{nanos:.0} at {n}")).collect();
            if let ([(small, first), ..], Some((large, last))) = (sizes.as_slice(), sizes.last()) {
                let (grew, sizes) = (last / first, large / small);
                let word = if grew * 2.0 > sizes as f64 { "QUADRATIC?" } else { "fine" };
                println!("{name:<48} {:<36} x{grew:.2} for x{sizes}: {word}", shown.join(", "));
            }
        }
        println!();
    }
}

struct Bench<'c> {
    group: BenchmarkGroup<'c, WallTime>,
    growth: Growth,
}

impl Bench<'_> {
    /// Runs `body` on `n` elements of what `make` made, and records the time.
    fn many<T>(&mut self, name: &str, n: u64, make: impl Fn() -> T, mut body: impl FnMut(&mut T) -> Duration) {
        self.group.throughput(Throughput::Elements(n));
        let (mut rig, mut elapsed, mut iterations) = (None, Duration::ZERO, 0_u64);
        self.group.bench_function(BenchmarkId::new(name, n), |b| {
            let rig = rig.get_or_insert_with(&make);
            b.iter_custom(|count| {
                let sum = (0..count).map(|_| body(rig)).sum();
                elapsed += sum;
                iterations += count;
                sum
            });
        });
        if iterations > 0 {
            self.growth.note(name, n, elapsed.as_secs_f64() * 1e9 / (iterations * n) as f64);
        }
    }
}

/// A broker and what has been published to it.
struct Host {
    broker: Broker<Payload>,
    payload: Payload,
    index: u64,
    readers: Vec<Subscription<Payload>>,
}

impl Host {
    fn new(wants: impl Iterator<Item = Want>) -> Self {
        // A small buffer, because large batches would fill the memory.
        let broker = ours::broker(16);
        let readers = wants.map(|want| ours::subscribe(&broker, &want)).collect();
        Self { broker, payload: Payload::of(256), index: 0, readers }
    }

    fn publish(&mut self, events: Vec<Event>) {
        self.index += 1;
        ours::publish(&self.broker, self.index, events);
    }

    fn events(&self, count: u64) -> Vec<Event> {
        (0..count).map(|object| event(object, &self.payload)).collect()
    }
}

fn many_terms(count: u64) -> Request<Payload> {
    let terms = (0..count).map(|number| Term::new(TOPIC, key(number)).expect("a topic and a key"));
    Request::new().start(Start::Latest).terms(terms)
}

/// A publisher at full rate on another thread, until it is dropped.
struct Storm {
    broker: Broker<Payload>,
    over: Arc<AtomicBool>,
    publisher: Option<JoinHandle<u64>>,
}

impl Storm {
    fn new() -> Self {
        let broker = ours::broker(128);
        let over = Arc::new(AtomicBool::new(false));
        let (into, until) = (broker.clone(), Arc::clone(&over));
        let publisher = std::thread::spawn(move || {
            let payload = Payload::of(256);
            let mut index = 0;
            while !until.load(Ordering::Relaxed) {
                index += 1;
                let events = vec![event(index % 1_000, &payload)];
                ours::publish(&into, index, events);
            }
            index
        });
        Self { broker, over, publisher: Some(publisher) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(Ok(published)) = self.publisher.take().map(JoinHandle::join) {
            assert_eq!(self.broker.stats().published_batches, published, "nothing published was lost");
        }
    }
}

fn come_and_go(bench: &mut Bench<'_>) {
    for count in [100, 1_000] {
        let subscribe = |broker: &Broker<Payload>| {
            let start = Instant::now();
            for number in 0..count {
                drop(ours::subscribe(broker, &Want::Key(key(number))));
            }
            start.elapsed()
        };
        bench.many("subscribe and drop, quiet", count, || ours::broker(128), |broker| subscribe(broker));
        bench.many("subscribe and drop, storm of publishing", count, Storm::new, |storm| subscribe(&storm.broker));
    }
}

fn terms_of_one_reader(bench: &mut Bench<'_>) {
    for count in [250, 1_000, 4_000] {
        bench.many(
            "join and leave, terms of one reader",
            count,
            || Host::new(std::iter::empty()),
            |host| {
                let request = many_terms(count);
                let start = Instant::now();
                drop(host.broker.subscribe(request).expect("allowed"));
                start.elapsed()
            },
        );
        let make = || {
            let mut host = Host::new(std::iter::empty());
            host.readers.push(host.broker.subscribe(many_terms(count)).expect("allowed"));
            host
        };
        // The work is four reads of 16, whatever the number of terms: shown for each term it must fall.
        bench.many("publish and read 64 events, terms of one reader", count, make, |host| {
            let window: Vec<_> = (0..64).map(|n| vec![event(n * 7 % count, &host.payload)]).collect();
            let start = Instant::now();
            let mut read = 0;
            for (number, events) in window.into_iter().enumerate() {
                host.publish(events);
                if number % 16 == 15 {
                    let reader = host.readers.first_mut().expect("one");
                    read += ours::drain(reader).expect("not overtaken").events;
                }
            }
            assert_eq!(read, 64);
            start.elapsed()
        });
    }
}

fn readers_of_one_term(bench: &mut Bench<'_>) {
    for count in [1_000_u64, 10_000] {
        bench.many(
            "join and leave, readers of one term",
            count,
            || Host::new(std::iter::empty()),
            |host| {
                let want = Want::Key(key(1));
                let start = Instant::now();
                let readers: Vec<_> = (0..count).map(|_| ours::subscribe(&host.broker, &want)).collect();
                drop(readers);
                start.elapsed()
            },
        );
        bench.many(
            "publish and read, readers of one term",
            count,
            || Host::new((0..count).map(|_| Want::Key(key(1)))),
            |host| {
                let events = vec![event(1, &host.payload)];
                let start = Instant::now();
                host.publish(events);
                for reader in &mut host.readers {
                    assert_eq!(ours::drain(reader).expect("not overtaken").events, 1);
                }
                start.elapsed()
            },
        );
    }
}

fn events_of_one_batch(bench: &mut Bench<'_>) {
    for count in [250, 1_000, 4_000] {
        bench.many(
            "publish one batch of many keys, no reader",
            count,
            || Host::new(std::iter::empty()),
            |host| {
                let events = host.events(count);
                let start = Instant::now();
                host.publish(events);
                start.elapsed()
            },
        );
        let each = || Host::new((0..count).map(|number| Want::Key(key(number))));
        bench.many("one batch of many keys, a reader each", count, each, |host| {
            let events = host.events(count);
            let start = Instant::now();
            host.publish(events);
            for reader in &mut host.readers {
                assert_eq!(ours::drain(reader).expect("not overtaken").events, 1);
            }
            start.elapsed()
        });
        let one = || {
            let mut host = Host::new(std::iter::empty());
            host.readers.push(host.broker.subscribe(many_terms(count)).expect("allowed"));
            host
        };
        bench.many("one batch of many keys, one reader of all", count, one, |host| {
            let events = host.events(count);
            let start = Instant::now();
            host.publish(events);
            let reader = host.readers.first_mut().expect("one");
            assert_eq!(ours::drain(reader).expect("not overtaken").events, count);
            start.elapsed()
        });
    }
}

fn churn(c: &mut Criterion) {
    let mut bench = Bench { group: c.benchmark_group("churn"), growth: Growth { rows: Vec::new() } };
    measure::slow(&mut bench.group);
    come_and_go(&mut bench);
    terms_of_one_reader(&mut bench);
    readers_of_one_term(&mut bench);
    events_of_one_batch(&mut bench);
    bench.group.finish();
}

criterion_group! { name = benches; config = measure::config(); targets = churn }
criterion_main!(benches);
