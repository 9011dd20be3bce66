//! The event that everything is measured with, and the plan of which reader receives which events.

use std::sync::{Arc, OnceLock};

use event_broker::{Batch, EventType, Key, Namespace, Topic};
use serde::{Serialize, Serializer};

use super::Want;

pub(crate) type Event = event_broker::Event<Payload>;

/// The shared batch that the rivals deliver.
pub(crate) type Item = Arc<Batch<Payload>>;

/// The number of a key that no event has. Keys distinguish numbers below 2^48.
pub(crate) const NOBODYS: u64 = 0x7777_0000_0000;

pub(crate) const TOPIC: Topic = Topic::from_static("Allocation");
pub(crate) const TYPE: EventType = EventType::from_static("AllocationUpdated");

/// A payload that all events share, like the objects of a state store and its snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload(pub(crate) Arc<str>);

impl Payload {
    /// Text of this many bytes, none of which JSON escapes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self("0123456789abcdef".repeat(bytes.div_ceil(16)).get(..bytes).unwrap_or_default().into())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A key of 36 bytes, like the ids of the reference server's objects. It is assembled by hand, because formatting would
/// cost more than publishing.
pub(crate) fn key(number: u64) -> Key {
    let mut text = *b"00000000-0000-4000-8000-000000000000";
    let (head, tail) = text.split_at_mut(24);
    hex(head.get_mut(..8).unwrap_or_default(), number);
    hex(tail, number);
    Key::from(std::str::from_utf8(&text).expect("digits"))
}

/// Writes the lowest digits that fit.
fn hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef".get((number & 15) as usize).copied().unwrap_or_default();
        number >>= 4;
    }
}

/// One event: 36-byte key of its own, the default namespace, one or two filter keys, a shared payload.
pub(crate) fn event(object: u64, payload: &Payload) -> Event {
    static FILTER_KEYS: OnceLock<[Key; 2]> = OnceLock::new();
    let [job, node] = FILTER_KEYS.get_or_init(|| [key(0xffff_0000_0000), key(0xffff_0000_0001)]);
    let event =
        Event::new(TOPIC, TYPE, key(object), payload.clone()).with_namespace(Namespace::DEFAULT).with_filter_key(job);
    if object.is_multiple_of(2) { event } else { event.with_filter_key(node) }
}

/// Which events are published, and which of them each reader receives. Event `e` is of group `e % groups`, reader `r`
/// wants group `r % groups`. With one group, all readers want everything.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) groups: u64,
    /// Events in a batch.
    pub(crate) batch: usize,
    /// Batches published before all readers must have caught up.
    pub(crate) window: usize,
    pub(crate) payload: Payload,
    /// Batches that the structure holds, or two windows.
    pub(crate) capacity: Option<usize>,
    /// Whether each event has its own copy of the payload; otherwise all share one.
    pub(crate) copied: bool,
    /// What readers ask for where there is one group.
    pub(crate) all: Want,
}

impl Plan {
    /// All readers receive everything; one event per batch, windows of 64.
    pub(crate) fn everything() -> Self {
        Self::selective(1)
    }

    /// Each group of readers has its own key; one event per batch, windows of 64.
    pub(crate) fn selective(groups: u64) -> Self {
        Self {
            groups,
            batch: 1,
            window: 64,
            payload: Payload::of(256),
            capacity: None,
            copied: false,
            all: Want::Everything,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity.unwrap_or(2 * self.window)
    }

    pub(crate) fn want(&self, reader: usize) -> Want {
        if self.groups == 1 { self.all.clone() } else { Want::Key(key(reader as u64 % self.groups)) }
    }

    /// The events of the batch that is the `number`th since the beginning.
    pub(crate) fn events(&self, number: u64) -> Vec<Event> {
        let first = number * self.batch as u64;
        let payload = || if self.copied { Payload(Arc::from(&*self.payload.0)) } else { self.payload.clone() };
        (first..first + self.batch as u64).map(|e| event(e % self.groups, &payload())).collect()
    }

    /// How many events of a window a reader must receive.
    pub(crate) fn expected(&self, reader: usize, window: u64) -> u64 {
        let group = reader as u64 % self.groups;
        let before = |events: u64| (events + self.groups - 1 - group) / self.groups;
        let len = (self.window * self.batch) as u64;
        before((window + 1) * len) - before(window * len)
    }

    /// How many deliveries of events a window makes to `readers` readers.
    pub(crate) fn deliveries(&self, readers: usize, window: u64) -> u64 {
        if self.groups == 1 {
            return (self.window * self.batch * readers) as u64;
        }
        self.concerned(readers, window).map(|reader| self.expected(reader, window)).sum()
    }

    /// The readers that receive something of a window.
    pub(crate) fn concerned(&self, readers: usize, window: u64) -> impl Iterator<Item = usize> {
        let len = (self.window * self.batch) as u64;
        let groups = usize::try_from(self.groups).unwrap_or(usize::MAX);
        let first = if len < self.groups { usize::try_from(window * len % self.groups).unwrap_or(0) } else { 0 };
        let count = usize::try_from(len.min(self.groups)).unwrap_or(usize::MAX);
        (first..first + count).flat_map(move |group| (group % groups..readers).step_by(groups))
    }
}
