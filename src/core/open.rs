//! Opening and ending a subscription: the question, the nodes, and the start.
//! Reading from it is not here.

use std::sync::Arc;

use super::join::{Joined, Nodes};
use super::questions::{Asked, Freshness};
use super::shared::{POLLED, PendingStart, ReaderCounters, Shared, Waiter};
use super::state::{Core, Hooks, State};
use crate::access::{AccessRequest, Grant};
use crate::access::{Ending, Gate, GateState};
use crate::interest::Filter;
use crate::panics::catch_panic;
use crate::types::error::Denial;
use crate::types::error::SubscribeError;
use crate::types::position::Position;
use crate::types::principal::Principal;
use crate::types::request::Request;
use crate::types::start::Start;
use crate::types::start::Verdict;
use crate::types::token::{Place, Token};
use crate::wait;

/// So often is the authorizer asked for one subscription, or by one read that cannot wait, if what its answers rest on
/// changes each time.
pub(crate) const MOST_QUESTIONS: u32 = 16;

/// So often is it looked for whether a reader has lost something, while batches are evicted.
const MOST_LOOKS: u32 = 8;

/// Where a subscription begins, as far as is known when it opens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartPosition {
    At(Position),
    /// At this position, the oldest now, or at the oldest of its first read, but not behind `end`: what is buffered now
    /// and goes before the first read is no loss, and what is published from now on is.
    /// No batch published from now on has an index below `bound`.
    Elastic {
        from: Position,
        end: Position,
        bound: u64,
    },
    /// At the first batch that has its place or a later one; it has not come yet.
    Pending,
}

/// Where a reader stands.
pub(crate) struct Standpoint {
    /// The place of what comes next, or that nothing to come is before.
    pub(crate) place: Place,
    /// The place after the batch before: whoever has passed that stands here, too.
    pub(crate) after: Place,
}

/// What a start found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) verdict: Verdict,
    /// Whether the oldest index, if the verdict names one, has all its batches.
    pub(crate) oldest_is_whole: bool,
}

/// What an opened subscription is made of.
pub(crate) struct Opened {
    pub(crate) waiter: Waiter,
    pub(crate) grant: Option<Grant>,
    pub(crate) start_position: StartPosition,
    pub(crate) found: Found,
    /// The place that everything before has been passed.
    pub(crate) passed: Place,
    /// The position that the chains of all nodes are complete from.
    pub(crate) live_from: Position,
}

/// What a read does with a question that has been asked in vain: what the answer rests on changed meanwhile.
pub(crate) enum Again {
    Ask,
    GiveUp,
}

/// How a question about an open subscription ended.
pub(crate) enum Settled {
    Allowed(Option<Grant>),
    Denied(Denial),
    /// Access changes faster than it can be asked for.
    Not,
}

