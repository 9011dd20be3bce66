//! The parameters with their defaults, and the sample requests, each as the query that a client sends.

use event_broker::nomad::{Limits, Parameter, Query, QueryErrorKind};
use event_broker::{Broker, Event, Request, Start, Verdict};

use crate::common::{assert_empty, broker_of, event, indexes_now, keys_now, publish_all, read_now};

fn request(query: &str) -> Request<u64> {
    Query::parse(query).expect("a query of the page").into_request()
}

/// The events of one batch that a query receives.
fn keys_of(query: &str, events: Vec<Event<u64>>) -> Vec<Vec<String>> {
    let broker = Broker::new();
    let mut reader = broker.subscribe(request(query)).expect("open");
    broker.publish(1, events).expect("the first");
    keys_now(&mut reader)
}

/// "This endpoint streams a server's backlog of events as well as new events as they occur."
#[test]
fn the_backlog_and_then_what_occurs() {
    let broker = Broker::<u64>::new();
    publish_all(&broker, 1..=2);
    let mut reader = broker.subscribe(request("")).expect("open");
    publish_all(&broker, 3..=3);
    assert_eq!(indexes_now(&mut reader), [1, 2, 3]);
    publish_all(&broker, 4..=4);
    assert_eq!(indexes_now(&mut reader), [4]);
}

/// "Each JSON object may include multiple events."
#[test]
fn a_batch_may_hold_several_events() {
    assert_eq!(keys_of("", vec![event("Job", "a"), event("Node", "b")]), [["a", "b"]]);
}

/// `index`: 0 if nothing is said, and that is the oldest.
#[test]
fn index_defaults_to_the_oldest() {
    for query in ["", "index=0"] {
        assert_eq!(Query::parse(query).expect("a query").start(), Start::Oldest);
        let broker = broker_of(2);
        publish_all(&broker, 1..=5);
        let mut reader = broker.subscribe(request(query)).expect("open");
        assert_eq!((reader.verdict(), indexes_now(&mut reader)), (Verdict::Whole, vec![4, 5]));
    }
}

/// `index`: "the index to start streaming events from".
#[test]
fn index_is_where_the_stream_starts() {
    let broker = Broker::<u64>::new();
    publish_all(&broker, 1..=5);
    assert_eq!(indexes_now(&mut broker.subscribe(request("index=4")).expect("open")), [4, 5]);
}

/// `index`: "if the requested index is no longer in the buffer the stream will start at the next available index".
#[test]
fn an_index_that_is_gone_starts_at_the_next_there_is() {
    let broker = broker_of(2);
    publish_all(&broker, [10, 20, 30]);
    let mut reader = broker.subscribe(request("index=5")).expect("open");
    assert_eq!((reader.verdict(), indexes_now(&mut reader)), (Verdict::Lost { oldest: Some(20) }, vec![20, 30]));
}

/// `index` is a number, and is given once.
#[test]
fn index_is_a_number() {
    for (query, kind) in [
        ("index=x", QueryErrorKind::NotDigits),
        ("index=-1", QueryErrorKind::NotDigits),
        ("index=", QueryErrorKind::Empty),
        ("index=1&index=1", QueryErrorKind::Repeated),
        ("index=99999999999999999999", QueryErrorKind::TooLarge),
    ] {
        let error = Query::parse(query).expect_err("no index");
        assert_eq!((error.parameter(), error.kind()), (Parameter::Index, kind));
    }
}

fn in_namespaces() -> Vec<Event<u64>> {
    ["default", "prod", "staging", ""].map(|name| event("Job", name).with_namespace(name)).to_vec()
}

/// `namespace`: `default` if nothing is said.
#[test]
fn namespace_defaults_to_default() {
    assert_eq!(keys_of("", in_namespaces()), [["default", ""]]);
    assert_eq!(keys_of("namespace=default", in_namespaces()), [["default", ""]]);
}

/// `namespace`: "specifies the target namespace to filter on". What supports no namespaces passes.
#[test]
fn namespace_filters() {
    assert_eq!(keys_of("namespace=prod", in_namespaces()), [["prod", ""]]);
    assert_eq!(keys_of("namespace=prod&namespace=staging", in_namespaces()), [["prod", "staging", ""]]);
}

