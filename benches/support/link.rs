//! One publisher and one reader of each structure, on two threads, and when what was published arrived.
//!
//! It holds no statistics. A batch's index is the time at which its publish was due, in nanoseconds since a common start.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use event_broker::{Batch, Subscription};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast;

use super::crew::{Crew, Seat};
use super::event::{Event, Item, Payload, event};
use super::measure::nanos;
use super::ours::{broker, publish, subscribe};
use super::wakers::{Version, Wakers};
use super::{Awaited, Structure, Want};

/// Batches that a structure holds: more than a round, so that a reader that was preempted loses none.
const CAPACITY: usize = 1_024;

/// From the start of a round until its first batch is due: the batches are built meanwhile.
const LEAD: Duration = Duration::from_millis(1);

/// How long the publisher waits for the reader after a round before it reports a lost delivery.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The time since a common start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(pub(crate) Instant);

impl Clock {
    pub(crate) fn now(self) -> u64 {
        nanos(self.0.elapsed())
    }
}

/// A round publishes this many batches, one each pace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) batches: u32,
    pub(crate) pace: Duration,
}

/// What a reader has received in a round: each batch's index, and when.
pub(crate) struct Arrivals {
    clock: Clock,
    /// The index of the last batch of the round.
    last: u64,
    list: Vec<(u64, u64)>,
}

impl Arrivals {
    /// Nothing yet, of a round of so many batches whose last has this index.
    pub(crate) fn until(last: u64, clock: Clock, batches: usize) -> Self {
        Self { clock, last, list: Vec::with_capacity(batches) }
    }

    /// Takes what has arrived since the last call. The last batch of a round must still be in the list when
    /// [`are_complete`](Self::are_complete) is asked.
    pub(crate) fn take(&mut self) -> std::vec::Drain<'_, (u64, u64)> {
        self.list.drain(..)
    }

    /// Whether the last batch has arrived.
    pub(crate) fn are_complete(&self) -> bool {
        self.list.last().is_some_and(|(index, _)| *index == self.last)
    }

    #[inline]
    pub(crate) fn note(&mut self, index: u64) {
        self.list.push((index, self.clock.now()));
    }
}

/// Takes the times that batches are due.
pub(crate) type Publish = Box<dyn FnMut(&[u64]) + Send>;
/// Reads until it has noted the batch that is due last.
pub(crate) type Read = Box<dyn FnMut(&mut Arrivals) + Send>;

/// Publishes each batch when it is due.
pub(crate) fn publisher<T>(
    clock: Clock,
    prepare: impl Fn(u64, Vec<Event>) -> T + Send + 'static,
    mut publish: impl FnMut(T) + Send + 'static,
) -> Publish {
    let payload = Payload::of(256);
    Box::new(move |due| {
        let batches: Vec<_> = due.iter().map(|&due| (due, prepare(due, vec![event(due, &payload)]))).collect();
        for (due, batch) in batches {
            while clock.now() < due {
                std::hint::spin_loop();
            }
            publish(batch);
        }
    })
}

pub(crate) fn share(index: u64, events: Vec<Event>) -> Item {
    Arc::new(Batch::new(index, events))
}

/// Reads by a call that does not wait, without pause.
pub(crate) fn spinning(mut next: impl FnMut(&mut Arrivals) + Send + 'static) -> Read {
    Box::new(move |arrivals| {
        while !arrivals.are_complete() {
            next(arrivals);
            std::hint::spin_loop();
        }
    })
}

/// Reads by a call that blocks.
pub(crate) fn parked(mut next: impl FnMut() -> Option<u64> + Send + 'static) -> Read {
    Box::new(move |arrivals| {
        while !arrivals.are_complete() {
            arrivals.note(next().expect("the publisher is there"));
        }
    })
}

/// A reader that is a task.
pub(crate) trait Task: Send + 'static {
    /// Waits for a batch, and notes it with all that are there.
    fn next(&mut self, arrivals: &mut Arrivals) -> impl Future<Output = ()> + Send;
}

pub(crate) struct Windows(pub(crate) Subscription<Payload>);

impl Task for Windows {
    async fn next(&mut self, arrivals: &mut Arrivals) {
        self.0.readable().await;
        drain(&mut self.0, arrivals);
    }
}

impl Task for Subscription<Payload> {
    async fn next(&mut self, arrivals: &mut Arrivals) {
        let delivery = self.recv_async().await.expect("not overtaken");
        arrivals.note(delivery.index());
    }
}

impl Task for broadcast::Receiver<Item> {
    async fn next(&mut self, arrivals: &mut Arrivals) {
        let batch = self.recv().await.expect("not overtaken");
        arrivals.note(batch.index());
    }
}

impl Task for flume::Receiver<Item> {
    async fn next(&mut self, arrivals: &mut Arrivals) {
        let batch = self.recv_async().await.expect("the publisher is there");
        arrivals.note(batch.index());
    }
}

impl Task for Version {
    async fn next(&mut self, arrivals: &mut Arrivals) {
        Wakers::wait(self).await;
        arrivals.note(self.seen());
    }
}

pub(crate) fn task(reader: impl Task) -> Read {
    let runtime: Runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut kept = Some(reader);
    Box::new(move |arrivals| {
        let mut reader = kept.take().expect("kept between rounds");
        let mut own = Arrivals { list: std::mem::take(&mut arrivals.list), ..*arrivals };
        let task = async move {
            while !own.are_complete() {
                reader.next(&mut own).await;
            }
            (reader, own)
        };
        let (reader, own) = runtime.block_on(async { tokio::spawn(task).await.expect("a reader") });
        kept = Some(reader);
        arrivals.list = own.list;
    })
}