impl<P> Core<P> {
    /// The filter, shared with the subscription before if that asked for the same: readers come in crowds.
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
        let question = Question::begin(self, &request.principal, false);
        let mut asked = 1;
        let mut answer = question.ask(asked, filter, &request.principal).map_err(SubscribeError::Denied)?;
        let mut joined = Joined::prepare(self, filter);
        loop {
            let mut state = self.state.lock_in_turn();
            if state.appender.is_closed() {
                return Err(SubscribeError::Closed);
            }
            match answer.freshness(&state, &request.principal) {
                Freshness::Fresh => {}
                Freshness::Stale => {
                    drop(state);
                    if asked == MOST_QUESTIONS {
                        return Err(SubscribeError::AccessUnsettled { asked });
                    }
                    asked += 1;
                    answer = question.ask(asked, filter, &request.principal).map_err(SubscribeError::Denied)?;
                    continue;
                }
                Freshness::Deleted => return Err(SubscribeError::Denied(token_deleted())),
            }
            let start = state.resolve_start(request.start)?;
            let grant = answer.map(|answer| answer.grant);
            let nodes = joined.finish(&mut state);
            let opened = Self::enter(&mut state, filter, request, grant, nodes, start);
            // Before what was joined: a scope that is no longer under way is released under the lock.
            drop(state);
            return Ok(opened);
        }
    }

    fn enter(
        state: &mut State<P>,
        filter: &Arc<Filter>,
        request: &Request<P>,
        grant: Option<Grant>,
        Nodes { sorted: nodes, registrations, live_from }: Nodes,
        ResolvedStart { start_position, found, from }: ResolvedStart,
    ) -> Opened {
        let queues_hits = nodes.len() > POLLED;
        state.next_id += 1;
        let counters = ReaderCounters::new();
        match start_position {
            StartPosition::At(position) => counters.set_cursor(position),
            StartPosition::Elastic { end, .. } => counters.set_elastic(end),
            StartPosition::Pending => counters.set_cursor(ReaderCounters::PENDING),
        }
        let shared = Shared {
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
            state.pending.insert(from, Arc::clone(&waiter));
        }
        state.readers_of_all += usize::from(filter.is_everything());
        state.notified_readers += usize::from(queues_hits);
        state.registry.insert(Arc::clone(&waiter));
        match &grant {
            Some(grant) => state.registry.index_by_basis(&waiter, &request.principal, grant),
            // Without an authorizer only a named token can be deleted.
            None if !request.principal.is_anonymous() => {
                state.registry.index_by_basis(&waiter, &request.principal, &Grant::all());
            }
            None => {}
        }
        Opened { waiter, grant, start_position, found, passed: from, live_from }
    }

    /// Takes a subscription out again.
    pub(crate) fn leave(&self, waiter: &Waiter, principal: &Principal, grant: Option<&Grant>) {
        let nodes = &waiter.owner.nodes;
        if nodes.is_empty() {
            self.everyone.leave(waiter, 0);
        }
        for (list, node) in nodes.iter().enumerate() {
            node.lists.parked.leave(waiter, list);
            if let Some(notified) = node.lists.notified_if_any() {
                notified.leave(waiter, list);
            }
        }
        let mut state = self.state.lock_in_turn();
        waiter.owner.gate.leave();
        state.registry.remove(waiter.owner.id);
        match grant {
            Some(grant) => state.registry.unindex_by_basis(waiter, principal, grant),
            None if !principal.is_anonymous() => state.registry.unindex_by_basis(waiter, principal, &Grant::all()),
            None => {}
        }
        state.readers_of_all -= usize::from(nodes.is_empty());
        state.notified_readers -= usize::from(waiter.has_hit_queue());
        let waiting = state.pending.remove(waiter);
        drop(state);
        drop(waiting);
        self.leave_nodes(nodes);
    }

    /// Asks the authorizer about an open subscription, and again if what its answer rests on changes meanwhile, unless
    /// `again` gives up. Its new grant is noted.
    ///
    /// A panic of the authorizer counts as a denial. When it is settled, `seen` has the changes of the gate that the
    /// answer is newer than.
    #[expect(clippy::significant_drop_tightening, reason = "the answer must stand until its basis is noted")]
    pub(crate) fn recheck(
        &self,
        waiter: &Waiter,
        filter: &Filter,
        principal: &Principal,
        held: Option<&Grant>,
        last_gate: &mut GateState,
        mut again: impl FnMut() -> Again,
    ) -> Settled {
        let question = Question::begin(self, principal, true);
        for asked in 1.. {
            let asked = catch_panic(|| question.ask(asked, filter, principal));
            let answer = match asked.unwrap_or_else(|| Err(Denial::new("the check of access failed"))) {
                Ok(answer) => answer,
                Err(denial) => return Settled::Denied(denial),
            };
            let mut state = self.state.lock_in_turn();
            match answer.freshness(&state, principal) {
                Freshness::Fresh => {
                    // No change passes the gate while the lock is held.
                    *last_gate = last_gate.with_changes_of(waiter.owner.gate.state());
                    let grant = answer.map(|answer| answer.grant);
                    if let (Some(held), Some(grant)) = (held, &grant) {
                        state.registry.unindex_by_basis(waiter, principal, held);
                        state.registry.index_by_basis(waiter, principal, grant);
                    }
                    return Settled::Allowed(grant);
                }
                Freshness::Deleted => return Settled::Denied(token_deleted()),
                Freshness::Stale => drop(state),
            }
            if waiter.owner.gate.state().is_ended_at_once() {
                break;
            }
            if let Again::GiveUp = again() {
                break;
            }
        }
        Settled::Not
    }

    /// Where the reader of a subscription stands, as far as others can tell.
    pub(crate) fn token_of(&self, waiter: &Waiter) -> Token {
        let shared = &waiter.owner;
        let here = || self.place_at(waiter, shared.resume_position(self.log.end().position)).map(|here| here.place);
        let place = shared.pending_place().or_else(here);
        // Of what it had read nothing is left to tell where that was: a token that tells of a loss.
        Token::new(shared.epoch, place.unwrap_or(Place::before(0)))
    }

    /// Where a reader stands whose cursor this is. `None` if it has lost something, or reads another history.
    ///
    /// Whether it has lost something is found before the lock is taken, since that is to be asked of each of its nodes;
    /// under it only if batches are evicted faster than that, time after time.
    pub(crate) fn place_at(&self, waiter: &Waiter, cursor: Position) -> Option<Standpoint> {
        for _ in 0..MOST_LOOKS {
            let oldest = self.log.oldest();
            let lost = cursor < oldest && waiter.owner.has_lost(cursor, oldest);
            let state = self.state.lock_in_turn();
            if state.appender.oldest() == oldest || cursor >= state.appender.oldest() {
                return state.place_at(waiter, cursor, lost);
            }
        }
        let state = self.state.lock_in_turn();
        let oldest = state.appender.oldest();
        let lost = cursor < oldest && waiter.owner.has_lost(cursor, oldest);
        state.place_at(waiter, cursor, lost)
    }

    /// The oldest position, the place of what lies there or comes next, and the place behind the last batch before it.
    pub(crate) fn after_skip(&self) -> (Position, Place, Place) {
        let state = self.state.lock_in_turn();
        let oldest = state.appender.oldest();
        match state.appender.get(oldest) {
            Some(record) => (oldest, record.place, record.after),
            None => (oldest, state.next_place, state.next_place),
        }
    }
}

