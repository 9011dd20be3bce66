//! Which readers a change of access concerns: by token, policy and role, by name or all.

use std::sync::{Arc, Mutex, PoisonError};

use event_broker::nomad::rights::Rights;
use event_broker::nomad::{AclAuthorizer, Resolved, event_type, topic};
use event_broker::{AccessChange, Broker, Event, EventType, Grant, Principal, RecvError, Request, Topic, TryRecvError};

use crate::common::{Rules, asks, assert_empty, assert_revoked, error_now, ruled_by, who};

/// The anonymous principal is re-checked like any other, by its own name too.
#[test]
fn the_anonymous_principal_is_re_checked() {
    for change in
        [AccessChange::Everyone, AccessChange::Token(Principal::ANONYMOUS.into()), AccessChange::Policy("guest".into())]
    {
        let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("guest")));
        let broker = ruled_by(&rules);
        let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
        rules.deny();
        broker.access_changed(change);
        assert_revoked(&mut reader);
    }
}

/// A change concerns exactly the readers whose grant rests on what it names.
#[test]
fn a_change_concerns_the_readers_that_it_names() {
    let concerned = |change: AccessChange| {
        let rules = Rules::new(|request| match request.principal().id() {
            "by-policy" => Ok(Grant::all().resting_on_policy("x")),
            "by-role" => Ok(Grant::all().resting_on_role("x")),
            "by-token" => Ok(Grant::all().resting_on_token("x")),
            _ => Ok(Grant::all()),
        });
        let broker = ruled_by(&rules);
        let ids = ["by-policy", "by-role", "by-token", "x", "other"];
        let mut readers = ids.map(|id| (id, broker.subscribe(asks("Job", "*").principal(who(id))).expect("open")));
        rules.deny();
        broker.access_changed(change);
        let ended = readers
            .iter_mut()
            .filter_map(|(id, reader)| (!matches!(reader.try_recv(), Err(TryRecvError::Empty))).then_some(*id));
        ended.collect::<Vec<_>>()
    };
    assert_eq!(concerned(AccessChange::Policy("x".into())), ["by-policy"]);
    assert_eq!(concerned(AccessChange::Role("x".into())), ["by-role"]);
    assert_eq!(concerned(AccessChange::Token("x".into())), ["by-token", "x"]);
    assert_eq!(concerned(AccessChange::TokenDeleted("x".into())), ["by-token", "x"]);
    assert_eq!(concerned(AccessChange::Policy("y".into())), Vec::<&str>::new());
    assert_eq!(concerned(AccessChange::Everyone), ["by-policy", "by-role", "by-token", "x", "other"]);
}

/// After a re-check the basis of the new grant counts, and that of the old one no longer does.
#[test]
fn a_new_grant_rests_on_what_it_says() {
    let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("old")));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
    rules.set(|_| Ok(Grant::all().resting_on_policy("new")));
    broker.access_changed(AccessChange::Policy("old".into()));
    assert_empty(&mut reader);
    broker.access_changed(AccessChange::Policy("old".into()));
    assert_empty(&mut reader);
    assert_eq!(rules.asked(), 2, "nothing rests on the old policy any more");
    rules.deny();
    broker.access_changed(AccessChange::Policy("new".into()));
    assert_revoked(&mut reader);
}

/// Events of the API change access through `AclAuthorizer`: of a token, a policy, a role by id or name.
#[test]
fn published_acl_events_take_effect_before_they_are_visible() {
    type Row = (Topic, EventType, &'static str, &'static [&'static str]);
    let rows: [Row; 5] = [
        (topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, "6f1c", &[]),
        (topic::ACL_TOKEN, event_type::ACL_TOKEN_UPSERTED, "6f1c", &[]),
        (topic::ACL_POLICY, event_type::ACL_POLICY_DELETED, "readers", &[]),
        (topic::ACL_ROLE, event_type::ACL_ROLE_UPSERTED, "role-id", &["ops"]),
        (topic::ACL_ROLES, event_type::ACL_ROLE_DELETED, "ops", &[]),
    ];
    for (topic, event_type, key, filter_keys) in rows {
        let rights = Arc::new(Mutex::new(Rights::management()));
        let held = Arc::clone(&rights);
        let authorizer = AclAuthorizer::new(move |_: &Principal| {
            let rights = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok(Resolved::new(rights).resting_on_policy("readers").resting_on_role("ops"))
        });
        let broker = Broker::<u64>::builder().authorizer(authorizer).build().expect("defaults");
        let mut reader = broker.subscribe(Request::new().namespace("*").principal(who("6f1c"))).expect("management");
        *rights.lock().unwrap_or_else(PoisonError::into_inner) = Rights::anonymous();
        let change = Event::new(topic.clone(), event_type, key, 0).with_filter_keys(filter_keys.iter().copied());
        broker.publish(1, [change]).expect("the first");
        assert!(matches!(error_now(&mut reader), RecvError::Revoked(_)), "{topic}:{key}");
    }
}
