//! A bound in bytes against the live heap, whatever is read and how (semantics 5 and 7, G6).
//!
//! A profiling allocator counts the whole process, so the tests run one after another in `main` without the usual
//! harness.

#[path = "common/heap.rs"]
mod heap;

use event_broker::{
    Broker, Event, EventType, FrameOptions, Frames, Key, LagPolicy, Namespace, Request, Subscription, Term, Topic,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The bound in bytes. Beside a buffer that holds that much, an eighth may be evicted and not freed yet, and a constant
/// covers what weighers cannot see.
const BOUND: u64 = 1 << 20;

/// The buffer's own tables, and the frame that a reader holds.
const BESIDE: u64 = 48 << 10;

/// What a batch takes beside its events: the record with its counts, and a slot. The buffer has an eighth more slots.
const A_BATCH: u64 = 240;

fn main() {
    let tests: [(&str, fn()); 6] = [
        ("what_is_cached_counts_to_the_byte", what_is_cached_counts_to_the_byte),
        ("nobody_reads", || bounded("nobody reads", 3_000, 4, |_| Vec::new())),
        ("one_stream_of_frames", || {
            bounded("one stream of frames", 3_000, 4, |broker| vec![frames(broker, None, false)]);
        }),
        ("narrow_streams_and_tokens", || {
            bounded("narrow streams, and streams with and without tokens", 3_000, 4, |broker| {
                let narrow = ["key-0", "key-1", "key-2", "key-3"].map(|key| frames(broker, Some(key), true));
                narrow.into_iter().chain([frames(broker, None, true), frames(broker, None, false)]).collect()
            });
        }),
        ("many_small_events", || {
            bounded("batches of many small events, read narrowly first", 1_000, 200, |broker| {
                vec![
                    frames(broker, Some("key-7"), false),
                    frames(broker, Some("key-8"), false),
                    frames(broker, None, true),
                ]
            });
        }),
        ("links_count", links_count),
    ];
    // Allocates the seeds of hashes, which a process draws once.
    drop(Broker::<u64>::new());
    heap::run(&tests);
}

/// The live heap as the broker counts bytes.
fn live_bytes() -> u64 {
    heap::live() as u64
}

/// The size of an event: itself and its payload. Its names are literals and short.
fn weigh(event: &Event<String>) -> u64 {
    (size_of_val(event) + event.payload().capacity()) as u64
}

const KEYS: [&str; 10] = ["key-0", "key-1", "key-2", "key-3", "key-4", "key-5", "key-6", "key-7", "key-8", "key-9"];

fn batch(index: u64, events: usize) -> Vec<Event<String>> {
    let bytes = if events > 50 { 10 } else { 2_000 / events + usize::try_from(index % 7).expect("small") * 100 };
    let event = |key| {
        Event::new(
            Topic::from_static("Job"),
            EventType::from_static("Changed"),
            Key::from_static(key),
            // Some of it takes more as JSON.
            if index.is_multiple_of(3) { "\n".repeat(bytes) } else { "x".repeat(bytes) },
        )
        .with_namespace(Namespace::DEFAULT)
    };
    KEYS.into_iter().cycle().take(events).map(event).collect()
}

fn frames(broker: &Broker<String>, key: Option<&'static str>, tokens: bool) -> Frames<String> {
    let request = Request::new().lag_policy(LagPolicy::Continue);
    let request = match key {
        Some(key) => request.term(Term::key(key).expect("a key")),
        None => request,
    };
    broker.subscribe(request).expect("open").into_frames(FrameOptions::new().tokens(tokens))
}

/// Publishes batches of `events` events, which streams read at different paces, and checks the heap against the bound
/// after every publish and every frame.
fn bounded(name: &str, batches: u64, events: usize, open: impl Fn(&Broker<String>) -> Vec<Frames<String>>) {
    let before = live_bytes();
    let broker =
        Broker::<String>::builder().max_batches(100_000).max_bytes(BOUND).weigher(weigh).build().expect("bounds");
    let mut streams = open(&broker);
    let mut most = 0;
    let mut largest = 0;
    let mut check = |when: &str| {
        let (stats, live) = (broker.stats(), live_bytes() - before);
        assert!(stats.buffered_bytes <= BOUND, "{name}, {when}: {stats:?}");
        largest = largest.max(stats.buffered_batches);
        most = most.max(live);
        let allowed = BOUND + BOUND / 8 + BESIDE + (largest + largest / 8) * A_BATCH;
        assert!(live <= allowed, "{name}, {when}: {live} bytes live, {allowed} allowed, {stats:?}");
    };
    let mut given = 0_u64;
    for index in 1..=batches {
        broker.publish(index, batch(index, events)).expect("rising");
        check("after a publish");
        for (place, stream) in (1..).zip(&mut streams) {
            // The first reads at once, the others later, so that some lose what others have read.
            if index % place == 0 {
                loop {
                    match stream.try_frame() {
                        Ok(Some(frame)) => given += u64::from(!frame.is_heartbeat()),
                        Ok(None) => break,
                        // It was overtaken and continues.
                        Err(_) => {}
                    }
                    check("after a frame");
                }
            }
        }
    }
    println!("{name}: at most {most} bytes live for a bound of {BOUND}, {given} frames");
    assert!(streams.is_empty() || given >= batches);
    assert!(most > BOUND / 2, "{name}: the buffer is used");

    broker.reset(1_000_000, event_broker::Epoch::from(2));
    assert_eq!(broker.stats().buffered_bytes, 0);
    drop((streams, broker));
    assert_eq!(live_bytes(), before, "{name}: all is given back");
}

/// Whichever form is encoded first, what remains cached is counted to the byte.
fn what_is_cached_counts_to_the_byte() {
    for events in [1, 2, 10, 70] {
        let broker = Broker::<String>::builder().max_bytes(BOUND).weigher(weigh).build().expect("a bound");
        let mut all = broker.subscribe(Request::new()).expect("open");
        let mut narrow = broker.subscribe(Request::new().term(Term::key("key-0").expect("a key"))).expect("open");
        for index in 1..=6 {
            broker.publish(index, batch(index, events)).expect("rising");
            let (whole, part) = (all.try_recv().expect("buffered"), narrow.try_recv().expect("buffered"));
            let mut asks: [(&str, &dyn Fn()); 4] = [
                ("whole", &|| drop(whole.frame())),
                ("whole with a token", &|| drop(whole.frame_with_token())),
                ("part", &|| drop(part.frame())),
                ("part with a token", &|| drop(part.frame_with_token())),
            ];
            // In several orders, and each twice.
            asks.rotate_left(usize::try_from(index).expect("small") % 4);
            for (name, ask) in asks.into_iter().chain(asks) {
                let before = (live_bytes(), broker.stats().buffered_bytes);
                ask();
                let (live, counted) = (live_bytes() - before.0, broker.stats().buffered_bytes - before.1);
                assert_eq!(live, counted, "{name} of {events} events");
            }
        }
    }
}

/// What an event's filter keys take.
fn weigh_keys(event: &Event<u64>) -> u64 {
    size_of_val(event.filter_keys()) as u64
}

/// An event can have any number of filter keys, and each may be a term.
fn links_count() {
    const READERS: usize = 2_000;
    let broker =
        Broker::<u64>::builder().max_batches(100_000).max_bytes(BOUND).weigher(weigh_keys).build().expect("bounds");
    let keys: Vec<Key> = (0..READERS).map(|number| Key::from(format!("key-{number}"))).collect();
    let open = |number: usize| {
        let key = keys.get(number).cloned().expect("one of them");
        broker.subscribe(Request::new().term(Term::key(key).expect("a key")).namespace("*")).expect("open")
    };
    let readers: Vec<Subscription<u64>> = (0..READERS).map(open).collect();
    let before = live_bytes();
    for index in 1..=200 {
        // Few and many events per batch: links name the matching events in two ways.
        let events = if index % 2 == 0 { 1 } else { 100 };
        let event = |number| {
            let filter_keys = if number == 0 { &keys[..] } else { &[] };
            Event::new(Topic::from_static("Job"), EventType::from_static("Changed"), Key::from_static("db"), number)
                .with_filter_keys(filter_keys.iter().cloned())
        };
        broker.publish(index, (0..events).map(event).collect::<Vec<_>>()).expect("rising");
        let (stats, live) = (broker.stats(), live_bytes() - before);
        assert!(stats.buffered_bytes <= BOUND, "{stats:?}");
        // The weigher does not count the event itself.
        let unseen = (stats.buffered_events + 100) * size_of::<Event<u64>>() as u64 * 9 / 8;
        let allowed = BOUND + BOUND / 8 + BESIDE + unseen;
        assert!(live <= allowed, "{live} bytes live, {allowed} allowed, {stats:?}");
    }
    assert!(broker.stats().buffered_batches < 20, "{:?}", broker.stats());
    drop(readers);
}
