//! Decodes one line: a heartbeat, progress, a bookmark or a batch, or the error in it.
//! Where a line begins and ends is decided in `decode`.
//!
//! Invariants: a token counts only if it is well-formed. Every other value of `Token` is ignored, not an error.
//!
//! Callers: `decode`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::{DecodeErrorKind, Fault};
use crate::types::event::{Batch, Event};
use crate::types::form::{BatchField, once};
use crate::types::token::Token;

/// The meaning of a frame.
///
/// A token counts only if it is one of this crate. Any other value of `Token`, of whatever type, is ignored, and the
/// frame means what it would mean without it.
///
/// ```
/// use event_broker::{Batch, Decoder, Incoming};
///
/// let mut decoder = Decoder::<u32>::new();
/// let mut input = &b"{}\n{\"Index\":7,\"Events\":[]}\n{\"Token\":\"0000000000000007-9-1\"}\n"[..];
/// assert_eq!(decoder.decode(&mut input), Some(Ok(Incoming::Heartbeat)));
/// let progress = decoder.decode(&mut input).unwrap()?;
/// assert_eq!(progress, Incoming::Progress(7));
/// assert_eq!(progress.into_batch(), Some(Batch::new(7, [])));
/// let token = "0000000000000007-9-1".parse()?;
/// assert_eq!(decoder.decode(&mut input), Some(Ok(Incoming::Bookmark { index: None, token })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming<P> {
    /// `{}`: the sender is alive.
    Heartbeat,
    /// An index without events and without a token: everything up to and including the index is finished.
    Progress(u64),
    /// A token without events: the sender is alive, and the reader has read everything before the token.
    Bookmark {
        /// The index up to and including which everything is finished, if the frame carries one.
        index: Option<u64>,
        /// The place of a reader that has read this frame.
        token: Token,
    },
    /// A batch with at least one event.
    Batch {
        /// The batch. Its events keep the index that they carry.
        batch: Batch<P>,
        /// The place of a reader that has read this frame, if the frame carries one.
        token: Option<Token>,
    },
}

impl<P> Incoming<P> {
    /// Returns what a replica publishes for this frame. That is the batch, or a batch without events for a frame with
    /// an index and no events. A frame without either publishes nothing.
    pub fn into_batch(self) -> Option<Batch<P>> {
        match self {
            Self::Heartbeat => None,
            Self::Progress(index) => Some(Batch::new(index, [])),
            Self::Bookmark { index, .. } => index.map(|index| Batch::new(index, [])),
            Self::Batch { batch, .. } => Some(batch),
        }
    }

    /// Returns the place of a reader that has read this frame, if the frame carries one. Pass it to
    /// [`Start::After`](crate::Start::After) to resume.
    pub fn token(&self) -> Option<Token> {
        match self {
            Self::Heartbeat | Self::Progress(_) => None,
            Self::Bookmark { token, .. } => Some(*token),
            Self::Batch { token, .. } => *token,
        }
    }
}

/// Which line of its stream a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WhichLine {
    /// The first line, which may begin with a byte order mark.
    First,
    /// Any later line.
    Later,
}

/// Decodes a line, with or without its line end. Returns `None` if it is blank.
pub(super) fn read<P: DeserializeOwned>(line: &[u8], which: WhichLine) -> Option<Result<Incoming<P>, Fault>> {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    let text = if which == WhichLine::First { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
    if text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        return None;
    }
    let frame = match std::str::from_utf8(text) {
        Ok(text) => read_text(text),
        Err(error) => Err(Fault { column: Some(error.valid_up_to() + 1), kind: DecodeErrorKind::NotUtf8 }),
    };
    // Columns count the bytes of the line as it was received.
    let skipped = line.len() - text.len();
    Some(frame.map_err(|Fault { column, kind }| Fault { column: column.map(|column| column + skipped), kind }))
}

fn read_text<P: DeserializeOwned>(line: &str) -> Result<Incoming<P>, Fault> {
    let mut location = Location::Frame;
    let mut json = serde_json::Deserializer::from_str(line);
    let read = json.deserialize_map(FrameVisitor { line, location: &mut location, payload: PhantomData });
    read.and_then(|frame| json.end().map(|()| frame)).map_err(|error| {
        let message = message(&error);
        let kind = match (error.classify(), location) {
            (_, Location::Payload(fault)) => return fault,
            (Category::Syntax | Category::Eof | Category::Io, _) => DecodeErrorKind::Malformed { message },
            (Category::Data, Location::Frame) => DecodeErrorKind::NotAnObject,
            (Category::Data, Location::Field(name)) => DecodeErrorKind::Field { name, message },
            (Category::Data, Location::Event(ordinal)) => DecodeErrorKind::Event { ordinal, message },
            // The error concerns the line as a whole and has no column.
            (Category::Data, Location::BareEvent) => return Fault { column: None, kind: DecodeErrorKind::BareEvent },
        };
        Fault { column: column(&error), kind }
    })
}

