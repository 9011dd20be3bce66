//! The host of a run: its state under a commit lock, its rules, and the requests of its readers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, LagPolicy, Principal, Request, Start, Term,
};

use super::history::{Step, Trace};
use super::random::Random;

/// One event of the run; its payload is its number.
#[derive(Clone, Debug)]
pub struct Fact {
    pub id: u64,
    pub topic: &'static str,
    pub key: String,
    pub namespace: &'static str,
}

/// The host's state, under its own lock.
#[derive(Debug, Default)]
pub struct Commits {
    pub index: u64,
    pub batches: Vec<(u64, Vec<Fact>)>,
    /// The positions that the two access changes were published at.
    pub narrowed: Option<usize>,
    pub denied: Option<usize>,
}

/// A host: its state, its broker, and what is known of their order.
pub struct World {
    pub broker: Broker<u64>,
    pub commits: Mutex<Commits>,
    /// The number of batches that have certainly been published.
    pub done: AtomicUsize,
    pub rules: Arc<Rules>,
}

/// The rules in force: two switches.
#[derive(Debug, Default)]
pub struct Rules {
    pub narrowed: AtomicBool,
    pub denied: AtomicBool,
}

pub const NARROWED: u64 = u64::MAX;
pub const DENIED: u64 = u64::MAX - 1;

impl Authorizer<u64> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        match request.principal().id() {
            "narrowed" if self.narrowed.load(Ordering::SeqCst) => Ok(Grant::namespaces(["n1"])),
            "denied" if self.denied.load(Ordering::SeqCst) => Err(Denial::new("by the rules")),
            _ => Ok(Grant::all()),
        }
    }

    fn changes(&self, event: &Event<u64>, changes: &mut Vec<AccessChange>) {
        match *event.payload() {
            NARROWED => changes.push(AccessChange::Token("narrowed".into())),
            DENIED => changes.push(AccessChange::Token("denied".into())),
            _ => {}
        }
    }
}

impl World {
    pub fn new(max_batches: u64) -> Self {
        let rules = Arc::new(Rules::default());
        Self {
            broker: Broker::builder().max_batches(max_batches).authorizer(Arc::clone(&rules)).build().unwrap(),
            commits: Mutex::default(),
            done: AtomicUsize::new(0),
            rules,
        }
    }

    pub fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Commits, then publishes. No index has more than two batches.
    #[expect(clippy::significant_drop_tightening, reason = "publishing is a part of the commit")]
    pub fn commit(&self, random: &mut Random, change: Option<u64>) {
        let mut commits = self.commits.lock().unwrap();
        let position = commits.batches.len();
        let repeats = commits.batches.iter().rev().take(2).filter(|(index, _)| *index == commits.index).count();
        commits.index += if repeats < 2 && position > 0 { random.number(3) } else { 1 + random.number(3) };
        match change {
            Some(NARROWED) => {
                commits.narrowed = Some(position);
                self.rules.narrowed.store(true, Ordering::SeqCst);
            }
            Some(DENIED) => {
                commits.denied = Some(position);
                self.rules.denied.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        let facts: Vec<Fact> = (0..=random.number(4))
            .map(|n| Fact {
                id: (position as u64) << 8 | n,
                topic: if random.number(2) == 0 { "A" } else { "B" },
                key: format!("k{}", random.number(30)),
                namespace: ["n1", "n2", ""][usize::try_from(random.number(3)).unwrap()],
            })
            .collect();
        let mut events: Vec<_> = facts
            .iter()
            .map(|fact| Event::new(fact.topic, "t", fact.key.as_str(), fact.id).with_namespace(fact.namespace))
            .collect();
        // No reader asks for this event.
        events.extend(change.map(|change| Event::new("Access", "t", "", change).with_namespace("nobody's")));
        let index = commits.index;
        commits.batches.push((index, facts));
        self.broker.publish(index, events).unwrap();
        self.done.store(position + 1, Ordering::SeqCst);
    }
}

/// The request of a reader.
#[derive(Clone, Debug)]
pub struct Wish {
    pub terms: Vec<(&'static str, String)>,
    pub namespaces: Vec<&'static str>,
    pub principal: &'static str,
}

impl Wish {
    pub fn new(terms: impl IntoIterator<Item = (&'static str, u64)>, namespaces: &[&'static str]) -> Self {
        let terms = terms.into_iter().map(|(topic, key)| (topic, format!("k{key}"))).collect();
        Self { terms, namespaces: namespaces.to_vec(), principal: "reader" }
    }

    /// Everything but the events of access changes, so that the two topics are named.
    pub fn all(principal: &'static str) -> Self {
        let terms = ["A", "B"].map(|topic| (topic, "*".to_owned())).to_vec();
        Self { terms, namespaces: vec!["n1", "n2"], principal }
    }

    pub fn request(&self, start: Start) -> Request<u64> {
        let terms = self.terms.iter().map(|(topic, key)| Term::new(*topic, key.as_str()).unwrap());
        // A reader whose grant may be narrowed cannot name a namespace that it may lose.
        let names = if self.principal == "reader" { self.namespaces.clone() } else { vec!["*"] };
        Request::new()
            .start(start)
            .terms(terms)
            .namespaces(names)
            .principal(Principal::new(self.principal))
            .lag_policy(LagPolicy::Continue)
    }

    pub fn matches(&self, fact: &Fact) -> bool {
        (fact.namespace.is_empty() || self.namespaces.contains(&fact.namespace))
            && self.terms.iter().any(|(topic, key)| *topic == fact.topic && (key == "*" || *key == fact.key))
    }

    /// Whether a fact at a position must be delivered, and whether it may be.
    pub fn verdict(&self, commits: &Commits, position: usize, fact: &Fact) -> (bool, bool) {
        let wanted = self.matches(fact);
        let since = |change: Option<usize>| change.is_some_and(|change| position >= change);
        match self.principal {
            // A later recheck may have narrowed the grant earlier.
            "narrowed" if fact.namespace == "n2" => (false, wanted && !since(commits.narrowed)),
            "denied" if since(commits.denied) => (false, false),
            _ => (wanted, wanted),
        }
    }

    pub fn trace(&self, commits: &Commits, begin: (usize, usize), steps: Vec<Step>) -> Trace {
        let of = |which: fn((bool, bool)) -> bool| {
            let batches = commits.batches.iter().enumerate();
            batches
                .map(|(at, (_, facts))| {
                    let chosen = facts.iter().filter(|fact| which(self.verdict(commits, at, fact)));
                    chosen.map(|fact| fact.id).collect()
                })
                .collect()
        };
        let asked = commits.batches.iter().map(|(_, facts)| facts.iter().any(|fact| self.matches(fact))).collect();
        Trace { begin, asked, must: of(|(must, _)| must), may: of(|(_, may)| may), steps }
    }
}
