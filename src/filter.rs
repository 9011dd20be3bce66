//! What a subscription asked for, compiled: terms, namespaces and types against an event.
//! Grants, predicates and the caller's hooks are applied elsewhere, on top.

use crate::event::Event;
use crate::few::Few;
use crate::name::EventType;
use crate::request::{InvalidRequest, Request, Scope, Term};

/// The terms, scope and types of one subscription. Shared with the nodes that its terms are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Each once. None stands for the term of everything.
    terms: Few<Term>,
    scope: Scope,
    /// Sorted; empty means every type.
    types: Box<[EventType]>,
}

impl Filter {
    pub(crate) fn new<P>(request: &mut Request<P>) -> Result<Self, InvalidRequest> {
        let scope = request.scope()?;
        let mut terms = std::mem::take(&mut request.terms);
        if terms.is_empty() || terms.contains(&Term::ALL) {
            terms = Vec::new();
        } else if terms.len() > 1 {
            let mut seen = std::collections::HashSet::with_capacity(terms.len());
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
        Ok(Self { terms: terms.into(), scope, types: types.into() })
    }

    /// At least one.
    pub(crate) fn terms(&self) -> &[Term] {
        if self.terms.is_empty() { &[Term::ALL] } else { &self.terms }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether every event of every namespace matches, by topic and namespace.
    pub(crate) fn is_everything(&self) -> bool {
        self.scope == Scope::All && self.terms.is_empty()
    }

    /// Whether the event is in the scope and matches a term.
    pub(crate) fn matches<P>(&self, event: &Event<P>) -> bool {
        self.scope.admits(event.namespace()) && self.matches_term(event)
    }

    pub(crate) fn matches_term<P>(&self, event: &Event<P>) -> bool {
        self.terms.is_empty() || self.terms.iter().any(|term| term.matches(event))
    }

    /// Whether the event's type was asked for. Types are no part of what a reader can lose.
    pub(crate) fn matches_type<P>(&self, event: &Event<P>) -> bool {
        self.types.is_empty() || self.types.binary_search(event.event_type()).is_ok()
    }

    pub(crate) fn has_types(&self) -> bool {
        !self.types.is_empty()
    }
}
