//! Nodes, and the links that chain a node's matches through the log.
//! Where nodes are found is the table's business.

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

/// A position that may not exist yet: one past it, or 0.
#[derive(Debug)]
struct AtomicPast(AtomicU64);

impl AtomicPast {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Acquire, with the Release of `set`: whoever sees a node's last match finds its slot written.
    #[inline]
    fn get(&self) -> Position {
        Position(self.0.load(Ordering::Acquire))
    }

    fn set(&self, past: Position) {
        self.0.store(past.0, Ordering::Release);
    }
}

/// One past the last match before a run, or zero, and whether the run is a [checkpoint](super::jumps): in the highest
/// bit, which no position reaches.
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

/// A [`Before`] that the holder of the broker's lock alone looks at.
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

/// The end of a chain, written under the broker's lock. Readers look at the last match alone.
#[derive(Debug)]
pub(crate) struct Chain {
    last: AtomicPast,
    before: AtomicBefore,
    streaks: AtomicU64,
}

/// What a match adds to its chain.
struct Chained {
    streaks: Streaks,
    before: Before,
    /// Whether a run begins with it.
    begins: bool,
}

/// How many batches, up to one that matched, matched without a gap, and how many of them matched whole.
///
/// Runs of 2^32 batches begin anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Streaks {
    matched: u32,
    whole: u32,
}

impl Chain {
    fn new() -> Self {
        Self { last: AtomicPast::new(), before: AtomicBefore(AtomicU64::new(0)), streaks: AtomicU64::new(0) }
    }

    /// One past the last match, or zero.
    #[inline]
    pub(crate) fn last(&self) -> Position {
        self.last.get()
    }

    /// What a match at `position` will store: the streaks it ends, and one past the last match before them.
    ///
    /// [`extend`](Self::extend) must follow, once it is stored.
    #[inline]
    fn link(&self, position: Position, whole: bool) -> Chained {
        // Relaxed: nobody but the holder of the broker's lock looks at these.
        let word = self.streaks.load(Ordering::Relaxed);
        let last = self.last.get();
        let Streaks { matched, whole: all } = Streaks::unpack(word);
        let begins = last != position || last == Position::ZERO || matched == u32::MAX;
        let (matched, all) = if begins { (0, 0) } else { (matched, all) };
        let streaks = Streaks { matched: matched + 1, whole: if whole { all + 1 } else { 0 } };
        self.streaks.store(streaks.pack(), Ordering::Relaxed);
        if begins {
            self.before.store(Before::new(last), Ordering::Relaxed);
        }
        Chained { streaks, before: self.before.load(Ordering::Relaxed), begins }
    }

    /// Lets readers find a match at `position`, whose link has been stored.
    pub(super) fn extend(&self, position: Position) {
        self.last.set(position.next());
    }
}

impl Streaks {
    const fn pack(self) -> u64 {
        (self.matched as u64) << 32 | self.whole as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    const fn unpack(word: u64) -> Self {
        Self { matched: (word >> 32) as u32, whole: word as u32 }
    }
}

/// The namespaces that a node takes events of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// All, and none.
    Any,
    /// Events without a namespace alone.
    None,
    /// The one of this number.
    One(u32),
    /// The same, and events without a namespace.
    OneOrNone(u32),
    /// All of the [scope](super::wide) of this number.
    Scope(u32),
}

impl Side {
    /// The number that stands for any namespace, and the one for none; see [`Names`].
    pub(super) const ANY: u32 = Names::ANY;
    pub(super) const NONE: u32 = 1;

    /// The number that a node of any key is looked for under.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Any | Self::Scope(_) => Self::ANY,
            Self::None => Self::NONE,
            Self::One(number) | Self::OneOrNone(number) => number,
        }
    }

    /// The one namespace, with or without events of none.
    pub(super) fn one(self) -> Option<u32> {
        match self {
            Self::One(number) | Self::OneOrNone(number) => Some(number),
            Self::Any | Self::None | Self::Scope(_) => None,
        }
    }
}

/// What a node stands for: a term, and the namespaces of one scope.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The topic's number, or [`Names::ANY`].
    pub(super) topic: u32,
    pub(super) side: Side,
    pub(super) key: Option<Key>,
}

/// Whoever asks for one namespace can share a node that takes what has none as well.
impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        let is_one = self.side.one().is_some() && self.side.one() == other.side.one();
        (is_one || self.side == other.side) && self.topic == other.topic && self.key == other.key
    }
}

impl Subject {
    /// Whether an event that was looked for under these numbers is a match of a node of any key: hashes may collide.
    #[inline]
    pub(super) fn takes(&self, side: u32, topic: u32) -> bool {
        side == self.side.number() && self.topic == topic && self.key.is_none()
    }

