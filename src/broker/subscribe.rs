//! Opening and ending a subscription: the question, the nodes, and the start.
//! Reading from it is not here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::core::{Core, State};
use crate::access::{AccessRequest, Denial, Grant, Principal};
use crate::error::SubscribeError;
use crate::filter::Filter;
use crate::gate::{Gate, GateState};
use crate::interest::{NodeTerm, by_id, node_terms};
use crate::position::Position;
use crate::request::{Request, Start};
use crate::shared::{Begin, Meters, Node, POLLED, Shared, Station};
use crate::subscription::{Subscription, Verdict};
use crate::token::{Place, Token};
use crate::wait::Seat;

/// So many terms are joined before others get a turn at the lock.
const CHUNK: usize = 64;

/// Where a subscription begins, as far as is known when it opens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begins {
    /// At the oldest batch of its first read.
    Oldest,
    /// At the first batch that has this place or a later one; it has not come yet.
    Pending,
    At(Position),
}

/// What an opened subscription is made of.
pub(crate) struct Opened {
    pub(crate) station: Station,
    pub(crate) place: u32,
    pub(crate) begins: Begins,
    pub(crate) verdict: Verdict,
    /// What has been passed, as a resume token has it.
    pub(crate) token: Token,
    /// The position that the chains of all nodes are complete from.
    pub(crate) live_from: Position,
}

/// An answer of the authorizer, and the number of access changes before the question.
pub(crate) struct Answer {
    pub(crate) grant: Option<Grant>,
    changes: u64,
    deletions: usize,
}

impl<P> Core<P> {
    pub(super) fn subscribe(self: &Arc<Self>, mut request: Request<P>) -> Result<Subscription<P>, SubscribeError> {
        let filter = self.share(Filter::new(&mut request)?);
        let (opened, grant) = self.open(&filter, &request)?;
        let subscription = Subscription::open(Arc::clone(self), filter, request, grant, opened);
        self.hooks.observe(|observer| observer.on_subscribe(subscription.id()));
        Ok(subscription)
    }

    /// The filter, shared with the subscription before if that asked for the same: readers come in crowds.
    fn share(&self, filter: Filter) -> Arc<Filter> {
        let last = self.state.lock().last_filter.upgrade();
        if let Some(last) = last.filter(|last| **last == filter) {
            return last;
        }
        let filter = Arc::new(filter);
        let last = Arc::downgrade(&filter);
        let before = std::mem::replace(&mut self.state.lock().last_filter, last);
        drop(before);
        filter
    }

