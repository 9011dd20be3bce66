//! Access: revocation, expiry, and code of the host that runs on the way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_broker::nomad::{event_type, topic};
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, Principal, RecvError, Request,
    SubscribeError, WeakBroker,
};

use crate::common::{
    ManualClock, Rules, WakeCount, asks, assert_end, assert_revoked, error_now, in_time, indexes_now, job, publish_all,
    read_now, ruled_and_timed_by, ruled_by, who,
};

fn deleted(token: &str) -> Event<u64> {
    Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, token, 0)
}

/// Access changes and events are in one sequence: nothing after a revocation is delivered (semantics 17).
#[test]
fn changes_and_events_are_one_sequence() {
    for unread in [0, 3] {
        let rules = Rules::new(|_| Ok(Grant::all()));
        let broker = ruled_by(&rules);
        let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
        publish_all(&broker, [1]);
        assert_eq!(indexes_now(&mut reader), [1]);
        publish_all(&broker, 2..2 + unread);
        broker.publish(50, [job("before"), deleted("6f1c"), job("after")]).expect("rising");
        publish_all(&broker, [51]);
        assert_revoked(&mut reader);
    }
}

/// A batch published after its commit is re-checked against the new rules, at the next read and not before
/// (semantics 4, 17).
#[test]
fn the_check_reads_the_rules_of_after_the_commit() {
    let state = Arc::new(AtomicBool::new(true));
    let allowed = Arc::clone(&state);
    let rules = Rules::new(move |_| {
        let grant = Grant::all().resting_on_policy("readers");
        if allowed.load(Ordering::SeqCst) { Ok(grant) } else { Err(Denial::new("policy gone")) }
    });
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    let mut commit = event_broker::Batch::builder();
    commit.push(Event::new(topic::ACL_POLICY, event_type::ACL_POLICY_DELETED, "readers", 0));
    commit.push(job("web"));
    assert!(read_now(&mut reader).is_empty(), "collected, and not visible yet");
    state.store(false, Ordering::SeqCst); // the commit
    broker.publish(2, commit).expect("rising");
    assert_eq!(rules.asked(), 1, "publishing does not call the authorizer");
    assert_eq!(assert_revoked(&mut reader).reason(), "policy gone");
}

/// Between "next is ready" and "you are closed" nothing is left to chance (semantics 17).
#[test]
fn an_end_wins_over_data_every_time() {
    for _ in 0..200 {
        let rules = Rules::new(|_| Ok(Grant::all()));
        let broker = ruled_by(&rules);
        let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
        publish_all(&broker, 1..=3);
        broker.access_changed(AccessChange::TokenDeleted("6f1c".into()));
        assert!(matches!(reader.recv(), Err(RecvError::Revoked(_))));
    }
}

/// Nothing that was read ahead is delivered after a revocation: not by a window that opens after it (semantics 17).
#[test]
fn nothing_read_ahead_survives_a_revocation() {
    let rules = Rules::new(|_| Ok(Grant::all()));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
    publish_all(&broker, 1..=10);
    assert_eq!(reader.drain().expect("open").iter().take(2).count(), 2);
    broker.publish(11, [deleted("6f1c")]).expect("rising");
    assert!(matches!(reader.drain(), Err(RecvError::Revoked(_))));
    assert_revoked(&mut reader);
}

/// A principal without a token is re-checked like any other (semantics 17).
#[test]
fn the_anonymous_principal_is_checked_again() {
    let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("anonymous")));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    rules.deny();
    let changed = Event::new(topic::ACL_POLICY, event_type::ACL_POLICY_UPSERTED, "anonymous", 0);
    broker.publish(1, [changed]).expect("the first");
    publish_all(&broker, [2]);
    assert_revoked(&mut reader);
}

