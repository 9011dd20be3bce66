//! The window for hot loops: what is readable now, borrowed.
//! Eviction, fence and expiry are checked when it opens, not for each item.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use super::Subscription;
use super::reader::Located;
use crate::delivery::{DeliveryRef, Selection};
use crate::error::RecvError;
use crate::log::Directory;
use crate::position::Position;
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
    /// Whole batches yielded of the reader's current run, and not passed yet.
    yielded: u64,
    tally: Tally,
    dry: bool,
}

impl<'s, P> Drain<'s, P> {
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
    pub fn iter(&mut self) -> DrainIter<'_, P> {
        self.settle();
        let whole = self.subscription.station.owner.nodes.is_empty() && !self.subscription.sieve.is_fine();
        DrainIter {
            directory: self.directory.as_deref(),
            slots: [].iter(),
            whole,
            end: self.end,
            yielded: &mut self.yielded,
            tally: &mut self.tally,
            dry: &mut self.dry,
            subscription: self.subscription,
        }
    }

    fn settle(&mut self) {
        if let Some(directory) = &self.directory {
            settle(self.subscription, directory, &mut self.yielded, &mut self.tally);
        }
    }
}

/// Passes the whole batches that were yielded of the reader's current run, all of one segment.
fn settle<P>(
    subscription: &mut Subscription<P>,
    directory: &Directory<Record<P>>,
    yielded: &mut u64,
    tally: &mut Tally,
) {
    let count = std::mem::take(yielded);
    if count == 0 {
        return;
    }
    let first = subscription.reader.next_in_run();
    let last = Position(first.0 + count - 1);
    subscription.reader.pass_whole(count);
    tally.batches += count;
    if let (Some(first), Some(last)) = (directory.get(first), directory.get(last)) {
        subscription.passed = last.place.next();
        tally.events += last.events_before - first.events_before + last.batch.events.len() as u64;
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
    /// What is left of the reader's current run, as far as it lies in one segment.
    slots: std::slice::Iter<'w, Slot<Record<P>>>,
    /// Whether every batch is given whole. Then items are only counted, and passed a run at a time.
    whole: bool,
    end: Position,
    yielded: &'w mut u64,
    tally: &'w mut Tally,
    dry: &'w mut bool,
}

impl<'w, P> DrainIter<'w, P> {
    /// Moves on to the next slots, if there are any in the window.
    #[cold]
    fn refill(&mut self) -> bool {
        // Over for good: what a reader learned beyond the end of its window is not to be read from it.
        let Some(directory) = self.directory.filter(|_| !*self.dry) else { return false };
        settle(self.subscription, directory, self.yielded, self.tally);
        let Subscription { reader, core, station, .. } = &mut *self.subscription;
        let Some(run) = reader.next_in_window(&core.log, station, self.end) else {
            *self.dry = true;
            return false;
        };
        self.slots = directory.slots(run).iter();
        !self.slots.as_slice().is_empty()
    }

    /// The next batch of a reader that is not given all of it. It is passed here, unless a judge panics.
    fn next_part(&mut self, record: &'w Record<P>) -> Option<Selection<'w>> {
        let Subscription { reader, sieve, core, station, passed, .. } = &mut *self.subscription;
        let position = reader.next_in_run();
        let mut selection = sieve.select(record, &station.owner.nodes, reader.must_scan(position));
        if sieve.is_fine() {
            let authorizer = core.hooks.authorizer.as_deref();
            selection = selection.and_then(|all| sieve.refine(authorizer, &record.batch.events, all));
        }
        reader.pass(position);
        let selection = selection?;
        *passed = record.place.next();
        self.tally.batches += 1;
        self.tally.events += selection.len(record.batch.events.len()) as u64;
        Some(selection)
    }
}

impl<'w, P> Iterator for DrainIter<'w, P> {
    type Item = DeliveryRef<'w, P>;

    #[inline]
    fn next(&mut self) -> Option<DeliveryRef<'w, P>> {
        loop {
            let Some(slot) = self.slots.as_slice().first() else {
                if self.refill() {
                    continue;
                }
                return None;
            };
            let record = slot.get()?;
            // The slot is behind the iterator when its batch has been passed: a judge that panics leaves both in place.
            let selection = if self.whole {
                *self.yielded += 1;
                Some(Selection::All)
            } else {
                self.next_part(record)
            };
            self.slots.next();
            if let Some(selection) = selection {
                return Some(DeliveryRef { batch: &record.batch, selection });
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
