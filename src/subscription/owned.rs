//! The next owned delivery: by the fast path if the cursor has discovered it, and by the slow path otherwise.
//! Nothing here waits: `recv` and `poll` do.
//!
//! Invariants:
//! - The fast path takes no lock. It is taken only if the subscription has not ended, the gate is unchanged, the cursor
//!   is placed, and only terms and scope decide what is delivered.
//! - The oldest position is loaded after the batch was taken out of the directory. A batch that was evicted by then is
//!   not delivered.
//! - The directory is dropped before the batch is passed. It may be the last to hold evicted batches, and the
//!   drop of a payload is foreign code.
//! - A batch is passed after its post-filters have run. If one of them panics, nothing is passed.
//!
//! Callers: `recv` and `poll` for deliveries; `drain` to post-filter.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

use super::budget::Budget;
use super::cursor::{Located, SearchDirectory};
use super::delivery::{BorrowedSelection, Delivery};
use super::post_filter_progress::{OwnedSelection, PostFilterProgress};
use super::state::{StartState, Subscription};
use crate::core::{Published, ReadCounts, Record};
use crate::interest::Matching;
use crate::log::DirectoryCopy;
use crate::types::error::RecvError;
use crate::types::position::Position;
use crate::writes;

/// Number of events of a batch that the post-filters examine between two checks of the budget.
const POST_FILTER_CHUNK: usize = 256;

/// Number of times that a large batch is started in parts. If access changes as often before the batch is finished, the
/// post-filters examine it in one part.
const MAX_ATTEMPTS_IN_PARTS: u32 = 3;

/// How far the post-filters have examined a batch.
enum PostFiltered {
    /// To its end. It holds the events that are delivered, if any.
    Done(Option<OwnedSelection>),
    /// The budget was spent before its end.
    BudgetSpent,
}

/// What a read finds if it neither fails nor waits.
pub(super) enum Next<P> {
    Delivery(Delivery<P>),
    /// Everything that was published before the read is passed.
    Empty,
    /// The budget was spent, and there may be more to read.
    BudgetSpent,
}

impl<P> Subscription<P> {
    /// Returns the next delivery, if there is one now.
    #[inline]
    pub(super) fn try_next(&mut self, budget: &mut Budget) -> Result<Next<P>, RecvError> {
        match self.next_fast() {
            Some(delivery) => Ok(Next::Delivery(delivery)),
            None if self.is_caught_up() => Ok(Next::Empty),
            None => self.next_slow(budget),
        }
    }

    /// Returns the next delivery by the fast path, if that may be taken.
    #[inline]
    pub(super) fn next_fast(&mut self) -> Option<Delivery<P>> {
        match self.next_whole() {
            Some(batch) => Some(Delivery::whole(batch)),
            None => self.next_partial(),
        }
    }

    /// Returns whether only terms and scope decide what this reader is given, as far as is known without the gate.
    #[inline]
    pub(super) fn may_read_fast(&self) -> bool {
        self.ended.is_none() && self.selector.is_unconditional() && self.start_state == StartState::Reading
    }

    /// Returns whether nothing has happened to the subscription since the gate was last checked.
    ///
    /// The end that a read goes by must have been loaded before. So the gate shows every change that was published
    /// before a batch below that end.
    #[inline]
    pub(super) fn is_gate_unchanged(&self) -> bool {
        self.waiter.shared.gate.state() == self.last_gate
    }

    /// Returns the next batch, if all of its events are known to match. Most batches are read this way: no lock is
    /// taken, and the directory is held only while the batch is taken out of it.
    ///
    /// It returns one pointer, which fits a register. When it returned a delivery, a read took half as long again
    /// wherever the compiler does not inline this.
    #[inline]
    pub(super) fn next_whole(&mut self) -> Option<Record<P>> {
        if !self.may_read_fast() {
            return None;
        }
        let position = match self.cursor.next_discovered() {
            Some(position) => position,
            // A reader that keeps up is given what was published since its last read.
            None if self.waiter.shared.nodes.is_empty() => {
                self.cursor.discover_everything(self.core.log.end().position)?
            }
            None => return None,
        };
        if self.cursor.matching() != Matching::AllEvents || !self.is_gate_unchanged() {
            return None;
        }
        // It may be stale: what it has is where it was. What it does not have is read by the slow path.
        let directory = self.directory.last()?;
        let batch = self.directory.get(&directory, position).map(Arc::clone);
        // Dropped before the batch is passed: it may be the last to hold what was evicted meanwhile.
        self.release(directory);
        let batch = batch?;
        writes::reference(&*batch);
        if position < self.core.log.oldest() {
            return None;
        }
        self.pass_delivery(position, &batch, batch.events.len());
        Some(batch)
    }

