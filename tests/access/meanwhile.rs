//! Changes that arrive while the authorizer is being asked, and deleted tokens.
//!
//! The hook announces the changes itself, so the tests do not depend on timing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use event_broker::nomad::{event_type, topic};
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, Request, SubscribeError, WeakBroker,
};

use crate::common::{Rules, asks, assert_empty, assert_revoked, in_time, indexes_now, job, publish_all, ruled_by, who};

/// A hook that announces a change while it is asked, once, and counts its calls.
struct Announces {
    broker: Mutex<Option<WeakBroker<u64>>>,
    change: fn(&Broker<u64>),
    asked: AtomicUsize,
    /// The answer to each call, by its number. The last answer is repeated.
    answers: &'static [bool],
    /// Whether the grant has an expiry.
    expires: bool,
}

impl Announces {
    fn broker(change: fn(&Broker<u64>), answers: &'static [bool]) -> (Arc<Self>, Broker<u64>) {
        Self::broker_that_expires(false, change, answers)
    }

    fn broker_that_expires(
        expires: bool,
        change: fn(&Broker<u64>),
        answers: &'static [bool],
    ) -> (Arc<Self>, Broker<u64>) {
        let hook = Arc::new(Self { broker: Mutex::new(None), change, asked: AtomicUsize::new(0), answers, expires });
        let broker = Broker::builder().authorizer(Arc::clone(&hook)).build().expect("defaults");
        (hook, broker)
    }

    /// The next call announces the change.
    fn arm(&self, broker: &Broker<u64>) {
        *self.broker.lock().unwrap_or_else(PoisonError::into_inner) = Some(broker.downgrade());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Authorizer<u64> for Announces {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let armed = self.broker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(broker) = armed.and_then(|weak| weak.upgrade()) {
            (self.change)(&broker);
        }
        match self.answers.get(number).or(self.answers.last()) {
            Some(true) => {
                let grant = Grant::all().resting_on_policy("readers").resting_on_token("role-token");
                Ok(if self.expires { grant.expires_at(Instant::now() + Duration::from_secs(100_000)) } else { grant })
            }
            _ => Err(Denial::new(format!("answer {number}"))),
        }
    }

    fn changes(&self, event: &Event<u64>, changes: &mut Vec<AccessChange>) {
        event_broker::nomad::access_changes(event, changes);
    }
}

fn announce(broker: &Broker<u64>) {
    broker.access_changed(AccessChange::Policy("readers".into()));
}

fn publish_change(broker: &Broker<u64>) {
    let change = Event::new(topic::ACL_POLICY, event_type::ACL_POLICY_UPSERTED, "readers", 0);
    broker.publish(broker.latest_index() + 1, [change, job("web")]).expect("rising");
}

fn delete_token(broker: &Broker<u64>) {
    broker.access_changed(AccessChange::TokenDeleted("6f1c".into()));
}

/// A change during a re-check makes its answer stale: the authorizer is asked again, and the last answer holds. The
/// same for a grant with an expiry.
#[test]
fn a_change_during_a_re_check_is_asked_about_again() {
    in_time(|| {
        for (change, expires) in [(announce as fn(&Broker<u64>), false), (publish_change, true), (announce, true)] {
            let (hook, broker) = Announces::broker_that_expires(expires, change, &[true, true, false]);
            let mut reader = broker.subscribe(asks("Job", "*")).expect("the first answer");
            publish_all(&broker, [1]);
            hook.arm(&broker);
            announce(&broker);
            assert_eq!(assert_revoked(&mut reader).reason(), "answer 2");
            assert_eq!(hook.asked(), 3);
        }
    });
}

/// A change while a subscription is being opened makes the answer stale, too.
#[test]
fn a_change_while_opening_is_asked_about_again() {
    in_time(|| {
        for (change, expires) in [(announce as fn(&Broker<u64>), true), (publish_change, false), (announce, false)] {
            let (hook, broker) = Announces::broker_that_expires(expires, change, &[true, false]);
            hook.arm(&broker);
            let denied = broker.subscribe(asks("Job", "*")).expect_err("the second answer");
            assert_eq!((denied, hook.asked()), (SubscribeError::Denied(Denial::new("answer 1")), 2));

            let (hook, broker) = Announces::broker(change, &[true]);
            hook.arm(&broker);
            let mut reader = broker.subscribe(asks("Job", "*")).expect("allowed again");
            assert_eq!(hook.asked(), 2);
            indexes_now(&mut reader);
            assert_eq!(hook.asked(), 2, "what changed before it was open is not asked about a third time");
        }
    });
}

/// A deleted token is denied without asking, whatever names it.
#[test]
fn a_deleted_token_is_denied_without_asking() {
    for id in ["6f1c", "role-token"] {
        let rules = Rules::new(|_| Ok(Grant::all().resting_on_token("role-token")));
        let broker = ruled_by(&rules);
        let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
        let mut other = broker.subscribe(asks("Job", "*").principal(who("6f1c-not"))).expect("open");
        broker.access_changed(AccessChange::TokenDeleted(id.into()));
        assert_revoked(&mut reader);
        if id == "6f1c" {
            assert_empty(&mut other);
        } else {
            assert_revoked(&mut other);
        }
        assert_eq!(rules.asked(), 2, "each was asked about when it was opened");
    }
}

/// If a token is deleted during a call of the authorizer, access is denied without a further call. That applies to the
/// principal's own token and to any other that the answer rests on.
#[test]
fn a_token_that_is_deleted_while_opening_is_denied_without_asking() {
    in_time(|| {
        let delete_role_token = |broker: &Broker<u64>| {
            broker.access_changed(AccessChange::TokenDeleted("role-token".into()));
        };
        let (hook, broker) = Announces::broker(delete_role_token, &[true]);
        hook.arm(&broker);
        broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect_err("deleted");
        let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
        hook.arm(&broker);
        announce(&broker);
        assert_revoked(&mut reader);
        assert_eq!(hook.asked(), 3);

        let (hook, broker) = Announces::broker(delete_token, &[true]);
        hook.arm(&broker);
        let denied = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect_err("deleted");
        assert!(matches!(denied, SubscribeError::Denied(_)));
        assert_eq!(hook.asked(), 1);

        // The same in a re-check.
        let (hook, broker) = Announces::broker(delete_token, &[true]);
        let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
        hook.arm(&broker);
        announce(&broker);
        assert_revoked(&mut reader);
        assert_eq!(hook.asked(), 2);
    });
}

/// Without an authorizer nothing is asked, but a deleted token ends the subscriptions that were opened with it.
#[test]
fn a_deleted_token_ends_its_streams_without_an_authorizer() {
    let broker = Broker::<u64>::new();
    let mut named = broker.subscribe(Request::new().principal(who("6f1c"))).expect("open");
    let mut anonymous = broker.subscribe(Request::new()).expect("open");
    delete_token(&broker);
    broker.access_changed(AccessChange::Everyone);
    assert_revoked(&mut named);
    assert_empty(&mut anonymous);
}
