//! Scripts drawn from seeds: all operations of users in any order, with live heap compared with the formula.
//!
//! Deliveries and losses are not checked here; `oracle` does that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Epoch, Event, Grant, LagPolicy, Observer, Principal,
    Request, Start, Subscription, Term,
};

use crate::Case;
use crate::clock::ManualClock;
use crate::explained::{Counts, TEXT, bound, explained};
use crate::measure::{Checks, Meter, live};
use crate::random::Random;

pub(crate) const CASES: &[Case] =
    &[("scripts_are_explained_and_leave_nothing", scripts_are_explained_and_leave_nothing)];

const SEEDS: u64 = 16;
const STEPS: usize = 300;
/// Steps from one checkpoint to the next.
const CHECKPOINT: usize = 25;
const SLOTS: usize = 120;

/// What a broker may keep beyond a new one with the same buffer, after all users have left.
const LEFT: usize = 8 * 1024;

const TOPICS: [&str; 5] = ["Job", "Node", "Evaluation", "Allocation", "Deployment"];
const NAMESPACES: [&str; 4] = ["default", "prod", "staging", "a-namespace-with-a-long-name"];
const KEYS: u64 = 40;

/// The namespaces that a term takes events of, as far as counting links needs them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    All,
    One(String),
    /// A scope of more than 1,024 pairs of term and namespace: distinct by its names.
    Wide(Arc<BTreeSet<String>>),
}

/// The term of one node; an absent name is the wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    topic: Option<String>,
    key: Option<String>,
    side: Side,
}

impl Subject {
    fn takes(&self, event: &Event<String>) -> bool {
        let admits = match &self.side {
            _ if event.namespace().is_empty() => true,
            Side::All => true,
            Side::One(name) => *event.namespace() == **name,
            Side::Wide(names) => names.contains(event.namespace().as_str()),
        };
        let has_key = |key: &String| *event.key() == **key || event.filter_keys().iter().any(|found| *found == **key);
        admits
            && self.topic.as_ref().is_none_or(|topic| *event.topic() == **topic)
            && self.key.as_ref().is_none_or(has_key)
    }
}

/// A request as a script draws it, and what of it the formula counts.
#[derive(Debug)]
struct Asked {
    terms: Vec<(Option<String>, Option<String>)>,
    namespaces: Vec<String>,
    principal: String,
    start: Start,
    goes_on: bool,
}

impl Asked {
    fn request(&self) -> Request<String> {
        let term = |(topic, key): &(Option<String>, Option<String>)| {
            Term::new(topic.as_deref().unwrap_or("*"), key.as_deref().unwrap_or("*")).expect("not empty")
        };
        let principal = if self.principal == Principal::ANONYMOUS {
            Principal::anonymous()
        } else {
            Principal::new(self.principal.as_str()).with_secret("secret")
        };
        let policy = if self.goes_on { LagPolicy::Continue } else { LagPolicy::Close };
        Request::new()
            .start(self.start)
            .terms(self.terms.iter().map(term))
            .namespaces(self.namespaces.iter().map(String::as_str))
            .principal(principal)
            .lag_policy(policy)
    }

    /// The nodes that it joins.
    fn subjects(&self) -> Vec<Subject> {
        let all = [(None, None)];
        let terms = if self.terms.is_empty() { &all[..] } else { &self.terms };
        let default = ["default".to_owned()];
        let names = if self.namespaces.is_empty() { &default[..] } else { &self.namespaces };
        let sides = if names.iter().any(|name| name == "*") {
            vec![Side::All]
        } else if terms.len() * names.len() > 1_024 {
            vec![Side::Wide(Arc::new(names.iter().cloned().collect()))]
        } else {
            names.iter().cloned().map(Side::One).collect()
        };
        let pairs = terms.iter().flat_map(|(topic, key)| {
            sides.iter().map(|side| Subject { topic: topic.clone(), key: key.clone(), side: side.clone() })
        });
        pairs.collect()
    }
}

