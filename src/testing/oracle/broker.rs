//! The naive broker's log and its bounds, and what its host does: publish, close, reset, skip.
//! Readers are opened in `start` and read in `read`.

use std::fmt;
use std::sync::Arc;

use super::place::Place;
use super::reader::{Cursor, Reader};
use crate::types::error::{PublishError, PublishErrorKind, SkipError};
use crate::types::event::{Batch, Event};
use crate::types::token::{Epoch, Token};

/// A batch, and its place in the history.
pub(super) struct Stored<P> {
    pub(super) place: Place,
    pub(super) batch: Arc<Batch<P>>,
}

/// A broker of obvious code: one `Vec` of all batches ever published, and the position of the oldest that is buffered.
///
/// It follows the semantics of [`Broker`](crate::Broker) and shares none of its algorithms. Its methods are those of
/// the broker and of its builder, and take and return the same types. It never frees a batch and searches from the
/// front each time, so it is for tests alone. The [module](super) lists what it does not cover.
///
/// ```
/// use event_broker::testing::oracle::NaiveBroker;
/// use event_broker::{Event, RecvError, Request, Start, TryRecvError, Verdict};
///
/// let mut naive = NaiveBroker::new().max_batches(2);
/// let early = naive.subscribe(Request::new())?;
/// for index in [10, 20, 30] {
///     naive.publish(index, [Event::new("Job", "JobRegistered", "web", ())])?;
/// }
/// let Err(TryRecvError::Recv(RecvError::Lagged(lagged))) = naive.try_recv(early) else { panic!("it was overtaken") };
/// assert_eq!((lagged.missed, lagged.through, lagged.resumes_at), (1, 10, 20));
///
/// let late = naive.subscribe(Request::new().start(Start::Index(15)))?;
/// assert_eq!((late.verdict(), naive.try_recv(late)?.index()), (Verdict::Whole, 20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NaiveBroker<P> {
    max_batches: u64,
    max_events: Option<u64>,
    rising: bool,
    pub(super) epoch: Epoch,
    /// Every batch ever published. A position is an index into it.
    pub(super) log: Vec<Stored<P>>,
    /// The position of the oldest buffered batch.
    pub(super) oldest: usize,
    /// The position of the first batch of this epoch.
    pub(super) epoch_began: usize,
    pub(super) closed: bool,
    pub(super) latest: u64,
    /// Everything up to and including this index is past, and nothing was published since.
    past: Option<u64>,
    /// The index that no later batch is below, if that is known.
    floor: Option<u64>,
    /// Whether `latest` itself was published, by a batch of whatever kind.
    published: bool,
    /// The place after the last batch, or what is past.
    pub(super) next_place: Place,
    /// Everything before it has been evicted or is past.
    pub(super) gone: Place,
    pub(super) readers: Vec<Reader<P>>,
}

impl<P> NaiveBroker<P> {
    /// Creates a naive broker with the defaults of the broker: 100 batches, no history missing, a random epoch.
    pub fn new() -> Self {
        Self {
            max_batches: 100,
            max_events: None,
            rising: false,
            epoch: Epoch::random(),
            log: Vec::new(),
            oldest: 0,
            epoch_began: 0,
            closed: false,
            latest: 0,
            past: None,
            floor: None,
            published: false,
            next_place: Place::before(0),
            gone: Place::before(0),
            readers: Vec::new(),
        }
    }

    /// Bounds the buffer to this many batches.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[must_use]
    pub fn max_batches(mut self, batches: u64) -> Self {
        assert!(batches > 0, "max_batches is 0, expected at least 1");
        self.max_batches = batches;
        self
    }

    /// Bounds the buffer to this many events as well. The newest batch always stays.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[must_use]
    pub fn max_events(mut self, events: u64) -> Self {
        assert!(events > 0, "max_events is 0, expected at least 1");
        self.max_events = Some(events);
        self
    }

