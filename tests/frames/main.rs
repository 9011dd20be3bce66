//! Streams of frames, clause by clause of semantics 24 and 25, and the reference server's own ndjson tests.
//!
//! The codec alone is tested in the crate.
#![cfg(all(feature = "json", not(broker_loom)))]
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod clock;
#[path = "../common/mod.rs"]
mod common;
mod doorbell;
#[cfg(feature = "stream")]
mod stream;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::{
    AccessChange, Broker, Decoder, Event, Frame, FrameError, FrameOptions, Frames, Incoming, LagPolicy, Principal,
    RecvError, Request, Start, Term, Token, Verdict, WriteError,
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

const NEVER: Duration = Duration::MAX;
const SHORT: Duration = Duration::from_millis(2);

fn options(heartbeat: Duration) -> FrameOptions {
    FrameOptions::new().heartbeat(heartbeat).unwrap()
}

fn job<P>(key: &str, payload: P) -> Event<P> {
    Event::new("Job", "JobRegistered", key, payload)
}

fn line(index: u64, key: &str, payload: &str) -> String {
    let names = format!(r#""Topic":"Job","Type":"JobRegistered","Key":"{key}","Namespace":"","FilterKeys":null"#);
    format!("{{\"Index\":{index},\"Events\":[{{{names},\"Index\":{index},\"Payload\":{payload}}}]}}\n")
}

fn revoke<P>(broker: &Broker<P>) {
    broker.access_changed(AccessChange::TokenDeleted("reader".into()));
}

fn text(frame: Option<Result<Frame, FrameError>>) -> String {
    frame.unwrap().unwrap().as_str().to_owned()
}

/// The next frame now, as text; empty if there is none.
fn now<P: Serialize>(frames: &mut Frames<P>) -> String {
    frames.try_frame().unwrap().map_or_else(String::new, |frame| frame.to_string())
}

/// A payload that counts how often it is encoded.
struct Counted(Arc<AtomicUsize>);

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        serializer.serialize_u8(7)
    }
}

/// A payload that cannot be encoded if the flag is set.
struct Fussy(bool);

impl Serialize for Fussy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 { Err(serde::ser::Error::custom("no")) } else { serializer.serialize_unit() }
    }
}

// Conformance: ndjson JsonStream, HeartBeat, Send_After_Stop.
#[test]
fn ndjson_json_stream() {
    let broker = Broker::new();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(NEVER));
    assert_eq!(text(frames.next()), "{}\n");
    broker.publish(1, [job("a", "test")]).unwrap();
    assert_eq!(text(frames.next()), line(1, "a", "\"test\""));
    assert_eq!(frames.try_frame(), Ok(None));
    broker.publish(2, [job("b", "test2")]).unwrap();
    assert_eq!(text(frames.next()), line(2, "b", "\"test2\""));
}

#[test]
fn ndjson_heartbeat_comes_first_and_whenever_the_interval_passes() {
    let broker = Broker::<u8>::new();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(SHORT));
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(text(frames.next()), "{}\n");
    }
    assert!(begun.elapsed() >= 3 * SHORT, "an interval lies between two");
}

#[test]
fn ndjson_send_after_stop() {
    let broker = Broker::new();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(NEVER));
    broker.close();
    assert!(broker.publish(1, [job("a", 1)]).is_err());
    assert_eq!(text(frames.next()), "{}\n");
    assert!(frames.next().is_none() && frames.next().is_none());
}

// Semantics 24: zero is an error; heartbeats do not accumulate for a stalled consumer.
#[test]
fn an_interval_of_zero_names_the_minimum() {
    let error = FrameOptions::new().heartbeat(Duration::ZERO).unwrap_err();
    assert_eq!((error.interval, error.minimum), (Duration::ZERO, FrameOptions::MIN_HEARTBEAT));
    assert_eq!(FrameOptions::default().heartbeat_interval(), Duration::from_secs(30));
}

#[test]
fn a_stalled_consumer_gathers_no_heartbeats() {
    let broker = Broker::new();
    // Long enough that it cannot pass between two calls, and short enough to wait for.
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(Duration::from_millis(700)));
    assert_eq!(now(&mut frames), "{}\n");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(now(&mut frames), "{}\n", "two intervals, one heartbeat");
    assert_eq!(now(&mut frames), "");
    thread::sleep(Duration::from_millis(750));
    broker.publish(1, [job("a", 1)]).unwrap();
    assert_eq!(now(&mut frames), line(1, "a", "1"), "what is there to read goes first");
    assert_eq!(now(&mut frames), "", "and counts as a sign of life");
}

