//! The window for hot loops: what is readable now, borrowed.
//! Eviction, fence and expiry are checked when it opens, not for each item.

use std::fmt;
use std::iter::FusedIterator;
use std::slice;
use std::sync::Arc;

use super::Subscription;
use super::reader::Located;
use crate::delivery::{DeliveryRef, Selection};
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
            let directory = match self.open_window(latest, end)? {
                Opening::At(directory) => Some(directory),
                Opening::Dry => None,
                Opening::Again => continue,
            };
            let progress = Progress { end: end.position, dry: directory.is_none(), ..Progress::default() };
            return Ok(Drain { subscription: self, directory, latest, progress });
        }
    }

    /// Finds what there is to read below `end`; `latest` was loaded before it.
    #[inline(never)]
    fn open_window(&mut self, latest: u64, end: End) -> Result<Opening<P>, RecvError> {
        let mut stash = None;
        let located = if self.has_begun(latest) {
            self.reader.locate(&self.core.log, &self.station, end.position, &mut stash)
        } else {
            Located::Dry
        };
        match located {
            Located::Dry if end.closed => Err(self.end(RecvError::Closed)),
            Located::Dry => Ok(Opening::Dry),
            Located::Lost(oldest) => self.lag(oldest).map_or(Ok(Opening::Again), Err),
            Located::At(position) => {
                let directory = stash.unwrap_or_else(|| self.core.log.directory());
                // After the directory: what is still in reach is in it.
                let stays = self.core.log.oldest() <= position;
                Ok(if stays { Opening::At(directory) } else { Opening::Again })
            }
        }
    }
}

/// What a window opens on.
enum Opening<P> {
    At(Arc<Directory<Record<P>>>),
    /// Nothing.
    Dry,
    /// What was found is gone: there is another end, or another oldest batch, to look for.
    Again,
}

/// What was readable when it was opened; see [`Subscription::drain`].
///
/// Iterate over `&mut drain`, or over [`iter`](Self::iter).
pub struct Drain<'s, P> {
    subscription: &'s mut Subscription<P>,
    directory: Option<Arc<Directory<Record<P>>>>,
    latest: u64,
    progress: Progress,
}

/// What a window has come to.
#[derive(Default)]
struct Progress {
    end: Position,
    /// Whether what the iterator was handed last, slots of one segment, is given whole.
    whole: bool,
    /// If it is, how many slots that were, and how many are left: those between have been yielded, and are not passed
    /// yet. Otherwise nothing: what is given in part is passed one by one.
    handed: usize,
    left: usize,
    /// The same of the segments before, and how many events were published before the first batch of the run.
    earlier: usize,
    events_before: u64,
    /// What of the run lies in segments that follow, and where in the directory they are looked for.
    rest: Run,
    segment: usize,
    /// Whether nothing follows that run.
    last: bool,
    tally: Tally,
    dry: bool,
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
        DrainIter {
            slots: [].iter(),
            whole: false,
            directory: self.directory.as_deref(),
            progress: &mut self.progress,
            subscription: self.subscription,
        }
    }

    /// Passes what an iterator before has yielded.
    #[inline]
    fn settle(&mut self) {
        if let Some(directory) = &self.directory {
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
        if *dry && subscription.stand == super::Stand::Reading && subscription.reader.cursor() >= *end {
            subscription.pass_all(*latest);
        } else if subscription.stand == super::Stand::Reading {
            meters.set_cursor(subscription.reader.cursor());
        }
        if subscription.station.has_doorbell() {
            if *dry {
                subscription.enrol();
            }
            let log_end = subscription.core.log.end();
            // Unread, or come meanwhile: either way it has to ring.
            let unread = !*dry || subscription.stand == super::Stand::Reading && subscription.reader.cursor() < *end;
            if unread || log_end.position > *end || log_end.closed {
                subscription.station.wake();
            }
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
    /// What is in hand of one segment, and whether all of it is given. Whole batches are passed together, when the
    /// iterator moves on to another run; others one by one.
    slots: slice::Iter<'w, Slot<Record<P>>>,
    whole: bool,
    subscription: &'w mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    progress: &'w mut Progress,
}

/// Passes the whole batches that were yielded of the reader's current run.
#[inline]
fn settle<P>(subscription: &mut Subscription<P>, progress: &mut Progress, directory: &Directory<Record<P>>) {
    let count = (progress.earlier + progress.handed - progress.left) as u64;
    (progress.earlier, progress.handed, progress.left) = (0, 0, 0);
    (progress.rest, progress.last) = (Run::EMPTY, false);
    if count == 0 {
        return;
    }
    subscription.reader.pass_whole(count);
    progress.tally.batches += count;
    if let Some(last) = directory.get_given(progress.segment, Position(subscription.reader.cursor().0 - 1)) {
        subscription.passed = last.place.next();
        progress.tally.events += last.events_before + last.events.len() as u64 - progress.events_before;
    }
}

/// What an iterator goes on with when it has nothing left in hand: the next segment of a run, or another run. Nothing
/// means that the window is over.
///
/// Cold, so that what the caller's loop needs for each item stays in registers around this call.
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
        let slots = directory.slots(&mut progress.segment, progress.rest);
        if !slots.is_empty() {
            progress.rest.start.0 += slots.len() as u64;
            progress.earlier += progress.handed;
            (progress.handed, progress.left) = (slots.len(), slots.len());
            return slots;
        }
    }
    if progress.last {
        progress.dry = true;
        return &[];
    }
    refill(subscription, progress, directory)
}

