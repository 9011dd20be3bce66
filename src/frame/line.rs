//! What one line means: a heartbeat, progress, a bookmark or a batch, or what is wrong with it.
//! Where a line begins and ends is not found here.

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

/// What a frame says.
///
/// A token counts only if it is one of this crate: any other value of `Token`, whatever its type, is no token, and the
/// frame means what it would without it.
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
    /// `{}`: the other side is still there.
    Heartbeat,
    /// An index without events and without a token: everything up to and including it is finished.
    Progress(u64),
    /// A frame without events that carries a token: the other side is still there, and this reader stands there.
    Bookmark {
        /// Everything up to and including this index is finished, if the frame says so.
        index: Option<u64>,
        /// Where a reader that has read this frame stands.
        token: Token,
    },
    /// A batch with at least one event.
    Batch {
        /// The batch. Its events keep the index they unvisited.
        batch: Batch<P>,
        /// Where a reader that has read this frame stands, if the frame says so.
        token: Option<Token>,
    },
}

impl<P> Incoming<P> {
    /// What there is to publish: the batch, or for a frame with an index and no events a batch without events. A frame
    /// with neither is nothing.
    pub fn into_batch(self) -> Option<Batch<P>> {
        match self {
            Self::Heartbeat => None,
            Self::Progress(index) => Some(Batch::new(index, [])),
            Self::Bookmark { index, .. } => index.map(|index| Batch::new(index, [])),
            Self::Batch { batch, .. } => Some(batch),
        }
    }

    /// Where a reader that has read this frame stands, if the frame says so: what to resume
    /// [`Start::After`](crate::Start::After).
    pub fn token(&self) -> Option<Token> {
        match self {
            Self::Heartbeat | Self::Progress(_) => None,
            Self::Bookmark { token, .. } => Some(*token),
            Self::Batch { token, .. } => *token,
        }
    }
}

/// Where in its stream a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// It is the first, so that a byte order mark may stand before it.
    Start,
    /// Another line came before it.
    Behind,
}

/// Reads a line, with or without its line end; `None` if it is blank.
pub(super) fn read<P: DeserializeOwned>(line: &[u8], at: At) -> Option<Result<Incoming<P>, Fault>> {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    let text = if at == At::Start { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
    if text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        return None;
    }
    let frame = match std::str::from_utf8(text) {
        Ok(text) => read_text(text),
        Err(error) => Err(Fault { column: Some(error.valid_up_to() + 1), kind: DecodeErrorKind::NotUtf8 }),
    };
    // Columns count the bytes of the line as it came.
    let skipped = line.len() - text.len();
    Some(frame.map_err(|Fault { column, kind }| Fault { column: column.map(|column| column + skipped), kind }))
}

fn read_text<P: DeserializeOwned>(line: &str) -> Result<Incoming<P>, Fault> {
    let mut spot = Spot::Frame;
    let mut json = serde_json::Deserializer::from_str(line);
    let read = json.deserialize_map(FrameVisitor { line, spot: &mut spot, payload: PhantomData });
    read.and_then(|frame| json.end().map(|()| frame)).map_err(|error| {
        let message = message(&error);
        let kind = match (error.classify(), spot) {
            (_, Spot::Payload(fault)) => return fault,
            (Category::Syntax | Category::Eof | Category::Io, _) => DecodeErrorKind::Malformed { message },
            (Category::Data, Spot::Frame) => DecodeErrorKind::NotAnObject,
            (Category::Data, Spot::Field(name)) => DecodeErrorKind::Field { name, message },
            (Category::Data, Spot::Event(ordinal)) => DecodeErrorKind::Event { ordinal, message },
            // The whole line is what is wrong, and none of its bytes more than another.
            (Category::Data, Spot::BareEvent) => return Fault { column: None, kind: DecodeErrorKind::BareEvent },
        };
        Fault { column: column(&error), kind }
    })
}

/// Where decoding is, for the error: the deserializer's own errors know the column, but not the field.
enum Spot {
    Frame,
    Field(&'static str),
    Event(usize),
    /// At the end of an object that is an event.
    BareEvent,
    /// A payload that failed; the error that travels up only unwinds the decoding.
    Payload(Fault),
}

struct FrameVisitor<'a, P> {
    line: &'a str,
    spot: &'a mut Spot,
    payload: PhantomData<P>,
}

