//! The table of nodes, and what an event looks up in it.
//! It belongs to the one writer: everything here runs under the broker's lock.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

use ahash::RandomState;
use smallvec::SmallVec;

use super::bucket::Bucket;
use super::hashed::Table;
use super::jumps::Jumps;
use super::keyed::Keyed;
use super::names::Names;
use super::node::{Link, Links, Node, NodeId, Side, Subject};
use super::shapes::Shapes;
use super::terms::{Namespaces, NodeTerm};
use super::wide::Wide;
use crate::event::Event;
use crate::filter::Filter;
use crate::name::Key;
use crate::position::Position;
use crate::steps::{Step, count};

/// All nodes there are.
#[derive(Debug)]
pub(crate) struct Interest<L> {
    hasher: RandomState,
    /// What the hash of a side and a topic begins with, and the one that stands for any key.
    seed: u64,
    any_key: u64,
    /// Nodes with an exact key, by topic and key.
    keyed: Table<Keyed<L>>,
    /// Nodes of any key, by side and topic.
    keyless: Table<Bucket<L>>,
    /// Nodes of wide scopes.
    wide: Wide<L>,
    jumps: RefCell<Jumps>,
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

    /// Adds the nodes of a term to `nodes`, one or two, made if nobody had subscribed to them. Their chains begin at
    /// `end`, the next position. `scope` is the number of the wide scope that the term was asked for in, if it is one,
    /// whose namespaces have all been [entered](Self::enter_scope).
    pub(crate) fn join(&mut self, term: &NodeTerm, scope: Option<u32>, end: Position, nodes: &mut Vec<Arc<Node<L>>>) {
        let namespace = term.namespace().map(|name| self.namespaces.enter(name.text()));
        let side = match (term.namespaces, namespace, scope) {
            (Namespaces::Any, ..) => Side::Any,
            (Namespaces::One(_), Some(number), _) => Side::One(number),
            (Namespaces::OneOrNone, Some(number), _) => Side::OneOrNone(number),
            (Namespaces::Scope, _, Some(scope)) => Side::Scope(scope),
            _ => Side::None,
        };
        let subject = self.subject(term, side);
        if !matches!(side, Side::OneOrNone(_)) {
            nodes.push(self.join_subject(subject, end));
            return;
        }
        let place = self.place(&subject);
        let alike = self.keyed.get(place);
        let side = match alike.and_then(|nodes| nodes.find(&subject)) {
            Some(found) => found.subject.side,
            None if alike.is_some_and(Keyed::takes_none) => Side::One(namespace.unwrap_or_default()),
            None => side,
        };
        nodes.push(self.join_subject(Subject { side, ..subject }, end));
        if let Side::One(_) = side {
            let none = self.subject(term, Side::None);
            nodes.push(self.join_subject(none, end));
        }
    }

    /// The subject of a term in these namespaces. Its topic is entered.
    fn subject(&mut self, term: &NodeTerm, side: Side) -> Subject {
        let topic = term.term().topic_name().map_or(Names::ANY, |topic| self.topics.enter(topic.text()));
        Subject { topic, side, key: term.term().key_name().cloned() }
    }

    /// The node of a subject whose names have been entered.
    fn join_subject(&mut self, subject: Subject, end: Position) -> Arc<Node<L>> {
        count(Step::Join, 1);
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
        node
    }

