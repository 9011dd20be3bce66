//! The iterator of a window: what it yields from the log, and what of that counts as read.
//! When a window opens and what its end means are decided in `drain/mod.rs`.
//!
//! A batch is *whole* if it is known before it is read that all of its events are delivered. Any other batch is
//! *partial*.
//!
//! Invariants:
//! - Whole batches are passed together, when the iterator moves on to another run or is left. Until then the
//!   subscription's window run holds them.
//! - A partial batch is passed before it is yielded.
//!
//! Callers: `drain/mod.rs` makes iterators and passes what they yielded; users iterate.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;

use super::ordinals::OrdinalList;
use crate::core::{ReadCounts, Record};
use crate::interest::Matching;
use crate::log::Directory;
use crate::subscription::delivery::{BorrowedSelection, DeliveryRef};
use crate::subscription::state::{StartState, Subscription};
use crate::subscription::window_run::WindowRun;
use crate::sync::Slot;
use crate::types::position::{Position, Run};

/// How far a window has come.
///
/// Of a run of whole batches, what was yielded is passed when the iterator moves on to another run, or is left. It
/// begins at the cursor and ends at [`WindowRun::yielded_end`]. Partial batches are passed one by one.
#[derive(Default)]
pub(super) struct Progress {
    /// The end of the window.
    pub(super) end: Position,
    /// The end of the run of whole batches, if one is being iterated.
    run_end: Position,
    /// Whether no other run of the window follows it.
    is_last_run: bool,
    /// Whether everything was yielded, or the window ended early because of eviction.
    pub(super) exhausted: bool,
    /// Where in the directory the search for the next slots begins.
    segment: usize,
    /// Number of events that were published before the first batch of the run.
    events_before: u64,
    /// What was read and is not in the subscription's counters yet.
    pub(super) counts: ReadCounts,
}

impl Progress {
    #[inline]
    pub(super) fn new(end: Position, exhausted: bool) -> Self {
        Self { end, exhausted, ..Self::default() }
    }
}

/// Makes these slots, which begin at `start`, the window run.
#[inline]
fn enter_window_run<'w, P>(
    window_run: &mut WindowRun,
    start: Position,
    slots: &'w [Slot<Record<P>>],
) -> &'w [Slot<Record<P>>] {
    *window_run = WindowRun { end: Position(start.0 + slots.len() as u64), remaining: slots.len() };
    slots
}

/// The iterator of a [`Drain`](super::Drain).
pub struct DrainIter<'w, P> {
    /// The slots to yield next: whole batches of one segment.
    slots: &'w [Slot<Record<P>>],
    subscription: &'w mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &'w mut Progress,
    ordinals_end: &'w OrdinalList,
}

impl<'w, P> DrainIter<'w, P> {
    #[inline]
    pub(super) fn new(
        subscription: &'w mut Subscription<P>,
        directory: Option<&'w Directory<Record<P>>>,
        progress: &'w mut Progress,
        ordinals_end: &'w OrdinalList,
    ) -> Self {
        Self { slots: &[], subscription, directory, progress, ordinals_end }
    }
}

/// Ends the window run, and passes and counts the batches that were yielded of it.
#[inline]
pub(super) fn pass_yielded<P>(
    subscription: &mut Subscription<P>,
    progress: &mut Progress,
    directory: &Directory<Record<P>>,
) {
    let yielded_end = subscription.close_window_run();
    let count = yielded_end.since(subscription.cursor.next_in_run());
    if count == 0 {
        return;
    }
    subscription.cursor.pass_run_to(yielded_end);
    subscription.end_elastic();
    progress.counts.batches += count;
    if let Some(last) = directory.get_hinted(progress.segment, Position(yielded_end.0 - 1)) {
        subscription.resume_place = last.place.next();
        progress.counts.events += last.events_before + last.events.len() as u64 - progress.events_before;
    }
}

/// Returns the next slots of whole batches: those of the next segment if the run continues there, or those of another
/// run. No slots mean that the window is exhausted, or that the next batch is partial.
///
/// Cold, so that what the caller's loop needs for each item stays in registers around this call. Moving on to another
/// segment, which a window of a small buffer does every few batches, is apart from starting a run.
#[cold]
#[inline(never)]
fn next_whole_slots<'w, P>(
    subscription: &mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &mut Progress,
) -> &'w [Slot<Record<P>>] {
    // An exhausted window stays so. If more was evicted than the cursor had discovered, what it discovers next is not
    // read from this window.
    let Some(directory) = directory.filter(|_| !progress.exhausted) else { return &[] };
    let window_run = &mut subscription.window_run;
    let rest = Run { start: window_run.end, end: progress.run_end };
    if window_run.is_active() && !rest.is_empty() {
        let slots = directory.next_slots(&mut progress.segment, rest);
        if !slots.is_empty() {
            return enter_window_run(window_run, rest.start, slots);
        }
    } else if window_run.is_active() && progress.is_last_run {
        progress.exhausted = true;
        return &[];
    }
    next_run_slots(subscription, directory, progress)
}

