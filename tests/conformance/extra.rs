//! Behaviour that the server's source relies on and its tests do not cover, one row each.

use event_broker::nomad::{Parameter, Query, QueryErrorKind, event_type, topic};
use event_broker::{
    Broker, Event, Grant, LagPolicy, PublishErrorKind, RecvError, Request, Start, SubscribeError, TryRecvError,
};

use crate::common::{
    Rules, asks, assert_empty, assert_revoked, broker_of, error_now, event, in_time, indexes_now, job, keys_now,
    panics, publish_all, ruled_by, term, who,
};

/// One event that matches two of the keys asked for is delivered once.
#[test]
fn one_event_matching_two_keys() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(asks("Job", "web").term(term("Job", "id"))).expect("open");
    broker.publish(1, [job("id").with_filter_key("web")]).expect("the first");
    assert_eq!(keys_now(&mut reader), [["id"]]);
}

/// `*` among several keys of a topic is every key of it.
#[test]
fn wildcard_among_several_keys() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(asks("Job", "web").term(term("Job", "*"))).expect("open");
    broker.publish(1, [job("web"), job("db"), event("Node", "web")]).expect("the first");
    assert_eq!(keys_now(&mut reader), [["web", "db"]]);
}

/// `StartExactlyAtIndex`: only an exact index; lost, absent and future are distinguished.
#[test]
fn start_exactly_at_index() {
    let broker = broker_of(3);
    publish_all(&broker, [1, 2, 4, 6]);
    let at = |index| broker.subscribe(Request::new().start(Start::Exactly(index)));
    assert_eq!(indexes_now(&mut at(4).expect("there")), [4, 6]);
    assert_eq!(at(1).err(), Some(SubscribeError::Lost { index: 1, oldest: Some(2) }));
    assert_eq!(at(5).err(), Some(SubscribeError::Absent { index: 5, next: Some(6) }));
    assert_eq!(at(7).err(), Some(SubscribeError::Future { index: 7, latest: 6 }));
}

/// A negative index is no number here, and not a very large one.
#[test]
fn negative_index() {
    let error = Query::parse("index=-1").expect_err("digits only");
    assert_eq!((error.parameter(), error.kind()), (Parameter::Index, QueryErrorKind::NotDigits));
}

/// A reader whose last item was evicted has lost only what came after it.
#[test]
fn reader_whose_consumed_item_is_evicted() {
    let broker = broker_of(2);
    let mut reader = broker.subscribe(Request::new()).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    publish_all(&broker, [2, 3]);
    assert_eq!(indexes_now(&mut reader), [2, 3], "1 is gone, and it was read");
    publish_all(&broker, [4, 5, 6]);
    let RecvError::Lagged(lagged) = error_now(&mut reader) else { panic!("it was overtaken") };
    assert_eq!((lagged.missed, lagged.through), (1, 4));
}

/// Publishing after the shutdown is an error, and does not hang.
#[test]
fn publish_after_shutdown() {
    let broker = Broker::<u64>::new();
    broker.close();
    let error = in_time(move || broker.publish(1, [job("web")]).expect_err("closed"));
    assert_eq!((error.kind, error.events.len()), (PublishErrorKind::Closed, 1));
}

/// Subscribing after the shutdown is an error, and no stream of heartbeats.
#[test]
fn subscribe_after_shutdown() {
    let broker = Broker::<u64>::new();
    publish_all(&broker, [1]);
    broker.close();
    assert_eq!(broker.subscribe(Request::new()).err(), Some(SubscribeError::Closed));
}

/// After a revocation nothing is delivered: neither later data nor earlier data that was not read.
#[test]
fn revocation_order_against_data() {
    let rules = Rules::new(|_| Ok(Grant::all()));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
    publish_all(&broker, [1]);
    broker.publish(2, [Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, "6f1c", 0)]).expect("rising");
    publish_all(&broker, [3]);
    assert_revoked(&mut reader);
}

/// A predicate that panics, or that calls the broker, leaves it usable.
#[test]
fn callback_panic_and_reentry() {
    in_time(|| {
        let broker = Broker::<u64>::new();
        let weak = broker.downgrade();
        let mut calls = 0;
        let mut reader = broker
            .subscribe(Request::new().filter(move |_| {
                calls += 1;
                assert!(calls > 1, "the first call panics");
                let broker = weak.upgrade().expect("open");
                drop(broker.subscribe(Request::new()).expect("open"));
                broker.publish(broker.latest_index() + 1, []).expect("rising");
                true
            }))
            .expect("open");
        publish_all(&broker, [1]);
        assert!(panics(|| reader.try_recv()));
        assert_eq!(indexes_now(&mut reader), [1]);
        assert_eq!(broker.latest_index(), 2);
    });
}

/// A payload with newlines, between its tokens and inside a string, still makes one line.
#[cfg(feature = "json")]
#[test]
fn newline_in_payload() {
    use event_broker::{Batch, Frame};
    use serde_json::value::RawValue;

    let raw = RawValue::from_string("{\n\"a\":\r\n\"b\\nc\"}".to_owned()).expect("JSON");
    let frame = Frame::encode(&Batch::new(1, [Event::new("Job", "JobRegistered", "web\n", raw)])).expect("JSON");
    assert_eq!(frame.as_str().find('\n'), Some(frame.as_str().len() - 1));
    assert!(frame.as_str().contains(r#""b\nc""#));
}

/// Errors are items of an iterator too: a non-terminal loss between deliveries, and the end last.
#[test]
fn error_items() {
    let broker = broker_of(2);
    let mut reader = broker.subscribe(Request::new().lag_policy(LagPolicy::Continue)).expect("open");
    assert_empty(&mut reader);
    publish_all(&broker, 1..=4);
    reader.handle().stats();
    let items: Vec<_> = reader.iter().take(3).map(|item| item.map(|delivery| delivery.index())).collect();
    assert!(matches!(&items[..], [Err(RecvError::Lagged(lagged)), Ok(3), Ok(4)] if lagged.missed == 2), "{items:?}");
    reader.handle().cancel();
    let items: Vec<_> = reader.iter().map(|item| item.map(|delivery| delivery.index())).collect();
    assert_eq!(items, [Err(RecvError::Cancelled)]);
}

/// `NextNoBlock` past an evicted item: a read that does not wait reports the loss like any other.
#[test]
fn next_no_block_past_an_evicted_item() {
    let broker = broker_of(2);
    let mut reader = broker.subscribe(Request::new()).expect("open");
    assert_empty(&mut reader);
    publish_all(&broker, 1..=3);
    let Err(TryRecvError::Recv(RecvError::Lagged(lagged))) = reader.try_recv() else { panic!("it was overtaken") };
    assert_eq!((lagged.missed, lagged.from, lagged.through, lagged.resumes_at), (1, 0, 1, 2));
}
