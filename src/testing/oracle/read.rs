//! Reading from the naive broker: ends in their precedence, losses, and the next batch that matches.
//! Where a subscription begins is in `start`.

use std::sync::Arc;

use super::broker::{NaiveBroker, Stored};
use super::place::Place;
use super::reader::{Cursor, NaiveDelivery, NaiveReader, Reader};
use crate::access::Grant;
use crate::types::error::{Denial, Lagged, RecvError, TryRecvError};
use crate::types::request::LagPolicy;
use crate::types::token::Token;

/// No read that was opened at another broker.
const OWN: &str = "a reader of this broker";

impl<P> NaiveBroker<P> {
    fn reader(&self, reader: NaiveReader) -> &Reader<P> {
        self.readers.get(reader.number).expect(OWN)
    }

    fn reader_mut(&mut self, reader: NaiveReader) -> &mut Reader<P> {
        self.readers.get_mut(reader.number).expect(OWN)
    }

    /// Reads as [`Subscription::try_recv`](crate::Subscription::try_recv) does. What a blocking read, a task or a
    /// window returns is the same, one batch after another.
    ///
    /// # Errors
    ///
    /// Returns the error that the broker returns. Of a loss [`Lagged::from`] is as high as it can be, and the broker's
    /// may be lower: [`agree`](super::agree) compares them.
    ///
    /// # Panics
    ///
    /// Panics if the reader is not one of this broker's.
    pub fn try_recv(&mut self, reader: NaiveReader) -> Result<NaiveDelivery<P>, TryRecvError> {
        self.check_ends(reader)?;
        let cursor = match self.reader(reader).cursor {
            Cursor::At(position) => position,
            // Until it has passed something.
            Cursor::Elastic(end) => self.oldest.min(end),
            Cursor::Waiting(_) => return Err(self.pass_all(reader)),
        };
        if let Some(lagged) = self.lost(reader, cursor) {
            return Err(self.report(reader, lagged).into());
        }
        for position in cursor.max(self.oldest)..self.log.len() {
            let (Some(stored), Some(reader)) = (self.log.get(position), self.readers.get_mut(reader.number)) else {
                break;
            };
            let ordinals = reader.wish.select(&stored.batch);
            if !ordinals.is_empty() {
                reader.cursor = Cursor::At(position + 1);
                reader.passed = stored.place.next();
                reader.delivered = Some(stored.place);
                let batch = Arc::clone(&stored.batch);
                return Ok(NaiveDelivery { batch, ordinals, token: reader.passed.token(reader.epoch) });
            }
        }
        Err(self.pass_all(reader))
    }

    /// Returns the end that has precedence over data, if there is one.
    fn check_ends(&mut self, reader: NaiveReader) -> Result<(), RecvError> {
        let reader = self.reader_mut(reader);
        if let Some(end) = &reader.ended {
            return Err(end.clone());
        }
        let end = if reader.reset {
            Some(RecvError::Reset)
        } else if let Err(denial) = reader.ask() {
            Some(RecvError::Revoked(denial))
        } else if reader.expired {
            Some(RecvError::Expired)
        } else if reader.cancelled {
            Some(RecvError::Cancelled)
        } else {
            None
        };
        reader.ended.clone_from(&end);
        end.map_or(Ok(()), Err)
    }

    /// What was lost between a cursor and the oldest, if any of it was asked for.
    fn lost(&self, reader: NaiveReader, cursor: usize) -> Option<Lagged> {
        let reader = self.reader(reader);
        let oldest = self.log.get(self.oldest).map_or(self.next_place, |stored| stored.place);
        let evicted = self.log.get(cursor..self.oldest).unwrap_or_default();
        let mut lagged = Lagged {
            missed: evicted.len() as u64,
            skipped: reader.skipped,
            from: reader.passed.index.max(reader.bound),
            through: self.gone.last_index(),
            resumes_at: oldest.index,
            resumes_whole: oldest.count == 0,
            policy: reader.wish.request.lag_policy,
        };
        if let Some(first) = evicted.first() {
            lagged.from = first.place.index;
        }
        if !reader.skipped {
            lagged.through = evicted.last()?.place.index;
        }
        let asked = evicted.iter().any(|stored| reader.wish.asks_for(&stored.batch));
        (reader.skipped || asked).then_some(lagged)
    }

    /// Reports a loss: the reader ends, or continues at the oldest.
    fn report(&mut self, reader: NaiveReader, lagged: Lagged) -> RecvError {
        let oldest = self.oldest;
        let place = self.log.get(oldest).map_or(self.next_place, |stored| stored.place);
        let reader = self.reader_mut(reader);
        let policy = lagged.policy;
        let error = RecvError::Lagged(lagged);
        match policy {
            LagPolicy::Close => reader.ended = Some(error.clone()),
            LagPolicy::Continue => {
                (reader.cursor, reader.passed, reader.skipped) = (Cursor::At(oldest), place, false);
            }
        }
        error
    }

