//! Benchmark: publishing while other threads subscribe and unsubscribe without pause.
//!
//! It shows the publisher's latency as a distribution, in turns with publishing to another broker during the same
//! storm. The number of subscriptions is shown too; the cost of subscribing alone is in `churn`.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_broker::{Broker, Request, Start, Term};
use hdrhistogram::Histogram;

use support::event::{Payload, TOPIC, event, key};
use support::measure::nanos;
use support::{measure, ours};

mod support;

/// The interval between commits.
const PACE: Duration = Duration::from_micros(100);

/// Threads that subscribe and unsubscribe.
const THREADS: usize = 2;

/// Numbers of readers, and of the terms of each.
const STORMS: [(usize, u64); 4] = [(2_000, 60), (200, 1_000), (20_000, 1), (4_000, 5_000)];

/// The request of the reader with this number: terms, or topics and namespaces.
fn request(number: u64, terms: u64) -> Request<Payload> {
    let request = Request::new().start(Start::Latest);
    if terms == 5_000 {
        // A wide scope: five topics in a thousand namespaces.
        let topics = (0..5).map(|topic| Term::topic(format!("{TOPIC}{topic}")).expect("a topic"));
        return request.terms(topics).namespaces((0..1_000).map(|name| format!("n{}", number % 8 * 100 + name)));
    }
    let term = |n: u64| Term::new(TOPIC, key((number * 7 + n) % 100_000)).expect("a topic and a key");
    request.terms((0..terms).map(term))
}

struct Measured {
    stormed: Histogram<u64>,
    beside: Histogram<u64>,
    subscriptions: u64,
}

fn measure(readers: usize, terms: u64, turn: Duration, turns: u32) -> Measured {
    let (broker, other) = (ours::broker(128), ours::broker(128));
    let stop = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicU64::new(0));
    let (mut stormed, mut beside) = (histogram(), histogram());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (broker, stop, opened) = (broker.clone(), Arc::clone(&stop), Arc::clone(&opened));
            scope.spawn(move || storm(&broker, readers / THREADS, thread as u64, terms, &stop, &opened));
        }
        while opened.load(Ordering::Relaxed) < readers as u64 {
            std::thread::sleep(PACE);
        }
        let payload = Payload::of(256);
        let mut index = 0;
        for number in 0..2 * turns {
            let (to, latencies) = if number % 2 == 0 { (&broker, &mut stormed) } else { (&other, &mut beside) };
            let over = Instant::now() + turn;
            while Instant::now() < over {
                index += 1;
                let events = vec![event(index, &payload)];
                let start = Instant::now();
                ours::publish(to, index, events);
                latencies.saturating_record(nanos(start.elapsed()));
                std::thread::sleep(PACE);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    Measured { stormed, beside, subscriptions: opened.load(Ordering::Relaxed) }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("up to a minute")
}

/// Replaces the oldest of its subscriptions, without pause.
fn storm(broker: &Broker<Payload>, readers: usize, thread: u64, terms: u64, stop: &AtomicBool, opened: &AtomicU64) {
    let mut held = Vec::with_capacity(readers);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let place = usize::try_from(number).unwrap_or(0) % readers;
        if held.len() == readers {
            drop(held.swap_remove(place));
        }
        held.push(broker.subscribe(request(thread + number * THREADS as u64, terms)).expect("allowed"));
        opened.fetch_add(1, Ordering::Relaxed);
    }
}

fn main() {
    let quick = measure::is_quick();
    let (turn, turns) = if quick { (Duration::from_millis(20), 1) } else { (Duration::from_millis(250), 8) };
    println!("publish, a commit each {PACE:?}, {THREADS} threads that subscribe and leave; microseconds");
    println!(
        "{:>8} {:>6} {:>22} {:>26} {:>26} {:>10} {:>14}",
        "readers", "terms", "", "at this broker", "at another beside it", "p90 ratio", "subscriptions"
    );
    for (readers, terms) in STORMS {
        let readers = if quick { readers / 20 } else { readers };
        let Measured { stormed, beside, subscriptions } = measure(readers, terms, turn, turns);
        let row = |latencies: &Histogram<u64>| {
            [0.5, 0.9, 0.99, 1.0]
                .map(|quantile| format!("{:.1}", latencies.value_at_quantile(quantile) as f64 / 1e3))
                .join(" / ")
        };
        let p90 = |latencies: &Histogram<u64>| latencies.value_at_quantile(0.9).max(1) as f64;
        println!(
            "{readers:>8} {terms:>6} {:>22} {:>26} {:>26} {:>9.1}x {subscriptions:>14}",
            "p50 / p90 / p99 / max",
            row(&stormed),
            row(&beside),
            p90(&stormed) / p90(&beside),
        );
    }
}