/// A subscription of the script, and what the formula counts of it.
struct Held {
    reader: Subscription<String>,
    subjects: Vec<Subject>,
    names: usize,
    texts: usize,
    has_bell: bool,
}

/// What the formula counts of one buffered batch.
#[derive(Debug)]
struct Buffered {
    index: u64,
    texts: usize,
    links: usize,
    ordinals: usize,
    encoded_len: usize,
    is_encoded: bool,
}

/// Grants by the principal's name; a rule of the script can deny, and rules have generations.
#[derive(Debug, Default)]
struct Rules {
    denied: AtomicU64,
}

/// Things that each grant of [`Rules`] rests on, the principal's own token included.
const BASES: usize = 4;

impl Authorizer<String> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let id = request.principal().id();
        let number = id.bytes().map(u64::from).sum::<u64>() % 64;
        if self.denied.load(Ordering::Relaxed) >> number & 1 == 1 {
            return Err(Denial::new("by the rules"));
        }
        let grant = Grant::all()
            .resting_on_token(format!("token-{id}"))
            .resting_on_policy(format!("policy-{}", number % 8))
            .resting_on_role("role");
        Ok(if number.is_multiple_of(3) { grant.expires_at(Instant::now() + Duration::from_secs(3_600)) } else { grant })
    }

    fn changes(&self, event: &Event<String>, changes: &mut Vec<AccessChange>) {
        if event.key() == "key-7" {
            changes.push(AccessChange::Policy("policy-7".into()));
        }
    }
}

/// An observer that does nothing: brokers with one take another path.
#[derive(Debug)]
struct Blind;

impl Observer for Blind {}

/// The numbers drawn from a script's seed.
const fn random(seed: u64) -> Random {
    Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(0x1234_5678))
}

/// What a script's broker is built with, drawn from its seed.
#[derive(Clone, Debug)]
struct Setup {
    max_batches: u64,
    max_events: Option<u64>,
    has_rules: bool,
    has_observer: bool,
    rules: Arc<Rules>,
    clock: ManualClock,
}

impl Setup {
    fn draw(draw: &mut Random) -> Self {
        Self {
            max_batches: draw.pick(&[1, 7, 100, 300]),
            max_events: draw.one_in(3).then_some(200),
            has_rules: draw.one_in(2),
            has_observer: draw.one_in(3),
            rules: Arc::default(),
            clock: ManualClock::new(),
        }
    }

    fn build(&self) -> Broker<String> {
        let mut builder = Broker::builder().max_batches(self.max_batches).clock(self.clock.clone());
        if let Some(events) = self.max_events {
            builder = builder.max_events(events);
        }
        if self.has_rules {
            builder = builder.authorizer(Arc::clone(&self.rules));
        }
        if self.has_observer {
            builder = builder.observer(Blind);
        }
        builder.build().expect("bounds above zero")
    }
}

/// A broker during a script, and what the test knows of it.
struct Script {
    draw: Random,
    setup: Setup,
    meter: Meter,
    broker: Broker<String>,
    index: u64,
    slots: Vec<Option<Held>>,
    /// How many subscriptions joined each node.
    subjects: BTreeMap<Subject, usize>,
    buffered: VecDeque<Buffered>,
}

impl Script {
    fn new(seed: u64) -> Self {
        let mut draw = random(seed);
        let setup = Setup::draw(&mut draw);
        let slots = (0..SLOTS).map(|_| None).collect();
        let meter = Meter::new();
        let broker = setup.build();
        Self { draw, setup, meter, broker, index: 0, slots, subjects: BTreeMap::new(), buffered: VecDeque::new() }
    }

    fn key(draw: &mut Random) -> String {
        format!("key-{}", draw.number(KEYS))
    }

    fn event(draw: &mut Random) -> Event<String> {
        let topic = draw.pick(&TOPICS);
        let payload = "p".repeat(usize::try_from(draw.number(400)).expect("few"));
        let key = if draw.one_in(10) { format!("{}-{}", Self::key(draw), "k".repeat(40)) } else { Self::key(draw) };
        let namespace = *NAMESPACES.get(usize::try_from(draw.number(5)).expect("few")).unwrap_or(&"");
        let filter_keys: Vec<_> = (0..draw.number(4)).map(|_| Self::key(draw)).collect();
        Event::new(topic, "Changed", key, payload).with_namespace(namespace).with_filter_keys(filter_keys)
    }

