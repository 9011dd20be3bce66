//! Defines nodes: a subject, the chain of its matches, and what was evicted that the chain does not hold.
//! Where a node is found is decided in `table`. What a chain holds is decided in `chain`, and how it is followed in
//! `walk`.
//!
//! Invariants:
//! - an evicted match is recorded in the node before the log's `oldest` moves beyond it;
//! - id, subject and the position from which matches are chained do not change once the node is stored;
//! - the counts are accessed under the broker's lock only.
//!
//! Callers: `hits` and `table` under the broker's lock; `walk`, `core::shared` and `subscription` read without it.

use std::cmp::Ordering as Cmp;
use std::num::NonZeroU64;

use super::chain::{AtomicEnd, Chain, Link, NextLink};
use super::jumps::{NodeId, SPACING};
use super::keys::KeyHasher;
use super::names::Names;
use super::subject::{NamespaceScope, Subject};
use crate::sync::{AtomicU32, Ordering};
use crate::types::name::Key;
use crate::types::position::Position;

/// One distinct subject. `L` is the type of the node's wait lists.
#[derive(Debug)]
pub(crate) struct Node<L> {
    pub(super) id: NodeId,
    pub(super) chained_from: Position,
    pub(crate) chain: Chain,
    evicted_end: AtomicEnd,
    previous_evicted_end: AtomicEnd,
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
    /// Creates a node with a key and one subscription. It is created outside the lock. Under it, the subject is
    /// completed and the node [begins](Self::begin).
    pub(super) fn prepared(key: Option<Key>) -> Self {
        Self {
            id: NodeId(NonZeroU64::MIN),
            chained_from: Position::ZERO,
            chain: Chain::new(),
            evicted_end: AtomicEnd::new(),
            previous_evicted_end: AtomicEnd::new(),
            subscriptions: Subscriptions(AtomicU32::new(1)),
            runs: Runs(AtomicU32::new(0)),
            subject: Subject { topic: Names::ANY, namespaces: NamespaceScope::Any, key },
            lists: L::default(),
        }
    }

    #[cfg(all(test, not(broker_loom)))]
    pub(super) fn new(id: NodeId, chained_from: Position, subject: Subject) -> Self {
        let mut node = Self::prepared(None);
        node.subject = subject;
        node.begin(id, chained_from);
        node
    }
}

impl<L> Node<L> {
    /// Sets the node's id, and the position from which matches are chained.
    pub(super) fn begin(&mut self, id: NodeId, chained_from: Position) {
        (self.id, self.chained_from) = (id, chained_from);
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
        let NextLink { lengths, mut previous_end, begins } = self.chain.link(position, events == Link::ALL);
        let mut is_checkpoint = false;
        if begins {
            let runs = self.runs.0.load(Ordering::Relaxed).wrapping_add(1);
            self.runs.0.store(runs, Ordering::Relaxed);
            is_checkpoint = runs.is_multiple_of(SPACING);
            if is_checkpoint {
                previous_end = previous_end.of_checkpoint();
                self.chain.previous_end.store(previous_end, Ordering::Relaxed);
            }
        }
        (Link { node: self.id, previous_end, events, lengths }, is_checkpoint)
    }

    /// Returns the hash of the node's key, or 0 if it has none.
    pub(crate) fn key_hash(&self, keys: &KeyHasher) -> u64 {
        self.subject.key.as_ref().map_or(0, |key| keys.hash(key))
    }

    /// Returns the position from which matches are chained.
    pub(crate) fn chained_from(&self) -> Position {
        self.chained_from
    }

    /// Returns one past the last match that was evicted while some node was younger than that batch, or zero.
    ///
    /// It covers matches that no chain holds: those that were published before the node was created.
    pub(crate) fn evicted_end(&self) -> Position {
        self.evicted_end.get()
    }

    /// Returns whether such a match at `start` or later was evicted. `oldest` must have been loaded before this call.
    ///
    /// An evicted match is recorded before `oldest` moves. So the last record may be of a batch that is still in reach.
    /// It is ignored then, and the record before it is used.
    pub(crate) fn has_evicted(&self, start: Position, oldest: Position) -> bool {
        let end = self.evicted_end();
        end > start && (end <= oldest || self.previous_evicted_end.get() > start)
    }

    /// Records such a match. `oldest` is its value before the operation that evicts the match.
    pub(super) fn record_eviction(&self, position: Position, oldest: Position) {
        let end = self.evicted_end.get();
        if end <= oldest {
            self.previous_evicted_end.set(end);
        }
        self.evicted_end.set(position.next());
    }
}

/// Compares nodes by id, which is the order that `Links::matched_any` needs.
pub(crate) fn by_id<L>(left: &Node<L>, right: &Node<L>) -> Cmp {
    left.id.cmp(&right.id)
}