pub(crate) fn token_deleted() -> Denial {
    Denial::new("the token was deleted")
}

/// A question to the authorizer that is under way: deletions are remembered until it has been answered.
struct Question<'a, P> {
    core: &'a Core<P>,
    /// Whether it is about a subscription that is open.
    recheck: bool,
}

/// An answer that allowed what was asked for, and when it was asked for.
struct Answer {
    grant: Grant,
    asked: Asked,
}

trait Answered {
    fn freshness<P>(&self, state: &State<P>, principal: &Principal) -> Freshness;
}

impl Answered for Option<Answer> {
    /// Without an authorizer there is no answer to become stale.
    fn freshness<P>(&self, state: &State<P>, principal: &Principal) -> Freshness {
        self.as_ref()
            .map_or(Freshness::Fresh, |Answer { grant, asked }| state.questions.freshness(*asked, grant, principal))
    }
}

impl<'a, P> Question<'a, P> {
    fn begin(core: &'a Core<P>, principal: &Principal, recheck: bool) -> Self {
        if core.hooks.authorizer.is_some() {
            core.state.lock_in_turn().questions.open(principal);
        }
        Self { core, recheck }
    }

    /// Asks once more. A grant that does not cover what was named is a denial, and so is one that has expired already, to
    /// who opens a subscription.
    fn ask(&self, asked: u32, filter: &Filter, principal: &Principal) -> Result<Option<Answer>, Denial> {
        let Hooks { authorizer: Some(authorizer), clock, .. } = &self.core.hooks else { return Ok(None) };
        let asked = self.core.state.lock_in_turn().questions.ask(asked);
        let scope = filter.scope();
        let request = AccessRequest { principal, terms: filter.terms(), scope, recheck: self.recheck };
        let grant = authorizer.authorize(&request)?;
        if let Some(name) = grant.uncovered(scope) {
            return Err(Denial::new(format!("no access to the namespace {name}")));
        }
        // Of an open subscription it is the end that says so.
        if !self.recheck && grant.expiry().is_some_and(|expiry| expiry <= clock.now()) {
            return Err(Denial::new("access has expired already"));
        }
        Ok(Some(Answer { grant, asked }))
    }
}

impl<P> Drop for Question<'_, P> {
    fn drop(&mut self) {
        if self.core.hooks.authorizer.is_some() {
            self.core.state.lock_in_turn().questions.close();
        }
    }
}

