//! Slow hooks delay only the operation that they are called for (G7).
//!
//! A channel takes the place of the delay, so nothing depends on the speed of the machine.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, LagPolicy, Lagged, Observer, Principal,
    Request, Start, Subscription, SubscriptionId,
};

use crate::common::{assert_empty, error_now, in_time, indexes_now, publish_all, who};

/// Where a hook waits until the test releases it.
struct Turnstile {
    arrived: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Turnstile {
    /// The turnstile, a signal that a hook has arrived, and what releases all on drop.
    fn new() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let (arrived, arrivals) = channel();
        let (release, go_on) = channel();
        (Arc::new(Self { arrived, go_on: Mutex::new(go_on) }), arrivals, release)
    }

    fn pass(&self) {
        // If the other side is gone, nothing is held.
        let _ = self.arrived.send(());
        let _ = self.go_on.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
}

/// Performs the operations that must not be delayed: publish, read, subscribe, announce, count, leave.
fn works_meanwhile(broker: &Broker<u64>, other: &mut Subscription<u64>) {
    let latest = broker.latest_index();
    publish_all(broker, latest + 1..=latest + 3);
    assert_eq!(indexes_now(other), [latest + 1, latest + 2, latest + 3]);
    let mut fresh = broker.subscribe(Request::new().start(Start::Latest)).expect("open");
    broker.access_changed(AccessChange::Policy("nobody's".into()));
    broker.tick();
    assert!(broker.stats().subscriptions >= 2);
    publish_all(broker, [latest + 4]);
    assert_eq!((indexes_now(&mut fresh), indexes_now(other)), (vec![latest + 4], vec![latest + 4]));
}

/// Holds the principal "slow" at its hooks, and no other.
struct Slow {
    turnstile: Arc<Turnstile>,
    answers: bool,
}

impl Authorizer<u64> for Slow {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        if self.answers && request.principal().id() == "slow" {
            self.turnstile.pass();
        }
        Ok(Grant::all().resting_on_policy("readers"))
    }

    fn permits(&self, principal: &Principal, _: &Event<u64>) -> bool {
        if !self.answers && principal.id() == "slow" {
            self.turnstile.pass();
        }
        true
    }
}

fn slow_request() -> Request<u64> {
    Request::new().start(Start::Latest).principal(who("slow"))
}

fn other_of(broker: &Broker<u64>) -> Subscription<u64> {
    let mut other = broker.subscribe(Request::new().start(Start::Latest)).expect("open");
    assert_empty(&mut other);
    other
}

/// A slow answer delays the caller that subscribes.
#[test]
fn a_slow_authorizer_holds_up_only_the_subscriber() {
    in_time(|| {
        let (turnstile, arrivals, release) = Turnstile::new();
        let broker = Broker::builder().authorizer(Slow { turnstile, answers: true }).build().expect("defaults");
        let mut other = other_of(&broker);
        let subscriber = thread::spawn({
            let broker = broker.clone();
            move || broker.subscribe(slow_request()).expect("open")
        });
        arrivals.recv().expect("it is being asked");
        works_meanwhile(&broker, &mut other);
        drop(release);
        let mut slow = subscriber.join().expect("opened");
        publish_all(&broker, [100]);
        assert_eq!(indexes_now(&mut slow), [100]);
    });
}

/// A slow answer delays the reader whose access is re-checked.
#[test]
fn a_slow_authorizer_holds_up_only_the_reader_that_it_decides_about() {
    in_time(|| {
        let (turnstile, arrivals, release) = Turnstile::new();
        let broker = Broker::builder().authorizer(Slow { turnstile, answers: true }).build().expect("defaults");
        let mut other = other_of(&broker);
        release.send(()).expect("the turnstile exists");
        let mut slow = broker.subscribe(slow_request()).expect("open");
        arrivals.recv().expect("it was asked");
        broker.access_changed(AccessChange::Token("slow".into()));
        publish_all(&broker, [100]);
        assert_eq!(indexes_now(&mut other), [100]);
        let reader = thread::spawn(move || slow.recv().expect("allowed").index());
        arrivals.recv().expect("it is being asked again");
        works_meanwhile(&broker, &mut other);
        drop(release);
        assert_eq!(reader.join().expect("it read on"), 100);
    });
}

