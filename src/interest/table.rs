//! The table of nodes, and what an event looks up in it.
//! It belongs to the one writer: everything here runs under the broker's lock.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

use ahash::RandomState;
use smallvec::SmallVec;

use super::names::Names;
use super::node::{Link, Links, Node, NodeId, Side, Subject};
use crate::event::Event;
use crate::filter::Filter;
use crate::name::{Key, Namespace};
use crate::position::Position;
use crate::request::{Scope, Term};

/// A request that would be more nodes than this joins one node a term instead, which checks the namespaces itself.
const MAX_PRODUCT: usize = 4096;

/// The namespaces that a node is to take events of.
#[derive(Clone, Copy, Debug)]
enum Namespaces {
    /// All, and none.
    Any,
    /// Events without a namespace alone.
    None,
    /// The named one at this place of the filter's scope; under an exact key also events without a namespace.
    One(usize),
    /// All that the filter's scope admits.
    Scope,
}

/// One node that a subscription asks for.
#[derive(Clone, Debug)]
pub(crate) struct NodeTerm {
    filter: Arc<Filter>,
    term: usize,
    namespaces: Namespaces,
}

impl NodeTerm {
    fn term(&self) -> &Term {
        self.filter.terms().get(self.term).unwrap_or(&Term::ALL)
    }

    fn namespace(&self) -> Option<&Namespace> {
        match self.namespaces {
            Namespaces::One(place) => self.filter.scope().named()?.get(place),
            _ => None,
        }
    }
}

/// The nodes that a filter's subscription joins. None if it asks for everything: that is read from the log itself.
///
/// An event without a namespace passes every scope, and must not look up every namespace there is. So a scoped term
/// with a wildcard key also joins the node of that term for events without a namespace, which all scopes share. Under
/// an exact key there is seldom more than one scope, and one node takes both kinds: half the memory of a narrow reader.
pub(crate) fn node_terms(filter: &Arc<Filter>) -> impl Iterator<Item = NodeTerm> {
    let terms = if filter.is_everything() { 0 } else { filter.terms().len() };
    let names = filter.scope().named().map_or(0, <[_]>::len);
    let product = terms.saturating_mul(names) > MAX_PRODUCT;
    let filter = Arc::clone(filter);
    (0..terms).flat_map(move |term| {
        let exact = filter.terms().get(term).is_some_and(|term| term.key_name().is_some());
        let mut sides = SmallVec::<[Namespaces; 2]>::new();
        match filter.scope() {
            Scope::All => sides.push(Namespaces::Any),
            Scope::Named(_) if product => sides.push(Namespaces::Scope),
            Scope::Named(_) => {
                sides.extend((0..names).map(Namespaces::One));
                if !exact {
                    sides.push(Namespaces::None);
                }
            }
        }
        let filter = Arc::clone(&filter);
        sides.into_iter().map(move |namespaces| NodeTerm { filter: Arc::clone(&filter), term, namespaces })
    })
}

/// Passes a hash through.
#[derive(Debug, Default)]
struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only whole hashes are keys");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The nodes of one hash: nearly always one.
#[derive(Debug)]
enum Bucket<L> {
    One(Arc<Node<L>>),
    #[expect(clippy::box_collection, reason = "every entry of the table would be wider")]
    Many(Box<Vec<Arc<Node<L>>>>),
}

impl<L> Bucket<L> {
    #[inline]
    fn nodes(&self) -> &[Arc<Node<L>>] {
        match self {
            Self::One(node) => std::slice::from_ref(node),
            Self::Many(nodes) => nodes,
        }
    }

    fn add(&mut self, node: Arc<Node<L>>) {
        node.set_place(self.nodes().len());
        match self {
            Self::One(first) => {
                first.set_place(0);
                *self = Self::Many(Box::new(vec![Arc::clone(first), node]));
            }
            Self::Many(nodes) => nodes.push(node),
        }
    }

