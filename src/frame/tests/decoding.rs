//! Tests of single lines: what each means, and the error of one that is not a frame.
//! Splits are chosen by hand here. Arbitrary ones are tested in `properties`.

use std::io::{self, BufReader, Read};

use serde_json::value::RawValue;

use super::{decode, decode_with, event, token};
use crate::frame::{DecodeErrorKind, Decoder, Frame, FrameReader, Incoming, ReadError};
use crate::types::event::Batch;

const EVENT: &str = r#"{"Topic":"Job","Type":"JobRegistered","Key":"web","Index":7,"Payload":1}"#;

fn refused(line: &str) -> String {
    let frames = decode::<u32>(line);
    assert_eq!(frames.len(), 1, "{line}");
    frames[0].as_ref().unwrap_err().to_string()
}

#[test]
fn each_form_of_a_line_is_read() {
    let batch = Incoming::Batch { batch: Batch::new(7, vec![event("web", 1)]), token: None };
    let resumable = Incoming::Batch { batch: Batch::new(7, vec![event("web", 1)]), token: Some(token(7)) };
    for (line, expected) in [
        ("{}", Incoming::Heartbeat),
        (" {\t} \r", Incoming::Heartbeat),
        (r#"{"Index":0}"#, Incoming::Progress(0)),
        (r#"{"Index":18446744073709551615,"Events":null}"#, Incoming::Progress(u64::MAX)),
        (r#"{"Events":[],"Index":7,"Unknown":[{"Index":8}]}"#, Incoming::Progress(7)),
        (&format!(r#"{{"Index":7,"Events":[{EVENT}]}}"#), batch.clone()),
        (&format!(r#"{{"Token":null,"Events":[{EVENT}],"\u0049ndex":7}}"#), batch),
        (&format!(r#"{{"Index":7,"Events":[{EVENT}],"Token":"{}"}}"#, token(7)), resumable),
        (&format!(r#"{{"Token":"{}"}}"#, token(7)), Incoming::Bookmark { index: None, token: token(7) }),
        (&format!(r#"{{"Extra":1,"Token":"{}"}}"#, token(7)), Incoming::Bookmark { index: None, token: token(7) }),
        (&format!(r#"{{"Events":[],"Token":"{}"}}"#, token(7)), Incoming::Bookmark { index: None, token: token(7) }),
        (
            &format!(r#"{{"Index":6,"Events":[],"Token":"{}"}}"#, token(7)),
            Incoming::Bookmark { index: Some(6), token: token(7) },
        ),
        (
            &format!(r#"{{"Token":"\u0030{}","Index":6}}"#, &token(7).to_string()[1..]),
            Incoming::Bookmark { index: Some(6), token: token(7) },
        ),
        // With `Events` these fields are unknown ones.
        (r#"{"Index":7,"Topic":"Job","Payload":{"Events":[1]},"Events":null,"Key":7}"#, Incoming::Progress(7)),
    ] {
        assert_eq!(decode(line), [Ok(expected)], "{line}");
    }
}

#[test]
fn blank_lines_are_passed_over_but_counted() {
    assert_eq!(decode::<u32>("\n\r\n \t\n"), []);
    assert_eq!(decode::<u32>("\n\r\n \t\r\n{}\n")[..], [Ok(Incoming::Heartbeat)]);
    assert!(refused("\n\r\n \t\nx\n\n").starts_with("line 4, column 1: malformed"));
}

#[test]
fn an_error_names_its_place_and_what_was_expected() {
    for (line, said) in [
        ("nonsense", "line 1, column 2: malformed JSON: expected ident"),
        (r#"{"Index":7"#, "line 1, column 10: malformed JSON: EOF while parsing an object"),
        ("{} {}", "line 1, column 4: malformed JSON: trailing characters"),
        ("{\"Index\":7\r8}", "line 1, column 12: malformed JSON: expected `,` or `}`"),
        ("7", "line 1, column 1: not an object, expected {} or an object with Index"),
        ("[{}]", "line 1: not an object, expected {} or an object with Index"),
        ("null", "line 1, column 4: not an object, expected {} or an object with Index"),
        (r#"{"Events":[]}"#, "line 1, column 13: field Index: missing field `Index`"),
        (r#"{"Index":null}"#, "line 1, column 13: field Index: invalid type: null, expected u64"),
        (r#"{"Index":-1}"#, "line 1, column 11: field Index: invalid value: integer `-1`, expected u64"),
        (r#"{"Index":1,"Index":1}"#, "line 1, column 21: field Index: duplicate field `Index`"),
        (
            r#"{"Index":7,"Events":{}}"#,
            "line 1, column 22: field Events: invalid type: map, expected a list of events or null",
        ),
        (r#"{"Token":1,"Token":2}"#, "line 1, column 21: field Token: duplicate field `Token`"),
        (r#"{"Token":"x","Extra":1}"#, "line 1, column 23: field Index: missing field `Index`"),
        (r#"{"Token":01}"#, "line 1, column 11: malformed JSON: invalid number"),
        (
            r#"{"Index":7,"Events":[[]]}"#,
            "line 1, column 23: event 0 of Events: invalid type: sequence, expected an event object with Topic, Type and Key",
        ),
    ] {
        assert_eq!(refused(line), said, "{line}");
    }
}

/// Another server may use the field `Token` of its frames for anything.
#[test]
fn other_values_of_token_are_ignored() {
    for foreign in [
        "null",
        "7",
        "true",
        "[\"a\"]",
        "{\"Index\":7}",
        "\"\"",
        "\"x\"",
        "\"\\ud800\"",
        "\"00000000000000ab-7\"",
        "\"00000000000000AB-7-1\"",
        "\"00000000000000ab-18446744073709551616-1\"",
    ] {
        let batch = Incoming::Batch { batch: Batch::new(7, vec![event("web", 1)]), token: None };
        for (line, expected) in [
            (format!("{{\"Token\":{foreign}}}"), Incoming::Heartbeat),
            (format!("{{\"Token\":{foreign},\"Index\":7}}"), Incoming::Progress(7)),
            (format!("{{\"Index\":7,\"Events\":[],\"Token\":{foreign}}}"), Incoming::Progress(7)),
            (format!("{{\"Index\":7,\"Events\":[{EVENT}],\"Token\":{foreign}}}"), batch),
        ] {
            assert_eq!(expected.token(), None);
            assert_eq!(decode(&line), [Ok(expected)], "{line}");
        }
    }
}

#[test]
fn a_frame_has_the_token_of_its_reader_and_what_to_publish() {
    let batch = Batch::new(7, vec![event("web", 1)]);
    for (incoming, token, published) in [
        (Incoming::Heartbeat, None, None),
        (Incoming::Progress(6), None, Some(Batch::new(6, []))),
        (Incoming::Bookmark { index: None, token: token(7) }, Some(token(7)), None),
        (Incoming::Bookmark { index: Some(6), token: token(7) }, Some(token(7)), Some(Batch::new(6, []))),
        (Incoming::Batch { batch: batch.clone(), token: None }, None, Some(batch.clone())),
        (Incoming::Batch { batch: batch.clone(), token: Some(token(7)) }, Some(token(7)), Some(batch.clone())),
    ] {
        assert_eq!(incoming.token(), token, "{incoming:?}");
        assert_eq!(incoming.clone().into_batch(), published, "{incoming:?}");
    }
}

/// An event on a line of its own, as an export may hold it, would be lost if it were taken for progress.
#[test]
fn an_event_by_itself_is_no_frame() {
    let event = r#"{"FilterKeys":["e"],"Index":118,"Key":"d1","Payload":{},"Topic":"Deployment","Type":"PlanResult"}"#;
    let of_event = ["Topic", "Type", "Key", "Namespace", "FilterKeys", "Payload"];
    let with_index = of_event.map(|name| format!(r#"{{"Index":118,"{name}":null,"Extra":1}}"#));
    let without = of_event.map(|name| format!(r#"{{"{name}":{{"Events":[]}},"Token":"{}"}}"#, token(7)));
    for line in [event.to_owned()].iter().chain(&with_index).chain(&without) {
        let error = decode::<u32>(line).remove(0).unwrap_err();
        assert_eq!((error.column, &error.kind), (None, &DecodeErrorKind::BareEvent), "{line}");
        assert!(error.to_string().contains("expected a frame with Events"), "{error}");
        let refused = serde_json::from_str::<Batch<u32>>(line).unwrap_err().to_string();
        assert!(refused.contains("expected a batch with Events"), "{line}: {refused}");

        let with_events = line.replacen('{', r#"{"Index":9,"Events":null,"#, 1).replace(r#""Index":118,"#, "");
        let frames = decode::<u32>(&with_events);
        assert!(
            matches!(frames[..], [Ok(Incoming::Progress(9) | Incoming::Bookmark { index: Some(9), .. })]),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<Batch<u32>>(&with_events).unwrap(), Batch::new(9, []));
    }
    assert_eq!(decode::<u32>(&format!("{event}\n{{\"Index\":9}}\n")).len(), 2, "decoding continues after it");
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_very_start_and_nowhere_else() {
    let marked = |rest: &str| ["\u{feff}".as_bytes(), rest.as_bytes()].concat();
    for size in 1..=8 {
        let decode = |bytes: &[u8]| decode_with::<u32>(Decoder::new(), &bytes.chunks(size).collect::<Vec<_>>());
        assert_eq!(decode(&marked("{\"Index\":7}\r\n{}\n")), [Ok(Incoming::Progress(7)), Ok(Incoming::Heartbeat)]);
        assert_eq!(decode(&marked("{\"Index\":7}")), [Ok(Incoming::Progress(7))], "without a newline");
        assert_eq!(decode(&marked(" \n{}")), [Ok(Incoming::Heartbeat)], "a blank line");
        assert_eq!(decode(&marked("")), []);
        for (bytes, said) in [
            (marked("{\"Index\":x}\n"), "line 1, column 13: malformed JSON: expected value"),
            (marked("\u{feff}{}\n"), "line 1, column 4: malformed JSON: expected value"),
            ([marked("{"), b"\xff}\n".to_vec()].concat(), "line 1, column 5: not UTF-8, expected JSON in UTF-8"),
            (b"\xef\xbb".to_vec(), "line 1, column 1: not UTF-8, expected JSON in UTF-8"),
            ([b"\n".to_vec(), marked("{}\n")].concat(), "line 2, column 1: malformed JSON: expected value"),
            (" \u{feff}{}".into(), "line 1, column 2: malformed JSON: expected value"),
        ] {
            let frames = decode(&bytes);
            assert_eq!(frames.len(), 1, "{said}");
            assert_eq!(frames[0].as_ref().unwrap_err().to_string(), said);
        }
        let payload = format!(r#"{{"Index":7,"Events":[{}]}}"#, EVENT.replace("1}", "[1]}"));
        let error = decode(&marked(&payload)).remove(0).unwrap_err();
        assert_eq!(error.column, payload.find("[1]").map(|start| start + 4), "{error}");
    }
    let mut decoder = Decoder::<u32>::new().with_limit(5);
    assert_eq!(decoder.decode(&mut &*marked("{}\n")), Some(Ok(Incoming::Heartbeat)));
    assert!(Decoder::<u32>::new().with_limit(4).decode(&mut &*marked("{}\n")).unwrap().is_err(), "it counts");
}

#[test]
fn the_place_in_a_payload_is_a_place_in_the_line() {
    let line = format!(r#"{{"Index":7,"Events":[{EVENT},{}]}}"#, EVENT.replace("1}", "[1]}"));
    let error = decode::<u32>(&format!("{{}}\n{line}\n{{}}"))[1].clone().unwrap_err();
    let DecodeErrorKind::Payload { ordinal: 1, message } = &error.kind else { panic!("{error}") };
    assert_eq!(message, "invalid type: sequence, expected u32");
    assert_eq!((error.line, error.column), (2, line.find("[1]").map(|start| start + 1)));
}

#[test]
fn an_event_names_itself_when_a_later_one_is_wrong() {
    let line = format!(r#"{{"Index":7,"Events":[{EVENT},{{"Topic":"Job"}}]}}"#);
    assert!(refused(&line).ends_with(": event 1 of Events: missing field `Type`"), "{}", refused(&line));
}

#[test]
fn a_long_quotation_loses_its_middle_and_not_what_was_expected() {
    let said = refused(&format!(r#"{{"Index":"{}"}}"#, "ü".repeat(10_000)));
    assert!(said.len() < 600 && said.ends_with("üü\", expected u64"), "{said}");
}

#[test]
fn invalid_utf8_is_refused_with_its_column() {
    let frames = decode_with::<u32>(Decoder::new(), &[b"{\"\xff\":1}\n{}\n"]);
    assert_eq!(frames[0].as_ref().unwrap_err().to_string(), "line 1, column 3: not UTF-8, expected JSON in UTF-8");
    assert_eq!(frames[1], Ok(Incoming::Heartbeat));
}

#[test]
fn raw_payloads_pass_through_byte_for_byte() {
    for raw in ["1.50", "123456789012345678901234567890", r#"{"a":1, "a":1e999}"#, r#""\u0000\/""#, "null"] {
        let line = format!(r#"{{"Index":7,"Events":[{}]}}"#, EVENT.replace("1}", &format!("{raw}}}")));
        let Ok(Incoming::Batch { batch, .. }) = decode::<Box<RawValue>>(&line).remove(0) else { panic!("{raw}") };
        assert_eq!(batch.events()[0].payload().get(), raw);
        let again = Frame::encode(&batch).unwrap();
        assert!(again.as_str().ends_with(&format!("\"Payload\":{raw}}}]}}\n")), "{again}");
    }
}

#[test]
fn an_absent_payload_is_null_also_for_raw_ones() {
    let line = r#"{"Index":7,"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"web"}]}"#;
    let Ok(Incoming::Batch { batch, .. }) = decode::<Box<RawValue>>(line).remove(0) else { panic!() };
    assert_eq!(batch.events()[0].payload().get(), "null");
    assert_eq!(batch.events()[0].index(), 0, "an event keeps the index it carries");
    assert!(decode::<Option<u32>>(line)[0].is_ok());
    assert_eq!(refused(line), "line 1: payload of event 0 of Events: invalid type: null, expected u32");
}

/// 100,000 levels of recursion would overflow this stack. The 128 that `Value` is allowed do not.
#[test]
fn deep_nesting_does_not_use_the_stack() {
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let test = || {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            let payload = format!(r#"{{"Index":7,"Events":[{}]}}"#, EVENT.replace("1}", &format!("{deep}}}")));
            let Ok(Incoming::Batch { batch, .. }) = decode::<Box<RawValue>>(&payload).remove(0) else { panic!() };
            assert_eq!(batch.events()[0].payload().get(), deep);
            let error = decode::<serde_json::Value>(&payload).remove(0).unwrap_err();
            assert!(error.to_string().ends_with("payload of event 0 of Events: recursion limit exceeded"), "{error}");
            assert_eq!(decode::<u32>(&format!(r#"{{"Unknown":{deep},"Index":7}}"#)), [Ok(Incoming::Progress(7))]);
            assert!(decode::<u32>(&deep)[0].is_err());
            assert!(decode::<u32>(&open.repeat(100_000))[0].is_err());
            assert!(decode::<u32>(&format!(r#"{{"Index":{deep}}}"#))[0].is_err());
        }
    };
    small.spawn(test).unwrap().join().unwrap();
}

#[test]
fn a_line_over_the_limit_is_refused_once_and_never_kept() {
    let input = b"{}\n{\"Index\":1000}\n{\"Index\":1}\n";
    for size in 1..=input.len() {
        let mut decoder = Decoder::<u32>::new().with_limit(12);
        let mut frames = Vec::new();
        for mut piece in input.chunks(size) {
            while let Some(frame) = decoder.decode(&mut piece) {
                frames.push(frame.map_err(|error| error.to_string()));
            }
            assert!(decoder.capacity() <= 12);
        }
        let refusal = Err("line 2: too long, expected at most 12 bytes".into());
        assert_eq!(frames, [Ok(Incoming::Heartbeat), refusal, Ok(Incoming::Progress(1))], "pieces of {size}");
    }
}

#[test]
fn a_limit_is_the_longest_line_without_its_newline() {
    let lengths = |limit| decode_with(Decoder::<u32>::new().with_limit(limit), &[b"{}\n{}\r\n\n{}"]);
    assert!(lengths(3).iter().all(Result::is_ok));
    assert_eq!(lengths(2).iter().filter(|frame| frame.is_err()).count(), 1, "the carriage return counts");
    assert_eq!(lengths(1).iter().filter(|frame| frame.is_err()).count(), 3);
    assert_eq!(decode_with(Decoder::<u32>::new().with_limit(0), &[b"\n\n"]), []);
}

#[test]
fn a_refused_last_line_is_not_refused_again() {
    let mut decoder = Decoder::<u32>::new().with_limit(4);
    assert!(decoder.decode(&mut &b"{\"Index\""[..]).unwrap().is_err());
    assert_eq!(decoder.decode(&mut &b":1}"[..]), None);
    assert_eq!(decoder.finish(), None);
    assert_eq!(decoder.decode(&mut &b"{}\n"[..]), Some(Ok(Incoming::Heartbeat)), "and the next line is a new one");
}

#[test]
fn a_huge_line_does_not_stay_in_memory() {
    let mut decoder = Decoder::<u32>::new();
    assert_eq!(decoder.decode(&mut &*vec![b' '; 1 << 20]), None);
    assert!(decoder.capacity() >= 1 << 20);
    assert_eq!(decoder.decode(&mut &b"{}\n"[..]), Some(Ok(Incoming::Heartbeat)));
    assert!(decoder.capacity() <= 64 << 10);
}

#[test]
fn a_line_in_single_bytes_is_moved_only_when_its_space_doubles() {
    let mut decoder = Decoder::<u32>::new();
    let mut spaces = std::collections::BTreeSet::new();
    for _ in 0..100_000 {
        assert_eq!(decoder.decode(&mut &b" "[..]), None);
        spaces.insert(decoder.capacity());
    }
    assert!(spaces.len() <= 18, "{spaces:?}");
}

/// A reader that returns one scripted item for each read.
struct Script(Vec<Result<&'static [u8], io::ErrorKind>>);

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let piece = self.0.remove(0)?;
        buffer[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

#[test]
fn a_reader_continues_after_a_pause_and_ends_after_a_failure() {
    let script = Script(vec![
        Ok(b"{\"Ind"),
        Err(io::ErrorKind::Interrupted),
        Err(io::ErrorKind::WouldBlock),
        Ok(b"ex\":1}\nx\n{}\n{}"),
        Err(io::ErrorKind::ConnectionReset),
        Ok(b"\n"),
    ]);
    let frames = FrameReader::<_, u32>::new(BufReader::new(script)).map(|frame| match frame {
        Ok(Incoming::Progress(_)) => "progress",
        Ok(_) => "heartbeat",
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => "pause",
        Err(ReadError::Io(_)) => "failure",
        Err(ReadError::Decode(_)) => "error",
    });
    assert_eq!(frames.collect::<Vec<_>>(), ["pause", "progress", "error", "heartbeat", "failure"]);
}

#[test]
fn a_reader_that_ends_without_a_newline_gives_its_last_line_once() {
    let mut reader = FrameReader::<_, u32>::new(&b"{}\n{\"Index\":1}"[..]);
    assert!(matches!(reader.next(), Some(Ok(Incoming::Heartbeat))));
    assert!(matches!(reader.next(), Some(Ok(Incoming::Progress(1)))));
    assert!(reader.next().is_none());
    assert!(reader.next().is_none());
    let decoder = Decoder::<u32>::new().with_limit(1);
    assert!(matches!(FrameReader::with_decoder(&b"{}"[..], decoder).next(), Some(Err(ReadError::Decode(_)))));
}

#[test]
fn a_payload_that_panics_takes_only_its_line_with_it() {
    #[derive(Debug)]
    struct Bomb;

    impl<'de> serde::Deserialize<'de> for Bomb {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("a payload's own affair")
        }
    }

    let line = format!("{{\"Index\":7,\"Events\":[{EVENT}]}}\n{{}}\n");
    let (start, mut rest) = line.as_bytes().split_at(10);
    let mut decoder = Decoder::<Bomb>::new();
    assert!(decoder.decode(&mut &*start).is_none());
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decoder.decode(&mut rest).is_some())).unwrap_err();
    assert!(matches!(decoder.decode(&mut rest), Some(Ok(Incoming::Heartbeat))));

    let mut reader = FrameReader::<_, Bomb>::new(line.as_bytes());
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.next().is_some())).unwrap_err();
    assert!(reader.next().is_none());
}