/// A slow check of an event, or a slow predicate, delays its own reader.
#[test]
fn a_slow_filter_of_events_holds_up_only_its_reader() {
    for by_predicate in [false, true] {
        in_time(move || {
            let (turnstile, arrivals, release) = Turnstile::new();
            let rules = Slow { turnstile: Arc::clone(&turnstile), answers: by_predicate };
            let broker = Broker::builder().authorizer(rules).build().expect("defaults");
            let mut other = other_of(&broker);
            let mut slow = if by_predicate {
                let pass = move |_: &Event<u64>| {
                    turnstile.pass();
                    true
                };
                broker.subscribe(Request::new().start(Start::Latest).filter(pass)).expect("open")
            } else {
                broker.subscribe(slow_request()).expect("open")
            };
            publish_all(&broker, [1]);
            assert_eq!(indexes_now(&mut other), [1]);
            let reader = thread::spawn(move || slow.recv().expect("open").index());
            arrivals.recv().expect("it is in its hook");
            works_meanwhile(&broker, &mut other);
            drop(release);
            assert_eq!(reader.join().expect("it read on"), 1);
        });
    }
}

/// Holds the observer of a loss.
struct SlowToHear(Arc<Turnstile>);

impl Observer for SlowToHear {
    fn on_lag(&self, _: SubscriptionId, _: &Lagged) {
        self.0.pass();
    }
}

/// An observer that is slow to handle one reader's loss delays that reader.
#[test]
fn a_slow_observer_holds_up_only_its_caller() {
    in_time(|| {
        let (turnstile, arrivals, release) = Turnstile::new();
        let broker =
            Broker::builder().max_batches(8).observer(SlowToHear(turnstile)).build().expect("a bound above zero");
        let request = Request::new().start(Start::Latest).lag_policy(LagPolicy::Continue);
        let mut slow = broker.subscribe(request).expect("open");
        publish_all(&broker, 1..=9);
        let mut other = other_of(&broker);
        let reader = thread::spawn(move || {
            let missed = error_now(&mut slow).lagged().map(|lagged| lagged.missed);
            (missed, slow.stats().missed)
        });
        arrivals.recv().expect("it is telling its loss");
        works_meanwhile(&broker, &mut other);
        drop(release);
        assert_eq!(reader.join().expect("it read on"), (Some(1), 1));
    });
}

/// A slow waker delays the publisher that wakes it, but holds no lock: another publisher and all readers continue.
#[test]
fn a_slow_waker_holds_no_lock() {
    struct SlowWake(Arc<Turnstile>);
    impl Wake for SlowWake {
        fn wake(self: Arc<Self>) {
            self.0.pass();
        }
    }
    in_time(|| {
        let (turnstile, arrivals, release) = Turnstile::new();
        let broker = Broker::<u64>::new();
        let mut other = other_of(&broker);
        let mut parked = broker.subscribe(Request::new().start(Start::Latest)).expect("open");
        let waker = Waker::from(Arc::new(SlowWake(turnstile)));
        assert!(parked.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        let publisher = thread::spawn({
            let broker = broker.clone();
            move || publish_all(&broker, [1])
        });
        arrivals.recv().expect("the publisher is waking");
        assert_eq!(indexes_now(&mut other), [1], "visible before any reader is woken");
        works_meanwhile(&broker, &mut other);
        assert_eq!(indexes_now(&mut parked), [1, 2, 3, 4, 5]);
        drop(release);
        publisher.join().expect("it published");
    });
}

/// A slow weigher or a slow drop of a payload delays its own publisher.
#[test]
fn a_slow_weigher_or_drop_holds_up_only_its_publisher() {
    struct Payload(Option<Arc<Turnstile>>);
    impl Drop for Payload {
        fn drop(&mut self) {
            if let Some(turnstile) = &self.0 {
                turnstile.pass();
            }
        }
    }
    let event = |payload| Event::new("Job", "Changed", "web", Payload(payload)).with_namespace("default");
    for by_weigher in [true, false] {
        in_time(move || {
            let (turnstile, arrivals, release) = Turnstile::new();
            let at_weigher = Arc::clone(&turnstile);
            let broker = Broker::<Payload>::builder()
                .max_batches(1)
                .max_bytes(100)
                .weigher(move |event| {
                    if by_weigher && event.key() == "heavy" {
                        at_weigher.pass();
                    }
                    1
                })
                .build()
                .expect("bounds above zero");
            let first = if by_weigher {
                Event::new("Job", "Changed", "heavy", Payload(None)).with_namespace("default")
            } else {
                broker.publish(1, [event(Some(turnstile))]).expect("rising");
                event(None)
            };
            let mut other = broker.subscribe(Request::new().start(Start::Latest)).expect("open");
            let publisher = thread::spawn({
                let broker = broker.clone();
                move || drop(broker.publish(2, [first]))
            });
            arrivals.recv().expect("the publisher is in the hook");
            drop(indexes_now(&mut other));
            broker.publish(2, [event(None)]).expect("another publisher is not blocked");
            assert_eq!(indexes_now(&mut other), [2]);
            drop(release);
            publisher.join().expect("it went on");
        });
    }
}
