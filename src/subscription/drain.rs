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
    /// Whole batches yielded of the reader's current run, and not passed yet. They lie in one segment.
    yielded: usize,
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
        Self { subscription, directory, latest, end, yielded: 0, tally: Tally::default(), dry }
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
            segment: 0,
            whole: &[],
            at: 0,
            part: &[],
            end: self.end,
            yielded: &mut self.yielded,
            tally: &mut self.tally,
            dry: &mut self.dry,
            subscription: self.subscription,
        }
    }

    /// Passes what an iterator before has yielded.
    #[inline]
    fn settle(&mut self) {
        let count = std::mem::take(&mut self.yielded);
        if let Some(directory) = self.directory.as_deref().filter(|_| count > 0) {
            let start = self.subscription.reader.next_in_run();
            let run = Run { start, end: Position(start.0 + count as u64) };
            settle(self.subscription, &mut self.tally, directory.slots(&mut 0, run));
        }
    }
}

impl<P> Drop for Drain<'_, P> {
    fn drop(&mut self) {
        self.settle();
        let Self { subscription, latest, end, tally, dry, .. } = self;
        let meters = &subscription.station.owner.meters;
        if tally.batches > 0 {
            meters.add(*tally);
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
    /// Where in the directory the slots were found.
    segment: usize,
    /// What of the reader's current run lies in one segment, if all of it is given, and how much of it is behind. It
    /// is passed together, when the iterator moves on.
    whole: &'w [Slot<Record<P>>],
    at: usize,
    /// What is left of it, if it may not be given whole.
    part: &'w [Slot<Record<P>>],
    end: Position,
    yielded: &'w mut usize,
    tally: &'w mut Tally,
    dry: &'w mut bool,
}

/// Passes whole batches of the reader's current run.
#[inline]
fn settle<P>(subscription: &mut Subscription<P>, tally: &mut Tally, yielded: &[Slot<Record<P>>]) {
    if let (Some(first), Some(last)) = (yielded.first().and_then(Slot::get), yielded.last().and_then(Slot::get)) {
        subscription.reader.pass_whole(yielded.len() as u64);
        subscription.passed = last.place.next();
        tally.batches += yielded.len() as u64;
        tally.events += last.events_before - first.events_before + last.events.len() as u64;
    }
}

/// What an iterator goes on with.
enum Next<'w, P> {
    Whole(&'w [Slot<Record<P>>]),
    Part(&'w [Slot<Record<P>>]),
}

/// Passes what was yielded, and moves on; `segment` is where in the directory. None means that the window is over.
#[inline(never)]
fn refill<'w, P>(
    subscription: &mut Subscription<P>,
    tally: &mut Tally,
    directory: &'w Directory<Record<P>>,
    yielded: &[Slot<Record<P>>],
    mut segment: usize,
    end: Position,
) -> Option<(Next<'w, P>, usize)> {
    settle(subscription, tally, yielded);
    let Subscription { reader, core, station, sieve, .. } = subscription;
    let run = reader.next_in_window(&core.log, station, end)?;
    let slots = directory.slots(&mut segment, run);
    let whole = reader.matching() == Matching::Whole && !sieve.is_fine();
    let next = if whole { Next::Whole(slots) } else { Next::Part(slots) };
    (!slots.is_empty()).then_some((next, segment))
}

/// The next batch of a reader that may not be given all of it. It is passed here, unless a judge panics.
fn next_part<'w, P>(
    subscription: &mut Subscription<P>,
    tally: &mut Tally,
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
                *self.yielded = self.at;
                return Some(DeliveryRef { batch, selection: Selection::All });
            }
            if let Some((slot, rest)) = self.part.split_first() {
                let batch = slot.get()?;
                let selection = next_part(self.subscription, self.tally, batch);
                // Behind only when its batch has been passed: a judge that panics leaves both in place.
                self.part = rest;
                match selection {
                    Some(selection) => return Some(DeliveryRef { batch, selection }),
                    None => continue,
                }
            }
            // Over for good: what a reader learned beyond the end of its window is not to be read from it.
            let directory = self.directory.filter(|_| !*self.dry)?;
            let next = refill(self.subscription, self.tally, directory, self.whole, self.segment, self.end);
            (self.whole, self.at, *self.yielded) = (&[], 0, 0);
            match next {
                Some((Next::Whole(slots), segment)) => (self.whole, self.segment) = (slots, segment),
                Some((Next::Part(slots), segment)) => (self.part, self.segment) = (slots, segment),
                None => {
                    *self.dry = true;
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
