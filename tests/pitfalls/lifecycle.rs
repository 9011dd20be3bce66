//! Lifecycle, and defects of other crates.

use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use event_broker::{Broker, PublishErrorKind, RecvError, Request, Start, SubscribeError, Term};

use crate::common::{Rules, assert_end, broker_of, error_now, in_time, job, publish_all, ruled_by, who};

/// Subscribing after the shutdown is an error (semantics 23).
#[test]
fn subscribing_after_shutdown_is_refused() {
    let broker = Broker::<u64>::new();
    publish_all(&broker, [1]);
    let weak = broker.downgrade();
    broker.close();
    assert_eq!(broker.subscribe(Request::new()).err(), Some(SubscribeError::Closed));
    assert_eq!(broker.subscribe(Request::new().start(Start::Index(9))).err(), Some(SubscribeError::Closed));
    drop(broker);
    assert!(weak.upgrade().is_none());
}

/// Publishing after the shutdown is an error that gives the events back, and never blocks (semantics 3).
#[test]
fn publishing_after_shutdown_is_refused() {
    let broker = Broker::<u64>::new();
    broker.close();
    broker.close();
    let (full, empty) = in_time(move || {
        (broker.publish(1, [job("web")]).expect_err("closed"), broker.publish(1, []).expect_err("closed"))
    });
    assert_eq!((full.kind, full.events.len()), (PublishErrorKind::Closed, 1));
    assert_eq!(empty.kind, PublishErrorKind::Closed);
}

