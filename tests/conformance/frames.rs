//! `nomad/stream/ndjson_test.go`, and the body of the agent's stream: frames as a client sees them.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use event_broker::{
    Broker, Event, Frame, FrameError, FrameOptions, FrameReader, Incoming, RecvError, Request, WriteError,
};
use serde_json::{Value, json};

use crate::common::{TIME_LIMIT, in_time};

fn named(index: u64, name: &str) -> (u64, [Event<Value>; 1]) {
    (index, [Event::new("Test", "TestEvent", name, json!({ "name": name }))])
}

fn publish(broker: &Broker<Value>, (index, events): (u64, [Event<Value>; 1])) {
    broker.publish(index, events).expect("rising");
}

/// The frames of a subscription, as another thread reads them.
fn frames_elsewhere(broker: &Broker<Value>, options: FrameOptions) -> Receiver<Result<Frame, FrameError>> {
    let frames = broker.subscribe(Request::new()).expect("open").into_frames(options);
    let (send, receive) = mpsc::channel();
    thread::spawn(move || frames.into_iter().try_for_each(|frame| send.send(frame)));
    receive
}

/// `TestJsonStream`: first `{}`, then the first object, nothing for 100 ms, then the second.
#[test]
fn json_stream() {
    let broker = Broker::<Value>::new();
    let frames = frames_elsewhere(&broker, FrameOptions::new());
    let next = || frames.recv_timeout(TIME_LIMIT).expect("a frame").expect("open");
    assert_eq!(next().as_str(), "{}\n");
    publish(&broker, named(1, "test"));
    assert!(next().as_str().contains(r#""Payload":{"name":"test"}"#));
    assert!(frames.recv_timeout(Duration::from_millis(100)).is_err());
    publish(&broker, named(2, "test2"));
    assert!(next().as_str().contains(r#""Payload":{"name":"test2"}"#));
}

/// `TestJsonStream_Send_After_Stop`: after the end there is only the end.
#[test]
fn json_stream_send_after_stop() {
    let broker = Broker::<Value>::new();
    let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(FrameOptions::new());
    assert!(frames.try_frame().expect("open").is_some());
    frames.subscription().handle().cancel();
    publish(&broker, named(1, "test"));
    for _ in 0..2 {
        assert_eq!(frames.try_frame(), Err(FrameError::Recv(RecvError::Cancelled)));
    }
    assert_eq!(frames.next(), Some(Err(FrameError::Recv(RecvError::Cancelled))));
    assert_eq!(frames.next(), None);
}

/// `TestJsonStream_HeartBeat`: the first item is the heartbeat, and more follow in silence.
#[test]
fn json_stream_heartbeat() {
    let broker = Broker::<Value>::new();
    let options = FrameOptions::new().heartbeat(Duration::from_millis(5)).expect("long enough");
    let frames = frames_elsewhere(&broker, options);
    for _ in 0..3 {
        assert_eq!(frames.recv_timeout(TIME_LIMIT).expect("a frame").expect("open"), Frame::heartbeat());
    }
}

/// A client that reads this many bytes of a body and then leaves.
struct Client(Sender<Vec<u8>>);

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `TestEventStream` (agent): the body holds the payload `{"ID":"123"}`; a client that leaves ends its stream.
#[test]
fn http_event_stream_body() {
    in_time(|| {
        let broker = Broker::<Value>::new();
        let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(FrameOptions::new());
        let (send, body) = mpsc::channel();
        let server = thread::spawn(move || frames.write_to(Client(send)));
        assert_eq!(body.recv().expect("the opening heartbeat"), b"{}\n");
        broker.publish(100, [Event::new("Test", "TestEvent", "123", json!({ "ID": "123" }))]).expect("rising");
        let text = String::from_utf8(body.recv().expect("a frame in one write")).expect("UTF-8");
        assert!(text.contains(r#"{"ID":"123"}"#) && text.ends_with("}\n"));
        drop(body);
        publish(&broker, named(101, "unseen"));
        assert!(matches!(server.join().expect("it ended"), Err(WriteError::Io(_))));
        assert_eq!(broker.stats().subscriptions, 0);
    });
}

/// `TestEventStream` (endpoint): heartbeats are skipped, three batches arrive, their payloads decode.
#[test]
fn event_stream_decodes() {
    let broker = Broker::<Value>::new();
    publish(&broker, named(1, "a"));
    let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(FrameOptions::new());
    publish(&broker, named(2, "b"));
    publish(&broker, named(3, "c"));
    broker.close();
    let mut body = Vec::new();
    assert_eq!(frames.write_to(&mut body).expect("a vector takes all"), RecvError::Closed);
    let incoming = FrameReader::<_, Value>::new(&body[..]).map(|frame| frame.expect("a frame"));
    let names: Vec<_> = incoming
        .filter_map(|frame| match frame {
            Incoming::Batch { batch, .. } => batch.events().first().map(|event| event.payload()["name"].clone()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
}
