//! The buffer and slow readers: what is retained, who is notified of a loss, who waits for whom.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use event_broker::{Broker, Event, LagPolicy, Observer, RecvError, Request, Start, SubscriptionId, TryRecvError};

use crate::common::{
    WakeCount, asks, assert_empty, assert_end, broker_of, error_now, event, in_time, indexes_now, job, publish_all,
};

/// A buffer of 100 holds 100, not 101, and not a power of two (semantics 5).
#[test]
fn a_buffer_of_100_holds_100() {
    for bound in [1, 2, 3, 100, 129] {
        let broker = broker_of(bound);
        publish_all(&broker, 1..=300);
        let stats = broker.stats();
        assert_eq!((stats.buffered_batches, stats.evicted_batches), (bound, 300 - bound));
        let mut reader = broker.subscribe(Request::new()).expect("open");
        assert_eq!(indexes_now(&mut reader), (301 - bound..=300).collect::<Vec<_>>());
    }
}

/// Large commits are bounded too: by events, and by bytes (semantics 5).
#[test]
fn large_commits_are_bounded_by_events_and_bytes() {
    let commit = |events: usize| (0..events).map(|_| job("web")).collect::<Vec<_>>();
    let broker = Broker::<u64>::builder().max_events(10).build().expect("bounds above zero");
    for (index, events) in [(1, 4), (2, 4), (3, 2), (4, 3)] {
        broker.publish(index, commit(events)).expect("rising");
    }
    assert_eq!((broker.stats().oldest_index, broker.stats().buffered_events), (Some(2), 9));
    broker.publish(5, commit(1_000)).expect("rising");
    assert_eq!((broker.stats().oldest_index, broker.stats().buffered_events), (Some(5), 1_000), "the newest stays");

    let weigh = |event: &Event<u64>| event.filter_keys().len() as u64;
    let broker = Broker::<u64>::builder().max_bytes(5).weigher(weigh).build().expect("bounds above zero");
    for index in 1..=3 {
        broker.publish(index, [job("web").with_filter_keys(["a", "b"])]).expect("rising");
    }
    assert_eq!((broker.stats().oldest_index, broker.stats().buffered_bytes), (Some(2), 4));
}

/// What is alive of a broker's batches: batches, events and weights.
type Alive = Arc<Mutex<[u64; 3]>>;

struct Counted {
    alive: Alive,
    counts: [u64; 3],
}

impl Counted {
    fn new(alive: &Alive, counts: [u64; 3]) -> Self {
        std::iter::zip(&mut *alive.lock().expect("sound"), counts).for_each(|(sum, count)| *sum += count);
        Self { alive: Arc::clone(alive), counts }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        std::iter::zip(&mut *self.alive.lock().expect("sound"), self.counts).for_each(|(sum, count)| *sum -= count);
    }
}

/// Evicted and not freed yet is at most an eighth of each bound, also of tiny bounds and under mixed batches: of a
/// bound of one byte a batch of that weight used to stay beside others that weigh nothing (semantics 7).
#[test]
fn what_is_evicted_is_at_most_an_eighth_of_each_bound() {
    let sizes = || [1_u64, 3, 1, 1, 9, 2, 1, 1, 1, 4].into_iter().cycle();
    let weights = || [1_u64, 0, 1, 0, 0, 7, 2, 0, 11, 1, 1, 30, 5].into_iter().cycle();
    for bounds @ [batches, events, bytes] in [
        [64, 1_000, 1],
        [1, 1, 1],
        [7, 8, 9],
        [8, 20, 64],
        [9, 100, 7],
        [33, 64, 1_000],
        [100, u64::MAX, 100],
        [100, u64::MAX, u64::MAX],
        [300, 300, 300],
    ] {
        let mut builder = Broker::<Counted>::builder().max_batches(batches);
        if events != u64::MAX {
            builder = builder.max_events(events);
        }
        if bytes != u64::MAX {
            builder = builder.max_bytes(bytes).weigher(|event| event.payload().counts[2]);
        }
        let broker = builder.build().expect("bounds above zero");
        let alive = Alive::default();
        for ((index, size), weight) in (1..=1_000).zip(sizes()).zip(weights()) {
            let counted = |place| if place == 0 { [1, 1, weight] } else { [0, 1, 0] };
            let events =
                (0..size).map(|place| Event::new("Job", "Changed", "web", Counted::new(&alive, counted(place))));
            broker.publish(index, events.collect::<Vec<_>>()).expect("rising");
            let stats = broker.stats();
            let held = [stats.buffered_batches, stats.buffered_events, stats.buffered_bytes];
            let alive = *alive.lock().expect("sound");
            let bounded = bounds.into_iter().zip(alive).zip(held).filter(|((bound, _), _)| *bound != u64::MAX);
            for ((bound, alive), held_of_it) in bounded {
                let evicted = alive - held_of_it;
                assert!(evicted <= bound / 8, "{evicted} evicted of {held:?} held, bounds {bounds:?}, batch {index}");
            }
        }
        drop(broker);
        assert_eq!(*alive.lock().expect("sound"), [0; 3]);
    }
}

