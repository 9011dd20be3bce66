//! Stores the links of one slot, and finds in them the events that matched a node.
//! What a link holds is decided in `chain`. What is done with the events is decided in `subscription::selector`.
//!
//! Invariants:
//! - links are sorted by node, and so are jumps. There is one link for each node that the batch hit;
//! - links do not change once the slot is written.
//!
//! Callers: `hits` creates them under the broker's lock; `walk` and `subscription` read them without it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::chain::Link;
use super::jumps::{Jump, NodeId};
use super::node::Node;
use crate::steps::{Step, count};

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

/// The events that matched one node, of one slot whose batch has more events than [bits](Links::BITS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchedEvents<'a> {
    All,
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
                let index = detailed.jumps.binary_search_by_key(&node, |(node, _)| *node).ok()?;
                detailed.jumps.get(index).map(|(_, jump)| jump)
            }
            _ => None,
        }
    }

    #[inline]
    pub(super) fn find(&self, node: NodeId) -> Option<&Link> {
        find(self.as_slice(), node)
    }

    #[inline]
    fn events_of(&self, link: &Link) -> MatchedEvents<'_> {
        match self {
            _ if link.events == Link::ALL => MatchedEvents::All,
            Self::Detailed(listed) if !listed.ordinals.is_empty() => {
                let start = usize::try_from(link.events >> 32).unwrap_or(usize::MAX);
                let len = usize::try_from(link.events & u64::from(u32::MAX)).unwrap_or(0);
                MatchedEvents::Ordinals(listed.ordinals.get(start..start.saturating_add(len)).unwrap_or_default())
            }
            _ => MatchedEvents::Ordinals(&[]),
        }
    }

    /// Returns the events that matched a node.
    #[inline]
    fn matched<L>(&self, node: &Node<L>) -> Option<MatchedEvents<'_>> {
        self.find(node.id).map(|link| self.events_of(link))
    }

    /// Returns the events of a batch of `len` events that matched any of `nodes`, one bit each. The nodes are sorted by
    /// id. Returns no bits if the batch has more events than bits.
    #[inline]
    pub(crate) fn matched_bits<L>(&self, nodes: &[Arc<Node<L>>], len: usize) -> u64 {
        let Some(unused) = Self::BITS.checked_sub(len) else { return 0 };
        // In a batch of so few events no link refers to ordinals, and that of all events has all bits set.
        let bits = match nodes {
            [node] => self.find(node.id).map_or(0, |link| link.events),
            nodes => union_of_bits(self.as_slice(), nodes),
        };
        bits & (u64::MAX >> (unused & (Self::BITS - 1)))
    }

    /// Returns the events that matched each of `nodes`, which are sorted by id, if the batch has more events than bits.
    pub(crate) fn matched_any<'a, L>(&'a self, nodes: &[Arc<Node<L>>]) -> impl Iterator<Item = MatchedEvents<'a>> {
        // The shorter list is visited, and the other one is searched.
        let by_node = nodes.len() <= self.as_slice().len();
        count(Step::Find, nodes.len().min(self.as_slice().len()));
        let from_nodes = nodes.iter().filter(move |_| by_node).filter_map(|node| self.matched(node));
        let from_links = self.as_slice().iter().filter(move |_| !by_node).filter_map(move |link| {
            nodes.binary_search_by(|node| node.id.cmp(&link.node)).ok().map(|_| self.events_of(link))
        });
        from_nodes.chain(from_links)
    }
}

/// Finds the link of a node among those of a slot.
#[inline]
fn find(links: &[Link], node: NodeId) -> Option<&Link> {
    if links.len() <= MAX_LINEAR_LINKS {
        links.iter().find(|link| link.node == node)
    } else {
        // This takes half the instructions of `binary_search_by`, which compares in three ways.
        links.get(links.partition_point(|link| link.node < node)).filter(|link| link.node == node)
    }
}

/// Returns the bits of all links of these nodes. Links and nodes are sorted by node.
fn union_of_bits<L>(links: &[Link], nodes: &[Arc<Node<L>>]) -> u64 {
    count(Step::Find, nodes.len().min(links.len()));
    match links {
        [link] if nodes.len() <= MAX_LINEAR_LINKS => {
            if nodes.iter().any(|node| node.id == link.node) {
                link.events
            } else {
                0
            }
        }
        // The shorter list is visited, and the other one is searched.
        _ if nodes.len() <= links.len() => {
            let mut bits = 0;
            for node in nodes {
                bits |= find(links, node.id).map_or(0, |link| link.events);
            }
            bits
        }
        _ => {
            let requested = |link: &&Link| nodes.binary_search_by(|node| node.id.cmp(&link.node)).is_ok();
            links.iter().filter(requested).fold(0, |bits, link| bits | link.events)
        }
    }
}
