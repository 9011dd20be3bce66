//! Events, the batches that carry them, and their form on the wire.
//! Nothing here knows a broker: an event is a value that can be read back and published again.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::UnitDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use crate::name::{EventType, Key, Namespace, Topic};

/// One change of one object.
///
/// `P` is the payload, and the broker never looks into it. An event is encoded if `P: Serialize` and decoded if
/// `P: Deserialize`; nothing else asks anything of `P`.
///
/// ```
/// use event_broker::Event;
///
/// let event = Event::new("Allocation", "AllocationUpdated", "8f2c", "running")
///     .with_namespace("default")
///     .with_filter_key("web");
/// assert_eq!(event.filter_keys(), ["web"]);
/// assert_eq!(event.index(), 0, "publishing stamps the index of the commit");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "`type` is a keyword")]
pub struct Event<P> {
    topic: Topic,
    event_type: EventType,
    key: Key,
    namespace: Namespace,
    filter_keys: SmallVec<[Key; 1]>,
    index: u64,
    payload: P,
}

impl<P> Event<P> {
    /// An event without namespace and filter keys. Names may be empty and stay so.
    pub fn new(topic: impl Into<Topic>, event_type: impl Into<EventType>, key: impl Into<Key>, payload: P) -> Self {
        Self {
            topic: topic.into(),
            event_type: event_type.into(),
            key: key.into(),
            namespace: Namespace::NONE,
            filter_keys: SmallVec::new(),
            index: 0,
            payload,
        }
    }

    /// Sets the namespace; an empty one is none.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<Namespace>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Adds a further id that the event can be found by.
    #[must_use]
    pub fn with_filter_key(mut self, key: impl Into<Key>) -> Self {
        self.filter_keys.push(key.into());
        self
    }

    /// Adds further ids that the event can be found by.
    #[must_use]
    pub fn with_filter_keys<K: Into<Key>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.filter_keys.extend(keys.into_iter().map(Into::into));
        self
    }

    /// The kind of object that changed.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// What happened to it.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The object's own id.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The object's scope, empty if it has none.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Further ids, in the order they were given.
    pub fn filter_keys(&self) -> &[Key] {
        &self.filter_keys
    }

    /// The index of the commit: 0 until the event is published or read back.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The payload.
    pub fn payload(&self) -> &P {
        &self.payload
    }

    /// Gives the payload up.
    pub fn into_payload(self) -> P {
        self.payload
    }

    /// The same event around another payload.
    pub fn map<Q>(self, f: impl FnOnce(P) -> Q) -> Event<Q> {
        Event {
            topic: self.topic,
            event_type: self.event_type,
            key: self.key,
            namespace: self.namespace,
            filter_keys: self.filter_keys,
            index: self.index,
            payload: f(self.payload),
        }
    }

    pub(crate) fn stamp(&mut self, index: u64) {
        self.index = index;
    }
}

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

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Field {
    Topic,
    Type,
    Key,
    Namespace,
    FilterKeys,
    Index,
    Payload,
    #[serde(other)]
    Unknown,
}

struct EventVisitor<P> {
    /// Whether the format is one for people, such as JSON. There an event is an object, and a list is a mistake.
    readable: bool,
    payload: PhantomData<P>,
}

impl<'de, P: Deserialize<'de>> Visitor<'de> for EventVisitor<P> {
    type Value = Event<P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object with Topic, Type and Key")
    }

    /// The members as `Serialize` wrote them, in that order: formats without names can leave none out.
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
                // An absent payload is what a null one is, for the types that take null.
                None => P::deserialize(UnitDeserializer::<A::Error>::new())
                    .map_err(|_| A::Error::missing_field("Payload"))?,
            },
        })
    }
}

/// Keeps the value of a field that may be given once.
fn once<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

/// The next member of a list that has one for each field.
fn member<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(list: &mut A, name: &'static str) -> Result<T, A::Error> {
    list.next_element()?.ok_or_else(|| A::Error::missing_field(name))
}

/// Reads an event back: `Topic`, `Type` and `Key` are required, the others default, unknown fields are ignored.
///
/// An absent payload is read as null; if `P` takes no null, that is an error. In formats that write no names of fields
/// (bincode, or `rmp-serde` by default) every field is there, in the order in which it was written.
impl<'de, P: Deserialize<'de>> Deserialize<'de> for Event<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FIELDS: &[&str] = &["Topic", "Type", "Key", "Namespace", "FilterKeys", "Index", "Payload"];
        let readable = deserializer.is_human_readable();
        deserializer.deserialize_struct("Event", FIELDS, EventVisitor { readable, payload: PhantomData })
    }
}