    /// Sets the epoch.
    #[must_use]
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// Sets whether every index must be higher than the one before it. Call it before the history's beginning is set.
    #[must_use]
    pub fn rising_indexes(mut self, rising: bool) -> Self {
        self.rising = rising;
        self
    }

    /// Begins the history above this index: everything up to and including it is past.
    #[must_use]
    pub fn initial_index(mut self, index: u64) -> Self {
        self.begin_above(index);
        self
    }

    /// Begins the history after this token's place, in the token's epoch.
    #[must_use]
    pub fn starts_after(mut self, token: Token) -> Self {
        self.epoch = token.epoch();
        self.begin_after(Place::of(token));
        self
    }

    fn begin_above(&mut self, index: u64) {
        (self.past, self.floor, self.published, self.latest) = (Some(index), None, false, index);
        self.next_place = Place::after_all_of(index);
        self.gone = self.next_place;
    }

    fn begin_after(&mut self, place: Place) {
        (self.past, self.floor) = (None, Some(place.index));
        self.published = place.count > 0;
        self.latest = place.index.saturating_sub(u64::from(!self.published));
        (self.next_place, self.gone) = (place, self.rises_to(place));
    }

    /// The same place where an index has one batch at most.
    pub(super) fn rises_to(&self, place: Place) -> Place {
        if self.rising && place.count > 0 { Place::after_all_of(place.index) } else { place }
    }

    /// The place that no later batch can be before: the one after the last batch, or where a batch without events has
    /// moved it.
    pub(super) fn earliest_next_place(&self) -> Place {
        let finished = match (self.past, self.floor) {
            (Some(past), _) => past.saturating_add(1),
            (None, Some(floor)) => floor.saturating_add(u64::from(self.rising && self.published)),
            (None, None) => 0,
        };
        self.next_place.max(Place::before(finished))
    }

    /// Publishes as [`Broker::publish`](crate::Broker::publish) does.
    ///
    /// # Errors
    ///
    /// Returns the error that the broker returns, with the events.
    pub fn publish(&mut self, index: u64, events: impl Into<Vec<Event<P>>>) -> Result<(), PublishError<P>> {
        self.publish_in(self.epoch, index, events)
    }

    /// Publishes as [`Broker::publish_in`](crate::Broker::publish_in) does.
    ///
    /// # Errors
    ///
    /// Returns the error that the broker returns, with the events.
    pub fn publish_in(
        &mut self,
        epoch: Epoch,
        index: u64,
        events: impl Into<Vec<Event<P>>>,
    ) -> Result<(), PublishError<P>> {
        let batch = Batch::new(index, events);
        if let Err(kind) = self.admits(&batch, epoch) {
            return Err(PublishError { kind, events: batch.into_events() });
        }
        (self.past, self.floor, self.published) = (None, Some(index), true);
        self.latest = index;
        if batch.events().is_empty() {
            return Ok(());
        }
        while let Some(oldest) = self.log.get(self.oldest).filter(|_| !self.fits(&batch)) {
            self.gone = oldest.place.next();
            self.oldest += 1;
        }
        let place = if self.next_place.index == index { self.next_place } else { Place::before(index) };
        self.next_place = place.next();
        for reader in &mut self.readers {
            if matches!(reader.cursor, Cursor::Waiting(from) if from <= place) {
                reader.cursor = Cursor::At(self.log.len());
            }
        }
        self.log.push(Stored { place, batch: Arc::new(batch) });
        Ok(())
    }

    /// Whether a batch of this index may be published.
    fn admits(&self, batch: &Batch<P>, epoch: Epoch) -> Result<(), PublishErrorKind> {
        let index = batch.index();
        let repeated = self.rising && (self.published || self.past.is_some()) && index == self.latest;
        if self.closed {
            return Err(PublishErrorKind::Closed);
        }
        if epoch != self.epoch {
            return Err(PublishErrorKind::OtherEpoch { epoch, current: self.epoch });
        }
        if repeated {
            return Err(PublishErrorKind::Repeated { index });
        }
        match (self.past, self.floor) {
            (Some(initial), _) if index <= initial => Err(PublishErrorKind::Past { index, initial }),
            (None, Some(latest)) if index < latest => Err(PublishErrorKind::Falling { index, latest }),
            _ if batch.events().is_empty() => Ok(()),
            _ if self.next_place.index == index && self.next_place.is_full() => Err(PublishErrorKind::Full { index }),
            _ => Ok(()),
        }
    }

