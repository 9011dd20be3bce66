//! Defines nodes, and the links that chain a node's matches through the log.
//! Where a node is found is decided in `table`; how a chain is followed is decided in `walk`.
//!
//! A *node* stands for one distinct term. Its *subject* is what it accepts: a topic or any, a key or any, and its
//! *side*, the namespaces. A *link* is what a slot stores for one node that it matched. A *run* is a series of
//! consecutive batches that all matched one node. A batch matched *whole* if all of its events did. A position that is
//! called `past`, `last` or `before` is one past a match, and zero if there is none.
//!
//! Invariants:
//! - the slot of a match is written before the node's last match moves to it ([`Chain::extend`]);
//! - an evicted match is noted in the node before the log's `oldest` moves beyond it;
//! - the remaining state of a chain and the counts are accessed under the broker's lock only. Id, beginning and subject
//!   do not change once the node is stored.
//!
//! Callers: `hits` and `table` under the broker's lock; `walk`, `core::shared` and `subscription` read without it.

use std::cmp::Ordering as Cmp;
use std::num::NonZeroU64;
use std::sync::Arc;

use smallvec::SmallVec;

use super::jumps::{Jump, NodeId, SPACING};
use super::keys::KeyHasher;
use super::names::Names;
use crate::steps::{Step, count};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::types::name::Key;
use crate::types::position::Position;

/// One past a position, or zero if there is none.
#[derive(Debug)]
struct AtomicPast(AtomicU64);

impl AtomicPast {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Loads the position. Acquire, pairs with the Release in [`set`](Self::set): a reader that sees a node's last
    /// match finds its slot written.
    #[inline]
    fn get(&self) -> Position {
        Position(self.0.load(Ordering::Acquire))
    }

    /// Stores the position. Release, pairs with the Acquire in [`get`](Self::get).
    fn set(&self, past: Position) {
        self.0.store(past.0, Ordering::Release);
    }
}

/// One past the last match before a run, or zero; and whether the run is a [checkpoint](super::jumps). The flag is the
/// highest bit, which no position reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before(u64);

impl Before {
    const CHECKPOINT: u64 = 1 << 63;

    fn new(past: Position) -> Self {
        Self(past.0)
    }

    fn of_checkpoint(self) -> Self {
        Self(self.0 | Self::CHECKPOINT)
    }

    #[inline]
    pub(super) fn past(self) -> Position {
        Position(self.0 & !Self::CHECKPOINT)
    }

    #[inline]
    pub(super) fn is_checkpoint(self) -> bool {
        self.0 & Self::CHECKPOINT != 0
    }
}

/// A [`Before`] that is accessed under the broker's lock only.
#[derive(Debug)]
struct AtomicBefore(AtomicU64);

impl AtomicBefore {
    fn load(&self, ordering: Ordering) -> Before {
        Before(self.0.load(ordering))
    }

    fn store(&self, before: Before, ordering: Ordering) {
        self.0.store(before.0, ordering);
    }
}

/// The newest end of a chain, written under the broker's lock. Readers load the last match only.
#[derive(Debug)]
pub(crate) struct Chain {
    last: AtomicPast,
    before: AtomicBefore,
    lengths: AtomicU64,
}

/// What a new match adds to its chain.
struct NextLink {
    lengths: RunLengths,
    before: Before,
    /// Whether a run begins with the match.
    begins: bool,
}

/// The lengths of the run that ends with a match: how many batches in a row matched, and how many of those in a row, up
/// to the match, matched whole.
///
/// After 2^32 - 1 batches a new run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RunLengths {
    matched: u32,
    whole: u32,
}

impl Chain {
    fn new() -> Self {
        Self { last: AtomicPast::new(), before: AtomicBefore(AtomicU64::new(0)), lengths: AtomicU64::new(0) }
    }

    /// Returns one past the last match, or zero.
    #[inline]
    pub(crate) fn last(&self) -> Position {
        self.last.get()
    }

    /// Computes what a match at `position` stores: the lengths of the run that ends with it, and one past the last
    /// match before that run.
    ///
    /// [`extend`](Self::extend) must follow, once it is stored.
    #[inline]
    fn link(&self, position: Position, whole: bool) -> NextLink {
        // Relaxed: these are accessed under the broker's lock only.
        let word = self.lengths.load(Ordering::Relaxed);
        let last = self.last.get();
        let RunLengths { matched, whole: all } = RunLengths::unpack(word);
        let begins = last != position || last == Position::ZERO || matched == u32::MAX;
        let (matched, all) = if begins { (0, 0) } else { (matched, all) };
        let lengths = RunLengths { matched: matched + 1, whole: if whole { all + 1 } else { 0 } };
        self.lengths.store(lengths.pack(), Ordering::Relaxed);
        if begins {
            self.before.store(Before::new(last), Ordering::Relaxed);
        }
        NextLink { lengths, before: self.before.load(Ordering::Relaxed), begins }
    }