    /// Takes one subscription off a node, and the node out with the last. If with it nobody uses a wide scope any more,
    /// that is returned, to be [taken out](Self::exit_scope).
    pub(crate) fn leave(&mut self, node: &Node<L>) -> Option<u32> {
        count(Step::Join, 1);
        if node.remove_subscription() > 0 {
            return None;
        }
        self.nodes -= 1;
        self.shapes.remove(&node.subject);
        self.jumps.get_mut().forget(node.id);
        let place = self.place(&node.subject);
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
                self.look_up_keyless(side, topic, &mut hit);
            }
        }
        let present = shapes.keyed();
        let exact = topic.filter(|_| present & Shapes::EXACT_TOPIC != 0);
        let any = (present & Shapes::ANY_TOPIC != 0).then_some(Names::ANY);
        if exact.is_some() || any.is_some() {
            let mut look_up_key = |key| {
                let hash = self.key_hash(key);
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
                let place = fold(half, key.map_or(self.any_key, |key| self.key_hash(key)));
                let is = |subject: &Subject| subject.topic == topic && subject.key.as_ref() == key;
                self.wide.hit(place, scopes, is, hit);
            };
            look_up(None);
            look_up(Some(event.key()));
            event.filter_keys().iter().for_each(|key| look_up(Some(key)));
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
        count(Step::Hit, nodes.len());
        match nodes.as_slice() {
            [] => store(events, Links::None),
            [node] => {
                let (link, is_checkpoint) = node.link(position, Link::ALL);
                if is_checkpoint {
                    let jump = self.jumps.borrow_mut().add(node.id, position);
                    return store(events, Links::Checkpoint(Box::new((link, jump))));
                }
                store(events, Links::One(link))
            }
            _ => {
                // An event can hit a node by several keys.
                nodes.sort_unstable_by_key(|node| node.id);
                nodes.dedup_by_key(|node| node.id);
                let mut links = SmallVec::with_capacity(nodes.len());
                let mut checkpoints = SmallVec::<[NodeId; 4]>::new();
                links.extend(nodes.iter().map(|node| {
                    let (link, is_checkpoint) = node.link(position, Link::ALL);
                    checkpoints.extend(is_checkpoint.then_some(node.id));
                    link
                }));
                store(events, self.detailed(position, links, Vec::new(), &checkpoints))
            }
        }
    }

    /// Links with the jumps of the checkpoints that begin with them.
    fn detailed(
        &self,
        position: Position,
        links: SmallVec<[Link; 1]>,
        ordinals: Vec<u32>,
        checkpoints: &[NodeId],
    ) -> Links {
        let jumps = if checkpoints.is_empty() {
            Vec::new()
        } else {
            let mut jumps = self.jumps.borrow_mut();
            checkpoints.iter().map(|node| (*node, jumps.add(*node, position))).collect()
        };
        Links::new(links, ordinals, jumps)
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
        count(Step::Hit, hits.len());
        hits.sort_unstable_by_key(|(node, event)| (node.id, *event));
        hits.dedup_by_key(|(node, event)| (node.id, *event));
        let count = hits.chunk_by(|a, b| a.0.id == b.0.id).count();
        let mut links = SmallVec::with_capacity(count);
        nodes.reserve_exact(count);
        let mut checkpoints = SmallVec::<[NodeId; 4]>::new();
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
            let (link, is_checkpoint) = node.link(position, events);
            links.push(link);
            checkpoints.extend(is_checkpoint.then_some(node.id));
            nodes.push(*node);
        }
        self.detailed(position, links, ordinals, &checkpoints)
    }

    /// The wide scopes in use whose names may be those of a filter, by a hash of them, with one that has each.
    pub(crate) fn scopes_like(&self, hash: u64) -> Vec<(u32, Arc<Filter>)> {
        self.wide.candidates(hash).map(|(number, filter)| (number, Arc::clone(filter))).collect()
    }

    /// A use of a wide scope: that of this number, if it is still that of this filter, or a new one.
    pub(crate) fn use_scope(&mut self, known: Option<&(u32, Arc<Filter>)>, filter: &Arc<Filter>, hash: u64) -> u32 {
        match known {
            Some((number, other)) if self.wide.share(*number, other) => *number,
            _ => self.wide.add(filter, hash),
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

    /// Takes out up to so many namespaces of a wide scope that nobody uses. Whether it is gone.
    pub(crate) fn exit_scope(&mut self, scope: u32, most: usize) -> bool {
        self.wide.exit(scope, most, &mut self.namespaces)
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
            self.look_up(event, |node| {
                count(Step::Hit, 1);
                node.note_evicted(position, oldest);
            });
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
        let names: Vec<String> = (0..NODES).map(|number| format!("n{number}")).collect();
        for step in 1..NODES {
            let mut interest = Interest::<()>::new();
            let mut readers = Vec::new();
            for name in &names {
                let term = Term::new("Job", "web").expect("a term");
                let mut request = Request::<()>::new().term(term).namespace(name.as_str());
                let filter = Arc::new(Filter::new(&mut request).expect("a request"));
                let mut nodes = Vec::new();
                node_terms(&filter).for_each(|term| interest.join(&term, None, Position::ZERO, &mut nodes));
                readers.push((name, nodes));
            }
            let mut place = 0;
            while !readers.is_empty() {
                place = (place + step) % readers.len();
                let (_, nodes) = readers.remove(place);
                leave(&mut interest, &nodes);
                for name in names.iter().map(String::as_str).chain([""]) {
                    let event = Event::new("Job", "JobRegistered", "web", ()).with_namespace(name);
                    let mut hit = Vec::new();
                    interest.look_up(&event, |node| hit.push(node.id));
                    assert!(hit.len() <= if name.is_empty() { 2 } else { 1 }, "{name}: {hit:?}");
                    for (asked, nodes) in &readers {
                        let is_hit = nodes.iter().any(|node| hit.contains(&node.id));
                        assert_eq!(is_hit, name.is_empty() || name == asked.as_str(), "{name} to {asked}");
                    }
                }
            }
            assert_eq!(interest.len(), 0);
        }
    }

    /// What wide scopes hit, with others of one namespace and of all beside them, is what their filters match. They come
    /// and go in any order, also half entered, and leave nothing.
    #[test]
    fn wide_scopes_hit_what_they_match() {
        const NAMESPACES: usize = 40;
        let name = |number: usize| format!("n{}", number % NAMESPACES);
        let request = |number: usize| {
            let names = (0..30).map(move |n| name(n * (number % 2 * 2 + 1) + number / 2));
            let topics = (0..2).map(|n| Term::topic(format!("T{}", (number + n) % 3)).expect("a topic"));
            let keys = (0..40).map(|n| Term::key(format!("k{}", n * 3 + number % 3)).expect("a key"));
            Request::<()>::new().terms(topics.chain(keys)).namespaces(names)
        };
        let mut interest = Interest::<()>::new();
        let mut readers = std::collections::VecDeque::new();
        for step in 0..60 {
            let mut request = if step % 7 == 6 {
                Request::new().term(Term::topic("T1").expect("a topic"))
            } else {
                request(step % 9)
            };
            let filter = Arc::new(Filter::new(&mut request).expect("a request"));
            let hash = (step % 2) as u64;
            let mut nodes = Vec::new();
            let wide = crate::interest::is_wide(&filter);
            assert_eq!(wide, step % 7 != 6);
            let scope = wide.then(|| {
                let alike = interest.scopes_like(hash);
                let known = alike.iter().find(|(_, other)| crate::interest::same_scope(other, &filter));
                let scope = interest.use_scope(known, &filter, hash);
                while !interest.enter_scope(scope, 7) {}
                scope
            });
            node_terms(&filter).for_each(|term| interest.join(&term, scope, Position::ZERO, &mut nodes));
            assert_eq!(scope.and_then(|scope| interest.release_scope(scope)), None, "its nodes use it");
            readers.push_back((filter, nodes));
            if step % 5 > 1 {
                let (_, nodes) = readers.remove(step % readers.len()).expect("one of them");
                leave(&mut interest, &nodes);
            }
            // One that is given up before it is whole.
            let filter = Arc::new(Filter::new(&mut tests_request(step)).expect("a request"));
            let scope = interest.use_scope(None, &filter, 9);
            interest.enter_scope(scope, 5);
            let unused = interest.release_scope(scope).expect("nobody else has it");
            while !interest.exit_scope(unused, 2) {}
            for (topic, namespace, key) in
                [("T0", "n0", "k0"), ("T1", "n7", "k5"), ("T2", "", "k1"), ("T9", "n3", "k8"), ("T0", "other", "k3")]
            {
                let event = Event::new(topic, "t", key, ()).with_namespace(namespace).with_filter_keys(["k100", "k2"]);
                let mut hit = Vec::new();
                interest.look_up(&event, |node| hit.push(node.id));
                for (filter, nodes) in &readers {
                    let is_hit = nodes.iter().any(|node| hit.contains(&node.id));
                    assert_eq!(is_hit, filter.matches(&event), "{event:?} to {filter:?}");
                }
            }
        }
        for (_, nodes) in readers {
            leave(&mut interest, &nodes);
        }
        assert!(interest.wide.is_empty() && interest.len() == 0 && interest.shapes.is_empty());
    }

    fn leave(interest: &mut Interest<()>, nodes: &[Arc<Node<()>>]) {
        for node in nodes {
            if let Some(scope) = interest.leave(node) {
                while !interest.exit_scope(scope, 7) {}
            }
        }
    }

    fn tests_request(number: usize) -> Request<()> {
        Request::new().namespaces((0..9).map(|n| format!("half-{number}-{n}")))
    }
}
