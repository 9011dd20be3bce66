//! Hooks that panic: which call the panic reaches, and what state it leaves. One test for each rule of semantics 19.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, Request, Start, SubscribeError,
};

use super::host::{Bystander, Hook, exercise, hooked, publish_next, request, waker};
use crate::common::{
    WakeCount, asks, assert_empty, assert_revoked, in_time, indexes_now, job, keys_now, panics, publish_all,
};

/// Whichever hook panics, and wherever: the broker stays usable, and the others receive what was published, once and in
/// order.
#[test]
fn a_panic_in_any_hook_leaves_the_broker_usable() {
    for hook in Hook::ALL {
        in_time(move || {
            let (host, broker) = hooked();
            let mut bystander = Bystander::new(&broker);
            let mut reached = Vec::new();
            host.set(hook, move || panic!("{hook:?}"));
            exercise(&host, &broker, &mut |name, step| {
                if panics(&mut *step) {
                    reached.push(name.to_owned());
                }
                bystander.check_after(name, &host, &broker);
            });
            assert!(host.has_run(hook), "{hook:?} was not reached");
            let whom = match hook {
                Hook::Authorize => &["subscribe"][..],
                Hook::Permits | Hook::Predicate => &["read"],
                Hook::Changes | Hook::Weigher => &["publish"],
                // It reaches the publisher that evicts it, which may be the bystander's own check.
                Hook::PayloadDrop => &["overtake"],
                _ => &[],
            };
            assert_eq!(reached, whom, "{hook:?}");
        });
    }
}

/// In an authorizer, while a subscription is opened: the panic reaches the caller, and nothing is left behind.
#[test]
fn in_an_authorizer_at_subscribe_it_reaches_the_caller() {
    struct Panics(AtomicBool);
    impl Authorizer<u64> for Panics {
        fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
            assert!(self.0.load(Ordering::SeqCst), "no rules yet");
            Ok(Grant::all())
        }
    }
    let rules = Arc::new(Panics(AtomicBool::new(false)));
    let broker = Broker::builder().authorizer(Arc::clone(&rules)).build().expect("defaults");
    assert!(panics(|| broker.subscribe(asks("Job", "*"))));
    assert_eq!((broker.stats().subscriptions, broker.stats().terms), (0, 0));
    rules.0.store(true, Ordering::SeqCst);
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);

    // In a re-check it counts as a denial and reaches no caller.
    rules.0.store(false, Ordering::SeqCst);
    broker.access_changed(AccessChange::Everyone);
    assert_revoked(&mut reader);
    rules.0.store(true, Ordering::SeqCst);
    assert!(broker.subscribe(asks("Job", "*")).is_ok());
}

/// In a predicate or a check of one event: the panic reaches the reader, and the batch has not been passed.
#[test]
fn in_a_predicate_it_reaches_the_reader_and_passes_nothing() {
    for way in 0..3 {
        let broker = Broker::<u64>::new();
        let mut calls = 0;
        let panics_once = move |_: &Event<u64>| {
            calls += 1;
            assert!(calls != 2, "the second event");
            true
        };
        let mut reader = broker.subscribe(Request::new().filter(panics_once)).expect("open");
        broker.publish(1, [job("a"), job("b")]).expect("rising");
        publish_all(&broker, [2]);
        let read = catch_unwind(AssertUnwindSafe(|| match way {
            0 => reader.recv().map(drop).is_ok(),
            1 => reader.drain().is_ok_and(|mut window| window.iter().next().is_some()),
            _ => reader.poll_recv(&mut Context::from_waker(std::task::Waker::noop())).is_ready(),
        }));
        assert!(read.is_err());
        assert_eq!(keys_now(&mut reader), [vec!["a", "b"], vec!["web"]]);
    }
}

/// In a weigher, or in the hook that derives changes of access: the panic reaches the publisher, and nothing is
/// published.
#[test]
fn in_a_weigher_it_reaches_the_publisher_and_publishes_nothing() {
    for hook in [Hook::Weigher, Hook::Changes] {
        let (host, broker) = hooked();
        let mut reader = broker.subscribe(request(&host)).expect("open");
        host.set(hook, || panic!("too heavy"));
        assert!(panics(|| publish_next(&host, &broker)));
        assert_eq!((broker.latest_index(), broker.stats().published_batches), (0, 0));
        assert_empty(&mut reader);
        publish_next(&host, &broker);
        assert_eq!(indexes_now(&mut reader), [1]);
    }
}

/// In a waker: it is caught, and the others are woken.
#[test]
fn in_a_waker_it_is_caught_and_the_others_are_woken() {
    let (host, broker) = hooked();
    let mut readers: Vec<_> = (0..10).map(|_| broker.subscribe(request(&host)).expect("open")).collect();
    let mut counts = Vec::new();
    for (place, reader) in readers.iter_mut().enumerate() {
        let waker = if place == 4 {
            waker(&host)
        } else {
            let (count, waker) = WakeCount::new();
            counts.push(count);
            waker
        };
        assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    }
    host.set(Hook::Wake, || panic!("a waker"));
    publish_next(&host, &broker);
    assert!(host.has_run(Hook::Wake));
    assert!(counts.iter().all(|count| count.get() == 1));
    for reader in &mut readers {
        assert_eq!(indexes_now(reader), [1]);
    }
}