    /// Moves the last match to `position`, so that readers find it. Its link must have been stored.
    pub(super) fn extend(&self, position: Position) {
        self.last.set(position.next());
    }
}

impl RunLengths {
    const fn pack(self) -> u64 {
        (self.matched as u64) << 32 | self.whole as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    const fn unpack(word: u64) -> Self {
        Self { matched: (word >> 32) as u32, whole: word as u32 }
    }
}

/// The namespaces from which a node accepts events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// All namespaces, and events without a namespace.
    Any,
    /// Events without a namespace only.
    None,
    /// The namespace of this number.
    One(u32),
    /// The namespace of this number, and events without a namespace.
    OneOrNone(u32),
    /// The namespaces of the [wide scope](super::wide) of this number.
    Scope(u32),
}

impl Side {
    /// The number that stands for any namespace. [`Names`] assigns neither this number nor [`NONE`](Self::NONE) to a
    /// name.
    pub(super) const ANY: u32 = Names::ANY;
    /// The number that stands for no namespace.
    pub(super) const NONE: u32 = 1;

    /// Returns the number that a node without a key is looked up under.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Any | Self::Scope(_) => Self::ANY,
            Self::None => Self::NONE,
            Self::One(number) | Self::OneOrNone(number) => number,
        }
    }

    /// Returns the number of the one namespace, whether or not events without a namespace are accepted as well.
    pub(super) fn one(self) -> Option<u32> {
        match self {
            Self::One(number) | Self::OneOrNone(number) => Some(number),
            Self::Any | Self::None | Self::Scope(_) => None,
        }
    }
}

/// What a node stands for: a term, and the namespaces in which it was requested.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The topic's number, or [`Names::ANY`].
    pub(super) topic: u32,
    pub(super) side: Side,
    pub(super) key: Option<Key>,
}

/// A request for one namespace can share a node that also accepts events without a namespace. So these two sides are
/// equal.
impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        let is_one = self.side.one().is_some() && self.side.one() == other.side.one();
        (is_one || self.side == other.side) && self.topic == other.topic && self.key == other.key
    }
}

impl Subject {
    /// Returns whether a node without a key accepts an event that was looked up under these numbers. It may not,
    /// because hashes can collide.
    #[inline]
    pub(super) fn accepts(&self, side: u32, topic: u32) -> bool {
        side == self.side.number() && self.topic == topic && self.key.is_none()
    }

    /// Returns whether the node accepts an event that was looked up by this key and topic. `side` is the number of the
    /// event's namespace, or [`Side::NONE`], or `None` if the namespace has no number.
    #[inline]
    pub(super) fn accepts_by_key(&self, side: Option<u32>, topic: u32, key: &Key) -> bool {
        let admits = match self.side {
            Side::Any => true,
            Side::None => side == Some(Side::NONE),
            Side::One(number) => side == Some(number),
            Side::OneOrNone(number) => side == Some(number) || side == Some(Side::NONE),
            Side::Scope(_) => false,
        };
        admits && self.topic == topic && self.key.as_ref() == Some(key)
    }
}

/// One distinct term. `L` is the wait lists of the node.
#[derive(Debug)]
pub(crate) struct Node<L> {
    pub(super) id: NodeId,
    pub(super) since: Position,
    pub(crate) chain: Chain,
    evicted: AtomicPast,
    evicted_before: AtomicPast,
    subscriptions: Subscriptions,
    runs: Runs,
    pub(super) subject: Subject,
    pub(crate) lists: L,
}

/// The number of subscriptions that use the node. Accessed under the broker's lock only.
#[derive(Debug)]
struct Subscriptions(AtomicU32);

/// How many runs the chain has begun, modulo 2^32. Accessed under the broker's lock only.
#[derive(Debug)]
struct Runs(AtomicU32);

impl<L: Default> Node<L> {
    /// Creates a node that has a key and one subscription, and nothing else yet. It is created outside the lock, and
    /// [begins](Self::begin) under it.
    pub(super) fn prepared(key: Option<Key>) -> Self {
        Self {
            id: NodeId(NonZeroU64::MIN),
            since: Position::ZERO,
            chain: Chain::new(),
            evicted: AtomicPast::new(),
            evicted_before: AtomicPast::new(),
            subscriptions: Subscriptions(AtomicU32::new(1)),
            runs: Runs(AtomicU32::new(0)),
            subject: Subject { topic: Names::ANY, side: Side::Any, key },
            lists: L::default(),
        }
    }

    #[cfg(all(test, not(broker_loom)))]
    pub(super) fn new(id: NodeId, since: Position, subject: Subject) -> Self {
        let mut node = Self::prepared(None);
        node.subject = subject;
        node.begin(id, since);
        node
    }
}

