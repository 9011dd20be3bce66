//! The host of a run: its state under a commit lock, its rules, and the requests of its readers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use event_broker::testing::history::{History, PastEvent, Trace};
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, LagPolicy, Principal, Request, Start, Term,
};

use super::random::Random;

/// The host's state, under its own lock.
#[derive(Debug, Default)]
pub struct Commits {
    /// The index of each batch.
    pub indexes: Vec<u64>,
    /// The payload of an event is its number.
    pub history: History,
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
        let position = commits.history.len();
        let last = commits.indexes.last().copied().unwrap_or_default();
        let repeats = commits.indexes.iter().rev().take(2).filter(|index| **index == last).count();
        let index = last + if repeats < 2 && position > 0 { random.number(3) } else { 1 + random.number(3) };
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
        let mut events: Vec<_> = (0..=random.number(4))
            .map(|n| {
                let topic = if random.number(2) == 0 { "A" } else { "B" };
                let key = format!("k{}", random.number(30));
                let namespace = ["n1", "n2", ""][usize::try_from(random.number(3)).unwrap()];
                Event::new(topic, "t", key, (position as u64) << 8 | n).with_namespace(namespace)
            })
            .collect();
        // No reader asks for this event.
        events.extend(change.map(|change| Event::new("Access", "t", "", change).with_namespace("nobody's")));
        commits.history.record_by(index, &events, |event| *event.payload());
        commits.indexes.push(index);
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

    pub fn matches<P>(&self, event: &Event<P>) -> bool {
        let namespace = event.namespace();
        (namespace.is_empty() || self.namespaces.iter().any(|name| namespace == name))
            && self
                .terms
                .iter()
                .any(|(topic, key)| event.topic() == topic && (key == "*" || event.key() == key.as_str()))
    }

    /// Adds to a trace what its reader asked for, and what it may and must have seen.
    pub fn judge(&self, trace: Trace, commits: &Commits) -> Trace {
        let wish = self.clone();
        let trace = trace.asks_for(move |event| wish.matches(event.event()));
        let since = |change: Option<usize>| move |event: &PastEvent| change.is_some_and(|at| event.position() >= at);
        let (narrowed, denied) = (since(commits.narrowed), since(commits.denied));
        match self.principal {
            // A later recheck may have narrowed the grant earlier.
            "narrowed" => trace
                .may_see(move |event| event.namespace() != "n2" || !narrowed(event))
                .must_see(|event| event.namespace() != "n2"),
            "denied" => trace.may_see(move |event| !denied(event)),
            _ => trace,
        }
    }
}
