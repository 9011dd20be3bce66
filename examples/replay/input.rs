//! Reads the input line by line, each with its number.

use std::io::{self, BufRead};

use event_broker::{DecodeError, DecodeErrorKind, Decoder, Incoming};
use serde_json::value::RawValue;

/// Payloads are passed through as bytes: numbers keep their digits, and repeated keys remain.
pub(crate) type Payload = Box<RawValue>;

/// One line that is not blank.
pub(crate) struct Line {
    /// Counted from 1; blank lines count.
    pub(crate) number: usize,
    /// The content of the line, or why it is refused.
    pub(crate) frame: Result<Incoming<Payload>, String>,
}

pub(crate) struct Lines<R> {
    reader: R,
    decoder: Decoder<Payload>,
    /// The length of the lines read so far, newlines included.
    passed: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Reading,
    Ended,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self { reader, decoder: Decoder::new().with_limit(limit), passed: 0, state: State::Reading }
    }

    /// Returns the next line, or `None` at the end of the input. It waits for no more than that line.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line>> {
        while self.state == State::Reading {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                self.state = State::Ended;
                let number = self.passed + 1;
                return Ok(self.decoder.finish().map(|frame| Line { number, frame: frame.map_err(refusal) }));
            }
            let mut rest = buffer;
            let frame = self.decoder.decode(&mut rest);
            let used = buffer.len() - rest.len();
            self.passed += buffer.iter().take(used).filter(|byte| **byte == b'\n').count();
            self.reader.consume(used);
            if let Some(frame) = frame {
                return Ok(Some(Line { number: self.passed, frame: frame.map_err(refusal) }));
            }
        }
        Ok(None)
    }
}

/// The line, the error, and what was expected, which the JSON decoder does not always report.
fn refusal(error: DecodeError) -> String {
    let DecodeError { line, column, kind, .. } = error;
    let place = column.map_or_else(String::new, |column| format!(" at column {column}"));
    let expected = match &kind {
        DecodeErrorKind::Malformed { .. } => ", expected one JSON object on the line",
        DecodeErrorKind::Field { message, .. }
        | DecodeErrorKind::Event { message, .. }
        | DecodeErrorKind::Payload { message, .. }
            if !message.contains("expected") =>
        {
            ", expected {\"Index\":…,\"Events\":[{\"Topic\":…,\"Type\":…,\"Key\":…,\"Payload\":…}]}"
        }
        _ => "",
    };
    format!("line {line} refused{place}: {kind}{expected}")
}
