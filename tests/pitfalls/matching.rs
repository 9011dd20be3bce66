//! Matching: which events a request receives.

use std::thread;

use event_broker::nomad::{AclAuthorizer, Resolved};
use event_broker::nomad::{Query, rights::Rights};
use event_broker::{Broker, DeliveryRef, Event, InvalidRequest, Principal, Request, SubscribeError, Term};

use crate::common::{asks, assert_empty, event, job, keys_now, term};

/// What a request receives of one batch, live and from the backlog: both must agree.
fn keys_of(request: impl Fn() -> Request<u64>, events: &[Event<u64>]) -> Vec<Vec<String>> {
    let broker = Broker::new();
    let mut live = broker.subscribe(request()).expect("open");
    assert_empty(&mut live);
    broker.publish(1, events).expect("the first");
    let mut late = broker.subscribe(request()).expect("open");
    let keys = keys_now(&mut live);
    assert_eq!(keys, keys_now(&mut late), "live and from the backlog");
    keys
}

/// An event that several terms match is delivered once (semantics 11).
#[test]
fn an_event_is_delivered_once_whatever_it_matches() {
    let alloc = event("Allocation", "id").with_filter_key("web");
    let two_keys = || asks("Allocation", "web").term(term("Allocation", "id"));
    assert_eq!(keys_of(two_keys, &[alloc]), [["id"]]);
    let two_topics = || asks("*", "web").term(term("Job", "web"));
    assert_eq!(keys_of(two_topics, &[job("web")]), [["web"]]);
}

/// A wildcard beside other keys of the topic is still a wildcard (semantics 11).
#[test]
fn a_wildcard_beside_a_key_is_still_a_wildcard() {
    assert_eq!(keys_of(|| asks("Job", "*").term(term("Job", "web")), &[job("db"), job("web")]), [["db", "web"]]);
}

/// `*:foo` beside `Job:*` still gives all jobs (semantics 11).
#[test]
fn a_key_of_every_topic_beside_a_whole_topic() {
    let request = || asks("*", "foo").term(term("Job", "*"));
    assert_eq!(keys_of(request, &[job("web"), event("Node", "foo"), event("Node", "bar")]), [["web", "foo"]]);
}

/// The same bare topic twice is that topic (semantics 11, 14).
#[test]
fn a_topic_named_twice_is_that_topic() {
    let request = || Query::parse("topic=Job&topic=Job").expect("a query").into_request();
    assert_eq!(keys_of(request, &[job("web"), event("Node", "n")]), [["web"]]);
}

/// An empty key asks for nothing, not for events with an empty filter key: it is an error (semantics 11).
#[test]
fn an_empty_key_matches_no_empty_filter_key() {
    assert_eq!(Term::new("Job", ""), Err(InvalidRequest::EmptyKey { topic: "Job".into() }));
    assert!(Query::parse("topic=Job:").is_err());
    let nameless = job("").with_filter_key("");
    assert_eq!(keys_of(|| asks("Job", "web"), std::slice::from_ref(&nameless)), Vec::<Vec<String>>::new());
    assert_eq!(keys_of(|| asks("Job", "*"), &[nameless]), [[""]], "only the wildcard does");
}

/// Matching does not modify the terms, so one set serves requests of many threads (semantics 11).
#[test]
fn terms_are_shared_between_threads() {
    let broker = Broker::<u64>::new();
    let terms = vec![term("Job", "web"), term("Job", "*"), term("*", "web"), term("Job", "web")];
    let readers: Vec<_> = thread::scope(|scope| {
        let open = || broker.subscribe(Request::new().terms(terms.clone())).expect("open");
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("opened")).collect()
    });
    broker.publish(1, [job("web"), event("Node", "web"), event("Node", "n")]).expect("the first");
    for mut reader in readers {
        assert_eq!(keys_now(&mut reader), [["web", "web"]]);
        assert_eq!(reader.terms(), [term("Job", "web"), term("Job", "*"), term("*", "web")]);
    }
    assert_eq!(terms, [term("Job", "web"), term("Job", "*"), term("*", "web"), term("Job", "web")]);
}

