//! Defines the request of a reader: start, terms, namespaces, event types, predicate, principal and lag policy.
//! How a request is matched is decided in `interest`, how it is granted in `core`, how it is parsed in `nomad::query`.
//!
//! Callers: `interest`, `core`, `subscription`, `broker` and `nomad`, and users of the crate.

use std::fmt;

use crate::types::event::Event;
use crate::types::name::{EventType, Namespace};
use crate::types::principal::Principal;
use crate::types::start::Start;
use crate::types::term::{InvalidRequest, Scope, Term};

/// What happens to a subscription that was overtaken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LagPolicy {
    /// The subscription ends, and reports the loss as its end.
    #[default]
    Close,
    /// The subscription reports each loss once, and continues at the oldest batch.
    Continue,
}

pub(crate) type Predicate<P> = Box<dyn FnMut(&Event<P>) -> bool + Send>;

/// A request to subscribe.
///
/// The default is the request without parameters of the HTTP API whose event stream [`nomad`](crate::nomad) describes:
/// everything buffered and everything published later, of every topic, in the namespace `default`, for the anonymous
/// principal. Events without a namespace pass as well.
///
/// ```
/// use event_broker::{Broker, Event, Request, Term};
///
/// let broker = Broker::<u32>::new();
/// let mut jobs = broker.subscribe(
///     Request::new().term(Term::new("Job", "web")?).namespace("prod").namespace("staging").filter(|e| *e.payload() > 1),
/// )?;
/// broker.publish(1, [
///     Event::new("Job", "JobRegistered", "web", 1).with_namespace("prod"),
///     Event::new("Job", "JobRegistered", "web", 2).with_namespace("staging"),
///     Event::new("Job", "JobRegistered", "web", 3).with_namespace("default"),
/// ])?;
/// let payloads: Vec<_> = jobs.recv()?.events().map(|e| *e.payload()).collect();
/// assert_eq!(payloads, [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Request<P> {
    pub(crate) start: Start,
    pub(crate) terms: Vec<Term>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) types: Vec<EventType>,
    pub(crate) predicate: Option<Predicate<P>>,
    pub(crate) principal: Principal,
    pub(crate) lag_policy: LagPolicy,
}

impl<P> Request<P> {
    /// Creates the default request: everything buffered and everything published later, of every topic, in the
    /// namespace `default`. It is the request without parameters of the HTTP API whose event stream
    /// [`nomad`](crate::nomad) describes.
    pub fn new() -> Self {
        Self {
            start: Start::Oldest,
            terms: Vec::new(),
            namespaces: Vec::new(),
            types: Vec::new(),
            predicate: None,
            principal: Principal::anonymous(),
            lag_policy: LagPolicy::default(),
        }
    }

    /// Sets where the subscription begins.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Adds a term. An event must match at least one term. Without terms every event matches.
    #[must_use]
    pub fn term(mut self, term: Term) -> Self {
        self.terms.push(term);
        self
    }

    /// Adds terms.
    #[must_use]
    pub fn terms(mut self, terms: impl IntoIterator<Item = Term>) -> Self {
        self.terms.extend(terms);
        self
    }

    /// Adds a namespace. `*` means all namespaces, including those that are created later. Without any, the namespace
    /// is `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Namespace>) -> Self {
        self.namespaces.push(namespace.into());
        self
    }

    /// Adds namespaces.
    #[must_use]
    pub fn namespaces<N: Into<Namespace>>(mut self, namespaces: impl IntoIterator<Item = N>) -> Self {
        self.namespaces.extend(namespaces.into_iter().map(Into::into));
        self
    }

    /// Adds an event type to deliver. Without any, every type is delivered.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<EventType>) -> Self {
        self.types.push(event_type.into());
        self
    }

    /// Sets a predicate that an event must pass after all other filters. It runs on the reader's thread, outside every
    /// lock, once for each event that passes the other filters. Several predicates must all hold.
    ///
    /// If it panics, the panic reaches the caller of the read, and the read does not consume the batch.
    #[must_use]
    pub fn filter(mut self, mut predicate: impl FnMut(&Event<P>) -> bool + Send + 'static) -> Self
    where
        P: 'static,
    {
        self.predicate = Some(match self.predicate.take() {
            None => Box::new(predicate),
            Some(mut first) => Box::new(move |event| first(event) && predicate(event)),
        });
        self
    }

    /// Sets the principal on whose behalf the subscription reads.
    #[must_use]
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = principal;
        self
    }

    /// Sets what happens when the reader is overtaken.
    #[must_use]
    pub fn lag_policy(mut self, policy: LagPolicy) -> Self {
        self.lag_policy = policy;
        self
    }

    /// Returns where the subscription will begin.
    pub fn requested_start(&self) -> Start {
        self.start
    }

    /// Returns the terms added so far.
    pub fn requested_terms(&self) -> &[Term] {
        &self.terms
    }

    /// Returns the namespaces added so far.
    pub fn requested_namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// Returns the scope that the added namespaces form.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is empty.
    pub fn scope(&self) -> Result<Scope, InvalidRequest> {
        Scope::of(&self.namespaces)
    }
}

impl<P> Default for Request<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for Request<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("start", &self.start)
            .field("terms", &self.terms)
            .field("namespaces", &self.namespaces)
            .field("types", &self.types)
            .field("predicate", &self.predicate.is_some())
            .field("principal", &self.principal)
            .field("lag_policy", &self.lag_policy)
            .finish()
    }
}