/// `namespace`: "specifying `*` includes all namespaces for event types that support namespaces".
#[test]
fn namespace_star_is_all_of_them() {
    assert_eq!(keys_of("namespace=*", in_namespaces()), [["default", "prod", "staging", ""]]);
    assert_eq!(keys_of("namespace=prod&namespace=*", in_namespaces()), [["default", "prod", "staging", ""]]);
}

fn deployments() -> Vec<Event<u64>> {
    vec![
        event("Deployment", "d1").with_filter_key("redis"),
        event("Deployment", "d2").with_filter_key("web"),
        event("Deployment", "d3").with_filter_key("db"),
        event("Node", "n1"),
        event("Job", "redis"),
    ]
}

/// `topic`: "`*:*`", "the default is to subscribe to all topics".
#[test]
fn topic_defaults_to_everything() {
    for query in ["", "topic=*:*", "topic=*"] {
        assert_eq!(keys_of(query, deployments()), [["d1", "d2", "d3", "n1", "redis"]]);
    }
}

/// `topic`: "`?topic=Deployment:redis` would subscribe to all Deployment events for a job redis".
#[test]
fn topic_with_a_filter_key() {
    assert_eq!(keys_of("topic=Deployment:redis", deployments()), [["d1"]]);
}

/// `topic`: "an additional topic `&topic=Deployment:web` would include deployment events for redis and web".
#[test]
fn topics_add_up() {
    assert_eq!(keys_of("topic=Deployment:redis&topic=Deployment:web", deployments()), [["d1", "d2"]]);
}

/// `topic`: "`?topic=Node` without a separator value", "`?topic=Node:*` is also valid".
#[test]
fn topic_without_a_filter_key() {
    assert_eq!(keys_of("topic=Node", deployments()), [["n1"]]);
    assert_eq!(keys_of("topic=Node:*", deployments()), [["n1"]]);
}

/// Names are percent-encoded as in any URL, and what is no parameter of the page is ignored.
#[test]
fn names_are_decoded_and_other_parameters_ignored() {
    let events = vec![event("Job", "my job").with_namespace("a/b"), event("Job", "my job")];
    assert_eq!(keys_of("?topic=Job%3Amy+job&namespace=a%2Fb&pretty&wait=%zz", events), [["my job"]]);
    assert!(Query::parse_with("topic=Job", &Limits::new().name_bytes(2)).is_err());
}

/// "Subscribe to all events and topics in the default namespace": `/v1/event/stream`.
#[test]
fn sample_request_1() {
    let query = Query::parse("").expect("bare");
    assert_eq!((query.index(), query.namespaces(), query.terms()), (None, &[][..], &[][..]));
    assert_eq!(keys_of("", in_namespaces()), [["default", ""]]);
}

/// "Subscribe to all events and topics in all namespaces": `?namespace=*`.
#[test]
fn sample_request_2() {
    assert_eq!(keys_of("?namespace=*", in_namespaces()), [["default", "prod", "staging", ""]]);
}

/// "Start at index 100 and subscribe to all Evaluation events": `?index=100&topic=Evaluation`.
#[test]
fn sample_request_3() {
    let broker = Broker::<u64>::new();
    for index in 98..=102 {
        broker.publish(index, [event("Evaluation", "e1"), event("Job", "web")]).expect("rising");
    }
    let mut reader = broker.subscribe(request("?index=100&topic=Evaluation")).expect("open");
    let deliveries = read_now(&mut reader);
    assert_eq!(
        deliveries.iter().map(|delivery| (delivery.index(), delivery.len())).collect::<Vec<_>>(),
        [(100, 1), (101, 1), (102, 1)]
    );
    assert_empty(&mut reader);
}

/// One node by its id, all deployments, and the job `web`, each value percent-encoded by the client.
#[test]
fn sample_request_4() {
    let node = "ccc4ce56-7f0a-4124-b8b1-a4015aa82c40";
    let query = format!("topic=Node%3A{node}&topic=Deployment&topic=Job%3Aweb");
    let events = vec![event("Node", node), event("Node", "other"), event("Deployment", "d"), event("Job", "web")];
    assert_eq!(keys_of(&query, events), [[node, "d", "web"]]);
}
