//! Implements the `serde` form of events and batches, for formats with and without field names.
//! Events are defined in `event`. What a line of JSON means is decided in `frame`.
//!
//! Invariants: fields are read in the order in which they are written, if the format has no field names. Unknown fields
//! are ignored, and a repeated field is an error.
//!
//! Callers: users of the crate, through `serde`; `frame::line` for the fields of a frame.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::UnitDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::{Batch, Event};

#[cfg(all(test, not(broker_loom)))]
mod tests;

impl<P: Serialize> Serialize for Event<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = (!self.filter_keys.is_empty()).then_some(self.filter_keys());
        let mut event = serializer.serialize_struct("Event", 7)?;
        event.serialize_field("Topic", &self.topic)?;
        event.serialize_field("Type", &self.event_type)?;
        event.serialize_field("Key", &self.key)?;
        event.serialize_field("Namespace", &self.namespace)?;
        event.serialize_field("FilterKeys", &keys)?;
        event.serialize_field("Index", &self.index)?;
        event.serialize_field("Payload", &self.payload)?;
        event.end()
    }
}

/// The recognized members of an object. It replaces `#[serde(field_identifier)]` and behaves the same, so that users of
/// this crate build no procedural macro.
trait Identifier: Sized {
    /// Any other member.
    const UNKNOWN: Self;

    /// Returns the member of this name.
    fn named(name: &str) -> Self;

    /// Returns the member of this number, for formats that write numbers in place of names.
    fn numbered(number: u64) -> Self;
}

/// Reads the identifier of a member: its name, as text or bytes, or its number.
struct IdentifierVisitor<I>(PhantomData<I>);

impl<I: Identifier> Visitor<'_> for IdentifierVisitor<I> {
    type Value = I;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("field identifier")
    }

    fn visit_u64<E>(self, number: u64) -> Result<I, E> {
        Ok(I::numbered(number))
    }

    fn visit_str<E>(self, name: &str) -> Result<I, E> {
        Ok(I::named(name))
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<I, E> {
        Ok(str::from_utf8(name).map_or(I::UNKNOWN, I::named))
    }
}

/// The members of an event.
#[derive(Debug, PartialEq)]
enum Field {
    Topic,
    Type,
    Key,
    Namespace,
    FilterKeys,
    Index,
    Payload,
    Unknown,
}

impl Identifier for Field {
    const UNKNOWN: Self = Self::Unknown;

    fn named(name: &str) -> Self {
        match name {
            "Topic" => Self::Topic,
            "Type" => Self::Type,
            "Key" => Self::Key,
            "Namespace" => Self::Namespace,
            "FilterKeys" => Self::FilterKeys,
            "Index" => Self::Index,
            "Payload" => Self::Payload,
            _ => Self::Unknown,
        }
    }

    fn numbered(number: u64) -> Self {
        match number {
            0 => Self::Topic,
            1 => Self::Type,
            2 => Self::Key,
            3 => Self::Namespace,
            4 => Self::FilterKeys,
            5 => Self::Index,
            6 => Self::Payload,
            _ => Self::Unknown,
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(IdentifierVisitor(PhantomData))
    }
}

struct EventVisitor<P> {
    /// Whether the format is human-readable, such as JSON. In such a format an event is an object, and a list is an
    /// error.
    readable: bool,
    payload: PhantomData<P>,
}

impl<'de, P: Deserialize<'de>> Visitor<'de> for EventVisitor<P> {
    type Value = Event<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object with Topic, Type and Key")
    }

    /// Reads the fields in the order in which `Serialize` writes them. A format without field names cannot leave any
    /// out.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Event<P>, A::Error> {
        if self.readable {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        Ok(Event {
            topic: member(&mut list, "Topic")?,
            event_type: member(&mut list, "Type")?,
            key: member(&mut list, "Key")?,
            namespace: member(&mut list, "Namespace")?,
            filter_keys: member::<Option<Vec<_>>, _>(&mut list, "FilterKeys")?.unwrap_or_default().into(),
            index: member(&mut list, "Index")?,
            payload: member(&mut list, "Payload")?,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event<P>, A::Error> {
        let (mut topic, mut event_type, mut key, mut payload) = (None, None, None, None);
        let (mut namespace, mut filter_keys, mut index) = (None, None, None);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Topic => once(&mut topic, "Topic", map.next_value()?)?,
                Field::Type => once(&mut event_type, "Type", map.next_value()?)?,
                Field::Key => once(&mut key, "Key", map.next_value()?)?,
                Field::Namespace => once(&mut namespace, "Namespace", map.next_value::<Option<_>>()?)?,
                Field::FilterKeys => once(&mut filter_keys, "FilterKeys", map.next_value::<Option<Vec<_>>>()?)?,
                Field::Index => once(&mut index, "Index", map.next_value::<Option<_>>()?)?,
                Field::Payload => once(&mut payload, "Payload", map.next_value()?)?,
                Field::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Event {
            topic: topic.ok_or_else(|| A::Error::missing_field("Topic"))?,
            event_type: event_type.ok_or_else(|| A::Error::missing_field("Type"))?,
            key: key.ok_or_else(|| A::Error::missing_field("Key"))?,
            namespace: namespace.flatten().unwrap_or_default(),
            filter_keys: filter_keys.flatten().unwrap_or_default().into(),
            index: index.flatten().unwrap_or_default(),
            payload: match payload {
                Some(payload) => payload,
                // An absent payload reads as null, for the types that accept null.
                None => P::deserialize(UnitDeserializer::<A::Error>::new())
                    .map_err(|_| A::Error::missing_field("Payload"))?,
            },
        })
    }
}

/// Stores the value of a field that may occur once.
pub(crate) fn once<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

/// Reads the next element of a list that holds one element for each field.
fn member<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(list: &mut A, name: &'static str) -> Result<T, A::Error> {
    list.next_element()?.ok_or_else(|| A::Error::missing_field(name))
}

/// Reads an event back. `Topic`, `Type` and `Key` are required. The other fields have defaults. Unknown fields are
/// ignored.
///
/// An absent payload is read as null, which is an error if `P` does not accept null. A format without field names
/// (bincode, or `rmp-serde` by default) holds every field, in the order in which it was written.
impl<'de, P: Deserialize<'de>> Deserialize<'de> for Event<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FIELDS: &[&str] = &["Topic", "Type", "Key", "Namespace", "FilterKeys", "Index", "Payload"];
        let readable = deserializer.is_human_readable();
        deserializer.deserialize_struct("Event", FIELDS, EventVisitor { readable, payload: PhantomData })
    }
}

