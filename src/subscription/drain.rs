//! The window for hot loops: what is readable now, borrowed.
//! Eviction, fence and expiry are checked when it opens, not for each item.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::{Arc, OnceLock};

use super::reader::Located;
use super::{Stand, Subscription};
use crate::delivery::{DeliveryRef, Selected};
use crate::error::RecvError;
use crate::interest::Matching;
use crate::log::{Directory, End};
use crate::position::{Position, Run};
use crate::record::Record;
use crate::shared::Tally;
use crate::sync::Slot;

impl<P> Subscription<P> {
    /// Opens a window of what is readable now, without waiting.
    ///
    /// Items borrow from the window: no reference count is touched. An item that was yielded counts as read; the rest
    /// stays unread when the window is dropped. While it is open the window keeps in memory what was buffered when it
    /// opened, evicted since or not, so keep it short.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<u64>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// for index in 1..=3 {
    ///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", index)])?;
    /// }
    /// let mut sum = 0;
    /// for delivery in reader.drain()?.iter().take(2) {
    ///     sum += delivery.events().map(|event| event.payload()).sum::<u64>();
    /// }
    /// assert_eq!(sum, 3);
    /// assert_eq!(reader.try_recv()?.index(), 3, "what was not yielded is still to be read");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv). A window without items is none.
    #[inline]
    pub fn drain(&mut self) -> Result<Drain<'_, P>, RecvError> {
        loop {
            let (latest, end) = self.look()?;
            // Everything but the directory is put together here, where the caller keeps it: moving a window that was
            // built elsewhere cost a tenth of one of 64 items.
            let directory = match self.open_window(latest, end) {
                Opening::At(directory) => Some(directory),
                Opening::Dry => None,
                Opening::Again => continue,
                Opening::Ended(error) => return Err(*error),
            };
            let progress = Progress { end: end.position, dry: directory.is_none(), ..Progress::default() };
            return Ok(Drain { subscription: self, directory, latest, progress, kept: Keep::default() });
        }
    }

    /// Finds what there is to read below `end`; `latest` was loaded before it.
    #[inline(never)]
    fn open_window(&mut self, latest: u64, end: End) -> Opening<P> {
        let mut stash = None;
        let located = if self.has_begun(latest) {
            self.reader.locate(&self.core.log, &self.station, end.position, &mut stash)
        } else {
            Located::Dry
        };
        match located {
            Located::At(position) => {
                let directory = stash.unwrap_or_else(|| self.core.log.directory());
                // After the directory: what is still in reach is in it.
                let stays = self.core.log.oldest() <= position;
                if stays { Opening::At(directory) } else { Opening::Again }
            }
            Located::Dry if end.closed => Opening::Ended(Box::new(self.end(RecvError::Closed))),
            Located::Dry => Opening::Dry,
            Located::Lost(oldest) => self.lag(oldest).map_or(Opening::Again, |error| Opening::Ended(Box::new(error))),
        }
    }
}

/// What a window opens on. Two words, so that it is given in registers.
enum Opening<P> {
    At(Arc<Directory<Record<P>>>),
    /// Nothing.
    Dry,
    /// What was found is gone: there is another end, or another oldest batch, to look for.
    Again,
    Ended(Box<RecvError>),
}

/// What was readable when it was opened; see [`Subscription::drain`].
///
/// Iterate over `&mut drain`, or over [`iter`](Self::iter).
pub struct Drain<'s, P> {
    subscription: &'s mut Subscription<P>,
    directory: Option<Arc<Directory<Record<P>>>>,
    latest: u64,
    progress: Progress,
    kept: Keep,
}

/// Where the ordinals of items lie that no batch holds, until the window is dropped: a list, because items that were
/// yielded borrow from it while it grows.
#[derive(Default)]
struct Keep(OnceLock<Box<Kept>>);

struct Kept {
    ordinals: Box<[u32]>,
    next: Keep,
}

