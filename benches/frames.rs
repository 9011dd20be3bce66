//! The frames of one stream to 1,000 readers: shared, encoded for each, and what copying the same bytes costs.
//! Payloads of 2 KiB, as an object of many fields and as one string; what readers do with a frame is named.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use event_broker::{Batch, Broker, Event, Frame, Namespace, Request, Start, Subscription, Term};
use serde::Serialize;

use support::event::{Payload, TOPIC, key};
use support::measure;

#[expect(clippy::allow_attributes, reason = "each benchmark uses a part")]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod support;

const READERS: usize = 1_000;
const WINDOW: u64 = 8;

/// What a state store has in an object: ids, a map of attributes, numbers.
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

/// One event a batch, or several, of which each narrow reader wants one.
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
    /// Readers of everything, or each of one of so many keys.
    fn new(keys: Option<u64>) -> Self {
        let broker = Broker::builder().max_batches(2 * WINDOW).build().expect("a capacity");
        let request = |reader: usize| match keys {
            None => Request::new().namespace("*"),
            Some(keys) => Request::new().term(Term::new(TOPIC, key(reader as u64 % keys)).expect("a term")),
        };
        let subscribe = |reader| broker.subscribe(request(reader).start(Start::Latest)).expect("allowed");
        let readers = (0..READERS).map(subscribe).collect();
        Self { broker, readers, index: 0 }
    }

    /// Publishes a window off the clock, and lets every reader take its frames on it.
    fn window(&mut self, count: u64, payload: &P, mut take: impl FnMut(&Frame)) -> Duration {
        for _ in 0..WINDOW {
            self.index += 1;
            let events = events(self.index, count, payload);
            self.broker.publish(self.index, events).map_err(|refused| refused.kind).expect("indexes rise");
        }
        let start = Instant::now();
        for reader in &mut self.readers {
            let mut frames = 0;
            for delivery in &mut reader.drain().expect("not overtaken") {
                take(&delivery.frame().expect("plain data"));
                frames += 1;
            }
            assert_eq!(frames, WINDOW, "every reader has every frame");
        }
        start.elapsed()
    }
}

/// The frame of one batch, and what follows from it.
struct Sample<P> {
    batch: Batch<P>,
    line: Vec<u8>,
}

impl<P: Clone + Serialize> Sample<P> {
    fn new(payload: &P) -> Self {
        let batch = Batch::new(1, events(1, 1, payload));
        let line = Frame::encode(&batch).expect("plain data").as_bytes().to_vec();
        Self { batch, line }
    }
}

fn group_of<P>(c: &mut Criterion, name: &str, payload: &P)
where
    P: Clone + Serialize + Send + Sync + 'static,
{
    let mut group: BenchmarkGroup<'_, WallTime> = c.benchmark_group(format!("frames_{name}"));
    let sample = Sample::new(payload);
    let frames = READERS as u64 * WINDOW;
    let bytes = frames * sample.line.len() as u64;
    group.throughput(Throughput::Bytes(bytes));
    let mut out = vec![0_u8; sample.line.len()];

    // Encoded by the first reader that asks, which is on the clock; handed out as shared bytes.
    let mut hall = Hall::new(None);
    group.bench_function(BenchmarkId::new("event-broker, shared frames handed out", READERS), |b| {
        b.iter_custom(|windows| {
            (0..windows).map(|_| hall.window(1, payload, |frame| _ = black_box(frame.as_bytes()))).sum()
        });
    });
    // The same, and each reader copies the bytes to where its transport takes them.
    let mut hall = Hall::new(None);
    group.bench_function(BenchmarkId::new("event-broker, shared frames copied out", READERS), |b| {
        b.iter_custom(|windows| {
            let mut copy = |frame: &Frame| {
                out.clear();
                out.extend_from_slice(frame.as_bytes());
                black_box(out.as_slice());
            };
            (0..windows).map(|_| hall.window(1, payload, &mut copy)).sum()
        });
    });
    group.bench_function(BenchmarkId::new("memcpy of the same bytes", READERS), |b| {
        b.iter(|| {
            for _ in 0..frames {
                out.copy_from_slice(black_box(&sample.line));
                black_box(out.as_slice());
            }
        });
    });

    measure::slow(&mut group);
    // Into a buffer that is kept, which spares each reader its allocation; nothing of its reading is on the clock.
    group.bench_function(BenchmarkId::new("serde_json for each reader", READERS), |b| {
        b.iter(|| {
            for _ in 0..frames {
                out.clear();
                serde_json::to_writer(&mut out, black_box(&sample.batch)).expect("plain data");
                out.push(b'\n');
                black_box(out.as_slice());
            }
        });
    });
    assert_eq!(out, sample.line, "both encode alike");
    // Batches of 16 events, each reader taking one of them: the event's bytes are shared, its frame is put together.
    let mut hall = Hall::new(Some(16));
    group.bench_function(BenchmarkId::new("event-broker, one event of 16 in each frame", READERS), |b| {
        b.iter_custom(|windows| {
            (0..windows).map(|_| hall.window(16, payload, |frame| _ = black_box(frame.as_bytes()))).sum()
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
