//! Panics during unwinding, and what futures and windows leave behind.

use std::panic::panic_any;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use event_broker::{
    AccessChange, Broker, Epoch, Event, Grant, Lagged, Observer, Request, Subscription, SubscriptionId,
};

use crate::common::{Rules, WakeCount, asks, assert_revoked, broker_of, indexes_now, job, panics, publish_all};

/// A payload of an event or of a panic, whose drop panics and is counted.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic_any(Bomb(Arc::clone(&self.0)));
    }
}

/// The same with another panic payload than itself, so that catching it does not panic again.
struct Cracker(Arc<AtomicUsize>);

impl Drop for Cracker {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("dropped");
    }
}

fn batch(dropped: &Arc<AtomicUsize>, events: usize) -> Vec<Event<Cracker>> {
    (0..events).map(|_| Event::new("Job", "Changed", "web", Cracker(Arc::clone(dropped)))).collect()
}

/// The payloads of one batch are dropped one by one by its last holder: all of them, and then the first panic
/// continues. Two panics used to abort the process. [19]
#[test]
fn all_payloads_of_a_batch_are_dropped_although_each_panics() {
    for events in [1, 2, 5] {
        // Evicted by the next batch.
        let dropped = Arc::new(AtomicUsize::new(0));
        let broker = Broker::<Cracker>::builder().max_batches(1).build().expect("a broker");
        broker.publish(1, batch(&dropped, events)).expect("rising");
        let evicting = panics(|| broker.publish(2, batch(&dropped, events)).expect("rising"));
        let closing = panics(|| drop(broker));
        assert!(evicting && closing, "the panics reach the thread that drops");
        assert_eq!(dropped.load(Ordering::SeqCst), 2 * events);

        // Kept in deliveries, several of which are dropped together.
        let dropped = Arc::new(AtomicUsize::new(0));
        let broker = Broker::<Cracker>::builder().max_batches(1).build().expect("a broker");
        let mut reader = broker.subscribe(Request::new()).expect("open");
        let mut kept = Vec::new();
        for index in 1..=3 {
            broker.publish(index, batch(&dropped, events)).expect("rising");
            kept.push(reader.try_recv().expect("the batch"));
        }
        assert!(panics(|| drop(kept)));
        assert!(panics(|| drop((reader, broker))));
        assert_eq!(dropped.load(Ordering::SeqCst), 3 * events);
    }
}

/// A batch that is not published, because the weigher panics, is dropped like any other. [19]
#[test]
fn a_weigher_that_panics_leaves_payloads_that_panic() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let broker = Broker::<Cracker>::builder().max_bytes(1).weigher(|_| panic!("heavy")).build().expect("a broker");
    assert!(panics(|| broker.publish(1, batch(&dropped, 3)).expect("never")));
    assert_eq!((dropped.load(Ordering::SeqCst), broker.stats().published_batches), (3, 0));
}

struct Explodes(Arc<AtomicUsize>);

impl Wake for Explodes {
    fn wake(self: Arc<Self>) {
        panic_any(Bomb(Arc::clone(&self.0)));
    }
}

/// A panic whose payload panics when it is dropped leaves no waker: all readers that are woken with it are woken. [19]
#[test]
fn a_panic_that_panics_when_dropped_stops_at_the_waker() {
    let (broker, exploded) = (broker_of(10), Arc::new(AtomicUsize::new(0)));
    let mut readers: Vec<Subscription<u64>> =
        (0..5).map(|_| broker.subscribe(asks("Job", "web")).expect("open")).collect();
    let (woken, waker) = WakeCount::new();
    let bomb = Waker::from(Arc::new(Explodes(Arc::clone(&exploded))));
    for (number, reader) in readers.iter_mut().enumerate() {
        let waker = if number % 2 == 0 { &bomb } else { &waker };
        assert!(reader.poll_recv(&mut Context::from_waker(waker)).is_pending());
    }
    publish_all(&broker, [1]);
    assert_eq!((exploded.load(Ordering::SeqCst), woken.get()), (3, 2));
    for reader in &mut readers {
        assert_eq!(indexes_now(reader), [1]);
    }
}

struct Clumsy(Arc<AtomicUsize>);

impl Observer for Clumsy {
    fn on_publish(&self, _: u64, _: usize) {
        panic_any(Bomb(Arc::clone(&self.0)));
    }

    fn on_evict(&self, _: u64, _: u64) {
        panic_any(Bomb(Arc::clone(&self.0)));
    }

    fn on_subscribe(&self, _: SubscriptionId) {
        panic_any(Bomb(Arc::clone(&self.0)));
    }

    fn on_lag(&self, _: SubscriptionId, _: &Lagged) {
        panic_any(Bomb(Arc::clone(&self.0)));
    }
}

