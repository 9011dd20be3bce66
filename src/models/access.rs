//! The fence of an access change against publishing, reading, waiting and subscribing: G8.
//! The authorizer here has fixed rules; hooks are tested without models.
//!
//! Broken by a fence after the end moved, a gate that is loaded before the end, and a stale decision that is used.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};

use super::{Payload, check, event, everything, keys, spawn};
use crate::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, Principal, RecvError, Subscription,
    TryRecvError,
};

/// An authorizer with one switch. An event of the key `policy` announces that it was turned off.
struct Switch {
    off: AtomicBool,
    /// Whether single events are checked. Readers of those that are not read by the fast path.
    checks_events: bool,
}

impl Authorizer<Payload> for Switch {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        // Acquire: the commit happens before the publish that announces it.
        if self.off.load(Ordering::Acquire) {
            return Err(Denial::new("off"));
        }
        Ok(if self.checks_events { Grant::all() } else { Grant::all().without_event_checks() })
    }

    fn changes(&self, event: &Event<Payload>, changes: &mut Vec<AccessChange>) {
        if event.key() == "policy" {
            changes.push(AccessChange::Token("x".into()));
        }
    }
}

fn switched() -> (Arc<Switch>, Broker<Payload>) {
    switched_with(4, true)
}

fn switched_with(batches: u64, checks_events: bool) -> (Arc<Switch>, Broker<Payload>) {
    let switch = Arc::new(Switch { off: AtomicBool::new(false), checks_events });
    let broker = Broker::builder().max_batches(batches).authorizer(Arc::clone(&switch)).build().unwrap();
    (switch, broker)
}

/// A read that is running when access changes returns nothing of the change's batch or a later one.
#[test]
fn fence_against_publish_and_a_running_read() {
    check(|| {
        let (switch, broker) = switched();
        let mut reader = broker.subscribe(keys(&["a"]).principal(Principal::new("x"))).unwrap();
        let publisher = spawn(move || {
            broker.publish(1, [event("a", 1)]).unwrap();
            switch.off.store(true, Ordering::Release);
            broker.publish(2, [event("policy", 2), event("a", 2)]).unwrap();
        });
        let mut read = Vec::new();
        for _ in 0..2 {
            match reader.try_recv() {
                Ok(delivery) => read.push(delivery.index()),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Recv(error)) => assert!(matches!(error, RecvError::Revoked(_))),
            }
        }
        publisher.join().unwrap();
        assert!(matches!(reader.try_recv(), Err(TryRecvError::Recv(RecvError::Revoked(_)))));
        assert!(read.is_empty() || read == [1], "{read:?}");
    });
}

/// The same for a reader of everything that keeps up. It finds the next batch by the end alone, without the slow path,
/// because it has read the one before.
fn fence_against_a_reader_that_keeps_up(read: fn(&mut Subscription<Payload>) -> Result<usize, RecvError>) {
    check(move || {
        let (switch, broker) = switched_with(64, false);
        let mut reader = broker.subscribe(everything().principal(Principal::new("x"))).unwrap();
        broker.publish(1, [event("a", 1)]).unwrap();
        assert_eq!(reader.try_recv().unwrap().index(), 1);
        let publisher = spawn(move || {
            switch.off.store(true, Ordering::Release);
            broker.publish(2, [event("policy", 2), event("a", 2)]).unwrap();
        });
        for _ in 0..2 {
            let read = read(&mut reader);
            assert!(read.is_err() || read == Ok(0), "{read:?} batches under the old grant");
        }
        publisher.join().unwrap();
        assert!(matches!(reader.try_recv(), Err(TryRecvError::Recv(RecvError::Revoked(_)))));
    });
}

#[test]
fn fence_against_one_read_after_another() {
    fence_against_a_reader_that_keeps_up(|reader| match reader.try_recv() {
        Ok(_) => Ok(1),
        Err(TryRecvError::Empty) => Ok(0),
        Err(TryRecvError::Recv(error)) => Err(error),
    });
}

#[test]
fn fence_against_one_window_after_another() {
    fence_against_a_reader_that_keeps_up(|reader| Ok(reader.drain()?.iter().count()));
}

/// The same for a window, which takes its end before it checks the gate.
#[test]
fn fence_against_a_window() {
    check(|| {
        let (switch, broker) = switched();
        let mut reader = broker.subscribe(keys(&["a"]).principal(Principal::new("x"))).unwrap();
        let publisher = spawn(move || {
            switch.off.store(true, Ordering::Release);
            broker.publish(2, [event("policy", 2), event("a", 2)]).unwrap();
        });
        if let Ok(mut window) = reader.drain() {
            assert_eq!(window.iter().count(), 0);
        }
        publisher.join().unwrap();
        assert!(matches!(reader.drain(), Err(RecvError::Revoked(_))));
    });
}

/// A waiting reader is woken by the change itself.
#[test]
fn park_against_revoke() {
    check(|| {
        let (switch, broker) = switched();
        let mut reader = broker.subscribe(keys(&["a"]).principal(Principal::new("x"))).unwrap();
        let reading = spawn(move || reader.recv().unwrap_err());
        switch.off.store(true, Ordering::Release);
        broker.access_changed(AccessChange::Everyone);
        assert!(matches!(reading.join().unwrap(), RecvError::Revoked(_)));
    });
}

/// A subscription that is being opened while access changes is refused, or ends before it reads.
#[test]
fn subscribe_against_revoke() {
    check(|| {
        let (switch, broker) = switched();
        let revoker = spawn({
            let broker = broker.clone();
            move || {
                switch.off.store(true, Ordering::Release);
                broker.publish(1, [event("policy", 1), event("a", 1)]).unwrap();
            }
        });
        let opened = broker.subscribe(keys(&["a"]).principal(Principal::new("x")));
        let read = opened.map(|mut reader| reader.try_recv().map(|delivery| delivery.index()));
        revoker.join().unwrap();
        assert!(!matches!(read, Ok(Ok(_))), "{read:?}");
    });
}
