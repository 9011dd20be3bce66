//! Defines the errors of encoding and decoding frames.
//! Which input is an error is decided in `encode`, `decode` and `line`.
//!
//! Callers: the other files of `frame`; `frames` passes encoding errors on.

use std::error::Error;
use std::fmt;

use crate::types::name::{Key, Topic};

/// An event whose payload cannot be encoded as JSON: which event, and the message of the payload's `Serialize` or of
/// the encoder.
///
/// ```
/// use std::collections::HashMap;
/// use event_broker::{Batch, Event, Frame};
///
/// let no_object = HashMap::from([((1, 2), 3)]); // keys of an object are text
/// let error = Frame::encode(&Batch::new(7, vec![Event::new("Job", "JobRegistered", "web", no_object)])).unwrap_err();
/// assert_eq!(error.to_string(), "event Job:web of index 7 cannot be encoded: key must be a string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodeError {
    /// The event's topic.
    pub topic: Topic,
    /// The event's key.
    pub key: Key,
    /// The event's index.
    pub index: u64,
    /// The message of the payload's `Serialize` or of the encoder.
    pub message: String,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, key, index, message } = self;
        write!(f, "event {topic}:{key} of index {index} cannot be encoded: {message}")
    }
}

impl Error for EncodeError {}

/// A line that is not a frame. The lines after it can still be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// The number of the line, counted from 1. Blank lines count.
    pub line: u64,
    /// The byte of the line at which decoding stopped, counted from 1, if there is such a byte.
    pub column: Option<usize>,
    /// What is wrong with the line.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a line.
///
/// Messages are those of the JSON decoder or of the payload's `Deserialize`. They may quote a part of the line.
///
/// ```
/// use event_broker::Decoder;
///
/// let errors = [
///     "[]",
///     r#"{"Index":"7"}"#,
///     r#"{"Topic":"Job","Type":"JobRegistered","Key":"web","Index":7}"#,
///     r#"{"Index":7,"Events":[{"Topic":"Job","Type":"JobRegistered"}]}"#,
///     r#"{"Index":7,"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"web","Payload":-1}]}"#,
/// ]
/// .map(|line| {
///     let mut decoder = Decoder::<u32>::new();
///     decoder.decode(&mut line.as_bytes());
///     decoder.finish().unwrap().unwrap_err().to_string()
/// });
/// assert_eq!(errors, [
///     "line 1: not an object, expected {} or an object with Index",
///     "line 1, column 12: field Index: invalid type: string \"7\", expected u64",
///     r#"line 1: an event by itself, expected a frame with Events: {"Index":…,"Events":[…]}, the event among them"#,
///     "line 1, column 59: event 0 of Events: missing field `Key`",
///     "line 1, column 83: payload of event 0 of Events: invalid value: integer `-1`, expected u32",
/// ]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The line is longer than the limit. The rest of it is skipped.
    TooLong {
        /// The maximum length of a line, in bytes.
        limit: usize,
    },
    /// The line is not UTF-8, from the column on.
    NotUtf8,
    /// The line is not JSON, or breaks off.
    Malformed {
        /// What was found or expected.
        message: String,
    },
    /// The line is JSON, but not an object.
    NotAnObject,
    /// The line is an object with fields of an event and without `Events`: an event that is not in a frame.
    BareEvent,
    /// A field of the frame is missing, repeated or of a wrong type.
    Field {
        /// `Index`, `Events` or `Token`. `Token` can only be repeated.
        name: &'static str,
        /// What was found and what was expected.
        message: String,
    },
    /// An element of `Events` is not an event.
    Event {
        /// Its ordinal in `Events`, counted from 0.
        ordinal: usize,
        /// What was found and what was expected.
        message: String,
    },
    /// The payload of an event is not a `P`. An absent payload is read as null.
    Payload {
        /// The ordinal of the event in `Events`, counted from 0.
        ordinal: usize,
        /// What was found and what was expected.
        message: String,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, kind } = self;
        match column {
            Some(column) => write!(f, "line {line}, column {column}: {kind}"),
            None => write!(f, "line {line}: {kind}"),
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit } => write!(f, "too long, expected at most {limit} bytes"),
            Self::NotUtf8 => f.write_str("not UTF-8, expected JSON in UTF-8"),
            Self::Malformed { message } => write!(f, "malformed JSON: {message}"),
            Self::NotAnObject => f.write_str("not an object, expected {} or an object with Index"),
            Self::BareEvent => f.write_str(
                "an event by itself, expected a frame with Events: {\"Index\":…,\"Events\":[…]}, the event among them",
            ),
            Self::Field { name, message } => write!(f, "field {name}: {message}"),
            Self::Event { ordinal, message } => write!(f, "event {ordinal} of Events: {message}"),
            Self::Payload { ordinal, message } => write!(f, "payload of event {ordinal} of Events: {message}"),
        }
    }
}

impl Error for DecodeError {}

/// What is wrong with a line, and the byte at which it was found, counted from 1.
pub(super) struct Fault {
    pub(super) column: Option<usize>,
    pub(super) kind: DecodeErrorKind,
}
