//! What is published and who must receive it: a journal of the last batches, and the streams that readers ask for.
//!
//! It uses no broker and no reader.

use std::sync::atomic::{AtomicU64, Ordering};

use event_broker::{Event, EventType, Key, Namespace, Request, Term, Topic};
use serde::Serialize;

/// Pseudo-random numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// The `number`th sequence of a seed.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut draw = Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        draw.next();
        draw
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// A number below `bound`, which fits.
    pub(crate) fn small(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).unwrap_or_default()
    }
}

pub(crate) const TOPICS: u32 = 8;
pub(crate) const KEYS: u32 = 2_000;
pub(crate) const GROUPS: u32 = 100;
/// An event may also have none.
pub(crate) const NAMESPACES: u32 = 4;
const NO_NAMESPACE: u32 = NAMESPACES;
/// The most events of a batch.
const EVENTS: usize = 4;

/// One event in 32 bits: topic in the highest 8, namespace in the next 8, key in the lowest 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject(u32);

impl Subject {
    const ABSENT: Self = Self(u32::MAX);

    fn draw(draw: &mut Draw) -> Self {
        // Low keys are frequent.
        let key = if draw.one_in(4) { draw.small(20) } else { draw.small(KEYS) };
        Self((key % TOPICS) << 24 | draw.small(NAMESPACES + 1) << 16 | key)
    }

    const fn topic(self) -> u32 {
        self.0 >> 24
    }

    const fn namespace(self) -> u32 {
        self.0 >> 16 & 0xff
    }

    pub(crate) const fn key(self) -> u32 {
        self.0 & 0xffff
    }

    const fn has_no_namespace(self) -> bool {
        self.namespace() == NO_NAMESPACE
    }

    fn event(self, index: u64, place: u64, body: String) -> Event<Load> {
        let load = Load { number: Journal::number(index, place), body };
        let namespace = if self.has_no_namespace() { Namespace::from_static("") } else { namespace(self.namespace()) };
        Event::new(topic(self.topic()), EventType::from_static("Changed"), key(self.key()), load)
            .with_namespace(namespace)
            .with_filter_key(group(self.key() % GROUPS))
    }
}

/// A payload: the unique number of its event, and a text.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) number: u64,
    body: String,
}

fn topic(number: u32) -> Topic {
    Topic::from(format!("Topic{number}"))
}

fn key(number: u32) -> Key {
    Key::from(format!("00000000-0000-4000-8000-{number:012}"))
}

fn group(number: u32) -> Key {
    Key::from(format!("group-{number}"))
}

fn namespace(number: u32) -> Namespace {
    Namespace::from(format!("namespace-{number}"))
}

/// The events of the last batches, by index, in memory that is allocated at the start.
pub(crate) struct Journal {
    slots: Box<[[AtomicU64; EVENTS / 2]]>,
}

impl Journal {
    /// More batches than the longest session sees published.
    const SLOTS: u64 = 1 << 17;

    pub(crate) fn new() -> Self {
        Self { slots: (0..Self::SLOTS).map(|_| [const { AtomicU64::new(u64::MAX) }; EVENTS / 2]).collect() }
    }

    fn slot(&self, index: u64) -> &[AtomicU64; EVENTS / 2] {
        let place = usize::try_from(index % Self::SLOTS).unwrap_or_default();
        self.slots.get(place).expect("as many as the remainder has values")
    }

    /// Draws a batch and records it. The caller publishes it afterwards, which makes the record visible to readers of
    /// the batch.
    pub(crate) fn draw(&self, index: u64, draw: &mut Draw) -> Vec<Event<Load>> {
        let count = 1 + draw.below(EVENTS as u64);
        let mut subjects = [Subject::ABSENT; EVENTS];
        for (subject, _) in subjects.iter_mut().zip(0..count) {
            *subject = Subject::draw(draw);
        }
        let [a, b, c, d] = subjects;
        for (half, [low, high]) in self.slot(index).iter().zip([[a, b], [c, d]]) {
            // Relaxed: publishing orders this store before every read that returns the batch or a later one.
            half.store(u64::from(high.0) << 32 | u64::from(low.0), Ordering::Relaxed);
        }
        let present = subjects.into_iter().filter(|subject| *subject != Subject::ABSENT);
        let mut body = || "0123456789abcdef".repeat(draw.small(32) as usize);
        (0..).zip(present).map(|(place, subject)| subject.event(index, place, body())).collect()
    }

