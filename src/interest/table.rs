//! The table of nodes, and what an event looks up in it.
//! It belongs to the one writer: everything here runs under the broker's lock.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use ahash::RandomState;
use smallvec::SmallVec;

use super::node::{Link, Links, Node, NodeId};
use crate::event::Event;
use crate::filter::Filter;
use crate::name::Namespace;
use crate::position::Position;
use crate::request::{Scope, Term};

/// A request that would be more nodes than this joins one node a term instead, which checks the namespaces itself.
const MAX_PRODUCT: usize = 4096;

/// The namespaces that a node takes events of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// All, and none.
    Any,
    /// Events without a namespace alone.
    None,
    /// The named one at this place of the filter's scope; under an exact key also events without a namespace.
    One(u32),
    /// All that the filter's scope admits.
    Scope,
}

/// The term of a node, as a place in the filter of whoever came first.
#[derive(Clone, Debug)]
pub(crate) struct NodeTerm {
    filter: Arc<Filter>,
    term: u32,
    side: Side,
}

impl NodeTerm {
    fn term(&self) -> &Term {
        let place = usize::try_from(self.term).unwrap_or(usize::MAX);
        self.filter.terms().get(place).unwrap_or(&Term::ALL)
    }

    fn namespace(&self) -> Option<&Namespace> {
        match self.side {
            Side::One(place) => self.filter.scope().named()?.get(usize::try_from(place).ok()?),
            _ => None,
        }
    }

    /// Whether both stand for one node.
    fn is(&self, other: &Self) -> bool {
        self.term() == other.term()
            && match (self.side, other.side) {
                (Side::One(_), Side::One(_)) => self.namespace() == other.namespace(),
                (Side::Scope, Side::Scope) => self.filter.scope() == other.filter.scope(),
                (side, other) => side == other,
            }
    }

    /// The last word on a hit: hashes may collide.
    pub(super) fn matches<P>(&self, event: &Event<P>) -> bool {
        let namespace = event.namespace();
        let side = match self.side {
            Side::Any => true,
            Side::None => namespace.is_empty(),
            Side::One(_) => namespace.is_empty() || self.namespace() == Some(namespace),
            Side::Scope => self.filter.scope().admits(namespace),
        };
        side && self.term().matches(event)
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
        let mut sides = SmallVec::<[Side; 2]>::new();
        match filter.scope() {
            Scope::All => sides.push(Side::Any),
            Scope::Named(_) if product => sides.push(Side::Scope),
            Scope::Named(_) => {
                sides.extend((0..names).map(|place| Side::One(u32::try_from(place).unwrap_or(u32::MAX))));
                if !exact {
                    sides.push(Side::None);
                }
            }
        }
        let filter = Arc::clone(&filter);
        let term = u32::try_from(term).unwrap_or(u32::MAX);
        sides.into_iter().map(move |side| NodeTerm { filter: Arc::clone(&filter), term, side })
    })
}

/// Keyed hashes of the parts of a term, and of the wildcards.
#[derive(Debug)]
struct Hashes {
    state: RandomState,
    any_side: u64,
    no_side: u64,
    any_topic: u64,
    any_key: u64,
}

impl Hashes {
    fn new() -> Self {
        let state = RandomState::new();
        let [any_side, no_side, any_topic, any_key] = [0_u8, 1, 2, 3].map(|part| state.hash_one(part));
        Self { state, any_side, no_side, any_topic, any_key }
    }

    fn name(&self, name: &str) -> u64 {
        self.state.hash_one(name)
    }

