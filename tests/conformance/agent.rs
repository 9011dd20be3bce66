//! `command/agent/*_test.go`, `e2e/events` and `operator_debug_test.go`: queries, and what their clients receive.

use event_broker::nomad::{Parameter, Query, QueryErrorKind};
use event_broker::{Broker, BuildError, RecvError, Request, Start, Term};

use crate::common::{assert_end, broker_of, event, indexes_now, job, keys_now, publish_all, term};

fn terms(query: &str) -> Vec<Term> {
    Query::parse(query).expect("a query").terms().to_vec()
}

/// `TestEventStream` (agent): a client that leaves ends its own stream cleanly, and no other.
#[test]
fn http_event_stream_cancel() {
    let broker = Broker::<u64>::new();
    let mut gone = broker.subscribe(Query::parse("").expect("empty").into_request()).expect("open");
    let mut other = broker.subscribe(Query::parse("").expect("empty").into_request()).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut gone), [1]);
    gone.handle().cancel();
    assert_end(&mut gone, &RecvError::Cancelled);
    drop(gone);
    assert_eq!(indexes_now(&mut other), [1]);
    assert_eq!(broker.stats().subscriptions, 1);
}

/// `TestEventStream_NamespaceQuery`: `namespace=foo` excludes `bar`.
#[test]
fn event_stream_namespace_query() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Query::parse("namespace=foo").expect("a query").into_request()).expect("open");
    broker.publish(1, [job("123").with_namespace("bar")]).expect("rising");
    broker.publish(2, [job("456").with_namespace("foo")]).expect("rising");
    assert_eq!(keys_now(&mut reader), [["456"]]);
}

/// `QueryParse` 1: all topics and keys, named.
#[test]
fn query_parse_1_all_topics_and_keys() {
    assert_eq!(terms("topic=*:*"), [Term::ALL]);
}

/// `QueryParse` 2: no topic is all of them.
#[test]
fn query_parse_2_no_topic() {
    assert!(terms("").is_empty());
    let reader = Broker::<u64>::new().subscribe(Query::parse("").expect("empty").into_request()).expect("open");
    assert_eq!(reader.terms(), [Term::ALL]);
}

/// `QueryParse` 3: more than one colon is refused.
#[test]
fn query_parse_3_several_colons() {
    let error = Query::parse("topic=NodeDrain:*:*").expect_err("one colon at most");
    assert_eq!((error.parameter(), error.kind()), (Parameter::Topic, QueryErrorKind::SeveralColons));
}

/// `QueryParse` 4: a bare topic is every key of it.
#[test]
fn query_parse_4_bare_topic() {
    assert_eq!(terms("topic=NodeDrain"), [term("NodeDrain", "*")]);
}

/// `QueryParse` 5: a topic with every key, named.
#[test]
fn query_parse_5_topic_and_wildcard() {
    assert_eq!(terms("topic=NodeDrain:*"), [term("NodeDrain", "*")]);
}

/// `QueryParse` 6: a repeated topic keeps its keys, in order.
#[test]
fn query_parse_6_repeated_topic() {
    let uuid = "3e0f8a94-0f0c-4d8a-9a51-5a5f3a3e7d11";
    let parsed = terms(&format!("topic=NodeDrain:*&topic=NodeDrain:{uuid}"));
    assert_eq!(parsed, [term("NodeDrain", "*"), term("NodeDrain", uuid)]);
}

/// `QueryParse` 7: two topics.
#[test]
fn query_parse_7_two_topics() {
    let uuid = "3e0f8a94-0f0c-4d8a-9a51-5a5f3a3e7d11";
    let parsed = terms(&format!("topic=NodeRegister:{uuid}&topic=NodeDrain:*"));
    assert_eq!(parsed, [term("NodeRegister", uuid), term("NodeDrain", "*")]);
}

/// `Alloc_Port_Response`, as far as it is about the stream: from index 1, only the key asked for.
#[test]
fn alloc_port_response() {
    let broker = Broker::<u64>::new();
    let alloc = |key: &str, job: &str| event("Allocation", key).with_filter_key(job);
    broker.publish(1, [alloc("a1", "web")]).expect("rising");
    broker.publish(2, [alloc("a2", "db"), alloc("a3", "web")]).expect("rising");
    let query = Query::parse("index=1&topic=Allocation:web").expect("a query");
    let mut reader = broker.subscribe(query.into_request()).expect("open");
    assert_eq!(keys_now(&mut reader), [["a1"], ["a3"]]);
}

/// `TestDeploymentEvents`, as far as it is about the stream: events of one deployment, no others.
#[test]
fn deployment_events() {
    let broker = Broker::<u64>::new();
    let mut reader =
        broker.subscribe(Query::parse("topic=Deployment:e2e-job").expect("a query").into_request()).expect("open");
    for (index, (key, job)) in (1..).zip([("d1", "e2e-job"), ("d2", "other"), ("d1", "e2e-job")]) {
        broker.publish(index, [event("Deployment", key).with_filter_key(job)]).expect("rising");
    }
    assert_eq!(indexes_now(&mut reader), [1, 3]);
}

/// `TestStartIndex`: a start one above the index of a job's last change; nothing earlier arrives.
#[test]
fn start_index() {
    let broker = Broker::<u64>::new();
    publish_all(&broker, 1..=5);
    let mut reader = broker.subscribe(Request::new().start(Start::Index(6))).expect("open");
    publish_all(&broker, [5, 6, 6, 7]);
    assert_eq!(indexes_now(&mut reader), [6, 6, 7]);
}

/// `TopicsFromString`: several topics, with a filter, and a key of every topic, as queries.
#[test]
fn topics_from_string() {
    assert_eq!(terms("topic=Deployment&topic=Job"), [term("Deployment", "*"), term("Job", "*")]);
    assert_eq!(terms("topic=Deployment&topic=Job:web"), [term("Deployment", "*"), term("Job", "web")]);
    assert_eq!(terms("topic=*:example"), [term("*", "example")]);
}

/// `TestEventBroker_Parse`: unset keeps the base.
#[test]
fn event_broker_parse_unset_keeps_the_default() {
    let broker = Broker::<u64>::new();
    publish_all(&broker, 1..=150);
    assert_eq!(broker.stats().buffered_batches, 100);
}

/// `TestEventBroker_Parse`: set overrides.
#[test]
fn event_broker_parse_set_overrides() {
    let broker = broker_of(20_000);
    publish_all(&broker, 1..=150);
    assert_eq!(broker.stats().buffered_batches, 150);
    let twice = Broker::<u64>::builder().max_batches(7).max_batches(3).build().expect("a bound above zero");
    publish_all(&twice, 1..=150);
    assert_eq!(twice.stats().buffered_batches, 3);
}

/// `TestEventBroker_Parse`: zero. The server uses its default; here it is an error that names the minimum (semantics
/// 5), so that no buffer is switched off by mistake.
#[test]
fn event_broker_parse_zero_is_refused() {
    let error: BuildError = Broker::<u64>::builder().max_batches(0).build().expect_err("a buffer holds something");
    assert_eq!((error.setting, error.value, error.minimum), ("max_batches", 0, 1));
}
