//! The selector: which events of a batch a subscription receives.
//! The position of the reader is not known here; `cursor` decides it.
//!
//! It works in two steps. [`Selector::select`] returns the events that match terms and scope, mostly by the links of
//! the batch. [`Selector::post_filter`] applies the post-filters to those: types, the grant's namespaces, the
//! authorizer's hook, the request's predicate, in this order.
//!
//! Invariants:
//! - A post-filter runs only on events that all filters before it accept.
//! - The predicate runs once for each event, however often access changes meanwhile.
//! - `select` runs no foreign code. The post-filters do, so their caller must hold no lock.
//!
//! Callers: `owned` and `drain` on the reader's thread; `state`, to explain.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::delivery::{BorrowedSelection, Selection};
use crate::access::{Authorizer, Grant};
use crate::core::{Node, Published};
use crate::interest::{Filter, Links, MatchedEvents, Matching};
use crate::steps::{Step, count};
use crate::types::event::Event;
use crate::types::principal::Principal;
use crate::types::request::Predicate;

/// Why a subscription receives an event or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// The event is delivered.
    Delivered,
    /// Its topic, or all of its keys, match no term.
    NoTerm,
    /// Its namespace was not requested.
    OutOfScope,
    /// Its type was not requested.
    OtherType,
    /// Its namespace is outside the grant.
    NotGranted,
    /// The authorizer does not permit it.
    NotPermitted,
    /// The request's predicate refuses it.
    Refused,
}

/// The filters of one subscription.
pub(super) struct Selector<P> {
    pub(super) filter: Arc<Filter>,
    /// `None` for the anonymous principal of a broker without an authorizer, if the request has no predicate.
    post_filters: Option<Box<PostFilters<P>>>,
    /// Whether anything but terms and scope decides.
    has_post_filters: bool,
    /// Whether neither post-filters nor the clock decide.
    unconditional: bool,
}

/// The principal, its grant, and the predicate. Boxed, so that a subscription without them is small.
struct PostFilters<P> {
    principal: Principal,
    grant: Option<Grant>,
    predicate: Option<Predicate<P>>,
}

impl<P> Selector<P> {
    pub(super) fn new(
        filter: Arc<Filter>,
        principal: Principal,
        grant: Option<Grant>,
        predicate: Option<Predicate<P>>,
    ) -> Self {
        let unneeded = grant.is_none() && predicate.is_none() && principal == Principal::anonymous();
        let post_filters = (!unneeded).then(|| Box::new(PostFilters { principal, grant: None, predicate }));
        let mut selector = Self { filter, post_filters, has_post_filters: false, unconditional: false };
        selector.set_grant(grant);
        selector
    }

    pub(super) fn principal(&self) -> &Principal {
        static ANONYMOUS: Principal = Principal::anonymous();
        self.post_filters.as_ref().map_or(&ANONYMOUS, |post_filters| &post_filters.principal)
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        self.post_filters.as_ref()?.grant.as_ref()
    }

    /// Returns when the grant expires, if it does.
    #[inline]
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.grant()?.expiry()
    }

    pub(super) fn set_grant(&mut self, grant: Option<Grant>) {
        let narrows = |grant: &Grant| grant.allowed_namespaces().is_some() || grant.checks_events();
        let has_predicate = self.post_filters.as_ref().is_some_and(|post_filters| post_filters.predicate.is_some());
        self.has_post_filters = has_predicate || self.filter.has_types() || grant.as_ref().is_some_and(narrows);
        if let Some(post_filters) = &mut self.post_filters {
            post_filters.grant = grant;
        }
        self.unconditional = !self.has_post_filters && self.expiry().is_none();
    }

    /// Returns the events that match terms and scope. It uses the links of the batch, or examines the events one by one
    /// if the batch is older than the nodes. It runs no foreign code.
    #[inline]
    pub(super) fn select<'r>(
        &self,
        record: &'r Published<P>,
        nodes: &[Arc<Node>],
        matching: Matching,
    ) -> Option<BorrowedSelection<'r>> {
        let events = &record.events;
        match nodes {
            _ if matching == Matching::AllEvents => Some(Selection::All),
            _ if matching == Matching::Unknown => {
                count(Step::Scan, events.len());
                let matching = events.iter().zip(0_u32..).filter(|(event, _)| self.filter.matches(event));
                BorrowedSelection::of(events.len(), matching.map(|(_, ordinal)| ordinal))
            }
            nodes if events.len() <= Links::BITS => {
                Selection::of_bits(events.len(), record.links.matched_bits(nodes, events.len()))
            }
            nodes => select_union(&record.links, events.len(), nodes),
        }
    }

    /// Returns whether [`post_filter`](Self::post_filter) can refuse anything.
    #[inline]
    pub(super) fn has_post_filters(&self) -> bool {
        self.has_post_filters
    }

    /// Returns whether every event that matches terms and scope is delivered, at any time.
    #[inline]
    pub(super) fn is_unconditional(&self) -> bool {
        self.unconditional
    }

    /// Returns what the post-filters leave of a selection. It runs foreign code, so no lock may be held.
    pub(super) fn post_filter<'r>(
        &mut self,
        authorizer: Option<&dyn Authorizer<P>>,
        events: &[Event<P>],
        selection: BorrowedSelection<'r>,
    ) -> Option<BorrowedSelection<'r>> {
        if !self.has_post_filters {
            return Some(selection);
        }
        let mut iter = selection.events(events);
        let ordinals = std::iter::from_fn(|| {
            loop {
                let (ordinal, index) = iter.next_with_ordinal()?;
                if self.accepts(authorizer, events.get(index)?) {
                    return Some(ordinal);
                }
            }
        });
        BorrowedSelection::of(events.len(), ordinals)
    }

    /// Returns whether the post-filters accept an event that matches terms and scope.
    pub(super) fn accepts(&mut self, authorizer: Option<&dyn Authorizer<P>>, event: &Event<P>) -> bool {
        self.accepts_with(authorizer, event, &mut None)
    }

    /// Implements [`accepts`](Self::accepts) for an event that the predicate may have examined before. The predicate is
    /// called once for each event: `predicate_result` is what it returned, and is set if it is called now.
    pub(super) fn accepts_with(
        &mut self,
        authorizer: Option<&dyn Authorizer<P>>,
        event: &Event<P>,
        predicate_result: &mut Option<bool>,
    ) -> bool {
        self.evaluate(authorizer, event, predicate_result) == Explanation::Delivered
    }

    /// Applies the post-filters to an event that matches terms and scope. Each filter runs only if all before it
    /// accept.
    fn evaluate(
        &mut self,
        authorizer: Option<&dyn Authorizer<P>>,
        event: &Event<P>,
        predicate_result: &mut Option<bool>,
    ) -> Explanation {
        count(Step::Scan, 1);
        if !self.filter.matches_type(event) {
            return Explanation::OtherType;
        }
        let Some(PostFilters { principal, grant, predicate }) = self.post_filters.as_deref_mut() else {
            return Explanation::Delivered;
        };
        if let Some(grant) = grant {
            if !grant.admits(event.namespace()) {
                return Explanation::NotGranted;
            }
            let asked = authorizer.filter(|_| grant.checks_events());
            if asked.is_some_and(|authorizer| !authorizer.permits(principal, event)) {
                return Explanation::NotPermitted;
            }
        }
        if predicate.as_mut().is_some_and(|predicate| !*predicate_result.get_or_insert_with(|| predicate(event))) {
            return Explanation::Refused;
        }
        Explanation::Delivered
    }

    pub(super) fn explain(&mut self, authorizer: Option<&dyn Authorizer<P>>, event: &Event<P>) -> Explanation {
        if !self.filter.matches_term(event) {
            Explanation::NoTerm
        } else if !self.filter.scope().admits(event.namespace()) {
            Explanation::OutOfScope
        } else {
            self.evaluate(authorizer, event, &mut None)
        }
    }
}

