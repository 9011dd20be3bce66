//! Tests of encoding: what is encoded, how often, and what is stored after a failure.
//! How frames are decoded is tested in `decoding`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Barrier;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::Free;
use super::{event, token};
use crate::frame::{Frame, FrameCache};
use crate::types::event::Event;
use crate::types::token::Token;

/// A payload with a scripted end of its encoding, and a log of the payloads that were encoded.
#[derive(Clone)]
struct Probe {
    name: usize,
    ends: Rc<RefCell<Vec<Ending>>>,
    log: Rc<RefCell<Vec<usize>>>,
}

#[derive(Clone, Copy)]
enum Ending {
    Well,
    Error,
    Panic,
}

impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.log.borrow_mut().push(self.name);
        match self.ends.borrow()[self.name] {
            Ending::Well => serializer.serialize_u64(self.name as u64),
            Ending::Error => Err(serde::ser::Error::custom("no\nway")),
            Ending::Panic => panic!("no way"),
        }
    }
}

struct Probes {
    events: Vec<Event<Probe>>,
    ends: Rc<RefCell<Vec<Ending>>>,
    log: Rc<RefCell<Vec<usize>>>,
}

impl Probes {
    fn new(count: usize) -> Self {
        let (ends, log) = (Rc::new(RefCell::new(vec![Ending::Well; count])), Rc::default());
        let probe = |name| event("web", Probe { name, ends: Rc::clone(&ends), log: Rc::clone(&log) });
        Self { events: (0..count).map(probe).collect(), ends: Rc::clone(&ends), log: Rc::clone(&log) }
    }

    fn take_log(&self) -> Vec<usize> {
        self.log.take()
    }

    /// Returns the frame of these events, encoded without a cache.
    fn expected(&self, ordinals: &[usize], token: Option<Token>) -> String {
        let texts: Vec<String> =
            ordinals.iter().map(|ordinal| serde_json::to_string(&self.events[*ordinal]).unwrap()).collect();
        self.log.take();
        let token = token.map(|token| format!(",\"Token\":\"{token}\"")).unwrap_or_default();
        format!("{{\"Index\":7,\"Events\":[{}]{token}}}\n", texts.join(","))
    }

    fn frame(&self, cache: &FrameCache, ordinals: &[usize], token: Option<Token>) -> Frame {
        if ordinals.len() == self.events.len() {
            cache.full_frame(7, &self.events, token, &Free).unwrap()
        } else {
            cache.part(7, &self.events, ordinals.iter().copied(), token, &Free).unwrap()
        }
    }
}

#[test]
fn every_event_is_encoded_once_whatever_is_asked_for_and_in_whatever_order() {
    let requests: [(&[usize], Option<Token>); 6] = [
        (&[0, 1, 2], None),
        (&[0, 1, 2], Some(token(7))),
        (&[1], None),
        (&[0, 2], Some(token(7))),
        (&[0, 2], None),
        (&[2], Some(token(7))),
    ];
    for first in 0..requests.len() {
        for second in 0..requests.len() {
            let probes = Probes::new(3);
            let expected: Vec<String> = requests.iter().map(|(some, token)| probes.expected(some, *token)).collect();
            let cache = FrameCache::new();
            for request in [first, second].into_iter().chain(0..requests.len()) {
                let (ordinals, token) = requests[request];
                assert_eq!(
                    probes.frame(&cache, ordinals, token).as_str(),
                    expected[request],
                    "{first} {second} {request}"
                );
            }
            let mut log = probes.take_log();
            log.sort_unstable();
            assert_eq!(log, [0, 1, 2], "{first} {second}");
        }
    }
}

#[test]
fn a_partial_frame_encodes_nothing_else() {
    let probes = Probes::new(3);
    let cache = FrameCache::new();
    probes.frame(&cache, &[2], None);
    assert_eq!(probes.take_log(), [2]);
}

#[test]
fn whole_frames_are_shared_with_and_without_a_token() {
    let probes = Probes::new(2);
    let cache = FrameCache::new();
    for token in [Some(token(7)), None] {
        let shared = probes.frame(&cache, &[0, 1], token);
        assert_eq!(probes.frame(&cache, &[0, 1], token).as_ptr(), shared.as_ptr());
        let all = cache.part(7, &probes.events, [0, 1], token, &Free).unwrap();
        assert_eq!(all.as_ptr(), shared.as_ptr(), "a selection of everything is the whole frame");
    }
    let other = probes.frame(&cache, &[0, 1], Some(token(8)));
    assert_eq!(other.as_str(), probes.expected(&[0, 1], Some(token(8))), "a third token is not mixed up");
}