    /// Heap that an event of a script uses beside its own value.
    fn texts_of(event: &Event<String>) -> usize {
        let long = |text: &str| if text.len() > 23 { text.len() + TEXT } else { 0 };
        let names = [event.key().as_str(), event.namespace().as_str(), event.topic().as_str()].map(long);
        let filter_keys: usize = event.filter_keys().iter().map(|key| 24 + long(key.as_str())).sum();
        event.payload().capacity() + names.iter().sum::<usize>() + filter_keys
    }

    /// The links of a batch: nodes hit, and matches where there are more than 64 events.
    fn links_of(&self, events: &[Event<String>]) -> (usize, usize) {
        let mut hit = BTreeSet::new();
        let mut matches = 0;
        for event in events {
            for subject in self.subjects.keys().filter(|subject| subject.takes(event)) {
                matches += 1;
                // Without a namespace it is one hit, for any number of requested namespaces.
                let side = (!event.namespace().is_empty()).then_some(&subject.side);
                hit.insert((&subject.topic, &subject.key, side));
            }
        }
        (hit.len(), if events.len() > 64 { matches } else { 0 })
    }

    fn publish(&mut self, count: u64) {
        self.index += 1 + self.draw.number(3);
        let events: Vec<_> = (0..count).map(|_| Self::event(&mut self.draw)).collect();
        let (links, ordinals) = self.meter.aside(|| self.links_of(&events));
        self.meter.aside(|| {
            let texts = events.iter().map(Self::texts_of).sum();
            let encoded_len = serde_json::to_string(&events).expect("text").len() + 32 * events.len() + 64;
            let index = self.index;
            self.buffered.push_back(Buffered { index, texts, links, ordinals, encoded_len, is_encoded: false });
        });
        self.broker.publish(self.index, events).expect("rising");
        let stats = self.broker.stats();
        self.meter.aside(|| {
            while self.buffered.len() as u64 > stats.buffered_batches {
                self.buffered.pop_front();
            }
        });
    }

    fn asked(draw: &mut Random, latest: u64) -> Asked {
        let topic = |draw: &mut Random| Some(draw.pick(&TOPICS).to_owned());
        let mut namespaces: Vec<String> = match draw.number(4) {
            0 => vec![],
            1 => vec!["*".to_owned()],
            2 => NAMESPACES[..2].iter().map(|&name| name.to_owned()).collect(),
            _ => vec![format!("namespace-{}", draw.number(1_000))],
        };
        let terms = match draw.number(12) {
            0 | 1 => vec![],
            2 => vec![(topic(draw), None)],
            3 => vec![(None, Some(Self::key(draw)))],
            4..=6 => vec![(topic(draw), Some(Self::key(draw)))],
            7 => (0..3).map(|_| (topic(draw), Some(Self::key(draw)))).collect(),
            8 => (0..60).map(|key| (Some("Job".to_owned()), Some(format!("key-{key}")))).collect(),
            9 => (0..12).map(|_| (topic(draw), Some(format!("own-{}", draw.next())))).collect(),
            10 if draw.one_in(8) => {
                namespaces = (0..900).map(|name| format!("{}-{name}", NAMESPACES[1])).collect();
                TOPICS.map(|topic| (Some(topic.to_owned()), None)).to_vec()
            }
            _ => vec![(topic(draw), Some(format!("own-{}-{}", draw.next(), "o".repeat(30))))],
        };
        let mut terms: Vec<_> = terms;
        terms.sort();
        terms.dedup();
        let start = match draw.number(6) {
            0 => Start::Oldest,
            1 => Start::Index(latest + 1 + draw.number(20)),
            2 => Start::Index(latest.saturating_sub(draw.number(50))),
            3 => Start::Index(u64::MAX / 2 + draw.number(100)),
            _ => Start::Latest,
        };
        let principal = match draw.number(4) {
            0 => Principal::ANONYMOUS.to_owned(),
            1 => format!("shared-{}", draw.number(5)),
            _ => format!("principal-{}", draw.next()),
        };
        Asked { terms, namespaces, principal, start, goes_on: draw.one_in(2) }
    }