/// The floor of tasks: a version and a list of wakers.
pub(crate) fn wakers(clock: Clock) -> (Publish, Read) {
    let (mut floor, mut readers) = Wakers::open(&[Want::Everything], CAPACITY);
    let reader = readers.pop().expect("one was opened");
    (publisher(clock, |index, _| index, move |index| floor.publish(index)), task(reader))
}

pub(crate) fn drain(reader: &mut Subscription<Payload>, arrivals: &mut Arrivals) {
    for delivery in &mut reader.drain().expect("not overtaken") {
        arrivals.note(delivery.index());
    }
}

/// The crate, with a reader of everything.
pub(crate) fn ours(clock: Clock, read: impl FnOnce(Subscription<Payload>) -> Read) -> (Publish, Read) {
    let broker = broker(CAPACITY);
    let reader = subscribe(&broker, &Want::Everything);
    let publisher =
        publisher(clock, |index, events| (index, events), move |(index, events)| publish(&broker, index, events));
    (publisher, read(reader))
}

pub(crate) fn tokio_broadcast(clock: Clock, read: impl FnOnce(broadcast::Receiver<Item>) -> Read) -> (Publish, Read) {
    let (sender, receiver) = broadcast::channel(CAPACITY);
    let publish = move |batch| {
        sender.send(batch).expect("a reader");
    };
    (publisher(clock, share, publish), read(receiver))
}

pub(crate) fn crossbeam(clock: Clock, read: impl FnOnce(crossbeam_channel::Receiver<Item>) -> Read) -> (Publish, Read) {
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
    (publisher(clock, share, move |batch| sender.try_send(batch).expect("room")), read(receiver))
}

pub(crate) fn flume_channel(clock: Clock, read: impl FnOnce(flume::Receiver<Item>) -> Read) -> (Publish, Read) {
    let (sender, receiver) = flume::bounded(CAPACITY);
    (publisher(clock, share, move |batch| sender.try_send(batch).expect("room")), read(receiver))
}

pub(crate) fn rtrb_ring(clock: Clock) -> (Publish, Read) {
    let (mut sender, mut receiver) = rtrb::RingBuffer::<Item>::new(CAPACITY);
    let read = spinning(move |arrivals| {
        if let Ok(batch) = receiver.pop() {
            arrivals.note(batch.index());
        }
    });
    (publisher(clock, share, move |batch| sender.push(batch).expect("room")), read)
}

/// A reader of a number waits until it differs from the last one.
struct Number {
    number: AtomicU64,
    reader: OnceLock<Thread>,
}

pub(crate) fn number(clock: Clock, parks: bool) -> (Publish, Read) {
    let shared = Arc::new(Number { number: AtomicU64::new(0), reader: OnceLock::new() });
    let read = Arc::clone(&shared);
    let mut last = 0;
    let publish = publisher(
        clock,
        |index, _| index,
        move |index| {
            // Pairs with the load of the reader.
            shared.number.store(index, Ordering::Release);
            if let Some(reader) = shared.reader.get().filter(|_| parks) {
                reader.unpark();
            }
        },
    );
    let reads: Read = Box::new(move |arrivals| {
        read.reader.get_or_init(std::thread::current);
        while !arrivals.are_complete() {
            let now = read.number.load(Ordering::Acquire);
            if now != last {
                last = now;
                arrivals.note(now);
            } else if parks {
                std::thread::park();
            } else {
                std::hint::spin_loop();
            }
        }
    });
    (publish, reads)
}

/// A publisher and a reader, each for a thread of the crew.
pub(crate) struct Link {
    publish: Mutex<Publish>,
    read: Mutex<Read>,
    /// Whether every batch is noted. A floor notes only the last of those that it finds at once, and all of them have
    /// arrived with it.
    carries_all: bool,
}

impl Link {
    pub(crate) fn new((publish, read): (Publish, Read), carries_all: bool) -> Arc<Self> {
        Arc::new(Self { publish: Mutex::new(publish), read: Mutex::new(read), carries_all })
    }

    /// Publishes a round on the crew's first thread, reads it on the second, and records the latency of each batch. Panics if the reader does
    /// not receive all of them in order.
    pub(crate) fn round(self: &Arc<Self>, crew: &Crew, clock: Clock, course: Course, latencies: &mut Histogram<u64>) {
        let first = clock.now() + nanos(LEAD);
        let due: Arc<[u64]> = (0..course.batches).map(|number| first + nanos(course.pace * number)).collect();
        let last = due.last().copied().expect("a batch");
        let read = AtomicBool::new(false);
        let (link, times) = (Arc::clone(self), Arc::clone(&due));
        let lists = crew.run(2, false, move |seat| {
            if seat == Seat::Reader(0) {
                (link.publish.lock())(&times);
                let start = Instant::now();
                while !read.load(Ordering::Acquire) {
                    assert!(start.elapsed() < TIME_LIMIT, "the reader lost a delivery");
                    std::thread::sleep(Duration::from_micros(50));
                }
                return Vec::new();
            }
            let mut arrivals = Arrivals { clock, last, list: Vec::with_capacity(times.len()) };
            (link.read.lock())(&mut arrivals);
            // Pairs with the load of the publisher.
            read.store(true, Ordering::Release);
            arrivals.list
        });
        let mut expected = due.iter();
        for (index, at) in lists.into_iter().flatten() {
            loop {
                let due = *expected.next().expect("no more arrive than are due");
                assert!(
                    due == index || !self.carries_all && due < index,
                    "out of order or lost: {index} came, not {due}"
                );
                latencies.record(at.saturating_sub(due).max(1)).expect("up to a minute");
                if due == index {
                    break;
                }
            }
        }
        assert!(expected.next().is_none(), "the reader lost a delivery");
    }
}
