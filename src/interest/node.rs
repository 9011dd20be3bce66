//! Nodes, and the links that chain a node's matches through the log.
//! Where nodes are found is the table's business.

use std::cmp::Ordering as Cmp;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::Event;
use crate::position::Position;
use crate::sync::{AtomicU64, Ordering};

/// The name of a node. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(super) u64);

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

/// The end of a chain. All three are written under the broker's lock; readers look at the last match alone.
#[derive(Debug)]
pub(crate) struct Chain {
    last: AtomicPast,
    run_start: AtomicPast,
    before: AtomicPast,
}

impl Chain {
    fn new() -> Self {
        Self { last: AtomicPast::new(), run_start: AtomicPast::new(), before: AtomicPast::new() }
    }

    /// One past the last match, or zero.
    #[inline]
    pub(crate) fn last(&self) -> Position {
        self.last.get()
    }

    /// The link that a match at `position` will store.
    pub(super) fn link(&self, position: Position) -> (Position, Position) {
        let last = self.last.get();
        if last == position && last != Position::ZERO {
            (self.run_start.get(), self.before.get())
        } else {
            (position, last)
        }
    }

    /// Extends the chain to a match at `position`, whose link has been written.
    pub(super) fn extend(&self, position: Position) {
        let (run_start, before) = self.link(position);
        self.run_start.set(run_start);
        self.before.set(before);
        self.last.set(position.next());
    }
}

/// One distinct term. `L` are the lists of whoever waits for it.
#[derive(Debug)]
pub(crate) struct Node<L> {
    pub(super) id: NodeId,
    pub(super) since: Position,
    pub(crate) chain: Chain,
    evicted: AtomicPast,
    pub(super) term: super::NodeTerm,
    pub(crate) lists: L,
}

impl<L: Default> Node<L> {
    pub(super) fn new(id: NodeId, since: Position, term: super::NodeTerm) -> Self {
        Self { id, since, chain: Chain::new(), evicted: AtomicPast::new(), term, lists: L::default() }
    }
}

impl<L> Node<L> {
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

    /// Whether an event is a match. The chain knows it already for all that was published since the node is there.
    pub(crate) fn matches<P>(&self, event: &Event<P>) -> bool {
        self.term.matches(event)
    }

    pub(super) fn note_evicted(&self, position: Position) {
        self.evicted.set(position.next());
    }
}

/// What one slot stores for one node that it matched.
///
/// Consecutive matches form a run, so that a reader of much jumps over it in one step: the matches of the node end,
/// before this one, with `run_start..` this position, and before that with the match just before `before`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(super) node: NodeId,
    pub(super) run_start: Position,
    /// One past the last match before the run, or zero.
    pub(super) before: Position,
    /// Which events matched: [`ALL`](Self::ALL), or a set of bits in a batch of up to 64, or a range of the slot's list.
    pub(super) events: u64,
}

impl Link {
    pub(super) const ALL: u64 = u64::MAX;
}

/// The links of one slot, sorted by node.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(super) links: SmallVec<[Link; 1]>,
    /// The matching events of each link, as ordinals, in batches of more than 64.
    pub(super) ordinals: Option<Box<[u32]>>,
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

    #[inline]
    pub(super) fn find(&self, node: NodeId) -> Option<&Link> {
        if self.links.len() <= LINEAR {
            self.links.iter().find(|link| link.node == node)
        } else {
            let place = self.links.binary_search_by(|link| link.node.cmp(&node)).ok()?;
            self.links.get(place)
        }
    }

    #[inline]
    fn hits(&self, link: &Link) -> Hits<'_> {
        match &self.ordinals {
            _ if link.events == Link::ALL => Hits::All,
            None => Hits::Bits(link.events),
            Some(ordinals) => {
                let start = usize::try_from(link.events >> 32).unwrap_or(usize::MAX);
                let len = usize::try_from(link.events & u64::from(u32::MAX)).unwrap_or(0);
                Hits::Ordinals(ordinals.get(start..start.saturating_add(len)).unwrap_or_default())
            }
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
        match self.links.as_slice() {
            [link] if nodes.len() <= LINEAR && nodes.iter().any(|node| node.id == link.node) => Some(self.hits(link)),
            _ => None,
        }
    }

    /// The events that matched each of `nodes`, which are sorted by id.
    pub(crate) fn matched_any<'a, L>(&'a self, nodes: &[Arc<Node<L>>]) -> impl Iterator<Item = Hits<'a>> {
        // Whichever side is shorter is gone through, the other is searched.
        let by_node = nodes.len() <= self.links.len();
        let from_nodes = nodes.iter().filter(move |_| by_node).filter_map(|node| self.matched(node));
        let from_links = self.links.iter().filter(move |_| !by_node).filter_map(move |link| {
            nodes.binary_search_by(|node| node.id.cmp(&link.node)).ok().map(|_| self.hits(link))
        });
        from_nodes.chain(from_links)
    }
}

/// The order that [`Links::matched_any`] needs.
pub(crate) fn by_id<L>(left: &Node<L>, right: &Node<L>) -> Cmp {
    left.id.cmp(&right.id)
}