/// No topics at all is everything, never a stream that receives nothing; a topic without a name is an error
/// (semantics 11).
#[test]
fn no_topics_is_everything() {
    assert_eq!(keys_of(Request::new, &[job("web"), event("Node", "n")]), [["web", "n"]]);
    assert_eq!(Term::topic(""), Err(InvalidRequest::EmptyTopic { key: "*".into() }));
}

/// `namespace=*` is no namespace of that name, and not those of the moment either (semantics 12).
#[test]
fn all_namespaces_are_all_also_later_ones() {
    let query = || Query::parse("namespace=*").expect("a query").into_request();
    let in_namespace = |key: &str, name: &str| job(key).with_namespace(name);
    assert_eq!(keys_of(query, &[in_namespace("a", "prod"), in_namespace("b", "")]), [["a", "b"]]);
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(query()).expect("open");
    for (index, name) in (1..).zip(["one", "made-later", "made-later-still"]) {
        broker.publish(index, [in_namespace(name, name)]).expect("rising");
    }
    assert_eq!(keys_now(&mut reader), [["one"], ["made-later"], ["made-later-still"]]);
}

/// `namespace=*` is never passed unchecked: rights in every namespace of the moment are not enough (semantics 16).
#[test]
fn all_namespaces_need_a_right_that_covers_all() {
    let held = |text: &str| {
        let rights: Rights = text.parse().expect("rights");
        let rules = AclAuthorizer::new(move |_: &Principal| Ok(Resolved::new(rights.clone())));
        let broker = Broker::<u64>::builder().authorizer(rules).build().expect("defaults");
        broker.subscribe(asks("Job", "*").namespace("*")).map(drop)
    };
    assert!(matches!(held("namespace:default:read-job,namespace:prod:read-job"), Err(SubscribeError::Denied(_))));
    assert_eq!(held("namespace:*:read-job"), Ok(()));
    assert_eq!(held("management"), Ok(()));
}

/// Every `namespace=` of a query counts, not the first alone (semantics 14).
#[test]
fn every_namespace_of_a_query_counts() {
    let query = || Query::parse("namespace=a&namespace=b").expect("a query").into_request();
    let events = ["a", "b", "c"].map(|name| job(name).with_namespace(name));
    assert_eq!(keys_of(query, &events), [["a", "b"]]);
}

/// Items of a window that are examined together remain what they were: batches of more than 64 events, of each of which
/// a predicate picks others, and a window that is iterated again (semantics 13, 20).
#[test]
fn items_of_a_window_stay_what_they_were() {
    const EVENTS: u64 = 100;
    let broker = Broker::<u64>::new();
    let picked = |index: u64, ordinal: u64| ordinal.is_multiple_of(index + 1);
    let pick = move |event: &Event<u64>| picked(event.index(), *event.payload());
    let mut reader = broker.subscribe(Request::new().filter(pick)).expect("open");
    for index in 1..=8 {
        let events: Vec<_> = (0..EVENTS).map(|ordinal| Event::new("Job", "Changed", "web", ordinal)).collect();
        broker.publish(index, events).expect("rising");
    }
    let mut window = reader.drain().expect("open");
    for indexes in [1..=3, 4..=8] {
        let items: Vec<_> = window.iter().take(indexes.clone().count()).collect();
        assert!(items.iter().map(DeliveryRef::index).eq(indexes));
        for item in &items {
            let payloads: Vec<_> = item.events().map(|event| *event.payload()).collect();
            let expected: Vec<_> = (0..EVENTS).filter(|ordinal| picked(item.index(), *ordinal)).collect();
            assert_eq!((payloads, item.len()), (expected.clone(), expected.len()), "{}", item.index());
        }
    }
    assert!(window.iter().next().is_none());
}