/// An expired token does not live on in an idle stream: the tick ends and wakes it (semantics 18).
#[test]
fn expired_tokens_do_not_live_on_in_idle_streams() {
    let clock = ManualClock::new();
    let expiry = clock.after(60);
    let rules = Rules::new(move |_| Ok(Grant::all().expires_at(expiry)));
    let broker = ruled_and_timed_by(&rules, &clock);
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    let (woken, waker) = WakeCount::new();
    let mut context = std::task::Context::from_waker(&waker);
    assert!(reader.poll_recv(&mut context).is_pending());
    broker.tick();
    assert_eq!(woken.get(), 0);
    clock.advance(Duration::from_secs(61));
    broker.tick();
    assert_eq!(woken.get(), 1);
    assert_end(&mut reader, &RecvError::Expired);
}

/// A hook that ends a subscription while it is asked about it, and one that is slow, run under no lock (semantics 19).
#[test]
fn callbacks_run_under_no_lock() {
    struct Ends(Mutex<Option<WeakBroker<u64>>>);
    impl Authorizer<u64> for Ends {
        fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
            if let Some(broker) = self.0.lock().ok().and_then(|weak| weak.as_ref()?.upgrade()) {
                for handle in broker.subscriptions() {
                    handle.cancel();
                }
                publish_all(&broker, [10]);
            }
            Ok(Grant::all())
        }
    }
    in_time(|| {
        let hook = Arc::new(Ends(Mutex::new(None)));
        let broker = Broker::builder().authorizer(Arc::clone(&hook)).build().expect("defaults");
        let mut reader = broker.subscribe(Request::new()).expect("open");
        *hook.0.lock().expect("free") = Some(broker.downgrade());
        broker.access_changed(AccessChange::Everyone);
        assert_eq!(error_now(&mut reader), RecvError::Cancelled);
        drop(reader);
        assert_eq!(broker.latest_index(), 10);
    });
}

/// One principal and one set of terms used for two subscriptions: both are revoked (semantics 17).
#[test]
fn one_principal_in_two_subscriptions_is_revoked_in_both() {
    let rules = Rules::new(|_| Ok(Grant::all()));
    let broker = ruled_by(&rules);
    let principal = Principal::new("6f1c").with_secret("hunter2");
    let open = || broker.subscribe(asks("Job", "*").principal(principal.clone())).expect("open");
    let (mut first, mut second, third) = (open(), open(), open());
    drop(third);
    broker.access_changed(AccessChange::TokenDeleted("6f1c".into()));
    assert_revoked(&mut first);
    assert_revoked(&mut second);
}

/// A secret shows in no `Debug` and in no error of the crate's own making (semantics 15).
#[test]
fn secrets_show_nowhere() {
    let principal = Principal::new("6f1c").with_secret("hunter2");
    let rules = Rules::new(|request| {
        assert_eq!(request.principal().secret(), Some("hunter2"));
        Ok(Grant::namespaces(["prod"]))
    });
    let broker = ruled_by(&rules);
    let request = asks::<u64>("Job", "*").principal(principal.clone()).namespace("prod");
    let mut shown = vec![format!("{principal:?}"), format!("{request:?}")];
    let mut reader = broker.subscribe(request).expect("open");
    shown.push(format!("{reader:?} {:?} {broker:?}", reader.handle()));
    let denied = broker.subscribe(asks("Job", "*").principal(principal).namespace("dev")).expect_err("not granted");
    shown.push(format!("{denied} {denied:?}"));
    broker.access_changed(AccessChange::TokenDeleted("6f1c".into()));
    let end = error_now(&mut reader);
    shown.push(format!("{end} {end:?} {reader:?}"));
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A denied client gets an error, never a stream that just ends (semantics 23).
#[test]
fn a_denial_is_no_success() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let rules = Rules::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Err(Denial::new("no right to read Job:*"))
    });
    let broker = ruled_by(&rules);
    let denied = broker.subscribe(asks("Job", "*")).expect_err("denied");
    assert_eq!(denied, SubscribeError::Denied(Denial::new("no right to read Job:*")));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(broker.stats().subscriptions, 0, "and it leaves nothing behind");
    assert_eq!(broker.stats().terms, 0);
}
