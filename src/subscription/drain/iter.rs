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

use std::fmt;
use std::iter::FusedIterator;

use super::ordinals::OrdinalList;
use super::partial::{PartialItem, next_partial_item, pass_linked};
use super::progress::{Progress, Rest};
use crate::core::{ReadCounts, Record};
use crate::interest::Matching;
use crate::log::Directory;
use crate::subscription::delivery::DeliveryRef;
use crate::subscription::state::{StartState, Subscription};
use crate::sync::Slot;
use crate::types::position::{Position, Run};
use crate::types::token::Place;

/// The iterator of a [`Drain`](super::Drain).
pub struct DrainIter<'w, P> {
    /// The slots to yield next: whole batches of one segment.
    slots: &'w [Slot<Record<P>>],
    subscription: &'w mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &'w mut Progress,
    ordinals_end: &'w OrdinalList,
    /// The slots to yield next if `slots` is empty: batches of one segment whose links say which events match. The
    /// first is at the cursor.
    linked_slots: &'w [Slot<Record<P>>],
}

impl<'w, P> DrainIter<'w, P> {
    #[inline]
    pub(super) fn new(
        subscription: &'w mut Subscription<P>,
        directory: Option<&'w Directory<Record<P>>>,
        progress: &'w mut Progress,
        ordinals_end: &'w OrdinalList,
    ) -> Self {
        let slots = match directory {
            Some(directory) if progress.rest == Rest::Run => first_slots(subscription, directory, progress),
            _ => &[],
        };
        Self { slots, subscription, directory, progress, ordinals_end, linked_slots: &[] }
    }
}

/// Ends the window run, and passes and counts the batches that were yielded of it.
#[cold]
#[inline(never)]
pub(super) fn pass_yielded<P>(
    subscription: &mut Subscription<P>,
    progress: &Progress,
    directory: &Directory<Record<P>>,
) {
    let yielded_end = subscription.close_window_run();
    let batches = yielded_end.since(subscription.cursor.next_in_run());
    if batches == 0 {
        return;
    }
    subscription.pass_window_run_to(yielded_end);
    if let Some(last) = directory.get_hinted(progress.segment, Position(yielded_end.0 - 1)) {
        subscription.resume_place = last.place.next();
        let events = progress.events_through(last);
        subscription.waiter.shared.counters.add(ReadCounts { batches, events });
    }
}

/// Does what [`pass_yielded`] does, and records that the reader has caught up, where the window run is the last run of
/// an exhausted window. Then all of it was yielded, and nothing is left below what is discovered.
#[inline]
pub(super) fn pass_last_run<P>(
    subscription: &mut Subscription<P>,
    progress: &Progress,
    directory: &Directory<Record<P>>,
    finished: u64,
) {
    let Subscription { cursor, window_run, .. } = subscription;
    let (start, end) = (cursor.next_in_run(), std::mem::take(window_run).end);
    subscription.pass_window_run_to(end);
    subscription.cursor.pass_discovered();
    let counters = &subscription.waiter.shared.counters;
    counters.set_cursor(subscription.cursor.position());
    if let Some(last) = directory.get_hinted(progress.segment, Position(end.0 - 1)) {
        subscription.resume_place = last.place.next().max(Place::before(finished));
        let events = progress.events_through(last);
        counters.add(ReadCounts { batches: end.since(start), events });
    }
}

/// Returns the first slots of a window that is one run of whole batches.
#[inline(never)]
fn first_slots<'w, P>(
    subscription: &mut Subscription<P>,
    directory: &'w Directory<Record<P>>,
    progress: &mut Progress,
) -> &'w [Slot<Record<P>>] {
    progress.rest = Rest::Unknown;
    let run = subscription.cursor.run();
    let slots = directory.slots(&mut progress.segment, run);
    let Some(first) = slots.first().and_then(Slot::get) else { return &[] };
    progress.events_before = first.events_before;
    subscription.start_state = StartState::Window;
    subscription.window_run = progress.take_slots(&subscription.cursor, run.start, slots);
    slots
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
    let Some(directory) = directory else { return &[] };
    let Subscription { cursor, window_run, .. } = subscription;
    if window_run.is_active() {
        let rest = Run { start: window_run.end, end: cursor.run().end };
        if !rest.is_empty() {
            let slots = directory.next_slots(&mut progress.segment, rest);
            if !slots.is_empty() {
                *window_run = progress.take_slots(cursor, rest.start, slots);
                return slots;
            }
        }
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
        progress.rest = Rest::Exhausted;
        return &[];
    };
    if selector.has_post_filters() || cursor.matching() != Matching::AllEvents {
        return &[];
    }
    let slots = directory.slots(&mut progress.segment, run);
    let Some(first) = slots.first().and_then(Slot::get) else { return &[] };
    progress.events_before = first.events_before;
    if *start_state == StartState::Elastic {
        // Stored for handles. What is yielded from now on is passed, and must not be taken for evicted within the
        // elastic start.
        waiter.shared.counters.set_cursor(cursor.position());
    }
    *start_state = StartState::Window;
    *window_run = progress.take_slots(cursor, run.start, slots);
    slots
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
            if let [slot, rest @ ..] = self.linked_slots {
                let batch = slot.get()?;
                let (bits, events) = pass_linked(self.subscription, self.progress, batch);
                self.linked_slots = rest;
                if events > 0 {
                    return Some(DeliveryRef::of_bits(batch, bits, events));
                }
                self.linked_slots = &[];
                continue;
            }
            if self.progress.rest != Rest::Unknown {
                self.progress.end_window();
                return None;
            }
            self.slots = next_whole_slots(self.subscription, self.directory, self.progress);
            if self.slots.is_empty() {
                let mut next = PartialItem { linked_slots: &[], ordinals_end: self.ordinals_end, delivery: None };
                next_partial_item(self.subscription, self.directory, self.progress, &mut next);
                (self.linked_slots, self.ordinals_end) = (next.linked_slots, next.ordinals_end);
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