    /// Takes a node out. Whether it was the last.
    ///
    /// One key in many namespaces is many nodes of one hash, so they are not searched: dropping 40,000 subscriptions
    /// took seven times as long.
    fn remove(&mut self, node: &Node<L>) -> bool {
        let Self::Many(nodes) = self else { return true };
        let is = |here: &Arc<Node<L>>| here.id == node.id;
        let hint = Some(node.place()).filter(|place| nodes.get(*place).is_some_and(is));
        if let Some(place) = hint.or_else(|| nodes.iter().position(is)) {
            nodes.swap_remove(place);
            if let Some(moved) = nodes.get(place) {
                moved.set_place(place);
            }
        }
        nodes.is_empty()
    }
}

/// The kinds of table entry: side (any, none, one), topic (exact, any), key (exact, any). A kind that has no entry is
/// not looked up.
#[derive(Debug, Default)]
struct Shapes {
    entries: [u32; 12],
    present: u16,
}

impl Shapes {
    // Where the four shapes of a side begin.
    const ANY: usize = 0;
    const NONE: usize = 4;
    const ONE: usize = 8;
    /// The four shapes of the first side.
    const SIDE: u16 = 0b1111;

    // What a shape is among the four of its side.
    const EXACT_KEY: u32 = 1;
    const EXACT_TOPIC: u32 = 2;
    /// The shapes with an exact topic, of every side.
    const EXACT_TOPICS: u16 = 0b1100_1100_1100;

    /// The shape of a term with this side, whose topic is exact unless it is [`Names::ANY`].
    fn of(side: u32, topic: u32, exact_key: bool) -> usize {
        Self::begin(side) + usize::from(topic != Names::ANY) * 2 + usize::from(exact_key)
    }

    #[inline]
    fn begin(side: u32) -> usize {
        match side {
            Side::ANY => Self::ANY,
            Side::NONE => Self::NONE,
            _ => Self::ONE,
        }
    }

    /// The shapes of a side that are present.
    #[inline]
    fn of_side(&self, side: u32) -> u16 {
        self.present >> Self::begin(side) & Self::SIDE
    }

    fn add(&mut self, shape: usize) {
        if let Some(entries) = self.entries.get_mut(shape) {
            *entries += 1;
            self.present |= 1 << shape;
        }
    }

    fn remove(&mut self, shape: usize) {
        if let Some(entries) = self.entries.get_mut(shape) {
            *entries -= 1;
            if *entries == 0 {
                self.present &= !(1 << shape);
            }
        }
    }

    /// Whether any of these shapes is present.
    #[inline]
    fn any_of(&self, mask: u16) -> bool {
        self.present & mask != 0
    }
}

