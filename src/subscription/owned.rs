//! The next owned delivery: by the fast path, if the reader knows where it is, or by looking for it.
//! Nothing here waits.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::{mem, ptr};

use super::budget::Budget;
use super::cursor::{Located, Searched};
use super::delivery::{Delivery, Selected};
use super::refinement::{Chosen, Refinement};
use super::state::{StartState, Subscription};
use crate::core::ReadCounts;
use crate::core::{Published, Record};
use crate::interest::Matching;
use crate::log::Segment;
use crate::types::error::RecvError;
use crate::types::position::Position;

/// So many events of a batch are judged before a turn may be over.
const EXAMINED_AT_ONCE: usize = 256;

/// So often is a batch begun to be judged in turns. If access changes as often before it is done, it is judged in one.
const MOST_BEGINS: u32 = 3;

/// What became of a batch that was judged.
enum Refined {
    /// What of it is delivered, if anything.
    All(Option<Chosen>),
    /// The turn was over before its end.
    Some,
}

/// What a read finds that neither fails nor waits.
pub(super) enum Next<P> {
    Delivery(Delivery<P>),
    /// Everything has been passed that was published before the read began.
    Empty,
    /// There may be more: the reader has looked at as much as it may in one turn.
    BudgetSpent,
}

impl<P> Subscription<P> {
    /// The next delivery, if there is one now.
    #[inline]
    pub(super) fn next_now(&mut self, budget: &mut Budget) -> Result<Next<P>, RecvError> {
        match self.next_known() {
            Some(delivery) => Ok(Next::Delivery(delivery)),
            None => self.next_looked_for(budget),
        }
    }

    /// The next delivery, if the reader knows where it is and nothing else has a say.
    #[inline]
    pub(super) fn next_known(&mut self) -> Option<Delivery<P>> {
        match self.next_whole() {
            Some(batch) => Some(Delivery::whole(batch)),
            None => self.next_part(),
        }
    }

    /// Where that is.
    ///
    /// The end that was loaded when the reader learned of the batch is older than the gate that is loaded here.
    #[inline]
    fn known_position(&self) -> Option<Position> {
        let free =
            self.ended.is_none() && self.selector.is_trivial() && self.waiter.owner.gate.state() == self.last_gate;
        if free && self.start_state == StartState::Reading { self.cursor.next_known() } else { None }
    }

    /// The next batch, if it is known to match whole. Most are read so: no lock is taken, and the segment is held for
    /// as long as the batch is taken out of it. One pointer is given because it fits a register: with a delivery a read
    /// took half as long again wherever the compiler does not inline this.
    #[inline]
    pub(super) fn next_whole(&mut self) -> Option<Record<P>> {
        let position = self.known_position()?;
        if self.cursor.matching() != Matching::Whole {
            return None;
        }
        let segment = self.segment.upgrade()?;
        let batch = match segment.get(position) {
            Some(batch) => Arc::clone(batch),
            None => self.first_of_next(&segment, position)?,
        };
        if segment.is_last(position) {
            self.leave(&segment);
        }
        // It may be the last to hold what was evicted meanwhile: it goes before the batch is passed.
        drop(segment);
        if position < self.core.log.oldest() {
            return None;
        }
        self.pass(position, &batch, batch.events.len());
        Some(batch)
    }

    /// The batch at `position`, with which the segment after this one begins.
    #[inline(never)]
    fn first_of_next(&mut self, segment: &Segment<Record<P>>, position: Position) -> Option<Record<P>> {
        let weak = segment.next()?;
        let next = weak.upgrade()?;
        let batch = Arc::clone(next.get(position)?);
        drop(next);
        self.segment = Weak::clone(weak);
        Some(batch)
    }

    /// Lets the next read begin in the segment after this one, if that is there by now.
    #[inline(never)]
    fn leave(&mut self, segment: &Segment<Record<P>>) {
        if let Some(next) = segment.next() {
            self.segment = Weak::clone(next);
        }
    }

    /// The next delivery, known as [`next_whole`](Self::next_whole) knows it, where links tell what of it was asked for.
    #[inline(never)]
    pub(super) fn next_part(&mut self) -> Option<Delivery<P>> {
        let position = self.known_position()?;
        if self.cursor.matching() != Matching::Linked {
            return None;
        }
        let segment = self.segment.upgrade()?;
        let record = segment.get(position)?;
        let selection = self.selector.select(record, &self.waiter.owner.nodes, self.cursor.matching())?.into_owned();
        let batch = Arc::clone(record);
        drop(segment);
        if position < self.core.log.oldest() {
            return None;
        }
        self.pass(position, &batch, selection.len(batch.events.len()));
        Some(Delivery { batch, selection })
    }

    /// Counts a delivery as read.
    #[inline]
    fn pass(&mut self, position: Position, batch: &Published<P>, events: usize) {
        self.cursor.pass(position);
        self.passed = batch.place.next();
        let counters = &self.waiter.owner.counters;
        counters.set_cursor(position.next());
        counters.add(ReadCounts { batches: 1, events: events as u64 });
    }

