//! Questions that never settle, and grants that run out.
//! What each answer means is tested in `access`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Grant, RecvError, RecvTimeoutError, Request,
    SubscribeError, TryRecvError, WeakBroker,
};

use crate::common::{
    Hands, Rules, asks, assert_empty, assert_revoked, error_now, in_time, indexes_now, publish_all, who,
};

/// Takes its time, and may announce a change of its own each time.
struct Slow {
    broker: OnceLock<WeakBroker<u64>>,
    takes: Duration,
    announces: Mutex<Option<AccessChange>>,
    asked: AtomicUsize,
}

impl Slow {
    fn broker(takes: Duration, announces: Option<AccessChange>) -> (Arc<Self>, Broker<u64>) {
        let (broker, announces) = (OnceLock::new(), Mutex::new(announces));
        let slow = Arc::new(Self { broker, takes, announces, asked: AtomicUsize::new(0) });
        let broker = Broker::builder().authorizer(Arc::clone(&slow)).build().expect("defaults");
        assert!(slow.broker.set(broker.downgrade()).is_ok());
        (slow, broker)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Authorizer<u64> for Slow {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        thread::sleep(self.takes);
        let announced = self.announces.lock().expect("no panic").clone();
        if let (Some(change), Some(broker)) = (announced, self.broker.get().and_then(WeakBroker::upgrade)) {
            broker.access_changed(change);
        }
        Ok(Grant::all().resting_on_policy("mine"))
    }
}

/// Changes of access on another thread, without pause.
fn churn<R>(broker: &Broker<u64>, change: impl Fn(u64) -> AccessChange + Sync, work: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                broker.access_changed(change(number));
                thread::yield_now();
            }
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// What changes for others makes nobody's answer stale. [17]
#[test]
fn changes_for_others_are_no_reason_to_ask_again() {
    in_time(|| {
        let (slow, broker) = Slow::broker(Duration::from_millis(3), None);
        let others = |number: u64| match number % 3 {
            0 => AccessChange::Token(format!("other {number}").into()),
            1 => AccessChange::Policy("theirs".into()),
            _ => AccessChange::TokenDeleted("gone".into()),
        };
        churn(&broker, others, || {
            let mut reader = broker.subscribe(Request::new().principal(who("ann"))).expect("allowed");
            assert_eq!(slow.asked(), 1);
            publish_all(&broker, [1]);
            broker.access_changed(AccessChange::Token("ann".into()));
            assert_eq!(indexes_now(&mut reader), [1]);
            assert_eq!(slow.asked(), 2);
        });
    });
}

/// An authorizer that notes in the token when it was last used changes it each time it is asked: that settles. [17]
#[test]
fn an_authorizer_that_changes_the_token_itself_is_not_asked_for_ever() {
    in_time(|| {
        let (slow, broker) = Slow::broker(Duration::ZERO, Some(AccessChange::Token("ann".into())));
        let mut reader = broker.subscribe(Request::new().principal(who("ann"))).expect("allowed");
        assert!(slow.asked() <= 8, "asked {} times", slow.asked());
        publish_all(&broker, [1]);
        broker.access_changed(AccessChange::Token("ann".into()));
        let before = slow.asked();
        assert_eq!(indexes_now(&mut reader), [1]);
        assert!(slow.asked() - before <= 16, "asked {} times", slow.asked() - before);
    });
}

/// What the answer rests on changes faster than it can be asked for: opening fails with a typed error, a read keeps its
/// deadline, one that does not wait comes back, and nothing is handed out. Once it is quiet, all is as before. [17, 20]
#[test]
fn access_that_never_settles_holds_nobody_up() {
    in_time(|| {
        let (_, broker) = Slow::broker(Duration::from_millis(1), None);
        let mut reader = broker.subscribe(Request::new().principal(who("ann"))).expect("allowed");
        let bell = reader.doorbell();
        publish_all(&broker, [1]);
        churn(
            &broker,
            |_| AccessChange::Policy("mine".into()),
            || {
                let refused = broker.subscribe(Request::new().principal(who("ann"))).map(drop);
                assert!(matches!(refused, Err(SubscribeError::AccessUnsettled { asked: 2.. })), "{refused:?}");
                let begun = Instant::now();
                let timed_out = reader.recv_timeout(Duration::from_millis(50)).expect_err("nothing passes the fence");
                assert_eq!(timed_out, RecvTimeoutError::Timeout);
                assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
                while bell.try_recv().is_ok() {}
                assert_eq!(reader.try_recv().map(drop), Err(TryRecvError::Empty));
                bell.try_recv().expect("there may be something to read");
                assert_eq!(reader.drain().expect("it has not ended").iter().count(), 0);
            },
        );
        assert_eq!(indexes_now(&mut reader), [1]);
    });
}

/// A deletion that comes while the question is asked is a denial, also of a token that the answer rests on beside the
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

fn clocked() -> (Hands, Arc<Rules>, Broker<u64>) {
    let (hands, rules) = (Hands::new(), Rules::new(|_| Ok(Grant::all())));
    let broker = Broker::builder().authorizer(Arc::clone(&rules)).clock(hands.clone()).build().expect("defaults");
    (hands, rules, broker)
}

/// A grant that has expired already opens nothing, and allows nothing at a re-check. [15]
#[test]
fn a_grant_that_has_expired_already_is_a_denial() {
    let (hands, rules, broker) = clocked();
    let over = hands.after(0);
    rules.set(move |_| Ok(Grant::all().expires_at(over)));
    let denied = broker.subscribe(asks("Job", "*")).map(drop).expect_err("it has expired");
    assert_eq!(denied, SubscribeError::Denied(Denial::new("access has expired already")));

    rules.set(|_| Ok(Grant::all()));
    let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed");
    publish_all(&broker, [1]);
    rules.set(move |_| Ok(Grant::all().expires_at(over)));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(assert_revoked(&mut reader).reason(), "access has expired already");
}

/// A grant that was renewed in time does not end by a tick that comes before the reader has asked again: the clock and
/// the newest grant decide. [18]
#[test]
fn a_renewed_grant_outlives_a_tick() {
    let (hands, rules, broker) = clocked();
    let (first, second) = (hands.after(10), hands.after(20));
    rules.set(move |_| Ok(Grant::all().expires_at(first)));
    let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed");
    let mut other = broker.subscribe(asks("Job", "*").principal(who("ann"))).expect("allowed");
    rules.set(move |_| Ok(Grant::all().expires_at(second)));
    broker.access_changed(AccessChange::Token("anonymous".into()));
    hands.turn(Duration::from_secs(15));
    broker.tick();
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    assert_eq!(error_now(&mut other), RecvError::Expired, "nobody renewed its grant");
    hands.turn(Duration::from_secs(10));
    assert_eq!(error_now(&mut reader), RecvError::Expired);
}

/// A tick wakes whose grant has run out, once for each grant. [18]
#[test]
fn a_tick_wakes_once_for_each_grant() {
    let (hands, rules, broker) = clocked();
    let first = hands.after(10);
    rules.set(move |_| Ok(Grant::all().expires_at(first)));
    let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed");
    let bell = reader.doorbell();
    bell.try_recv().expect("the first ring");
    assert_empty(&mut reader);
    broker.tick();
    assert!(bell.is_empty(), "it has not run out");
    hands.turn(Duration::from_secs(10));
    broker.tick();
    bell.try_recv().expect("it has");
    broker.tick();
    assert!(bell.is_empty(), "it was rung for");
    assert_eq!(error_now(&mut reader), RecvError::Expired);
}