/// All nodes there are.
#[derive(Debug)]
pub(crate) struct Interest<L> {
    hasher: RandomState,
    /// What the hash of a side and a topic begins with, and the one that stands for any key.
    seed: u64,
    any_key: u64,
    table: HashMap<u64, Bucket<L>, BuildHasherDefault<Prehashed>>,
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
            table: HashMap::default(),
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
        self.hasher.hash_one(key.as_str())
    }

    /// The shapes and hashes that a node is found under: one, or two if it takes a namespace's events and those
    /// without one.
    fn places(&self, subject: &Subject) -> SmallVec<[(usize, u64); 2]> {
        let exact = subject.key.is_some();
        let key = subject.key.as_ref().map_or(self.any_key, |key| self.key_hash(key));
        let mut sides = SmallVec::<[u32; 2]>::from_slice(&[subject.side.number()]);
        if exact && matches!(subject.side, Side::One(_)) {
            sides.push(Side::NONE);
        }
        let place = |side| (Shapes::of(side, subject.topic, exact), fold(self.half(side, subject.topic), key));
        sides.into_iter().map(place).collect()
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
        let places = self.places(&subject);
        if let Some(node) = places.first().and_then(|(_, hash)| self.find(*hash, &subject)) {
            let node = Arc::clone(node);
            node.add_subscription();
            self.forget(&subject);
            return node;
        }
        let id = NodeId(self.next);
        self.next = self.next.saturating_add(1);
        self.nodes += 1;
        self.youngest = end;
        let node = Arc::new(Node::new(id, end, subject));
        for (shape, hash) in places {
            self.shapes.add(shape);
            let node = Arc::clone(&node);
            match self.table.get_mut(&hash) {
                None => {
                    self.table.insert(hash, Bucket::One(node));
                }
                Some(bucket) => bucket.add(node),
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
        for (shape, hash) in self.places(&node.subject) {
            self.shapes.remove(shape);
            if self.table.get_mut(&hash).is_some_and(|bucket| bucket.remove(node)) {
                self.table.remove(&hash);
            }
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

    fn find(&self, hash: u64, subject: &Subject) -> Option<&Arc<Node<L>>> {
        self.table.get(&hash)?.nodes().iter().find(|node| node.subject == *subject)
    }

    /// The nodes that an event hits, each at least once.
    #[inline]
    fn look_up<'i, P>(&'i self, event: &Event<P>, mut hit: impl FnMut(&'i Node<L>)) {
        let shapes = &self.shapes;
        if shapes.present == 0 {
            return;
        }
        let topic = if shapes.any_of(Shapes::EXACT_TOPICS) { self.topics.find(event.topic().text()) } else { None };
        let side = if event.namespace().is_empty() {
            Some(Side::NONE)
        } else if shapes.any_of(Shapes::SIDE << Shapes::ONE) {
            self.namespaces.find(event.namespace().text())
        } else {
            None
        };
        // Halves of hashes with an exact key, of the shapes there are.
        let mut keyed = SmallVec::<[(u64, u32, u32); 4]>::new();
        for side in [Some(Side::ANY), side].into_iter().flatten() {
            let mut present = shapes.of_side(side);
            while present != 0 {
                let shape = present.trailing_zeros();
                present &= present - 1;
                let topic = if shape & Shapes::EXACT_TOPIC == 0 { Some(Names::ANY) } else { topic };
                let Some(topic) = topic else { continue };
                let half = self.half(side, topic);
                if shape & Shapes::EXACT_KEY != 0 {
                    keyed.push((half, side, topic));
                } else if let Some(bucket) = self.table.get(&fold(half, self.any_key)) {
                    let nodes = bucket.nodes().iter();
                    nodes.filter(|node| node.subject.is(event, side, topic, None)).for_each(|node| hit(node));
                }
            }
        }
        if !keyed.is_empty() {
            for key in std::iter::once(event.key()).chain(event.filter_keys()) {
                let hash = self.key_hash(key);
                for (half, side, topic) in &keyed {
                    if let Some(bucket) = self.table.get(&fold(*half, hash)) {
                        let nodes = bucket.nodes().iter();
                        nodes
                            .filter(|node| node.subject.is(event, *side, *topic, Some(key)))
                            .for_each(|node| hit(node));
                    }
                }
            }
        }
    }

    /// Stores a batch at `position` with the links of what it hits. [`Hit::extend`] must follow, once readers can find
    /// what was stored.
    ///
    /// `store` is called in one of four places, because a batch is then built where it goes: copying the links of one
    /// hit into it took 8 % of a publish.
    #[inline]
    pub(crate) fn link<'i, P, E: AsRef<[Event<P>]>, R>(
        &'i self,
        position: Position,
        events: E,
        hit: &mut Hit<'i, L>,
        store: impl FnOnce(E, Links) -> R,
    ) -> R {
        if self.shapes.present == 0 {
            return store(events, Links::none());
        }
        let Hit(nodes) = hit;
        let [event] = events.as_ref() else {
            let links = self.link_many(position, events.as_ref(), nodes);
            return store(events, links);
        };
        self.look_up(event, |node| nodes.push(node));
        match nodes.as_slice() {
            [] => store(events, Links::none()),
            [node] => store(events, Links::one(node.link(position, Link::ALL))),
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
    use crate::request::Request;

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
