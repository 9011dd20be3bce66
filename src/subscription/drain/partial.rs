//! The partial batches of a window: which of their events are yielded, and what passes them.
//! The runs of whole batches, and the order of both, are decided in `iter`.
//!
//! Invariant: a partial batch is passed before it is yielded, and after its post-filters have run.
//!
//! Callers: the iterator of a window.

use std::borrow::Cow;

use super::ordinals::OrdinalList;
use super::progress::{Progress, Rest};
use crate::core::{ReadCounts, Record};
use crate::interest::{Links, Matching};
use crate::log::Directory;
use crate::subscription::delivery::{BorrowedSelection, DeliveryRef};
use crate::subscription::state::Subscription;
use crate::sync::Slot;
use crate::types::position::Position;

/// Returns the next slots of batches whose links alone decide which events match, if the next batch is one of those,
/// and has no more events than bits.
#[inline(never)]
fn next_linked_slots<'w, P>(
    subscription: &Subscription<P>,
    directory: &'w Directory<Record<P>>,
    progress: &mut Progress,
) -> &'w [Slot<Record<P>>] {
    let Subscription { cursor, selector, .. } = subscription;
    let run = cursor.run();
    if selector.has_post_filters() || cursor.matching() != Matching::Linked || run.is_empty() {
        return &[];
    }
    let slots = directory.slots(&mut progress.segment, run);
    if slots.first().and_then(Slot::get).is_none_or(|first| first.events.len() > Links::BITS) {
        return &[];
    }
    progress.take_slots(cursor, run.start, slots);
    slots
}

/// The next partial item or linked slots, and the end of the list of ordinals.
///
/// It is apart from the iterator and from what the iterator returns, so that both can stay in registers.
pub(super) struct PartialItem<'w, P> {
    pub(super) linked_slots: &'w [Slot<Record<P>>],
    pub(super) ordinals_end: &'w OrdinalList,
    pub(super) delivery: Option<DeliveryRef<'w, P>>,
}

/// Puts the next linked slots into `next`, or else the next partial item. Neither means that the window is exhausted, or
/// that the next batch is whole.
#[cold]
#[inline(never)]
pub(super) fn next_partial_item<'w, P>(
    subscription: &mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &mut Progress,
    next: &mut PartialItem<'w, P>,
) {
    let Some(directory) = directory else { return };
    if progress.is_exhausted() {
        return;
    }
    next.linked_slots = next_linked_slots(subscription, directory, progress);
    if !next.linked_slots.is_empty() {
        return;
    }
    loop {
        let Subscription { cursor, core, waiter, selector, directory: handle, .. } = &mut *subscription;
        let run = cursor.next_in_window(&core.log, waiter, progress.end, handle);
        let batch = run.and_then(|run| directory.get_near(&mut progress.segment, run.start));
        let Some(batch) = batch else {
            progress.rest = Rest::Exhausted;
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
    count_partial(subscription, position, selection.len(record.events.len()));
    Some(selection)
}

/// Counts a partial batch that was passed. It is counted here and not when the window is dropped, because the window
/// may be forgotten.
#[inline]
fn count_partial<P>(subscription: &Subscription<P>, position: Position, events: usize) {
    let counters = &subscription.waiter.shared.counters;
    counters.set_cursor(position.next());
    counters.add(ReadCounts { batches: 1, events: events as u64 });
}

/// Selects the events of the next batch by its links alone, and passes it. Returns the events as bits, and how many
/// they are. If that is none, the batch is passed without being yielded, or it has too many events for bits and is not
/// passed. The slots after it are to be found anew then.
#[inline(never)]
pub(super) fn pass_linked<P>(
    subscription: &mut Subscription<P>,
    progress: &mut Progress,
    record: &Record<P>,
) -> (u64, usize) {
    let len = record.events.len();
    let bits = record.links.matched_bits(&subscription.waiter.shared.nodes, len);
    let events = bits.count_ones() as usize;
    if events == 0 {
        progress.leave_slots();
    }
    if len <= Links::BITS {
        let position = subscription.cursor.next_in_run();
        subscription.cursor.pass(position);
        subscription.end_elastic();
        subscription.resume_place = record.place.next();
        if events > 0 {
            count_partial(subscription, position, events);
        }
    }
    (bits, events)
}
