//! What the table holds under one key of one topic: the nodes of all namespaces that the term was asked for in.
//! How a hash is made, and which kinds of term there are, is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bucket::Bucket;
use super::node::{Node, Side, Subject};
use crate::types::name::Key;

/// The nodes of one key and topic, and, by accident, of others that hash alike. Nearly always one.
#[derive(Debug)]
pub(super) enum Keyed<L> {
    One(Arc<Node<L>>),
    Many(Box<Several<L>>),
}

/// An event finds the node of its namespace without looking at those of all others.
#[derive(Debug)]
pub(super) struct Several<L> {
    /// Of one namespace each, by its number.
    named: BTreeMap<u32, Arc<Node<L>>>,
    /// The namespace whose node takes events without a namespace as well, if one of `named` does.
    or_none: Option<u32>,
    /// Of any namespace, or of none; and those whose place is taken by what hashes alike.
    others: Option<Bucket<L>>,
}

impl<L> Keyed<L> {
    /// The nodes that an event hits by this key, if it was looked for in the namespace of number `side`.
    #[inline]
    pub(super) fn hit<'i>(&'i self, side: Option<u32>, topic: u32, key: &Key, hit: &mut impl FnMut(&'i Node<L>)) {
        match self {
            Self::One(node) => {
                if node.subject.takes_by_key(side, topic, key) {
                    hit(node);
                }
            }
            Self::Many(several) => several.hit(side, topic, key, hit),
        }
    }

    /// The node of exactly this subject.
    pub(super) fn find(&self, subject: &Subject) -> Option<&Arc<Node<L>>> {
        match self {
            Self::One(node) => Some(node).filter(|node| node.subject == *subject),
            Self::Many(several) => {
                let named = subject.side.one().and_then(|number| several.named.get(&number));
                let named = named.filter(|node| node.subject == *subject);
                named.or_else(|| several.others.as_ref()?.find(subject))
            }
        }
    }

    /// Whether an event without a namespace hits a node here that is no wildcard's.
    ///
    /// It must hit one at most, however many namespaces the key was asked for in. So whoever comes second shares a node
    /// for such events, and only the first has one for both.
    pub(super) fn takes_none(&self) -> bool {
        let takes = |node: &Arc<Node<L>>| matches!(node.subject.side, Side::None | Side::OneOrNone(_));
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
            let mut several = Several { named: BTreeMap::new(), or_none: None, others: None };
            several.add(Arc::clone(first));
            *self = Self::Many(Box::new(several));
        }
        if let Self::Many(several) = self {
            several.add(node);
        }
    }

    /// Takes a node out. Whether it was the last.
    pub(super) fn remove(&mut self, node: &Node<L>) -> bool {
        let Self::Many(several) = self else { return true };
        several.remove(node);
        several.named.is_empty() && several.others.is_none()
    }
}

impl<L> Several<L> {
    #[inline(never)]
    fn hit<'i>(&'i self, side: Option<u32>, topic: u32, key: &Key, hit: &mut impl FnMut(&'i Node<L>)) {
        let number = if side == Some(Side::NONE) { self.or_none } else { side };
        let named = number.and_then(|number| self.named.get(&number));
        let others = self.others.as_ref().map_or(&[][..], Bucket::nodes);
        for node in named.into_iter().chain(others) {
            if node.subject.takes_by_key(side, topic, key) {
                hit(node);
            }
        }
    }

    fn add(&mut self, node: Arc<Node<L>>) {
        if let Some(number) = node.subject.side.one()
            && !self.named.contains_key(&number)
        {
            if let Side::OneOrNone(number) = node.subject.side
                && self.or_none.is_none()
            {
                self.or_none = Some(number);
            } else if let Side::OneOrNone(_) = node.subject.side {
                // By accident: the place is that of another key.
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
        if let Some(number) = node.subject.side.one()
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

    /// Hashes that collide are no reason to mix terms up: nodes of other keys, topics and namespaces that lie together
    /// are hit, found and taken out each by itself, in whatever order they came.
    #[test]
    fn what_hashes_alike_is_told_apart() {
        let (web, db) = (Key::from("web"), Key::from("db"));
        let side = |namespace: u32| match namespace {
            0 => Side::Any,
            1 => Side::None,
            5 => Side::OneOrNone(5),
            namespace => Side::One(namespace),
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
        .map(|(topic, key, namespace)| Subject { topic, side: side(namespace), key: Some(key.clone()) })
        .into();
        for (first, backwards) in (0..subjects.len()).flat_map(|first| [(first, false), (first, true)]) {
            let order: Vec<_> = (0..subjects.len()).map(|n| (first + n) % subjects.len()).collect();
            let node = |number: usize| {
                let id = NodeId(NonZeroU64::new(number as u64 + 1).expect("above zero"));
                Arc::new(Node::<()>::new(id, Position::ZERO, subjects.get(number).expect("one of them").clone()))
            };
            let mut nodes: Vec<_> = order.iter().map(|number| node(*number)).collect();
            let mut rest = nodes.iter();
            let mut keyed = Keyed::One(Arc::clone(rest.next().expect("some")));
            rest.for_each(|node| keyed.add(Arc::clone(node)));
            if backwards {
                nodes.reverse();
            }
            for (place, gone) in nodes.iter().enumerate() {
                let hits = |side, topic, key: &Key| {
                    let mut hits = Vec::new();
                    keyed.hit(side, topic, key, &mut |node| hits.push(node.id));
                    hits.sort_unstable();
                    hits
                };
                let left = nodes.get(place..).unwrap_or_default();
                for (side, topic, key) in [
                    (Some(5), 2, &web),
                    (Some(6), 3, &web),
                    (Some(6), 2, &db),
                    (Some(1), 2, &web),
                    (Some(1), 3, &web),
                    (None, 2, &db),
                ] {
                    let takes = |subject: &Subject| {
                        let admits = match subject.side {
                            Side::OneOrNone(number) => side == Some(number) || side == Some(Side::NONE),
                            Side::One(number) => side == Some(number),
                            Side::None => side == Some(Side::NONE),
                            _ => true,
                        };
                        admits && subject.topic == topic && subject.key.as_ref() == Some(key)
                    };
                    let mut expected: Vec<_> =
                        left.iter().filter(|node| takes(&node.subject)).map(|node| node.id).collect();
                    expected.sort_unstable();
                    assert_eq!(hits(side, topic, key), expected, "{side:?} {topic} {key}");
                }
                assert!(left.iter().all(|node| keyed.find(&node.subject).is_some_and(|found| found.id == node.id)));
                let last = place + 1 == nodes.len();
                assert_eq!(keyed.remove(gone), last);
            }
        }
    }
}
