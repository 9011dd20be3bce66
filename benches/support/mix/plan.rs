//! The plan of the mix: which events are published, who reads, and what each reader must receive.
//!
//! All of it is drawn before anything is measured, always the same. It knows no structure.

#![expect(clippy::cast_precision_loss, reason = "numbers of keys are small")]

use std::ops::Range;

use event_broker::{EventType, Key, Namespace, Topic};

use super::super::event::{Event, Payload, key};
use super::Tally;

/// Objects, each with a key, a topic and a namespace of its own.
const OBJECTS: u32 = 10_000;

/// Largest number of events in a batch.
const LARGEST: u64 = 20;

/// Batches after which the plan begins again.
const CYCLE: usize = 512;

const TOPICS: [Topic; 5] = [
    Topic::from_static("Allocation"),
    Topic::from_static("Job"),
    Topic::from_static("Evaluation"),
    Topic::from_static("Node"),
    Topic::from_static("Service"),
];

const NAMESPACES: [Namespace; 3] =
    [Namespace::DEFAULT, Namespace::from_static("batch"), Namespace::from_static("system")];

const TYPE: EventType = EventType::from_static("Updated");

/// How often each key is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// All alike.
    Uniform,
    /// The key of rank `k` in proportion to `1 / k`.
    Zipf,
}

/// The number of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Object(u32);

impl Object {
    fn key(self) -> Key {
        key(u64::from(self.0))
    }

    fn topic(self) -> usize {
        self.0 as usize % TOPICS.len()
    }

    fn namespace(self) -> usize {
        self.0 as usize / TOPICS.len() % NAMESPACES.len()
    }

    /// One or two filter keys that nobody asks for, as other events of the benchmarks have.
    fn event(self, payload: &Payload) -> Event {
        let named = |all: &[_], place: usize| -> Topic { Clone::clone(all.get(place).expect("a remainder")) };
        let namespace = NAMESPACES.get(self.namespace()).expect("a remainder").clone();
        let event = Event::new(named(&TOPICS, self.topic()), TYPE, self.key(), payload.clone())
            .with_namespace(namespace)
            .with_filter_key(key(0xffff_0000_0000));
        if self.0.is_multiple_of(2) { event } else { event.with_filter_key(key(0xffff_0000_0001)) }
    }
}

/// Numbers that look random, always the same (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// At least 0 and below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws objects by a distribution.
struct Sampler {
    random: Random,
    /// For each object, the weights up to and including its own.
    weights: Vec<f64>,
}

impl Sampler {
    fn new(distribution: Distribution) -> Self {
        let weight = |rank| if distribution == Distribution::Zipf { 1.0 / f64::from(rank) } else { 1.0 };
        let weights = (1..=OBJECTS).scan(0.0, |sum, rank| {
            *sum += weight(rank);
            Some(*sum)
        });
        Self { random: Random(0x5eed), weights: weights.collect() }
    }

    fn draw(&mut self) -> Object {
        let at = self.random.fraction() * self.weights.last().expect("objects");
        let place = self.weights.partition_point(|weight| *weight <= at);
        Object(u32::try_from(place).map_or(OBJECTS - 1, |place| place.min(OBJECTS - 1)))
    }
}

/// What a reader asks for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Everything,
    Topic { topic: Topic, namespace: Option<Namespace> },
    Keys { topic: Topic, keys: Vec<Key>, namespace: Option<Namespace> },
}

impl Wanted {
    /// The kinds of readers, by what they ask for.
    pub(crate) const KINDS: usize = 5;

    /// The kind of a reader: of everything, of a topic, of a topic in one namespace, of keys, of keys in one namespace.
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::Everything => 0,
            Self::Topic { namespace, .. } => 1 + usize::from(namespace.is_some()),
            Self::Keys { namespace, .. } => 3 + usize::from(namespace.is_some()),
        }
    }

    /// Whether a receiver that filters for itself would keep this event.
    #[inline]
    pub(crate) fn matches(&self, event: &Event) -> bool {
        let within = |scope: &Option<Namespace>| scope.as_ref().is_none_or(|scope| scope == event.namespace());
        match self {
            Self::Everything => true,
            Self::Topic { topic, namespace } => topic == event.topic() && within(namespace),
            Self::Keys { topic, keys, namespace } => {
                let named = |key: &Key| key == event.key() || event.filter_keys().contains(key);
                topic == event.topic() && within(namespace) && keys.iter().any(named)
            }
        }
    }

    /// The reader of this number: of 20, one of everything, five of a topic, and 14 of one to three keys of a topic. Of
    /// the latter two kinds, a third asks for one namespace, and the others for all.
    fn draw(number: usize, sampler: &mut Sampler) -> Self {
        if number.is_multiple_of(20) {
            return Self::Everything;
        }
        let first = sampler.draw();
        let topic = TOPICS.get(first.topic()).expect("a remainder").clone();
        let namespace = NAMESPACES.get(first.namespace()).expect("a remainder").clone();
        let namespace = (sampler.random.below(3) == 0).then_some(namespace);
        if number % 20 <= 5 {
            let place = usize::try_from(sampler.random.below(5)).unwrap_or_default();
            return Self::Topic { topic: TOPICS.get(place).expect("below").clone(), namespace };
        }
        let mut keys = vec![first.key()];
        for _ in 0..sampler.random.below(3) {
            let another = std::iter::repeat_with(|| sampler.draw()).find(|object| object.topic() == first.topic());
            keys.extend(another.map(Object::key).filter(|key| !keys.contains(key)));
        }
        Self::Keys { topic, keys, namespace }
    }
}