    /// Drops a directory. If it is the last to hold what was evicted, payloads are dropped. That is foreign code, and a
    /// panic of it leaves the doorbell ringing.
    #[inline]
    pub(super) fn release(&self, directory: Arc<DirectoryCopy<Record<P>>>) {
        if let Some(last) = Arc::into_inner(directory) {
            self.drop_last(last);
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_last(&self, last: DirectoryCopy<Record<P>>) {
        let _rings = self.rings_on_panic();
        drop(last);
    }

    /// Returns whether a read finds nothing, if that is known without the slow path. Records it then.
    #[inline]
    pub(super) fn is_caught_up(&mut self) -> bool {
        if !self.may_read_fast() {
            return false;
        }
        let (finished, end) = (self.core.log.finished_below(), self.core.log.end());
        let nothing = !end.closed && self.is_gate_unchanged() && self.cursor.pass_if_nothing_below(end.position);
        if nothing {
            self.record_caught_up(finished);
        }
        nothing
    }

    /// Returns the next delivery by the fast path, if the links of the batch say which of its events match.
    #[inline]
    pub(super) fn next_partial(&mut self) -> Option<Delivery<P>> {
        if self.cursor.matching() == Matching::Linked { self.next_linked() } else { None }
    }

    #[inline(never)]
    fn next_linked(&mut self) -> Option<Delivery<P>> {
        if !self.may_read_fast() || !self.is_gate_unchanged() {
            return None;
        }
        let position = self.cursor.next_discovered()?;
        let directory = self.directory.last()?;
        let found = self.directory.get(&directory, position).and_then(|record| {
            let selection = self.selector.select(record, &self.waiter.shared.nodes, self.cursor.matching())?;
            Some((selection.into_owned(), Arc::clone(record)))
        });
        self.release(directory);
        let (selection, batch) = found?;
        writes::reference(&*batch);
        if position < self.core.log.oldest() {
            return None;
        }
        self.pass_delivery(position, &batch, selection.len(batch.events.len()));
        Some(Delivery { batch, selection })
    }

    /// Passes a batch that is delivered, and counts it.
    #[inline]
    fn pass_delivery(&mut self, position: Position, batch: &Published<P>, events: usize) {
        self.cursor.pass(position);
        self.resume_place = batch.place.next();
        let counters = &self.waiter.shared.counters;
        counters.set_cursor(position.next());
        counters.add(ReadCounts { batches: 1, events: events as u64 });
    }

    /// Returns the next delivery of what was published before the call. The batch may have to be discovered first, and
    /// post-filters may refuse some.
    #[inline(never)]
    pub(super) fn next_slow(&mut self, budget: &mut Budget) -> Result<Next<P>, RecvError> {
        let mut horizon = None;
        loop {
            let Some(snapshot) = self.begin_read(budget)? else { return Ok(Next::BudgetSpent) };
            // What is published during this read is left to the next one. Otherwise a fast publisher could keep a read
            // that refuses everything from returning.
            let (finished, end) = *horizon.get_or_insert(snapshot);
            if !self.ensure_placed(finished) {
                return if end.closed { Err(self.end(RecvError::Closed)) } else { Ok(Next::Empty) };
            }
            let mut searched = None;
            match self.cursor.locate(&self.core.log, &self.waiter, end.position, &mut self.directory, &mut searched) {
                Located::CaughtUp => {
                    self.record_caught_up(finished);
                    return if end.closed { Err(self.end(RecvError::Closed)) } else { Ok(Next::Empty) };
                }
                Located::Lost => {
                    // Dropped before the loss is counted: it may be the last to hold what was evicted.
                    drop(searched);
                    if let Some(error) = self.report_loss() {
                        return Err(error);
                    }
                }
                Located::At(position) => {
                    if searched.is_none()
                        && let Some(delivery) = self.next_fast()
                    {
                        return Ok(Next::Delivery(delivery));
                    }
                    // It was evicted since it was located.
                    let Some((batch, selection)) = self.fetch(position, searched) else { continue };
                    let has_post_filters = selection.is_some() && self.selector.has_post_filters();
                    let selection = match selection {
                        Some(selection) if has_post_filters => {
                            match self.post_filter_batch(position, &batch, selection, budget) {
                                PostFiltered::Done(selection) => selection,
                                PostFiltered::BudgetSpent => return Ok(Next::BudgetSpent),
                            }
                        }
                        selection => selection,
                    };
                    let Some(selection) = selection else {
                        self.cursor.pass(position);
                        self.end_elastic();
                        self.resume_place = batch.place.next();
                        if budget.spend(batch.events.len(), has_post_filters) {
                            self.waiter.shared.counters.set_cursor(position.next());
                            return Ok(Next::BudgetSpent);
                        }
                        continue;
                    };
                    self.end_elastic();
                    self.pass_delivery(position, &batch, selection.len(batch.events.len()));
                    return Ok(Next::Delivery(Delivery { batch, selection }));
                }
            }
        }
    }

    /// Returns the batch at `position` and its events that match terms and scope, if the batch is still reachable.
    #[inline]
    fn fetch(
        &mut self,
        position: Position,
        searched: SearchDirectory<P>,
    ) -> Option<(Record<P>, Option<OwnedSelection>)> {
        let nodes = &self.waiter.shared.nodes;
        // Dropped before the batch is passed: the directory may be the last to hold what was evicted.
        let directory = searched.unwrap_or_else(|| self.directory.current(&self.core.log));
        if position < self.core.log.oldest() {
            return None;
        }
        directory.get(position).map(|record| {
            // Selecting takes time in the length of the batch. A large batch is examined over several reads, and they
            // share one selection.
            let saved = self
                .post_filter_progress
                .as_mut()
                .filter(|post_filter_progress| post_filter_progress.position == position);
            let selection = match saved.and_then(|saved| saved.selection.take()) {
                Some(selection) => Some(selection),
                None => self.selector.select(record, nodes, self.cursor.matching()).map(BorrowedSelection::into_owned),
            };
            writes::reference(&**record);
            (Arc::clone(record), selection)
        })
    }

    /// Applies the post-filters to a selection.
    ///
    /// A large batch is examined over as many reads as it takes. If access changes in between, it starts again in
    /// parts, up to [`MAX_ATTEMPTS_IN_PARTS`] times: what the old grant allowed may be refused by the new one. The
    /// results of the predicate remain valid.
    fn post_filter_batch(
        &mut self,
        position: Position,
        batch: &Published<P>,
        selection: OwnedSelection,
        budget: &mut Budget,
    ) -> PostFiltered {
        let Self { selector, core, last_gate, post_filter_progress, .. } = self;
        let authorizer = core.hooks.authorizer.as_deref();
        if batch.events.len() <= POST_FILTER_CHUNK {
            let selection = selection.map(|ordinals| Cow::Owned(ordinals.into_vec()));
            return PostFiltered::Done(
                selector.post_filter(authorizer, &batch.events, selection).map(BorrowedSelection::into_owned),
            );
        }
        let changes = last_gate.changes();
        let mut current = post_filter_progress
            .take()
            .filter(|post_filter_progress| post_filter_progress.position == position)
            .unwrap_or_default();
        if current.changes != changes || current.examined == 0 {
            let attempts = current.attempts + 1;
            let predicate_results = mem::take(&mut current.predicate_results);
            *current =
                PostFilterProgress { position, changes, attempts, predicate_results, ..PostFilterProgress::default() };
        }
        let in_parts = current.attempts <= MAX_ATTEMPTS_IN_PARTS;
        let mut events = selection.events(&batch.events);
        events.skip_first(current.examined);
        while let Some((ordinal, index)) = events.next_with_ordinal() {
            if current.predicate_results.len() == current.examined {
                current.predicate_results.push(None);
            }
            let predicate_result = current.predicate_results.get_mut(current.examined);
            current.examined += 1;
            if let (Some(event), Some(predicate_result)) = (batch.events.get(index), predicate_result)
                && selector.accepts_with(authorizer, event, predicate_result)
            {
                current.accepted.push(ordinal);
            }
            if current.examined.is_multiple_of(POST_FILTER_CHUNK) && budget.spend(POST_FILTER_CHUNK, true) && in_parts {
                current.selection = Some(selection);
                *post_filter_progress = Some(current);
                return PostFiltered::BudgetSpent;
            }
        }
        PostFiltered::Done(
            BorrowedSelection::of(batch.events.len(), current.accepted.into_iter()).map(BorrowedSelection::into_owned),
        )
    }

    /// Applies the post-filters to the rest of a selection within this call, after reads that may have begun it.
    pub(super) fn post_filter_to_end<'r>(
        &mut self,
        position: Position,
        batch: &'r Published<P>,
        selection: BorrowedSelection<'r>,
    ) -> Option<BorrowedSelection<'r>> {
        if self.post_filter_progress.is_none() {
            let authorizer = self.core.hooks.authorizer.as_deref();
            return self.selector.post_filter(authorizer, &batch.events, selection);
        }
        match self.post_filter_batch(position, batch, selection.into_owned(), &mut Budget::unlimited()) {
            PostFiltered::Done(selection) => Some(selection?.map(|ordinals| Cow::Owned(ordinals.into_vec()))),
            PostFiltered::BudgetSpent => None,
        }
    }
}