/// Passes what was yielded, and moves on to another run, or to the next segment of one that is not given whole.
#[inline(never)]
fn refill<'w, P>(
    subscription: &mut Subscription<P>,
    progress: &mut Progress,
    directory: &'w Directory<Record<P>>,
) -> &'w [Slot<Record<P>>] {
    settle(subscription, progress, directory);
    let next = next_run(subscription, progress, directory);
    progress.dry = next.is_none();
    next.unwrap_or_default()
}

#[inline]
fn next_run<'w, P>(
    subscription: &mut Subscription<P>,
    progress: &mut Progress,
    directory: &'w Directory<Record<P>>,
) -> Option<&'w [Slot<Record<P>>]> {
    let Subscription { reader, core, station, sieve, .. } = subscription;
    let run = reader.next_in_window(&core.log, station, progress.end)?;
    let slots = directory.slots(&mut progress.segment, run);
    let first = slots.first()?;
    let rest = Run { start: Position(run.start.0 + slots.len() as u64), end: run.end };
    progress.last = reader.is_last_run(progress.end);
    progress.whole = reader.matching() == Matching::Whole && !sieve.is_fine();
    if progress.whole {
        progress.events_before = first.get()?.events_before;
        progress.rest = rest;
        (progress.handed, progress.left) = (slots.len(), slots.len());
    } else {
        progress.last &= rest.is_empty();
    }
    Some(slots)
}

/// The next batch of a reader that may not be given all of it. It is passed here, unless a judge panics.
fn next_part<'w, P>(
    subscription: &mut Subscription<P>,
    Progress { tally, .. }: &mut Progress,
    record: &'w Record<P>,
) -> Option<Selection<'w>> {
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
            if self.whole {
                if let Some(slot) = self.slots.next() {
                    let batch = slot.get()?;
                    self.progress.left = self.slots.len();
                    return Some(DeliveryRef { batch, selection: Selection::All });
                }
            } else if let Some((slot, rest)) = self.slots.as_slice().split_first() {
                let batch = slot.get()?;
                let selection = next_part(self.subscription, self.progress, batch);
                // Behind only when its batch has been passed: a judge that panics leaves both in place.
                self.slots = rest.iter();
                match selection {
                    Some(selection) => return Some(DeliveryRef { batch, selection }),
                    None => continue,
                }
            }
            self.slots = go_on(self.subscription, self.directory, self.progress).iter();
            self.whole = self.progress.whole;
            if self.slots.len() == 0 {
                return None;
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