    #[expect(
        clippy::significant_drop_tightening,
        reason = "what is found under the lock must hold until all is entered"
    )]
    fn open(&self, filter: &Arc<Filter>, request: &Request<P>) -> Result<(Opened, Option<Grant>), SubscribeError> {
        let question = Question::begin(self);
        let mut answer = question.ask(filter, &request.principal).map_err(SubscribeError::Denied)?;
        let terms: Vec<NodeTerm> = node_terms(filter).collect();
        let mut nodes = Joined { core: self, nodes: Vec::with_capacity(terms.len()) };
        let (last, early) = terms.split_at(terms.len().min(CHUNK));
        for chunk in early.chunks(CHUNK) {
            nodes.join(&mut self.state.lock(), chunk);
        }
        loop {
            let mut state = self.state.lock();
            if state.appender.is_closed() {
                return Err(SubscribeError::Closed);
            }
            match answer.stands(&state, &request.principal) {
                Standing::Stands => {}
                Standing::Stale => {
                    drop(state);
                    answer = question.ask(filter, &request.principal).map_err(SubscribeError::Denied)?;
                    continue;
                }
                Standing::Deleted => return Err(SubscribeError::Denied(token_deleted())),
            }
            let (begins, verdict, from) = state.begin(request.start)?;
            nodes.join(&mut state, last);
            let grant = answer.grant.take();
            let opened = Self::enter(&mut state, filter, request, grant.as_ref(), nodes.keep(), begins, verdict, from);
            return Ok((opened, grant));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, split off to keep `open` on a screen")]
    fn enter(
        state: &mut State<P>,
        filter: &Arc<Filter>,
        request: &Request<P>,
        grant: Option<&Grant>,
        mut nodes: Vec<Arc<Node>>,
        begins: Begins,
        verdict: Verdict,
        from: Place,
    ) -> Opened {
        nodes.sort_unstable_by(|a, b| by_id(a, b));
        let live_from = nodes.iter().map(|node| node.since()).max().unwrap_or_default();
        let named = nodes.len() > POLLED;
        state.next_id += 1;
        let meters = Meters::new();
        meters.set_cursor(match begins {
            Begins::At(position) => position,
            Begins::Oldest => Meters::OLDEST,
            Begins::Pending => Meters::PENDING,
        });
        let shared = Shared {
            id: state.next_id,
            filter: Arc::clone(filter),
            gate: Gate::new(),
            begin: Begin::new(),
            meters,
            nodes: nodes.into(),
        };
        let station = Arc::new(Seat::new(shared.nodes.len().max(1), named, shared));
        if let Begins::Pending = begins {
            state.pending.enter(from, Arc::clone(&station));
        }
        state.readers_of_all += usize::from(filter.is_everything());
        state.named_readers += usize::from(named);
        let place = state.registry.enter(Arc::clone(&station));
        match grant {
            Some(grant) => state.registry.rest(&station, &request.principal, grant),
            // Without an authorizer only a named token can be deleted.
            None if !request.principal.is_anonymous() => {
                state.registry.rest(&station, &request.principal, &Grant::all());
            }
            None => {}
        }
        Opened { station, place, begins, verdict, token: Token::new(state.epoch, from), live_from }
    }

    /// Takes a subscription out again.
    pub(crate) fn leave(&self, station: &Station, place: u32, principal: &Principal, grant: Option<&Grant>) {
        let nodes = &station.owner.nodes;
        if nodes.is_empty() {
            self.everyone.leave(station, 0);
        }
        for (list, node) in nodes.iter().enumerate() {
            node.lists.parked.leave(station, list);
            if let Some(named) = node.lists.named_if_any() {
                named.leave(station, list);
            }
        }
        let mut state = self.state.lock();
        state.registry.exit(place);
        match grant {
            Some(grant) => state.registry.unrest(station, principal, grant),
            None if !principal.is_anonymous() => state.registry.unrest(station, principal, &Grant::all()),
            None => {}
        }
        state.readers_of_all -= usize::from(nodes.is_empty());
        state.named_readers -= usize::from(station.is_named());
        let waiting = state.pending.exit(station.owner.id);
        drop(state);
        drop(waiting);
        for chunk in nodes.chunks(CHUNK) {
            let mut state = self.state.lock();
            for node in chunk {
                state.interest.leave(node);
            }
        }
    }

    /// Asks the authorizer about an open subscription, as often as access changes meanwhile. Its new grant is noted.
    ///
    /// A panic of the authorizer counts as a denial. `seen` becomes what the gate said before the last question.
    #[expect(clippy::significant_drop_tightening, reason = "the answer must stand until its basis is noted")]
    pub(crate) fn ask_again(
        &self,
        station: &Station,
        filter: &Filter,
        principal: &Principal,
        held: Option<&Grant>,
        seen: &mut GateState,
    ) -> Result<Option<Grant>, Denial> {
        let question = Question::begin(self);
        loop {
            *seen = station.owner.gate.state();
            let mut answer = catch_unwind(AssertUnwindSafe(|| question.ask(filter, principal)))
                .unwrap_or_else(|_| Err(Denial::new("the check of access failed")))?;
            let mut state = self.state.lock();
            match answer.stands(&state, principal) {
                Standing::Stale => {}
                Standing::Deleted => return Err(token_deleted()),
                Standing::Stands => {
                    if let (Some(held), Some(grant)) = (held, &answer.grant) {
                        state.registry.unrest(station, principal, held);
                        state.registry.rest(station, principal, grant);
                    }
                    return Ok(answer.grant.take());
                }
            }
        }
    }
}

pub(crate) fn token_deleted() -> Denial {
    Denial::new("the token was deleted")
}

/// Nodes joined for a subscription that may yet be refused.
struct Joined<'a, P> {
    core: &'a Core<P>,
    nodes: Vec<Arc<Node>>,
}

impl<P> Joined<'_, P> {
    fn join(&mut self, state: &mut State<P>, terms: &[NodeTerm]) {
        let end = state.appender.end();
        self.nodes.extend(terms.iter().map(|term| state.interest.join(term, end)));
    }

    fn keep(&mut self) -> Vec<Arc<Node>> {
        std::mem::take(&mut self.nodes)
    }
}