/// In an observer: it is caught, and what was being reported has happened.
#[test]
fn in_an_observer_it_is_caught() {
    let (host, broker) = hooked();
    host.set(Hook::OnSubscribe, || panic!("an observer"));
    let mut reader = broker.subscribe(request(&host)).expect("open all the same");
    assert!(host.has_run(Hook::OnSubscribe));
    host.set(Hook::OnPublish, || panic!("an observer"));
    publish_next(&host, &broker);
    assert!(host.has_run(Hook::OnPublish));
    assert_eq!(indexes_now(&mut reader), [1]);
    host.set(Hook::OnEvict, || panic!("an observer"));
    (0..4).for_each(|_| publish_next(&host, &broker));
    assert!(host.has_run(Hook::OnEvict));
    host.set(Hook::OnLag, || panic!("an observer"));
    let missed = reader.recv().expect_err("overtaken").lagged().map(|lagged| lagged.missed);
    assert!(host.has_run(Hook::OnLag));
    assert_eq!((missed, indexes_now(&mut reader)), (Some(1), vec![3, 4, 5]));
    host.set(Hook::OnEnd, || panic!("an observer"));
    drop(reader);
    assert!(host.has_run(Hook::OnEnd));
    assert_eq!(broker.stats().subscriptions, 0);
}

/// In the drop of a payload: it reaches the publisher that evicts it; that batch is published, and all others are as
/// they were.
#[test]
fn in_a_payloads_drop_the_state_is_consistent() {
    in_time(|| {
        let (host, broker) = hooked();
        let mut reader = broker.subscribe(request(&host)).expect("open");
        host.set(Hook::PayloadDrop, || panic!("a payload"));
        let mut raised = 0;
        for index in 1..=10 {
            raised += u64::from(panics(|| publish_next(&host, &broker)));
            assert_eq!(broker.latest_index(), index);
            assert_eq!(indexes_now(&mut reader), [index]);
        }
        assert_eq!(raised, 1);
        let stats = broker.stats();
        assert_eq!((stats.buffered_batches, stats.published_batches, stats.evicted_batches), (3, 10, 7));
        host.set(Hook::PayloadDrop, || panic!("a payload"));
        let epoch = broker.epoch();
        assert!(panics(|| broker.reset(20, epoch)));
        assert_eq!((broker.latest_index(), broker.stats().buffered_batches), (20, 0));
        assert_eq!(reader.recv().expect_err("reset"), event_broker::RecvError::Reset);
    });
}

/// A panic of the authorizer at opening does not disturb a deletion that is recorded meanwhile.
#[test]
fn a_panic_while_opening_leaves_no_decision_pending() {
    struct PanicsOnce(Mutex<Option<Broker<u64>>>);
    impl Authorizer<u64> for PanicsOnce {
        fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
            let armed = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(broker) = armed {
                broker.access_changed(AccessChange::TokenDeleted("6f1c".into()));
                panic!("while it was asked");
            }
            Ok(Grant::all())
        }
    }
    in_time(|| {
        let rules = Arc::new(PanicsOnce(Mutex::new(None)));
        let broker = Broker::builder().authorizer(Arc::clone(&rules)).build().expect("defaults");
        *rules.0.lock().expect("free") = Some(broker.clone());
        let asked = || asks("Job", "*").start(Start::Latest).principal(event_broker::Principal::new("6f1c"));
        assert!(panics(|| broker.subscribe(asked())));
        // Deleted before this call of the authorizer, which knows of it, and allows.
        let opened: Result<_, SubscribeError> = broker.subscribe(asked());
        assert!(opened.is_ok());
    });
}

/// Semantics 19: after a panic of a predicate, the iterator of a window continues with the same batch.
#[test]
fn a_drain_iterator_goes_on_where_a_predicate_panicked() {
    let broker = Broker::<u64>::new();
    let mut armed = true;
    let picky = move |event: &Event<u64>| {
        let panics = *event.payload() == 2 && std::mem::take(&mut armed);
        assert!(!panics, "once");
        true
    };
    let mut reader = broker.subscribe(Request::new().filter(picky)).unwrap();
    for index in 1..=4 {
        broker.publish(index, [Event::new("t", "e", "k", index)]).unwrap();
    }
    let mut seen = Vec::new();
    {
        let mut window = reader.drain().unwrap();
        let mut items = window.iter();
        loop {
            match catch_unwind(AssertUnwindSafe(|| items.next().map(|delivery| delivery.index()))) {
                Ok(Some(index)) => seen.push(index),
                Ok(None) => break,
                Err(_) => seen.push(0),
            }
        }
    }
    assert_eq!(seen, [1, 0, 2, 3, 4]);
    assert_eq!(reader.try_recv().unwrap_err(), event_broker::TryRecvError::Empty);
}

/// Semantics 19: payloads of several batches whose drops panic are dropped one by one, and the first panic continues.
#[test]
fn payloads_that_panic_when_dropped_do_not_abort() {
    struct Sour;
    impl Drop for Sour {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "sour");
        }
    }
    let broker = Broker::<Sour>::builder().max_batches(32).build().unwrap();
    let mut raised = 0;
    for index in 1..=100 {
        raised += u64::from(panics(|| broker.publish(index, [Event::new("t", "e", "k", Sour)])));
    }
    assert!(raised > 0, "the panic reaches the publisher");
    assert_eq!((broker.latest_index(), broker.stats().buffered_batches), (100, 32));
    std::mem::forget(broker);
}

/// Semantics 5: weights that overflow saturate.
#[test]
fn weights_saturate() {
    let broker = Broker::<()>::builder().max_bytes(10).weigher(|_| u64::MAX / 2 + 1).build().unwrap();
    for index in 1..=2 {
        let heavy = [Event::new("t", "e", "k", ()), Event::new("t", "e", "k", ())];
        broker.publish(index, heavy).unwrap();
    }
    assert_eq!((broker.stats().buffered_batches, broker.stats().buffered_bytes), (1, u64::MAX));
}
