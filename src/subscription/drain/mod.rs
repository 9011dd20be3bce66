//! The window for hot loops: what is readable now, borrowed from the log.
//! Nothing here waits, and nothing is checked for each item: eviction, gate and expiry are checked when a window opens.
//!
//! Files: `iter` yields the items and counts what was read; `partial` selects the events of batches that are not read
//! whole; `progress` is how far a window has come; `ordinals` holds what items borrow and no batch holds.
//!
//! Invariants:
//! - What a window yields is in the directory that it took when it opened, so eviction does not concern it.
//! - What was yielded is passed, also if the window is forgotten: the run that it iterates is in the subscription.
//! - A window that is dropped leaves the doorbell armed or ringing.
//!
//! Callers: users; `begin_read` after a window that was forgotten.

mod iter;
mod ordinals;
mod partial;
mod progress;

use std::fmt;
use std::sync::Arc;

pub use iter::DrainIter;

use super::budget::Budget;
use super::cursor::Located;
use super::delivery::DeliveryRef;
use super::state::{StartState, Subscription};
use crate::core::{ReadCounts, Record};
use crate::log::{DirectoryCopy, End};
use crate::types::error::RecvError;
use crate::types::position::Position;
use crate::types::token::Place;
use iter::{pass_last_run, pass_yielded};
use ordinals::OrdinalList;
use progress::{Progress, Rest};