/// What was buffered when the broker closed is delivered before the end, by every way of reading (semantics 23).
#[test]
fn shutdown_discards_nothing_unread() {
    let open = |broker: &Broker<u64>| broker.subscribe(Request::new()).expect("open");
    let broker = broker_of(10);
    publish_all(&broker, [1]);
    let (mut tried, mut iterated, mut drained) = (open(&broker), open(&broker), open(&broker));
    publish_all(&broker, [2, 3]);
    drop(broker);
    for expected in 1..=3 {
        assert_eq!(tried.try_recv().expect("buffered").index(), expected);
    }
    assert_end(&mut tried, &RecvError::Closed);
    let items: Vec<_> = iterated.iter().map(|item| item.expect("deliveries only").index()).collect();
    assert_eq!(items, [1, 2, 3]);
    assert_eq!(drained.drain().expect("buffered").iter().map(|d| d.index()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_end(&mut drained, &RecvError::Closed);
}

/// A shutdown, a revocation and a cancelled subscription are distinguished (semantics 23).
#[test]
fn every_end_has_a_name_of_its_own() {
    let rules = Rules::new(|_| Ok(event_broker::Grant::all()));
    let broker = ruled_by(&rules);
    let open = |id| broker.subscribe(Request::new().principal(who(id))).expect("open");
    let (mut revoked, mut cancelled, mut closed) = (open("a"), open("b"), open("c"));
    broker.access_changed(event_broker::AccessChange::TokenDeleted("a".into()));
    cancelled.handle().cancel();
    broker.close();
    assert!(matches!(error_now(&mut revoked), RecvError::Revoked(_)));
    assert_eq!(error_now(&mut cancelled), RecvError::Cancelled);
    assert_eq!(error_now(&mut closed), RecvError::Closed);
    let broker = ruled_by(&rules);
    let mut reset = broker.subscribe(Request::new()).expect("open");
    broker.reset(0, broker.epoch());
    assert_eq!(error_now(&mut reset), RecvError::Reset);
}

/// A `Stream` yields a loss as an item, and continues or ends by the policy (semantics 22, 23).
#[cfg(feature = "stream")]
#[test]
fn a_stream_does_not_hide_a_loss() {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use event_broker::LagPolicy;

    fn next(reader: &mut event_broker::Subscription<u64>) -> Option<Result<u64, RecvError>> {
        let poll = futures_core::Stream::poll_next(Pin::new(reader), &mut Context::from_waker(Waker::noop()));
        let Poll::Ready(item) = poll else { panic!("expected an item") };
        item.map(|item| item.map(|delivery| delivery.index()))
    }

    for policy in [LagPolicy::Continue, LagPolicy::Close] {
        let broker = broker_of(1);
        let mut reader = broker.subscribe(Request::new().start(Start::Latest).lag_policy(policy)).expect("open");
        publish_all(&broker, 1..=3);
        assert!(matches!(next(&mut reader), Some(Err(RecvError::Lagged(lagged))) if lagged.missed == 2));
        if policy == LagPolicy::Continue {
            assert_eq!(next(&mut reader), Some(Ok(3)));
            drop(broker);
        }
        assert_eq!(next(&mut reader), None);
        assert_eq!(next(&mut reader), None);
    }
}

/// `publish` does not block: not on readers that never read, and not without readers (G7).
#[test]
fn publish_waits_for_nobody() {
    in_time(|| {
        let broker = broker_of(2);
        publish_all(&broker, 1..=10);
        let idle: Vec<_> = (0..10).map(|_| broker.subscribe(Request::new()).expect("open")).collect();
        publish_all(&broker, 11..=1_000);
        drop(idle);
    });
}

/// Dropping a reader does not walk the backlog: others publish and read meanwhile, and it returns at once.
#[test]
fn dropping_a_reader_walks_no_backlog() {
    let broker = broker_of(10_000);
    publish_all(&broker, 1..=10_000);
    let mut reader = broker.subscribe(Request::new()).expect("open");
    let kept = reader.recv().expect("the oldest");
    let before = broker.stats();
    drop(reader);
    assert_eq!(broker.stats().subscriptions, 0);
    assert_eq!(broker.stats().buffered_batches, before.buffered_batches, "nothing was passed for it");
    assert_eq!(kept.index(), 1, "what was read outlives its reader");
}

/// The bound counts batches in all, not for each reader (semantics 5).
#[test]
fn the_bound_is_no_multiple_of_the_readers() {
    let broker = broker_of(5);
    let mut readers: Vec<_> = (0..50).map(|_| broker.subscribe(Request::new()).expect("open")).collect();
    publish_all(&broker, 1..=20);
    assert_eq!(broker.stats().buffered_batches, 5);
    for reader in &mut readers {
        // All 20 were published after it had subscribed, so what is lost of them is reported, also to a late reader.
        let lagged = error_now(reader).lagged().cloned().expect("it was overtaken");
        assert_eq!((lagged.missed, lagged.count(), lagged.through, lagged.resumes_at), (15, Some(15), 15, 16));
    }
}

/// A reader that waits is a parked thread: it takes no processor time until it is woken.
#[test]
fn a_waiting_reader_is_not_polled() {
    let broker = broker_of(5);
    let mut reader = broker.subscribe(Request::new()).expect("open");
    let handle = reader.handle();
    let blocked = thread::spawn(move || reader.recv().expect("one").index());
    thread::sleep(Duration::from_millis(50));
    assert_eq!(handle.stats().wakeups, 0);
    publish_all(&broker, [1]);
    assert_eq!(in_time(move || blocked.join().expect("woken")), 1);
    assert_eq!(handle.stats().wakeups, 1);
}

/// Readers that wait in one list may leave it in any order: a reader that has left is neither kept nor woken (semantics
/// 7, G10).
#[test]
fn a_reader_that_has_left_is_neither_kept_nor_woken() {
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (order, left) in ORDERS.into_iter().flat_map(|order| [(order, 1), (order, 2), (order, 3)]) {
        let broker = Broker::<u64>::new();
        let mut readers = [(); 3].map(|()| Some(broker.subscribe(Request::new()).expect("open")));
        for reader in readers.iter_mut().flatten() {
            assert!(reader.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        for leaving in order.into_iter().take(left) {
            readers.get_mut(leaving).and_then(Option::take).expect("it is there");
        }
        publish_all(&broker, [1]);
        assert_eq!(broker.stats().wakeups, 3 - left as u64, "{left} left, in the order {order:?}");
    }
}

/// A window may be iterated in several parts, each from where the last one stopped (semantics 20).
#[test]
fn a_window_goes_on_with_another_iterator() {
    for narrow in [false, true] {
        let broker = broker_of(64);
        let request = Request::new().start(Start::Latest);
        // A reader that is notified of each batch by links, because half of them do not match.
        let request = if narrow { request.term(Term::new("Job", "web").expect("a term")) } else { request };
        let mut reader = broker.subscribe(request).expect("open");
        for index in 1..=40 {
            let events = if narrow { vec![job("web"), job("db")] } else { vec![job("web")] };
            broker.publish(index, events).expect("rising");
        }
        let mut window = reader.drain().expect("readable");
        let mut read = Vec::new();
        for goes in [1, 0, 20, 3, 100] {
            read.extend(window.iter().take(goes).map(|delivery| delivery.index()));
        }
        drop(window);
        assert_eq!(read, (1..=40).collect::<Vec<_>>(), "narrow: {narrow}");
        assert_eq!((reader.stats().batches, reader.stats().events), (40, 40));
    }
}