impl<P> Drop for Joined<'_, P> {
    fn drop(&mut self) {
        for chunk in self.nodes.chunks(CHUNK) {
            let mut state = self.core.state.lock();
            for node in chunk {
                state.interest.leave(node);
            }
        }
    }
}

/// A question to the authorizer that is under way: deletions are remembered until it has been answered.
struct Question<'a, P> {
    core: &'a Core<P>,
}

enum Standing {
    Stands,
    /// Access changed since the question was asked.
    Stale,
    /// A token that the answer rests on was deleted: nothing is left to ask.
    Deleted,
}

impl<'a, P> Question<'a, P> {
    fn begin(core: &'a Core<P>) -> Self {
        if core.hooks.authorizer.is_some() {
            core.state.lock().questions += 1;
        }
        Self { core }
    }

    fn ask(&self, filter: &Filter, principal: &Principal) -> Result<Answer, Denial> {
        let Some(authorizer) = &self.core.hooks.authorizer else {
            return Ok(Answer { grant: None, changes: 0, deletions: 0 });
        };
        let (changes, deletions) = {
            let state = self.core.state.lock();
            (state.access_changes, state.deletions.len())
        };
        let scope = filter.scope();
        let grant = authorizer.authorize(&AccessRequest { principal, terms: filter.terms(), scope })?;
        match grant.uncovered(scope) {
            Some(name) => Err(Denial::new(format!("no access to the namespace {name}"))),
            None => Ok(Answer { grant: Some(grant), changes, deletions }),
        }
    }
}

impl<P> Drop for Question<'_, P> {
    fn drop(&mut self) {
        if self.core.hooks.authorizer.is_some() {
            let mut state = self.core.state.lock();
            state.questions -= 1;
            if state.questions == 0 {
                state.deletions.clear();
            }
        }
    }
}

impl Answer {
    fn stands<P>(&self, state: &State<P>, principal: &Principal) -> Standing {
        let Some(grant) = &self.grant else { return Standing::Stands };
        if state.access_changes == self.changes {
            return Standing::Stands;
        }
        let deleted = state.deletions.get(self.deletions..).unwrap_or_default();
        if deleted.iter().any(|id| &**id == principal.id() || grant.rests_on_token(id)) {
            Standing::Deleted
        } else {
            Standing::Stale
        }
    }
}

impl<P> State<P> {
    /// Where a start begins, what is to be said of it, and the place that everything before has been passed.
    fn begin(&self, start: Start) -> Result<(Begins, Verdict, Place), SubscribeError> {
        match start {
            Start::Oldest => Ok((Begins::Oldest, Verdict::Whole, Place::before(0))),
            Start::Latest => Ok((Begins::At(self.appender.end()), Verdict::Whole, self.next_place())),
            Start::Index(index) => Ok(self.begin_at(Place::before(index))),
            Start::After(token) if token.epoch() == self.epoch => Ok(self.begin_at(token.place())),
            Start::After(_) => {
                Ok((Begins::Oldest, Verdict::OtherEpoch { oldest: self.oldest_index() }, Place::before(0)))
            }
            Start::Exactly(index) => self.begin_exactly(index),
        }
    }

    /// The place that the next batch cannot be before.
    fn next_place(&self) -> Place {
        self.next_place.max(Place::before(self.latest_index()))
    }

    fn begin_at(&self, from: Place) -> (Begins, Verdict, Place) {
        let end = self.appender.end();
        let latest = self.latest_index();
        let position = self.appender.seek(from);
        let begins = if position < end || from <= self.next_place() {
            Begins::At(position)
        } else {
            // A further batch of the latest index may still come, and must not be delivered.
            Begins::Pending
        };
        let verdict = if from < self.gone() {
            Verdict::Lost { oldest: self.oldest_index() }
        } else if from.index > latest.saturating_add(1) {
            Verdict::Future { latest }
        } else {
            Verdict::Whole
        };
        (begins, verdict, from)
    }

    fn begin_exactly(&self, index: u64) -> Result<(Begins, Verdict, Place), SubscribeError> {
        let from = Place::before(index);
        let latest = self.latest_index();
        if from < self.gone() {
            return Err(SubscribeError::Lost { index, oldest: self.oldest_index() });
        }
        let position = self.appender.seek(from);
        match self.appender.get(position).map(|record| record.place.index) {
            Some(found) if found == index => Ok((Begins::At(position), Verdict::Whole, from)),
            None if index > latest => Err(SubscribeError::Future { index, latest }),
            next => Err(SubscribeError::Absent { index, next }),
        }
    }
}
