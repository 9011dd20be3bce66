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

/// Events of groups that are drawn in proportion to `1 / rank`, always the same. After a cycle they begin again.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// The group of each event of the cycle.
    groups: Vec<u64>,
    /// The groups of each window, in rising order, and how many of its events are of each.
    windows: Vec<Vec<(u64, u64)>>,
    /// The windows of each group, in rising order.
    windows_of: Vec<Vec<u64>>,
}

/// The least number of events in a cycle.
const CYCLE: usize = 1 << 16;

impl Zipf {
    /// Draws the events of windows of this many events.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    pub(crate) fn new(groups: u64, window: usize) -> Arc<Self> {
        let mut cumulated = Vec::new();
        let mut sum = 0.0;
        for rank in 1..=groups {
            sum += 1.0 / rank as f64;
            cumulated.push(sum);
        }
        let mut state_of_order = 2_u64;
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 11) as f64 / (1_u64 << 53) as f64 * sum;
            (cumulated.partition_point(|each| *each <= at) as u64).min(groups - 1)
        };
        // Each group has an event in a cycle, so that every reader receives something.
        let drawn = CYCLE.max(usize::try_from(8 * groups).unwrap_or(CYCLE)).div_ceil(window) * window;
        let mut windows_of = vec![Vec::new(); usize::try_from(groups).unwrap_or(usize::MAX)];
        let mut groups: Vec<u64> = (0..groups).chain(std::iter::repeat_with(&mut draw)).take(drawn).collect();
        for last in (1..groups.len()).rev() {
            state_of_order =
                state_of_order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            groups.swap(last, usize::try_from((state_of_order >> 33) % (last as u64 + 1)).unwrap_or(last));
        }
        let windows = groups.chunks(window).map(|window| {
            let mut sorted = window.to_vec();
            sorted.sort_unstable();
            let same = sorted.chunk_by(|a, b| a == b);
            same.filter_map(|same| Some((*same.first()?, same.len() as u64))).collect::<Vec<_>>()
        });
        let windows: Vec<_> = windows.collect();
        for (number, window) in (0..).zip(&windows) {
            for (group, _) in window {
                let of = usize::try_from(*group).ok().and_then(|group| windows_of.get_mut(group));
                of.expect("one of the groups").push(number);
            }
        }
        Arc::new(Self { groups, windows, windows_of })
    }

    /// The first window from `from` on that has an event of the group.
    fn next(&self, group: u64, from: u64) -> u64 {
        let windows = usize::try_from(group).ok().and_then(|group| self.windows_of.get(group));
        let windows = windows.map(Vec::as_slice).unwrap_or_default();
        let cycle = self.windows.len() as u64;
        let (before, at) = (from / cycle * cycle, from % cycle);
        match windows.get(windows.partition_point(|window| *window < at)) {
            Some(window) => before + window,
            None => before + cycle + windows.first().copied().expect("each group has an event in a cycle"),
        }
    }

    fn group(&self, event: u64) -> u64 {
        let at = usize::try_from(event % self.groups.len() as u64).unwrap_or_default();
        self.groups.get(at).copied().unwrap_or_default()
    }

    fn window(&self, window: u64) -> &[(u64, u64)] {
        let at = usize::try_from(window % self.windows.len() as u64).unwrap_or_default();
        self.windows.get(at).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Which events are published, and which of them each reader receives. Event `e` is of group `e % groups`, or of one that
/// is drawn, and reader `r` wants group `r % groups`. With one group, all readers want everything.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) groups: u64,
    /// How the groups of events are drawn, if they do not take turns. It must have been made for this many groups and
    /// for windows of this length.
    pub(crate) drawn: Option<Arc<Zipf>>,
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
            drawn: None,
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
        (first..first + self.batch as u64).map(|e| event(self.group(e), &payload())).collect()
    }

    /// The group of the event that is the `number`th since the beginning.
    pub(crate) fn group(&self, number: u64) -> u64 {
        self.drawn.as_ref().map_or(number % self.groups, |drawn| drawn.group(number))
    }

    /// How many events of a window a reader must receive.
    pub(crate) fn expected(&self, reader: usize, window: u64) -> u64 {
        let group = reader as u64 % self.groups;
        if let Some(drawn) = &self.drawn {
            let groups = drawn.window(window);
            let found = groups.binary_search_by_key(&group, |(group, _)| *group).ok();
            return found.and_then(|found| groups.get(found)).map_or(0, |(_, events)| *events);
        }
        let before = |events: u64| (events + self.groups - 1 - group) / self.groups;
        let len = (self.window * self.batch) as u64;
        before((window + 1) * len) - before(window * len)
    }

    /// The first window from `from` on that has an event for a reader.
    pub(crate) fn next(&self, reader: usize, from: u64) -> u64 {
        let group = reader as u64 % self.groups;
        if let Some(drawn) = &self.drawn {
            return drawn.next(group, from);
        }
        let len = (self.window * self.batch) as u64;
        let first = from * len;
        (first + (self.groups + group - first % self.groups) % self.groups) / len
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
        let drawn = self.drawn.as_ref().map(|drawn| drawn.window(window));
        let first = if len < self.groups { usize::try_from(window * len % self.groups).unwrap_or(0) } else { 0 };
        let count = usize::try_from(len.min(self.groups)).unwrap_or(usize::MAX);
        let in_turn = if drawn.is_some() { first..first } else { first..first + count };
        let drawn = drawn.into_iter().flatten().filter_map(|(group, _)| usize::try_from(*group).ok());
        in_turn.chain(drawn).flat_map(move |group| (group % groups..readers).step_by(groups))
    }
}