    /// Nothing is left to read: everything is passed, and a closed broker ends here.
    fn pass_all(&mut self, reader: NaiveReader) -> TryRecvError {
        let (end, closed, earliest) = (self.log.len(), self.closed, self.earliest_next_place());
        let reader = self.reader_mut(reader);
        if let Cursor::At(_) | Cursor::Elastic(_) = reader.cursor {
            reader.cursor = Cursor::At(end);
        }
        // Batches without events may have moved past the place that a reader waits for.
        reader.passed = reader.passed.max(Place::before(earliest.index));
        if !closed {
            return TryRecvError::Empty;
        }
        reader.ended = Some(RecvError::Closed);
        RecvError::Closed.into()
    }

    /// Changes what the reader may read. The `answer` is what the authorizer returns when the next read asks it, so
    /// that nothing is delivered from now on under the old grant. A grant that does not cover a namespace that the
    /// request names is a denial.
    ///
    /// ```
    /// use event_broker::testing::oracle::NaiveBroker;
    /// use event_broker::{Denial, Event, RecvError, Request};
    ///
    /// let mut naive = NaiveBroker::new();
    /// let reader = naive.subscribe(Request::new())?;
    /// naive.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// naive.access_changed(reader, Err(Denial::new("left the team")));
    /// let end = naive.try_recv(reader).unwrap_err();
    /// assert_eq!(end, RecvError::Revoked(Denial::new("left the team")).into(), "it comes before what is buffered");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the reader is not one of this broker's.
    pub fn access_changed(&mut self, reader: NaiveReader, answer: Result<Grant, Denial>) {
        self.reader_mut(reader).answer = Some(answer);
    }

    /// Lets the reader's grant expire: the clock has passed its expiry, and the broker was ticked. If access has changed
    /// and the next read asks for a newer grant, the old one's expiry ends nothing.
    ///
    /// # Panics
    ///
    /// Panics if the reader is not one of this broker's.
    pub fn expire(&mut self, reader: NaiveReader) {
        let reader = self.reader_mut(reader);
        reader.expired |= reader.answer.is_none();
    }

    /// Ends the subscription, as [`SubscriptionHandle::cancel`](crate::SubscriptionHandle::cancel) does.
    ///
    /// # Panics
    ///
    /// Panics if the reader is not one of this broker's.
    pub fn cancel(&mut self, reader: NaiveReader) {
        self.reader_mut(reader).cancelled = true;
    }

    /// Returns a token from which the reader's client can resume. The broker's own may differ: it may be of any place
    /// that [`resumes_exactly`](Self::resumes_exactly).
    ///
    /// # Panics
    ///
    /// Panics if the reader is not one of this broker's.
    pub fn reader_token(&self, reader: NaiveReader) -> Token {
        let reader = self.reader(reader);
        reader.passed.token(reader.epoch)
    }

    /// Returns whether a subscription that starts after this token, with the request of this reader, neither repeats nor
    /// misses a batch without a report. Of a reader that a reset has ended, any token of its epoch is one.
    ///
    /// ```
    /// use event_broker::testing::oracle::NaiveBroker;
    /// use event_broker::{Event, Request};
    ///
    /// let mut naive = NaiveBroker::new();
    /// let reader = naive.subscribe(Request::new())?;
    /// let before = naive.reader_token(reader);
    /// naive.publish(7, [Event::new("Job", "JobRegistered", "web", ())])?;
    /// assert!(naive.resumes_exactly(reader, before));
    /// let delivery = naive.try_recv(reader)?;
    /// assert!(naive.resumes_exactly(reader, delivery.token()));
    /// assert!(!naive.resumes_exactly(reader, before), "it would get the batch again");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the reader is not one of this broker's.
    pub fn resumes_exactly(&self, reader: NaiveReader, token: Token) -> bool {
        let reader = self.reader(reader);
        let place = Place::of(token);
        if token.epoch() != reader.epoch {
            return false;
        }
        if reader.reset {
            return true;
        }
        let repeats = reader.delivered.is_some_and(|delivered| place < delivered.next());
        let cursor = match reader.cursor {
            Cursor::At(position) => position,
            // Batches evicted before its first read are no loss to it, but one to a reader that resumes there.
            Cursor::Elastic(_) => reader.from,
            Cursor::Waiting(from) => return !repeats && place <= from.max(self.earliest_next_place()),
        };
        let lag_of_skip = reader.ended.as_ref().and_then(RecvError::lagged).is_some_and(|lagged| lagged.skipped);
        let hides_a_skip = (reader.skipped || lag_of_skip) && place >= self.gone;
        // An evicted batch is reported as lost if the token is before the end of what is gone.
        let hides = |stored: &Stored<P>| self.gone <= place || stored.place >= self.gone;
        let mut ahead = self.log.iter().skip(cursor.max(self.epoch_began));
        let misses =
            ahead.find(|stored| stored.place < place && reader.wish.asks_for(&stored.batch)).is_some_and(hides);
        !repeats && !hides_a_skip && !misses
    }
}

impl<P> Reader<P> {
    /// Asks about access, if that has changed.
    fn ask(&mut self) -> Result<(), Denial> {
        if let Some(answer) = self.answer.take() {
            let grant = answer?;
            self.wish.check_grant(&grant)?;
            self.wish.grant = grant;
        }
        Ok(())
    }
}
