//! The table of nodes, and what an event looks up in it.
//! It belongs to the one writer: everything here runs under the broker's lock.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

use ahash::RandomState;
use smallvec::SmallVec;

use super::bucket::{Bucket, Prehashed};
use super::keyed::Keyed;
use super::names::Names;
use super::node::{Link, Links, Node, NodeId, Side, Subject};
use super::shapes::Shapes;
use super::terms::{Namespaces, NodeTerm};
use crate::event::Event;
use crate::name::{Key, Namespace};
use crate::position::Position;

/// All nodes there are.
#[derive(Debug)]
pub(crate) struct Interest<L> {
    hasher: RandomState,
    /// What the hash of a side and a topic begins with, and the one that stands for any key.
    seed: u64,
    any_key: u64,
    /// Nodes with an exact key, by topic and key.
    keyed: HashMap<u64, Keyed<L>, BuildHasherDefault<Prehashed>>,
    /// Nodes of any key, by side and topic.
    keyless: HashMap<u64, Bucket<L>, BuildHasherDefault<Prehashed>>,
    topics: Names,
    namespaces: Names,
    nodes: usize,
    shapes: Shapes,
    next: NonZeroU64,
    /// The latest [`Node::since`]: what was published later is linked for every node.
    youngest: Position,
}

/// The nodes that a batch hits, each once.
#[derive(Debug)]
pub(crate) struct Hit<'i, L>(SmallVec<[&'i Node<L>; 8]>);

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
        let hasher = RandomState::new();
        let [seed, any_key] = [0_u8, 1].map(|part| hasher.hash_one(part));
        Self {
            hasher,
            seed,
            any_key,
            keyed: HashMap::default(),
            keyless: HashMap::default(),
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

    #[inline]
    fn key_hash(&self, key: &Key) -> u64 {
        // Without the end mark of a text's own hash: nothing else is hashed along with it.
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.as_str().as_bytes());
        hasher.finish()
    }

    /// Where a node is found: with an exact key, whatever its namespaces.
    fn place(&self, subject: &Subject) -> u64 {
        match &subject.key {
            Some(key) => fold(self.half(Side::ANY, subject.topic), self.key_hash(key)),
            None => fold(self.half(subject.side.number(), subject.topic), self.any_key),
        }
    }

    /// The node of a term, made if nobody had subscribed to it. Its chain begins at `end`, the next position.
    pub(crate) fn join(&mut self, term: &NodeTerm, end: Position) -> Arc<Node<L>> {
        let subject = Subject {
            topic: term.term().topic_name().map_or(Names::ANY, |topic| self.topics.enter(topic.as_str())),
            side: match term.namespaces {
                Namespaces::Any => Side::Any,
                Namespaces::None => Side::None,
                Namespaces::One(_) => Side::One(self.namespaces.enter(term.namespace().map_or("", Namespace::as_str))),
                Namespaces::Scope => Side::Scope(Arc::clone(&term.filter)),
            },
            key: term.term().key_name().cloned(),
        };
        let place = self.place(&subject);
        if let Some(node) = self.find(place, &subject) {
            let node = Arc::clone(node);
            node.add_subscription();
            self.forget(&subject);
            return node;
        }
        let id = NodeId(self.next);
        self.next = self.next.checked_add(1).expect("fewer than 2^64 terms fit any lifetime");
        self.nodes += 1;
        self.youngest = end;
        self.shapes.add(&subject);
        let node = Arc::new(Node::new(id, end, subject));
        let added = Arc::clone(&node);
        if node.subject.key.is_some() {
            match self.keyed.entry(place) {
                Entry::Vacant(vacant) => drop(vacant.insert(Keyed::One(added))),
                Entry::Occupied(mut nodes) => nodes.get_mut().add(added),
            }
        } else {
            match self.keyless.entry(place) {
                Entry::Vacant(vacant) => drop(vacant.insert(Bucket::One(added))),
                Entry::Occupied(mut nodes) => nodes.get_mut().add(added),
            }
        }
        node
    }

    /// Takes one subscription off a node, and the node out with the last.
    pub(crate) fn leave(&mut self, node: &Node<L>) {
        if node.remove_subscription() > 0 {
            return;
        }
        self.nodes -= 1;
        if self.nodes == 0 {
            // A burst of subscribers leaves no table behind.
            *self = Self { next: self.next, youngest: self.youngest, ..Self::new() };
            return;
        }
        self.shapes.remove(&node.subject);
        let place = self.place(&node.subject);
        if node.subject.key.is_some() {
            if self.keyed.get_mut(&place).is_some_and(|nodes| nodes.remove(node)) {
                self.keyed.remove(&place);
            }
        } else if self.keyless.get_mut(&place).is_some_and(|nodes| nodes.remove(node)) {
            self.keyless.remove(&place);
        }
        self.forget(&node.subject);
    }

    /// Takes back that the subject's names were entered.
    fn forget(&mut self, subject: &Subject) {
        self.topics.exit(subject.topic);
        if let Side::One(number) = subject.side {
            self.namespaces.exit(number);
        }
    }

    fn find(&self, place: u64, subject: &Subject) -> Option<&Arc<Node<L>>> {
        match subject.key {
            Some(_) => self.keyed.get(&place)?.find(subject),
            None => self.keyless.get(&place)?.nodes().iter().find(|node| node.subject == *subject),
        }
    }

    /// The nodes that an event hits, each at least once.
    #[inline]
    fn look_up<'i, P>(&'i self, event: &Event<P>, mut hit: impl FnMut(&'i Node<L>)) {
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
                self.look_up_keyless(event, side, topic, &mut hit);
            }
        }
        let present = shapes.keyed();
        let exact = topic.filter(|_| present & Shapes::EXACT_TOPIC != 0);
        let any = (present & Shapes::ANY_TOPIC != 0).then_some(Names::ANY);
        if exact.is_some() || any.is_some() {
            let mut look_up_key = |key| {
                let hash = self.key_hash(key);
                let mut look_up = |topic| {
                    if let Some(nodes) = self.keyed.get(&fold(self.half(Side::ANY, topic), hash)) {
                        nodes.hit(event, side, topic, key, &mut hit);
                    }
                };
                exact.map(&mut look_up);
                any.map(&mut look_up);
            };
            look_up_key(event.key());
            event.filter_keys().iter().for_each(look_up_key);
        }
    }

    /// The same of nodes of any key, under one side.
    #[inline]
    fn look_up_keyless<'i, P>(
        &'i self,
        event: &Event<P>,
        side: u32,
        topic: Option<u32>,
        hit: &mut impl FnMut(&'i Node<L>),
    ) {
        let present = self.shapes.of_side(side);
        let exact = topic.filter(|_| present & Shapes::EXACT_TOPIC != 0);
        let any = (present & Shapes::ANY_TOPIC != 0).then_some(Names::ANY);
        for topic in [exact, any].into_iter().flatten() {
            if let Some(nodes) = self.keyless.get(&fold(self.half(side, topic), self.any_key)) {
                let nodes = nodes.nodes().iter();
                nodes.filter(|node| node.subject.takes(event, side, topic)).for_each(|node| hit(node));
            }
        }
    }

    /// Stores a batch at `position` with the links of what it hits. [`Hit::extend`] must follow, once readers can find
    /// what was stored.
    ///
    /// `hit` begins empty. `store` is called in one of several places, because a batch is then built where it goes:
    /// copying the links of one hit into it took 5 % of a publish, and copying none 8 %.
    #[inline]
    pub(crate) fn link<'i, P, E: AsRef<[Event<P>]>, R>(
        &'i self,
        position: Position,
        events: E,
        hit: &mut Hit<'i, L>,
        store: impl FnOnce(E, Links) -> R,
    ) -> R {
        if self.shapes.is_empty() {
            return store(events, Links::None);
        }
        let Hit(nodes) = hit;
        let [event] = events.as_ref() else {
            let links = self.link_many(position, events.as_ref(), nodes);
            return store(events, links);
        };
        self.look_up(event, |node| nodes.push(node));
        match nodes.as_slice() {
            [] => store(events, Links::None),
            [node] => store(events, Links::One(node.link(position, Link::ALL))),
            _ => {
                // An event can hit a node by several keys.
                nodes.sort_unstable_by_key(|node| node.id);
                nodes.dedup_by_key(|node| node.id);
                let mut links = SmallVec::with_capacity(nodes.len());
                links.extend(nodes.iter().map(|node| node.link(position, Link::ALL)));
                store(events, Links::new(links, Vec::new()))
            }
        }
    }

    #[inline(never)]
    fn link_many<'i, P>(
        &'i self,
        position: Position,
        events: &[Event<P>],
        nodes: &mut SmallVec<[&'i Node<L>; 8]>,
    ) -> Links {
        let mut hits = SmallVec::<[(&Node<L>, u32); 8]>::new();
        if events.len() > hits.inline_size() {
            // At once: growing would allocate again and again.
            hits.reserve(events.len());
        }
        for (event, ordinal) in events.iter().zip(0_u32..) {
            self.look_up(event, |node| hits.push((node, ordinal)));
        }
        hits.sort_unstable_by_key(|(node, event)| (node.id, *event));
        hits.dedup_by_key(|(node, event)| (node.id, *event));
        let count = hits.chunk_by(|a, b| a.0.id == b.0.id).count();
        let mut links = SmallVec::with_capacity(count);
        nodes.reserve_exact(count);
        let listed = events.len() > Links::BITS;
        let mut ordinals = Vec::with_capacity(if listed { hits.len() } else { 0 });
        for same in hits.chunk_by(|a, b| a.0.id == b.0.id) {
            let Some((node, _)) = same.first() else { continue };
            let events = if same.len() == events.len() {
                Link::ALL
            } else if listed {
                let start = ordinals.len() as u64;
                ordinals.extend(same.iter().map(|(_, event)| event));
                start << 32 | same.len() as u64
            } else {
                same.iter().fold(0, |bits, (_, event)| bits | 1 << event)
            };
            links.push(node.link(position, events));
            nodes.push(*node);
        }
        Links::new(links, ordinals)
    }

    /// Whether evicting from this position on has to be [noted](Self::note_evicted).
    #[inline]
    pub(crate) fn notes_evicted(&self, oldest: Position) -> bool {
        oldest < self.youngest
    }

    /// Notes that a batch goes out of reach in the nodes that it hit, if some node's chain it is too old for.
    ///
    /// Also in older nodes: a reader of an old and a young node scans what is older than either. Readers still take
    /// `oldest` for what is oldest.
    pub(crate) fn note_evicted<P>(&self, position: Position, oldest: Position, events: &[Event<P>]) {
        if position >= self.youngest {
            return;
        }
        for event in events {
            self.look_up(event, |node| node.note_evicted(position, oldest));
        }
    }

    /// Whether an event would hit anything.
    pub(crate) fn is_hit_by<P>(&self, event: &Event<P>) -> bool {
        let mut hit = false;
        self.look_up(event, |_| hit = true);
        hit
    }
}