impl<'de, P: DeserializeOwned> Visitor<'de> for FrameVisitor<'_, P> {
    type Value = Incoming<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Incoming<P>, A::Error> {
        let Self { line, spot, payload } = self;
        let (mut index, mut events, mut token) = (None, None, None);
        let (mut of_event, mut unknown) = (false, false);
        while let Some(field) = map.next_key::<BatchField>()? {
            match field {
                BatchField::Index => {
                    *spot = Spot::Field("Index");
                    once(&mut index, "Index", map.next_value::<u64>()?)?;
                }
                BatchField::Events => {
                    *spot = Spot::Field("Events");
                    once(&mut events, "Events", map.next_value_seed(EventsSeed { line, spot: &mut *spot, payload })?)?;
                }
                BatchField::Token => {
                    *spot = Spot::Field("Token");
                    once(&mut token, "Token", read_token(map.next_value::<&RawValue>()?))?;
                }
                BatchField::OfEvent => {
                    of_event = true;
                    map.next_value::<IgnoredAny>()?;
                }
                BatchField::Unknown => {
                    unknown = true;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let Some(events) = events else {
            if of_event {
                *spot = Spot::BareEvent;
                return Err(A::Error::custom("an event"));
            }
            return match (index, token.flatten()) {
                (index, Some(token)) => Ok(Incoming::Bookmark { index, token }),
                (Some(index), None) => Ok(Incoming::Progress(index)),
                (None, None) if !unknown => Ok(Incoming::Heartbeat),
                (None, None) => Err(missing_index(spot)),
            };
        };
        match (index, token.flatten()) {
            (index, Some(token)) if events.is_empty() => Ok(Incoming::Bookmark { index, token }),
            (Some(index), None) if events.is_empty() => Ok(Incoming::Progress(index)),
            (Some(index), token) => Ok(Incoming::Batch { batch: Batch::recorded(index, events), token }),
            (None, _) => Err(missing_index(spot)),
        }
    }
}

fn missing_index<E: serde::de::Error>(spot: &mut Spot) -> E {
    *spot = Spot::Field("Index");
    E::missing_field("Index")
}

/// The token, if it is one of this crate: another server may give its frames a field of this name, too.
fn read_token(raw: &RawValue) -> Option<Token> {
    serde_json::from_str::<Cow<'_, str>>(raw.get()).ok()?.parse().ok()
}

/// Reads `Events`, null or a list.
struct EventsSeed<'a, P> {
    line: &'a str,
    spot: &'a mut Spot,
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
        *self.spot = Spot::Event(0);
        // A payload is first passed over and then read on its own: raw payloads can be read only so, and an absent one
        // is null also for them.
        while let Some(event) = list.next_element::<Event<Option<&RawValue>>>()? {
            let payload = read_payload(self.line, events.len(), *event.payload()).map_err(|fault| {
                *self.spot = Spot::Payload(fault);
                A::Error::custom("payload")
            })?;
            events.push(event.map(|_| payload));
            *self.spot = Spot::Event(events.len());
        }
        *self.spot = Spot::Field("Events");
        Ok(events)
    }
}

fn read_payload<P: DeserializeOwned>(line: &str, ordinal: usize, raw: Option<&RawValue>) -> Result<P, Fault> {
    let raw = raw.map_or("null", RawValue::get);
    serde_json::from_str(raw).map_err(|error| {
        // The error counts from the payload's first byte. A payload that is null or absent has no place in the line.
        let offset = raw.as_ptr().addr().checked_sub(line.as_ptr().addr()).filter(|offset| *offset < line.len());
        let column = offset.map(|offset| offset + column(&error).unwrap_or(1));
        Fault { column, kind: DecodeErrorKind::Payload { ordinal, message: message(&error) } }
    })
}

fn column(error: &serde_json::Error) -> Option<usize> {
    Some(error.column()).filter(|column| *column > 0)
}

/// What the error says, without the place in the text, which is told apart from it.
///
/// It may quote a value as long as the line, of which the middle is left out: what was expected stands at the end.
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
