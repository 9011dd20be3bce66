//! Stores the nodes of one topic and one exact key, in all the namespaces in which they were requested.
//! How a hash is made, and which shapes of subject exist, is decided in `table` and `shapes`.
//!
//! Invariants:
//! - a node of one namespace is in `named` under that namespace's number. If a node of another key or topic, whose hash
//!   collides, has taken that entry or `or_none`, the node is in `others`;
//! - `or_none` is the number of the only node in `named` whose namespace scope is [`NamespaceScope::OneOrNone`].
//!
//! Callers: `table` under the broker's lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bucket::Bucket;
use super::node::Node;
use super::subject::{NamespaceScope, Subject};
use crate::types::name::Key;

/// The nodes of one key and topic, and those of others whose hashes collide. There is nearly always one node.
#[derive(Debug)]
pub(super) enum KeyedBucket<L> {
    One(Arc<Node<L>>),
    Many(Box<ByNamespace<L>>),
}

/// Nodes by namespace, so that an event finds the node of its namespace without visiting those of all others.
#[derive(Debug)]
pub(super) struct ByNamespace<L> {
    /// Nodes of one namespace, by its number.
    named: BTreeMap<u32, Arc<Node<L>>>,
    /// The namespace whose node in `named` also accepts events without a namespace, if there is one.
    or_none: Option<u32>,
    /// Nodes of any namespace or of none, and nodes that have no entry in `named` because of a collision.
    others: Option<Bucket<L>>,
}

impl<L> KeyedBucket<L> {
    /// Calls `hit` for each node that an event hits by this key. `namespace` is the number of the event's namespace, or
    /// [`NamespaceScope::NONE`], or `None` if the namespace has no number.
    #[inline]
    pub(super) fn hit<'i>(&'i self, namespace: Option<u32>, topic: u32, key: &Key, hit: &mut impl FnMut(&'i Node<L>)) {
        match self {
            Self::One(node) => {
                if node.subject.accepts_by_key(namespace, topic, key) {
                    hit(node);
                }
            }
            Self::Many(several) => several.hit(namespace, topic, key, hit),
        }
    }

    /// Returns the node of exactly this subject.
    pub(super) fn find(&self, subject: &Subject) -> Option<&Arc<Node<L>>> {
        match self {
            Self::One(node) => Some(node).filter(|node| node.subject == *subject),
            Self::Many(several) => {
                let named = subject.namespaces.one().and_then(|number| several.named.get(&number));
                let named = named.filter(|node| node.subject == *subject);
                named.or_else(|| several.others.as_ref()?.find(subject))
            }
        }
    }

    /// Returns whether a node here, other than one of any namespace, accepts events without a namespace.
    ///
    /// Such an event hits at most two of these nodes, in however many namespaces the key was requested. The first node
    /// of one namespace accepts both kinds of event ([`NamespaceScope::OneOrNone`]). A subscription that requests the
    /// key in another namespace later joins a separate node for events without a namespace ([`NamespaceScope::None`]),
    /// which all such subscriptions share.
    pub(super) fn accepts_none(&self) -> bool {
        let takes = |node: &Arc<Node<L>>| {
            matches!(node.subject.namespaces, NamespaceScope::None | NamespaceScope::OneOrNone(_))
        };
        match self {
            Self::One(node) => takes(node),
            Self::Many(several) => {
                several.or_none.is_some()
                    || several.others.as_ref().is_some_and(|others| others.nodes().iter().any(takes))
            }
        }
    }

    pub(super) fn add(&mut self, node: Arc<Node<L>>) {
        if let Self::One(first) = self {
            let mut several = ByNamespace { named: BTreeMap::new(), or_none: None, others: None };
            several.add(Arc::clone(first));
            *self = Self::Many(Box::new(several));
        }
        if let Self::Many(several) = self {
            several.add(node);
        }
    }

    /// Removes a node. Returns whether it was the last one. The bucket must then be dropped.
    pub(super) fn remove(&mut self, node: &Node<L>) -> bool {
        let Self::Many(several) = self else { return true };
        several.remove(node);
        several.named.is_empty() && several.others.is_none()
    }
}

impl<L> ByNamespace<L> {
    #[inline(never)]
    fn hit<'i>(&'i self, namespace: Option<u32>, topic: u32, key: &Key, hit: &mut impl FnMut(&'i Node<L>)) {
        let number = if namespace == Some(NamespaceScope::NONE) { self.or_none } else { namespace };
        let named = number.and_then(|number| self.named.get(&number));
        let others = self.others.as_ref().map_or(&[][..], Bucket::nodes);
        for node in named.into_iter().chain(others) {
            if node.subject.accepts_by_key(namespace, topic, key) {
                hit(node);
            }
        }
    }

