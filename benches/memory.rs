//! Benchmark: bytes of an idle subscription, and allocations of publishing and reading.
//!
//! The figures are counts, so one run is enough. Nothing is timed, because the counting allocator is slow.

#![expect(clippy::cast_precision_loss, reason = "small numbers, for show")]

use std::task::{Context, Waker};

use dhat::{Alloc, HeapStats, Profiler};
use event_broker::{Broker, Request, Start, Subscription, Term};

use support::event::{Payload, TOPIC, event, key};
use support::{measure, ours};

mod support;

#[global_allocator]
static ALLOCATOR: Alloc = Alloc;

/// The budget of an idle subscription.
const BUDGET: f64 = 512.0;

/// The request of a reader, by its number.
type Ask = fn(u64) -> Request<Payload>;

fn exact(number: u64) -> Request<Payload> {
    Request::new().term(Term::new(TOPIC, key(number)).expect("a topic and a key"))
}

const KINDS: [(&str, Ask); 5] = [
    ("everything", |_| Request::new().namespace("*")),
    ("all topics, namespace default", |_| Request::new()),
    ("one exact key each, namespace *", |number| exact(number).namespace("*")),
    ("one exact key each, namespace default", exact),
    ("one exact key shared by all, namespace default", |_| exact(0)),
];

/// Opens `count` subscriptions and returns the bytes of one when it has just been opened, and when it is parked: its
/// own value, its share of the broker, and its heap.
fn weigh(count: usize, ask: Ask) -> (f64, f64) {
    let broker = ours::broker(100);
    let before = HeapStats::get().curr_bytes;
    let mut readers = Vec::with_capacity(count);
    for number in 0..count as u64 {
        readers.push(broker.subscribe(ask(number).start(Start::Latest)).expect("allowed"));
    }
    let each = |bytes: usize| (bytes - before) as f64 / count as f64;
    let opened = each(HeapStats::get().curr_bytes);
    for reader in &mut readers {
        assert!(reader.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let parked = each(HeapStats::get().curr_bytes);
    assert_eq!(readers.len(), count);
    (opened, parked)
}

/// Allocations of `body` per round, once warm.
fn blocks(rounds: u64, mut body: impl FnMut()) -> f64 {
    let before = HeapStats::get().total_blocks;
    (0..rounds).for_each(|_| body());
    (HeapStats::get().total_blocks - before) as f64 / rounds as f64
}

struct Source {
    broker: Broker<Payload>,
    index: u64,
}

impl Source {
    /// Publishes batches that were built before, and returns the allocations of each.
    fn publish(&mut self, payload: &Payload, count: u64) -> f64 {
        let mut batches: Vec<_> = (0..count).map(|_| vec![event(1, payload)]).collect();
        blocks(count, || {
            self.index += 1;
            let events = batches.pop().expect("one for each round");
            ours::publish(&self.broker, self.index, events);
        })
    }
}

fn allocations(name: &str, request: Option<Request<Payload>>) {
    let broker = ours::broker(128);
    let mut reader: Option<Subscription<Payload>> =
        request.map(|request| broker.subscribe(request.start(Start::Latest)).expect("allowed"));
    let mut source = Source { broker, index: 0 };
    let payload = Payload::of(64);
    let mut row = (0.0, 0.0, 0.0);
    // The first rounds warm up; the last counts.
    for _ in 0..4 {
        row.0 = source.publish(&payload, 64);
        if let Some(reader) = &mut reader {
            row.1 = blocks(1, || assert_eq!(ours::drain(reader).expect("not overtaken").events, 64)) / 64.0;
        }
        source.publish(&payload, 64);
        if let Some(reader) = &mut reader {
            row.2 = blocks(64, || assert_eq!(reader.try_recv().expect("published").len(), 1));
        }
    }
    let (publish, drained, received) = row;
    println!("{name:<52} {publish:>10.2} {drained:>10.2} {received:>10.2}");
}

fn main() {
    let quick = measure::is_quick();
    let count = if quick { 1_000 } else { 100_000 };
    let _profiler = Profiler::builder().testing().trim_backtraces(Some(4)).build();

    println!("\nbytes of an idle subscription, S = {count}");
    println!("{:<52} {:>10} {:>10}", "", "opened", "parked");
    for (name, ask) in KINDS {
        let (opened, parked) = weigh(count, ask);
        let verdict = if parked <= BUDGET { "" } else { "  over the budget" };
        println!("{name:<52} {opened:>10.0} {parked:>10.0}{verdict}");
    }

    println!("\nallocations of the broker, one event a batch, built before");
    println!("{:<52} {:>10} {:>10} {:>10}", "", "a publish", "a drained", "a try_recv");
    allocations("no reader", None);
    for (name, ask) in KINDS.into_iter().take(4) {
        // The key that is published.
        allocations(name, Some(ask(1)));
    }
    println!();
}