    /// The hash of a term from those of its parts, by two folded multiplications.
    fn combine(&self, side: u64, topic: u64, key: u64) -> u64 {
        fn fold(left: u64, right: u64) -> u64 {
            let product = u128::from(left) * u128::from(right);
            // The truncation is the fold.
            #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
            let halves = product as u64 ^ (product >> 64) as u64;
            halves
        }
        fold(fold(side ^ self.any_topic, topic.rotate_left(21) ^ self.any_key).wrapping_add(key), self.no_side | 1)
    }
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
enum Bucket {
    One(u32),
    #[expect(clippy::box_collection, reason = "every entry of the table would be as wide as a set")]
    Many(Box<HashSet<u32>>),
}

impl Bucket {
    fn each(&self, mut f: impl FnMut(u32)) {
        match self {
            Self::One(place) => f(*place),
            Self::Many(places) => places.iter().copied().for_each(f),
        }
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
    const ANY: usize = 0;
    const NONE: usize = 4;
    const ONE: usize = 8;

    fn of(side: usize, exact_topic: bool, exact_key: bool) -> usize {
        side + usize::from(exact_topic) * 2 + usize::from(exact_key)
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

    #[inline]
    fn has(&self, shape: usize) -> bool {
        self.present & 1 << shape != 0
    }

    /// Whether any of the four shapes of a side, with this key side, is present.
    #[inline]
    fn any_of(&self, mask: u16) -> bool {
        self.present & mask != 0
    }
}

#[derive(Debug)]
struct Entry<L> {
    node: Arc<Node<L>>,
    subscriptions: u32,
}

/// One event that hit one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    node: NodeId,
    place: u32,
    event: u32,
}

/// All nodes there are.
#[derive(Debug)]
pub(crate) struct Interest<L> {
    hashes: Hashes,
    table: HashMap<u64, Bucket, BuildHasherDefault<Prehashed>>,
    nodes: Vec<Option<Entry<L>>>,
    free: Vec<u32>,
    shapes: Shapes,
    next: u64,
    /// The latest [`Node::since`]: what was published later is linked for every node.
    youngest: Position,
    /// Of the batch being published; kept for its capacity.
    hits: Vec<Hit>,
    hit_places: Vec<u32>,
}

impl<L: Default> Interest<L> {
    pub(crate) fn new() -> Self {
        Self {
            hashes: Hashes::new(),
            table: HashMap::default(),
            nodes: Vec::new(),
            free: Vec::new(),
            shapes: Shapes::default(),
            next: 0,
            youngest: Position::ZERO,
            hits: Vec::new(),
            hit_places: Vec::new(),
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// The shapes and hashes that a node is found under: one, or two if it takes a namespace's events and those
    /// without one.
    fn keys(&self, term: &NodeTerm) -> SmallVec<[(usize, u64); 2]> {
        let hashes = &self.hashes;
        let topic = term.term().topic_name().map(|topic| hashes.name(topic.as_str()));
        let key = term.term().key_name().map(|key| hashes.name(key.as_str()));
        let mut sides = SmallVec::<[(usize, u64); 2]>::new();
        match term.side {
            Side::Any | Side::Scope => sides.push((Shapes::ANY, hashes.any_side)),
            Side::None => sides.push((Shapes::NONE, hashes.no_side)),
            Side::One(_) => {
                let name = term.namespace().map_or("", Namespace::as_str);
                sides.push((Shapes::ONE, hashes.name(name)));
                if key.is_some() {
                    sides.push((Shapes::NONE, hashes.no_side));
                }
            }
        }
        sides
            .into_iter()
            .map(|(shape, side)| {
                let hash = hashes.combine(side, topic.unwrap_or(hashes.any_topic), key.unwrap_or(hashes.any_key));
                (Shapes::of(shape, topic.is_some(), key.is_some()), hash)
            })
            .collect()
    }

    /// The node of a term, made if nobody had subscribed to it. Its chain begins at `end`, the next position.
    pub(crate) fn join(&mut self, term: NodeTerm, end: Position) -> Arc<Node<L>> {
        let keys = self.keys(&term);
        if let Some(place) = keys.first().and_then(|(_, hash)| self.find(*hash, &term))
            && let Some(Some(entry)) = self.nodes.get_mut(index(place))
        {
            entry.subscriptions += 1;
            return Arc::clone(&entry.node);
        }
        self.next += 1;
        self.youngest = end;
        let node = Arc::new(Node::new(NodeId(self.next), end, term));
        let entry = Some(Entry { node: Arc::clone(&node), subscriptions: 1 });
        let place = if let Some(place) = self.free.pop() {
            if let Some(vacant) = self.nodes.get_mut(index(place)) {
                *vacant = entry;
            }
            place
        } else {
            self.nodes.push(entry);
            u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 distinct terms fit any memory")
        };
        for (shape, hash) in keys {
            self.shapes.add(shape);
            match self.table.get_mut(&hash) {
                None => {
                    self.table.insert(hash, Bucket::One(place));
                }
                Some(Bucket::Many(places)) => {
                    places.insert(place);
                }
                Some(bucket) => {
                    let mut places = HashSet::from([place]);
                    bucket.each(|other| {
                        places.insert(other);
                    });
                    *bucket = Bucket::Many(Box::new(places));
                }
            }
        }
        node
    }

    /// Takes one subscription off a node, and the node out with the last.
    pub(crate) fn leave(&mut self, node: &Node<L>) {
        let keys = self.keys(&node.term);
        let Some(place) = keys.first().and_then(|(_, hash)| self.find(*hash, &node.term)) else { return };
        let Some(vacating) = self.nodes.get_mut(index(place)) else { return };
        if let Some(entry) = vacating {
            entry.subscriptions -= 1;
            if entry.subscriptions > 0 {
                return;
            }
        }
        *vacating = None;
        self.free.push(place);
        for (shape, hash) in keys {
            self.shapes.remove(shape);
            let empty = match self.table.get_mut(&hash) {
                None => false,
                Some(Bucket::One(_)) => true,
                Some(Bucket::Many(places)) => {
                    places.remove(&place);
                    places.is_empty()
                }
            };
            if empty {
                self.table.remove(&hash);
            }
        }
        if self.len() == 0 {
            // A burst of subscribers leaves no table behind.
            *self = Self { next: self.next, youngest: self.youngest, ..Self::new() };
        }
    }

    fn find(&self, hash: u64, term: &NodeTerm) -> Option<u32> {
        let mut found = None;
        self.table.get(&hash)?.each(|place| {
            if self.node(place).is_some_and(|node| node.term.is(term)) {
                found = Some(place);
            }
        });
        found
    }

    fn node(&self, place: u32) -> Option<&Arc<Node<L>>> {
        self.nodes.get(index(place))?.as_ref().map(|entry| &entry.node)
    }

    /// The places of the nodes that an event hits, each at least once.
    #[inline]
    fn look_up<P>(&self, event: &Event<P>, mut hit: impl FnMut(u32, &Arc<Node<L>>)) {
        /// Shapes with an exact key, and with an exact topic, of every side.
        const EXACT_KEY: u16 = 0b1010_1010_1010;
        const EXACT_TOPIC: u16 = 0b1100_1100_1100;
        let (hashes, shapes) = (&self.hashes, &self.shapes);
        if shapes.present == 0 {
            return;
        }
        let topic = if shapes.any_of(EXACT_TOPIC) { hashes.name(event.topic().as_str()) } else { 0 };
        let keyed = shapes.any_of(EXACT_KEY);
        let named = if event.namespace().is_empty() {
            (Shapes::NONE, hashes.no_side)
        } else if shapes.any_of(0b1111 << Shapes::ONE) {
            (Shapes::ONE, hashes.name(event.namespace().as_str()))
        } else {
            (Shapes::ONE, 0)
        };
        let sides = [(Shapes::ANY, hashes.any_side), named];
        let topics = [(false, hashes.any_topic), (true, topic)];
        let mut look = |hash: u64| {
            if let Some(bucket) = self.table.get(&hash) {
                bucket.each(|place| {
                    if let Some(node) = self.node(place).filter(|node| node.term.matches(event)) {
                        hit(place, node);
                    }
                });
            }
        };
        for (side, side_hash) in sides {
            for (exact, topic_hash) in topics {
                if shapes.has(Shapes::of(side, exact, false)) {
                    look(hashes.combine(side_hash, topic_hash, hashes.any_key));
                }
            }
        }
        if keyed {
            for key in std::iter::once(event.key()).chain(event.filter_keys()) {
                let key = hashes.name(key.as_str());
                for (side, side_hash) in sides {
                    for (exact, topic_hash) in topics {
                        if shapes.has(Shapes::of(side, exact, true)) {
                            look(hashes.combine(side_hash, topic_hash, key));
                        }
                    }
                }
            }
        }
    }

    /// The links that a batch at `position` will store. [`extend`](Self::extend) must follow, once they are stored.
    pub(crate) fn link<P>(&mut self, position: Position, events: &[Event<P>]) -> Links {
        if self.shapes.present == 0 {
            self.hit_places.clear();
            return Links::default();
        }
        let mut hits = std::mem::take(&mut self.hits);
        self.hit_places.clear();
        for (ordinal, event) in events.iter().enumerate() {
            let ordinal = u32::try_from(ordinal).expect("a batch has fewer than 2^32 events");
            self.look_up(event, |place, node| hits.push(Hit { node: node.id, place, event: ordinal }));
        }
        if hits.len() > 1 {
            // An event can hit a node by several keys.
            hits.sort_unstable();
            hits.dedup();
        }
        let mut links = Links::default();
        if hits.len() > 1 {
            // At once and exactly: growing would allocate again and again, and keep what it took too much.
            links.links.reserve_exact(hits.chunk_by(|a, b| a.node == b.node).count());
        }
        let mut ordinals = (events.len() > Links::BITS).then(|| Vec::with_capacity(hits.len()));
        for same in hits.chunk_by(|a, b| a.node == b.node) {
            let Some((first, node)) = same.first().and_then(|hit| Some((hit, self.node(hit.place)?))) else { continue };
            let events = match &mut ordinals {
                _ if same.len() == events.len() => Link::ALL,
                None => same.iter().fold(0, |bits, hit| bits | 1 << hit.event),
                Some(ordinals) => {
                    let start = ordinals.len() as u64;
                    ordinals.extend(same.iter().map(|hit| hit.event));
                    start << 32 | same.len() as u64
                }
            };
            let (streaks, before) = node.chain.link(position, events == Link::ALL);
            links.links.push(Link { node: first.node, before, events, streaks });
            self.hit_places.push(first.place);
        }
        links.ordinals = ordinals.map(Vec::into_boxed_slice);
        hits.clear();
        self.hits = hits;
        links
    }

    /// Extends the chains of the nodes that the batch at `position` hit.
    pub(crate) fn extend(&self, position: Position) {
        for node in self.hit_nodes() {
            node.chain.extend(position);
        }
    }

    /// The nodes that the batch being published hits, each once.
    pub(crate) fn hit_nodes(&self) -> impl Iterator<Item = &Arc<Node<L>>> {
        self.hit_places.iter().filter_map(|place| self.node(*place))
    }

    /// Whether evicting from this position on has to be [noted](Self::note_evicted).
    #[inline]
    pub(crate) fn notes_evicted(&self, oldest: Position) -> bool {
        oldest < self.youngest
    }

    /// Notes that a batch goes out of reach in the nodes that it hit, if some node's chain it is too old for.
    ///
    /// Also in older nodes: a reader of an old and a young node scans what is older than either.
    pub(crate) fn note_evicted<P>(&self, position: Position, events: &[Event<P>]) {
        if position >= self.youngest {
            return;
        }
        for event in events {
            self.look_up(event, |_, node| node.note_evicted(position));
        }
    }

    /// Whether an event would hit anything.
    pub(crate) fn is_hit_by<P>(&self, event: &Event<P>) -> bool {
        let mut hit = false;
        self.look_up(event, |_, _| hit = true);
        hit
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