    fn add(&mut self, node: Arc<Node<L>>) {
        if let Some(number) = node.subject.namespaces.one()
            && !self.named.contains_key(&number)
        {
            if let NamespaceScope::OneOrNone(number) = node.subject.namespaces
                && self.or_none.is_none()
            {
                self.or_none = Some(number);
            } else if let NamespaceScope::OneOrNone(_) = node.subject.namespaces {
                // Only after a collision: the other such node belongs to another key or topic.
                self.add_to_others(node);
                return;
            }
            self.named.insert(number, node);
            return;
        }
        self.add_to_others(node);
    }

    fn add_to_others(&mut self, node: Arc<Node<L>>) {
        match &mut self.others {
            Some(others) => others.add(node),
            None => self.others = Some(Bucket::One(node)),
        }
    }

    fn remove(&mut self, node: &Node<L>) {
        if let Some(number) = node.subject.namespaces.one()
            && self.named.get(&number).is_some_and(|named| named.id == node.id)
        {
            self.named.remove(&number);
            self.or_none = self.or_none.filter(|or_none| *or_none != number);
        } else if self.others.as_mut().is_some_and(|others| others.remove(node)) {
            self.others = None;
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::num::NonZeroU64;

    use super::super::jumps::NodeId;
    use super::*;
    use crate::types::position::Position;

    /// Nodes whose hashes collide are distinguished. Nodes of other keys, topics and namespaces that are in one bucket
    /// are hit, found and removed one by one, in whatever order they came.
    #[test]
    fn nodes_of_one_hash_are_distinguished() {
        let (web, db) = (Key::from("web"), Key::from("db"));
        let namespaces = |namespace: u32| match namespace {
            0 => NamespaceScope::Any,
            1 => NamespaceScope::None,
            5 => NamespaceScope::OneOrNone(5),
            namespace => NamespaceScope::One(namespace),
        };
        let subjects: Vec<_> = [
            (2, &web, 5),
            (2, &db, 5),
            (3, &web, 6),
            (2, &web, 6),
            (2, &web, 0),
            (2, &db, 0),
            (3, &web, 1),
            (2, &db, 7),
        ]
        .map(|(topic, key, namespace)| Subject { topic, namespaces: namespaces(namespace), key: Some(key.clone()) })
        .into();
        for (first, backwards) in (0..subjects.len()).flat_map(|first| [(first, false), (first, true)]) {
            let order: Vec<_> = (0..subjects.len()).map(|n| (first + n) % subjects.len()).collect();
            let node = |number: usize| {
                let id = NodeId(NonZeroU64::new(number as u64 + 1).expect("above zero"));
                Arc::new(Node::<()>::new(id, Position::ZERO, subjects.get(number).expect("one of them").clone()))
            };
            let mut nodes: Vec<_> = order.iter().map(|number| node(*number)).collect();
            let mut rest = nodes.iter();
            let mut keyed = KeyedBucket::One(Arc::clone(rest.next().expect("some")));
            rest.for_each(|node| keyed.add(Arc::clone(node)));
            if backwards {
                nodes.reverse();
            }
            for (place, gone) in nodes.iter().enumerate() {
                let hits = |namespace, topic, key: &Key| {
                    let mut hits = Vec::new();
                    keyed.hit(namespace, topic, key, &mut |node| hits.push(node.id));
                    hits.sort_unstable();
                    hits
                };
                let left = nodes.get(place..).unwrap_or_default();
                for (namespace, topic, key) in [
                    (Some(5), 2, &web),
                    (Some(6), 3, &web),
                    (Some(6), 2, &db),
                    (Some(1), 2, &web),
                    (Some(1), 3, &web),
                    (None, 2, &db),
                ] {
                    let takes = |subject: &Subject| {
                        let admits = match subject.namespaces {
                            NamespaceScope::OneOrNone(number) => {
                                namespace == Some(number) || namespace == Some(NamespaceScope::NONE)
                            }
                            NamespaceScope::One(number) => namespace == Some(number),
                            NamespaceScope::None => namespace == Some(NamespaceScope::NONE),
                            _ => true,
                        };
                        admits && subject.topic == topic && subject.key.as_ref() == Some(key)
                    };
                    let mut expected: Vec<_> =
                        left.iter().filter(|node| takes(&node.subject)).map(|node| node.id).collect();
                    expected.sort_unstable();
                    assert_eq!(hits(namespace, topic, key), expected, "{namespace:?} {topic} {key}");
                }
                assert!(left.iter().all(|node| keyed.find(&node.subject).is_some_and(|found| found.id == node.id)));
                let last = place + 1 == nodes.len();
                assert_eq!(keyed.remove(gone), last);
            }
        }
    }
}
