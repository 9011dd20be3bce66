//! What a reader asks for: start, terms, namespaces, and who is asking.
//! How a request is matched, granted or read from a query is not decided here.

use std::error::Error;
use std::fmt;

use crate::access::Principal;
use crate::event::Event;
use crate::few::Few;
use crate::name::{EventType, Key, Namespace, Topic};
use crate::token::Token;

/// Where a subscription begins.
///
/// Only [`Exactly`](Start::Exactly) can be refused. Every other start succeeds, and the
/// [verdict](crate::Subscription::verdict) tells what it found.
///
/// ```
/// use event_broker::{Broker, Event, Request, Start, Verdict};
///
/// let broker = Broker::<()>::builder().max_batches(2).build()?;
/// for index in [10, 20, 30] {
///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
/// }
/// let open = |start| broker.subscribe(Request::new().start(start));
/// assert_eq!(open(Start::Oldest)?.recv()?.index(), 20);
/// assert_eq!(open(Start::Index(21))?.recv()?.index(), 30);
/// assert_eq!(open(Start::Index(5))?.verdict(), Verdict::Lost { oldest: Some(20) });
/// assert!(open(Start::Latest)?.try_recv().is_err(), "nothing new yet");
/// assert!(open(Start::Exactly(21)).is_err(), "no such index");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the oldest batch that is buffered when the subscription opens; index 0 in the HTTP API whose event stream
    /// [`nomad`](crate::nomad) describes.
    ///
    /// If that is evicted before the first read, the subscription begins at what is the oldest then: what was there
    /// already is no loss. What was published after the subscription had opened is, and is told as lag. The same holds
    /// for every start whose verdict told a loss.
    #[default]
    Oldest,
    /// With the first batch whose index is at least this one. Nothing lower is ever delivered: if the index lies in
    /// the future, the stream is silent until it comes.
    Index(u64),
    /// With the first batch of exactly this index; refused if that is lost, absent or in the future.
    Exactly(u64),
    /// After what the token says has been read. A place that the broker has not reached yet, at a replica that is behind,
    /// is waited for; a token of another epoch starts at the oldest batch.
    After(Token),
    /// With the next batch that is published.
    Latest,
}

/// One term of a request, `topic:key`, where either side may be the wildcard.
///
/// An event matches if its topic is the term's and the term's key is its key or one of its filter keys.
///
/// ```
/// use event_broker::Term;
///
/// assert_eq!(Term::new("Job", "web").unwrap().to_string(), "Job:web");
/// assert_eq!(Term::topic("Job").unwrap().to_string(), "Job:*");
/// assert_eq!(Term::new("*", "web").unwrap(), Term::key("web").unwrap());
/// assert!(Term::new("Job", "").is_err(), "only the wildcard matches an event's empty key");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    topic: Option<Topic>,
    key: Option<Key>,
}

impl Term {
    /// The term of everything, `*:*`.
    pub const ALL: Self = Self { topic: None, key: None };

    /// The term `topic:key`. Either side may be `*`; a key may hold colons here, unlike in a query.
    ///
    /// # Errors
    ///
    /// If either side is empty.
    pub fn new(topic: impl Into<Topic>, key: impl Into<Key>) -> Result<Self, InvalidRequest> {
        let (topic, key) = (topic.into(), key.into());
        if topic.is_empty() {
            return Err(InvalidRequest::EmptyTopic { key });
        }
        if key.is_empty() {
            return Err(InvalidRequest::EmptyKey { topic });
        }
        Ok(Self { topic: (topic != "*").then_some(topic), key: (key != "*").then_some(key) })
    }

    /// The term `topic:*`.
    ///
    /// # Errors
    ///
    /// If the topic is empty.
    pub fn topic(topic: impl Into<Topic>) -> Result<Self, InvalidRequest> {
        Self::new(topic, Key::from_static("*"))
    }

    /// The term `*:key`.
    ///
    /// # Errors
    ///
    /// If the key is empty.
    pub fn key(key: impl Into<Key>) -> Result<Self, InvalidRequest> {
        Self::new(Topic::from_static("*"), key)
    }

    /// The topic, or `None` for the wildcard.
    pub fn topic_name(&self) -> Option<&Topic> {
        self.topic.as_ref()
    }