/// A stalled reader keeps nothing alive: evicted batches are dropped, however far behind it is (semantics 7).
#[test]
fn a_stalled_reader_keeps_no_batch() {
    let broker = Broker::<Arc<()>>::builder().max_batches(8).build().expect("a bound above zero");
    let alive = Arc::new(());
    let publish = |index| {
        broker.publish(index, [Event::new("Job", "Changed", "web", Arc::clone(&alive))]).expect("rising");
    };
    let mut stalled = broker.subscribe(Request::new()).expect("open");
    publish(1);
    let kept = stalled.recv().expect("one");
    for index in 2..=1_000 {
        publish(index);
    }
    // The retention, an eighth of it, what the user keeps, and this handle.
    assert!(Arc::strong_count(&alive) <= 8 + 1 + 1 + 1, "{}", Arc::strong_count(&alive));
    drop(kept);
    assert!(Arc::strong_count(&alive) <= 8 + 1 + 1);
    drop(broker);
    drop(stalled);
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// A reader at the oldest batch has lost nothing and is not notified; one batch later it is (semantics 22).
#[test]
fn a_reader_at_the_edge_has_lost_nothing() {
    let broker = broker_of(3);
    let reader = || broker.subscribe(Request::new().start(Start::Latest)).expect("open");
    let mut edge = reader();
    publish_all(&broker, 1..=3);
    assert_eq!(indexes_now(&mut edge), [1, 2, 3]);
    publish_all(&broker, 4..=6);
    let mut beyond = reader();
    assert_eq!(indexes_now(&mut edge), [4, 5, 6], "the buffer is full of what it has not read, and nothing is lost");
    publish_all(&broker, 7..=10);
    assert_eq!(error_now(&mut beyond).lagged().expect("overtaken").missed, 1);
}

/// A loss is data: how many, which, and where reading resumes; a loop that stops on errors can distinguish it from an
/// end (semantics 22).
#[test]
fn a_loss_is_counted_and_no_silent_end() {
    let broker = broker_of(2);
    let asked = |policy| broker.subscribe(Request::new().start(Start::Latest).lag_policy(policy)).expect("open");
    let (mut closing, mut going_on) = (asked(LagPolicy::Close), asked(LagPolicy::Continue));
    publish_all(&broker, [3, 5, 5, 9, 12]);
    let error = error_now(&mut going_on);
    let lagged = error.lagged().expect("overtaken").clone();
    assert_eq!((lagged.missed, lagged.from, lagged.through, lagged.resumes_at), (3, 0, 5, 9));
    assert!(!error.is_terminal());
    assert_eq!(indexes_now(&mut going_on), [9, 12]);
    assert_eq!(going_on.stats().missed, 3);
    let end = error_now(&mut closing);
    assert_eq!(end.lagged().map(|lagged| lagged.missed), Some(3));
    assert_end(&mut closing, &end);
}

/// A read that does not wait reports a loss too (semantics 22).
#[test]
fn reads_that_do_not_wait_report_a_loss() {
    let broker = broker_of(1);
    let open = || broker.subscribe(Request::new().start(Start::Latest)).expect("open");
    let (mut tried, mut drained) = (open(), open());
    publish_all(&broker, 1..=2);
    assert!(matches!(tried.try_recv(), Err(TryRecvError::Recv(RecvError::Lagged(_)))));
    assert!(matches!(drained.drain(), Err(RecvError::Lagged(_))));
}

/// The capacity is what was requested, and so is the lag of a reader (semantics 5, 27).
#[test]
fn lag_is_counted_in_what_was_asked_for() {
    let broker = broker_of(100);
    let mut reader = broker.subscribe(Request::new().start(Start::Latest)).expect("open");
    publish_all(&broker, 1..=100);
    assert_eq!(reader.stats().lag, 100);
    assert_eq!(indexes_now(&mut reader).len(), 100);
    assert_eq!(reader.stats().lag, 0);
}

/// A publish wakes the readers that it matches, and no others.
#[test]
fn a_publish_wakes_only_the_readers_that_it_concerns() {
    let broker = broker_of(100);
    let mut readers: Vec<_> = (0..1_000)
        .map(|n| (broker.subscribe(asks("Job", &format!("job-{n}"))).expect("open"), WakeCount::new()))
        .collect();
    for (reader, (_, waker)) in &mut readers {
        assert!(reader.poll_recv(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    broker.publish(1, [job("job-7"), job("nobody"), event("Node", "job-8")]).expect("the first");
    let woken: Vec<_> = (0..).zip(&readers).filter(|(_, (_, (wakes, _)))| wakes.get() > 0).map(|(n, _)| n).collect();
    assert_eq!(woken, [7]);
    assert_eq!(broker.stats().wakeups, 1);
}

/// A stuck reader stalls no one: no publisher, no reader, no subscriber (G7).
#[test]
fn one_stuck_reader_stalls_nobody() {
    in_time(|| {
        let broker = broker_of(4);
        let (stuck, is_stuck) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut reader = broker
            .subscribe(Request::new().filter(move |_| {
                stuck.send(()).expect("the test waits for it");
                released.recv().is_err()
            }))
            .expect("open");
        publish_all(&broker, [1]);
        let stuck = thread::spawn(move || reader.try_recv().map(|delivery| delivery.index()));
        is_stuck.recv().expect("it is in its predicate");
        publish_all(&broker, 2..=100);
        let mut other = broker.subscribe(Request::new()).expect("open");
        assert_eq!(indexes_now(&mut other), [97, 98, 99, 100]);
        assert_eq!(broker.stats().published_batches, 100);
        drop(release);
        assert_eq!(stuck.join().expect("it ends"), Ok(1));
    });
}

/// Payloads are dropped with no lock held: a drop may use the broker (semantics 19).
#[test]
fn values_are_not_dropped_under_a_lock() {
    struct Reenters(Mutex<Option<Broker<Self>>>, mpsc::Sender<u64>);
    impl Drop for Reenters {
        fn drop(&mut self) {
            if let Some(broker) = self.0.lock().ok().and_then(|mut broker| broker.take()) {
                drop(broker.subscribe(Request::new()).expect("open"));
                self.1.send(broker.stats().evicted_batches).expect("the test waits for it");
            }
        }
    }
    in_time(|| {
        let broker = Broker::<Reenters>::builder().max_batches(1).build().expect("a bound above zero");
        let (dropped, seen) = mpsc::channel();
        for index in 1..=20 {
            let payload = Reenters(Mutex::new(Some(broker.clone())), dropped.clone());
            broker.publish(index, [Event::new("Job", "Changed", "web", payload)]).expect("rising");
        }
        assert!(seen.try_iter().count() >= 18, "all but the newest, and at most an eighth more");
        // The last payload holds the broker that holds it.
        broker.reset(20, broker.epoch());
    });
}

/// An observer is notified of a loss with no lock held (semantics 19, 27).
#[test]
fn a_loss_is_reported_outside_the_locks() {
    struct Asks(Mutex<Option<Broker<u64>>>);
    impl Observer for Asks {
        fn on_lag(&self, _: SubscriptionId, _: &event_broker::Lagged) {
            if let Some(broker) = self.0.lock().ok().and_then(|mut broker| broker.take()) {
                broker.publish(100, [job("web")]).expect("rising");
            }
        }
    }
    in_time(|| {
        let observer = Arc::new(Asks(Mutex::new(None)));
        let broker = Broker::builder().max_batches(2).observer(Arc::clone(&observer)).build().expect("bounds");
        let mut reader =
            broker.subscribe(Request::new().start(Start::Latest).lag_policy(LagPolicy::Continue)).expect("open");
        publish_all(&broker, 1..=3);
        *observer.0.lock().expect("free") = Some(broker.clone());
        assert!(error_now(&mut reader).lagged().is_some());
        // Batches published meanwhile may have evicted the oldest again; then that is reported as well.
        let rest = match reader.try_recv() {
            Err(TryRecvError::Recv(RecvError::Lagged(lagged))) => lagged.missed,
            other => panic!("2 was lost while the loss of 1 was reported, got {other:?}"),
        };
        assert_eq!((rest, indexes_now(&mut reader)), (1, vec![3, 100]));
        assert_empty(&mut reader);
    });
}

/// What is evicted and not freed is at most an eighth of the bound, in whatever it is counted, and is dropped with no
/// lock held, however much one commit evicts (semantics 7 and 19, G6).
#[test]
fn what_is_evicted_and_not_dropped_is_at_most_an_eighth_of_each_bound() {
    use std::sync::Weak;
    use std::sync::atomic::{AtomicU64, Ordering};

    const BOUND: u64 = 800;
    struct Weighed(u64, Arc<AtomicU64>, Weak<dyn Fn() + Send + Sync>);
    impl Drop for Weighed {
        fn drop(&mut self) {
            self.1.fetch_sub(self.0, Ordering::Relaxed);
            if let Some(use_broker) = self.2.upgrade() {
                use_broker();
            }
        }
    }
    in_time(|| {
        // Light ones, heavy ones that evict many segments at once, and some of each.
        let weights: [fn(u64) -> u64; 4] =
            [|n| 1 + n % 3, |n| 90 + n % 8, |n| if n % 40 == 0 { 700 } else { 1 + n % 30 }, |n| 1 + n * n % 97];
        for (by_bytes, weights) in [true, false].into_iter().flat_map(|by| weights.map(|weights| (by, weights))) {
            let builder = Broker::<Weighed>::builder().max_batches(1_000_000);
            let builder = if by_bytes { builder.max_bytes(BOUND) } else { builder.max_events(BOUND) };
            let broker = builder.weigher(|event| event.payload().0).build().expect("bounds above zero");
            let live = Arc::<AtomicU64>::default();
            let weak = broker.downgrade();
            let use_broker: Arc<dyn Fn() + Send + Sync> =
                Arc::new(move || assert!(weak.upgrade().is_none_or(|broker| broker.stats().buffered_batches > 0)));
            for index in 1..=2_000 {
                let weight = weights(index);
                live.fetch_add(weight, Ordering::Relaxed);
                let parts = if by_bytes { vec![weight] } else { vec![1; usize::try_from(weight).expect("small")] };
                let payload = |part| Weighed(part, Arc::clone(&live), Arc::downgrade(&use_broker));
                let events: Vec<_> =
                    parts.into_iter().map(|part| Event::new("Job", "Changed", "web", payload(part))).collect();
                broker.publish(index, events).expect("rising");
                let live = live.load(Ordering::Relaxed);
                assert!(live <= BOUND + BOUND / 8, "{live} after {index}, by bytes: {by_bytes}");
            }
        }
    });
}

/// A buffer that is bounded by events closes segments before they are full; a window continues in the next one
/// regardless, wherever it begins and however its batches grow and shrink (semantics 5, 20).
#[test]
fn a_window_goes_on_after_segments_that_were_closed_early() {
    let broker = Broker::<u64>::builder().max_batches(1_000).max_events(400).build().expect("bounds above zero");
    let mut reader = broker.subscribe(Request::new().namespace("*")).expect("open");
    let sizes = (1..=600_u64).map(|index| usize::try_from(1 + (index * index / 7) % 23).expect("small"));
    for (index, size) in (1..).zip(sizes) {
        broker.publish(index, (0..size).map(|_| job("web")).collect::<Vec<_>>()).expect("rising");
        if index % 17 == 0 {
            let mut read = 0;
            for item in &mut reader.drain().expect("not overtaken") {
                assert_eq!(item.index(), index - 16 + read);
                read += 1;
            }
            assert_eq!(read, 17, "a window of all that was published since");
        }
    }
    let mut late = broker.subscribe(Request::new().namespace("*")).expect("open");
    let oldest = broker.stats().oldest_index.expect("a buffer that is not empty");
    let indexes: Vec<_> = late.drain().expect("open").iter().map(|item| item.index()).collect();
    assert_eq!(indexes, (oldest..=600).collect::<Vec<_>>());
}