/// The plan. Batches are numbered from 0, and a window is a number of consecutive ones.
pub(crate) struct Plan {
    pub(crate) readers: Vec<Wanted>,
    /// Batches published before all readers must have caught up.
    pub(crate) window: usize,
    batches: Vec<Vec<Object>>,
    payload: Payload,
    /// What each reader receives in each window of the cycle. Indexes are counted from 0 within the window.
    expected: Vec<Vec<Tally>>,
}

impl Plan {
    /// A plan whose window divides its cycle of 512 batches.
    pub(crate) fn new(distribution: Distribution, readers: usize, window: usize) -> Self {
        assert!(CYCLE.is_multiple_of(window), "windows of {window}");
        let mut sampler = Sampler::new(distribution);
        let readers: Vec<_> = (0..readers).map(|number| Wanted::draw(number, &mut sampler)).collect();
        let batches: Vec<Vec<_>> =
            (0..CYCLE).map(|_| (0..=sampler.random.below(LARGEST)).map(|_| sampler.draw()).collect()).collect();
        let payload = Payload::of(256);
        let mut plan = Self { readers, window, batches, payload, expected: Vec::new() };
        plan.expected = (0..CYCLE / window).map(|number| plan.filter(number as u64)).collect();
        plan
    }

    /// What each reader receives in a window, by filtering every event for every reader.
    fn filter(&self, window: u64) -> Vec<Tally> {
        let batches: Vec<_> = self.numbers(window).map(|number| self.events(number)).collect();
        let tally = |wanted: &Wanted| {
            let mut tally = Tally::default();
            for (place, events) in batches.iter().enumerate() {
                let matching = events.iter().filter(|event| wanted.matches(event)).count() as u64;
                tally += Tally { batches: u64::from(matching > 0), events: matching, sum: matching * place as u64 };
            }
            tally
        };
        self.readers.iter().map(tally).collect()
    }

    /// The numbers of a window's batches.
    pub(crate) fn numbers(&self, window: u64) -> Range<u64> {
        let len = self.window as u64;
        window * len..(window + 1) * len
    }

    /// The index of the batch with this number.
    pub(crate) fn index(number: u64) -> u64 {
        number + 1
    }

    pub(crate) fn events(&self, number: u64) -> Vec<Event> {
        let objects = usize::try_from(number).ok().and_then(|number| self.batches.get(number % CYCLE));
        objects.expect("a remainder").iter().map(|object| object.event(&self.payload)).collect()
    }

    fn tallies(&self, window: u64) -> &[Tally] {
        let place = usize::try_from(window).ok().map(|window| window % self.expected.len());
        place.and_then(|place| self.expected.get(place)).expect("a remainder")
    }

    /// What a reader must have received of a window: the sum of indexes is that of the indexes as published.
    pub(crate) fn expected(&self, reader: usize, window: u64) -> Tally {
        let tally = *self.tallies(window).get(reader).expect("a reader");
        Tally { sum: tally.sum + tally.events * Self::index(self.numbers(window).start), ..tally }
    }

    /// How many windows there are until the plan begins again.
    pub(crate) fn cycle(&self) -> u64 {
        self.expected.len() as u64
    }

    /// How many readers receive something of a window.
    pub(crate) fn concerned(&self, window: u64) -> usize {
        self.tallies(window).iter().filter(|tally| tally.events > 0).count()
    }

    /// How many events of a window are delivered, to all readers together.
    pub(crate) fn deliveries(&self, window: u64) -> u64 {
        self.tallies(window).iter().map(|tally| tally.events).sum()
    }

    /// What the plan is like, for a title.
    pub(crate) fn summary(&self) -> String {
        let events: usize = self.batches.iter().map(Vec::len).sum();
        let deliveries: u64 = (0..self.cycle()).map(|window| self.deliveries(window)).sum();
        let each = |count: f64| count / CYCLE as f64;
        format!("{:.1} events a batch, {:.0} delivered", each(events as f64), each(deliveries as f64))
    }
}