impl<P> Subscription<P> {
    /// Opens a window of what is readable now, without waiting.
    ///
    /// Items borrow from the window, and no reference count is touched. An item that was yielded counts as read. The
    /// rest stays unread when the window is dropped. The same holds for a window that is forgotten
    /// ([`std::mem::forget`]), but its memory stays, and a doorbell is not armed again.
    ///
    /// Keep a window short. While it is open, it keeps in memory what was buffered when it opened, evicted since or
    /// not. For batches of more than 64 events that a predicate, a grant or several terms filtered, it also keeps which
    /// events were delivered.
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
    /// As [`recv`](Self::recv). A window without items is not an error.
    #[inline]
    pub fn drain(&mut self) -> Result<Drain<'_, P>, RecvError> {
        // Everything but the directory is made where the caller keeps it. Moving a window that was made elsewhere cost a
        // tenth of a window of 64 items.
        match self.open_fast() {
            Some((finished, end, directory)) => {
                let progress = Progress::new(end, if directory.is_some() { Rest::Run } else { Rest::Exhausted });
                Ok(Drain { subscription: self, directory, finished, progress, ordinals: OrdinalList::default() })
            }
            None => self.drain_slow(),
        }
    }

    /// Opens a window for a reader of everything that has passed all it knew of, without a decision: either everything
    /// below the end is new to it, or there is nothing.
    ///
    /// Returns the finished index, the end of the window, and the directory unless there is nothing. The order of the
    /// loads is that of [`begin_read`](Self::begin_read), and then that of [`open_window`](Self::open_window). Whatever
    /// must be told, checked or decided first is left to those two.
    #[inline]
    fn open_fast(&mut self) -> Option<FastWindow<P>> {
        if !self.may_read_fast() || !self.waiter.shared.nodes.is_empty() {
            return None;
        }
        let log = &self.core.log;
        let finished = log.finished_below();
        let end = log.end();
        if !self.is_gate_unchanged() {
            return None;
        }
        let Some(start) = self.cursor.discover_everything(end.position) else {
            let nothing = !end.closed && self.cursor.pass_if_nothing_below(end.position);
            return nothing.then_some((finished, end.position, None));
        };
        let directory = match self.directory.last_if_current(log) {
            Some(directory) => directory,
            None => self.find_directory(),
        };
        let log = &self.core.log;
        // Loaded after the directory was taken, as in `open_window`.
        if log.oldest() > start {
            self.release(directory);
            return None;
        }
        Some((finished, end.position, Some(directory)))
    }

    /// Returns the present directory. What it drops may be the last to hold what was evicted.
    #[inline(never)]
    fn find_directory(&mut self) -> Arc<DirectoryCopy<Record<P>>> {
        let _rings = self.rings_on_panic();
        self.directory.current(&self.core.log)
    }

    /// Implements [`drain`](Self::drain) for all other readers.
    #[inline(never)]
    fn drain_slow(&mut self) -> Result<Drain<'_, P>, RecvError> {
        let _rings = self.rings_on_panic();
        let mut budget = Budget::unlimited();
        loop {
            let Some((finished, end)) = self.begin_read(&mut budget)? else { return Ok(self.empty_window()) };
            let (directory, rest) = match self.open_window(finished, end) {
                Opening::At(directory) => (Some(directory), Rest::Unknown),
                Opening::CaughtUp => (None, Rest::Exhausted),
                Opening::Retry => continue,
                Opening::Ended(error) => return Err(*error),
            };
            let progress = Progress::new(end.position, rest);
            return Ok(Drain { subscription: self, directory, finished, progress, ordinals: OrdinalList::default() });
        }
    }

    /// Returns a window without items, because access changes faster than the authorizer can be asked. There may be
    /// something to read, so the doorbell rings.
    #[cold]
    fn empty_window(&mut self) -> Drain<'_, P> {
        self.ring();
        let progress = Progress::new(Position::ZERO, Rest::Unsettled);
        Drain { subscription: self, directory: None, finished: 0, progress, ordinals: OrdinalList::default() }
    }

    /// Ends the window run. Returns one past the last batch that was yielded of it.
    #[inline]
    fn close_window_run(&mut self) -> Position {
        self.start_state = if self.cursor.is_past_elastic() { StartState::Reading } else { StartState::Elastic };
        std::mem::take(&mut self.window_run).yielded_end()
    }

    /// Passes the batches of the cursor's run below `end`, of which there is at least one.
    #[inline]
    fn pass_window_run_to(&mut self, end: Position) {
        self.cursor.pass_run_to(end);
        self.cursor.end_elastic();
        self.start_state = StartState::Reading;
    }

    /// Passes what a forgotten window yielded of a run of whole batches.
    #[cold]
    pub(super) fn pass_forgotten_window(&mut self) {
        let yielded_end = self.close_window_run();
        let start = self.cursor.next_in_run();
        let batches = yielded_end.since(start);
        if batches == 0 {
            return;
        }
        self.pass_window_run_to(yielded_end);
        let log = &self.core.log;
        let first = log.read(start, |record| record.events_before);
        let last = log.read(Position(yielded_end.0 - 1), |record| {
            (record.place.next(), record.events_before + record.events.len() as u64)
        });
        // What was evicted meanwhile is counted in batches only, and the token stays at the last place that is known.
        if let Some((passed, _)) = last {
            self.resume_place = passed;
        }
        let events = first.zip(last).map_or(0, |(before, (_, through))| through - before);
        self.waiter.shared.counters.add(ReadCounts { batches, events });
        self.waiter.shared.counters.set_cursor(yielded_end);
    }

    /// Returns the place after the last batch that a forgotten window yielded, or `None` if it yielded nothing. It is
    /// read from that batch or from the one after it, so it is `None` as well if both are evicted.
    pub(super) fn place_in_window(&self) -> Option<Place> {
        let (yielded_end, log) = (self.window_run.yielded_end(), &self.core.log);
        if yielded_end == self.cursor.next_in_run() {
            return None;
        }
        let place_after = log.read(Position(yielded_end.0 - 1), |record| record.place.next());
        place_after.or_else(|| log.read(yielded_end, |record| record.previous_end))
    }

    /// Finds what there is to read below `end`. The caller has loaded `finished` before `end`.
    #[inline]
    fn open_window(&mut self, finished: u64, end: End) -> Opening<P> {
        let mut searched = None;
        let located = if self.ensure_placed(finished) {
            self.cursor.locate(&self.core.log, &self.waiter, end.position, &mut self.directory, &mut searched)
        } else {
            Located::CaughtUp
        };
        match located {
            Located::At(position) => {
                let directory = searched.unwrap_or_else(|| self.directory.current(&self.core.log));
                // Loaded after the directory was taken, so what is still reachable is in the directory.
                let reachable = self.core.log.oldest() <= position;
                if reachable { Opening::At(directory) } else { Opening::Retry }
            }
            Located::CaughtUp if end.closed => Opening::Ended(Box::new(self.end(RecvError::Closed))),
            Located::CaughtUp => Opening::CaughtUp,
            Located::Lost => {
                // Dropped before the loss is counted: it may be the last to hold what was evicted.
                drop(searched);
                self.report_loss().map_or(Opening::Retry, |error| Opening::Ended(Box::new(error)))
            }
        }
    }
}

