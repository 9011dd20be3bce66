//! The table of nodes, and what an event looks up in it.
//! It belongs to the one writer: everything here runs under the broker's lock.

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::bucket::Bucket;
use super::filter::Filter;
use super::hashed::Table;
use super::jumps::{Jumps, NodeId};
use super::keyed::Keyed;
use super::keys::KeyHasher;
use super::names::Names;
use super::node::{Node, Side, Subject};
use super::shapes::Shapes;
use super::terms::{Namespaces, NodeTerm};
use super::wide::Wide;
use crate::steps::{Step, count};
use crate::types::event::Event;
use crate::types::name::Key;
use crate::types::position::Position;
use crate::types::term::Scope;

/// All nodes there are.
#[derive(Debug)]
pub(crate) struct Interest<L> {
    keys: KeyHasher,
    /// What the hash of a side and a topic begins with, and the one that stands for any key.
    seed: u64,
    any_key: u64,
    /// Nodes with an exact key, by topic and key.
    keyed: Table<Keyed<L>>,
    /// Nodes of any key, by side and topic.
    keyless: Table<Bucket<L>>,
    /// Nodes of wide scopes.
    wide: Wide<L>,
    pub(super) jumps: RefCell<Jumps>,
    topics: Names,
    namespaces: Names,
    nodes: usize,
    pub(super) shapes: Shapes,
    next: NonZeroU64,
    /// The latest [`Node::since`]: what was published later is linked for every node.
    pub(super) youngest: Position,
}

/// Two halves of a product: cheap, and as good as either factor.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let halves = product as u64 ^ (product >> 64) as u64;
    halves
}

