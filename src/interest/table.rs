//! Stores all nodes, and looks up those that an event hits.
//! What is done with the nodes that were hit is decided in `hits` and in `core`.
//!
//! Invariants:
//! - a node is stored for as long as at least one subscription uses it, and its names are interned for as long;
//! - there is one node for each distinct subject. [`NamespaceScope::One`] and [`NamespaceScope::OneOrNone`] of one
//!   namespace are not distinct.
//!
//! Callers: `core` and `hits` under the broker's lock. Readers never access the table.

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::bucket::Bucket;
use super::filter::Filter;
use super::hash_table::{HashTable, PHASES};
use super::jumps::{Jumps, NodeId};
use super::keyed::KeyedBucket;
use super::keys::KeyHasher;
use super::names::Names;
use super::node::Node;
use super::shapes::Shapes;
use super::subject::{NamespaceScope, Subject};
use super::terms::{Namespaces, NodeTerm};
use super::wide::WideScopes;
use crate::steps::{Step, count};
use crate::types::event::Event;
use crate::types::name::Key;
use crate::types::position::Position;
use crate::types::term::Scope;

/// All nodes.
#[derive(Debug)]
pub(crate) struct Interest<L> {
    keys: KeyHasher,
    /// The seed of the hash of a namespace and a topic.
    seed: u64,
    /// The number that takes the place of a key's hash in the hash of a node without a key.
    any_key: u64,
    /// Nodes with an exact key, by topic and key.
    keyed: HashTable<KeyedBucket<L>>,
    /// Nodes without a key, by namespace and topic.
    keyless: HashTable<Bucket<L>>,
    /// Nodes of wide scopes.
    wide: WideScopes<L>,
    pub(super) jumps: RefCell<Jumps>,
    topics: Names,
    namespaces: Names,
    nodes: usize,
    pub(super) shapes: Shapes,
    next_id: NonZeroU64,
    /// The latest [`Node::chained_from`]. Batches from there on are linked for every node.
    pub(super) latest_chained_from: Position,
}