// Semantics 24: exactly one newline, also for raw payloads.
#[test]
fn raw_payloads_hold_no_newline_on_the_wire() {
    let broker = Broker::new();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(NEVER));
    let raw = RawValue::from_string("{\n\"a\":\n1,\r\n\"b\": \"x\\ny\"}".into()).unwrap();
    broker.publish(1, [job("a", raw)]).unwrap();
    assert_eq!(now(&mut frames), "{}\n");
    assert_eq!(now(&mut frames), line(1, "a", r#"{ "a": 1,  "b": "x\ny"}"#));
}

/// JSON has no such numbers. They do not fail a frame; what comes back is null.
#[test]
fn numbers_that_json_does_not_have_become_null() {
    let broker = Broker::new();
    let mut reader = broker.subscribe(Request::new()).unwrap();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(NEVER));
    broker.publish(1, [job("a", [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1.5])]).unwrap();
    let expected = line(1, "a", "[null,null,null,-0.0,1.5]");
    assert_eq!(reader.try_recv().unwrap().frame().unwrap().as_str(), expected);
    assert_eq!((now(&mut frames).as_str(), now(&mut frames)), ("{}\n", expected.clone()));
    let decode = Decoder::<[Option<f64>; 5]>::new().decode(&mut expected.as_bytes()).unwrap().unwrap();
    let batch = decode.into_batch().unwrap();
    assert_eq!(*batch.events().first().unwrap().payload(), [None, None, None, Some(-0.0), Some(1.5)]);
}

/// A writer that records every call.
#[derive(Default)]
struct Log(Vec<Option<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(Some(bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.push(None);
        Ok(())
    }
}

/// Publishes another batch once the first two were flushed, so it comes only because of the flush.
struct Peer(Log, Option<Broker<i32>>);

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(broker) = self.1.take() {
            let publisher = thread::spawn(move || broker.publish(3, [job("d", 4)]).unwrap());
            publisher.join().unwrap();
        }
        self.0.flush()
    }
}

// Semantics 24: one write a frame, newline included, and a flush before waiting.
#[test]
fn a_frame_is_one_write_and_a_wait_comes_after_a_flush() {
    let broker = Broker::new();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(NEVER));
    broker.publish(1, [job("a", 1), job("b", 2)]).unwrap();
    broker.publish(2, [job("c", 3)]).unwrap();

    let mut peer = Peer(Log::default(), Some(broker));
    assert_eq!(frames.write_to(&mut peer).unwrap(), RecvError::Closed);
    let calls: Vec<_> = peer.0.0.iter().map(|call| call.as_ref().map(|bytes| bytes.ends_with(b"}\n"))).collect();
    assert_eq!(calls, [Some(true), Some(true), Some(true), None, Some(true), None]);
    assert!(peer.0.0.iter().flatten().all(|bytes| bytes.split_inclusive(|byte| *byte == b'\n').count() == 1));
    assert_eq!(frames.write_to(&mut peer).unwrap(), RecvError::Closed, "an end repeats");
}

#[test]
fn a_writer_that_fails_is_distinguished_from_an_end() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let broker = Broker::<u8>::new();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(NEVER));
    let Err(WriteError::Io(error)) = frames.write_to(Broken) else { panic!("the writer fails") };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

// Semantics 24, 23: no error goes in-band; the end is the last item, for Closed there is none.
#[test]
fn ends_are_the_last_item_and_never_written() {
    let request = || Request::<u8>::new().principal(Principal::new("reader"));
    let broker = Broker::new();
    let subscription = broker.subscribe(request()).unwrap();
    let handle = subscription.handle();
    let mut frames = subscription.into_frames(options(NEVER));
    assert_eq!(text(frames.next()), "{}\n");
    handle.cancel();
    assert_eq!(frames.next(), Some(Err(FrameError::Recv(RecvError::Cancelled))));
    assert_eq!(frames.next(), None);
    assert_eq!(frames.try_frame(), Err(FrameError::Recv(RecvError::Cancelled)));

    let mut frames = broker.subscribe(request()).unwrap().into_frames(options(NEVER));
    broker.reset(5, 1.into());
    let mut log = Log::default();
    assert_eq!(frames.write_to(&mut log).unwrap(), RecvError::Reset);
    assert_eq!(log.0, [None], "nothing but a flush");
}