/// Returns the union of what several nodes matched, in a batch of more events than bits.
fn select_union<'r>(links: &'r Links, len: usize, nodes: &[Arc<Node>]) -> Option<BorrowedSelection<'r>> {
    let mut hits = links.matched_any(nodes);
    let first = hits.next()?;
    let Some(second) = hits.next() else {
        return match first {
            MatchedEvents::All => Some(Selection::All),
            MatchedEvents::Ordinals([]) => None,
            MatchedEvents::Ordinals(ordinals) => Some(Selection::Ordinals(Cow::Borrowed(ordinals))),
        };
    };
    let mut union = Vec::new();
    for hits in [first, second].into_iter().chain(hits) {
        match hits {
            MatchedEvents::All => return Some(Selection::All),
            MatchedEvents::Ordinals(ordinals) => union.extend_from_slice(ordinals),
        }
    }
    union.sort_unstable();
    union.dedup();
    BorrowedSelection::of(len, union.into_iter())
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::request::Request;
    use crate::types::term::Term;

    /// Post-filters run only where they can refuse an event, and a grant that expires is not unconditional.
    #[test]
    fn whether_anything_can_refuse_is_known_before() {
        let everything = || Request::<()>::new().namespace("*");
        let expiry = Instant::now() + Duration::from_secs(60);
        let cases = [
            (everything(), None, false, true),
            (everything(), Some(Grant::all().without_event_checks()), false, true),
            (everything(), Some(Grant::all().without_event_checks().expires_at(expiry)), false, false),
            (everything(), Some(Grant::all()), true, false),
            (everything(), Some(Grant::namespaces(["prod"]).without_event_checks()), true, false),
            (everything().event_type("JobRegistered"), None, true, false),
            (everything().filter(|_| true), None, true, false),
        ];
        for (number, (mut request, grant, has_post_filters, unconditional)) in cases.into_iter().enumerate() {
            let filter = Arc::new(Filter::new(&mut request).expect("a request"));
            let selector = Selector::new(filter, Principal::anonymous(), grant, request.predicate.take());
            assert_eq!(
                (selector.has_post_filters(), selector.is_unconditional()),
                (has_post_filters, unconditional),
                "case {number}"
            );
        }
    }

    #[test]
    fn an_explanation_names_the_first_that_refuses() {
        let mut request = Request::<()>::new()
            .term(Term::topic("Job").expect("a topic"))
            .namespaces(["prod", "dev"])
            .event_type("JobRegistered")
            .filter(|event| event.key() == "web");
        let filter = Arc::new(Filter::new(&mut request).expect("a request"));
        let grant = Some(Grant::namespaces(["prod"]));
        let mut selector = Selector::new(filter, Principal::anonymous(), grant, request.predicate.take());
        for (topic, namespace, event_type, key, expected) in [
            ("Node", "test", "other", "db", Explanation::NoTerm),
            ("Job", "test", "other", "db", Explanation::OutOfScope),
            ("Job", "dev", "other", "db", Explanation::OtherType),
            ("Job", "dev", "JobRegistered", "db", Explanation::NotGranted),
            ("Job", "prod", "JobRegistered", "db", Explanation::Refused),
            ("Job", "prod", "JobRegistered", "web", Explanation::Delivered),
        ] {
            let event = Event::new(topic, event_type, key, ()).with_namespace(namespace);
            assert_eq!(selector.explain(None, &event), expected);
        }
    }
}
