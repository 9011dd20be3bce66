//! What the table holds under one key of one topic: the nodes of all namespaces that the term was asked for in.
//! How a hash is made, and which kinds of term there are, is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bucket::Bucket;
use super::node::{Node, Side, Subject};
use crate::event::Event;
use crate::name::Key;

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
    /// Of any namespace, or of some; and those whose place is taken by what hashes alike.
    others: Option<Bucket<L>>,
}

impl<L> Keyed<L> {
    /// The nodes that an event hits by this key, if it was looked for in the namespace of number `side`.
    #[inline]
    pub(super) fn hit<'i, P>(
        &'i self,
        event: &Event<P>,
        side: Option<u32>,
        topic: u32,
        key: &Key,
        hit: &mut impl FnMut(&'i Node<L>),
    ) {
        match self {
            Self::One(node) => {
                if node.subject.takes_by_key(event, side, topic, key) {
                    hit(node);
                }
            }
            Self::Many(several) => several.hit(event, side, topic, key, hit),
        }
    }

    /// The node of exactly this subject.
    pub(super) fn find(&self, subject: &Subject) -> Option<&Arc<Node<L>>> {
        let is = |node: &&Arc<Node<L>>| node.subject == *subject;
        match self {
            Self::One(node) => Some(node).filter(is),
            Self::Many(several) => {
                let named = if let Side::One(number) = &subject.side { several.named.get(number) } else { None };
                named.filter(is).or_else(|| several.others.as_ref()?.nodes().iter().find(is))
            }
        }
    }

    pub(super) fn add(&mut self, node: Arc<Node<L>>) {
        if let Self::One(first) = self {
            let mut several = Several { named: BTreeMap::new(), others: None };
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
    fn hit<'i, P>(
        &'i self,
        event: &Event<P>,
        side: Option<u32>,
        topic: u32,
        key: &Key,
        hit: &mut impl FnMut(&'i Node<L>),
    ) {
        let named = match side {
            // Under an exact key each takes what has no namespace, too.
            Some(Side::NONE) => self.named.range(..),
            Some(number) => self.named.range(number..=number),
            None => self.named.range(..0),
        };
        let others = self.others.as_ref().map_or(&[][..], Bucket::nodes);
        for node in named.map(|(_, node)| node).chain(others) {
            if node.subject.takes_by_key(event, side, topic, key) {
                hit(node);
            }
        }
    }

    fn add(&mut self, node: Arc<Node<L>>) {
        if let Side::One(number) = node.subject.side
            && !self.named.contains_key(&number)
        {
            self.named.insert(number, node);
            return;
        }
        match &mut self.others {
            Some(others) => others.add(node),
            None => self.others = Some(Bucket::One(node)),
        }
    }

    fn remove(&mut self, node: &Node<L>) {
        if let Side::One(number) = node.subject.side
            && self.named.get(&number).is_some_and(|named| named.id == node.id)
        {
            self.named.remove(&number);
        } else if self.others.as_mut().is_some_and(|others| others.remove(node)) {
            self.others = None;
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::num::NonZeroU64;

    use super::super::node::NodeId;
    use super::*;
    use crate::position::Position;

    /// Hashes that collide are no reason to mix terms up: nodes of other keys, topics and namespaces that lie together
    /// are hit, found and taken out each by itself, in whatever order they came.
    #[test]
    fn what_hashes_alike_is_told_apart() {
        let (web, db) = (Key::from("web"), Key::from("db"));
        let side = |namespace: u32| if namespace == 0 { Side::Any } else { Side::One(namespace) };
        let subjects: Vec<_> = [(2, &web, 5), (2, &db, 5), (3, &web, 5), (2, &web, 6), (2, &web, 0), (2, &db, 0)]
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
                    let event = Event::new("Job", "JobRegistered", key.clone(), ());
                    let mut hits = Vec::new();
                    keyed.hit(&event, side, topic, key, &mut |node| hits.push(node.id));
                    hits.sort_unstable();
                    hits
                };
                let left = nodes.get(place..).unwrap_or_default();
                for (side, topic, key) in
                    [(Some(5), 2, &web), (Some(5), 3, &web), (Some(6), 2, &db), (Some(1), 2, &web), (None, 2, &db)]
                {
                    let takes = |subject: &Subject| {
                        let admits = match subject.side {
                            Side::One(number) => side == Some(number) || side == Some(Side::NONE),
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
