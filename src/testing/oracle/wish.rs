//! Which events a naive reader asked for and is granted, by comparing names.
//! Where it stands, and what it is given, is in `reader` and `read`.

use crate::access::Grant;
use crate::types::error::Denial;
use crate::types::event::{Batch, Event};
use crate::types::name::Namespace;
use crate::types::request::Request;
use crate::types::term::InvalidRequest;

/// What a reader asked for, and what it is granted.
pub(super) struct Wish<P> {
    pub(super) request: Request<P>,
    pub(super) grant: Grant,
}

impl<P> Wish<P> {
    /// An empty namespace or type is no request. Terms with an empty side cannot be made.
    pub(super) fn check(&self) -> Result<(), InvalidRequest> {
        if self.request.namespaces.iter().any(Namespace::is_empty) {
            Err(InvalidRequest::EmptyNamespace)
        } else if self.request.types.iter().any(|event_type| event_type.as_str().is_empty()) {
            Err(InvalidRequest::EmptyType)
        } else {
            Ok(())
        }
    }

    /// The namespaces asked for, or nothing if those are all.
    fn named(&self) -> Option<Vec<&str>> {
        let mut names: Vec<&str> = self.request.namespaces.iter().map(Namespace::as_str).collect();
        names.sort_unstable();
        match names.as_slice() {
            [] => Some(vec!["default"]),
            names if names.contains(&"*") => None,
            _ => Some(names),
        }
    }

    /// Every named namespace must be granted. One that is not is a denial of the whole request.
    pub(super) fn check_grant(&self, grant: &Grant) -> Result<(), Denial> {
        let Some(allowed) = grant.allowed_namespaces() else { return Ok(()) };
        let covered = |name: &&str| allowed.iter().any(|allowed| allowed.as_str() == *name);
        match self.named().into_iter().flatten().find(|name| !covered(name)) {
            Some(name) => Err(Denial::new(format!("no access to the namespace {name}"))),
            None => Ok(()),
        }
    }

    /// Whether terms and namespaces match: such an event can be lost.
    fn asks_for_event(&self, event: &Event<P>) -> bool {
        let has_key = |key: &str| event.key().as_str() == key || event.filter_keys().iter().any(|k| k.as_str() == key);
        let in_terms = self.request.terms.is_empty()
            || self.request.terms.iter().any(|term| {
                term.topic_name().is_none_or(|topic| topic.as_str() == event.topic().as_str())
                    && term.key_name().is_none_or(|key| has_key(key.as_str()))
            });
        let namespace = event.namespace().as_str();
        in_terms && (namespace.is_empty() || self.named().is_none_or(|names| names.contains(&namespace)))
    }

    /// Whether the batch has an event whose loss must be reported.
    pub(super) fn asks_for(&self, batch: &Batch<P>) -> bool {
        batch.events().iter().any(|event| self.asks_for_event(event))
    }

    /// Whether the event is delivered. The predicate is asked last, and only about what passes everything else.
    fn takes(&mut self, event: &Event<P>) -> bool {
        let (types, namespace) = (&self.request.types, event.namespace().as_str());
        let of_type =
            types.is_empty() || types.iter().any(|event_type| event_type.as_str() == event.event_type().as_str());
        let granted = namespace.is_empty()
            || self.grant.allowed_namespaces().is_none_or(|names| names.iter().any(|name| name.as_str() == namespace));
        self.asks_for_event(event)
            && of_type
            && granted
            && self.request.predicate.as_mut().is_none_or(|predicate| predicate(event))
    }

    /// The ordinals of the events that are delivered.
    pub(super) fn select(&mut self, batch: &Batch<P>) -> Vec<usize> {
        let events = batch.events().iter().enumerate();
        events.filter(|(_, event)| self.takes(event)).map(|(ordinal, _)| ordinal).collect()
    }
}
