//! Bytes from a foreign sender: splitting them changes nothing, and a line does not affect another.
//!
//! The expected result of a single line comes from a decoder that sees nothing else.

use std::io::BufReader;

use event_broker::{DecodeErrorKind, Decoder, Frame, FrameReader, Incoming, ReadError};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::choices::Choices;
use super::{cut, decode};

pub(super) fn run(choices: &mut Choices<'_>) {
    let limit = match choices.byte() {
        u8::MAX => usize::MAX,
        n => usize::from(n),
    };
    let pace = [choices.byte(), choices.byte(), choices.byte()];
    let bytes = choices.rest();
    let pace = pace.repeat(bytes.len() / 8 + 1);

    let expected = line_by_line(bytes, limit);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    for pieces in [&[bytes][..], &single, &cut(bytes, &mut Choices::new(&pace))] {
        assert_eq!(comparable(decode(pieces, limit)), expected);
    }
    let decoder = Decoder::<Box<RawValue>>::new().with_limit(limit);
    let read = FrameReader::with_decoder(BufReader::with_capacity(5, bytes), decoder).map(|frame| {
        frame.map_err(|error| match error {
            ReadError::Decode(error) => error,
            error => panic!("{error}"),
        })
    });
    assert_eq!(comparable(read.collect()), expected);

    // Parsed payloads are refused in more cases than those that are skipped, and never in fewer.
    let values = decode::<Value>(&[bytes], limit);
    assert_eq!(values.len(), expected.len());
    for (value, raw) in values.iter().zip(decode::<Box<RawValue>>(&[bytes], limit)) {
        match (value, raw) {
            (Ok(value), Ok(raw)) => again(value, raw),
            (Ok(value), Err(error)) => panic!("{value:?} is no raw frame: {error}"),
            (Err(error), Ok(raw)) => {
                assert!(matches!(error.kind, DecodeErrorKind::Payload { .. }), "{raw:?} is no frame: {error}");
            }
            (Err(_), Err(_)) => {}
        }
    }
}

/// A frame that was read can be written, and reads back.
fn again(value: &Incoming<Value>, raw: Incoming<Box<RawValue>>) {
    if let (Incoming::Batch { batch: values, .. }, Incoming::Batch { batch: raws, .. }) = (value, raw) {
        let frame = Frame::encode(&raws).expect("raw JSON is JSON");
        assert_eq!(frame.as_str().find('\n'), Some(frame.len() - 1), "one newline, at the end");
        let expected = Incoming::Batch { batch: values.clone(), token: None };
        assert_eq!(decode::<Value>(&[&frame], usize::MAX), [Ok(expected)]);
    }
}

/// Every line on its own.
fn line_by_line(bytes: &[u8], limit: usize) -> Vec<String> {
    let mut expected = Vec::new();
    for (number, mut line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.len() > limit {
            expected.push(wrong(number, None, &DecodeErrorKind::TooLong { limit }));
            continue;
        }
        let mut decoder = Decoder::<Box<RawValue>>::new().with_limit(usize::MAX);
        if number > 1 {
            // Only the first line of a stream may begin with a byte order mark.
            assert!(decoder.decode(&mut &b"\n"[..]).is_none(), "a blank line");
        }
        assert!(decoder.decode(&mut line).is_none(), "without its newline no line is over");
        match decoder.finish() {
            None => {}
            Some(Ok(frame)) => expected.push(format!("{frame:?}")),
            Some(Err(error)) => expected.push(wrong(number, error.column, &error.kind)),
        }
    }
    expected
}

/// A raw payload has no equality: its text has.
fn comparable(frames: Vec<Result<Incoming<Box<RawValue>>, event_broker::DecodeError>>) -> Vec<String> {
    let frames = frames.into_iter();
    frames
        .map(|frame| match frame {
            Ok(frame) => format!("{frame:?}"),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                wrong(error.line, error.column, &error.kind)
            }
        })
        .collect()
}

fn wrong(line: u64, column: Option<usize>, kind: &DecodeErrorKind) -> String {
    format!("{line} {column:?} {kind:?}")
}
