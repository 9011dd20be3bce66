//! Calls of the authorizer that never settle, and grants that expire.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Context;
use std::thread;
use std::time::Duration;

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Epoch, Grant, LagPolicy, RecvError, RecvTimeoutError,
    Request, Start, SubscribeError, SubscriptionHandle, TryRecvError, WeakBroker,
};

use crate::common::{
    ManualClock, Rules, WakeCount, asks, assert_empty, assert_revoked, error_now, in_time, indexes_now, publish_all,
    ruled_and_timed_by, ruled_by, who,
};

/// An authorizer during whose calls access changes: by itself, or on another thread, each time.
struct Restless {
    broker: OnceLock<WeakBroker<u64>>,
    change: Mutex<Option<AccessChange>>,
    /// What its answers rest on.
    policy: Mutex<&'static str>,
    on_another_thread: bool,
    asked: AtomicUsize,
}

impl Restless {
    fn broker(on_another_thread: bool) -> (Arc<Self>, Broker<u64>) {
        let (broker, change, asked) = (OnceLock::new(), Mutex::new(None), AtomicUsize::new(0));
        let restless = Arc::new(Self { broker, change, policy: Mutex::new("mine"), on_another_thread, asked });
        let broker = Broker::builder().authorizer(Arc::clone(&restless)).build().expect("defaults");
        assert!(restless.broker.set(broker.downgrade()).is_ok());
        (restless, broker)
    }

    fn change(&self, change: Option<AccessChange>) {
        *self.change.lock().expect("no panic") = change;
    }