/// Folds the product of two numbers into one hash. It is cheap, and mixed as well as either factor.
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
        let [nodes, topics, namespaces] = PHASES;
        Self {
            keys,
            seed,
            any_key,
            keyed: HashTable::new(nodes),
            keyless: HashTable::new(nodes),
            wide: WideScopes::new(),
            jumps: RefCell::default(),
            topics: Names::new(topics),
            namespaces: Names::new(namespaces),
            nodes: 0,
            shapes: Shapes::default(),
            next_id: NonZeroU64::MIN,
            latest_chained_from: Position::ZERO,
        }
    }

    /// Returns the number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.nodes
    }

    /// Returns the part of a hash that depends on a namespace and a topic.
    #[inline]
    fn pair_hash(&self, namespace: u32, topic: u32) -> u64 {
        (u64::from(namespace) << 32 | u64::from(topic)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.seed
    }

    /// Returns the hasher of the nodes' keys.
    pub(crate) fn key_hasher(&self) -> &KeyHasher {
        &self.keys
    }

    /// Returns the hash that a node is found under. With an exact key, whose hash is `key_hash`, it is the same for all
    /// namespaces.
    fn hash(&self, subject: &Subject, key_hash: u64) -> u64 {
        match &subject.key {
            Some(_) => fold(self.pair_hash(NamespaceScope::ANY, subject.topic), key_hash),
            None => fold(self.pair_hash(subject.namespaces.number(), subject.topic), self.any_key),
        }
    }

    /// Adds a subscription to the nodes of a filter's `terms`, and pushes these nodes to `nodes`: one or two for each
    /// term. Nodes that do not exist are created, and their chains begin at `end`, the next position. `scope` is the
    /// number of the filter's wide scope, if it has one. All namespaces of it must have been
    /// [entered](Self::enter_scope).
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
            let topic = topic.map_or(Names::ANY, |topic| self.topics.intern_after(&mut last_topic, topic.text()));
            let namespace = wanted.namespace(filter);
            let namespace = namespace.map(|name| self.namespaces.intern_after(&mut last_namespace, name.text()));
            let namespaces = match (wanted.namespaces, namespace, scope) {
                (Namespaces::Any, ..) => NamespaceScope::Any,
                (Namespaces::One(_), Some(number), _) => NamespaceScope::One(number),
                (Namespaces::OneOrNone, Some(number), _) => NamespaceScope::OneOrNone(number),
                (Namespaces::Scope, _, Some(scope)) => NamespaceScope::Scope(scope),
                _ => NamespaceScope::None,
            };
            let Some(mut node) = wanted.prepared.take() else { continue };
            if let Some(node) = Arc::get_mut(&mut node) {
                (node.subject.topic, node.subject.namespaces) = (topic, namespaces);
            }
            let key_hash = wanted.key_hash;
            let hash = self.hash(&node.subject, key_hash);
            let mut none_node = None;
            if let NamespaceScope::OneOrNone(number) = namespaces
                && let Some(bucket) = self.keyed.get(hash)
            {
                let accepts_none = match bucket.find(&node.subject) {
                    Some(found) => matches!(found.subject.namespaces, NamespaceScope::OneOrNone(_)),
                    None => !bucket.accepts_none(),
                };
                if !accepts_none {
                    none_node = Some(Node::prepared(node.subject.key.clone()));
                    if let Some(node) = Arc::get_mut(&mut node) {
                        node.subject.namespaces = NamespaceScope::One(number);
                    }
                }
            }
            let (joined, spare) = self.join_prepared(node, hash, end);
            nodes.push(joined);
            // If it was not stored, the caller drops it after the lock.
            wanted.prepared = spare;
            if let Some(mut none_node) = none_node {
                // A second node, for events without a namespace.
                (none_node.subject.topic, none_node.subject.namespaces) = (topic, NamespaceScope::None);
                self.topics.retain(topic);
                let (joined, _) = self.join_prepared(Arc::new(none_node), hash, end);
                nodes.push(joined);
            }
        }
    }

    /// Returns the node of a subject whose names have been interned, with one more subscription. If the node existed
    /// already, returns also the prepared one, which is not needed.
    fn join_prepared(
        &mut self,
        mut prepared: Arc<Node<L>>,
        hash: u64,
        end: Position,
    ) -> (Arc<Node<L>>, Option<Arc<Node<L>>>) {
        count(Step::Join, 1);
        if let Some(node) = self.find(hash, &prepared.subject) {
            let node = Arc::clone(node);
            node.add_subscription();
            self.release_names(&prepared.subject);
            return (node, Some(prepared));
        }
        let id = NodeId(self.next_id);
        self.next_id = self.next_id.checked_add(1).expect("fewer than 2^64 terms fit any lifetime");
        self.nodes += 1;
        self.latest_chained_from = end;
        if let Some(node) = Arc::get_mut(&mut prepared) {
            node.begin(id, end);
        }
        let (node, added) = (Arc::clone(&prepared), prepared);
        self.shapes.add(&node.subject);
        if let NamespaceScope::Scope(scope) = node.subject.namespaces {
            self.wide.insert(hash, added);
            self.wide.retain(scope);
        } else if node.subject.key.is_some() {
            match self.keyed.get_mut(hash) {
                Some(nodes) => nodes.add(added),
                None => self.keyed.insert(hash, KeyedBucket::One(added)),
            }
        } else {
            match self.keyless.get_mut(hash) {
                Some(nodes) => nodes.add(added),
                None => self.keyless.insert(hash, Bucket::One(added)),
            }
        }
        (node, None)
    }

    /// Removes one subscription from a node, and the node with its last subscription. `key_hash` is the hash of its
    /// key, if it has one. If the node's wide scope is no longer in use, returns its number. The scope must then be
    /// [taken out](Self::exit_scope).
    pub(crate) fn leave(&mut self, node: &Node<L>, key_hash: u64) -> Option<u32> {
        count(Step::Join, 1);
        if node.remove_subscription() > 0 {
            return None;
        }
        self.nodes -= 1;
        self.shapes.remove(&node.subject);
        self.jumps.get_mut().forget(node.id);
        let hash = self.hash(&node.subject, key_hash);
        let mut unused = None;
        if let NamespaceScope::Scope(scope) = node.subject.namespaces {
            self.wide.remove(hash, &node.subject);
            unused = self.release_scope(scope);
        } else if node.subject.key.is_some() {
            if self.keyed.get_mut(hash).is_some_and(|nodes| nodes.remove(node)) {
                self.keyed.remove(hash);
            }
        } else if self.keyless.get_mut(hash).is_some_and(|nodes| nodes.remove(node)) {
            self.keyless.remove(hash);
        }
        self.release_names(&node.subject);
        unused
    }

    /// Releases the names of a subject.
    fn release_names(&mut self, subject: &Subject) {
        self.topics.release(subject.topic);
        if let Some(number) = subject.namespaces.one() {
            self.namespaces.release(number);
        }
    }

    fn find(&self, hash: u64, subject: &Subject) -> Option<&Arc<Node<L>>> {
        match subject {
            Subject { namespaces: NamespaceScope::Scope(_), .. } => self.wide.find(hash, subject),
            Subject { key: Some(_), .. } => self.keyed.get(hash)?.find(subject),
            Subject { key: None, .. } => self.keyless.get(hash)?.find(subject),
        }
    }

    /// Calls `hit` for each node that an event hits, at least once.
    #[inline]
    pub(super) fn look_up<'i, P>(&'i self, event: &Event<P>, mut hit: impl FnMut(&'i Node<L>)) {
        let shapes = &self.shapes;
        if shapes.is_empty() {
            return;
        }
        let topic = if shapes.has_exact_topics() { self.topics.find(event.topic().text()) } else { None };
        let namespace = if event.namespace().is_empty() {
            Some(NamespaceScope::NONE)
        } else if shapes.has_named() {
            self.namespaces.find(event.namespace().text())
        } else {
            None
        };
        if shapes.has_keyless() {
            for namespace in [Some(NamespaceScope::ANY), namespace].into_iter().flatten() {
                self.look_up_keyless(namespace, topic, &mut hit);
            }
        }
        let present = shapes.keyed();
        let exact = topic.filter(|_| present & Shapes::EXACT_TOPIC != 0);
        let any = (present & Shapes::ANY_TOPIC != 0).then_some(Names::ANY);
        if exact.is_some() || any.is_some() {
            let mut look_up_key = |key| {
                let hash = self.keys.hash(key);
                let mut look_up = |topic| {
                    if let Some(nodes) = self.keyed.get(fold(self.pair_hash(NamespaceScope::ANY, topic), hash)) {
                        nodes.hit(namespace, topic, key, &mut hit);
                    }
                };
                exact.map(&mut look_up);
                any.map(&mut look_up);
            };
            look_up_key(event.key());
            event.filter_keys().iter().for_each(look_up_key);
        }
        if shapes.has_wide() {
            self.look_up_wide(event, namespace, topic, &mut hit);
        }
    }

    /// Does the same for the nodes without a key of one namespace, of any, or of none.
    #[inline]
    fn look_up_keyless<'i>(&'i self, namespace: u32, topic: Option<u32>, hit: &mut impl FnMut(&'i Node<L>)) {
        let present = self.shapes.of_namespace(namespace);
        let exact = topic.filter(|_| present & Shapes::EXACT_TOPIC != 0);
        let any = (present & Shapes::ANY_TOPIC != 0).then_some(Names::ANY);
        for topic in [exact, any].into_iter().flatten() {
            if let Some(nodes) = self.keyless.get(fold(self.pair_hash(namespace, topic), self.any_key)) {
                let nodes = nodes.nodes().iter();
                nodes.filter(|node| node.subject.accepts(namespace, topic)).for_each(|node| hit(node));
            }
        }
    }

    /// Does the same for the nodes of wide scopes. An event without a namespace hits none of them: terms of wide scopes
    /// have another node for these events.
    #[inline(never)]
    fn look_up_wide<'i, P>(
        &'i self,
        event: &Event<P>,
        namespace: Option<u32>,
        topic: Option<u32>,
        hit: &mut impl FnMut(&'i Node<L>),
    ) {
        let Some(scopes) = namespace.and_then(|namespace| self.wide.scopes_of(namespace)) else { return };
        for topic in [topic, Some(Names::ANY)].into_iter().flatten() {
            let pair_hash = self.pair_hash(NamespaceScope::ANY, topic);
            let mut look_up = |key: Option<&Key>| {
                let hash = fold(pair_hash, key.map_or(self.any_key, |key| self.keys.hash(key)));
                let accepts = |subject: &Subject| subject.topic == topic && subject.key.as_ref() == key;
                self.wide.hit(hash, scopes, accepts, hit);
            };
            look_up(None);
            look_up(Some(event.key()));
            event.filter_keys().iter().for_each(|key| look_up(Some(key)));
        }
    }

    /// Returns the wide scopes in use whose names have this hash.
    pub(crate) fn scopes_like(&self, hash: u64) -> Vec<(u32, Arc<Scope>)> {
        self.wide.candidates(hash).map(|(number, scope)| (number, Arc::clone(scope))).collect()
    }

    /// Adds a use of a wide scope, and returns its number. The scope of the number `known` is used if it is still this
    /// scope. Otherwise the scope is added.
    pub(crate) fn use_scope(&mut self, known: Option<u32>, scope: &Arc<Scope>, hash: u64) -> u32 {
        match known {
            Some(number) if self.wide.share(number, scope) => number,
            _ => self.wide.add(scope, hash),
        }
    }

    /// Enters up to `most` more namespaces of a wide scope. Returns whether all are entered. Only then can nodes be
    /// joined.
    pub(crate) fn enter_scope(&mut self, scope: u32, most: usize) -> bool {
        self.wide.enter(scope, most, &mut self.namespaces)
    }

    /// Removes a use of a wide scope. If it was the last use, returns the number. The scope must then be [taken
    /// out](Self::exit_scope).
    pub(crate) fn release_scope(&mut self, scope: u32) -> Option<u32> {
        self.wide.release(scope).then_some(scope)
    }

    /// Takes out up to `most` namespaces of a wide scope that is no longer in use. Returns the scope when the last is
    /// out.
    pub(crate) fn exit_scope(&mut self, scope: u32, most: usize) -> ControlFlow<Option<Arc<Scope>>> {
        self.wide.exit(scope, most, &mut self.namespaces)
    }

    /// Returns whether an event would hit any node.
    pub(crate) fn is_hit_by<P>(&self, event: &Event<P>) -> bool {
        let mut hit = false;
        self.look_up(event, |_| hit = true);
        hit
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests;