impl<L> Node<L> {
    /// Sets the node's id, and the position at which its chain begins.
    pub(super) fn begin(&mut self, id: NodeId, since: Position) {
        (self.id, self.since) = (id, since);
    }

    // Relaxed: accessed under the broker's lock only.

    pub(super) fn add_subscription(&self) {
        self.subscriptions.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a subscription, and returns how many are left.
    pub(super) fn remove_subscription(&self) -> u32 {
        self.subscriptions.0.fetch_sub(1, Ordering::Relaxed) - 1
    }

    /// Computes the link that a match of these events at `position` stores. Returns also whether the match begins a run
    /// that is a [checkpoint](super::jumps).
    #[inline]
    pub(super) fn link(&self, position: Position, events: u64) -> (Link, bool) {
        let NextLink { lengths, mut before, begins } = self.chain.link(position, events == Link::ALL);
        let mut is_checkpoint = false;
        if begins {
            let runs = self.runs.0.load(Ordering::Relaxed).wrapping_add(1);
            self.runs.0.store(runs, Ordering::Relaxed);
            is_checkpoint = runs.is_multiple_of(SPACING);
            if is_checkpoint {
                before = before.of_checkpoint();
                self.chain.before.store(before, Ordering::Relaxed);
            }
        }
        (Link { node: self.id, before, events, lengths }, is_checkpoint)
    }

    /// Returns the hash of the node's key, or 0 if it has none.
    pub(crate) fn key_hash(&self, keys: &KeyHasher) -> u64 {
        self.subject.key.as_ref().map_or(0, |key| keys.hash(key))
    }

    /// Returns the position from which the chain is complete.
    pub(crate) fn since(&self) -> Position {
        self.since
    }

    /// Returns one past the last match that was evicted while some node was younger than it, or zero.
    ///
    /// It covers what a chain cannot: matches that were published before there was a node to link them to.
    pub(crate) fn evicted(&self) -> Position {
        self.evicted.get()
    }

    /// Returns whether such a match at `start` or later was evicted. `oldest` must have been loaded before this call.
    ///
    /// An evicted match is noted before `oldest` moves. So the last note may be of a batch that is still in reach. It
    /// is not counted then, and the note before it is used.
    pub(crate) fn has_evicted(&self, start: Position, oldest: Position) -> bool {
        let past = self.evicted();
        past > start && (past <= oldest || self.evicted_before.get() > start)
    }

    /// Notes such a match. `oldest` is its value before the publish that evicts the match.
    pub(super) fn note_evicted(&self, position: Position, oldest: Position) {
        let before = self.evicted.get();
        if before <= oldest {
            self.evicted_before.set(before);
        }
        self.evicted.set(position.next());
    }
}

/// What a slot stores for one node that it matched.
///
/// Consecutive matches form a run, so that a reader with many matches passes over them in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(super) node: NodeId,
    /// One past the last match before the run that ends here.
    pub(super) before: Before,
    /// Which events matched. It is [`ALL`](Self::ALL), or one bit for each event in a batch of up to 64, or a range of
    /// the slot's ordinals: its start in the upper half and its length in the lower half.
    pub(super) events: u64,
    pub(super) lengths: RunLengths,
}

impl Link {
    pub(super) const ALL: u64 = u64::MAX;

    /// Returns where the run begins that ends at `past`, and where the part of it begins that matched whole.
    #[inline]
    pub(super) fn run(&self, past: Position) -> (Position, Position) {
        let back = |batches: u32| Position(past.0.saturating_sub(u64::from(batches)));
        (back(self.lengths.matched), back(self.lengths.whole))
    }
}

/// The links of one slot, sorted by node.
#[derive(Debug)]
pub(crate) enum Links {
    None,
    One(Link),
    /// One link, whose run is a checkpoint that begins at this slot.
    Checkpoint(Box<(Link, Jump)>),
    Many(Box<[Link]>),
    /// Links with ordinals or jumps, which few slots have.
    Detailed(Box<Detailed>),
}

#[derive(Debug)]
pub(crate) struct Detailed {
    links: Box<[Link]>,
    /// The ordinals of the matching events of each link. Only for a batch of more than 64 events, unless all events
    /// match all nodes.
    ordinals: Box<[u32]>,
    /// The jumps of the checkpoints that begin at this slot, sorted by node.
    jumps: Box<[(NodeId, Jump)]>,
}

/// The events of one slot that matched one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hits<'a> {
    All,
    Bits(u64),
    Ordinals(&'a [u32]),
}

/// Up to this many links are searched one by one.
const MAX_LINEAR_LINKS: usize = 8;

impl Links {
    /// The length of the longest batch whose matching events fit into a set of bits.
    pub(crate) const BITS: usize = 64;

