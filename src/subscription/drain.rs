//! The window for hot loops: what is readable now, borrowed.
//! Eviction, fence and expiry are checked when it opens, not for each item.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use super::Subscription;
use super::reader::Located;
use crate::delivery::{DeliveryRef, Selection};
use crate::error::RecvError;
use crate::log::{Directory, Segment};
use crate::position::Position;
use crate::record::Record;
use crate::shared::Tally;

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
            let located = if self.has_begun() {
                self.reader.locate(&self.core.log, &self.station, end.position)
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
                    let directory = self.core.log.directory();
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
        Self { subscription, directory, latest, end, tally: Tally::default(), dry }
    }

    /// Iterates over the deliveries, oldest first. An item that is yielded counts as read.
    ///
    /// # Panics
    ///
    /// The iterator panics if the request's predicate, or the authorizer's judgement of an event, does. The batch has
    /// not been passed then.
    pub fn iter(&mut self) -> DrainIter<'_, P> {
        DrainIter {
            subscription: self.subscription,
            directory: self.directory.as_deref(),
            segment: None,
            end: self.end,
            tally: &mut self.tally,
            dry: &mut self.dry,
        }
    }
}

impl<P> Drop for Drain<'_, P> {
    fn drop(&mut self) {
        let Self { subscription, latest, end, tally, dry, .. } = self;
        let meters = &subscription.station.owner.meters;
        if tally.batches > 0 {
            meters.add(*tally);
        }
        // One that still waits for its place has no cursor to tell.
        if subscription.stand == super::Stand::Reading {
            if *dry && subscription.reader.cursor() >= *end {
                subscription.pass_all(*latest);
            } else {
                meters.set_cursor(subscription.reader.cursor());
            }
        }
        if subscription.station.has_doorbell() {
            if *dry {
                subscription.enrol();
            }
            let log_end = subscription.core.log.end();
            // Unread, or come meanwhile: either way it has to ring.
            if !*dry || log_end.position > *end || log_end.closed {
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
    /// Where the last item was found.
    segment: Option<&'w Segment<Record<P>>>,
    end: Position,
    tally: &'w mut Tally,
    dry: &'w mut bool,
}

impl<'w, P> DrainIter<'w, P> {
    /// The record at a position: mostly in the segment of the one before.
    #[inline]
    fn record(&mut self, position: Position) -> Option<&'w Record<P>> {
        if let Some(record) = self.segment.and_then(|segment| segment.get(position)) {
            return Some(record);
        }
        self.segment = self.directory?.segment(position);
        self.segment?.get(position)
    }

    #[cold]
    fn next_run(&mut self) -> Option<Position> {
        let Subscription { reader, core, station, .. } = &mut *self.subscription;
        let next = reader.next_in_window(&core.log, station, self.end);
        *self.dry |= next.is_none();
        next
    }
}

impl<'w, P> Iterator for DrainIter<'w, P> {
    type Item = DeliveryRef<'w, P>;

    #[inline]
    fn next(&mut self) -> Option<DeliveryRef<'w, P>> {
        self.directory?;
        loop {
            let position = match self.subscription.reader.next_in_run() {
                Some(position) => position,
                None => self.next_run()?,
            };
            let record = self.record(position)?;
            let Subscription { reader, sieve, core, station, passed, epoch, .. } = &mut *self.subscription;
            let mut selection = sieve.select(record, &station.owner.nodes, reader.must_scan(position));
            if sieve.is_fine() {
                let authorizer = core.hooks.authorizer.as_deref();
                selection = selection.and_then(|all| sieve.refine(authorizer, &record.batch.events, all));
            }
            reader.pass(position);
            let Some(selection) = selection else { continue };
            *passed = record.place.next();
            self.tally.batches += 1;
            self.tally.events += match &selection {
                Selection::All => record.batch.events.len() as u64,
                part => part.len(0) as u64,
            };
            return Some(DeliveryRef { batch: &record.batch, selection, place: record.place, epoch: *epoch });
        }
    }
}

impl<P> FusedIterator for DrainIter<'_, P> {}

impl<P> fmt::Debug for DrainIter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainIter").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}
