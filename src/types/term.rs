//! What a request names: terms, namespaces, and the error of a name that cannot be asked for.
//! How terms are matched against many events at once is the business of `interest`.

use std::error::Error;
use std::fmt;

use crate::types::event::Event;
use crate::types::name::{Key, Namespace, Topic};
use crate::types::small_list::SmallList;

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
pub struct Named(SmallList<Namespace>);

impl Named {
    /// The names, sorted.
    pub fn as_slice(&self) -> &[Namespace] {
        &self.0
    }
}

impl Default for Scope {
    /// [`Namespace::DEFAULT`] alone.
    fn default() -> Self {
        Self::Named(Named(SmallList::One([Namespace::DEFAULT])))
    }
}

impl Scope {
    /// Returns the scope that these names amount to. None named means [`Namespace::DEFAULT`].
    ///
    /// # Errors
    ///
    /// If one of them is empty.
    pub(crate) fn of(names: &[Namespace]) -> Result<Self, InvalidRequest> {
        if names.iter().any(Namespace::is_empty) {
            return Err(InvalidRequest::EmptyNamespace);
        }
        if names.is_empty() {
            return Ok(Self::default());
        }
        if names.iter().any(|name| name == "*") {
            return Ok(Self::All);
        }
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        Ok(Self::Named(Named(names.into())))
    }

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
