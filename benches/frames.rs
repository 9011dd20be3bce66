//! Benchmark: the frames of one stream for 1,000 readers, compared with encoding for each reader and with `memcpy`.
//!
//! Payloads are 2 KiB, once as an object of many fields and once as one string. All variants of a group deliver the
//! same bytes to the same readers, so their times and throughputs are comparable.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use event_broker::{Batch, Broker, Event, Frame, Namespace, Request, Start, Subscription, Term};
use serde::Serialize;

use support::event::{Payload, TOPIC, key};
use support::{measure, ours};

mod support;

const READERS: usize = 1_000;
const WINDOW: u64 = 8;
/// Indexes begin after this one. None of them gains a digit, so all frames have the same length.
const BEFORE: u64 = 1_000_000_000_000;

/// An object of a state store: ids, a map of attributes, numbers.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    id: String,
    name: String,
    attributes: BTreeMap<String, String>,
    cpu: Vec<u32>,
    healthy: bool,
    modify_index: u64,
}

/// An object, shared with the state store's snapshots.
#[derive(Clone)]
struct Shared(Arc<Object>);

impl Serialize for Shared {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

fn object() -> Shared {
    let attributes = (0..38).map(|n| (format!("platform.attribute.{n:02}"), format!("value-{n:016x}"))).collect();
    let object = Object {
        id: key(7).as_str().to_owned(),
        name: "worker-7".to_owned(),
        attributes,
        cpu: (0..16).map(|core| 2_400 + core).collect(),
        healthy: true,
        modify_index: 1_234_567,
    };
    let bytes = serde_json::to_vec(&object).expect("plain data").len();
    assert!((1_950..2_150).contains(&bytes), "the object is {bytes} bytes of JSON, 2 KiB were meant");
    Shared(Arc::new(object))
}

/// One event per batch, or several of which each narrow reader wants one.
fn events<P: Clone>(index: u64, count: u64, payload: &P) -> Vec<Event<P>> {
    (0..count)
        .map(|number| {
            Event::new(TOPIC, "AllocationUpdated", key(number), payload.clone())
                .with_namespace(Namespace::DEFAULT)
                .with_filter_key(key(1_000_000 + index))
        })
        .collect()
}

/// A broker and the readers of its frames.
struct Hall<P> {
    broker: Broker<P>,
    readers: Vec<Subscription<P>>,
    index: u64,
}

impl<P: Clone + Serialize + Send + Sync + 'static> Hall<P> {
    /// Opens readers of everything, or readers of one of `keys` keys each.
    fn new(keys: Option<u64>) -> Self {
        let broker = Broker::builder().max_batches(2 * WINDOW).build().expect("a capacity");
        let request = |reader: usize| match keys {
            None => Request::new().namespace("*"),
            Some(keys) => Request::new().term(Term::new(TOPIC, key(reader as u64 % keys)).expect("a term")),
        };
        let subscribe = |reader| broker.subscribe(request(reader).start(Start::Latest)).expect("allowed");
        let readers = (0..READERS).map(subscribe).collect();
        Self { broker, readers, index: BEFORE }
    }

    /// Publishes a window, then measures how long all readers take to read its frames, which have `bytes` bytes
    /// together.
    fn window(&mut self, count: u64, payload: &P, bytes: usize, mut take: impl FnMut(&[u8])) -> Duration {
        for _ in 0..WINDOW {
            self.index += 1;
            let events = events(self.index, count, payload);
            ours::publish(&self.broker, self.index, events);
        }
        let start = Instant::now();
        for reader in &mut self.readers {
            let mut taken = 0;
            for delivery in &mut reader.drain().expect("not overtaken") {
                let frame = delivery.frame().expect("plain data");
                take(frame.as_bytes());
                taken += frame.as_bytes().len();
            }
            assert_eq!(taken, bytes, "every reader has every frame");
        }
        start.elapsed()
    }
}

/// The batches of one window, and their frames.
struct Sample<P> {
    batches: Vec<Batch<P>>,
    lines: Vec<Vec<u8>>,
}

impl<P: Clone + Serialize> Sample<P> {
    fn new(payload: &P) -> Self {
        let indexes = BEFORE + 1..=BEFORE + WINDOW;
        let batches: Vec<_> = indexes.map(|index| Batch::new(index, events(index, 1, payload))).collect();
        let encode = |batch| Frame::encode(batch).expect("plain data").as_bytes().to_vec();
        let lines = batches.iter().map(encode).collect();
        Self { batches, lines }
    }

    /// The bytes that a reader takes of a window.
    fn bytes(&self) -> usize {
        self.lines.iter().map(Vec::len).sum()
    }
}

/// Copies a frame into a reused buffer, from which a reader's transport would send it.
fn copy(out: &mut Vec<u8>, line: &[u8]) {
    out.clear();
    out.extend_from_slice(line);
    black_box(out.as_slice());
}

fn group_of<P>(c: &mut Criterion, name: &str, payload: &P)
where
    P: Clone + Serialize + Send + Sync + 'static,
{
    let mut group: BenchmarkGroup<'_, WallTime> = c.benchmark_group(format!("frames_{name}"));
    let sample = Sample::new(payload);
    let bytes = sample.bytes();
    group.throughput(Throughput::Bytes((READERS * bytes) as u64));
    let mut out = Vec::with_capacity(bytes);

    // Encoded by the first reader within the measured time; all readers share the bytes.
    let mut hall = Hall::new(None);
    group.bench_function(BenchmarkId::new("event-broker, shared frames handed out", READERS), |b| {
        b.iter_custom(|windows| (0..windows).map(|_| hall.window(1, payload, bytes, |line| _ = black_box(line))).sum());
    });
    // The same, and each reader copies the bytes.
    let mut hall = Hall::new(None);
    group.bench_function(BenchmarkId::new("event-broker, shared frames copied out", READERS), |b| {
        b.iter_custom(|windows| {
            (0..windows).map(|_| hall.window(1, payload, bytes, |line| copy(&mut out, line))).sum()
        });
    });
    group.bench_function(BenchmarkId::new("memcpy of the same bytes", READERS), |b| {
        b.iter(|| {
            for _ in 0..READERS {
                for line in &sample.lines {
                    copy(&mut out, black_box(line));
                }
            }
        });
    });

    measure::slow(&mut group);
    // Into a reused buffer, so that the readers do not allocate. Reading is not measured.
    group.bench_function(BenchmarkId::new("serde_json for each reader", READERS), |b| {
        b.iter(|| {
            for _ in 0..READERS {
                for batch in &sample.batches {
                    out.clear();
                    serde_json::to_writer(&mut out, black_box(batch)).expect("plain data");
                    out.push(b'\n');
                    black_box(out.as_slice());
                }
            }
        });
        assert_eq!(Some(&out), sample.lines.last(), "both encode alike");
    });
    // Batches of 16 events, of which each reader wants one: the bytes of the event are shared, the frame is assembled.
    let mut hall = Hall::new(Some(16));
    group.bench_function(BenchmarkId::new("event-broker, one event of 16 in each frame", READERS), |b| {
        b.iter_custom(|windows| {
            (0..windows).map(|_| hall.window(16, payload, bytes, |line| _ = black_box(line))).sum()
        });
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    group_of(c, "object", &object());
    group_of(c, "string", &Payload::of(2_048));
}

criterion_group! { name = benches; config = measure::config(); targets = frames }
criterion_main!(benches);