// Semantics 17: frames obey the fence.
#[test]
fn after_a_revocation_no_frame_leaves_not_even_of_what_was_readable() {
    for opened in [true, false] {
        let broker = Broker::new();
        let request = Request::new().principal(Principal::new("reader"));
        let mut frames = broker.subscribe(request).unwrap().into_frames(options(SHORT));
        broker.publish(1, [job("a", 1)]).unwrap();
        broker.publish(2, [job("b", 2)]).unwrap();
        if opened {
            assert_eq!(now(&mut frames), "{}\n");
            assert_eq!(now(&mut frames), line(1, "a", "1"));
        }
        revoke(&broker);
        broker.publish(3, [job("c", 3)]).unwrap();
        assert!(matches!(frames.next(), Some(Err(FrameError::Recv(RecvError::Revoked(_))))));
        assert_eq!(frames.next(), None);
    }
}

#[test]
fn a_revocation_ends_a_wait() {
    let broker = Broker::<u8>::new();
    let request = Request::new().principal(Principal::new("reader"));
    let mut frames = broker.subscribe(request).unwrap().into_frames(options(NEVER));
    let reader = thread::spawn(move || frames.write_to(io::sink()).unwrap());
    revoke(&broker);
    assert!(matches!(reader.join().unwrap(), RecvError::Revoked(_)));
}

#[test]
fn a_loss_that_is_no_end_is_an_item_and_the_stream_continues() {
    let broker = Broker::builder().max_batches(1).build().unwrap();
    let subscribe = || broker.subscribe(Request::new().start(Start::Latest).lag_policy(LagPolicy::Continue)).unwrap();
    let (mut frames, mut written) = (subscribe().into_frames(options(NEVER)), subscribe().into_frames(options(NEVER)));
    assert_eq!(text(frames.next()), "{}\n");
    (1..=3).for_each(|index| broker.publish(index, [job("a", index)]).unwrap());
    let Some(Err(FrameError::Recv(RecvError::Lagged(lagged)))) = frames.next() else { panic!("it was overtaken") };
    assert_eq!((lagged.missed, lagged.resumes_at), (2, 3));
    assert_eq!(text(frames.next()), line(3, "a", "3"));

    let mut bytes = Vec::new();
    assert_eq!(written.write_to(&mut bytes).unwrap(), RecvError::Lagged(lagged));
    broker.close();
    assert_eq!(written.write_to(&mut bytes).unwrap(), RecvError::Closed);
    assert_eq!(String::from_utf8(bytes).unwrap(), format!("{{}}\n{}", line(3, "a", "3")));
}

#[test]
fn a_payload_that_refuses_is_an_item_and_its_delivery_is_passed() {
    let broker = Broker::new();
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(NEVER));
    broker.publish(1, [job("a", Fussy(false)), job("b", Fussy(true))]).unwrap();
    broker.publish(2, [job("c", Fussy(false))]).unwrap();
    assert_eq!(text(frames.next()), "{}\n");
    let Some(Err(FrameError::Encode(error))) = frames.next() else { panic!("b refuses") };
    assert_eq!((error.key.as_str(), error.index), ("b", 1));
    assert_eq!(text(frames.next()), line(2, "c", "null"));
}

// Semantics 24: progress, never wrong for this reader.
#[test]
fn heartbeats_carry_what_is_certainly_finished() {
    let broker = Broker::new();
    let narrow = || Request::new().term(Term::new("Job", "web").unwrap());
    let beat = options(SHORT).progress(true);
    let frames = |request: Request<i32>| {
        let mut frames = broker.subscribe(request).unwrap().into_frames(beat);
        assert_eq!(text(frames.next()), "{}\n", "the first is always plain");
        frames
    };
    let mut web = frames(narrow());
    assert_eq!(text(web.next()), "{}\n", "nothing is finished");
    broker.publish(10, [job("db", 1)]).unwrap();
    assert_eq!(text(web.next()), "{\"Index\":9,\"Events\":[]}\n", "index 10 may have a further batch");
    broker.publish(10, [job("web", 2)]).unwrap();
    assert_eq!(text(web.next()), line(10, "web", "2"));
    assert_eq!(text(web.next()), "{\"Index\":9,\"Events\":[]}\n");
    broker.publish(20, []).unwrap();
    assert_eq!(text(web.next()), "{\"Index\":19,\"Events\":[]}\n");
    assert_eq!(text(frames(narrow().start(Start::Latest)).next()), "{\"Index\":19,\"Events\":[]}\n");

    let mut future = frames(narrow().start(Start::Index(100)));
    assert_eq!(text(future.next()), "{}\n", "99 has not come yet");
    broker.publish(100, []).unwrap();
    assert_eq!(text(future.next()), "{\"Index\":99,\"Events\":[]}\n");

    // The reported position is where to resume: nothing is missed.
    broker.publish(100, [job("web", 3)]).unwrap();
    assert_eq!(text(frames(narrow().start(Start::Index(100))).next()), line(100, "web", "3"));
}