    fn subscribe(&mut self, slot: usize) {
        self.leave(slot);
        let (asked, subjects) = self.meter.aside(|| {
            let asked = Self::asked(&mut self.draw, self.index);
            let subjects = asked.subjects();
            (asked, subjects)
        });
        let opened = self.broker.subscribe(asked.request());
        self.meter.aside(|| {
            if let Ok(reader) = opened {
                for subject in &subjects {
                    *self.subjects.entry(subject.clone()).or_default() += 1;
                }
                let long = |text: &String| if text.len() > 23 { text.len() + TEXT } else { 0 };
                let names = asked.namespaces.len() + 1;
                let texts = asked.namespaces.iter().map(long).sum::<usize>()
                    + asked.terms.iter().filter_map(|(_, key)| key.as_ref()).map(long).sum::<usize>();
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = Some(Held { reader, subjects, names, texts, has_bell: false });
                }
            }
            drop(asked);
        });
    }

    fn leave(&mut self, slot: usize) {
        let Some(Held { reader, subjects, .. }) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        drop(reader);
        self.meter.aside(|| {
            for subject in &subjects {
                if let Some(count) = self.subjects.get_mut(subject) {
                    *count -= 1;
                    if *count == 0 {
                        self.subjects.remove(subject);
                    }
                }
            }
            drop(subjects);
        });
    }

    fn read(&mut self, slot: usize) {
        let Some(held) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        let reader = &mut held.reader;
        match self.draw.number(6) {
            0 => drop(reader.try_recv()),
            1 => {
                if let Ok(mut window) = reader.drain() {
                    for delivery in &mut window {
                        assert!(!delivery.is_empty());
                    }
                }
            }
            2 => {
                let mut context = Context::from_waker(Waker::noop());
                for _ in 0..10 {
                    drop(reader.poll_recv(&mut context));
                }
            }
            3 => {
                let mut context = Context::from_waker(Waker::noop());
                let _ = reader.poll_readable(&mut context);
            }
            4 if self.draw.one_in(4) => {
                drop(reader.doorbell());
                held.has_bell = true;
            }
            _ => {
                let mut left = 5;
                while left > 0
                    && let Ok(delivery) = reader.try_recv()
                {
                    drop(delivery.frame());
                    if self.draw.one_in(2) {
                        drop(delivery.frame_with_token());
                    }
                    left -= 1;
                    let index = delivery.index();
                    if let Some(batch) = self.buffered.iter_mut().find(|batch| batch.index == index) {
                        batch.is_encoded = true;
                    }
                }
            }
        }
    }

    fn step(&mut self) {
        let slot = usize::try_from(self.draw.number(SLOTS as u64)).expect("few");
        match self.draw.number(100) {
            0..30 => {
                let count = if self.draw.one_in(15) { 65 + self.draw.number(100) } else { 1 + self.draw.number(6) };
                self.publish(count);
            }
            30..55 => self.subscribe(slot),
            55..85 => self.read(slot),
            85..91 => self.leave(slot),
            91..95 => {
                let change = match self.draw.number(5) {
                    0 => AccessChange::Everyone,
                    1 => AccessChange::Role("role".into()),
                    2 => AccessChange::TokenDeleted(format!("token-shared-{}", self.draw.number(5)).into()),
                    3 => AccessChange::Token(format!("principal-{}", self.draw.next()).into()),
                    _ => AccessChange::Policy(format!("policy-{}", self.draw.number(8)).into()),
                };
                let denied = self.draw.next() & self.draw.next() & self.draw.next();
                self.setup.rules.denied.store(denied, Ordering::Relaxed);
                self.broker.access_changed(change);
            }
            95..98 => {
                self.setup.clock.advance(Duration::from_secs(self.draw.number(400)));
                self.broker.tick();
            }
            98 if self.draw.one_in(6) => {
                self.broker.reset(self.index, Epoch::random());
                self.meter.aside(|| self.buffered.clear());
            }
            _ => drop(self.broker.subscriptions()),
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for batch in &self.buffered {
            counts.texts += batch.texts;
            counts.links += batch.links;
            counts.ordinals += batch.ordinals;
            counts.encoded += if batch.is_encoded { batch.encoded_len } else { 0 };
        }
        for held in self.slots.iter().flatten() {
            counts.joins += held.subjects.len();
            counts.names += held.names;
            let wide = held.subjects.iter().find_map(|subject| match &subject.side {
                Side::Wide(names) => Some(names.len()),
                _ => None,
            });
            counts.entered += wide.unwrap_or_default();
            counts.texts += held.texts;
            counts.bells += usize::from(held.has_bell);
            counts.bases += if self.setup.has_rules { BASES } else { 1 };
        }
        counts
    }

    /// Compares live heap with the formula, and returns both.
    fn check(&self, checks: &mut Checks, at: &str, seed: u64) -> (usize, usize) {
        let (stats, counts, bytes) = (self.broker.stats(), self.counts(), self.meter.broker());
        let held = self.slots.iter().flatten().count() as u64;
        assert!(stats.subscriptions == held, "seed {seed}, {at}: {stats:?}, {held} are held");
        let allowed = bound(&stats, &counts);
        checks.silently_at_most(|| format!("seed {seed}, {at}: {stats:?} {counts:?}"), bytes, allowed);
        (bytes, explained(&stats, &counts))
    }
}