impl Keep {
    /// Keeps `ordinals` at the end of the list, which `end` is made to be again.
    fn keep<'w>(end: &mut &'w Self, ordinals: Box<[u32]>) -> &'w [u32] {
        let kept = end.0.get_or_init(|| Box::new(Kept { ordinals, next: Self::default() }));
        *end = &kept.next;
        &kept.ordinals
    }

    /// One after the other: a long list dropped from within itself would overflow the stack.
    #[cold]
    fn clear(&mut self) {
        let mut next = self.0.take();
        while let Some(mut kept) = next {
            next = kept.next.0.take();
        }
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        if self.0.get().is_some() {
            self.clear();
        }
    }
}

/// What a window has come to.
///
/// Of a run that is given whole, what was yielded is passed when the iterator moves on to another run, or is left: it
/// begins where the reader stands and goes up to [`here`](Self::here). What is given in part is passed one by one.
#[derive(Default)]
struct Progress {
    end: Position,
    /// What of a run that is given whole the iterator has yet to be handed, and how much is left of what it has.
    rest: Run,
    left: usize,
    /// Whether there is such a run under way, and whether nothing follows it.
    whole: bool,
    last: bool,
    /// Whether all has been yielded.
    dry: bool,
    /// Where in the directory the next slots are looked for.
    segment: usize,
    /// How many events were published before the first batch of the run.
    events_before: u64,
    tally: Tally,
}

impl Progress {
    /// One past the last batch that was yielded of a run that is given whole.
    #[inline]
    fn here(&self) -> Position {
        Position(self.rest.start.0 - self.left as u64)
    }

    /// Notes that these slots are handed to the iterator, and so not the rest any more.
    #[inline]
    fn hand<'w, P>(&mut self, slots: &'w [Slot<Record<P>>]) -> &'w [Slot<Record<P>>] {
        self.rest.start.0 += slots.len() as u64;
        self.left = slots.len();
        slots
    }
}

impl<P> Drain<'_, P> {
    /// Iterates over the deliveries, oldest first. An item that is yielded counts as read.
    ///
    /// # Panics
    ///
    /// The iterator panics if the request's predicate, or the authorizer's judgement of an event, does. The batch has
    /// not been passed then.
    #[inline]
    pub fn iter(&mut self) -> DrainIter<'_, P> {
        self.settle();
        if self.kept.0.get().is_some() {
            self.kept.clear();
        }
        DrainIter {
            slots: &[],
            kept: &self.kept,
            directory: self.directory.as_deref(),
            progress: &mut self.progress,
            subscription: self.subscription,
        }
    }

    /// Passes what an iterator before has yielded.
    #[inline]
    fn settle(&mut self) {
        if self.progress.whole
            && let Some(directory) = &self.directory
        {
            settle(self.subscription, &mut self.progress, directory);
        }
    }
}

impl<P> Drop for Drain<'_, P> {
    fn drop(&mut self) {
        self.settle();
        let Self { subscription, latest, progress: Progress { end, tally, dry, .. }, .. } = self;
        let meters = &subscription.station.owner.meters;
        if tally.batches > 0 {
            meters.add(*tally);
        }
        if *dry {
            subscription.reader.finish(*end);
        }
        if subscription.stand == Stand::Reading {
            if *dry && subscription.reader.cursor() >= *end {
                subscription.pass_all(*latest);
            } else {
                meters.set_cursor(subscription.reader.cursor());
            }
        }
        if subscription.station.has_doorbell() {
            self.rearm();
        }
    }
}

impl<P> Drain<'_, P> {
    /// Sees to it that the doorbell rings for what the window leaves, and for what comes.
    #[cold]
    fn rearm(&mut self) {
        let Self { subscription, progress: Progress { end, dry, .. }, .. } = self;
        if *dry {
            subscription.enrol();
        }
        let log_end = subscription.core.log.end();
        // Unread, or come meanwhile: either way it has to ring.
        let unread = !*dry || subscription.stand == Stand::Reading && subscription.reader.cursor() < *end;
        if unread || log_end.position > *end || log_end.closed {
            subscription.station.wake();
        }
    }
}

