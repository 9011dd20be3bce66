//! The iterator of a window: what it hands out of the log, and what of that counts as read.
//! When a window opens, and what its end means, is not decided here.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;

use super::kept::Keep;
use crate::core::ReadCounts;
use crate::core::Record;
use crate::interest::Matching;
use crate::log::Directory;
use crate::subscription::delivery::{DeliveryRef, Selected};
use crate::subscription::state::{StartState, Subscription};
use crate::subscription::window_run::WindowRun;
use crate::sync::Slot;
use crate::types::position::{Position, Run};

/// What a window has come to.
///
/// Of a run that is given whole, what was yielded is passed when the iterator moves on to another run, or is left: it
/// begins where the reader stands and goes up to [`WindowRun::here`]. What is given in part is passed one by one.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) end: Position,
    /// Where the run ends that is given whole, if one is under way, and whether nothing follows it.
    run_end: Position,
    last: bool,
    /// Whether all has been yielded.
    pub(super) caught_up: bool,
    /// Where in the directory the next slots are looked for.
    segment: usize,
    /// How many events were published before the first batch of the run.
    events_before: u64,
    pub(super) counts: ReadCounts,
}

impl Progress {
    #[inline]
    pub(super) fn new(end: Position, caught_up: bool) -> Self {
        Self { end, caught_up, ..Self::default() }
    }
}

/// Notes that these slots, which follow `past`, are handed to the iterator.
#[inline]
fn enter_window_run<'w, P>(
    window_run: &mut WindowRun,
    past: Position,
    slots: &'w [Slot<Record<P>>],
) -> &'w [Slot<Record<P>>] {
    *window_run = WindowRun { past: Position(past.0 + slots.len() as u64), left: slots.len() };
    slots
}

/// The iterator of a [`Drain`](super::Drain).
pub struct DrainIter<'w, P> {
    /// What is in hand: batches of one segment that are given whole.
    slots: &'w [Slot<Record<P>>],
    subscription: &'w mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &'w mut Progress,
    kept: &'w Keep,
}

impl<'w, P> DrainIter<'w, P> {
    #[inline]
    pub(super) fn new(
        subscription: &'w mut Subscription<P>,
        directory: Option<&'w Directory<Record<P>>>,
        progress: &'w mut Progress,
        kept: &'w Keep,
    ) -> Self {
        Self { slots: &[], subscription, directory, progress, kept }
    }
}

/// Passes the batches that were yielded of a run that is given whole, which is no longer under way then.
#[inline]
pub(super) fn settle<P>(subscription: &mut Subscription<P>, progress: &mut Progress, directory: &Directory<Record<P>>) {
    let here = subscription.close_window_run();
    let count = here.since(subscription.cursor.next_in_run());
    if count == 0 {
        return;
    }
    subscription.cursor.pass_whole(here);
    subscription.has_passed();
    progress.counts.batches += count;
    if let Some(last) = directory.get_given(progress.segment, Position(here.0 - 1)) {
        subscription.passed = last.place.next();
        progress.counts.events += last.events_before + last.events.len() as u64 - progress.events_before;
    }
}

/// The next slots of batches that are given whole: of the next segment, if a run goes on there, or of another run.
/// Nothing means that the window is over, or that what follows is given in part.
///
/// Cold, so that what the caller's loop needs for each item stays in registers around this call. Moving on to another
/// segment, which a window of a small buffer does every few batches, is apart from what a run begins with.
#[cold]
#[inline(never)]
fn go_on<'w, P>(
    subscription: &mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &mut Progress,
) -> &'w [Slot<Record<P>>] {
    // Over for good: what a reader learns when more was evicted than it had looked at is not to be read from it.
    let Some(directory) = directory.filter(|_| !progress.caught_up) else { return &[] };
    let window_run = &mut subscription.window_run;
    let rest = Run { start: window_run.past, end: progress.run_end };
    if window_run.is_under_way() && !rest.is_empty() {
        let slots = directory.slots_after(&mut progress.segment, rest);
        if !slots.is_empty() {
            return enter_window_run(window_run, rest.start, slots);
        }
    } else if window_run.is_under_way() && progress.last {
        progress.caught_up = true;
        return &[];
    }
    begin_run(subscription, directory, progress)
}