    /// Whether an event that was looked for by this key and topic is a match; `side` is the number of its namespace, if
    /// it has one.
    #[inline]
    pub(super) fn takes_by_key(&self, side: Option<u32>, topic: u32, key: &Key) -> bool {
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

/// One distinct term. `L` are the lists of whoever waits for it.
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

/// How many there are; only the holder of the broker's lock looks.
#[derive(Debug)]
struct Subscriptions(AtomicU32);

/// How many runs its chain has begun, modulo 2^32; only the holder of the broker's lock looks.
#[derive(Debug)]
struct Runs(AtomicU32);

impl<L: Default> Node<L> {
    /// A node of nothing yet but a key, with one subscription: it is made outside the lock, and
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
    /// Names the node, and has its chain begin at this position.
    pub(super) fn begin(&mut self, id: NodeId, since: Position) {
        (self.id, self.since) = (id, since);
    }

    // Relaxed: under the broker's lock.

    pub(super) fn add_subscription(&self) {
        self.subscriptions.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are left.
    pub(super) fn remove_subscription(&self) -> u32 {
        self.subscriptions.0.fetch_sub(1, Ordering::Relaxed) - 1
    }

    /// The link that a match of these events at `position` will store, and whether a run begins with it that is a
    /// [checkpoint](super::jumps).
    #[inline]
    pub(super) fn link(&self, position: Position, events: u64) -> (Link, bool) {
        let Chained { streaks, mut before, begins } = self.chain.link(position, events == Link::ALL);
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
        (Link { node: self.id, before, events, streaks }, is_checkpoint)
    }

    /// The hash of its key, if it has one.
    pub(crate) fn key_hash(&self, keys: &KeyHasher) -> u64 {
        self.subject.key.as_ref().map_or(0, |key| keys.hash(key))
    }

    /// The position that the chain is complete from.
    pub(crate) fn since(&self) -> Position {
        self.since
    }

    /// One past the last match that was evicted while some node was younger than it, or zero.
    ///
    /// It tells what a chain cannot: matches published before there was a node to link them to.
    pub(crate) fn evicted(&self) -> Position {
        self.evicted.get()
    }

    /// Whether such a match at `start` or later was evicted, as far as `oldest` tells, which was loaded before.
    ///
    /// What is evicted is noted before the oldest moves: a note may be of a batch that is still in reach, and must not
    /// hide the one before it, nor stand for it.
    pub(crate) fn has_evicted(&self, start: Position, oldest: Position) -> bool {
        let past = self.evicted();
        past > start && (past <= oldest || self.evicted_before.get() > start)
    }

    /// Notes such a match; `oldest` is where it was before the publish that evicts it.
    pub(super) fn note_evicted(&self, position: Position, oldest: Position) {
        let before = self.evicted.get();
        if before <= oldest {
            self.evicted_before.set(before);
        }
        self.evicted.set(position.next());
    }
}

/// What one slot stores for one node that it matched.
///
/// Consecutive matches form a run, so that a reader of much jumps over it in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(super) node: NodeId,
    /// The last match before the run that ends here.
    pub(super) before: Before,
    /// Which events matched: [`ALL`](Self::ALL), or a set of bits in a batch of up to 64, or a range of the slot's list.
    pub(super) events: u64,
    pub(super) streaks: Streaks,
}

impl Link {
    pub(super) const ALL: u64 = u64::MAX;

    /// Where the run begins that ends at the match before `past`, and where the part of it that matched whole does.
    #[inline]
    pub(super) fn run(&self, past: Position) -> (Position, Position) {
        let back = |batches: u32| Position(past.0.saturating_sub(u64::from(batches)));
        (back(self.streaks.matched), back(self.streaks.whole))
    }
}

/// The links of one slot, sorted by node.
#[derive(Debug)]
pub(crate) enum Links {
    None,
    One(Link),
    /// One that begins a checkpoint.
    Checkpoint(Box<(Link, Jump)>),
    Many(Box<[Link]>),
    /// With what few slots have.
    Detailed(Box<Detailed>),
}

#[derive(Debug)]
pub(crate) struct Detailed {
    links: Box<[Link]>,
    /// Of a batch of more than 64 events, unless all match all: the matching events of each link.
    ordinals: Box<[u32]>,
    /// Of the checkpoints that begin here, by node.
    jumps: Box<[(NodeId, Jump)]>,
}

/// The events of one slot that matched one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hits<'a> {
    All,
    Bits(u64),
    Ordinals(&'a [u32]),
}

/// Up to so many links are looked through one by one.
const LINEAR: usize = 8;

impl Links {
    /// The longest batch whose matching events fit a set of bits.
    pub(crate) const BITS: usize = 64;

    /// Of any number of nodes, sorted; `ordinals` are what they refer to, and `jumps` those of the checkpoints that begin
    /// with them, sorted.
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

    /// What they take beside their own size.
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

    /// Where the checkpoint of this node leads that begins here, if one does.
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
        if links.len() <= LINEAR {
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

    /// The events that matched a node.
    #[inline]
    pub(crate) fn matched<L>(&self, node: &Node<L>) -> Option<Hits<'_>> {
        self.find(node.id).map(|link| self.hits(link))
    }

    /// The events that matched any of `nodes`, which are sorted by id, if there is one link alone.
    #[inline]
    pub(crate) fn matched_only<L>(&self, nodes: &[Arc<Node<L>>]) -> Option<Hits<'_>> {
        match self.as_slice() {
            [link] if nodes.len() <= LINEAR && nodes.iter().any(|node| node.id == link.node) => Some(self.hits(link)),
            _ => None,
        }
    }

    /// The events that matched each of `nodes`, which are sorted by id.
    pub(crate) fn matched_any<'a, L>(&'a self, nodes: &[Arc<Node<L>>]) -> impl Iterator<Item = Hits<'a>> {
        // Whichever side is shorter is gone through, the other is searched.
        let by_node = nodes.len() <= self.as_slice().len();
        count(Step::Find, nodes.len().min(self.as_slice().len()));
        let from_nodes = nodes.iter().filter(move |_| by_node).filter_map(|node| self.matched(node));
        let from_links = self.as_slice().iter().filter(move |_| !by_node).filter_map(move |link| {
            nodes.binary_search_by(|node| node.id.cmp(&link.node)).ok().map(|_| self.hits(link))
        });
        from_nodes.chain(from_links)
    }
}

/// The order that [`Links::matched_any`] needs.
pub(crate) fn by_id<L>(left: &Node<L>, right: &Node<L>) -> Cmp {
    left.id.cmp(&right.id)
}