    /// The key, or `None` for the wildcard.
    pub fn key_name(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Whether an event has the term's topic, and its key as key or filter key.
    pub fn matches<P>(&self, event: &Event<P>) -> bool {
        self.topic.as_ref().is_none_or(|topic| topic == event.topic())
            && self.key.as_ref().is_none_or(|key| key == event.key() || event.filter_keys().contains(key))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = self.topic.as_ref().map_or("*", Topic::as_str);
        let key = self.key.as_ref().map_or("*", Key::as_str);
        write!(f, "{topic}:{key}")
    }
}

/// The namespaces that a request asks for. An event without a namespace passes every scope.
///
/// ```
/// use event_broker::{Request, Scope};
///
/// let scope = |request: Request<()>| request.scope();
/// assert_eq!(scope(Request::new())?.named(), Some(&["default".into()][..]));
/// assert_eq!(scope(Request::new().namespace("prod").namespace("*"))?, Scope::All);
/// assert!(scope(Request::new().namespace("prod"))?.admits(&"".into()), "an event without a namespace passes");
/// # Ok::<(), event_broker::InvalidRequest>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace, also one that comes into being later: `*`.
    All,
    /// These, at least one, sorted and each once.
    Named(Named),
}

/// The namespaces that a [`Scope`] names: at least one, sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(Few<Namespace>);

impl Named {
    /// The names, sorted.
    pub fn as_slice(&self) -> &[Namespace] {
        &self.0
    }
}

impl Default for Scope {
    /// [`Namespace::DEFAULT`] alone.
    fn default() -> Self {
        Self::Named(Named(Few::One([Namespace::DEFAULT])))
    }
}

impl Scope {
    /// Whether an event of this namespace is in the scope.
    pub fn admits(&self, namespace: &Namespace) -> bool {
        match self {
            Self::All => true,
            Self::Named(Named(names)) => match &**names {
                _ if namespace.is_empty() => true,
                [only] => only == namespace,
                names => names.binary_search(namespace).is_ok(),
            },
        }
    }

    /// The namespaces named, or `None` if all are asked for.
    pub fn named(&self) -> Option<&[Namespace]> {
        match self {
            Self::All => None,
            Self::Named(named) => Some(named.as_slice()),
        }
    }
}

/// What happens to a subscription that was overtaken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LagPolicy {
    /// It ends: the loss is its last word.
    #[default]
    Close,
    /// It is told once for each loss, and goes on at the oldest batch.
    Continue,
}

pub(crate) type Predicate<P> = Box<dyn FnMut(&Event<P>) -> bool + Send>;

/// What a reader asks for.
///
/// Left alone it is the request without parameters of the HTTP API whose event stream [`nomad`](crate::nomad)
/// describes: everything buffered and all that comes, of every topic, in the namespace `default`, for the anonymous
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
    /// Everything buffered and all that comes, of every topic, in the namespace `default`: the request without
    /// parameters of the HTTP API whose event stream [`nomad`](crate::nomad) describes.
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

    /// Adds a term. No terms means everything; several are a union.
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

    /// Adds a namespace; `*` is all of them, also those to come. None named means `default`.
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

    /// Adds an event type to deliver. None named means every type.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<EventType>) -> Self {
        self.types.push(event_type.into());
        self
    }

    /// Sets a predicate that an event must pass after everything else. It runs on the reader's thread, outside every
    /// lock, once for each event that gets so far. Several predicates must all hold.
    ///
    /// If it panics, the panic reaches the caller of the read, and the batch has not been passed.
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

    /// Sets who is asking.
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

    /// Where the subscription will begin.
    pub fn requested_start(&self) -> Start {
        self.start
    }

    /// The terms named so far.
    pub fn requested_terms(&self) -> &[Term] {
        &self.terms
    }

    /// The namespaces named so far.
    pub fn requested_namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The scope that the named namespaces amount to.
    ///
    /// # Errors
    ///
    /// If one of them is empty.
    pub fn scope(&self) -> Result<Scope, InvalidRequest> {
        if self.namespaces.iter().any(Namespace::is_empty) {
            return Err(InvalidRequest::EmptyNamespace);
        }
        if self.namespaces.is_empty() {
            return Ok(Scope::default());
        }
        if self.namespaces.iter().any(|name| name == "*") {
            return Ok(Scope::All);
        }
        let mut names = self.namespaces.clone();
        names.sort_unstable();
        names.dedup();
        Ok(Scope::Named(Named(names.into())))
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

/// A request that cannot mean anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A term without a topic.
    EmptyTopic {
        /// The term's key.
        key: Key,
    },
    /// A term without a key.
    EmptyKey {
        /// The term's topic.
        topic: Topic,
    },
    /// A namespace without a name.
    EmptyNamespace,
    /// An event type without a name.
    EmptyType,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyTopic { key } => write!(f, "empty topic in the term \":{key}\", expected a name or *"),
            Self::EmptyKey { topic } => write!(f, "empty key in the term \"{topic}:\", expected a key or *"),
            Self::EmptyNamespace => f.write_str("empty namespace, expected a name or *"),
            Self::EmptyType => f.write_str("empty event type, expected a name"),
        }
    }
}

impl Error for InvalidRequest {}