/// The same of observers and of the authorizer at a re-check, which counts as a denial. [19]
#[test]
fn a_panic_that_panics_when_dropped_stops_at_the_hook() {
    let exploded = Arc::new(AtomicUsize::new(0));
    let rules = Rules::new(|_| Ok(Grant::all()));
    let broker = Broker::<u64>::builder().max_batches(1).observer(Clumsy(Arc::clone(&exploded)));
    let broker = broker.authorizer(Arc::clone(&rules)).build().expect("a broker");
    let mut reader = broker.subscribe(asks("Job", "web")).expect("open");
    let mut late = broker.subscribe(asks("Job", "web")).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    publish_all(&broker, [2]);
    assert!(late.try_recv().is_err(), "it was overtaken");
    assert_eq!(exploded.load(Ordering::SeqCst), 6);
    let bomb = Arc::clone(&exploded);
    rules.set(move |_| panic_any(Bomb(Arc::clone(&bomb))));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(assert_revoked(&mut reader).reason(), "the check of access failed");
}

/// A dropped future removes its waker, for every kind of future. [20]
#[test]
fn a_dropped_future_leaves_no_waker_behind() {
    let broker = broker_of(10);
    let mut reader = broker.subscribe(asks("Job", "web")).expect("open");
    let (woken, waker) = WakeCount::new();
    let context = &mut Context::from_waker(&waker);
    assert!(pin!(reader.readable()).poll(context).is_pending());
    assert!(!reader.handle().is_waiting());
    assert!(pin!(reader.recv_async()).poll(context).is_pending());
    assert!(!reader.handle().is_waiting());
    publish_all(&broker, [1]);
    assert_eq!((woken.get(), Arc::strong_count(&woken)), (0, 2), "the waker is not held any more");
}

/// An item that a window yielded counts as read, also if the window is leaked. [20]
#[test]
fn a_forgotten_window_has_read_what_it_yielded() {
    let requests: [fn() -> Request<u64>; 3] =
        [Request::new, || asks("Job", "web"), || Request::new().filter(|event| event.key() == "web")];
    for (request, taken) in requests.into_iter().flat_map(|request| (0..=20).map(move |taken| (request, taken))) {
        let broker = broker_of(100);
        let mut reader = broker.subscribe(request()).expect("open");
        for index in 1..=20 {
            broker.publish(index, [job("web"), job("web")]).expect("rising");
        }
        let mut window = reader.drain().expect("open");
        let yielded: Vec<u64> = window.iter().take(taken).map(|delivery| delivery.index()).collect();
        std::mem::forget(window);
        assert_eq!(yielded, (1..=taken as u64).collect::<Vec<_>>());
        let mut resumed = None;
        if taken % 2 == 0 {
            // Every way of reading finds this afterwards; some of it is evicted meanwhile.
            assert_eq!(indexes_now(&mut reader), (taken as u64 + 1..=20).collect::<Vec<_>>());
            resumed = Some(reader.token());
        } else {
            publish_all(&broker, 21..=25);
            let rest: Vec<u64> = reader.drain().expect("open").iter().map(|delivery| delivery.index()).collect();
            assert_eq!(rest, (taken as u64 + 1..=25).collect::<Vec<_>>());
        }
        if let Some(token) = resumed {
            assert_eq!(token.index(), 20);
        }
    }
}

/// The token and the statistics show it, also before the next read. [10, 20]
#[test]
fn a_forgotten_window_has_a_token_behind_what_it_yielded() {
    let requests: [fn() -> Request<u64>; 2] = [Request::new, || Request::new().filter(|event| event.key() == "web")];
    for request in requests {
        let broker = broker_of(100);
        let mut reader = broker.subscribe(request()).expect("open");
        publish_all(&broker, 1..=5);
        let mut window = reader.drain().expect("open");
        assert_eq!(window.iter().take(2).count(), 2);
        std::mem::forget(window);
        let mut resumed = broker.subscribe(request().start(event_broker::Start::After(reader.token()))).expect("open");
        assert_eq!(indexes_now(&mut resumed), [3, 4, 5]);
        assert_eq!(reader.try_recv().expect("the third").index(), 3);
        assert_eq!((reader.stats().batches, reader.stats().events), (3, 3));
        let mut resumed =
            broker.subscribe(request().start(event_broker::Start::After(reader.handle().token()))).expect("open");
        assert_eq!(indexes_now(&mut resumed), [4, 5]);
    }
}

/// What was evicted since the window was leaked is no loss to a reader that had read it. [20, 22]
#[test]
fn a_forgotten_window_loses_what_it_did_not_yield_and_no_more() {
    let broker = broker_of(4);
    let mut reader = broker.subscribe(Request::new()).expect("open");
    publish_all(&broker, 1..=4);
    let mut window = reader.drain().expect("open");
    assert_eq!(window.iter().take(2).count(), 2);
    std::mem::forget(window);
    publish_all(&broker, 5..=6);
    assert_eq!(indexes_now(&mut reader), [3, 4, 5, 6], "1 and 2 were read");
    let mut window = reader.drain().expect("open");
    assert_eq!(window.iter().count(), 0);
    std::mem::forget(window);
    publish_all(&broker, 7..=11);
    let lagged = crate::common::error_now(&mut reader).lagged().cloned().expect("overtaken");
    assert_eq!((lagged.missed, lagged.through), (1, 7));
}

/// Epochs that are drawn one after the other differ, and so do those of two forked processes. [10]
#[test]
fn random_epochs_differ() {
    let mut drawn: Vec<_> = (0..100).map(|_| Epoch::random()).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 100);
}
