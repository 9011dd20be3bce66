//! What a broker delivers, against a filter that looks at every event (semantics 8 and 11 to 13, G1, G2 and G4).
//!
//! A subscription reads batches older than itself by scanning, and newer ones along the chains of its terms. The steps
//! are mixed, so both meet in one read. Batches of more than 64 events and subscriptions of more than eight terms take
//! other paths.
//!
//! Nothing is evicted, reset or revoked here; the scripts of the oracle do that.

use event_broker::{Broker, Event, Explanation, Request, Start, Subscription, Term, TryRecvError};

use super::choices::Choices;

const TOPICS: [&str; 6] = ["A", "B", "C", "", "*", "a"];
const KEYS: [&str; 16] =
    ["k0", "k1", "k2", "", "*", "a:b", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11", "k12"];
const NAMESPACES: [&str; 6] = ["default", "", "n1", "n2", "*", "n"];
const TYPES: [&str; 3] = ["x", "y", "z"];
/// What a term may name, the wildcard among it.
const TERM_TOPICS: [&str; 4] = ["A", "*", "B", "C"];
const TERM_KEYS: [&str; 15] =
    ["k0", "*", "k1", "k2", "a:b", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11", "k12"];
const SCOPES: [&[&str]; 8] = [
    &["*"],
    &[],
    &["n1"],
    &["n1", "default"],
    &["n2", "n", "n1", "n2"],
    &["n1", "*"],
    &["nowhere"],
    &["n", "n1", "n2", "default", "nowhere"],
];

const STEPS: usize = 120;
const READERS: usize = 8;

#[derive(Clone, Debug)]
struct Spec {
    topic: &'static str,
    kind: &'static str,
    key: &'static str,
    namespace: &'static str,
    filter_keys: Vec<&'static str>,
}

/// A batch that was published: its index, and its events with their numbers.
type Published = (u64, Vec<(u64, Spec)>);
/// What was read of one: its index, and the numbers of its events.
type Seen = (u64, Vec<u64>);

/// What a subscription asked for, as lists.
#[derive(Debug)]
struct Asked {
    start: Start,
    /// How many batches there were when it subscribed.
    joined: usize,
    terms: Vec<(&'static str, &'static str)>,
    scope: &'static [&'static str],
    types: Vec<&'static str>,
}

impl Asked {
    /// The whole of what matching means.
    fn wants(&self, event: &Spec) -> bool {
        let topic_and_key = self.terms.iter().any(|(topic, key)| {
            (*topic == "*" || *topic == event.topic)
                && (*key == "*" || *key == event.key || event.filter_keys.contains(key))
        });
        let scope = if self.scope.is_empty() { &["default"][..] } else { self.scope };
        let namespace = event.namespace.is_empty() || scope.contains(&"*") || scope.contains(&event.namespace);
        let of_type = self.types.is_empty() || self.types.contains(&event.kind);
        (self.terms.is_empty() || topic_and_key) && namespace && of_type
    }

    fn expected(&self, published: &[Published]) -> Vec<Seen> {
        let from_start = published.iter().enumerate().filter(|(place, (index, _))| match self.start {
            Start::Latest => *place >= self.joined,
            Start::Index(first) => *index >= first,
            _ => true,
        });
        let matching = from_start.map(|(_, (index, events))| {
            let events = events.iter().filter(|(_, event)| self.wants(event));
            (*index, events.map(|(id, _)| *id).collect())
        });
        matching.filter(|(_, events): &Seen| !events.is_empty()).collect()
    }
}

struct Reader {
    real: Subscription<u64>,
    asked: Asked,
    seen: Vec<Seen>,
}

/// Publishes, subscribes and reads as these bytes say.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut bench = Bench {
        // Between segments of one batch and one segment for everything; nothing is evicted.
        broker: Broker::builder().max_batches(STEPS as u64 + 8 * choices.below(4) as u64).build().expect("a broker"),
        published: Vec::new(),
        readers: Vec::new(),
        index: 0,
        events: 0,
    };
    for _ in 0..STEPS {
        if choices.is_empty() {
            break;
        }
        match choices.below(8) {
            0..4 => bench.publish(&mut choices),
            4 | 5 => bench.subscribe(&mut choices),
            _ => bench.read(&mut choices),
        }
    }
    bench.finish();
}

struct Bench {
    broker: Broker<u64>,
    published: Vec<Published>,
    readers: Vec<Reader>,
    index: u64,
    /// How many events there are, which numbers them.
    events: u64,
}

impl Bench {
    fn publish(&mut self, choices: &mut Choices<'_>) {
        self.index += choices.pick(&[1, 1, 0, 3]);
        let few: Vec<Spec> = (0..=choices.below(4)).map(|_| spec(choices)).collect();
        let many = choices.pick(&[0, 0, 0, 0, 0, 0, 64, 65, 70, 130]);
        let specs: Vec<Spec> = if many == 0 {
            few
        } else {
            // The same few events again, each time with another key.
            let keys = KEYS.iter().cycle().skip(choices.below(KEYS.len()));
            few.iter()
                .cycle()
                .zip(keys)
                .take(many)
                .map(|(spec, key)| if spec.key.is_empty() { Spec { key, ..spec.clone() } } else { spec.clone() })
                .collect()
        };
        let numbered: Vec<(u64, Spec)> = (self.events..).zip(specs).collect();
        self.events += numbered.len() as u64;
        let events: Vec<Event<u64>> = numbered.iter().map(|(id, spec)| event(*id, spec)).collect();
        self.broker.publish(self.index, events).expect("it does not fall");
        self.published.push((self.index, numbered));
    }

