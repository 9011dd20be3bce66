//! The window for hot loops: what is readable now, borrowed.
//! Eviction, fence and expiry are checked when it opens, not for each item.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use super::Subscription;
use super::reader::Located;
use crate::delivery::{DeliveryRef, Selection};
use crate::error::RecvError;
use crate::interest::Matching;
use crate::log::Directory;
use crate::position::{Position, Run};
use crate::record::Record;
use crate::shared::Tally;
use crate::sync::Slot;

impl<P> Subscription<P> {
    /// Opens a window of what is readable now, without waiting.
    ///
    /// Items borrow from the window: no reference count is touched. An item that was yielded counts as read; the rest
    /// stays unread when the window is dropped. While it is open the window holds the part of the buffer it shows, so
    /// keep it short.
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
    pub fn drain(&mut self) -> Result<Drain<'_, P>, RecvError> {
        loop {
            let (latest, end) = self.look()?;
            let mut stash = None;
            let located = if self.has_begun(latest) {
                self.reader.locate(&self.core.log, &self.station, end.position, &mut stash)
            } else if end.closed {
                return Err(self.end(RecvError::Closed));
            } else {
                return Ok(Drain::new(self, latest, end.position, None));
            };
            match located {
                Located::Dry if end.closed => return Err(self.end(RecvError::Closed)),
                Located::Dry => return Ok(Drain::new(self, latest, end.position, None)),
                Located::Lost(oldest) => {
                    if let Some(error) = self.lag(oldest) {
                        return Err(error);
                    }
                }
                Located::At(position) => {
                    let directory = stash.unwrap_or_else(|| self.core.log.directory());
                    // After the directory: what is still in reach is in it.
                    if self.core.log.oldest() <= position {
                        return Ok(Drain::new(self, latest, end.position, Some(directory)));
                    }
                }
            }
        }
    }
}

/// What was readable when it was opened; see [`Subscription::drain`].
///
/// Iterate over `&mut drain`, or over [`iter`](Self::iter).
pub struct Drain<'s, P> {
    subscription: &'s mut Subscription<P>,
    directory: Option<Arc<Directory<Record<P>>>>,
    latest: u64,
    end: Position,
    progress: Progress,
}

/// What a window has come to.
#[derive(Default)]
struct Progress {
    /// Whole batches yielded of the reader's current run, and not passed yet: of its last segment, and of those before.
    yielded: usize,
    earlier: usize,
    /// How many events were published before the first of them.
    events_before: u64,
    /// What of the run lies in segments that follow, and where in the directory they are looked for.
    rest: Run,
    segment: usize,
    /// Whether nothing follows that run.
    last: bool,
    tally: Tally,
    dry: bool,
}

impl<'s, P> Drain<'s, P> {
    #[inline]
    fn new(
        subscription: &'s mut Subscription<P>,
        latest: u64,
        end: Position,
        directory: Option<Arc<Directory<Record<P>>>>,
    ) -> Self {
        let dry = directory.is_none();
        Self { subscription, directory, latest, end, progress: Progress { dry, ..Progress::default() } }
    }

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
            directory: self.directory.as_deref(),
            whole: &[],
            at: 0,
            part: &[],
            end: self.end,
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
        let Self { subscription, latest, end, progress: Progress { tally, dry, .. }, .. } = self;
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
    subscription: &'w mut Subscription<P>,
    directory: Option<&'w Directory<Record<P>>>,
    /// What of the reader's current run lies in one segment, if all of it is given, and how much of it is behind. The
    /// run is passed together, when the iterator moves on to another.
    whole: &'w [Slot<Record<P>>],
    at: usize,
    /// What is left of a run's segment, if it may not be given whole.
    part: &'w [Slot<Record<P>>],
    end: Position,
    progress: &'w mut Progress,
}

/// Passes the whole batches that were yielded of the reader's current run.
#[inline]
fn settle<P>(subscription: &mut Subscription<P>, progress: &mut Progress, directory: &Directory<Record<P>>) {
    let count = (progress.earlier + progress.yielded) as u64;
    (progress.earlier, progress.yielded, progress.rest, progress.last) = (0, 0, Run::EMPTY, false);
    if count == 0 {
        return;
    }
    subscription.reader.pass_whole(count);
    progress.tally.batches += count;
    if let Some(last) = directory.get(Position(subscription.reader.cursor().0 - 1)) {
        subscription.passed = last.place.next();
        progress.tally.events += last.events_before + last.events.len() as u64 - progress.events_before;
    }
}

/// What an iterator goes on with.
enum Next<'w, P> {
    Whole(&'w [Slot<Record<P>>]),
    Part(&'w [Slot<Record<P>>]),
}

/// Passes what was yielded, and moves on to another run, or to the next segment of one that is not given whole. None
/// means that the window is over.
#[inline(never)]
fn refill<'w, P>(
    subscription: &mut Subscription<P>,
    progress: &mut Progress,
    directory: &'w Directory<Record<P>>,
    end: Position,
) -> Option<Next<'w, P>> {
    settle(subscription, progress, directory);
    let Subscription { reader, core, station, sieve, .. } = subscription;
    let run = reader.next_in_window(&core.log, station, end)?;
    let slots = directory.slots(&mut progress.segment, run);
    let first = slots.first()?;
    let rest = Run { start: Position(run.start.0 + slots.len() as u64), end: run.end };
    progress.last = reader.is_last_run(end);
    if reader.matching() != Matching::Whole || sieve.is_fine() {
        progress.last &= rest.is_empty();
        return Some(Next::Part(slots));
    }
    progress.events_before = first.get()?.events_before;
    progress.rest = rest;
    Some(Next::Whole(slots))
}

/// The next segment of a run that is given whole, after so many of the last one.
#[inline(never)]
fn go_on<'w, T>(directory: &'w Directory<T>, progress: &mut Progress, yielded: usize) -> &'w [Slot<T>] {
    progress.earlier += yielded;
    progress.yielded = 0;
    let slots = directory.slots(&mut progress.segment, progress.rest);
    progress.rest.start.0 += slots.len() as u64;
    slots
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
            if let Some(slot) = self.whole.get(self.at) {
                let batch = slot.get()?;
                self.at += 1;
                self.progress.yielded = self.at;
                return Some(DeliveryRef { batch, selection: Selection::All });
            }
            if let Some((slot, rest)) = self.part.split_first() {
                let batch = slot.get()?;
                let selection = next_part(self.subscription, self.progress, batch);
                // Behind only when its batch has been passed: a judge that panics leaves both in place.
                self.part = rest;
                match selection {
                    Some(selection) => return Some(DeliveryRef { batch, selection }),
                    None => continue,
                }
            }
            // Over for good: what a reader learned beyond the end of its window is not to be read from it.
            let directory = self.directory.filter(|_| !self.progress.dry)?;
            if !self.progress.rest.is_empty() {
                (self.whole, self.at) = (go_on(directory, self.progress, self.at), 0);
                if !self.whole.is_empty() {
                    continue;
                }
            }
            (self.whole, self.at) = (&[], 0);
            let next =
                if self.progress.last { None } else { refill(self.subscription, self.progress, directory, self.end) };
            match next {
                Some(Next::Whole(slots)) => self.whole = slots,
                Some(Next::Part(slots)) => self.part = slots,
                None => {
                    self.progress.dry = true;
                    return None;
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
