//! Opening a subscription of the naive broker: refusals, where each start begins, and its verdict.
//! What is read from there on is in `read`.

use super::broker::NaiveBroker;
use super::place::Place;
use super::reader::{Cursor, NaiveReader, Reader};
use super::wish::Wish;
use crate::access::Grant;
use crate::types::error::SubscribeError;
use crate::types::request::Request;
use crate::types::start::{Start, Verdict};

/// Where a start begins: the cursor, the verdict, and the place below which everything is passed.
type Beginning = (Cursor, Verdict, Place);

impl<P> NaiveBroker<P> {
    /// Opens a subscription that is granted everything, as [`Broker::subscribe`](crate::Broker::subscribe) of a broker
    /// without an authorizer does.
    ///
    /// # Errors
    ///
    /// Returns the error that the broker returns.
    pub fn subscribe(&mut self, request: Request<P>) -> Result<NaiveReader, SubscribeError> {
        self.subscribe_with(request, Grant::all())
    }

    /// Opens a subscription to which the authorizer answers with this grant. Of a grant only the namespaces count here:
    /// its expiry is a call of [`expire`](Self::expire), and what it rests on is not looked at.
    ///
    /// ```
    /// use event_broker::testing::oracle::NaiveBroker;
    /// use event_broker::{Event, Grant, Request};
    ///
    /// let mut naive = NaiveBroker::new();
    /// let narrowed = naive.subscribe_with(Request::new().namespace("*"), Grant::namespaces(["prod"]))?;
    /// assert!(naive.subscribe_with(Request::new().namespace("test"), Grant::namespaces(["prod"])).is_err());
    /// naive.publish(7, [
    ///     Event::new("Job", "JobRegistered", "web", 1).with_namespace("prod"),
    ///     Event::new("Job", "JobRegistered", "web", 2).with_namespace("test"),
    /// ])?;
    /// assert_eq!(naive.try_recv(narrowed)?.ordinals(), [0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error that the broker returns.
    pub fn subscribe_with(&mut self, request: Request<P>, grant: Grant) -> Result<NaiveReader, SubscribeError> {
        let start = request.start;
        let wish = Wish { request, grant };
        wish.check()?;
        wish.check_grant(&wish.grant).map_err(SubscribeError::Denied)?;
        if self.closed {
            return Err(SubscribeError::Closed);
        }
        let (cursor, verdict, passed) = match start {
            Start::Oldest => self.begin_at_oldest(Verdict::Whole),
            Start::Latest => (Cursor::At(self.log.len()), Verdict::Whole, self.earliest_next_place()),
            Start::Index(index) => self.begin(Place::before(index)),
            Start::After(token) if token.epoch() == self.epoch => self.begin(Place::of(token)),
            Start::After(_) => self.begin_at_oldest(Verdict::OtherEpoch { oldest: self.oldest_index() }),
            Start::Exactly(index) => self.begin_exactly(index)?,
        };
        self.readers.push(Reader {
            wish,
            cursor,
            epoch: self.epoch,
            passed,
            bound: self.earliest_next_place().index,
            from: self.oldest,
            delivered: None,
            answer: None,
            reset: false,
            skipped: false,
            expired: false,
            cancelled: false,
            ended: None,
        });
        let oldest_is_whole =
            verdict == Verdict::Whole || self.log.get(self.oldest).is_none_or(|oldest| oldest.place.count == 0);
        Ok(NaiveReader { number: self.readers.len() - 1, verdict, oldest_is_whole })
    }

    /// At the oldest of now or of the first read, but not after the current end.
    fn begin_at_oldest(&self, verdict: Verdict) -> Beginning {
        let place = self.log.get(self.oldest).map_or(self.earliest_next_place(), |oldest| oldest.place);
        (Cursor::Elastic(self.log.len()), verdict, place)
    }

    /// The position of the first buffered batch at this place or a later one.
    fn find(&self, from: Place) -> Option<(usize, Place)> {
        let buffered = self.log.iter().enumerate().skip(self.oldest);
        buffered.map(|(at, stored)| (at, stored.place)).find(|(_, place)| *place >= from)
    }

    /// The first buffered batch at this place or a later one, or a wait for it.
    fn begin(&self, from: Place) -> Beginning {
        let from = self.rises_to(from);
        if from < self.gone {
            return self.begin_at_oldest(Verdict::Lost { oldest: self.oldest_index() });
        }
        let future = from.index > self.latest.saturating_add(1);
        let verdict = if future { Verdict::Future { latest: self.latest } } else { Verdict::Whole };
        match self.find(from) {
            Some((found, place)) => (Cursor::At(found), verdict, place),
            // The next batch is not before it, so this is no wait.
            None if from <= self.earliest_next_place() => {
                (Cursor::At(self.log.len()), verdict, self.earliest_next_place())
            }
            None => (Cursor::Waiting(from), verdict, from),
        }
    }

    fn begin_exactly(&self, index: u64) -> Result<Beginning, SubscribeError> {
        let from = Place::before(index);
        if from < self.gone {
            return Err(SubscribeError::Lost { index, oldest: self.oldest_index() });
        }
        match self.find(from) {
            Some((found, place)) if place.index == index => Ok((Cursor::At(found), Verdict::Whole, from)),
            None if index > self.latest => Err(SubscribeError::Future { index, latest: self.latest }),
            next => Err(SubscribeError::Absent { index, next: next.map(|(_, place)| place.index) }),
        }
    }
}
