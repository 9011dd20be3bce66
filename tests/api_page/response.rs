//! The response: its form on the wire, the sample of the page, and the rules of lines.

use std::time::Duration;

use event_broker::{Batch, Broker, Decoder, Event, Frame, FrameOptions, FrameReader, Incoming, Request};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::common::{event, job};

/// A batch of the shape of the page's sample: nested objects, nulls, lists of objects, numbers that no float can hold,
/// escapes, and text that is not ASCII.
const SAMPLE: &str = concat!(
    r#"{"Index":7,"Events":[{"Topic":"Node","Type":"NodeRegistration","Key":"0f4b3c2a-9d1e-4f57-8a66-2b1f0c9d8e7a","#,
    r#""Namespace":"","FilterKeys":null,"Index":7,"Payload":{"Node":{"ID":"0f4b3c2a-9d1e-4f57-8a66-2b1f0c9d8e7a","#,
    r#""Datacenter":"dc1","Name":"worker \"one\"\t\u00e9\\","TLSEnabled":false,"#,
    r#""Attributes":{"cpu.numcores":"8","os.signals":"SIGINT,SIGTERM"},"#,
    r#""NodeResources":{"Cpu":{"CpuShares":33600},"Networks":[{"Mode":"bridge","CIDR":"","DNS":null,"#,
    r#""ReservedPorts":null},{"Mode":"host","CIDR":"::1/128","MBits":1000,"DNS":null}],"Devices":null},"#,
    r#""Links":null,"Meta":{},"ComputedClass":"v1:9803688035578634002","#,
    r#""BytesFree":18446744073709551615,"Offset":-9223372036854775808,"Ratio":0.1,"Tiny":1e-7,"#,
    r#""Beyond":123456789012345678901234567890,"Events":[{"Message":"registriert: ja ✓","Details":null,"#,
    r#""Timestamp":"2020-10-15T10:07:37-04:00","CreateIndex":0}],"CreateIndex":7,"ModifyIndex":7}}}]}"#
);

/// The sample is read, published, delivered and framed again, byte for byte.
#[test]
fn the_sample_goes_round_byte_for_byte() {
    let line = format!("{SAMPLE}\n");
    let mut decoder = Decoder::<Box<RawValue>>::new();
    let incoming = decoder.decode(&mut line.as_bytes()).expect("a line").expect("a frame");
    let batch = incoming.into_batch().expect("events");
    assert_eq!((batch.index(), batch.events().len()), (7, 1));
    let event = batch.events().first().expect("one");
    assert_eq!((event.topic().as_str(), event.event_type().as_str(), event.index()), ("Node", "NodeRegistration", 7));
    assert!(event.namespace().is_empty() && event.filter_keys().is_empty());
    assert_eq!(serde_json::to_string(&batch).expect("JSON"), SAMPLE);
    assert_eq!(Frame::encode(&batch).expect("JSON").as_str(), line);

    let broker = Broker::<Box<RawValue>>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    broker.publish(batch.index(), batch).expect("the first");
    assert_eq!(reader.recv().expect("one").frame().expect("JSON").as_str(), line);
}

/// Numbers in payloads stay what they were, also where a host reads them as a value.
#[test]
fn large_integers_stay_integers() {
    let batch: Batch<Value> =
        serde_json::from_str(SAMPLE.replace(r#""Beyond":123456789012345678901234567890,"#, "").as_str())
            .expect("a batch");
    let payload = batch.events().first().expect("one").payload();
    assert_eq!(payload.pointer("/Node/BytesFree"), Some(&Value::from(u64::MAX)));
    assert_eq!(payload.pointer("/Node/Offset"), Some(&Value::from(i64::MIN)));
    let text = Frame::encode(&batch).expect("JSON");
    assert!(text.as_str().contains("\"BytesFree\":18446744073709551615,"));
    assert!(text.as_str().contains("\"Offset\":-9223372036854775808,"));
}

/// The order of fields; `null` for no filter keys, `""` for no namespace, a list and a name where there are some.
#[test]
fn the_form_of_an_event() {
    let bare = Event::new("Node", "NodeDrain", "n1", 1_u64);
    let full = job("web").with_filter_keys(["a", "b"]);
    let frame = Frame::encode(&Batch::new(9, vec![bare, full])).expect("JSON");
    assert_eq!(
        frame.as_str(),
        concat!(
            r#"{"Index":9,"Events":["#,
            r#"{"Topic":"Node","Type":"NodeDrain","Key":"n1","Namespace":"","FilterKeys":null,"Index":9,"Payload":1},"#,
            r#"{"Topic":"Job","Type":"Changed","Key":"web","Namespace":"default","FilterKeys":["a","b"],"Index":9,"#,
            r#""Payload":0}]}"#,
            "\n",
        )
    );
}

/// "Splitting the streaming response at every `\n` character will guarantee each message is a valid JSON object."
#[test]
fn every_line_is_a_valid_json_object() {
    let broker = Broker::<Value>::new();
    let reader = broker.subscribe(Request::new()).expect("open");
    for index in 1..=5 {
        let payload = serde_json::json!({ "Text": "a\nb\r\n{}\n", "Index": index });
        broker.publish(index, [Event::new("Job", "JobRegistered", "line\nbreak", payload)]).expect("rising");
    }
    drop(broker);
    let mut body = Vec::new();
    reader.into_frames(FrameOptions::new()).write_to(&mut body).expect("a vector takes all");
    let body = String::from_utf8(body).expect("UTF-8");
    let lines: Vec<_> = body.strip_suffix('\n').expect("a newline at the end").split('\n').collect();
    assert_eq!(lines.len(), 6, "a heartbeat and five batches");
    for line in lines {
        assert!(serde_json::from_str::<Value>(line).expect("JSON").is_object(), "{line}");
    }
}

/// "Each JSON object may include multiple events or no events (heartbeating to keep the connection open)."
#[test]
fn objects_without_events_are_heartbeats() {
    let broker = Broker::<u64>::new();
    let options = FrameOptions::new().heartbeat(Duration::from_millis(1)).expect("long enough");
    let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(options);
    let mut next = || frames.next().expect("open").expect("a frame");
    assert_eq!((next().as_str(), next().as_str()), ("{}\n", "{}\n"));
    broker.publish(3, [event("Job", "a"), event("Job", "b")]).expect("the first");
    let frame = std::iter::repeat_with(next).find(|frame| !frame.is_heartbeat()).expect("it comes");
    let mut incoming = FrameReader::<_, u64>::new(frame.as_bytes());
    let Some(Ok(Incoming::Batch { batch, token })) = incoming.next() else { panic!("expected a batch") };
    assert_eq!((batch.index(), batch.events().len(), token), (3, 2, None));
    assert_eq!(FrameOptions::new().heartbeat_interval(), Duration::from_secs(30));
}