impl<P> fmt::Debug for Drain<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

#[expect(clippy::into_iter_without_iter, reason = "`iter` is what callers look for; items are not mutable")]
impl<'w, P> IntoIterator for &'w mut Drain<'_, P> {
    type Item = DeliveryRef<'w, P>;
    type IntoIter = DrainIter<'w, P>;

    fn into_iter(self) -> DrainIter<'w, P> {
        self.iter()
    }
}

/// The iterator of a [`Drain`].
pub struct DrainIter<'w, P> {
    /// What is in hand: batches of one segment that are given whole.
    slots: &'w [Slot<Record<P>>],
    subscription: &'w mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &'w mut Progress,
    kept: &'w Keep,
}

/// Passes the batches that were yielded of a run that is given whole, which is no longer under way then.
#[inline]
fn settle<P>(subscription: &mut Subscription<P>, progress: &mut Progress, directory: &Directory<Record<P>>) {
    let here = progress.here();
    (progress.whole, progress.rest) = (false, Run::EMPTY);
    let count = here.since(subscription.reader.next_in_run());
    if count == 0 {
        return;
    }
    subscription.reader.pass_whole(here);
    progress.tally.batches += count;
    if let Some(last) = directory.get_given(progress.segment, Position(here.0 - 1)) {
        subscription.passed = last.place.next();
        progress.tally.events += last.events_before + last.events.len() as u64 - progress.events_before;
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
    // Over for good: what a reader learned beyond the end of its window is not to be read from it.
    let Some(directory) = directory.filter(|_| !progress.dry) else { return &[] };
    if !progress.rest.is_empty() {
        let slots = directory.slots_after(&mut progress.segment, progress.rest);
        if !slots.is_empty() {
            return progress.hand(slots);
        }
    } else if progress.whole && progress.last {
        progress.dry = true;
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
    if progress.whole {
        settle(subscription, progress, directory);
    }
    let Subscription { reader, core, station, sieve, .. } = subscription;
    let Some(run) = reader.next_in_window(&core.log, station, progress.end) else {
        progress.dry = true;
        return &[];
    };
    if sieve.is_fine() || reader.matching() != Matching::Whole {
        return &[];
    }
    let slots = directory.slots(&mut progress.segment, run);
    if let Some(first) = slots.first().and_then(Slot::get) {
        progress.events_before = first.events_before;
        (progress.whole, progress.rest, progress.last) = (true, run, reader.is_last_run(progress.end));
    }
    progress.hand(slots)
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
        let Subscription { reader, core, station, sieve, .. } = &mut *subscription;
        let run = reader.next_in_window(&core.log, station, progress.end);
        let batch = run.and_then(|run| directory.get_near(&mut progress.segment, run.start));
        let Some(batch) = batch else {
            progress.dry = true;
            return;
        };
        if !sieve.is_fine() && reader.matching() == Matching::Whole {
            return;
        }
        if let Some(selection) = next_part(subscription, progress, batch) {
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
fn next_part<'w, P>(
    subscription: &mut Subscription<P>,
    Progress { tally, .. }: &mut Progress,
    record: &'w Record<P>,
) -> Option<Selected<'w>> {
    let Subscription { reader, sieve, core, station, passed, .. } = subscription;
    let position = reader.next_in_run();
    let mut selection = sieve.select(record, &station.owner.nodes, reader.matching());
    if sieve.is_fine() {
        let authorizer = core.hooks.authorizer.as_deref();
        selection = selection.and_then(|all| sieve.refine(authorizer, &record.events, all));
    }
    reader.pass(position);
    let selection = selection?;
    *passed = record.place.next();
    tally.batches += 1;
    tally.events += selection.len(record.events.len()) as u64;
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
                self.slots = rest;
                self.progress.left = rest.len();
                return Some(DeliveryRef::whole(slot.get()?));
            }
            self.slots = go_on(self.subscription, self.directory, self.progress);
            if self.slots.is_empty() {
                if self.progress.dry {
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
