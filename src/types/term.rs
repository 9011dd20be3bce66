//! Defines the terms and the scope of a request, and the error of an invalid name.
//! How many terms are matched with an event at once is decided in `interest`.
//!
//! Invariants: the namespaces of a scope are sorted, distinct, and at least one. No name of a term or a scope is empty.
//!
//! Callers: `access`, `interest`, `subscription` and `nomad`, and users of the crate.

use std::error::Error;
use std::fmt;

use crate::types::event::Event;
use crate::types::name::{Key, Namespace, Topic};
use crate::types::small_list::SmallList;

/// A term of a request, `topic:key`. Either side may be the wildcard.
///
/// An event matches if it has the term's topic, and the term's key is its key or one of its filter keys.
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
    /// The term that every event matches, `*:*`.
    pub const ALL: Self = Self { topic: None, key: None };

    /// Creates the term `topic:key`. Either side may be `*`. Unlike in a query, the key may hold colons.
    ///
    /// # Errors
    ///
    /// Returns an error if either side is empty.
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

    /// Creates the term `topic:*`.
    ///
    /// # Errors
    ///
    /// Returns an error if the topic is empty.
    pub fn topic(topic: impl Into<Topic>) -> Result<Self, InvalidRequest> {
        Self::new(topic, Key::from_static("*"))
    }

    /// Creates the term `*:key`.
    ///
    /// # Errors
    ///
    /// Returns an error if the key is empty.
    pub fn key(key: impl Into<Key>) -> Result<Self, InvalidRequest> {
        Self::new(Topic::from_static("*"), key)
    }

    /// Returns the topic, or `None` for the wildcard.
    pub fn topic_name(&self) -> Option<&Topic> {
        self.topic.as_ref()
    }

    /// Returns the key, or `None` for the wildcard.
    pub fn key_name(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Returns whether an event has the term's topic, and has the term's key as its key or as a filter key.
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

/// The namespaces of a request. An event without a namespace passes every scope.
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
    /// Every namespace, including those that are created later: `*`.
    All,
    /// These namespaces: at least one, sorted, without duplicates.
    Named(Named),
}

/// The namespaces that a [`Scope`] names: at least one, sorted, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(SmallList<Namespace>);

impl Named {
    /// Returns the names, sorted.
    pub fn as_slice(&self) -> &[Namespace] {
        &self.0
    }
}

impl Default for Scope {
    /// Returns the scope of [`Namespace::DEFAULT`] alone.
    fn default() -> Self {
        Self::Named(Named(SmallList::One([Namespace::DEFAULT])))
    }
}

impl Scope {
    /// Returns the scope that these names form. No names mean [`Namespace::DEFAULT`].
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is empty.
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

    /// Returns whether an event of this namespace is in the scope.
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

    /// Returns the named namespaces, or `None` if the scope is all of them.
    pub fn named(&self) -> Option<&[Namespace]> {
        match self {
            Self::All => None,
            Self::Named(named) => Some(named.as_slice()),
        }
    }
}

/// An invalid request: one that holds an empty name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A term has an empty topic.
    EmptyTopic {
        /// The term's key.
        key: Key,
    },
    /// A term has an empty key.
    EmptyKey {
        /// The term's topic.
        topic: Topic,
    },
    /// A namespace is empty.
    EmptyNamespace,
    /// An event type is empty.
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