/// What is being decoded, for the error. The deserializer's own errors know the column, but not the field.
enum Location {
    Frame,
    Field(&'static str),
    Event(usize),
    /// The end of an object that is an event.
    BareEvent,
    /// A payload that failed. The error that is returned meanwhile only unwinds the decoding.
    Payload(Fault),
}

struct FrameVisitor<'a, P> {
    line: &'a str,
    location: &'a mut Location,
    payload: PhantomData<P>,
}

impl<'de, P: DeserializeOwned> Visitor<'de> for FrameVisitor<'_, P> {
    type Value = Incoming<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Incoming<P>, A::Error> {
        let Self { line, location, payload } = self;
        let (mut index, mut events, mut token) = (None, None, None);
        let (mut has_event_field, mut unknown) = (false, false);
        while let Some(field) = map.next_key::<BatchField>()? {
            match field {
                BatchField::Index => {
                    *location = Location::Field("Index");
                    once(&mut index, "Index", map.next_value::<u64>()?)?;
                }
                BatchField::Events => {
                    *location = Location::Field("Events");
                    once(
                        &mut events,
                        "Events",
                        map.next_value_seed(EventsSeed { line, location: &mut *location, payload })?,
                    )?;
                }
                BatchField::Token => {
                    *location = Location::Field("Token");
                    once(&mut token, "Token", read_token(map.next_value::<&RawValue>()?))?;
                }
                BatchField::OfEvent => {
                    has_event_field = true;
                    map.next_value::<IgnoredAny>()?;
                }
                BatchField::Unknown => {
                    unknown = true;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let Some(events) = events else {
            if has_event_field {
                *location = Location::BareEvent;
                return Err(A::Error::custom("an event"));
            }
            return match (index, token.flatten()) {
                (index, Some(token)) => Ok(Incoming::Bookmark { index, token }),
                (Some(index), None) => Ok(Incoming::Progress(index)),
                (None, None) if !unknown => Ok(Incoming::Heartbeat),
                (None, None) => Err(missing_index(location)),
            };
        };
        match (index, token.flatten()) {
            (index, Some(token)) if events.is_empty() => Ok(Incoming::Bookmark { index, token }),
            (Some(index), None) if events.is_empty() => Ok(Incoming::Progress(index)),
            (Some(index), token) => Ok(Incoming::Batch { batch: Batch::recorded(index, events), token }),
            (None, _) => Err(missing_index(location)),
        }
    }
}

fn missing_index<E: serde::de::Error>(location: &mut Location) -> E {
    *location = Location::Field("Index");
    E::missing_field("Index")
}

/// Returns the token, if it is one of this crate. Another server may use a field of this name for something else.
fn read_token(raw: &RawValue) -> Option<Token> {
    serde_json::from_str::<Cow<'_, str>>(raw.get()).ok()?.parse().ok()
}

/// Decodes `Events`: null or a list.
struct EventsSeed<'a, P> {
    line: &'a str,
    location: &'a mut Location,
    payload: PhantomData<P>,
}

impl<'de, P: DeserializeOwned> DeserializeSeed<'de> for EventsSeed<'_, P> {
    type Value = Vec<Event<P>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Event<P>>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: DeserializeOwned> Visitor<'de> for EventsSeed<'_, P> {
    type Value = Vec<Event<P>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events or null")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<Event<P>>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Event<P>>, A::Error> {
        let mut events = Vec::new();
        *self.location = Location::Event(0);
        // A payload is first skipped and then decoded separately: only so can a raw payload be decoded, and an absent
        // payload become null for a raw one, too.
        while let Some(event) = list.next_element::<Event<Option<&RawValue>>>()? {
            let payload = read_payload(self.line, events.len(), *event.payload()).map_err(|fault| {
                *self.location = Location::Payload(fault);
                A::Error::custom("payload")
            })?;
            events.push(event.map(|_| payload));
            *self.location = Location::Event(events.len());
        }
        *self.location = Location::Field("Events");
        Ok(events)
    }
}

fn read_payload<P: DeserializeOwned>(line: &str, ordinal: usize, raw: Option<&RawValue>) -> Result<P, Fault> {
    let raw = raw.map_or("null", RawValue::get);
    serde_json::from_str(raw).map_err(|error| {
        // The error counts from the first byte of the payload. A payload that is null or absent is not a part of the
        // line.
        let offset = raw.as_ptr().addr().checked_sub(line.as_ptr().addr()).filter(|offset| *offset < line.len());
        let column = offset.map(|offset| offset + column(&error).unwrap_or(1));
        Fault { column, kind: DecodeErrorKind::Payload { ordinal, message: message(&error) } }
    })
}

fn column(error: &serde_json::Error) -> Option<usize> {
    Some(error.column()).filter(|column| *column > 0)
}

/// Returns the message of the error, without the place in the text, which is reported separately.
///
/// A message may quote a value as long as the line. Its middle is cut out, because the end names what was expected.
fn message(error: &serde_json::Error) -> String {
    const KEPT: usize = 100;
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let cut = text.char_indices().nth(KEPT).zip(text.char_indices().nth_back(KEPT - 1));
    match cut.filter(|((head, _), (tail, _))| head < tail) {
        Some(((head, _), (tail, _))) => {
            format!("{}…{}", text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default())
        }
        None => String::from(text),
    }
}
