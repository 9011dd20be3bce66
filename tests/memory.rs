//! Bounded memory and counted allocations (G6, semantics 7 and 20).
//!
//! A profiling allocator counts the whole process, so the tests run one after another in `main` without the usual
//! harness.

#[path = "common/heap.rs"]
mod heap;

use std::collections::VecDeque;
use std::sync::{Arc, Barrier};
use std::task::{Context, Waker};
use std::thread;

use event_broker::{Broker, Event, Request, Start, Subscription, Term};

use heap::{allocations, live};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const READERS: usize = 1_000;
const EARLY: u64 = 10_000;
const LATE: u64 = 1_000_000;

fn main() {
    let tests: [(&str, fn()); 7] = [
        ("stalled_readers_bound_nothing", stalled_readers_bound_nothing),
        ("threads_that_have_read_keep_nothing", threads_that_have_read_keep_nothing),
        ("a_kept_delivery_keeps_its_own_batch_alone", a_kept_delivery_keeps_its_own_batch_alone),
        ("a_drained_delivery_allocates_nothing", a_drained_delivery_allocates_nothing),
        ("a_publish_allocates_a_constant", a_publish_allocates_a_constant),
        ("a_drop_gives_everything_back", a_drop_gives_everything_back),
        ("terms_that_come_and_go_leave_nothing", terms_that_come_and_go_leave_nothing),
    ];
    heap::run(&tests);
}

fn event(topic: &'static str, key: &'static str) -> Event<u64> {
    Event::new(
        event_broker::Topic::from_static(topic),
        event_broker::EventType::from_static("Changed"),
        event_broker::Key::from_static(key),
        0,
    )
    .with_namespace(event_broker::Namespace::DEFAULT)
}

fn term(topic: &str, key: &str) -> Term {
    Term::new(topic, key).expect("neither side is empty")
}

/// A reader that never reads again, stalled in one of several ways.
fn stalled(broker: &Broker<u64>, number: usize) -> Subscription<u64> {
    let narrow = |topic: &str, key: String| Request::new().term(term(topic, &key));
    let request = match number % 5 {
        0 => Request::new(),
        // Half of these keys are published, half never.
        1 => narrow("Job", format!("job-{}", number % 20)),
        2 => Request::new().terms((0..20).map(|key| term("Job", &format!("job-{key}")))),
        3 => Request::new().term(term("Node", "*")),
        _ => Request::new().term(term("Job", "*")),
    };
    let mut reader = broker.subscribe(request).expect("open");
    match number % 3 {
        0 => drop(reader.try_recv()),
        1 => drop(reader.poll_recv(&mut Context::from_waker(Waker::noop()))),
        _ => {
            drop(reader.doorbell());
            drop(reader.try_recv());
        }
    }
    reader
}

/// The heap after a million batches is that after ten thousand, beside a thousand stalled readers.
fn stalled_readers_bound_nothing() {
    const KEYS: [&str; 8] = ["job-0", "job-1", "job-2", "job-5", "job-11", "job-16", "other", "another"];
    let broker = Broker::<u64>::new();
    let readers: Vec<_> = (0..READERS).map(|number| stalled(&broker, number)).collect();
    let mut early = 0;
    for (index, key) in (1..=LATE).zip(KEYS.into_iter().cycle()) {
        broker.publish(index, [event("Job", key)]).expect("rising");
        if index == EARLY {
            early = live();
        }
    }
    let late = live();
    println!("heap with {READERS} stalled readers: {early} bytes after {EARLY} batches, {late} after {LATE}");
    assert!(late.abs_diff(early) * 20 < early, "{early} and {late} differ by 5 % or more");
    drop(readers);
}

/// Each thread that reads has a copy of the log's directory, and there are 64 of them. Threads that have read once, and
/// read no more, keep nothing of what is evicted: not one batch at any time, and a lock each when they are gone.
fn threads_that_have_read_keep_nothing() {
    // At some time that is not the broker's to choose, locks allocate for as many threads as there are.
    let grown =
        (0..6).map(|_| beside_threads_that_have_read()).map(|(before, after)| after.saturating_sub(before)).min();
    assert!(grown.is_some_and(|grown| grown < 64 * 128 + 2_048), "{grown:?} bytes more");
}

