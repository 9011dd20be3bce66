//! `api/event_stream_test.go`: names, keys and ends as a client library sees them.
//!
//! The typed payloads of that library are not here: a payload is the host's own type.

use event_broker::nomad::{Parameter, Query, QueryErrorKind, topic};
use event_broker::{Broker, RecvError, Request, Topic};

use crate::common::{assert_end, event, in_time, keys_now, publish_all};

/// `TestTopic_String`, 8 rows: names survive a round trip. The eighth, the wildcard, is a side of a term here and no
/// topic.
#[test]
fn topic_string() {
    for (constant, text) in [
        (topic::DEPLOYMENT, "Deployment"),
        (topic::EVALUATION, "Evaluation"),
        (topic::ALLOCATION, "Allocation"),
        (topic::JOB, "Job"),
        (topic::NODE, "Node"),
        (topic::NODE_POOL, "NodePool"),
        (topic::SERVICE, "Service"),
        (Topic::from_static("*"), "*"),
    ] {
        assert_eq!(constant.to_string(), text);
        assert_eq!(Topic::from(text), constant);
        assert_eq!(Query::parse(&format!("topic={text}")).expect("a query").to_string(), format!("topic={text}:*"));
    }
}

/// `TestEvent_Stream`: no key is the whole topic; the end is returned once, and then nothing.
#[test]
fn event_stream() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Query::parse("topic=Evaluation").expect("a query").into_request()).expect("open");
    broker.publish(1, [event("Evaluation", "e1"), event("Job", "web"), event("Evaluation", "e2")]).expect("rising");
    assert_eq!(keys_now(&mut reader), [["e1", "e2"]]);
    reader.handle().cancel();
    let mut items = reader.iter();
    assert_eq!(items.next().map(|item| item.expect_err("the end")), Some(RecvError::Cancelled));
    assert!(items.next().is_none());
    assert!(items.next().is_none());
}

/// `TestEventStream_Err_InvalidQueryParam`: `::*`.
#[test]
fn event_stream_err_invalid_query_param() {
    let error = Query::parse("topic=::*").expect_err("one colon at most");
    assert_eq!((error.parameter(), error.kind()), (Parameter::Topic, QueryErrorKind::SeveralColons));
    assert_eq!(error.to_string(), r#"topic holds "::*", expected at most one colon, as in topic:key"#);
}

/// `TestEventStream_CloseCtx`: a cancel ends a waiting read, without an item.
#[test]
fn event_stream_close_ctx() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    let handle = reader.handle();
    let blocked = std::thread::spawn(move || {
        assert_eq!(reader.recv().expect_err("no item"), RecvError::Cancelled);
        reader
    });
    handle.cancel();
    let mut reader = in_time(move || blocked.join().expect("it saw the end"));
    publish_all(&broker, [1]);
    assert_end(&mut reader, &RecvError::Cancelled);
}

/// `TestEventStream_PayloadValue`: the payload decodes, and its secret is blank.
#[cfg(feature = "json")]
#[test]
fn event_stream_payload_value() {
    use event_broker::Event;
    use serde_json::{Value, json};

    let broker = Broker::<Value>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    let payload = json!({"Node": {"ID": "ccc4", "SecretID": ""}});
    broker.publish(1, [Event::new("Node", "NodeRegistration", "ccc4", payload)]).expect("rising");
    let delivery = reader.recv().expect("one");
    let text = serde_json::to_string(delivery.events().next().expect("one")).expect("JSON");
    let decoded: Event<Value> = serde_json::from_str(&text).expect("an event");
    assert_eq!(decoded.payload().pointer("/Node/ID"), Some(&json!("ccc4")));
    assert_eq!(decoded.payload().pointer("/Node/SecretID"), Some(&json!("")));
}
