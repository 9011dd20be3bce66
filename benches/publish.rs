//! Benchmark: publishing into a full buffer while one reader never reads, so that every batch evicts one.
//!
//! Batches are built outside the measured time. The names of the variants say what is inside it.

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use event_broker::{Batch, Broker, Request, Start};
use tokio::sync::broadcast;

use support::event::{Event, Item, NOBODYS, Payload, event, key};
use support::{Structure, Want, floor, indexed, measure, ours};

mod support;

/// The capacity of the broker and of its rivals, in batches.
const CAPACITY: usize = 128;

/// Events of one batch, each an object of its own.
struct Source {
    payload: Payload,
    next: u64,
}

impl Source {
    fn new() -> Self {
        Self { payload: Payload::of(256), next: 0 }
    }

    fn events(&mut self, count: u64) -> Vec<Event> {
        let first = self.next;
        self.next += count;
        (first..self.next).map(|object| event(object, &self.payload)).collect()
    }
}

/// Publishes prepared batches, after the buffer has been filled once.
fn publishing<T>(
    c: &mut Criterion,
    variant: &str,
    events: u64,
    prepare: impl Fn(Vec<Event>) -> T,
    mut publish: impl FnMut(T),
) {
    let mut source = Source::new();
    let mut group = c.benchmark_group("publish");
    group.throughput(Throughput::Elements(1));
    let mut filled = false;
    group.bench_function(BenchmarkId::new(variant, events), |b| {
        if !filled {
            (0..2 * CAPACITY).for_each(|_| publish(prepare(source.events(events))));
            filled = true;
        }
        b.iter_batched(|| prepare(source.events(events)), &mut publish, BatchSize::SmallInput);
    });
    group.finish();
}

fn share(events: Vec<Event>) -> Item {
    Arc::new(Batch::new(1, events))
}

/// Publishes to a broker with one reader of this kind, which never reads.
fn into_broker(c: &mut Criterion, variant: &str, events: u64, request: Option<Request<Payload>>) {
    let broker: Broker<Payload> = ours::broker(CAPACITY);
    let _reader = request.map(|request| broker.subscribe(request).expect("allowed"));
    let mut index = 0;
    publishing(
        c,
        variant,
        events,
        |events| events,
        |events| {
            index += 1;
            ours::publish(&broker, index, events);
        },
    );
    assert_eq!(broker.stats().latest_index, index, "every batch was published");
}

fn publish(c: &mut Criterion) {
    for events in [1, 16] {
        into_broker(c, "event-broker, no reader", events, None);
        into_broker(c, "event-broker, stalled reader of everything", events, Some(ours::request(&Want::Everything)));
        into_broker(
            c,
            "event-broker, stalled reader of the default namespace",
            events,
            Some(ours::request(&Want::DefaultNamespace)),
        );
        into_broker(
            c,
            "event-broker, stalled reader of another key",
            events,
            Some(ours::request(&Want::Key(key(NOBODYS)))),
        );

        // The budget compares with this: the batch is in its `Arc` before the measurement begins.
        let (sender, _stalled) = broadcast::channel::<Item>(CAPACITY);
        publishing(c, "tokio broadcast, stalled receiver, Arc made before", events, share, |batch| {
            assert_eq!(sender.send(batch).map_err(|_| "closed"), Ok(1));
        });
        // The same work on both sides: the broker also puts the events into an `Arc`.
        let (sender, _stalled) = broadcast::channel::<Item>(CAPACITY);
        publishing(
            c,
            "tokio broadcast, stalled receiver, Arc made inside",
            events,
            |events| events,
            |events| {
                assert_eq!(sender.send(share(events)).map_err(|_| "closed"), Ok(1));
            },
        );
        let (mut ring, _) = floor::Ring::<false>::open(&[], CAPACITY);
        publishing(c, "bare ring, Arc made before", events, share, |batch| ring.publish(batch));
        let (mut index, _) = indexed::Indexed::<indexed::Crossbeam, true>::open(&[Want::Key(key(NOBODYS))], CAPACITY);
        publishing(c, "hash index and backlog deque, reader of another key", events, share, |batch| {
            index.publish(batch);
        });
    }
}

/// A batch whose names need no freeing: what remains is the broker's own work and the freeing of one batch.
fn publish_static_names(c: &mut Criterion) {
    fn events(payload: &Payload) -> Vec<Event> {
        use event_broker::{EventType, Key, Namespace};
        const KEY: Key = Key::from_static("5a1f0c9e-0000-4000-8000-0123456789ab");
        let kind = EventType::from_static("AllocationUpdated");
        vec![
            Event::new(support::event::TOPIC, kind, KEY, payload.clone())
                .with_namespace(Namespace::DEFAULT)
                .with_filter_key(Key::from_static("web")),
        ]
    }

    let payload = Payload::of(256);
    let mut group = c.benchmark_group("publish_static_names");
    group.throughput(Throughput::Elements(1));
    let broker = ours::broker(CAPACITY);
    let _stalled = broker.subscribe(Request::new().start(Start::Latest).namespace("*")).expect("allowed");
    let mut index = 0;
    group.bench_function("event-broker, stalled reader of everything", |b| {
        b.iter_batched(
            || events(&payload),
            |events| {
                index += 1;
                ours::publish(&broker, index, events);
            },
            BatchSize::SmallInput,
        );
    });
    let (sender, _stalled) = broadcast::channel::<Item>(CAPACITY);
    group.bench_function("tokio broadcast, stalled receiver, Arc made inside", |b| {
        b.iter_batched(
            || events(&payload),
            |events| assert_eq!(sender.send(share(events)).map_err(|_| "closed"), Ok(1)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group! { name = benches; config = measure::config(); targets = publish, publish_static_names }
criterion_main!(benches);