fn beside_threads_that_have_read() -> (usize, usize) {
    const THREADS: usize = 80;
    const RETENTION: usize = 100;
    const PAYLOAD: usize = 10_000;
    /// With the batch and its event.
    const BATCH: usize = PAYLOAD + 450;
    let broker = Broker::<Arc<Vec<u8>>>::builder().max_batches(RETENTION as u64).build().expect("a bound above zero");
    let (mut index, mut latest) = (0, VecDeque::new());
    // Returns how many payloads are kept.
    let mut publish = |count: usize| {
        let mut kept = 0;
        for _ in 0..count {
            index += 1;
            let payload = Arc::new(vec![0; PAYLOAD]);
            latest.push_back(Arc::downgrade(&payload));
            broker.publish(index, [Event::new("Job", "Changed", "web", payload)]).expect("rising");
            if latest.len() > 2 * RETENTION {
                latest.pop_front();
            }
            kept = latest.iter().filter(|payload| payload.strong_count() > 0).count();
            assert!(kept <= RETENTION + RETENTION / 8, "{kept} payloads after {index} batches");
        }
        kept
    };
    let kept_before = publish(3 * RETENTION);
    let (before, mut kept) = (live(), 0);
    let (read, go) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        let threads = (0..THREADS).map(|number| {
            let (broker, read, go) = (&broker, &read, &go);
            scope.spawn(move || {
                let mut reader = broker.subscribe(Request::new().start(Start::Oldest)).expect("open");
                (0..number % 3).for_each(|_| drop(reader.try_recv()));
                assert!(reader.drain().expect("nothing is lost").iter().next().is_some());
                read.wait();
                go.wait();
                // What it had read of, and what it was to read next, is gone.
                assert!(reader.drain().is_err(), "it was overtaken");
            })
        });
        let threads: Vec<_> = threads.collect();
        read.wait();
        kept = publish(30 * RETENTION);
        go.wait();
        // Until the threads have ended, and not only what they ran.
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
    // Without another publish, the copies are gone with the last subscription. Of what is evicted, an eighth may be there
    // or not. The locks of the copies stay.
    // As if as much were kept.
    let (before, after) = (before + kept * BATCH, live() + kept_before * BATCH);
    println!("heap: {before} bytes before {THREADS} threads have read, {after} afterwards, beside {kept} payloads");
    (before, after)
}

/// Only what a user holds is kept: one batch per delivery, and none of its neighbours.
fn a_kept_delivery_keeps_its_own_batch_alone() {
    const PAYLOAD: usize = 10_000;
    let broker = Broker::<Vec<u8>>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    let publish = |index| {
        broker.publish(index, [Event::new("Job", "Changed", "web", vec![0; PAYLOAD])]).expect("rising");
    };
    (1..=50).for_each(publish);
    let kept: Vec<_> = (0..50).filter_map(|_| reader.try_recv().ok()).filter(|d| d.index() % 10 == 0).collect();
    assert_eq!(kept.len(), 5);
    (51..=1_000).for_each(publish);
    let with = live();
    drop(kept);
    let freed = with - live();
    assert!((5 * PAYLOAD..6 * PAYLOAD).contains(&freed), "five deliveries kept {freed} bytes");
    // The retention, an eighth more, and what the log keeps of each batch.
    assert!(live() < 113 * (PAYLOAD + 500), "{} bytes", live());
}

