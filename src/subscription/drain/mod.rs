//! The window for hot loops: what is readable now, borrowed.
//! Eviction, fence and expiry are checked when it opens, not for each item.
//!
//! Files: `iter` hands the items out and counts what was read, `kept` holds what they borrow and no batch has.

mod iter;
mod kept;

use std::fmt;
use std::sync::Arc;

pub use iter::DrainIter;

use super::budget::Budget;
use super::cursor::Located;
use super::delivery::DeliveryRef;
use super::state::{StartState, Subscription};
use crate::core::ReadCounts;
use crate::core::Record;
use crate::log::{Directory, End};
use crate::types::error::RecvError;
use crate::types::position::Position;
use crate::types::token::Place;
use iter::{Progress, settle};
use kept::Keep;

impl<P> Subscription<P> {
    /// Opens a window of what is readable now, without waiting.
    ///
    /// Items borrow from the window: no reference count is touched. An item that was yielded counts as read; the rest
    /// stays unread when the window is dropped; of a window that is forgotten ([`std::mem::forget`]) as well, but then its
    /// memory stays, and a doorbell is not armed again. While it is open the window keeps in memory what was buffered when it
    /// opened, evicted since or not, and of batches of more than 64 events that a predicate, a grant or several terms
    /// thinned out, which events were given: so keep it short.
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
        let mut budget = Budget::unlimited();
        loop {
            let Some((finished, end)) = self.look(&mut budget)? else { return Ok(self.closed_window()) };
            // Everything but the directory is put together here, where the caller keeps it: moving a window that was
            // built elsewhere cost a tenth of one of 64 items.
            let directory = match self.open_window(finished, end) {
                Opening::At(directory) => Some(directory),
                Opening::CaughtUp => None,
                Opening::Again => continue,
                Opening::Ended(error) => return Err(*error),
            };
            let (progress, finished) = (Progress::new(end.position, directory.is_none()), Some(finished));
            return Ok(Drain { subscription: self, directory, finished, progress, kept: Keep::default() });
        }
    }

    /// A window on nothing, because access changes faster than it can be asked for: there may be something to read.
    #[cold]
    fn closed_window(&mut self) -> Drain<'_, P> {
        self.ring();
        let progress = Progress::new(Position::ZERO, true);
        Drain { subscription: self, directory: None, finished: None, progress, kept: Keep::default() }
    }

    /// Ends the run that is handed out, and returns where the batches of it that were yielded end.
    #[inline]
    fn close_window_run(&mut self) -> Position {
        self.start_state = if self.cursor.is_past_elastic() { StartState::Reading } else { StartState::Elastic };
        std::mem::take(&mut self.window_run).here()
    }

    /// Passes what a forgotten window yielded of a run that was given whole.
    #[cold]
    pub(super) fn pass_window_run(&mut self) {
        let here = self.close_window_run();
        let start = self.cursor.next_in_run();
        let batches = here.since(start);
        if batches == 0 {
            return;
        }
        self.cursor.pass_whole(here);
        self.has_passed();
        let log = &self.core.log;
        let first = log.read(start, |record| record.events_before);
        let last = log.read(Position(here.0 - 1), |record| {
            (record.place.next(), record.events_before + record.events.len() as u64)
        });
        // What was evicted meanwhile is counted as batches alone, and the token stays where it was known to be.
        if let Some((passed, _)) = last {
            self.passed = passed;
        }
        let events = first.zip(last).map_or(0, |(before, (_, through))| through - before);
        self.waiter.owner.counters.add(ReadCounts { batches, events });
        self.waiter.owner.counters.set_cursor(here);
    }

    /// The place behind the last batch that a forgotten window yielded, if that is still buffered, or what follows it.
    pub(super) fn place_in_window(&self) -> Option<Place> {
        let (here, log) = (self.window_run.here(), &self.core.log);
        if here == self.cursor.next_in_run() {
            return None;
        }
        let behind = log.read(Position(here.0 - 1), |record| record.place.next());
        behind.or_else(|| log.read(here, |record| record.after))
    }

    /// Finds what there is to read below `end`; `finished` was loaded before it.
    #[inline(never)]
    fn open_window(&mut self, finished: u64, end: End) -> Opening<P> {
        let mut searched = None;
        let located = if self.has_begun(finished) {
            self.cursor.locate(&self.core.log, &self.waiter, end.position, &mut searched)
        } else {
            Located::CaughtUp
        };
        match located {
            Located::At(position) => {
                let directory = searched.unwrap_or_else(|| self.core.log.directory());
                // After the directory: what is still in reach is in it.
                let stays = self.core.log.oldest() <= position;
                if stays { Opening::At(directory) } else { Opening::Again }
            }
            Located::CaughtUp if end.closed => Opening::Ended(Box::new(self.end(RecvError::Closed))),
            Located::CaughtUp => Opening::CaughtUp,
            Located::Lost => self.lag().map_or(Opening::Again, |error| Opening::Ended(Box::new(error))),
        }
    }
}

/// What a window opens on. Two words, so that it is given in registers.
enum Opening<P> {
    At(Arc<Directory<Record<P>>>),
    /// Nothing.
    CaughtUp,
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
    /// What the end of the window finishes; none if it was opened on nothing.
    finished: Option<u64>,
    progress: Progress,
    kept: Keep,
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
        self.kept.clear();
        DrainIter::new(self.subscription, self.directory.as_deref(), &mut self.progress, &self.kept)
    }

    /// Passes what an iterator before has yielded.
    #[inline]
    fn settle(&mut self) {
        if self.subscription.window_run.is_under_way()
            && let Some(directory) = &self.directory
        {
            settle(self.subscription, &mut self.progress, directory);
        }
    }
}

impl<P> Drop for Drain<'_, P> {
    fn drop(&mut self) {
        self.settle();
        let Self { subscription, finished, progress: Progress { end, counts, caught_up, .. }, .. } = self;
        let counters = &subscription.waiter.owner.counters;
        if counts.batches > 0 {
            counters.add(*counts);
        }
        let Some(finished) = *finished else { return };
        if *caught_up {
            subscription.cursor.finish(*end);
        }
        let all = *caught_up && subscription.cursor.position() >= *end;
        match subscription.start_state {
            StartState::Pending => {}
            _ if all => subscription.pass_all(finished),
            StartState::Elastic | StartState::Window | StartState::Reading => subscription.note_cursor(),
        }
        if subscription.waiter.has_doorbell() {
            self.rearm();
        }
    }
}

impl<P> Drain<'_, P> {
    /// Sees to it that the doorbell rings for what the window leaves, and for what comes.
    #[cold]
    fn rearm(&mut self) {
        let Self { subscription, progress: Progress { end, caught_up, .. }, .. } = self;
        if *caught_up {
            // A reader whose place has come meanwhile is rung for below: the end has moved.
            subscription.register();
        }
        let log_end = subscription.core.log.end();
        // Unread, or come meanwhile: either way it has to ring.
        let unread =
            !*caught_up || subscription.start_state == StartState::Reading && subscription.cursor.position() < *end;
        if unread || log_end.position > *end || log_end.closed {
            subscription.waiter.wake();
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
