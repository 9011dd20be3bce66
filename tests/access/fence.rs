//! The fence: nothing at or after a change is delivered under the old grant.

use std::sync::Arc;
use std::task::Context;
use std::thread;

use event_broker::nomad::{event_type, topic};
use event_broker::{AccessChange, Broker, Denial, Event, Grant, RecvError, SubscribeError};

use crate::common::{
    self, Rules, WakeCount, asks, assert_revoked, in_time, indexes_now, job, keys_now, publish_all, ruled_by, who,
};

fn in_namespace(key: &str, name: &str) -> Event<u64> {
    job(key).with_namespace(name)
}

/// Revoked between publish and read: nothing is delivered, not even what was published before and not read. The same
/// for a reader whose next batch is known from its terms alone.
#[test]
fn nothing_unread_survives_a_revocation() {
    let grant = || Grant::all().resting_on_policy("readers");
    for plain in [false, true] {
        let rules = Rules::new(move |_| Ok(if plain { grant().without_event_checks() } else { grant() }));
        let broker = ruled_by(&rules);
        let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
        publish_all(&broker, 1..=3);
        assert_eq!(reader.recv().expect("not revoked yet").index(), 1);
        rules.deny();
        broker.access_changed(AccessChange::Policy("readers".into()));
        publish_all(&broker, [4]);
        assert_eq!(assert_revoked(&mut reader).reason(), "no longer allowed");
        assert_eq!(rules.asked(), 2, "after an end the authorizer is not called again");
        publish_all(&broker, [5]);
        assert_revoked(&mut reader);
    }
}

/// `publish` does not ask the authorizer. The next read of each subscription that the change concerns asks, once.
#[test]
fn publishing_asks_nobody() {
    let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("readers")));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    for index in 1..=3 {
        broker.publish(index, [Event::new(topic::ACL_POLICY, "", "readers", 0), job("web")]).expect("rising");
    }
    broker.tick();
    assert_eq!(rules.asked(), 1);
    assert_eq!(indexes_now(&mut reader), [1, 2, 3]);
    assert_eq!(rules.asked(), 2, "three changes before one read are one call");
}

/// A narrower grant applies to every later delivery, also of batches that were published before it.
#[test]
fn a_narrower_grant_governs_all_that_follows() {
    let rules = Rules::new(|_| Ok(Grant::namespaces(["a", "b"])));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*").namespace("*")).expect("open");
    let batch = || ["a", "b", "c", ""].map(|name| in_namespace(name, name));
    broker.publish(1, batch()).expect("rising");
    broker.publish(2, batch()).expect("rising");
    assert_eq!(common::keys(&reader.recv().expect("open")), ["a", "b", ""]);
    rules.set(|_| Ok(Grant::namespaces(["b"])));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(keys_now(&mut reader), [["b", ""]]);
    assert_eq!(reader.grant().and_then(Grant::allowed_namespaces), Some(&["b".into()][..]));
}

/// A wider grant does, too.
#[test]
fn a_wider_grant_governs_all_that_follows() {
    let rules = Rules::new(|_| Ok(Grant::namespaces(["a"])));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*").namespace("*")).expect("open");
    broker.publish(1, [in_namespace("a", "a"), in_namespace("b", "b")]).expect("rising");
    rules.set(|_| Ok(Grant::all()));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(keys_now(&mut reader), [["a", "b"]]);
}

/// A grant that no longer covers a requested namespace ends the stream: every one must be covered.
#[test]
fn a_named_namespace_that_is_no_longer_covered_ends_the_stream() {
    let rules = Rules::new(|_| Ok(Grant::namespaces(["a", "b"])));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*").namespaces(["a", "b"])).expect("covered");
    let refused = broker.subscribe(asks("Job", "*").namespaces(["a", "c"])).expect_err("c is not");
    assert_eq!(refused, SubscribeError::Denied(Denial::new("no access to the namespace c")));
    rules.set(|_| Ok(Grant::namespaces(["a"])));
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(assert_revoked(&mut reader).reason(), "no access to the namespace b");
}

/// A refused batch changes no access either.
#[test]
fn a_refused_batch_changes_no_access() {
    let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("readers")));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    publish_all(&broker, [5]);
    let change = Event::new(topic::ACL_POLICY, event_type::ACL_POLICY_DELETED, "readers", 0);
    broker.publish(4, [change]).expect_err("falling");
    assert_eq!(indexes_now(&mut reader), [5]);
    assert_eq!(rules.asked(), 1);
}

/// A parked reader that a change concerns is woken and asks; it ends, or waits on if it is still allowed.
#[test]
fn parked_readers_are_woken_by_a_change() {
    in_time(|| {
        let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("readers")));
        let broker = ruled_by(&rules);
        let mut blocked = broker.subscribe(asks("Job", "*")).expect("open");
        let mut task = broker.subscribe(asks("Job", "*")).expect("open");
        let (woken, waker) = WakeCount::new();
        assert!(task.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        let blocked = thread::spawn(move || blocked.recv().map(|delivery| delivery.index()));
        broker.access_changed(AccessChange::Policy("readers".into()));
        assert_eq!(woken.get(), 1);
        assert!(task.poll_recv(&mut Context::from_waker(&waker)).is_pending(), "still allowed");
        rules.deny();
        broker.access_changed(AccessChange::Policy("readers".into()));
        assert_eq!(woken.get(), 2);
        assert!(matches!(task.poll_recv(&mut Context::from_waker(&waker)), std::task::Poll::Ready(Err(_))));
        assert!(matches!(blocked.join().expect("woken"), Err(RecvError::Revoked(_))));
    });
}

/// No window that opens after the change delivers anything under the old grant, while others publish (G8).
#[test]
fn the_fence_holds_under_concurrent_publishers_and_readers() {
    in_time(|| {
        for round in 0..50_u64 {
            let rules = Rules::new(|_| Ok(Grant::all()));
            let broker = Broker::<u64>::builder()
                .max_batches(10_000)
                .authorizer(Arc::clone(&rules))
                .build()
                .expect("a bound above zero");
            let fence = 50 + round;
            let readers: Vec<_> = (0..3)
                .map(|way| {
                    let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
                    thread::spawn(move || {
                        let mut last = 0;
                        loop {
                            let end = match way {
                                0 => reader.recv().map(|delivery| last = delivery.index()).err(),
                                1 => match reader.try_recv() {
                                    Ok(delivery) => {
                                        last = delivery.index();
                                        None
                                    }
                                    Err(event_broker::TryRecvError::Empty) => None,
                                    Err(event_broker::TryRecvError::Recv(end)) => Some(end),
                                },
                                _ => match reader.drain() {
                                    Ok(mut window) => {
                                        last = window.iter().last().map_or(last, |delivery| delivery.index());
                                        None
                                    }
                                    Err(end) => Some(end),
                                },
                            };
                            if let Some(end) = end {
                                return (last, end);
                            }
                        }
                    })
                })
                .collect();
            for index in 1..=200 {
                let mut events = vec![job("web")];
                if index == fence {
                    events.push(Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, "6f1c", 0));
                }
                broker.publish(index, events).expect("rising");
            }
            for reader in readers {
                let (last, end) = reader.join().expect("it ended");
                assert!(last < fence, "read {last}, the fence is at {fence}");
                assert!(matches!(end, RecvError::Revoked(_)));
            }
        }
    });
}
