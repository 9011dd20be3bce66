//! Counts the nodes by the shape of their subject, so that an event looks up no shape that no node has.
//! The nodes themselves are stored in `table`.
//!
//! The *shape* of a subject is which of its parts are exact. With an exact key, the shape is whether the topic is
//! exact. Without a key, it is the namespace (any, none, or one) and whether the topic is exact.
//!
//! Invariants: every stored node is counted once in its shape. A bit of `present` is set if and only if its count is
//! not zero.
//!
//! Callers: `table` and `hits` under the broker's lock.

use super::names::Names;
use super::subject::{NamespaceScope, Subject};

/// How many nodes there are of each shape, and which shapes have any: with an exact key, by topic (any, exact); without
/// a key, by namespace (any, none, one) and topic.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    nodes: [u32; 10],
    present: u16,
}

impl Shapes {
    // The first shape of each pair: of exact keys, and of each kind of namespace.
    const KEYED: usize = 0;
    const ANY: usize = 2;
    const NONE: usize = 4;
    const ONE: usize = 6;
    /// Every node of one namespace is counted here as well as in its shape.
    const NAMED: usize = 8;
    /// The nodes of wide scopes are counted here only.
    const WIDE: usize = 9;

    /// The two shapes of one kind of namespace, or of exact keys.
    const PAIR: u16 = 0b11;
    const KEYLESS: u16 = 0b1111_1100;
    const EXACT_TOPICS: u16 = 0b10_1010_1010;

    // The two shapes of a pair.
    pub(super) const ANY_TOPIC: u16 = 1;
    pub(super) const EXACT_TOPIC: u16 = 2;

    fn of(subject: &Subject) -> usize {
        let pair = if subject.key.is_some() { Self::KEYED } else { Self::begin(subject.namespaces.number()) };
        pair + usize::from(subject.topic != Names::ANY)
    }

    #[inline]
    fn begin(namespace: u32) -> usize {
        match namespace {
            NamespaceScope::ANY => Self::ANY,
            NamespaceScope::NONE => Self::NONE,
            _ => Self::ONE,
        }
    }

    /// Returns which of the two shapes of a namespace have nodes without a key.
    #[inline]
    pub(super) fn of_namespace(&self, namespace: u32) -> u16 {
        self.present >> Self::begin(namespace) & Self::PAIR
    }

    /// Returns which of the two shapes with an exact key have nodes.
    #[inline]
    pub(super) fn keyed(&self) -> u16 {
        self.present >> Self::KEYED & Self::PAIR
    }

    /// Returns whether some node has no key.
    #[inline]
    pub(super) fn has_keyless(&self) -> bool {
        self.present & Self::KEYLESS != 0
    }

    /// Returns whether some node has an exact topic. Nodes of wide scopes count, because they may.
    #[inline]
    pub(super) fn has_exact_topics(&self) -> bool {
        self.present & Self::EXACT_TOPICS != 0
    }

    /// Returns whether some node is of one namespace or of a wide scope.
    #[inline]
    pub(super) fn has_named(&self) -> bool {
        self.present & (1 << Self::NAMED | 1 << Self::WIDE) != 0
    }

    /// Returns whether some node is of a wide scope.
    #[inline]
    pub(super) fn has_wide(&self) -> bool {
        self.present & 1 << Self::WIDE != 0
    }

    /// Returns whether there are no nodes.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    pub(super) fn add(&mut self, subject: &Subject) {
        for kind in Self::kinds(subject) {
            if let Some(nodes) = self.nodes.get_mut(kind) {
                *nodes += 1;
                self.present |= 1 << kind;
            }
        }
    }

    pub(super) fn remove(&mut self, subject: &Subject) {
        for kind in Self::kinds(subject) {
            if let Some(nodes) = self.nodes.get_mut(kind) {
                *nodes -= 1;
                if *nodes == 0 {
                    self.present &= !(1 << kind);
                }
            }
        }
    }

    fn kinds(subject: &Subject) -> impl Iterator<Item = usize> {
        let (kind, named) = match subject.namespaces {
            NamespaceScope::Scope(_) => (Self::WIDE, false),
            namespaces => (Self::of(subject), namespaces.one().is_some()),
        };
        std::iter::once(kind).chain(named.then_some(Self::NAMED))
    }
}