    fn rests_on(&self, policy: &'static str) {
        *self.policy.lock().expect("no panic") = policy;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Authorizer<u64> for Restless {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let change = self.change.lock().expect("no panic").clone();
        if let (Some(change), Some(broker)) = (change, self.broker.get().and_then(WeakBroker::upgrade)) {
            if self.on_another_thread {
                thread::scope(|scope| _ = scope.spawn(|| broker.access_changed(change)));
            } else {
                broker.access_changed(change);
            }
        }
        Ok(Grant::all().resting_on_policy(*self.policy.lock().expect("no panic")))
    }
}

/// Changes for others do not make an answer stale. [17]
#[test]
fn changes_for_others_are_no_reason_to_ask_again() {
    in_time(|| {
        let (restless, broker) = Restless::broker(true);
        let others = [
            AccessChange::Token("other".into()),
            AccessChange::Policy("theirs".into()),
            AccessChange::Role("mine".into()),
            AccessChange::TokenDeleted("gone".into()),
        ];
        for change in others {
            restless.change(Some(change));
            let asked = restless.asked();
            let mut reader =
                broker.subscribe(Request::new().principal(who("ann")).start(Start::Latest)).expect("allowed");
            assert_eq!(restless.asked() - asked, 1);
            publish_all(&broker, [broker.latest_index() + 1]);
            broker.access_changed(AccessChange::Token("ann".into()));
            assert_eq!(indexes_now(&mut reader).len(), 1);
            assert_eq!(restless.asked() - asked, 2);
        }
    });
}

/// An authorizer that records in the token when it was last used changes it each time it is asked: that settles. [17]
#[test]
fn an_authorizer_that_changes_the_token_itself_is_not_asked_for_ever() {
    in_time(|| {
        let (restless, broker) = Restless::broker(false);
        restless.change(Some(AccessChange::Token("ann".into())));
        let mut reader = broker.subscribe(Request::new().principal(who("ann"))).expect("allowed");
        assert!(restless.asked() <= 8, "asked {} times", restless.asked());
        publish_all(&broker, [1]);
        broker.access_changed(AccessChange::Token("ann".into()));
        let before = restless.asked();
        assert_eq!(indexes_now(&mut reader), [1]);
        assert!(restless.asked() - before <= 8, "asked {} times", restless.asked() - before);
    });
}

/// The basis of the answer changes each time that it is asked for: opening fails with a typed error, a read keeps its
/// deadline, one that does not wait returns, a task yields, and nothing is delivered. When the changes stop, everything
/// is as before. [17, 20]
#[test]
fn access_that_never_settles_holds_nobody_up() {
    in_time(|| {
        for change in [AccessChange::Policy("mine".into()), AccessChange::Token("ann".into()), AccessChange::Everyone] {
            let (restless, broker) = Restless::broker(true);
            let mut reader = broker.subscribe(Request::new().principal(who("ann"))).expect("allowed");
            let bell = reader.doorbell();
            publish_all(&broker, [1]);
            restless.change(Some(change));
            broker.access_changed(AccessChange::Everyone);
            let refused = broker.subscribe(Request::new().principal(who("ann"))).map(drop);
            assert!(matches!(refused, Err(SubscribeError::AccessUnsettled { asked: 2..=64 })), "{refused:?}");
            let timed_out = reader.recv_timeout(Duration::from_millis(5)).expect_err("nothing passes the fence");
            assert_eq!(timed_out, RecvTimeoutError::Timeout);
            while bell.try_recv().is_ok() {}
            let asked = restless.asked();
            assert_eq!(reader.try_recv().map(drop), Err(TryRecvError::Empty));
            assert!(restless.asked() - asked <= 64, "asked {} times", restless.asked() - asked);
            bell.try_recv().expect("there may be something to read");
            let (_, waker) = WakeCount::new();
            assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
            assert!(reader.poll_readable(&mut Context::from_waker(&waker)).is_pending());
            while bell.try_recv().is_ok() {}
            assert_eq!(reader.drain().expect("it has not ended").iter().count(), 0);
            bell.try_recv().expect("there may be something to read");
            restless.change(None);
            assert_eq!(indexes_now(&mut reader), [1]);
        }
    });
}

/// A reader that waits for access that never settles can still be ended, and does not ask in a busy loop. [17, 23]
#[test]
fn a_reader_of_access_that_never_settles_can_be_ended() {
    type End = fn(&Broker<u64>, &SubscriptionHandle<u64>);
    let ends: [(End, &str); 4] = [
        (|_, handle| handle.cancel(), "cancelled"),
        (|broker, _| broker.reset(50, Epoch::random()), "reset"),
        (|broker, _| broker.close(), "revoked"),
        (|broker, _| broker.access_changed(AccessChange::TokenDeleted("ann".into())), "revoked"),
    ];
    for (end, name) in ends {
        in_time(move || {
            let (restless, broker) = Restless::broker(true);
            let mut reader = broker.subscribe(Request::new().principal(who("ann"))).expect("allowed");
            let handle = reader.handle();
            publish_all(&broker, [1]);
            restless.change(Some(AccessChange::Policy("mine".into())));
            broker.access_changed(AccessChange::Everyone);
            let reading = thread::spawn(move || reader.recv().map(drop).expect_err("it is ended").name());
            while restless.asked() < 40 {
                thread::yield_now();
            }
            end(&broker, &handle);
            assert_eq!(reading.join().expect("no panic"), name);
        });
    }
}

/// A read that returns because access never settles leaves the bell ringing, so the host reads again. Only the policy
/// of the new answer changes, on which the grant does not rest, so nothing else rings. [17, 27]
#[test]
fn a_read_that_access_has_not_settled_for_leaves_the_bell_ringing() {
    let (restless, broker) = Restless::broker(true);
    restless.rests_on("of old");
    let mut reader = broker.subscribe(asks("Job", "web").principal(who("ann"))).expect("allowed");
    let bell = reader.doorbell();
    restless.rests_on("mine");
    restless.change(Some(AccessChange::Policy("mine".into())));
    broker.access_changed(AccessChange::Everyone);
    publish_all(&broker, [1]);
    for _ in 0..3 {
        bell.try_recv().expect("there is something to look at");
        assert_empty(&mut reader);
    }
    restless.change(None);
    bell.try_recv().expect("it rings still");
    assert_eq!(indexes_now(&mut reader), [1]);
}

/// Two readers of one token, whose every use the authorizer records: neither wakes the other for ever, and both
/// continue to read. [17]
#[test]
fn readers_of_a_token_that_the_authorizer_notes_do_not_wake_each_other_for_ever() {
    let (restless, broker) = Restless::broker(false);
    let mut readers: Vec<_> =
        (0..2).map(|_| broker.subscribe(asks("Job", "web").principal(who("ann"))).expect("allowed")).collect();
    restless.change(Some(AccessChange::Token("ann".into())));
    let (woken, waker) = WakeCount::new();
    let mut poll = |until: usize| {
        let (asked, mut seen, mut read) = (restless.asked(), usize::MAX, 0);
        while woken.get() != seen {
            seen = woken.get();
            for reader in &mut readers {
                read += usize::from(reader.poll_recv(&mut Context::from_waker(&waker)).is_ready());
            }
            assert!(restless.asked() - asked < 64, "they ask and ask");
        }
        assert_eq!(read, until);
    };
    poll(0);
    broker.access_changed(AccessChange::Token("ann".into()));
    poll(0);
    publish_all(&broker, [1]);
    poll(2);
}

/// A large batch is delivered although access changes while each part of it is filtered. [17, 20]
#[test]
fn a_large_batch_is_delivered_although_access_changes_in_each_part() {
    let (restless, broker) = Restless::broker(false);
    let request = || Request::new().principal(who("ann")).filter(|_| true);
    let mut readers: Vec<_> = (0..2).map(|_| broker.subscribe(request()).expect("allowed")).collect();
    restless.change(Some(AccessChange::Token("ann".into())));
    broker.access_changed(AccessChange::Token("ann".into()));
    let batch: Vec<_> = (0..5_000).map(|_| crate::common::job("web")).collect();
    broker.publish(1, batch).expect("rising");
    let (_, waker) = WakeCount::new();
    let mut polls = 0;
    while !readers.is_empty() {
        polls += 1;
        readers.retain_mut(|reader| reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        assert!(polls < 100, "nothing is delivered");
    }
}

/// If access changes in the middle of a large batch, the new grant holds for all of it, and the predicate, which may
/// keep state, is still called once for each event. [13, 15, 17, 20]
#[test]
fn a_large_batch_is_filtered_once_by_its_predicate_and_wholly_by_the_new_grant() {
    const EVENTS: u64 = 3_000;
    for narrowed in [false, true] {
        let grant = Arc::new(Mutex::new(Grant::all()));
        let rules = Rules::new({
            let grant = Arc::clone(&grant);
            move |_| Ok(grant.lock().expect("no panic").clone())
        });
        let broker = ruled_by(&rules);
        let mut seen = std::collections::HashSet::new();
        let request = Request::new().namespace("*").filter(move |event| seen.insert(*event.payload()));
        let mut reader = broker.subscribe(request).expect("allowed");
        let event = |number: u64| {
            let namespace = if number.is_multiple_of(2) { "default" } else { "prod" };
            event_broker::Event::new("Job", "JobRegistered", "web", number).with_namespace(namespace)
        };
        broker.publish(1, (0..EVENTS).map(event).collect::<Vec<_>>()).expect("rising");
        let (_, waker) = WakeCount::new();
        let mut poll = || reader.poll_recv(&mut Context::from_waker(&waker));
        assert!(poll().is_pending(), "a turn does not suffice");
        if narrowed {
            *grant.lock().expect("no panic") = Grant::namespaces(["default"]);
        }
        broker.access_changed(AccessChange::Everyone);
        let delivery = loop {
            if let std::task::Poll::Ready(delivery) = poll() {
                break delivery.expect("a delivery");
            }
        };
        let payloads: Vec<u64> = delivery.events().map(|event| *event.payload()).collect();
        assert!(payloads.iter().copied().eq((0..EVENTS).step_by(if narrowed { 2 } else { 1 })), "{}", payloads.len());
    }
}

/// Changes for others that the authorizer announces while it is asked wake them. [17]
#[test]
fn a_revocation_of_others_that_is_announced_while_asked_wakes_them() {
    let changes = [AccessChange::Policy("mine".into()), AccessChange::Token("bob".into()), AccessChange::Everyone];
    for change in changes {
        let (restless, broker) = Restless::broker(false);
        let mut bob = broker.subscribe(asks("Job", "web").principal(who("bob"))).expect("allowed");
        let (woken, waker) = WakeCount::new();
        assert!(bob.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        restless.change(Some(change));
        let ann = broker.subscribe(asks("Job", "web").principal(who("ann"))).expect("allowed");
        assert!(woken.get() > 0, "it sleeps although its access may have been revoked");
        drop(ann);
    }
}

/// A skip that is noticed before access is settled is counted as any other. [9, 22]
#[test]
fn a_skip_that_is_noticed_while_access_is_unsettled_is_counted() {
    let (restless, broker) = Restless::broker(true);
    let request = Request::new().principal(who("ann")).lag_policy(LagPolicy::Continue).start(Start::Latest);
    let mut reader = broker.subscribe(request).expect("allowed");
    publish_all(&broker, 1..=5);
    let place = broker.token().to_string().replace("-5-1", "-9-1").parse().expect("a token");
    broker.skip_to(place).expect("ahead");
    assert!(reader.poll_readable(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
    restless.change(Some(AccessChange::Policy("mine".into())));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(reader.drain().expect("it has not ended").iter().count(), 0);
    restless.change(None);
    let error = error_now(&mut reader);
    let lagged = error.lagged().expect("a loss");
    assert_eq!((lagged.missed, lagged.skipped, lagged.through), (5, true, 9));
}

/// Many events of one change in a batch are one change, and many changes that concern a reader wake it once. [17]
#[test]
fn a_batch_of_many_changes_wakes_each_reader_once() {
    struct Changes;

    impl Authorizer<u64> for Changes {
        fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
            Ok(Grant::all().resting_on_policy("p0").resting_on_policy("p1").resting_on_role("r0"))
        }

        fn changes(&self, event: &event_broker::Event<u64>, changes: &mut Vec<AccessChange>) {
            changes.push(AccessChange::Policy(event.key().as_str().into()));
            changes.push(AccessChange::Role("r0".into()));
        }
    }

    let broker = Broker::<u64>::builder().authorizer(Changes).build().expect("defaults");
    let mut reader = broker.subscribe(asks("Node", "*")).expect("allowed");
    let (woken, waker) = WakeCount::new();
    assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    let before = broker.stats().wakeups;
    let batch: Vec<_> =
        (0..1_000).map(|number| crate::common::job(if number % 2 == 0 { "p0" } else { "p1" })).collect();
    broker.publish(1, batch).expect("rising");
    assert_eq!((woken.get(), broker.stats().wakeups - before), (1, 1));
}

/// A deletion during a call of the authorizer is a denial, also of a token that the answer rests on beside the
/// principal's own, and although the authorizer made it itself. [17]
#[test]
fn a_deletion_while_asked_is_a_denial() {
    for id in ["ann", "t0"] {
        let deleted = AccessChange::TokenDeleted(id.into());
        let rules = Rules::new(|_| Ok(Grant::all().resting_on_token("t0")));
        let broker = Broker::<u64>::builder().authorizer(Arc::clone(&rules)).build().expect("defaults");
        let mut reader = broker.subscribe(Request::new().principal(who("ann"))).expect("allowed");
        let weak = broker.downgrade();
        rules.set(move |_| {
            weak.upgrade().expect("open").access_changed(deleted.clone());
            Ok(Grant::all().resting_on_token("t0"))
        });
        let asked = rules.asked();
        broker.access_changed(AccessChange::Token("ann".into()));
        assert_eq!(assert_revoked(&mut reader).reason(), "the token was deleted");
        let denied = broker.subscribe(Request::new().principal(who("ann"))).map(drop).expect_err("deleted");
        assert_eq!(denied.to_string(), "access denied: the token was deleted");
        assert_eq!(rules.asked() - asked, 2);
    }
}

fn clocked() -> (ManualClock, Arc<Rules>, Broker<u64>) {
    let (clock, rules) = (ManualClock::new(), Rules::new(|_| Ok(Grant::all())));
    let broker = ruled_and_timed_by(&rules, &clock);
    (clock, rules, broker)
}

/// A grant that has already expired opens nothing. At a re-check it is the end of the subscription by expiry. [15, 18]
#[test]
fn a_grant_that_has_expired_already_is_a_denial() {
    let (clock, rules, broker) = clocked();
    let over = clock.after(0);
    rules.set(move |_| Ok(Grant::all().expires_at(over)));
    let denied = broker.subscribe(asks("Job", "*")).map(drop).expect_err("it has expired");
    assert_eq!(denied, SubscribeError::Denied(Denial::new("access has expired already")));

    rules.set(|_| Ok(Grant::all()));
    let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed");
    publish_all(&broker, [1]);
    rules.set(move |_| Ok(Grant::all().expires_at(over)));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(error_now(&mut reader), RecvError::Expired);
}

/// A grant that was renewed in time is not ended by a tick before the reader has asked again: the clock and the newest
/// grant decide. [18]
#[test]
fn a_renewed_grant_outlives_a_tick() {
    let (clock, rules, broker) = clocked();
    let (first, second) = (clock.after(10), clock.after(20));
    rules.set(move |_| Ok(Grant::all().expires_at(first)));
    let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed");
    let mut other = broker.subscribe(asks("Job", "*").principal(who("ann"))).expect("allowed");
    rules.set(move |_| Ok(Grant::all().expires_at(second)));
    broker.access_changed(AccessChange::Token("anonymous".into()));
    clock.advance(Duration::from_secs(15));
    broker.tick();
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    assert_eq!(error_now(&mut other), RecvError::Expired, "its grant was not renewed");
    clock.advance(Duration::from_secs(10));
    assert_eq!(error_now(&mut reader), RecvError::Expired);
}

/// A grant that expired before any change is ended by a tick: a later change renews nothing. [18]
#[test]
fn a_grant_that_a_tick_has_ended_is_not_renewed() {
    let (clock, rules, broker) = clocked();
    let first = clock.after(10);
    rules.set(move |_| Ok(Grant::all().expires_at(first)));
    let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed");
    clock.advance(Duration::from_secs(15));
    broker.tick();
    publish_all(&broker, [1]);
    rules.set(|_| Ok(Grant::all()));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(error_now(&mut reader), RecvError::Expired);
}

/// A tick wakes the readers whose grants have expired, once for each grant. [18]
#[test]
fn a_tick_wakes_once_for_each_grant() {
    let (clock, rules, broker) = clocked();
    let first = clock.after(10);
    rules.set(move |_| Ok(Grant::all().expires_at(first)));
    let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed");
    let bell = reader.doorbell();
    bell.try_recv().expect("the first ring");
    assert_empty(&mut reader);
    broker.tick();
    assert!(bell.is_empty(), "it has not run out");
    clock.advance(Duration::from_secs(10));
    broker.tick();
    bell.try_recv().expect("it has");
    broker.tick();
    assert!(bell.is_empty(), "it was rung for");
    assert_eq!(error_now(&mut reader), RecvError::Expired);
}