    /// The next delivery of what was published before this was called. It may not be known yet, and some of it may be
    /// refused.
    #[inline(never)]
    pub(super) fn next_looked_for(&mut self, budget: &mut Budget) -> Result<Next<P>, RecvError> {
        let mut horizon = None;
        loop {
            let Some(now) = self.look(budget)? else { return Ok(Next::BudgetSpent) };
            // What is published while this looks is not looked at, or a fast publisher could keep a read that refuses
            // everything from ever coming back.
            let (finished, end) = *horizon.get_or_insert(now);
            if !self.has_begun(finished) {
                return if end.closed { Err(self.end(RecvError::Closed)) } else { Ok(Next::Empty) };
            }
            let mut searched = None;
            match self.cursor.locate(&self.core.log, &self.waiter, end.position, &mut searched) {
                Located::CaughtUp => {
                    self.pass_all(finished);
                    return if end.closed { Err(self.end(RecvError::Closed)) } else { Ok(Next::Empty) };
                }
                Located::Lost => {
                    if let Some(error) = self.lag() {
                        return Err(error);
                    }
                }
                Located::At(position) => {
                    if searched.is_none()
                        && let Some(delivery) = self.next_known()
                    {
                        return Ok(Next::Delivery(delivery));
                    }
                    // Evicted since it was located: look again.
                    let Some((batch, selection)) = self.fetch(position, searched) else { continue };
                    let has_post_filters = selection.is_some() && self.selector.has_post_filters();
                    let selection = match selection {
                        Some(selection) if has_post_filters => {
                            match self.refine_batch(position, &batch, selection, budget) {
                                Refined::All(selection) => selection,
                                Refined::Some => return Ok(Next::BudgetSpent),
                            }
                        }
                        selection => selection,
                    };
                    let Some(selection) = selection else {
                        self.cursor.pass(position);
                        self.has_passed();
                        self.passed = batch.place.next();
                        if budget.spend(batch.events.len(), has_post_filters) {
                            self.waiter.owner.counters.set_cursor(position.next());
                            return Ok(Next::BudgetSpent);
                        }
                        continue;
                    };
                    self.has_passed();
                    self.pass(position, &batch, selection.len(batch.events.len()));
                    return Ok(Next::Delivery(Delivery { batch, selection }));
                }
            }
        }
    }

    /// The batch at `position`, and what of it matches terms and scope, if it is still in reach.
    #[inline]
    fn fetch(&mut self, position: Position, searched: Searched<P>) -> Option<(Record<P>, Option<Chosen>)> {
        let nodes = &self.waiter.owner.nodes;
        // The directory may be the last to hold what was evicted: it goes before the batch is passed.
        let directory = searched.unwrap_or_else(|| self.core.log.directory());
        let segment = directory.segment(position).filter(|_| self.core.log.oldest() <= position);
        let found = segment.and_then(|segment| segment.get(position)).map(|record| {
            // It takes as long as the batch is long, and a large one is judged in turns.
            let begun = self.refinement.as_mut().filter(|refinement| refinement.position == position);
            let selection = match begun.and_then(|begun| begun.selection.take()) {
                Some(selection) => Some(selection),
                None => self.selector.select(record, nodes, self.cursor.matching()).map(Selected::into_owned),
            };
            (Arc::clone(record), selection)
        });
        // Whoever reads all there is will come back here, and so will who has more to read.
        let comes_back = nodes.is_empty() || !self.cursor.is_last_known(position);
        if let Some(segment) = segment.filter(|_| comes_back)
            && !ptr::eq(self.segment.as_ptr(), Arc::as_ptr(segment))
        {
            self.segment = Arc::downgrade(segment);
        }
        found
    }

    /// What is left of a selection after types, grant, hook and predicate.
    ///
    /// A large batch is judged in as many turns as it takes. If access changes in between, it is judged anew, some times at
    /// most: what was judged under the old grant says nothing of the new one. What the predicate said holds.
    fn refine_batch(
        &mut self,
        position: Position,
        batch: &Published<P>,
        selection: Chosen,
        budget: &mut Budget,
    ) -> Refined {
        let Self { selector, core, last_gate, refinement, .. } = self;
        let authorizer = core.hooks.authorizer.as_deref();
        if batch.events.len() <= EXAMINED_AT_ONCE {
            let selection = selection.map(|ordinals| Cow::Owned(ordinals.into_vec()));
            return Refined::All(selector.refine(authorizer, &batch.events, selection).map(Selected::into_owned));
        }
        let changes = last_gate.changes();
        let mut begun = refinement.take().filter(|refinement| refinement.position == position).unwrap_or_default();
        if begun.changes != changes || begun.examined == 0 {
            let begins = begun.begins + 1;
            let said = mem::take(&mut begun.said);
            *begun = Refinement { position, changes, begins, said, ..Refinement::default() };
        }
        let in_parts = begun.begins <= MOST_BEGINS;
        let mut events = selection.events(&batch.events);
        events.skip_first(begun.examined);
        while let Some((ordinal, place)) = events.next_with_ordinal() {
            if begun.said.len() == begun.examined {
                begun.said.push(None);
            }
            let said = begun.said.get_mut(begun.examined);
            begun.examined += 1;
            if let (Some(event), Some(said)) = (batch.events.get(place), said)
                && selector.delivers_with(authorizer, event, said)
            {
                begun.kept.push(ordinal);
            }
            if begun.examined.is_multiple_of(EXAMINED_AT_ONCE) && budget.spend(EXAMINED_AT_ONCE, true) && in_parts {
                begun.selection = Some(selection);
                *refinement = Some(begun);
                return Refined::Some;
            }
        }
        Refined::All(Selected::of(batch.events.len(), begun.kept.into_iter()).map(Selected::into_owned))
    }

    /// The same in one turn, after those that were begun.
    pub(super) fn refine_whole<'r>(
        &mut self,
        position: Position,
        batch: &'r Published<P>,
        selection: Selected<'r>,
    ) -> Option<Selected<'r>> {
        if self.refinement.is_none() {
            let authorizer = self.core.hooks.authorizer.as_deref();
            return self.selector.refine(authorizer, &batch.events, selection);
        }
        match self.refine_batch(position, batch, selection.into_owned(), &mut Budget::unlimited()) {
            Refined::All(selection) => Some(selection?.map(|ordinals| Cow::Owned(ordinals.into_vec()))),
            Refined::Some => None,
        }
    }
}