/// How a subscription begins: where, what is to be said of it, and the place that everything before has been passed.
struct ResolvedStart {
    start_position: StartPosition,
    found: Found,
    from: Place,
}

impl<P> State<P> {
    /// `lost` says whether something from the cursor on is gone that was asked for, or may have been.
    fn place_at(&self, waiter: &Waiter, mut cursor: Position, lost: bool) -> Option<Standpoint> {
        let gate = waiter.owner.gate.state();
        if gate.is(Ending::Reset) || gate.is_skipped() {
            return None;
        }
        let (oldest, end) = (self.appender.oldest(), self.appender.end());
        // What a skip led over, a reader that had left before was not told of; one that came after it stands behind it.
        let skipped = gate.has_left() && self.skipped_at.is_some_and(|skipped| cursor <= skipped);
        if skipped || cursor < oldest && (gate.has_left() || lost) {
            return None;
        }
        cursor = cursor.max(oldest);
        match self.appender.get(cursor) {
            Some(record) => Some(Standpoint { place: record.place, after: record.after }),
            None if cursor >= end => Some(Standpoint { place: self.earliest_next_place(), after: self.next_place }),
            None => None,
        }
    }

    fn resolve_start(&self, start: Start) -> Result<ResolvedStart, SubscribeError> {
        match start {
            Start::Oldest => Ok(self.start_at_oldest(Verdict::Whole)),
            Start::Latest => {
                let start_position = StartPosition::At(self.appender.end());
                Ok(self.resolved_start(start_position, Verdict::Whole, self.earliest_next_place()))
            }
            Start::Index(index) => Ok(self.start_at(Place::before(index))),
            Start::After(token) if token.epoch() == self.epoch => Ok(self.start_at(token.place())),
            Start::After(_) => Ok(self.start_at_oldest(Verdict::OtherEpoch { oldest: self.oldest_index() })),
            Start::Exactly(index) => self.start_exactly(index),
        }
    }

    fn resolved_start(&self, start_position: StartPosition, verdict: Verdict, from: Place) -> ResolvedStart {
        ResolvedStart { start_position, found: Found { verdict, oldest_is_whole: self.oldest_is_whole() }, from }
    }

    fn start_at_oldest(&self, verdict: Verdict) -> ResolvedStart {
        let (from, next) = (self.appender.oldest(), self.earliest_next_place());
        let start_position = StartPosition::Elastic { from, end: self.appender.end(), bound: next.index };
        self.resolved_start(start_position, verdict, self.appender.get(from).map_or(next, |record| record.place))
    }

    fn start_at(&self, from: Place) -> ResolvedStart {
        let from = if self.rising { from.in_rising_history() } else { from };
        if from < self.lost_below() {
            return self.start_at_oldest(Verdict::Lost { oldest: self.oldest_index() });
        }
        let latest = self.latest_index();
        let verdict = if from.index > latest.saturating_add(1) { Verdict::Future { latest } } else { Verdict::Whole };
        let position = self.appender.seek(from);
        match self.appender.get(position) {
            // Nothing lies between: whoever stands there stands here.
            Some(record) => self.resolved_start(StartPosition::At(position), verdict, record.place),
            None if from <= self.earliest_next_place() => {
                self.resolved_start(StartPosition::At(position), verdict, self.earliest_next_place())
            }
            // A further batch of the latest index may still come, and must not be delivered.
            None => self.resolved_start(StartPosition::Pending, verdict, from),
        }
    }

    fn start_exactly(&self, index: u64) -> Result<ResolvedStart, SubscribeError> {
        let from = Place::before(index);
        let latest = self.latest_index();
        if from < self.lost_below() {
            return Err(SubscribeError::Lost { index, oldest: self.oldest_index() });
        }
        let position = self.appender.seek(from);
        match self.appender.get(position).map(|record| record.place.index) {
            Some(found) if found == index => Ok(self.resolved_start(StartPosition::At(position), Verdict::Whole, from)),
            None if index > latest => Err(SubscribeError::Future { index, latest }),
            next => Err(SubscribeError::Absent { index, next }),
        }
    }
}
