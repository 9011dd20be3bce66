//! Links a batch to the nodes that it hits, and records in them that a batch is evicted.
//! Which nodes an event hits is decided in `table`. What a link holds is decided in `chain`.
//!
//! Invariants:
//! - a publish keeps this order: [`Interest::link`] computes the links, the appender writes the slot that holds them,
//!   [`HitNodes::extend_chains`] moves the ends of the chains, and then the end of the log moves;
//! - a batch has one link for each node that it hits, however many of its events or keys hit the node;
//! - an eviction is recorded before `oldest` moves.
//!
//! Callers: `core` under the broker's lock.

use smallvec::SmallVec;

use super::chain::Link;
use super::jumps::NodeId;
use super::links::Links;
use super::node::Node;
use super::table::Interest;
use crate::steps::{Step, count};
use crate::types::event::Event;
use crate::types::position::Position;

/// The nodes that a batch hits, each once.
#[derive(Debug)]
pub(crate) struct HitNodes<'i, L>(SmallVec<[&'i Node<L>; 8]>);

impl<L: Default> Interest<L> {
    /// Calls `store` with the links of a batch at `position`, and adds the nodes that it hits to `hit`, which must be
    /// empty. [`HitNodes::extend_chains`] must follow, once readers can find what was stored.
    ///
    /// `store` is called in one of several places, so that the batch is built where it is needed. Copying the links of
    /// one hit into the batch took 5 % of a publish, and copying no links 8 %.
    #[inline]
    pub(crate) fn link<'i, P, E: AsRef<[Event<P>]>, R>(
        &'i self,
        position: Position,
        events: E,
        hit: &mut HitNodes<'i, L>,
        store: impl FnOnce(E, Links) -> R,
    ) -> R {
        if self.shapes.is_empty() {
            return store(events, Links::None);
        }
        let HitNodes(nodes) = hit;
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

    /// Creates links, with the jumps of the checkpoints that begin at this slot.
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
            // Reserved at once, because growing would allocate again and again.
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

    /// Returns whether evictions from this position on must be [recorded](Self::record_eviction), because some node is
    /// younger than the batch there.
    #[inline]
    pub(crate) fn records_evictions(&self, oldest: Position) -> bool {
        oldest < self.latest_chained_from
    }

    /// Records in the nodes that a batch hit that it is evicted. Does nothing unless some node is younger than the
    /// batch.
    ///
    /// Older nodes record it as well, because a reader of an old and a young node scans all batches that are older than
    /// either. `oldest` is the value that readers still load: it moves after this call.
    pub(crate) fn record_eviction<P>(&self, position: Position, oldest: Position, events: &[Event<P>]) {
        if position >= self.latest_chained_from {
            return;
        }
        for event in events {
            self.look_up(event, |node| {
                count(Step::Hit, 1);
                node.record_eviction(position, oldest);
            });
        }
    }
}

impl<'i, L> HitNodes<'i, L> {
    /// Creates an empty set.
    #[inline]
    pub(crate) fn new() -> Self {
        Self(SmallVec::new())
    }

    #[inline]
    pub(crate) fn nodes(&self) -> &[&'i Node<L>] {
        &self.0
    }

    /// Moves the ends of the nodes' chains past the batch at `position`, whose links have been stored.
    pub(crate) fn extend_chains(&self, position: Position) {
        for node in &self.0 {
            node.chain.extend(position);
        }
    }
}
