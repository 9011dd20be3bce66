//! Defines events, and the batches that hold them.
//! Where a batch is stored is decided in `log`, and what matches it in `interest`.
//!
//! Invariants: the events of a published batch have its index. A batch that was read back keeps theirs.
//!
//! Callers: every layer, and users of the crate.

use crate::types::filter_keys::FilterKeys;
use crate::types::name::{EventType, Key, Namespace, Topic};

/// One change of one object.
///
/// `P` is the payload. The broker never inspects it. Encoding needs `P: Serialize` and decoding `P: Deserialize`;
/// nothing else puts a bound on `P`.
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
    pub(super) topic: Topic,
    pub(super) event_type: EventType,
    pub(super) key: Key,
    pub(super) namespace: Namespace,
    pub(super) filter_keys: FilterKeys,
    pub(super) index: u64,
    pub(super) payload: P,
}

impl<P> Event<P> {
    /// Creates an event without namespace and filter keys. Names may be empty, and empty names are kept.
    #[inline]
    pub fn new(topic: impl Into<Topic>, event_type: impl Into<EventType>, key: impl Into<Key>, payload: P) -> Self {
        Self {
            topic: topic.into(),
            event_type: event_type.into(),
            key: key.into(),
            namespace: Namespace::NONE,
            filter_keys: FilterKeys::new(),
            index: 0,
            payload,
        }
    }

    /// Sets the namespace. An empty one means that the object has none.
    #[inline]
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<Namespace>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Adds a filter key: a further id by which the event can be found.
    #[inline]
    #[must_use]
    pub fn with_filter_key(mut self, key: impl Into<Key>) -> Self {
        self.filter_keys = self.filter_keys.with(key.into());
        self
    }

    /// Adds filter keys: further ids by which the event can be found.
    #[must_use]
    pub fn with_filter_keys<K: Into<Key>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.filter_keys = self.filter_keys.with_all(keys.into_iter().map(Into::into));
        self
    }

    /// Returns the topic: the kind of object that changed.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Returns the event type: what happened to the object.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// Returns the object's own id.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the object's namespace, which is empty if it has none.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns the filter keys, in the order in which they were added.
    pub fn filter_keys(&self) -> &[Key] {
        &self.filter_keys
    }

    /// Returns the index of the commit. It is 0 until the event is published or read back.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Returns the payload.
    pub fn payload(&self) -> &P {
        &self.payload
    }

    /// Consumes the event and returns the payload.
    pub fn into_payload(self) -> P {
        self.payload
    }

    /// Replaces the payload by what `f` makes of it.
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

/// All events of one commit, under its index: the unit of publishing, eviction, delivery and framing.
///
/// This is also the form on the wire. A batch without events is progress: it states that the host has reached that
/// index.
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
    pub(super) index: u64,
    pub(super) events: Vec<Event<P>>,
}

impl<P> Batch<P> {
    /// Creates the batch of the commit `index` and stamps each event with it.
    pub fn new(index: u64, events: impl Into<Vec<Event<P>>>) -> Self {
        let mut events = events.into();
        for event in &mut events {
            event.stamp(index);
        }
        Self { index, events }
    }

    /// Creates a batch as a recorded stream holds it: the events keep the index that they carry.
    pub(crate) fn recorded(index: u64, events: Vec<Event<P>>) -> Self {
        Self { index, events }
    }

    /// Returns a builder that collects events while a commit is under way. See [`BatchBuilder`].
    pub const fn builder() -> BatchBuilder<P> {
        BatchBuilder { events: Vec::new() }
    }

    /// Returns the index of the commit.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Returns the events, in the order of the commit.
    pub fn events(&self) -> &[Event<P>] {
        &self.events
    }

    /// Consumes the batch and returns the events.
    pub fn into_events(self) -> Vec<Event<P>> {
        self.events
    }
}

impl<P> From<Batch<P>> for Vec<Event<P>> {
    fn from(batch: Batch<P>) -> Self {
        batch.events
    }
}

/// Collects events while a commit is under way. Dropping the builder publishes nothing.
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
    /// Appends an event.
    pub fn push(&mut self, event: Event<P>) -> &mut Self {
        self.events.push(event);
        self
    }

    /// Returns the number of events collected.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns whether no event has been collected.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Builds the batch of the commit `index`.
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
