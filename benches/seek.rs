//! Benchmark: subscribing in the middle of a long buffer and dropping the subscription.
//!
//! The same at the latest index is measured to be subtracted. The reads that follow are checked and not measured.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use event_broker::{Broker, Request, Start};

use support::event::{Payload, event};
use support::{measure, ours};

mod support;

/// A full buffer whose indexes are the multiples of 3.
fn full(batches: u64) -> Broker<Payload> {
    let broker = ours::broker(usize::try_from(batches).expect("small"));
    let payload = Payload::of(256);
    for number in 1..=batches {
        ours::publish(&broker, 3 * number, [event(number, &payload)]);
    }
    assert_eq!(broker.stats().buffered_batches, batches);
    broker
}

fn seek(c: &mut Criterion) {
    let mut group = c.benchmark_group("seek");
    for batches in [100, 1_000, 100_000] {
        let mut broker = None;
        let middle = 3 * (batches / 2);
        let starts = [("Index in the middle", Start::Index(middle - 1)), ("Latest, to subtract", Start::Latest)];
        for (name, start) in starts {
            group.bench_function(BenchmarkId::new(format!("event-broker, everything, {name}"), batches), |b| {
                let broker = broker.get_or_insert_with(|| full(batches));
                let mut reader = broker.subscribe(Request::new().namespace("*").start(start)).expect("allowed");
                if start != Start::Latest {
                    assert_eq!(reader.try_recv().expect("there").index(), middle);
                }
                b.iter(|| broker.subscribe(Request::new().namespace("*").start(start)).expect("allowed"));
            });
        }
        // Indexes spread over the buffer, so that no path of the search is in the cache.
        group.bench_function(BenchmarkId::new("event-broker, everything, Index anywhere", batches), |b| {
            let broker = broker.get_or_insert_with(|| full(batches));
            let mut number = 0_u64;
            b.iter(|| {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let start = Start::Index(3 + (number >> 33) % (3 * batches - 3));
                broker.subscribe(Request::new().namespace("*").start(start)).expect("allowed")
            });
        });
        // The alternative by hand: a binary search over a deque of batches, and nothing else.
        let deque: std::collections::VecDeque<u64> = (1..=batches).map(|number| 3 * number).collect();
        group.bench_function(BenchmarkId::new("binary search in a deque", batches), |b| {
            b.iter(|| deque.partition_point(|index| *index < std::hint::black_box(middle - 1)));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = measure::config(); targets = seek }
criterion_main!(benches);