impl<P: Serialize> Serialize for Batch<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut batch = serializer.serialize_struct("Batch", 2)?;
        batch.serialize_field("Index", &self.index)?;
        batch.serialize_field("Events", &self.events)?;
        batch.end()
    }
}

/// Reads a batch back. `Index` is required. `Events` null or absent means no events. Unknown fields are ignored.
/// Formats without field names read back as well, as for [`Event`].
///
/// An object that has fields of an event (`Topic`, `Type`, `Key`, `Namespace`, `FilterKeys` or `Payload`) and no
/// `Events` is an error: it is an event, not a batch without events.
///
/// The events keep the index that they carry. In a recorded stream it may differ from the index of the batch.
impl<'de, P: Deserialize<'de>> Deserialize<'de> for Batch<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let readable = deserializer.is_human_readable();
        deserializer.deserialize_struct("Batch", &["Index", "Events"], BatchVisitor { readable, payload: PhantomData })
    }
}

/// The fields of a batch, and of a frame, which is a batch with an optional token.
#[derive(Debug, PartialEq)]
pub(crate) enum BatchField {
    Index,
    Events,
    Token,
    /// A field of an event. A batch has none of them.
    OfEvent,
    Unknown,
}

impl Identifier for BatchField {
    const UNKNOWN: Self = Self::Unknown;

    fn named(name: &str) -> Self {
        match name {
            "Index" => Self::Index,
            "Events" => Self::Events,
            "Token" => Self::Token,
            "Topic" | "Type" | "Key" | "Namespace" | "FilterKeys" | "Payload" => Self::OfEvent,
            _ => Self::Unknown,
        }
    }

    fn numbered(number: u64) -> Self {
        match number {
            0 => Self::Index,
            1 => Self::Events,
            2 => Self::Token,
            3 => Self::OfEvent,
            _ => Self::Unknown,
        }
    }
}

impl<'de> Deserialize<'de> for BatchField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(IdentifierVisitor(PhantomData))
    }
}

struct BatchVisitor<P> {
    /// Whether the format is human-readable, such as JSON. In such a format `Events` may be null or absent.
    readable: bool,
    payload: PhantomData<P>,
}

impl<'de, P: Deserialize<'de>> Visitor<'de> for BatchVisitor<P> {
    type Value = Batch<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct Batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Batch<P>, A::Error> {
        let index = member(&mut list, "Index")?;
        let events = if self.readable {
            list.next_element::<Option<Vec<_>>>()?.flatten().unwrap_or_default()
        } else {
            member(&mut list, "Events")?
        };
        Ok(Batch::recorded(index, events))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch<P>, A::Error> {
        let (mut index, mut events, mut has_event_field) = (None, None, false);
        while let Some(field) = map.next_key::<BatchField>()? {
            match field {
                BatchField::Index => once(&mut index, "Index", map.next_value()?)?,
                BatchField::Events => once(&mut events, "Events", map.next_value::<Option<Vec<_>>>()?)?,
                BatchField::OfEvent => {
                    has_event_field = true;
                    map.next_value::<IgnoredAny>()?;
                }
                BatchField::Token | BatchField::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_event_field && events.is_none() {
            return Err(A::Error::custom("an event by itself, expected a batch with Events, the event among them"));
        }
        let index = index.ok_or_else(|| A::Error::missing_field("Index"))?;
        Ok(Batch::recorded(index, events.flatten().unwrap_or_default()))
    }
}