#[test]
fn a_failed_event_is_named_and_leaves_the_others_encoded() {
    for whole in [true, false] {
        let probes = Probes::new(4);
        let cache = FrameCache::new();
        let request = |cache: &FrameCache| {
            if whole {
                cache.full_frame(7, &probes.events, None, &Free)
            } else {
                cache.part(7, &probes.events, [0, 1, 2], None, &Free)
            }
        };
        probes.ends.borrow_mut()[2] = Ending::Error;
        let error = request(&cache).unwrap_err();
        assert_eq!(error.to_string(), "event Job:web of index 7 cannot be encoded: no\nway");
        assert_eq!(probes.take_log(), [0, 1, 2]);

        probes.ends.borrow_mut()[2] = Ending::Panic;
        catch_unwind(AssertUnwindSafe(|| request(&cache))).unwrap_err();
        assert_eq!(probes.take_log(), [2]);
        assert_eq!(probes.frame(&cache, &[0, 1, 3], None).as_str(), probes.expected(&[0, 1, 3], None));

        probes.ends.borrow_mut()[2] = Ending::Well;
        let expected = probes.expected(&[0, 1, 2, 3], None);
        assert_eq!(cache.full_frame(7, &probes.events, None, &Free).unwrap().as_str(), expected);
        assert_eq!(probes.take_log(), [2]);
    }
}

#[test]
fn a_panic_in_a_whole_frame_keeps_what_came_before_it() {
    let probes = Probes::new(3);
    let cache = FrameCache::new();
    probes.ends.borrow_mut()[2] = Ending::Panic;
    catch_unwind(AssertUnwindSafe(|| cache.full_frame(7, &probes.events, None, &Free))).unwrap_err();
    assert_eq!(probes.take_log(), [0, 1, 2]);
    probes.frame(&cache, &[0, 1], None);
    assert_eq!(probes.take_log(), [0_usize; 0]);
}

#[test]
fn line_breaks_of_raw_payloads_become_spaces_and_those_in_strings_stay_escaped() {
    let raw: Box<RawValue> = serde_json::from_str("{\r\n \"a\\nb\":\n1.50,\"a\\nb\":\t1e400}").unwrap();
    let frame = FrameCache::new().full_frame(7, &[event("a\nb", raw)], None, &Free).unwrap();
    assert_eq!(
        frame.as_str(),
        concat!(
            r#"{"Index":7,"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"a\nb","Namespace":"","#,
            r#""FilterKeys":null,"Index":7,"Payload":{   "a\nb": 1.50,"a\nb":"#,
            "\t1e400}}]}\n"
        )
    );
}

/// A carriage return alone is white space in JSON, but ends a line for many readers.
#[test]
fn a_carriage_return_alone_becomes_a_space() {
    let raw: Box<RawValue> = serde_json::from_str("[1,\r2]").unwrap();
    let frame = FrameCache::new().full_frame(7, &[event("a", raw)], None, &Free).unwrap();
    assert!(frame.as_str().ends_with("\"Payload\":[1, 2]}]}\n"), "{frame:?}");
}

#[test]
fn a_frame_is_the_serialized_batch_with_a_newline() {
    let batch = crate::types::event::Batch::new(9, vec![event("ü", 1), event("", 2).with_filter_keys(["x", "y"])]);
    assert_eq!(Frame::encode(&batch).unwrap().as_str(), serde_json::to_string(&batch).unwrap() + "\n");
}

/// A payload whose encodings wait for each other. If one reader waited for another's, none would ever return.
struct Meeting(Barrier);

impl Serialize for Meeting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.wait();
        serializer.serialize_unit()
    }
}

#[test]
fn readers_that_meet_at_the_first_encoding_do_not_wait_for_each_other() {
    const READERS: usize = 4;
    let events = [event("web", Meeting(Barrier::new(READERS)))];
    let cache = FrameCache::new();
    let frames: Vec<Frame> = std::thread::scope(|scope| {
        let readers = [0; READERS].map(|_| scope.spawn(|| cache.full_frame(7, &events, None, &Free).unwrap()));
        readers.map(|reader| reader.join().unwrap()).into()
    });
    assert!(frames.iter().all(|frame| frame.as_ptr() == frames[0].as_ptr()), "one result is kept");
}

#[test]
fn readers_that_meet_with_and_without_a_token_each_get_their_own() {
    let events = [event("web", Meeting(Barrier::new(2)))];
    let cache = FrameCache::new();
    std::thread::scope(|scope| {
        for token in [None, Some(token(7))] {
            let (cache, events) = (&cache, &events);
            scope.spawn(move || {
                let frame = cache.full_frame(7, events, token, &Free).unwrap();
                assert_eq!(frame.as_str().contains("Token"), token.is_some());
                assert_eq!(cache.full_frame(7, events, token, &Free).unwrap().as_ptr(), frame.as_ptr());
            });
        }
    });
}

/// A line break is seen wherever it is, whatever the length: the text is looked through in pieces.
#[test]
fn a_raw_payload_has_no_line_break_wherever_it_was() {
    for len in (0..70).chain(120..200) {
        for place in 0..=len {
            for line_break in ["\n", "\r"] {
                let text = format!("[{}{line_break}{}0]", " ".repeat(place), " ".repeat(len - place));
                let raw = RawValue::from_string(text).expect("white space");
                let cache = FrameCache::new();
                let frame = cache.full_frame(7, &[event("web", raw)], None, &Free).unwrap();
                assert!(frame.as_str().ends_with(&format!("[{}0]}}]}}\n", " ".repeat(len + 1))), "{len} {place}");
            }
        }
    }
}
