//! Whom an event is for, as the naive broker decides it: terms, scope, types, grant, and the host's own predicates.

use super::naive::{Batch, Fact, NaiveBroker};
use super::op::{EventSpec, RequestSpec, Rule};
use super::reader::Reader;

impl RequestSpec {
    pub fn is_invalid(&self) -> bool {
        self.terms.iter().any(|(topic, key)| topic.is_empty() || key.is_empty())
            || self.namespaces.contains(&"")
            || self.types.contains(&"")
    }

    /// The namespaces asked for; none if all are. [12]
    pub fn named_namespaces(&self) -> Option<Vec<&'static str>> {
        if self.namespaces.contains(&"*") {
            None
        } else if self.namespaces.is_empty() {
            Some(vec!["default"])
        } else {
            Some(self.namespaces.clone())
        }
    }

    pub fn matches_term(&self, event: &EventSpec) -> bool {
        let everything = self.terms.is_empty() && self.filler == 0;
        let matches = |(topic, key): &(&str, &str)| {
            (*topic == "*" || *topic == event.topic)
                && (*key == "*" || *key == event.key || event.filter_keys.contains(key))
        };
        everything || self.terms.iter().any(matches)
    }

    pub fn matches_scope(&self, event: &EventSpec) -> bool {
        event.namespace.is_empty() || self.named_namespaces().is_none_or(|names| names.contains(&event.namespace))
    }

    /// [11], [12]: what a reader can lose.
    pub fn matches(&self, event: &EventSpec) -> bool {
        self.matches_term(event) && self.matches_scope(event)
    }

    pub fn asks_for(&self, batch: &Batch) -> bool {
        batch.facts.iter().any(|fact| self.matches(&fact.spec))
    }

    pub fn matches_type(&self, event: &EventSpec) -> bool {
        self.types.is_empty() || self.types.contains(&event.kind)
    }
}

/// What the table granted.
#[derive(Clone, Debug)]
pub struct Grant {
    pub rule: Rule,
    pub expires_at: Option<u64>,
}

impl Grant {
    pub fn admits(&self, event: &EventSpec) -> bool {
        let names = self.rule.namespaces.as_ref();
        event.namespace.is_empty() || names.is_none_or(|names| names.contains(&event.namespace))
    }
}

/// Why an event is delivered or not, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Delivered,
    NoTerm,
    OutOfScope,
    OtherType,
    NotGranted,
    NotPermitted,
    Refused,
}

impl NaiveBroker {
    pub fn decide(&self, reader: &Reader, fact: &Fact) -> Decision {
        let request = &reader.request;
        let rule = self.rules.of(request.principal);
        if !request.matches_term(&fact.spec) {
            Decision::NoTerm
        } else if !request.matches_scope(&fact.spec) {
            Decision::OutOfScope
        } else if !request.matches_type(&fact.spec) {
            Decision::OtherType
        } else if reader.grant.as_ref().is_some_and(|grant| !grant.admits(&fact.spec)) {
            Decision::NotGranted
        } else if reader.grant.as_ref().is_some_and(|grant| grant.rule.checks_events)
            && rule.forbidden_key == Some(fact.spec.key)
        {
            Decision::NotPermitted
        } else if request.refuses.is_some_and(|rest| fact.id % 3 == rest) {
            Decision::Refused
        } else {
            Decision::Delivered
        }
    }
}