impl<L: Default> Interest<L> {
    pub(crate) fn new() -> Self {
        let keys = KeyHasher::new();
        let [seed, any_key] = keys.seeds();
        Self {
            keys,
            seed,
            any_key,
            keyed: Table::new(),
            keyless: Table::new(),
            wide: Wide::new(),
            jumps: RefCell::default(),
            topics: Names::new(),
            namespaces: Names::new(),
            nodes: 0,
            shapes: Shapes::default(),
            next: NonZeroU64::MIN,
            youngest: Position::ZERO,
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes
    }

    /// What the hashes of a side and a topic have in common.
    #[inline]
    fn half(&self, side: u32, topic: u32) -> u64 {
        (u64::from(side) << 32 | u64::from(topic)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.seed
    }

    /// What the keys of nodes are hashed with.
    pub(crate) fn key_hasher(&self) -> &KeyHasher {
        &self.keys
    }

    /// Where a node is found: with an exact key, whose hash this is, whatever its namespaces.
    fn place(&self, subject: &Subject, key_hash: u64) -> u64 {
        match &subject.key {
            Some(_) => fold(self.half(Side::ANY, subject.topic), key_hash),
            None => fold(self.half(subject.side.number(), subject.topic), self.any_key),
        }
    }

    /// Adds the nodes of terms of a filter to `nodes`, one or two each, made if nobody had subscribed to them. Their
    /// chains begin at `end`, the next position. `scope` is the number of the filter's wide scope, if it has one, whose
    /// namespaces have all been [entered](Self::enter_scope).
    pub(crate) fn join(
        &mut self,
        filter: &Filter,
        terms: &mut [NodeTerm<L>],
        scope: Option<u32>,
        end: Position,
        nodes: &mut Vec<Arc<Node<L>>>,
    ) {
        let (mut last_topic, mut last_namespace) = (None, None);
        for wanted in terms {
            let topic = wanted.term(filter).topic_name();
            let topic = topic.map_or(Names::ANY, |topic| self.topics.enter_after(&mut last_topic, topic.text()));
            let namespace = wanted.namespace(filter);
            let namespace = namespace.map(|name| self.namespaces.enter_after(&mut last_namespace, name.text()));
            let side = match (wanted.namespaces, namespace, scope) {
                (Namespaces::Any, ..) => Side::Any,
                (Namespaces::One(_), Some(number), _) => Side::One(number),
                (Namespaces::OneOrNone, Some(number), _) => Side::OneOrNone(number),
                (Namespaces::Scope, _, Some(scope)) => Side::Scope(scope),
                _ => Side::None,
            };
            let Some(mut node) = wanted.prepared.take() else { continue };
            if let Some(node) = Arc::get_mut(&mut node) {
                (node.subject.topic, node.subject.side) = (topic, side);
            }
            let key_hash = wanted.key_hash;
            let place = self.place(&node.subject, key_hash);
            let mut beside = None;
            if let Side::OneOrNone(number) = side
                && let Some(alike) = self.keyed.get(place)
            {
                let takes_none = match alike.find(&node.subject) {
                    Some(found) => matches!(found.subject.side, Side::OneOrNone(_)),
                    None => !alike.takes_none(),
                };
                if !takes_none {
                    beside = Some(Node::prepared(node.subject.key.clone()));
                    if let Some(node) = Arc::get_mut(&mut node) {
                        node.subject.side = Side::One(number);
                    }
                }
            }
            let (joined, spare) = self.join_prepared(node, place, end);
            nodes.push(joined);
            // It is dropped when the lock is gone.
            wanted.prepared = spare;
            if let Some(mut beside) = beside {
                // For events without a namespace.
                (beside.subject.topic, beside.subject.side) = (topic, Side::None);
                self.topics.retain(topic);
                let (joined, _) = self.join_prepared(Arc::new(beside), place, end);
                nodes.push(joined);
            }
        }
    }

    /// The node of a subject whose names have been entered, and the one that was prepared for it if there is another
    /// already.
    fn join_prepared(
        &mut self,
        mut prepared: Arc<Node<L>>,
        place: u64,
        end: Position,
    ) -> (Arc<Node<L>>, Option<Arc<Node<L>>>) {
        count(Step::Join, 1);
        if let Some(node) = self.find(place, &prepared.subject) {
            let node = Arc::clone(node);
            node.add_subscription();
            self.forget(&prepared.subject);
            return (node, Some(prepared));
        }
        let id = NodeId(self.next);
        self.next = self.next.checked_add(1).expect("fewer than 2^64 terms fit any lifetime");
        self.nodes += 1;
        self.youngest = end;
        if let Some(node) = Arc::get_mut(&mut prepared) {
            node.begin(id, end);
        }
        let (node, added) = (Arc::clone(&prepared), prepared);
        self.shapes.add(&node.subject);
        if let Side::Scope(scope) = node.subject.side {
            self.wide.insert(place, added);
            self.wide.retain(scope);
        } else if node.subject.key.is_some() {
            match self.keyed.get_mut(place) {
                Some(nodes) => nodes.add(added),
                None => self.keyed.insert(place, Keyed::One(added)),
            }
        } else {
            match self.keyless.get_mut(place) {
                Some(nodes) => nodes.add(added),
                None => self.keyless.insert(place, Bucket::One(added)),
            }
        }
        (node, None)
    }

    /// Takes one subscription off a node, and the node out with the last. If with it nobody uses a wide scope any more,
    /// that is returned, to be [taken out](Self::exit_scope). `key_hash` is that of its key, if it has one.
    pub(crate) fn leave(&mut self, node: &Node<L>, key_hash: u64) -> Option<u32> {
        count(Step::Join, 1);
        if node.remove_subscription() > 0 {
            return None;
        }
        self.nodes -= 1;
        self.shapes.remove(&node.subject);
        self.jumps.get_mut().forget(node.id);
        let place = self.place(&node.subject, key_hash);
        let mut unused = None;
        if let Side::Scope(scope) = node.subject.side {
            self.wide.remove(place, &node.subject);
            unused = self.release_scope(scope);
        } else if node.subject.key.is_some() {
            if self.keyed.get_mut(place).is_some_and(|nodes| nodes.remove(node)) {
                self.keyed.remove(place);
            }
        } else if self.keyless.get_mut(place).is_some_and(|nodes| nodes.remove(node)) {
            self.keyless.remove(place);
        }
        self.forget(&node.subject);
        unused
    }

    /// Takes back that the subject's names were entered.
    fn forget(&mut self, subject: &Subject) {
        self.topics.exit(subject.topic);
        if let Some(number) = subject.side.one() {
            self.namespaces.exit(number);
        }
    }

    fn find(&self, place: u64, subject: &Subject) -> Option<&Arc<Node<L>>> {
        match subject {
            Subject { side: Side::Scope(_), .. } => self.wide.find(place, subject),
            Subject { key: Some(_), .. } => self.keyed.get(place)?.find(subject),
            Subject { key: None, .. } => self.keyless.get(place)?.find(subject),
        }
    }

    /// The nodes that an event hits, each at least once.
    #[inline]
    pub(super) fn look_up<'i, P>(&'i self, event: &Event<P>, mut hit: impl FnMut(&'i Node<L>)) {
        let shapes = &self.shapes;
        if shapes.is_empty() {
            return;
        }
        let topic = if shapes.has_exact_topics() { self.topics.find(event.topic().text()) } else { None };
        let side = if event.namespace().is_empty() {
            Some(Side::NONE)
        } else if shapes.has_named() {
            self.namespaces.find(event.namespace().text())
        } else {
            None
        };
        if shapes.has_keyless() {
            for side in [Some(Side::ANY), side].into_iter().flatten() {
                self.look_up_keyless(side, topic, &mut hit);
            }
        }
        let present = shapes.keyed();
        let exact = topic.filter(|_| present & Shapes::EXACT_TOPIC != 0);
        let any = (present & Shapes::ANY_TOPIC != 0).then_some(Names::ANY);
        if exact.is_some() || any.is_some() {
            let mut look_up_key = |key| {
                let hash = self.keys.hash(key);
                let mut look_up = |topic| {
                    if let Some(nodes) = self.keyed.get(fold(self.half(Side::ANY, topic), hash)) {
                        nodes.hit(side, topic, key, &mut hit);
                    }
                };
                exact.map(&mut look_up);
                any.map(&mut look_up);
            };
            look_up_key(event.key());
            event.filter_keys().iter().for_each(look_up_key);
        }
        if shapes.has_wide() {
            self.look_up_wide(event, side, topic, &mut hit);
        }
    }

    /// The same of nodes of any key, under one side.
    #[inline]
    fn look_up_keyless<'i>(&'i self, side: u32, topic: Option<u32>, hit: &mut impl FnMut(&'i Node<L>)) {
        let present = self.shapes.of_side(side);
        let exact = topic.filter(|_| present & Shapes::EXACT_TOPIC != 0);
        let any = (present & Shapes::ANY_TOPIC != 0).then_some(Names::ANY);
        for topic in [exact, any].into_iter().flatten() {
            if let Some(nodes) = self.keyless.get(fold(self.half(side, topic), self.any_key)) {
                let nodes = nodes.nodes().iter();
                nodes.filter(|node| node.subject.takes(side, topic)).for_each(|node| hit(node));
            }
        }
    }

    /// The same of nodes of wide scopes. Those have other nodes for events without a namespace.
    #[inline(never)]
    fn look_up_wide<'i, P>(
        &'i self,
        event: &Event<P>,
        side: Option<u32>,
        topic: Option<u32>,
        hit: &mut impl FnMut(&'i Node<L>),
    ) {
        let Some(scopes) = side.and_then(|side| self.wide.scopes_of(side)) else { return };
        for topic in [topic, Some(Names::ANY)].into_iter().flatten() {
            let half = self.half(Side::ANY, topic);
            let mut look_up = |key: Option<&Key>| {
                let place = fold(half, key.map_or(self.any_key, |key| self.keys.hash(key)));
                let is = |subject: &Subject| subject.topic == topic && subject.key.as_ref() == key;
                self.wide.hit(place, scopes, is, hit);
            };
            look_up(None);
            look_up(Some(event.key()));
            event.filter_keys().iter().for_each(|key| look_up(Some(key)));
        }
    }

    /// The wide scopes in use whose names have this hash.
    pub(crate) fn scopes_like(&self, hash: u64) -> Vec<(u32, Arc<Scope>)> {
        self.wide.candidates(hash).map(|(number, scope)| (number, Arc::clone(scope))).collect()
    }

    /// A use of a wide scope: that of the number known, if it still has that, or a new one.
    pub(crate) fn use_scope(&mut self, known: Option<u32>, scope: &Arc<Scope>, hash: u64) -> u32 {
        match known {
            Some(number) if self.wide.share(number, scope) => number,
            _ => self.wide.add(scope, hash),
        }
    }

    /// Enters up to so many more namespaces of a wide scope. Whether all are, so that nodes can be joined.
    pub(crate) fn enter_scope(&mut self, scope: u32, most: usize) -> bool {
        self.wide.enter(scope, most, &mut self.namespaces)
    }

    /// Takes back a use of a wide scope. If it was the last, the scope is returned, to be taken out.
    pub(crate) fn release_scope(&mut self, scope: u32) -> Option<u32> {
        self.wide.release(scope).then_some(scope)
    }

    /// Takes out up to so many namespaces of a wide scope that nobody uses. When it is gone it is returned.
    pub(crate) fn exit_scope(&mut self, scope: u32, most: usize) -> ControlFlow<Option<Arc<Scope>>> {
        self.wide.exit(scope, most, &mut self.namespaces)
    }

    /// Whether an event would hit anything.
    pub(crate) fn is_hit_by<P>(&self, event: &Event<P>) -> bool {
        let mut hit = false;
        self.look_up(event, |_| hit = true);
        hit
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests;
