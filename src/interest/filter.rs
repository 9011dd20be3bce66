//! Matches events against what a subscription requested: its terms, its namespaces and its types.
//! The post-filters (grant, hooks and predicate) are applied on top, in `subscription::selector`.
//!
//! Invariants: a filter never changes, so subscriptions with equal requests can share one. Its terms and types are
//! distinct.
//!
//! Callers: `core` and `subscription`, with or without the broker's lock. For delivery, `subscription::selector`
//! matches it only with batches that are older than a reader's nodes; the links of the others say what matches.

use std::collections::{HashMap, HashSet};

use ahash::RandomState;

use crate::steps::{Step, count};
use crate::types::event::Event;
use crate::types::name::{EventType, Key, Topic};
use crate::types::request::Request;
use crate::types::small_list::SmallList;
use crate::types::term::{InvalidRequest, Scope, Term};

/// The terms, the scope and the types of one subscription.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The terms, without duplicates. An empty list means the term that matches everything.
    terms: SmallList<Term>,
    /// The same terms in hash tables, if there are more than [`MAX_LINEAR_TERMS`].
    many: Option<Box<ManyTerms>>,
    scope: Scope,
    /// Sorted and without duplicates. An empty list means every type.
    types: Box<[EventType]>,
}

impl Filter {
    pub(crate) fn new<P>(request: &mut Request<P>) -> Result<Self, InvalidRequest> {
        let scope = request.scope()?;
        let mut terms = std::mem::take(&mut request.terms);
        if terms.is_empty() || terms.contains(&Term::ALL) {
            terms = Vec::new();
        } else if terms.len() > 1 {
            let mut seen = HashSet::with_capacity(terms.len());
            let first: Vec<bool> = terms.iter().map(|term| seen.insert(term)).collect();
            let mut first = first.into_iter();
            terms.retain(|_| first.next().unwrap_or(false));
        }
        let mut types = std::mem::take(&mut request.types);
        if types.iter().any(EventType::is_empty) {
            return Err(InvalidRequest::EmptyType);
        }
        types.sort_unstable();
        types.dedup();
        let many = (terms.len() > MAX_LINEAR_TERMS).then(|| Box::new(ManyTerms::new(&terms)));
        Ok(Self { terms: terms.into(), many, scope, types: types.into() })
    }

    /// Returns the terms. There is at least one.
    pub(crate) fn terms(&self) -> &[Term] {
        if self.terms.is_empty() { &[Term::ALL] } else { &self.terms }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns whether every event of every namespace matches, by topic and namespace.
    pub(crate) fn is_everything(&self) -> bool {
        self.scope == Scope::All && self.terms.is_empty()
    }

    /// Returns whether the event is in the scope and matches a term.
    pub(crate) fn matches<P>(&self, event: &Event<P>) -> bool {
        self.scope.admits(event.namespace()) && self.matches_term(event)
    }

    pub(crate) fn matches_term<P>(&self, event: &Event<P>) -> bool {
        if let Some(many) = &self.many {
            return many.matches(event);
        }
        count(Step::Find, self.terms.len());
        self.terms.is_empty() || self.terms.iter().any(|term| term.matches(event))
    }

    /// Returns whether the event's type was requested. Types are ignored when it is decided whether a reader has lost a
    /// batch.
    pub(crate) fn matches_type<P>(&self, event: &Event<P>) -> bool {
        self.types.is_empty() || self.types.binary_search(event.event_type()).is_ok()
    }

    pub(crate) fn has_types(&self) -> bool {
        !self.types.is_empty()
    }
}

/// Compares what was requested, and not how it is looked up.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.terms == other.terms && self.scope == other.scope && self.types == other.types
    }
}

impl Eq for Filter {}

/// Up to this many terms are compared with an event one by one.
const MAX_LINEAR_TERMS: usize = 8;

/// Terms by topic and key. An event is matched in as many look-ups as it has keys, however many terms there are. Topics
/// and keys come from untrusted clients, so the hash is seeded.
#[derive(Debug)]
struct ManyTerms {
    of_topic: HashMap<Topic, Keys, RandomState>,
    of_any_topic: Keys,
}

/// The keys that were requested of one topic, or of any topic.
#[derive(Debug, Default)]
struct Keys {
    all: bool,
    some: HashSet<Key, RandomState>,
}

impl Keys {
    fn add(&mut self, key: Option<&Key>) {
        match key {
            None => self.all = true,
            Some(key) => _ = self.some.insert(key.clone()),
        }
    }
}

impl ManyTerms {
    fn new(terms: &[Term]) -> Self {
        let mut many = Self { of_topic: HashMap::default(), of_any_topic: Keys::default() };
        for term in terms {
            let keys = match term.topic_name() {
                None => &mut many.of_any_topic,
                Some(topic) => many.of_topic.entry(topic.clone()).or_default(),
            };
            keys.add(term.key_name());
        }
        many
    }

    fn matches<P>(&self, event: &Event<P>) -> bool {
        count(Step::Find, 2 + event.filter_keys().len());
        let of_topic = self.of_topic.get(event.topic());
        if self.of_any_topic.all || of_topic.is_some_and(|keys| keys.all) {
            return true;
        }
        let requested =
            |key: &Key| self.of_any_topic.some.contains(key) || of_topic.is_some_and(|keys| keys.some.contains(key));
        requested(event.key()) || event.filter_keys().iter().any(requested)
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// Many terms match the same events as the terms compared one by one, whatever kinds of term they are.
    #[test]
    fn many_terms_match_as_few_do() {
        let topics = ["*", "A", "B", "C", ""];
        let keys = ["*", "k0", "k1", "k2", ""];
        let all = topics.iter().flat_map(|topic| keys.iter().map(|key| Term::new(*topic, *key)));
        let terms: Vec<Term> = all.filter_map(Result::ok).filter(|term| *term != Term::ALL).collect();
        let mut tried = 0;
        for skipped in 0..1_u32 << terms.len().min(15) {
            // A sample of all subsets is enough.
            if skipped.wrapping_mul(2_654_435_761) >> 20 != 7 {
                continue;
            }
            let chosen: Vec<Term> = terms
                .iter()
                .zip(0..)
                .filter(|(_, bit)| skipped >> bit & 1 == 0)
                .map(|(term, _)| term.clone())
                .collect();
            let many = ManyTerms::new(&chosen);
            tried += 1;
            for (topic, key) in topics.iter().skip(1).flat_map(|topic| keys.iter().skip(1).map(move |key| (topic, key)))
            {
                for filter_keys in [&[][..], &["k1"], &["k2", "k0"], &["other"]] {
                    let event = Event::new(*topic, "x", *key, ()).with_filter_keys(filter_keys.iter().copied());
                    let expected = chosen.iter().any(|term| term.matches(&event));
                    assert_eq!(many.matches(&event), expected, "{event:?} of {chosen:?}");
                }
            }
        }
        assert!(tried >= 5, "{tried} sets of terms");
    }
}