/// Publishes more than a buffer, and returns the lowest live heap meanwhile: segments of the log come and go in turn,
/// and no two brokers need be in step.
fn flushed(broker: &Broker<String>, setup: &Setup, from: u64, base: impl Fn() -> usize) -> usize {
    let event = || Event::new("Job", "Changed", "key-1", "p".repeat(100)).with_namespace("default");
    let mut index = from;
    let mut publish = || {
        index += 1;
        broker.publish(index, [event()]).expect("rising");
    };
    (0..setup.max_batches + setup.max_batches / 4 + 8).for_each(|_| publish());
    let cycle = setup.max_batches / 4 + 4;
    (0..cycle).map(|_| (publish(), base()).1).min().unwrap_or_default()
}

fn scripts_are_explained_and_leave_nothing(checks: &mut Checks) {
    let (mut live_in_all, mut explained_in_all, mut most) = (0, 0, 0.0_f64);
    let mut most_left = 0;
    for seed in 0..SEEDS {
        let mut script = Script::new(seed);
        for step in 1..=STEPS {
            script.step();
            if step % CHECKPOINT == 0 {
                let (bytes, explained) = script.check(checks, &format!("step {step}"), seed);
                live_in_all += bytes;
                explained_in_all += explained;
                #[expect(clippy::cast_precision_loss, reason = "for show")]
                let ratio = bytes as f64 / explained as f64;
                most = most.max(ratio);
            }
        }
        (0..SLOTS).for_each(|slot| script.leave(slot));
        script.check(checks, "after everybody left", seed);
        let Script { setup, meter, broker, index, .. } = script;
        let old = flushed(&broker, &setup, index, || meter.broker());
        let before = live();
        let fresh = setup.build();
        let new = flushed(&fresh, &setup, 0, || live() - before);
        let left = old.saturating_sub(new);
        most_left = most_left.max(left);
        checks.silently_at_most(|| format!("seed {seed}, beyond a new broker with the same buffer"), left, LEFT);
    }
    println!(
        "  {SEEDS} scripts: {live_in_all} bytes at all checkpoints, {explained_in_all} explained, at most {most:.2} of it"
    );
    checks.at_most("beyond a new broker with the same buffer", most_left, LEFT);
    // A formula with too large a bound explains nothing.
    checks.at_most("a third of what is explained", explained_in_all / 3, live_in_all);
}