#[inline(never)]
fn next_run_slots<'w, P>(
    subscription: &mut Subscription<P>,
    directory: &'w Directory<Record<P>>,
    progress: &mut Progress,
) -> &'w [Slot<Record<P>>] {
    if subscription.window_run.is_active() {
        pass_yielded(subscription, progress, directory);
    }
    let Subscription { cursor, core, waiter, selector, window_run, start_state, directory: handle, .. } = subscription;
    let Some(run) = cursor.next_in_window(&core.log, waiter, progress.end, handle) else {
        progress.exhausted = true;
        return &[];
    };
    if selector.has_post_filters() || cursor.matching() != Matching::AllEvents {
        return &[];
    }
    let slots = directory.slots(&mut progress.segment, run);
    let Some(first) = slots.first().and_then(Slot::get) else { return &[] };
    progress.events_before = first.events_before;
    (progress.run_end, progress.is_last_run) = (run.end, cursor.is_last_run(progress.end));
    if *start_state == StartState::Elastic {
        // Stored for handles. What is yielded from now on is passed, and must not be taken for evicted within the
        // elastic start.
        waiter.shared.counters.set_cursor(cursor.position());
    }
    *start_state = StartState::Window;
    enter_window_run(window_run, run.start, slots)
}

/// The next partial item, and the end of the list of ordinals.
///
/// It is apart from the iterator and from what the iterator returns, so that both can stay in registers.
struct PartialItem<'w, P> {
    ordinals_end: &'w OrdinalList,
    delivery: Option<DeliveryRef<'w, P>>,
}

/// Puts the next partial item into `next`. No item means that the window is exhausted, or that the next batch is whole.
#[cold]
#[inline(never)]
fn next_partial_item<'w, P>(
    subscription: &mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &mut Progress,
    next: &mut PartialItem<'w, P>,
) {
    let Some(directory) = directory else { return };
    loop {
        let Subscription { cursor, core, waiter, selector, directory: handle, .. } = &mut *subscription;
        let run = cursor.next_in_window(&core.log, waiter, progress.end, handle);
        let batch = run.and_then(|run| directory.get_near(&mut progress.segment, run.start));
        let Some(batch) = batch else {
            progress.exhausted = true;
            return;
        };
        if !selector.has_post_filters() && cursor.matching() == Matching::AllEvents {
            return;
        }
        if let Some(selection) = pass_and_select(subscription, batch) {
            let selection = selection.map(|ordinals| match ordinals {
                Cow::Borrowed(ordinals) => ordinals,
                Cow::Owned(ordinals) => OrdinalList::push(&mut next.ordinals_end, ordinals.into_boxed_slice()),
            });
            next.delivery = Some(DeliveryRef::part(batch, selection));
            return;
        }
    }
}

/// Selects the events of the next batch, and passes it. If a post-filter panics, the batch is not passed.
fn pass_and_select<'w, P>(subscription: &mut Subscription<P>, record: &'w Record<P>) -> Option<BorrowedSelection<'w>> {
    let position = subscription.cursor.next_in_run();
    let Subscription { cursor, selector, waiter, .. } = subscription;
    let mut selection = selector.select(record, &waiter.shared.nodes, cursor.matching());
    if selector.has_post_filters() {
        selection = selection.and_then(|all| subscription.post_filter_to_end(position, record, all));
    }
    subscription.cursor.pass(position);
    subscription.end_elastic();
    subscription.resume_place = record.place.next();
    let selection = selection?;
    // Counted here and not when the window is dropped, because it may be forgotten.
    let counters = &subscription.waiter.shared.counters;
    counters.set_cursor(position.next());
    counters.add(ReadCounts { batches: 1, events: selection.len(record.events.len()) as u64 });
    Some(selection)
}

// What `next` needs for each item stays in registers, because nothing takes the address of the iterator: every function
// that is not inlined takes its parts.
impl<'w, P> Iterator for DrainIter<'w, P> {
    type Item = DeliveryRef<'w, P>;

    #[inline]
    fn next(&mut self) -> Option<DeliveryRef<'w, P>> {
        loop {
            if let [slot, rest @ ..] = self.slots {
                let batch = slot.get()?;
                self.slots = rest;
                self.subscription.window_run.remaining = rest.len();
                return Some(DeliveryRef::whole(batch));
            }
            self.slots = next_whole_slots(self.subscription, self.directory, self.progress);
            if self.slots.is_empty() {
                if self.progress.exhausted {
                    return None;
                }
                let mut next = PartialItem { ordinals_end: self.ordinals_end, delivery: None };
                next_partial_item(self.subscription, self.directory, self.progress, &mut next);
                self.ordinals_end = next.ordinals_end;
                if next.delivery.is_some() {
                    return next.delivery;
                }
            }
        }
    }
}

impl<P> FusedIterator for DrainIter<'_, P> {}

impl<P> fmt::Debug for DrainIter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainIter").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}
