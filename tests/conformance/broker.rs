//! `nomad/stream/event_broker_test.go`: delivery, closing, and changes of access to an open stream.
//!
//! The changes of access are published as the API's own events.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use event_broker::nomad::{event_type, topic};
use event_broker::{Broker, Event, Grant, RecvError, RecvTimeoutError, Request};

use crate::common::{
    Rules, TIME_LIMIT, assert_empty, assert_end, assert_revoked, indexes_now, job, publish_all, ruled_by, term, who,
};

/// `TestEventBroker_PublishChangesAndSubscribe`: nothing before the publish; each batch once, waiting in between.
#[test]
fn event_broker_publish_changes_and_subscribe() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Request::new().term(term("Test", "sub-key"))).expect("open");
    let (deliveries, delivered) = mpsc::channel();
    let blocked = thread::spawn(move || {
        while let Ok(delivery) = reader.recv() {
            deliveries.send((delivery.index(), delivery.len())).expect("the test reads on");
        }
    });
    let event = || Event::new("Test", "Sub", "sub-key", 0).with_namespace("default");
    for index in [1, 2] {
        assert_eq!(delivered.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Timeout));
        broker.publish(index, [event()]).expect("rising");
        assert_eq!(delivered.recv_timeout(TIME_LIMIT), Ok((index, 1)));
    }
    drop(broker);
    assert_eq!(delivered.recv_timeout(TIME_LIMIT), Err(mpsc::RecvTimeoutError::Disconnected), "and each once");
    blocked.join().expect("it saw the end");
}

/// `TestEventBroker_ShutdownClosesSubscriptions`: two principals; closing ends both; leaving afterwards is harmless.
#[test]
fn event_broker_shutdown_closes_subscriptions() {
    let broker = Broker::<u64>::new();
    let mut first = broker.subscribe(Request::new().principal(who("1"))).expect("open");
    let mut second = broker.subscribe(Request::new().principal(who("2"))).expect("open");
    assert_eq!(broker.subscriptions().len(), 2);
    broker.close();
    assert_end(&mut first, &RecvError::Closed);
    assert_end(&mut second, &RecvError::Closed);
    let handle = first.handle();
    drop((first, second));
    handle.cancel();
    assert!(broker.subscriptions().is_empty());
}

/// `TestEventBroker_EmptyReqToken_DistinctSubscriptions`: two readers without a token; one that leaves does not end the
/// other.
#[test]
fn event_broker_empty_req_token_distinct_subscriptions() {
    let broker = Broker::<u64>::new();
    let first = broker.subscribe(Request::new()).expect("open");
    let mut second = broker.subscribe(Request::new()).expect("open");
    assert_ne!(first.id(), second.id());
    drop(first);
    assert_eq!(broker.subscriptions().len(), 1);
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut second), [1]);
}

/// An open stream that rests on a token, a policy and a role; then an event, after which the rules pass or fail.
fn acl_update(update: Event<u64>, passes: bool) -> Result<(), event_broker::Denial> {
    let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("some-policy").resting_on_role("some-role")));
    let broker = ruled_by(&rules);
    let mut reader =
        broker.subscribe(Request::new().term(term("Job", "*")).principal(who("some-token"))).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    if !passes {
        rules.deny();
    }
    broker.publish(2, [update]).expect("rising");
    broker.publish(3, [job("web")]).expect("rising");
    match reader.try_recv() {
        Ok(delivery) => {
            assert_eq!(delivery.index(), 3);
            assert_empty(&mut reader);
            Ok(())
        }
        Err(_) => Err(assert_revoked(&mut reader)),
    }
}

fn token(event_type: event_broker::EventType) -> Event<u64> {
    Event::new(topic::ACL_TOKEN, event_type, "some-token", 0)
}

fn policy(event_type: event_broker::EventType) -> Event<u64> {
    Event::new(topic::ACL_POLICY, event_type, "some-policy", 0)
}

fn role(event_type: event_broker::EventType) -> Event<u64> {
    Event::new(topic::ACL_ROLE, event_type, "some-role", 0)
}

/// `handleACLUpdates` 1, token deleted: closed, whatever the rules say.
#[test]
fn handle_acl_updates_1_token_deleted() {
    assert!(acl_update(token(event_type::ACL_TOKEN_DELETED), true).is_err());
    assert!(acl_update(token(event_type::ACL_TOKEN_DELETED), false).is_err());
}

/// `handleACLUpdates` 2, token updated, the rules fail: closed. (The server's source swaps the names of 2 and 3.)
#[test]
fn handle_acl_updates_2_token_updated_auth_fails() {
    assert!(acl_update(token(event_type::ACL_TOKEN_UPSERTED), false).is_err());
}

/// `handleACLUpdates` 3, token updated, the rules pass: open.
#[test]
fn handle_acl_updates_3_token_updated_auth_passes() {
    assert_eq!(acl_update(token(event_type::ACL_TOKEN_UPSERTED), true), Ok(()));
}

/// `handleACLUpdates` 4, policy deleted, the rules fail: closed.
#[test]
fn handle_acl_updates_4_policy_deleted_auth_fails() {
    assert!(acl_update(policy(event_type::ACL_POLICY_DELETED), false).is_err());
}

/// `handleACLUpdates` 5, policy updated, the rules pass: open.
#[test]
fn handle_acl_updates_5_policy_updated_auth_passes() {
    assert_eq!(acl_update(policy(event_type::ACL_POLICY_UPSERTED), true), Ok(()));
}

/// `handleACLUpdates` 6, policy updated, the rules fail: closed.
#[test]
fn handle_acl_updates_6_policy_updated_auth_fails() {
    assert!(acl_update(policy(event_type::ACL_POLICY_UPSERTED), false).is_err());
}

/// `handleACLUpdates` 7, role deleted, the rules fail: closed.
#[test]
fn handle_acl_updates_7_role_deleted_auth_fails() {
    assert!(acl_update(role(event_type::ACL_ROLE_DELETED), false).is_err());
}

/// `handleACLUpdates` 8, role updated, the rules pass: open.
#[test]
fn handle_acl_updates_8_role_updated_auth_passes() {
    assert_eq!(acl_update(role(event_type::ACL_ROLE_UPSERTED), true), Ok(()));
}

/// `handleACLUpdates` 9, role updated, the rules fail: closed.
#[test]
fn handle_acl_updates_9_role_updated_auth_fails() {
    assert!(acl_update(role(event_type::ACL_ROLE_UPSERTED), false).is_err());
}

/// A change that concerns no reader ends none, although the rules would fail now.
#[test]
fn handle_acl_updates_of_others_change_nothing() {
    let other = Event::new(topic::ACL_POLICY, event_type::ACL_POLICY_DELETED, "another-policy", 0);
    assert_eq!(acl_update(other, false), Ok(()));
}

/// A timed read distinguishes nothing to read from an end.
#[test]
fn a_read_in_time_says_which() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    assert_eq!(reader.recv_timeout(Duration::ZERO).expect_err("nothing"), RecvTimeoutError::Timeout);
    broker.close();
    let end = reader.recv_timeout(Duration::ZERO).expect_err("the end");
    assert_eq!(end, RecvTimeoutError::Recv(RecvError::Closed));
}
