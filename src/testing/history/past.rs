//! What was published: batches with their index and events, in the order of publishing.
//! What a reader saw of it is in `trace`.

use std::collections::HashMap;
use std::fmt;

use crate::types::event::Event;
use crate::types::name::{EventType, Key, Namespace, Topic};
use crate::types::token::Token;

/// How a trace says which event it saw: by the caller's own id, or by the event's place.
///
/// ```
/// use event_broker::testing::history::EventId;
///
/// assert_eq!(EventId::from(7).to_string(), "7");
/// assert_eq!(EventId::from("e1").to_string(), "e1");
/// assert_eq!(EventId::Place { index: 7, batch: 0, ordinal: 2 }.to_string(), "7.0.2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventId {
    /// The place of the event, which every event of a history has.
    Place {
        /// The index of its batch.
        index: u64,
        /// How many batches of that index came before.
        batch: u32,
        /// How many events of its batch came before.
        ordinal: u32,
    },
    /// A number of the caller's, such as one from the payload.
    Number(u64),
    /// A text of the caller's, such as the id of a change.
    Text(String),
}

impl From<u64> for EventId {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for EventId {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for EventId {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { index, batch, ordinal } => write!(f, "{index}.{batch}.{ordinal}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// One event of a [`History`]: its names, without its payload, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEvent {
    event: Event<()>,
    id: EventId,
    position: usize,
    ordinal: usize,
}

impl PastEvent {
    /// Returns the event without its payload, for [`Term::matches`](crate::Term::matches) and the like.
    pub fn event(&self) -> &Event<()> {
        &self.event
    }

    /// Returns the id that the caller gave it, or else its place.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// Returns the index of its batch.
    pub fn index(&self) -> u64 {
        self.event.index()
    }

    /// Returns the position of its batch: how many batches of the history came before.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns how many events of its batch came before.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Returns the topic.
    pub fn topic(&self) -> &Topic {
        self.event.topic()
    }

    /// Returns the event type.
    pub fn event_type(&self) -> &EventType {
        self.event.event_type()
    }

    /// Returns the object's own id.
    pub fn key(&self) -> &Key {
        self.event.key()
    }

    /// Returns the object's namespace, which is empty if it has none.
    pub fn namespace(&self) -> &Namespace {
        self.event.namespace()
    }
}

impl fmt::Display for PastEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}:{}", self.topic(), self.event_type(), self.namespace(), self.key())?;
        match self.event.filter_keys() {
            [] => {}
            keys => write!(f, " [{}]", keys.iter().map(Key::as_str).collect::<Vec<_>>().join(" "))?,
        }
        if let EventId::Place { .. } = self.id { Ok(()) } else { write!(f, " ({})", self.id) }
    }
}

/// A batch of a history.
#[derive(Clone, Debug)]
pub(super) struct PastBatch {
    pub(super) index: u64,
    pub(super) events: Vec<PastEvent>,
}

/// What was published in one epoch: every batch with events, in the order of publishing.
///
/// A batch is recorded under the lock that orders publishing, or before anything can read. A history knows nothing of
/// bounds: it keeps what was evicted.
///
/// ```
/// use event_broker::testing::history::History;
/// use event_broker::{Broker, Event};
///
/// let broker = Broker::new();
/// let mut history = History::new();
/// let mut commit = |index, events: Vec<Event<u64>>| {
///     history.record(index, &events); // by place
///     broker.publish(index, events)
/// };
/// commit(7, vec![Event::new("Job", "JobRegistered", "web", 1), Event::new("Job", "JobRegistered", "db", 2)])?;
/// commit(8, vec![])?; // progress, and no batch
/// assert_eq!(history.len(), 1);
///
/// history.record_by(9, &[Event::new("Job", "JobRegistered", "web", 3)], |event| *event.payload());
/// assert_eq!(history.events().map(|event| event.id().to_string()).collect::<Vec<_>>(), ["7.0.0", "7.0.1", "3"]);
/// # Ok::<(), event_broker::PublishError<u64>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct History {
    batches: Vec<PastBatch>,
    /// The batch of each id and its place there.
    places: HashMap<EventId, (usize, usize)>,
    /// The place of the next batch: its index and how many batches of it came before.
    next: (u64, u32),
}