/// A window costs what opening it costs, whatever it yields; a delivery in it costs nothing.
fn a_drained_delivery_allocates_nothing() {
    let broker = Broker::<u64>::builder().max_batches(10_000).build().expect("a bound above zero");
    let open = |request: Request<u64>| broker.subscribe(request.start(Start::Latest)).expect("open");
    let readers = [
        ("everything", open(Request::new())),
        ("a topic", open(Request::new().term(term("Job", "*")))),
        ("a predicate", open(Request::new().filter(|event| event.index() > 0))),
    ];
    for index in 1..=10_000 {
        broker.publish(index, [event("Job", "web"), event("Node", "n")]).expect("rising");
    }
    for (name, mut reader) in readers {
        let mut window = reader.drain().expect("open");
        let mut deliveries = window.iter();
        let first = allocations(|| assert!(deliveries.next().is_some()));
        let mut count = 0;
        let rest = allocations(|| {
            count = deliveries.by_ref().filter(|delivery| delivery.events().all(|event| event.index() > 0)).count();
        });
        println!("drain of {name}: {first} allocations for the first delivery, {rest} for {count} more");
        assert_eq!((rest, count), (0, 9_999), "{name}");
    }
}

/// Beyond what the caller built, a publish makes a constant number of allocations, however many nodes it hits.
fn a_publish_allocates_a_constant() {
    const BATCHES: u64 = 1_000;
    /// The batch behind its `Arc`, its links if it hit several nodes, and the rare growth of a segment; with room for one.
    const BOUND: f64 = 4.0;
    const FOUR: &[(&str, &str)] = &[("Job", "web"), ("Job", "*"), ("*", "web"), ("Job", "id")];
    for (name, terms, scopes) in [
        ("no reader", &[][..], &["default"][..]),
        ("other keys", &[("Job", "other"), ("Node", "*")], &["default"]),
        ("one node", &[("Job", "web")], &["default"]),
        ("four nodes", FOUR, &["default"]),
        ("eight nodes", FOUR, &["default", "*"]),
    ] {
        let broker = Broker::<u64>::new();
        let requests = terms.iter().flat_map(|(topic, key)| {
            scopes.iter().map(|scope| Request::new().term(term(topic, key)).namespace(*scope))
        });
        let readers: Vec<_> = requests.map(|request| broker.subscribe(request).expect("open")).collect();
        let mut batches = (1..=2 * BATCHES)
            .map(|index| (index, vec![event("Job", "web").with_filter_key(event_broker::Key::from_static("id"))]));
        let mut publish = |(index, events): (u64, Vec<Event<u64>>)| broker.publish(index, events).expect("rising");
        batches.by_ref().take(1_000).for_each(&mut publish);
        let built: Vec<_> = batches.collect();
        let counted = allocations(|| built.into_iter().for_each(&mut publish));
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let per_batch = counted as f64 / BATCHES as f64;
        println!("publish with {name}: {per_batch:.2} allocations a batch");
        assert!(per_batch <= BOUND, "{name}: {per_batch}");
        drop(readers);
    }
}

/// When the last handle is dropped, everything is freed.
fn a_drop_gives_everything_back() {
    let before = live();
    let broker = Broker::<u64>::new();
    let readers: Vec<_> = (0..READERS).map(|number| stalled(&broker, number)).collect();
    for index in 1..=1_000 {
        broker.publish(index, [event("Job", "job-1"), event("Node", "n")]).expect("rising");
    }
    let handles: Vec<_> = readers.iter().map(Subscription::handle).collect();
    assert!(live() > before);
    drop((readers, handles));
    assert_eq!(broker.stats().terms, 0);
    drop(broker);
    assert_eq!(live(), before);
}

/// While one subscription stays, others with new names come and go, two of each.
fn terms_that_come_and_go_leave_nothing() {
    let broker = Broker::<u64>::new();
    let staying = broker.subscribe(Request::new().term(term("Job", "web"))).expect("open");
    let turn = |number: u32| {
        let request = || Request::new().term(term(&format!("topic-{number}"), "*")).namespace(format!("n{number}"));
        let two = [(); 2].map(|()| broker.subscribe(request()).expect("open"));
        drop(two);
    };
    (0..100).for_each(turn);
    let early = live();
    (100..2_000).for_each(turn);
    assert_eq!(live(), early);
    drop(staying);
}
