//! Opening a subscription, and leaving it again.
//! Access is decided in `recheck`, the start is resolved in `start`, and reading is in `subscription`.
//!
//! Invariant: the step that enters a subscription checks that the decision is fresh, finds the start, and joins the
//! last nodes. So nothing is published between them.
//!
//! Callers: `broker` opens, and the drop of a subscription leaves, without a lock.

use std::sync::Arc;

use super::decisions::Freshness;
use super::join::{Joined, Nodes};
use super::recheck::{AccessCheck, CheckFreshness, MAX_ATTEMPTS, token_deleted};
use super::shared::{MAX_POLLED_NODES, PendingStart, ReaderCounters, SubscriptionShared, Waiter};
use super::start::{ResolvedStart, StartPosition, StartVerdict};
use super::state::{Core, State};
use crate::access::{Gate, Grant};
use crate::interest::Filter;
use crate::types::error::SubscribeError;
use crate::types::position::Position;
use crate::types::principal::Principal;
use crate::types::request::Request;
use crate::types::token::Place;
use crate::wait;

/// What an opened subscription is made of.
pub(crate) struct Opened {
    pub(crate) waiter: Waiter,
    pub(crate) grant: Option<Grant>,
    pub(crate) start_position: StartPosition,
    pub(crate) start_verdict: StartVerdict,
    /// The place below which everything is passed.
    pub(crate) passed: Place,
    /// The position from which the chains of all nodes are complete.
    pub(crate) live_from: Position,
}

impl<P> Core<P> {
    /// Returns the filter, shared with the previous subscription if that one's is equal: many readers make the same
    /// request.
    fn share(&self, filter: Filter) -> Arc<Filter> {
        let last = self.last_filter.lock().upgrade();
        if let Some(last) = last.filter(|last| **last == filter) {
            return last;
        }
        let filter = Arc::new(filter);
        let before = std::mem::replace(&mut *self.last_filter.lock(), Arc::downgrade(&filter));
        drop(before);
        filter
    }

    /// Opens a subscription: asks the authorizer, joins the nodes, and finds the start.
    pub(crate) fn open(&self, request: &mut Request<P>) -> Result<Opened, SubscribeError> {
        let filter = &self.share(Filter::new(request)?);
        let check = AccessCheck::begin(self, &request.principal, false);
        let mut attempt = 1;
        let mut decision =
            check.request_decision(attempt, filter, &request.principal).map_err(SubscribeError::Denied)?;
        let mut joined = Joined::prepare(self, filter);
        loop {
            let mut state = self.state.lock_step();
            if state.appender.is_closed() {
                return Err(SubscribeError::Closed);
            }
            match decision.freshness(&state, &request.principal) {
                Freshness::Fresh => {}
                Freshness::Stale => {
                    drop(state);
                    if attempt == MAX_ATTEMPTS {
                        return Err(SubscribeError::AccessUnsettled { asked: attempt });
                    }
                    attempt += 1;
                    decision =
                        check.request_decision(attempt, filter, &request.principal).map_err(SubscribeError::Denied)?;
                    continue;
                }
                Freshness::Deleted => return Err(SubscribeError::Denied(token_deleted())),
            }
            let start = state.resolve_start(request.start)?;
            let grant = decision.map(|decision| decision.grant);
            let nodes = joined.finish(&mut state);
            let opened = Self::enter(&mut state, filter, request, grant, nodes, start);
            // Released before `joined` is dropped, which takes the lock to release a scope.
            drop(state);
            return Ok(opened);
        }
    }

    /// Enters a subscription into the registry, under the lock.
    fn enter(
        state: &mut State<P>,
        filter: &Arc<Filter>,
        request: &Request<P>,
        grant: Option<Grant>,
        Nodes { sorted: nodes, registrations, live_from }: Nodes,
        ResolvedStart { start_position, start_verdict, from }: ResolvedStart,
    ) -> Opened {
        let queues_hits = nodes.len() > MAX_POLLED_NODES;
        state.next_id += 1;
        let counters = ReaderCounters::new();
        match start_position {
            StartPosition::At(position) => counters.set_cursor(position),
            StartPosition::Elastic { end, .. } => counters.set_elastic(end),
            StartPosition::Pending => counters.set_cursor(ReaderCounters::PENDING),
        }
        let shared = SubscriptionShared {
            id: state.next_id,
            epoch: state.epoch,
            principal: request.principal.public_id().map(Box::new),
            filter: Arc::clone(filter),
            gate: Gate::new(),
            pending_start: matches!(start_position, StartPosition::Pending).then(|| Box::new(PendingStart::new(from))),
            counters,
            opened: match start_position {
                StartPosition::At(position) | StartPosition::Elastic { from: position, .. } => position,
                StartPosition::Pending => Position::ZERO,
            },
            nodes,
        };
        let waiter = Arc::new(wait::Waiter::new(registrations, queues_hits, shared));
        if let StartPosition::Pending = start_position {
            state.pending_starts.insert(from, Arc::clone(&waiter));
        }
        state.unfiltered_readers += usize::from(filter.is_everything());
        state.hit_queue_readers += usize::from(queues_hits);
        state.registry.insert(Arc::clone(&waiter));
        match &grant {
            Some(grant) => state.registry.index_by_basis(&waiter, &request.principal, grant),
            // Without an authorizer only a named token can be deleted.
            None if !request.principal.is_anonymous() => {
                state.registry.index_by_basis(&waiter, &request.principal, &Grant::all());
            }
            None => {}
        }
        Opened { waiter, grant, start_position, start_verdict, passed: from, live_from }
    }

    /// Takes a subscription out of wait lists, registry and nodes. Returns whether none was left after it.
    pub(crate) fn leave(&self, waiter: &Waiter, principal: &Principal, grant: Option<&Grant>) -> bool {
        let nodes = &waiter.shared.nodes;
        if nodes.is_empty() {
            self.unfiltered.leave(waiter, 0);
        }
        for (list, node) in nodes.iter().enumerate() {
            node.lists.waiting.leave(waiter, list);
            if let Some(hit_queues) = node.lists.hit_queues_if_any() {
                hit_queues.leave(waiter, list);
            }
        }
        let mut state = self.state.lock_step();
        waiter.shared.gate.set_left();
        state.registry.remove(waiter.shared.id);
        match grant {
            Some(grant) => state.registry.unindex_by_basis(waiter, principal, grant),
            None if !principal.is_anonymous() => state.registry.unindex_by_basis(waiter, principal, &Grant::all()),
            None => {}
        }
        state.unfiltered_readers -= usize::from(nodes.is_empty());
        state.hit_queue_readers -= usize::from(waiter.has_hit_queue());
        let waiting = state.pending_starts.remove(waiter);
        let is_last = state.registry.len() == 0;
        drop(state);
        drop(waiting);
        self.leave_nodes(nodes);
        is_last
    }
}
