//! Frames: encoded once, written whole, distinguished from each other, and subject to the same fence.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_broker::nomad::{event_type, topic};
use event_broker::{
    Broker, Decoder, Event, FrameError, FrameOptions, FrameReader, Grant, Incoming, RecvError, Request, Start,
};
use serde::{Serialize, Serializer};

use crate::common::{Rules, asks, event, in_time, job, publish_all, ruled_by, term, who};

/// A payload that counts how often it is encoded.
struct Counted(Arc<AtomicUsize>);

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        serializer.serialize_str("payload")
    }
}

/// An event is encoded once, however many subscriptions read it, however they filter, and on replay too
/// (semantics 25).
#[test]
fn an_event_is_encoded_once() {
    let broker = Broker::<Counted>::new();
    let count = Arc::new(AtomicUsize::new(0));
    let event = |key: &str| Event::new("Job", "Changed", key, Counted(Arc::clone(&count)));
    let mut readers: Vec<_> = (0..20).map(|_| broker.subscribe(Request::new()).expect("open")).collect();
    for keys in [&["web"][..], &["db"], &["web", "db"]] {
        let terms = keys.iter().map(|key| term("Job", key));
        readers.push(broker.subscribe(Request::new().terms(terms)).expect("open"));
    }
    broker.publish(1, [event("web"), event("db"), event("other")]).expect("the first");
    readers.push(broker.subscribe(Request::new()).expect("from the backlog"));
    let frames: Vec<_> =
        readers.iter_mut().rev().map(|reader| reader.try_recv().expect("one").frame().expect("JSON")).collect();
    assert_eq!(count.load(Ordering::SeqCst), 3);
    let whole = frames.first().expect("one");
    assert_eq!(frames.iter().filter(|frame| frame.as_ptr() == whole.as_ptr()).count(), 21, "shared on replay too");
}

/// The writes that a writer received, and where it was flushed.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<Option<String>>>>);

impl Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        self.0.lock().expect("free").push(Some(text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().expect("free").push(None);
        Ok(())
    }
}

/// A frame and its newline are one write, and the writer is flushed before waiting (semantics 24).
#[test]
fn a_frame_and_its_newline_are_one_write() {
    let broker = Broker::<u64>::new();
    let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(FrameOptions::new());
    publish_all(&broker, 1..=3);
    broker.close();
    let writes = Writes::default();
    assert_eq!(frames.write_to(writes.clone()).expect("it takes all"), RecvError::Closed);
    let writes = writes.0.lock().expect("free").clone();
    let texts: Vec<_> = writes.iter().flatten().collect();
    assert_eq!(texts.len(), 4);
    assert!(texts.iter().all(|text| text.find('\n') == Some(text.len() - 1)));
    assert_eq!(writes.last(), Some(&None), "flushed at the end");
}

/// Heartbeats reach the decoder: a dead link can be distinguished from a silent one (semantics 26).
#[test]
fn heartbeats_are_not_swallowed() {
    let mut decoder = Decoder::<u64>::new();
    let mut input = &b"{}\n\n{\"Index\":7}\n"[..];
    assert_eq!(decoder.decode(&mut input), Some(Ok(Incoming::Heartbeat)));
    assert_eq!(decoder.decode(&mut input), Some(Ok(Incoming::Progress(7))));
    assert_eq!(decoder.decode(&mut input), None);
}

/// Integers beyond the range of floats are unchanged after a round trip, in JSON and as numbers (semantics 2).
#[test]
fn numbers_stay_what_they_were() {
    for number in ["9007199254740993", "18446744073709551615", "-9223372036854775808", "0.1", "1e-7"] {
        let line = format!(
            "{{\"Index\":1,\"Events\":[{{\"Topic\":\"T\",\"Type\":\"t\",\"Key\":\"k\",\"Payload\":{number}}}]}}"
        );
        let mut reader = FrameReader::<_, serde_json::Value>::new(line.as_bytes());
        let batch = reader.next().expect("one").expect("a frame").into_batch().expect("a batch");
        assert_eq!(batch.events().first().expect("one").payload().to_string(), number);
    }
}