/// All events of one commit, under its index: the unit of publishing, eviction, delivery and framing.
///
/// This is also the form on the wire. A batch without events is progress: the state reached that index.
///
/// ```
/// use event_broker::{Batch, Event};
///
/// let batch = Batch::new(7, vec![Event::new("Node", "NodeRegistration", "ccc4", 1)]);
/// assert_eq!(batch.events()[0].index(), 7);
/// # #[cfg(feature = "json")] {
/// let text = serde_json::to_string(&batch).unwrap();
/// assert_eq!(
///     text,
///     r#"{"Index":7,"Events":[{"Topic":"Node","Type":"NodeRegistration","Key":"ccc4","Namespace":"","FilterKeys":null,"Index":7,"Payload":1}]}"#,
/// );
/// assert_eq!(serde_json::from_str::<Batch<i32>>(&text).unwrap(), batch);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<P> {
    index: u64,
    events: Vec<Event<P>>,
}

impl<P> Batch<P> {
    /// The events of the commit `index`, each stamped with it.
    pub fn new(index: u64, events: impl Into<Vec<Event<P>>>) -> Self {
        let mut events = events.into();
        for event in &mut events {
            event.stamp(index);
        }
        Self { index, events }
    }

    /// A batch as a recorded stream has it: the events keep the index they carry.
    pub(crate) fn recorded(index: u64, events: Vec<Event<P>>) -> Self {
        Self { index, events }
    }

    /// Collects events while a commit is under way; see [`BatchBuilder`].
    pub const fn builder() -> BatchBuilder<P> {
        BatchBuilder { events: Vec::new() }
    }

    /// The index of the commit.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The events, in the order of the commit.
    pub fn events(&self) -> &[Event<P>] {
        &self.events
    }

    /// Gives the events up.
    pub fn into_events(self) -> Vec<Event<P>> {
        self.events
    }
}

impl<P> From<Batch<P>> for Vec<Event<P>> {
    fn from(batch: Batch<P>) -> Self {
        batch.events
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

/// Reads a batch back. `Events` null or absent means none; unknown fields are ignored; `Index` is required. Formats that
/// write no names of fields read back as well, as for [`Event`].
///
/// An object that has fields of an event (`Topic`, `Type`, `Key`, `Namespace`, `FilterKeys` or `Payload`) and no
/// `Events` is an event and no batch without events: that is an error.
///
/// The events keep the index they carry, which a recorded stream may have set apart from the batch's.
impl<'de, P: Deserialize<'de>> Deserialize<'de> for Batch<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let readable = deserializer.is_human_readable();
        deserializer.deserialize_struct("Batch", &["Index", "Events"], BatchVisitor { readable, payload: PhantomData })
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum BatchField {
    Index,
    Events,
    /// A member of events, which a batch does not have.
    #[serde(
        rename = "Topic",
        alias = "Type",
        alias = "Key",
        alias = "Namespace",
        alias = "FilterKeys",
        alias = "Payload"
    )]
    OfEvent,
    #[serde(other)]
    Unknown,
}

struct BatchVisitor<P> {
    /// Whether the format is one for people, such as JSON, where `Events` may be null or absent.
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
        let (mut index, mut events, mut of_event) = (None, None, false);
        while let Some(field) = map.next_key::<BatchField>()? {
            match field {
                BatchField::Index => once(&mut index, "Index", map.next_value()?)?,
                BatchField::Events => once(&mut events, "Events", map.next_value::<Option<Vec<_>>>()?)?,
                BatchField::OfEvent => {
                    of_event = true;
                    map.next_value::<IgnoredAny>()?;
                }
                BatchField::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if of_event && events.is_none() {
            return Err(A::Error::custom("an event by itself, expected a batch with Events, the event among them"));
        }
        let index = index.ok_or_else(|| A::Error::missing_field("Index"))?;
        Ok(Batch::recorded(index, events.flatten().unwrap_or_default()))
    }
}

/// Events collected while a commit is under way. Dropping it publishes nothing.
///
/// Commit first, then publish: a reader that sees an event must find its change in the state.
///
/// ```
/// use event_broker::{Batch, Broker, Event};
///
/// let broker = Broker::<u32>::new();
/// let mut pending = Batch::builder();
/// pending.push(Event::new("Job", "JobRegistered", "web", 1));
/// pending.push(Event::new("Evaluation", "EvaluationUpdated", "e1", 2));
/// // … the state store commits, and only then:
/// broker.publish(10, pending)?;
/// # Ok::<(), event_broker::PublishError<u32>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchBuilder<P> {
    events: Vec<Event<P>>,
}

impl<P> BatchBuilder<P> {
    /// Adds an event after those already collected.
    pub fn push(&mut self, event: Event<P>) -> &mut Self {
        self.events.push(event);
        self
    }

    /// How many events have been collected.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing has been collected.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The batch of the commit `index`.
    pub fn build(self, index: u64) -> Batch<P> {
        Batch::new(index, self.events)
    }
}

impl<P> Default for BatchBuilder<P> {
    fn default() -> Self {
        Batch::builder()
    }
}

impl<P> Extend<Event<P>> for BatchBuilder<P> {
    fn extend<I: IntoIterator<Item = Event<P>>>(&mut self, events: I) {
        self.events.extend(events);
    }
}

impl<P> From<BatchBuilder<P>> for Vec<Event<P>> {
    fn from(builder: BatchBuilder<P>) -> Self {
        builder.events
    }
}