impl History {
    /// Creates an empty history, in which no batch came before the first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the history of a broker that [starts after](crate::Builder::starts_after) this token, or has [skipped
    /// to](crate::Broker::skip_to) it.
    pub fn starting_after(token: Token) -> Self {
        let place = token.place();
        Self { next: (place.index, place.count), ..Self::default() }
    }

    /// Records a batch, whose events have their places as ids. A batch without events is not stored, as in the broker.
    pub fn record<P>(&mut self, index: u64, events: &[Event<P>]) {
        self.append(index, events, None::<&dyn Fn(&Event<P>) -> EventId>);
    }

    /// Records a batch, whose events have an id by which a reader can tell them from all others. Then it is checked that
    /// what came was that event and not another in its place.
    ///
    /// # Panics
    ///
    /// Panics if an id was recorded before.
    pub fn record_by<P, I: Into<EventId>>(&mut self, index: u64, events: &[Event<P>], id: impl Fn(&Event<P>) -> I) {
        self.append(index, events, Some(&|event: &Event<P>| id(event).into()));
    }

    fn append<P>(&mut self, index: u64, events: &[Event<P>], id: Option<&(impl Fn(&Event<P>) -> EventId + ?Sized)>) {
        if events.is_empty() {
            return;
        }
        let position = self.batches.len();
        let batch = if self.next.0 == index { self.next.1 } else { 0 };
        self.next = (index, batch.saturating_add(1));
        let mut past = Vec::with_capacity(events.len());
        for (ordinal, event) in events.iter().enumerate() {
            let place = EventId::Place { index, batch, ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX) };
            self.places.insert(place.clone(), (position, ordinal));
            let id = id.map_or(place, |id| {
                let id = id(event);
                assert!(self.places.insert(id.clone(), (position, ordinal)).is_none(), "the id {id} is of two events");
                id
            });
            let mut copy = Event::new(event.topic(), event.event_type(), event.key(), ())
                .with_namespace(event.namespace())
                .with_filter_keys(event.filter_keys());
            copy.stamp(index);
            past.push(PastEvent { event: copy, id, position, ordinal });
        }
        self.batches.push(PastBatch { index, events: past });
    }

    /// Returns the number of batches: the position of the next.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Returns whether no batch was recorded.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Returns all events, in the order of publishing.
    pub fn events(&self) -> impl Iterator<Item = &PastEvent> {
        self.batches.iter().flat_map(|batch| &batch.events)
    }

    pub(super) fn batches(&self) -> &[PastBatch] {
        &self.batches
    }

    pub(super) fn batch(&self, position: usize) -> Option<&PastBatch> {
        self.batches.get(position)
    }

    /// The events of a batch, or none of a batch that there is not.
    pub(super) fn events_of(&self, position: usize) -> &[PastEvent] {
        self.batch(position).map_or(&[], |batch| &batch.events)
    }

    /// The event of an id, if it was published.
    pub(super) fn find(&self, id: &EventId) -> Option<&PastEvent> {
        let (position, ordinal) = self.places.get(id)?;
        self.events_of(*position).get(*ordinal)
    }

    /// The position of the first batch of an index or a later one.
    pub(super) fn first_of(&self, index: u64) -> usize {
        self.batches.partition_point(|batch| batch.index < index)
    }

    /// The positions that a lost range can end before: where a batch of `resumes_at` follows one of `through`. There is
    /// one at most, unless more than two batches have that index.
    pub(super) fn resumptions(&self, through: u64, resumes_at: u64) -> Vec<usize> {
        let pair = |two: &[PastBatch]| matches!(two, [one, next] if (one.index, next.index) == (through, resumes_at));
        let places = self.batches.windows(2).enumerate().filter(|(_, two)| pair(two));
        places.map(|(place, _)| place + 1).collect()
    }
}