/// A heartbeat interval of zero is an error and no panic (semantics 24).
#[test]
fn a_heartbeat_interval_of_zero_is_an_error() {
    let error = FrameOptions::new().heartbeat(Duration::ZERO).expect_err("no interval");
    assert_eq!(error.interval, Duration::ZERO);
    assert_eq!(FrameOptions::new().heartbeat_interval(), Duration::from_secs(30));
}

/// No timer outlives the frames: when they are gone the subscription is, and no heartbeats accumulate for a stalled
/// consumer (semantics 24).
#[test]
fn nothing_ticks_after_the_frames_are_gone() {
    let broker = Broker::<u64>::new();
    let options = FrameOptions::new().heartbeat(Duration::from_millis(1)).expect("long enough");
    let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(options);
    assert!(frames.try_frame().expect("open").expect("the opening").is_heartbeat());
    std::thread::sleep(Duration::from_millis(20));
    assert!(frames.try_frame().expect("open").expect("one is due").is_heartbeat());
    publish_all(&broker, [1]);
    assert!(!frames.try_frame().expect("open").expect("no second one was gathered").is_heartbeat());
    drop(frames);
    assert_eq!(broker.stats().subscriptions, 0);
}

/// Frames that were readable when access was revoked are not sent, and none is lost on an error before it (semantics
/// 17).
#[test]
fn no_frame_is_sent_after_a_revocation() {
    let rules = Rules::new(|_| Ok(Grant::all()));
    let broker = ruled_by(&rules);
    let request = || asks("Job", "*").principal(who("6f1c"));
    let mut frames = broker.subscribe(request()).expect("open").into_frames(FrameOptions::new());
    publish_all(&broker, 1..=10);
    for _ in 0..3 {
        assert!(frames.try_frame().expect("open").is_some());
    }
    let mut unopened = broker.subscribe(request()).expect("open").into_frames(FrameOptions::new());
    broker.publish(11, [Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, "6f1c", 0)]).expect("rising");
    for frames in [&mut frames, &mut unopened] {
        assert!(matches!(frames.try_frame(), Err(FrameError::Recv(RecvError::Revoked(_)))));
        let mut body = Vec::new();
        assert!(matches!(frames.write_to(&mut body), Ok(RecvError::Revoked(_))));
        assert!(body.is_empty(), "not even a heartbeat");
    }
}

/// A narrow reader without matches for long receives the progress of the state, and resumes there (semantics 24).
#[test]
fn progress_names_where_to_resume() {
    let broker = Broker::<u64>::builder().max_batches(4).build().expect("a bound above zero");
    let options = FrameOptions::new().heartbeat(Duration::from_millis(1)).expect("long enough").progress(true);
    let mut frames = broker.subscribe(asks("Node", "*")).expect("open").into_frames(options);
    assert_eq!(frames.next().expect("open").expect("a frame").as_str(), "{}\n");
    publish_all(&broker, 1..=1_000);
    let progress = in_time(move || frames.next().expect("open").expect("a frame"));
    assert_eq!(progress.as_str(), "{\"Index\":999,\"Events\":[]}\n");
    broker.publish(1_000, [event("Node", "n")]).expect("a further batch of the newest");
    let mut resumed = broker.subscribe(asks("Node", "*").start(Start::Index(1_000))).expect("open");
    assert_eq!(resumed.verdict(), event_broker::Verdict::Whole);
    assert_eq!(resumed.recv().expect("not missed").index(), 1_000);
}

/// No error goes in-band: the end is the last item, and what was sent stays a whole number of lines (semantics 24).
#[test]
fn errors_do_not_go_in_band() {
    let broker = Broker::<u64>::builder().max_batches(1).build().expect("a bound above zero");
    let mut frames = broker.subscribe(Request::new()).expect("open").into_frames(FrameOptions::new());
    let mut body = Vec::new();
    assert!(frames.try_frame().expect("open").is_some());
    assert_eq!(frames.try_frame(), Ok(None));
    for index in 1..=3 {
        broker.publish(index, [job("web")]).expect("rising");
    }
    assert!(matches!(frames.write_to(&mut body), Ok(RecvError::Lagged(lagged)) if lagged.missed == 2));
    assert!(body.is_empty());
}
