//! What readers on two threads write that both can reach: G12, and DESIGN's *cores*.
//!
//! Each operation runs on two threads, with a subscription for each. The addresses that both of them write are what the
//! threads share: each such write moves a cache line from one core to the other. The guide *ways of reading* has the
//! table.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::task::{Context, Waker};
use std::thread;

use event_broker::writes::{Kind, Write, record};
use event_broker::{Broker, Event, Request, Subscription, Term};

type Read = fn(&mut Subscription<u64>);

fn window(reader: &mut Subscription<u64>) {
    reader.drain().unwrap().iter().for_each(drop);
}

fn try_recv(reader: &mut Subscription<u64>) {
    drop(reader.try_recv());
}

fn every_recv(reader: &mut Subscription<u64>) {
    while reader.try_recv().is_ok() {}
}

/// A poll of a task that takes one batch, and waits for the next.
fn poll(reader: &mut Subscription<u64>) {
    let mut context = Context::from_waker(Waker::noop());
    while reader.poll_recv(&mut context).is_ready() {}
}

fn readable(reader: &mut Subscription<u64>) {
    let mut context = Context::from_waker(Waker::noop());
    while reader.poll_readable(&mut context).is_ready() {
        window(reader);
    }
}

fn publish(broker: &Broker<u64>, batches: u64) {
    let latest = broker.stats().latest_index;
    for index in latest + 1..=latest + batches {
        let event = |key: &'static str| Event::new("Job", "JobRegistered", key, index);
        broker.publish(index, [event("web"), event("db").with_namespace("prod")]).unwrap();
    }
}

fn everything() -> Request<u64> {
    Request::new().namespace("*")
}

type Ask = fn() -> Request<u64>;

/// The requests that are read in every way.
const REQUESTS: [(&str, Ask); 4] = [
    ("everything", everything),
    ("a topic", || everything().term(Term::topic("Job").unwrap())),
    ("a key", || everything().term(Term::key("web").unwrap())),
    ("a key in a namespace", || Request::new().term(Term::key("db").unwrap()).namespace("prod")),
];

/// So many batches that the segments have their full length, 1,024, and none begins soon.
const SETTLED: u64 = 2_100;
/// So many that one begins within the next 64.
const BEFORE_A_SEGMENT: u64 = 3_000;

/// Returns what `read` writes on one of two threads that the other one writes as well. `batches` are published before,
/// and `others` more readers wait for the same.
fn shared(request: Ask, read: Read, batches: u64, others: usize) -> Vec<Write> {
    shared_after(SETTLED, request, read, batches, others)
}

fn shared_after(before: u64, request: Ask, read: Read, batches: u64, others: usize) -> Vec<Write> {
    let broker = Broker::builder().max_batches(10_000).build().unwrap();
    let open = || broker.subscribe(request()).unwrap();
    let (mut here, mut there) = (open(), open());
    let mut others: Vec<_> = (0..others).map(|_| open()).collect();
    publish(&broker, before);
    for other in &mut others {
        window(other);
        poll(other);
    }
    let barrier = Barrier::new(2);
    let (here, there) = thread::scope(|scope| {
        // The first read of a thread copies the directory for its stripe, and the first wait finds a list to wait in.
        let there = scope.spawn(|| {
            window(&mut there);
            read(&mut there);
            barrier.wait();
            barrier.wait();
            record(|| read(&mut there)).1
        });
        window(&mut here);
        read(&mut here);
        barrier.wait();
        publish(&broker, batches);
        barrier.wait();
        let there = there.join().unwrap();
        (record(|| read(&mut here)).1, there)
    });
    assert!(!here.is_empty() && !there.is_empty(), "a read writes to the counters of its subscription");
    let elsewhere: BTreeSet<_> = there.iter().map(|write| write.address).collect();
    here.into_iter().filter(|write| elsewhere.contains(&write.address)).collect()
}

/// By object: the file that writes it, and how.
fn objects(writes: &[Write]) -> Vec<(&'static str, Kind)> {
    writes.iter().map(|write| (write.file.trim_start_matches("src/"), write.kind)).collect()
}

/// A window of any length shares nothing, whatever the reader asked for, and neither does a read that finds nothing.
#[test]
fn a_window_shares_no_write() {
    for (name, request) in REQUESTS {
        for batches in [0, 1, 4, 64] {
            let writes = shared(request, window, batches, 0);
            assert_eq!(objects(&writes), [], "{name}, a window of {batches}");
        }
        assert_eq!(objects(&shared(request, try_recv, 0, 0)), [], "{name}, a read that finds nothing");
    }
}

/// A thread takes the directory once when it has changed: it takes its lock, and counts it while it is copied.
#[test]
fn a_thread_copies_the_directory_once_for_each_change() {
    for (name, request) in REQUESTS {
        for read in [window as Read, every_recv] {
            let mut writes = shared_after(BEFORE_A_SEGMENT, request, read, 64, 0);
            writes.retain(|write| !write.file.ends_with("owned.rs"));
            let copied = [("log/directories.rs", Kind::Lock), ("log/directories.rs", Kind::Reference)];
            assert_eq!(objects(&writes), copied, "{name}");
        }
    }
}

/// A delivery shares the count of its batch, which it has because it may outlive the buffer, and nothing else.
#[test]
fn an_owned_delivery_shares_the_count_of_its_batch() {
    for (name, request) in REQUESTS {
        for batches in [1, 4] {
            let writes = shared(request, try_recv, batches, 0);
            assert_eq!(objects(&writes), [("subscription/owned.rs", Kind::Reference)], "{name}, {batches} batches");
        }
    }
}

/// The frame of a whole batch is encoded once, and each reader counts a reference of its bytes.
#[test]
fn a_frame_shares_the_count_of_its_bytes() {
    let frames: Read = |reader| {
        for delivery in &mut reader.drain().unwrap() {
            drop(delivery.frame().unwrap());
        }
    };
    assert_eq!(objects(&shared(everything, frames, 1, 0)), [("frame/cache.rs", Kind::Reference)]);
    // A frame of a part of a batch is put together for each reader.
    let (_, key) = REQUESTS[2];
    assert_eq!(objects(&shared(key, frames, 1, 0)), []);
}

/// Few waiters share the lock of a list. In a list that has grown, threads share one word, which the first waiter of each
/// writes after a hit.
#[test]
fn waiting_in_a_list_that_has_grown_shares_one_word() {
    for (name, request) in REQUESTS {
        for read in [poll as Read, readable] {
            let writes = shared(request, read, 0, 0);
            assert!(objects(&writes).iter().all(|(file, _)| *file == "wait/list.rs"), "{name}: {writes:?}");
            for batches in [0, 1] {
                let mut writes = shared(request, read, batches, 200);
                writes.retain(|write| !(write.kind == Kind::Reference && write.file.ends_with("owned.rs")));
                let word = ("wait/list.rs", Kind::Modify);
                let expected: &[_] = if batches == 0 { &[] } else { &[word] };
                assert_eq!(objects(&writes), expected, "{name}, {batches} batches");
            }
        }
    }
}