    /// Creates the links of any number of nodes, sorted by node. `ordinals` are what the links refer to, and `jumps`
    /// are those of the checkpoints that begin at this slot, sorted by node.
    pub(super) fn new(links: SmallVec<[Link; 1]>, ordinals: Vec<u32>, jumps: Vec<(NodeId, Jump)>) -> Self {
        if !ordinals.is_empty() || !jumps.is_empty() {
            let links = links.into_vec().into_boxed_slice();
            return Self::Detailed(Box::new(Detailed { links, ordinals: ordinals.into(), jumps: jumps.into() }));
        }
        match links.as_slice() {
            [] => Self::None,
            [link] => Self::One(*link),
            _ => Self::Many(links.into_vec().into_boxed_slice()),
        }
    }

    /// Returns the bytes that the links take beside their own size.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::None | Self::One(_) => 0,
            Self::Many(links) => size_of_val(&**links),
            Self::Checkpoint(checkpoint) => size_of_val(&**checkpoint),
            Self::Detailed(detailed) => {
                let Detailed { links, ordinals, jumps } = &**detailed;
                size_of::<Detailed>() + size_of_val(&**links) + size_of_val(&**ordinals) + size_of_val(&**jumps)
            }
        };
        bytes as u64
    }

    #[inline]
    fn as_slice(&self) -> &[Link] {
        match self {
            Self::None => &[],
            Self::One(link) => std::slice::from_ref(link),
            Self::Checkpoint(checkpoint) => std::slice::from_ref(&checkpoint.0),
            Self::Many(links) => links,
            Self::Detailed(detailed) => &detailed.links,
        }
    }

    /// Returns the jump of the node's checkpoint, if one begins at this slot.
    pub(super) fn jump(&self, node: NodeId) -> Option<&Jump> {
        match self {
            Self::Checkpoint(checkpoint) => Some(&checkpoint.1).filter(|_| checkpoint.0.node == node),
            Self::Detailed(detailed) => {
                let place = detailed.jumps.binary_search_by_key(&node, |(node, _)| *node).ok()?;
                detailed.jumps.get(place).map(|(_, jump)| jump)
            }
            _ => None,
        }
    }

    #[inline]
    pub(super) fn find(&self, node: NodeId) -> Option<&Link> {
        let links = self.as_slice();
        if links.len() <= MAX_LINEAR_LINKS {
            links.iter().find(|link| link.node == node)
        } else {
            let place = links.binary_search_by(|link| link.node.cmp(&node)).ok()?;
            links.get(place)
        }
    }

    #[inline]
    fn hits(&self, link: &Link) -> Hits<'_> {
        match self {
            _ if link.events == Link::ALL => Hits::All,
            Self::Detailed(listed) if !listed.ordinals.is_empty() => {
                let start = usize::try_from(link.events >> 32).unwrap_or(usize::MAX);
                let len = usize::try_from(link.events & u64::from(u32::MAX)).unwrap_or(0);
                Hits::Ordinals(listed.ordinals.get(start..start.saturating_add(len)).unwrap_or_default())
            }
            _ => Hits::Bits(link.events),
        }
    }

    /// Returns the events that matched a node.
    #[inline]
    pub(crate) fn matched<L>(&self, node: &Node<L>) -> Option<Hits<'_>> {
        self.find(node.id).map(|link| self.hits(link))
    }

    /// Returns the events that matched any of `nodes`, which are sorted by id, if the slot has only one link and there
    /// are at most [`MAX_LINEAR_LINKS`] nodes.
    #[inline]
    pub(crate) fn matched_only<L>(&self, nodes: &[Arc<Node<L>>]) -> Option<Hits<'_>> {
        match self.as_slice() {
            [link] if nodes.len() <= MAX_LINEAR_LINKS && nodes.iter().any(|node| node.id == link.node) => {
                Some(self.hits(link))
            }
            _ => None,
        }
    }

    /// Returns the events that matched each of `nodes`, which are sorted by id.
    pub(crate) fn matched_any<'a, L>(&'a self, nodes: &[Arc<Node<L>>]) -> impl Iterator<Item = Hits<'a>> {
        // The shorter list is visited, and the other one is searched.
        let by_node = nodes.len() <= self.as_slice().len();
        count(Step::Find, nodes.len().min(self.as_slice().len()));
        let from_nodes = nodes.iter().filter(move |_| by_node).filter_map(|node| self.matched(node));
        let from_links = self.as_slice().iter().filter(move |_| !by_node).filter_map(move |link| {
            nodes.binary_search_by(|node| node.id.cmp(&link.node)).ok().map(|_| self.hits(link))
        });
        from_nodes.chain(from_links)
    }
}

/// Compares nodes by id, which is the order that [`Links::matched_any`] needs.
pub(crate) fn by_id<L>(left: &Node<L>, right: &Node<L>) -> Cmp {
    left.id.cmp(&right.id)
}