#[inline(never)]
fn begin_run<'w, P>(
    subscription: &mut Subscription<P>,
    directory: &'w Directory<Record<P>>,
    progress: &mut Progress,
) -> &'w [Slot<Record<P>>] {
    if subscription.window_run.is_under_way() {
        settle(subscription, progress, directory);
    }
    let Subscription { cursor, core, waiter, selector, window_run, start_state, .. } = subscription;
    let Some(run) = cursor.next_in_window(&core.log, waiter, progress.end) else {
        progress.caught_up = true;
        return &[];
    };
    if selector.has_post_filters() || cursor.matching() != Matching::Whole {
        return &[];
    }
    let slots = directory.slots(&mut progress.segment, run);
    let Some(first) = slots.first().and_then(Slot::get) else { return &[] };
    progress.events_before = first.events_before;
    (progress.run_end, progress.last) = (run.end, cursor.is_last_run(progress.end));
    if *start_state == StartState::Elastic {
        // For others to see: what is yielded from now on is passed, and they may not take it for what went of itself.
        waiter.owner.counters.set_cursor(cursor.position());
    }
    *start_state = StartState::Window;
    enter_window_run(window_run, run.start, slots)
}

/// Where the next batch that is given in part is put, and the end of the list of what is kept.
///
/// Apart from the iterator and from what it returns, so that both can stay in registers.
struct NextPart<'w, P> {
    kept: &'w Keep,
    delivery: Option<DeliveryRef<'w, P>>,
}

/// The next batch that is given in part. Nothing means that the window is over, or that what follows is given whole.
#[cold]
#[inline(never)]
fn next_in_part<'w, P>(
    subscription: &mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &mut Progress,
    next: &mut NextPart<'w, P>,
) {
    let Some(directory) = directory else { return };
    loop {
        let Subscription { cursor, core, waiter, selector, .. } = &mut *subscription;
        let run = cursor.next_in_window(&core.log, waiter, progress.end);
        let batch = run.and_then(|run| directory.get_near(&mut progress.segment, run.start));
        let Some(batch) = batch else {
            progress.caught_up = true;
            return;
        };
        if !selector.has_post_filters() && cursor.matching() == Matching::Whole {
            return;
        }
        if let Some(selection) = next_part(subscription, batch) {
            let selection = selection.map(|ordinals| match ordinals {
                Cow::Borrowed(ordinals) => ordinals,
                Cow::Owned(ordinals) => Keep::keep(&mut next.kept, ordinals.into_boxed_slice()),
            });
            next.delivery = Some(DeliveryRef::part(batch, selection));
            return;
        }
    }
}

/// The next batch of a reader that may not be given all of it. It is passed here, unless a judge panics.
fn next_part<'w, P>(subscription: &mut Subscription<P>, record: &'w Record<P>) -> Option<Selected<'w>> {
    let position = subscription.cursor.next_in_run();
    let Subscription { cursor, selector, waiter, .. } = subscription;
    let mut selection = selector.select(record, &waiter.owner.nodes, cursor.matching());
    if selector.has_post_filters() {
        selection = selection.and_then(|all| subscription.refine_whole(position, record, all));
    }
    subscription.cursor.pass(position);
    subscription.has_passed();
    subscription.passed = record.place.next();
    let selection = selection?;
    // Here and not when the window is dropped: it may be forgotten.
    let counters = &subscription.waiter.owner.counters;
    counters.set_cursor(position.next());
    counters.add(ReadCounts { batches: 1, events: selection.len(record.events.len()) as u64 });
    Some(selection)
}

// What `next` needs for each item stays in registers, because nothing takes the address of the iterator: all that is
// not inlined takes its parts.
impl<'w, P> Iterator for DrainIter<'w, P> {
    type Item = DeliveryRef<'w, P>;

    #[inline]
    fn next(&mut self) -> Option<DeliveryRef<'w, P>> {
        loop {
            if let [slot, rest @ ..] = self.slots {
                let batch = slot.get()?;
                self.slots = rest;
                self.subscription.window_run.left = rest.len();
                return Some(DeliveryRef::whole(batch));
            }
            self.slots = go_on(self.subscription, self.directory, self.progress);
            if self.slots.is_empty() {
                if self.progress.caught_up {
                    return None;
                }
                let mut next = NextPart { kept: self.kept, delivery: None };
                next_in_part(self.subscription, self.directory, self.progress, &mut next);
                self.kept = next.kept;
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
