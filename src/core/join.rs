//! Joining and leaving the nodes of a subscription.
//! Whether a subscription may open is decided in `recheck`, and where it begins in `start`.
//!
//! What takes as long as the request is long is done outside the lock, or in short steps.
//!
//! Invariants:
//! - A subscription that is refused leaves every node and scope that it joined.
//! - The chains of all nodes of a subscription are complete from [`Nodes::live_from`].
//!
//! Callers: `open`. Each function takes the broker's lock itself, but [`Joined::finish`] runs under it.

use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::shared::{Lists, Node};
use super::state::{Core, State};
use crate::interest::{Filter, NodeTerm, by_id, is_wide, node_terms};
use crate::steps::{Step, count};
use crate::types::position::Position;
use crate::types::small_list::SmallList;
use crate::wait::Registration;

/// The most terms that are joined, nodes that are left, or namespaces that are entered in one step: some microseconds.
const NODES_PER_STEP: usize = 16;

/// The most terms that are joined in the step that enters the subscription.
const MAX_AT_ENTRY: usize = 8;

impl<P> Core<P> {
    /// Leaves the nodes of a subscription, some in each step.
    pub(crate) fn leave_nodes(&self, nodes: &[Arc<Node>]) {
        for chunk in nodes.chunks(NODES_PER_STEP) {
            let hashes: SmallVec<[u64; NODES_PER_STEP]> = chunk.iter().map(|node| node.key_hash(&self.keys)).collect();
            let mut unused = SmallVec::<[u32; 1]>::new();
            {
                let mut state = self.state.lock_step();
                let nodes = chunk.iter().zip(hashes);
                unused.extend(nodes.filter_map(|(node, key_hash)| state.interest.leave(node, key_hash)));
            }
            for scope in unused {
                self.exit_scope(scope);
            }
        }
    }

    /// Removes a wide scope that is no longer used, some of its namespaces in each step.
    fn exit_scope(&self, scope: u32) {
        let gone = loop {
            let step = self.state.lock_step().interest.exit_scope(scope, NODES_PER_STEP);
            if let ControlFlow::Break(gone) = step {
                break gone;
            }
        };
        // Dropped outside the lock, because it is as long as the request was.
        drop(gone);
    }
}

/// The nodes of a subscription, sorted by id, and what is derived from them before the subscription is entered.
pub(crate) struct Nodes {
    pub(crate) sorted: SmallList<Arc<Node>>,
    pub(crate) registrations: SmallList<Registration>,
    /// The position from which the chains of all nodes are complete.
    pub(crate) live_from: Position,
}

impl Nodes {
    fn new(mut nodes: Vec<Arc<Node>>) -> Self {
        count(Step::Join, nodes.len());
        nodes.sort_unstable_by(|a, b| by_id(a, b));
        Self {
            registrations: Registration::for_lists(nodes.len().max(1)),
            live_from: nodes.iter().map(|node| node.chained_from()).max().unwrap_or_default(),
            sorted: nodes.into(),
        }
    }
}

/// Nodes that are joined for a subscription that may yet be refused. Dropping it leaves them.
///
/// A few terms are joined in the step that enters the subscription, so that their chains begin exactly there. Many
/// terms are joined before, some in each step, and their nodes are sorted outside the lock. What is published meanwhile
/// is in the chains of only some of them, and is scanned.
pub(crate) struct Joined<'a, P> {
    core: &'a Core<P>,
    filter: &'a Filter,
    /// The terms that are joined in the last step.
    terms: SmallVec<[NodeTerm<Lists>; 1]>,
    nodes: Option<Nodes>,
    scope: Option<u32>,
}

impl<'a, P> Joined<'a, P> {
    pub(crate) fn prepare(core: &'a Core<P>, filter: &'a Arc<Filter>) -> Self {
        let mut joined = Self { core, filter, terms: SmallVec::new(), nodes: None, scope: None };
        if is_wide(filter) {
            joined.enter_scope(filter);
        }
        let mut terms = node_terms(filter, &core.keys);
        joined.terms.extend(terms.by_ref().take(MAX_AT_ENTRY + 1));
        if joined.terms.len() > MAX_AT_ENTRY {
            joined.join_many(terms);
        }
        joined
    }

    /// Uses the scope of a filter, and enters its namespaces if no other user has.
    fn enter_scope(&mut self, filter: &Filter) {
        let hash = self.core.hasher.hash_one(filter.scope().named());
        let alike = self.core.state.lock_step().interest.scopes_like(hash);
        // Compared and copied outside the lock. Only the scope is kept, because the request of its first user may hold
        // much else.
        let known = alike.into_iter().find(|(_, scope)| **scope == *filter.scope());
        let (known, scope) = match known {
            Some((number, scope)) => (Some(number), scope),
            None => (None, Arc::new(filter.scope().clone())),
        };
        let scope = self.core.state.lock_step().interest.use_scope(known, &scope, hash);
        self.scope = Some(scope);
        while !self.core.state.lock_step().interest.enter_scope(scope, NODES_PER_STEP) {}
    }

    fn join_many(&mut self, rest: impl Iterator<Item = NodeTerm<Lists>>) {
        let mut terms = std::mem::take(&mut self.terms).into_iter().chain(rest);
        let mut nodes = LeaveOnDrop { core: self.core, nodes: Vec::new() };
        loop {
            let mut chunk: SmallVec<[NodeTerm<Lists>; NODES_PER_STEP]> = terms.by_ref().take(NODES_PER_STEP).collect();
            if chunk.is_empty() {
                break;
            }
            nodes.nodes.reserve(2 * NODES_PER_STEP);
            let mut state = self.core.state.lock_step();
            join(&mut state, self.filter, &mut chunk, self.scope, &mut nodes.nodes);
            // Unused nodes are dropped after the lock.
            drop(state);
        }
        self.nodes = Some(Nodes::new(std::mem::take(&mut nodes.nodes)));
    }

    /// Returns all nodes, joined, for the subscription that is entered in this step.
    pub(crate) fn finish(&mut self, state: &mut State<P>) -> Nodes {
        self.nodes.take().unwrap_or_else(|| {
            let mut nodes = Vec::with_capacity(2 * self.terms.len());
            join(state, self.filter, &mut self.terms, self.scope, &mut nodes);
            Nodes::new(nodes)
        })
    }
}

fn join<P>(
    state: &mut State<P>,
    filter: &Filter,
    terms: &mut [NodeTerm<Lists>],
    scope: Option<u32>,
    nodes: &mut Vec<Arc<Node>>,
) {
    let end = state.appender.end();
    state.interest.join(filter, terms, scope, end, nodes);
}

impl<P> Drop for Joined<'_, P> {
    fn drop(&mut self) {
        if let Some(nodes) = self.nodes.take() {
            self.core.leave_nodes(&nodes.sorted);
        }
        if let Some(scope) = self.scope {
            let unused = self.core.state.lock_step().interest.release_scope(scope);
            if let Some(scope) = unused {
                self.core.exit_scope(scope);
            }
        }
    }
}

/// Nodes that are left again on drop, unless they are taken out.
struct LeaveOnDrop<'a, P> {
    core: &'a Core<P>,
    nodes: Vec<Arc<Node>>,
}

impl<P> Drop for LeaveOnDrop<'_, P> {
    fn drop(&mut self) {
        self.core.leave_nodes(&self.nodes);
    }
}