/// The finished index, the end of a window, and its directory unless it is empty.
type FastWindow<P> = (u64, Position, Option<Arc<DirectoryCopy<Record<P>>>>);

/// What a window opens on. It takes two words, so that it is returned in registers.
enum Opening<P> {
    At(Arc<DirectoryCopy<Record<P>>>),
    /// There is nothing to read.
    CaughtUp,
    /// What was located is evicted, or the gate has changed: the window must be opened anew.
    Retry,
    Ended(Box<RecvError>),
}

/// A window of what was readable when it opened; see [`Subscription::drain`].
///
/// Iterate over `&mut drain`, or over [`iter`](Self::iter).
pub struct Drain<'s, P> {
    subscription: &'s mut Subscription<P>,
    directory: Option<Arc<DirectoryCopy<Record<P>>>>,
    /// The finished index, as loaded when the window opened: everything below it is passed once the window is
    /// exhausted. Not used if access was not settled.
    finished: u64,
    progress: Progress,
    ordinals: OrdinalList,
}

impl<P> Drain<'_, P> {
    /// Iterates over the deliveries, oldest first. An item that is yielded counts as read.
    ///
    /// # Panics
    ///
    /// The iterator panics if the request's predicate or the authorizer's check of an event panics. The batch is not
    /// passed then.
    #[inline]
    pub fn iter(&mut self) -> DrainIter<'_, P> {
        self.pass_left_iterator();
        self.progress.leave_slots();
        self.ordinals.clear();
        DrainIter::new(
            self.subscription,
            self.directory.as_deref().map(|copy| &**copy),
            &mut self.progress,
            &self.ordinals,
        )
    }

    /// Passes what an iterator of this window has yielded that is left.
    #[inline]
    fn pass_left_iterator(&mut self) {
        if self.subscription.window_run.is_active()
            && let Some(directory) = &self.directory
        {
            pass_yielded(self.subscription, &self.progress, directory);
        }
    }
}

impl<P> Drop for Drain<'_, P> {
    #[inline]
    fn drop(&mut self) {
        match &self.directory {
            // Most windows of readers of everything: one run of whole batches, all of it yielded.
            Some(directory) if self.progress.is_exhausted() && self.subscription.window_run.is_active() => {
                pass_last_run(self.subscription, &self.progress, directory, self.finished);
            }
            _ => self.pass_and_store(),
        }
        if self.subscription.waiter.has_doorbell() {
            self.rearm_doorbell();
        }
    }
}

impl<P> Drain<'_, P> {
    /// Passes what was yielded, and stores the cursor where handles see it.
    #[inline(never)]
    fn pass_and_store(&mut self) {
        self.pass_left_iterator();
        let Self { subscription, finished, progress, .. } = self;
        if progress.rest == Rest::Unsettled {
            return;
        }
        let (end, exhausted) = (progress.end, progress.is_exhausted());
        if exhausted {
            subscription.cursor.pass_unmatched_to(end);
        }
        let all = exhausted && subscription.cursor.position() >= end;
        match subscription.start_state {
            StartState::Pending => {}
            _ if all => subscription.record_caught_up(*finished),
            StartState::Elastic | StartState::Window | StartState::Reading => subscription.store_cursor(),
        }
    }
}

impl<P> Drain<'_, P> {
    /// Arms the doorbell for what comes, and rings it for what the window leaves unread.
    #[cold]
    fn rearm_doorbell(&mut self) {
        let Self { subscription, progress, .. } = self;
        let (end, exhausted) = (progress.end, progress.is_exhausted());
        if progress.rest == Rest::Unsettled {
            // It rang when the window was opened.
            return;
        }
        if exhausted {
            // If a pending start has come meanwhile, the end has moved, and the bell is rung below.
            subscription.register();
        }
        let log_end = subscription.core.log.end();
        // The bell must ring for what is unread, and for what came meanwhile.
        let unread =
            !exhausted || subscription.start_state == StartState::Reading && subscription.cursor.position() < end;
        if unread || log_end.position > end || log_end.closed {
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