impl<'i, L> Hit<'i, L> {
    /// Nothing.
    #[inline]
    pub(crate) fn new() -> Self {
        Self(SmallVec::new())
    }

    #[inline]
    pub(crate) fn nodes(&self) -> &[&'i Node<L>] {
        &self.0
    }

    /// Extends the chains to the batch at `position`, whose links have been stored.
    pub(crate) fn extend(&self, position: Position) {
        for node in &self.0 {
            node.chain.extend(position);
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use crate::interest::node_terms;
    use crate::request::{Request, Term};

    /// The nodes of one key in many namespaces share a hash. Each is found until it is left, in whatever order.
    #[test]
    fn nodes_of_one_hash_come_and_go_in_any_order() {
        const NODES: usize = 7;
        let event = Event::new("Job", "JobRegistered", "web", ());
        for step in 1..NODES {
            let mut interest = Interest::<()>::new();
            let mut nodes = Vec::new();
            for number in 0..NODES {
                let term = Term::new("Job", "web").expect("a term");
                let mut request = Request::<()>::new().term(term).namespace(format!("n{number}"));
                let filter = Arc::new(Filter::new(&mut request).expect("a request"));
                let terms: Vec<_> = node_terms(&filter).collect();
                nodes.extend(terms.iter().map(|term| interest.join(term, Position::ZERO)));
            }
            let mut place = 0;
            while !nodes.is_empty() {
                place = (place + step) % nodes.len();
                interest.leave(&nodes.remove(place));
                assert_eq!(interest.len(), nodes.len());
                let mut hit = Vec::new();
                interest.look_up(&event, |node| hit.push(node.id));
                hit.sort_unstable();
                assert!(hit.iter().eq(nodes.iter().map(|node| &node.id)), "{step}: {hit:?}");
            }
        }
    }
}
