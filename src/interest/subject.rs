//! Defines the subject of a node: the term and the namespaces whose events it accepts.
//! Under which hash a subject is found is decided in `table`.
//!
//! Invariants:
//! - a subject does not change once its node is stored;
//! - two subjects that differ only in [`NamespaceScope::One`] and [`NamespaceScope::OneOrNone`] of the same namespace
//!   are equal, because one node can serve both;
//! - a number of a name is valid for as long as the node is stored, because the node keeps the name interned.
//!
//! Callers: `table` and the files that store nodes for it, under the broker's lock.

use super::names::Names;
use crate::types::name::Key;

/// The namespaces from which a node accepts events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamespaceScope {
    /// All namespaces, and events without a namespace.
    Any,
    /// Events without a namespace only.
    None,
    /// The namespace of this number.
    One(u32),
    /// The namespace of this number, and events without a namespace.
    OneOrNone(u32),
    /// The namespaces of the [wide scope](super::wide) of this number.
    Scope(u32),
}

impl NamespaceScope {
    /// The number of the wildcard, any namespace. [`Names`] assigns neither this number nor [`NONE`](Self::NONE) to a
    /// name.
    pub(super) const ANY: u32 = Names::ANY;
    /// The number of events without a namespace.
    pub(super) const NONE: u32 = 1;

    /// Returns the number that a node without a key is looked up under.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Any | Self::Scope(_) => Self::ANY,
            Self::None => Self::NONE,
            Self::One(number) | Self::OneOrNone(number) => number,
        }
    }

    /// Returns the number of the one namespace, whether or not events without a namespace are accepted as well.
    pub(super) fn one(self) -> Option<u32> {
        match self {
            Self::One(number) | Self::OneOrNone(number) => Some(number),
            Self::Any | Self::None | Self::Scope(_) => None,
        }
    }
}

/// What a node accepts: a term, and the namespaces in which it was requested.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The topic's number, or [`Names::ANY`].
    pub(super) topic: u32,
    pub(super) namespaces: NamespaceScope,
    pub(super) key: Option<Key>,
}

/// A request for one namespace can share a node that also accepts events without a namespace. So the two namespace
/// scopes are equal.
impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        let is_one = self.namespaces.one().is_some() && self.namespaces.one() == other.namespaces.one();
        (is_one || self.namespaces == other.namespaces) && self.topic == other.topic && self.key == other.key
    }
}

impl Subject {
    /// Returns whether a node without a key accepts an event that was looked up under these numbers. It may not,
    /// because hashes can collide.
    #[inline]
    pub(super) fn accepts(&self, namespace: u32, topic: u32) -> bool {
        namespace == self.namespaces.number() && self.topic == topic && self.key.is_none()
    }

    /// Returns whether the node accepts an event that was looked up by this key and topic. `namespace` is the number of
    /// the event's namespace, or [`NamespaceScope::NONE`], or `None` if the namespace has no number.
    #[inline]
    pub(super) fn accepts_by_key(&self, namespace: Option<u32>, topic: u32, key: &Key) -> bool {
        let admits = match self.namespaces {
            NamespaceScope::Any => true,
            NamespaceScope::None => namespace == Some(NamespaceScope::NONE),
            NamespaceScope::One(number) => namespace == Some(number),
            NamespaceScope::OneOrNone(number) => namespace == Some(number) || namespace == Some(NamespaceScope::NONE),
            NamespaceScope::Scope(_) => false,
        };
        admits && self.topic == topic && self.key.as_ref() == Some(key)
    }
}