    /// The subjects of a batch, with their places.
    pub(crate) fn batch(&self, index: u64) -> impl Iterator<Item = (u64, Subject)> {
        let [low, high] = self.slot(index);
        let halves = [low, high].map(|half| half.load(Ordering::Relaxed));
        #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let subjects = halves.into_iter().flat_map(|half| [Subject(half as u32), Subject((half >> 32) as u32)]);
        (0..).zip(subjects).filter(|(_, subject)| *subject != Subject::ABSENT)
    }

    /// The number that an event of a batch has.
    pub(crate) const fn number(index: u64, place: u64) -> u64 {
        index * EVENTS as u64 + place
    }
}

/// What a reader asks for.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    Everything,
    Topic(u32),
    Key(u32),
    /// By filter key.
    Group(u32),
    /// This many keys, from this one on.
    Keys(u32, u32),
    /// Everything in one namespace, and events without one.
    Namespace(u32),
    /// A key in one namespace, and in events without one.
    KeyIn(u32, u32),
    /// All topics but the last, in more than 4,096 pairs of topic and namespace.
    Wide,
}

/// Namespaces of a wide scope in which nothing is published.
const WIDE: u32 = 600;

impl Stream {
    pub(crate) fn draw(draw: &mut Draw) -> Self {
        match draw.below(1_000) {
            0..20 => Self::Everything,
            20..100 => Self::Topic(draw.small(TOPICS)),
            100..150 => Self::Namespace(draw.small(NAMESPACES)),
            150..350 => Self::Group(draw.small(GROUPS)),
            350..450 => Self::Keys(draw.small(KEYS - 60), if draw.one_in(5) { 60 } else { 12 }),
            450..600 => Self::KeyIn(draw.small(KEYS), draw.small(NAMESPACES)),
            600..603 => Self::Wide,
            _ => Self::Key(draw.small(KEYS)),
        }
    }

    /// Whether matching events are frequent, so that a read without a deadline ends soon.
    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self, Self::Everything | Self::Topic(_) | Self::Namespace(_))
    }

    pub(crate) fn matches(&self, subject: Subject) -> bool {
        let admits = |namespace| subject.has_no_namespace() || subject.namespace() == namespace;
        match *self {
            Self::Everything => true,
            Self::Topic(topic) => subject.topic() == topic,
            Self::Key(key) => subject.key() == key,
            Self::Group(group) => subject.key() % GROUPS == group,
            Self::Keys(first, count) => (first..first + count).contains(&subject.key()),
            Self::Namespace(namespace) => admits(namespace),
            Self::KeyIn(key, namespace) => subject.key() == key && admits(namespace),
            Self::Wide => subject.topic() < TOPICS - 1,
        }
    }

    pub(crate) fn request(&self) -> Request<Load> {
        let request = Request::new();
        let term = |topic: Topic, key: Key| Term::new(topic, key).expect("neither is empty");
        let of_key = |number: u32| term(topic(number % TOPICS), key(number));
        match *self {
            Self::Everything => request.namespace("*"),
            Self::Topic(number) => request.term(Term::topic(topic(number)).expect("not empty")).namespace("*"),
            Self::Key(number) => request.term(of_key(number)).namespace("*"),
            Self::Group(number) => request.term(Term::key(group(number)).expect("not empty")).namespace("*"),
            Self::Keys(first, count) => request.terms((first..first + count).map(of_key)).namespace("*"),
            Self::Namespace(number) => request.namespace(namespace(number)),
            Self::KeyIn(number, within) => request.term(of_key(number)).namespace(namespace(within)),
            Self::Wide => request
                .terms((0..TOPICS - 1).map(|number| Term::topic(topic(number)).expect("not empty")))
                .namespaces((0..NAMESPACES + WIDE).map(namespace)),
        }
    }
}