    fn subscribe(&mut self, choices: &mut Choices<'_>) {
        let start = match choices.below(6) {
            0..3 => Start::Oldest,
            3 => Start::Latest,
            _ => Start::Index((self.index + choices.below(8) as u64).saturating_sub(4)),
        };
        let asked = Asked {
            start,
            joined: self.published.len(),
            terms: terms(choices),
            scope: choices.pick(&SCOPES),
            types: choices.pick(&[&TYPES[..0], &[], &[], &["x"], &["y", "x", "y"], &["unheard of"]]).to_vec(),
        };
        let request = Request::new()
            .start(asked.start)
            .terms(asked.terms.iter().map(|(topic, key)| Term::new(*topic, *key).expect("a term")))
            .namespaces(asked.scope.iter().copied());
        let request = asked.types.iter().fold(request, |request, kind| request.event_type(*kind));
        let real = self.broker.subscribe(request).expect("it is open");
        if self.readers.len() == READERS {
            // A reader that leaves removes its terms, if no other reader shares them.
            let gone = self.readers.remove(choices.below(READERS));
            let expected = gone.asked.expected(&self.published);
            assert_eq!(gone.seen, expected[..gone.seen.len()], "{:?}", gone.asked);
        }
        self.readers.push(Reader { real, asked, seen: Vec::new() });
    }

    fn read(&mut self, choices: &mut Choices<'_>) {
        let (reader, way, most) = (choices.below(READERS), choices.below(4), choices.below(6));
        let Some(reader) = self.readers.get_mut(reader) else { return };
        match way {
            0 => reader.try_some(most),
            1 => reader.try_some(usize::MAX),
            2 => reader.drain_some(most),
            _ => reader.drain_some(usize::MAX),
        }
        if way % 2 == 1 {
            assert_eq!(reader.seen, reader.asked.expected(&self.published), "{:?}", reader.asked);
        }
    }

    /// All readers read to the end.
    fn finish(mut self) {
        for reader in &mut self.readers {
            reader.drain_some(2);
            reader.try_some(usize::MAX);
            let expected = reader.asked.expected(&self.published);
            assert_eq!(reader.seen, expected, "{:?}", reader.asked);
            let stats = reader.real.stats();
            let events: usize = expected.iter().map(|(_, events)| events.len()).sum();
            assert_eq!((stats.batches, stats.events), (expected.len() as u64, events as u64));
            for (_, spec) in self.published.iter().flat_map(|(_, events)| events).take(32) {
                let explained = reader.real.explain(&event(0, spec)) == Explanation::Delivered;
                assert_eq!(explained, reader.asked.wants(spec), "{spec:?} to {:?}", reader.asked);
            }
        }
        self.readers.clear();
        assert_eq!(self.broker.stats().terms, 0, "terms without a subscription are gone");
    }
}

impl Reader {
    fn try_some(&mut self, most: usize) {
        for _ in 0..most {
            match self.real.try_recv() {
                Ok(delivery) => {
                    assert_eq!(delivery.len(), delivery.events().count());
                    assert!(delivery.events().all(|event| event.index() == delivery.index()));
                    self.seen.push((delivery.index(), delivery.events().map(|event| *event.payload()).collect()));
                }
                Err(TryRecvError::Empty) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn drain_some(&mut self, most: usize) {
        let mut window = self.real.drain().expect("it is not at its end");
        for delivery in window.iter().take(most) {
            assert_eq!(delivery.len(), delivery.events().count());
            self.seen.push((delivery.index(), delivery.events().map(|event| *event.payload()).collect()));
        }
    }
}

/// Mostly few and narrow terms; sometimes more than are polled one by one.
fn terms(choices: &mut Choices<'_>) -> Vec<(&'static str, &'static str)> {
    let term = |choices: &mut Choices<'_>| (choices.pick(&TERM_TOPICS), choices.pick(&TERM_KEYS));
    match choices.below(8) {
        0 => Vec::new(),
        1..4 => vec![term(choices)],
        4 | 5 => choices.several(5, term),
        6 => choices.several(24, term),
        _ => {
            // A row of keys under one topic, without the wildcard.
            let (topic, first) = (choices.pick(&TERM_TOPICS), 2 + choices.below(4));
            TERM_KEYS[first..].iter().map(|key| (topic, *key)).collect()
        }
    }
}

fn spec(choices: &mut Choices<'_>) -> Spec {
    Spec {
        topic: choices.pick(&TOPICS),
        kind: choices.pick(&TYPES),
        key: choices.pick(&KEYS),
        namespace: choices.pick(&NAMESPACES),
        filter_keys: match choices.below(8) {
            0..5 => Vec::new(),
            n => (0..n - 4).map(|_| choices.pick(&KEYS)).collect(),
        },
    }
}

fn event(id: u64, spec: &Spec) -> Event<u64> {
    Event::new(spec.topic, spec.kind, spec.key, id)
        .with_namespace(spec.namespace)
        .with_filter_keys(spec.filter_keys.iter().copied())
}