    /// Whether the buffer and one more batch are within every bound.
    fn fits(&self, more: &Batch<P>) -> bool {
        let batches = self.buffered().count() as u64 + 1;
        let events = self.buffered().chain([more]).map(|batch| batch.events().len() as u64).sum::<u64>();
        batches <= self.max_batches && self.max_events.is_none_or(|most| events <= most)
    }

    /// Closes the broker. Readers receive what is buffered and then the end.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Begins another history above this index, as [`Broker::reset`](crate::Broker::reset) does.
    pub fn reset(&mut self, index: u64, epoch: Epoch) {
        (self.oldest, self.epoch_began) = (self.log.len(), self.log.len());
        self.epoch = epoch;
        self.begin_above(index);
        for reader in &mut self.readers {
            reader.reset = true;
        }
    }

    /// Continues the history after a part that was never published here, as [`Broker::skip_to`](crate::Broker::skip_to)
    /// does.
    ///
    /// # Errors
    ///
    /// Returns the error that the broker returns.
    pub fn skip_to(&mut self, token: Token) -> Result<(), SkipError> {
        let (place, here) = (self.rises_to(Place::of(token)), self.earliest_next_place());
        if self.closed {
            return Err(SkipError::Closed);
        }
        if token.epoch() != self.epoch {
            return Err(SkipError::OtherEpoch { epoch: token.epoch(), current: self.epoch });
        }
        let stands_after_last = Place::of(token) == self.next_place;
        if place <= here {
            let whole = Place::of(token).count == 0 && place >= self.next_place;
            let stands_there = stands_after_last || place == here || whole;
            let current = here.token(self.epoch);
            return if stands_there { Ok(()) } else { Err(SkipError::Behind { token, current }) };
        }
        if stands_after_last {
            return Ok(());
        }
        self.oldest = self.log.len();
        self.begin_after(Place::of(token));
        for reader in &mut self.readers {
            if matches!(reader.cursor, Cursor::Waiting(from) if from >= place) {
                continue;
            }
            if let Cursor::Waiting(_) = reader.cursor {
                reader.cursor = Cursor::At(self.oldest);
            }
            reader.skipped = true;
        }
        Ok(())
    }

    /// Returns every batch ever published that had events, also of earlier epochs, in the order of publishing.
    pub fn published(&self) -> impl Iterator<Item = &Batch<P>> {
        self.log.iter().map(|stored| &*stored.batch)
    }

    /// Returns the batches that are buffered, oldest first.
    pub fn buffered(&self) -> impl Iterator<Item = &Batch<P>> {
        self.log.iter().skip(self.oldest).map(|stored| &*stored.batch)
    }

    /// Returns the oldest index that is buffered, if any.
    pub fn oldest_index(&self) -> Option<u64> {
        self.buffered().next().map(Batch::index)
    }

    /// Returns the latest index that was published, also by a batch without events; 0 before the first.
    pub fn latest_index(&self) -> u64 {
        self.latest
    }

    /// Returns the epoch, which names the history that the broker is in.
    pub fn current_epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the token after the last batch, which is that of the broker.
    pub fn token(&self) -> Token {
        self.next_place.token(self.epoch)
    }

    /// Returns whether the broker is closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

impl<P> Default for NaiveBroker<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for NaiveBroker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NaiveBroker")
            .field("published", &self.log.len())
            .field("buffered", &self.buffered().map(Batch::index).collect::<Vec<_>>())
            .field("latest", &self.latest)
            .field("closed", &self.closed)
            .field("readers", &self.readers.len())
            .finish_non_exhaustive()
    }
}