// Semantics 24: the token is the last field, and resumes.
#[test]
fn frames_carry_the_resume_token_as_their_last_field() {
    let broker = Broker::new();
    let request = || Request::new().term(Term::new("Job", "a").unwrap());
    let mut frames = broker.subscribe(request()).unwrap().into_frames(options(NEVER).tokens(true));
    broker.publish(7, [job("a", 1), job("b", 2)]).unwrap();
    broker.publish(7, [job("a", 3)]).unwrap();
    let opening = now(&mut frames);
    assert!(opening.starts_with("{\"Token\":\"") && opening.ends_with("\"}\n"), "{opening}");
    let frame = now(&mut frames);
    let (body, tail) = frame.split_once("],").unwrap();
    assert_eq!(format!("{body}]}}\n"), line(7, "a", "1"));
    let token: Token = tail.strip_prefix("\"Token\":\"").unwrap().strip_suffix("\"}\n").unwrap().parse().unwrap();
    assert_eq!(frames.subscription().token(), token);
    let mut decoder = Decoder::<i32>::new();
    let Some(Ok(Incoming::Batch { token: read, .. })) = decoder.decode(&mut frame.as_bytes()) else {
        panic!("a batch")
    };
    assert_eq!(read, Some(token));
    let mut resumed = broker.subscribe(request().start(Start::After(token))).unwrap();
    assert_eq!(*resumed.try_recv().unwrap().events().next().unwrap().payload(), 3);
}

/// The content of a frame without events.
fn heartbeat(text: &str) -> (Option<u64>, Option<Token>) {
    match Decoder::<i32>::new().decode(&mut text.as_bytes()) {
        Some(Ok(Incoming::Heartbeat)) => (None, None),
        Some(Ok(Incoming::Progress(index))) => (Some(index), None),
        Some(Ok(Incoming::Bookmark { index, token })) => (index, Some(token)),
        other => panic!("expected a heartbeat: {other:?}"),
    }
}

// Semantics 24: heartbeats carry the token too, the opening one included; a reader that matched nothing can resume.
#[test]
fn heartbeats_carry_the_resume_token_of_the_readers_position() {
    for progress in [false, true] {
        let broker = Broker::builder().max_batches(2).build().unwrap();
        broker.publish(3, [job("db", 1)]).unwrap();
        let narrow = || Request::new().term(Term::new("Job", "web").unwrap());
        let subscription = broker.subscribe(narrow().start(Start::Latest)).unwrap();
        let opened_at = subscription.token();
        let mut frames = subscription.into_frames(options(SHORT).tokens(true).progress(progress));
        let opening = text(frames.next());
        assert_eq!(heartbeat(&opening), (None, Some(opened_at)), "{opening}");
        assert_eq!(opening, format!("{{\"Token\":\"{opened_at}\"}}\n"));

        (4..=9).for_each(|index| broker.publish(index, [job("db", 1)]).unwrap());
        let beat = text(frames.next());
        let token = frames.subscription().token();
        assert_eq!(heartbeat(&beat), (progress.then_some(8), Some(token)), "{beat}");
        assert!(beat.ends_with(&format!("\"Token\":\"{token}\"}}\n")), "{beat}");
        let late = broker.subscribe(narrow().start(Start::After(opened_at))).unwrap();
        assert!(matches!(late.verdict(), Verdict::Lost { .. }), "the opening token is of long ago");
        let mut resumed = broker.subscribe(narrow().start(Start::After(token))).unwrap();
        assert_eq!(resumed.verdict(), Verdict::Whole, "a reader that resumes there loses nothing");
        broker.publish(10, [job("web", 2)]).unwrap();
        assert_eq!(resumed.try_recv().unwrap().index(), 10);
        assert!(!frames.next().unwrap().unwrap().is_heartbeat());
    }
}

// Semantics 25: encoded once, however many read and however they filter; whole batches are shared bytes.
#[test]
fn each_event_is_encoded_once_and_whole_frames_are_shared() {
    for tokens in [false, true] {
        let count = Arc::new(AtomicUsize::new(0));
        let broker = Broker::new();
        let requests = [
            Request::new().term(Term::new("Job", "k3").unwrap()),
            Request::new(),
            Request::new().filter(|event: &Event<Counted>| event.key() != "k3"),
            Request::new().term(Term::topic("Job").unwrap()),
            Request::new().term(Term::new("Job", "k0").unwrap()).term(Term::new("Job", "k69").unwrap()),
        ];
        let subscriptions: Vec<_> = requests.into_iter().map(|request| broker.subscribe(request).unwrap()).collect();
        broker
            .publish(1, (0..70).map(|n| job(&format!("k{n}"), Counted(Arc::clone(&count)))).collect::<Vec<_>>())
            .unwrap();
        let mut pointers = Vec::new();
        let mut lens = Vec::new();
        for subscription in subscriptions {
            let mut frames = subscription.into_frames(options(NEVER).tokens(tokens));
            assert!(frames.next().unwrap().unwrap().is_heartbeat());
            let frame = frames.next().unwrap().unwrap();
            lens.push(frame.as_str().matches("\"Topic\"").count());
            pointers.push(frame.as_ptr());
        }
        assert_eq!(lens, [1, 70, 69, 70, 2]);
        assert_eq!(pointers.get(1), pointers.get(3), "shared bytes");
        assert_eq!(count.load(Ordering::Relaxed), 70);
    }
}

#[test]
fn a_window_gives_the_same_frames_as_a_read() {
    let broker = Broker::new();
    let subscribe = || broker.subscribe(Request::new().term(Term::new("Job", "b").unwrap())).unwrap();
    let (mut window, mut read) = (subscribe(), subscribe());
    broker.publish(1, (0..70).map(|n| job(if n % 2 == 0 { "a" } else { "b" }, n)).collect::<Vec<_>>()).unwrap();
    let mut drain = window.drain().unwrap();
    let delivery = drain.iter().next().unwrap();
    let owned = read.try_recv().unwrap();
    assert_eq!(delivery.frame(), owned.frame());
    assert_eq!(delivery.frame_with_token(), delivery.to_delivery().frame_with_token());
    assert_eq!(owned.frame().unwrap().as_str().matches("\"Key\":\"b\"").count(), 35);
}

// Semantics 2, 25: what was recorded comes out as it went in.
#[test]
fn a_recorded_frame_is_published_and_framed_byte_for_byte() {
    let payload = concat!(
        r#"{"Node":{"ID":"5d0c","Attributes":{"cpu.arch":"amd64","os.signals":"A,B"},"TLSEnabled":false,"Links":null,"#,
        r#""Resources":{"CPU":0,"MemoryMB":16525733888,"Big":18446744073709551616,"Ratio":1.50},"#,
        r#""Quoted":"a \"b\" \\ \u00e9 \u2028 <>&","Events":[{"Timestamp":"2020-10-15T10:07:37-04:00","Index":0},[]]}}"#,
    );
    let input = format!(
        "{{\"Index\":7,\"Events\":[{{\"Topic\":\"Node\",\"Type\":\"NodeRegistration\",\"Key\":\"5d0c\",\
         \"Namespace\":\"\",\"FilterKeys\":null,\"Index\":7,\"Payload\":{payload}}}]}}\n"
    );
    let mut decoder = Decoder::<Box<RawValue>>::new();
    let batch = decoder.decode(&mut input.as_bytes()).unwrap().unwrap().into_batch().unwrap();
    let broker = Broker::new();
    let mut reader = broker.subscribe(Request::new()).unwrap();
    broker.publish(batch.index(), batch).unwrap();
    assert_eq!(reader.try_recv().unwrap().frame().unwrap().as_str(), input);
}

/// The frame that is cached first is not returned for the other form.
#[test]
fn a_frame_has_the_token_that_was_asked_for_whichever_was_built_first() {
    for token_first in [true, false] {
        let broker = Broker::new();
        let mut reader = broker.subscribe(Request::new()).unwrap();
        broker.publish(1, [job("a", 1)]).unwrap();
        let delivery = reader.try_recv().unwrap();
        for with_token in [token_first, !token_first, token_first] {
            let frame = if with_token { delivery.frame_with_token() } else { delivery.frame() }.unwrap();
            assert_eq!(frame.as_str().contains("\"Token\""), with_token, "{token_first}");
        }
    }
}
