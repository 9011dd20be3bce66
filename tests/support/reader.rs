//! Readers of the naive broker: fences, losses and ends, as plain conditions on plain structs.
//!
//! A naive reader does not wait; it only computes what a read must return.

use super::hooks::ManualClock;
use super::matching::{Decision, Grant};
use super::naive::{NaiveBroker, Place, Token};
use super::op::RequestSpec;

/// The position of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// At the oldest of its first read, but not after this position.
    Elastic(usize),
    /// Before a batch of this place or a later one, which is not published yet.
    Waiting(Place),
    /// At a position: everything before it has been passed.
    At(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Reset,
    Revoked,
    Expired,
    Cancelled,
    Lagged { missed: u64, skipped: bool, first: u64, through: u64, resumes_at: u64, whole: bool, continues: bool },
    Closed,
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivery { index: u64, ids: Vec<u64>, batch_len: usize },
    Empty,
    End(End),
}

impl Outcome {
    /// The same delivery of a batch with as many events as that of `other`: a frame does not show it.
    pub fn with_len_of(mut self, other: &Self) -> Self {
        if let (Self::Delivery { batch_len, .. }, Self::Delivery { batch_len: other, .. }) = (&mut self, other) {
            *batch_len = *other;
        }
        self
    }
}

/// The answer to whether there is something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    Pending,
    /// Only backlog from before the subscription is unread, none of which matches: it may be passed or not.
    Either,
}

/// The result of opening a drain window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    End(End),
    Open,
    /// Open, or as if it had been drained; see [`Readiness::Either`].
    Either,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that happened")]
pub struct Reader {
    pub request: RequestSpec,
    pub open: bool,
    pub cursor: Cursor,
    pub token: Token,
    /// No batch that was published after it was opened has a lower index.
    pub bound: u64,
    /// The oldest position when it was opened.
    pub from: usize,
    /// The last batch that was delivered.
    pub delivered: Option<Place>,
    /// The position of the first batch that was published after it was opened.
    pub opened_at: usize,
    pub grant: Option<Grant>,
    pub reset: bool,
    pub token_deleted: bool,
    pub must_ask: bool,
    pub ticked: bool,
    /// Whether a tick has ended it.
    pub expired: bool,
    /// Whether an unreported part of the history was skipped.
    pub skipped: bool,
    pub cancelled: bool,
    pub ended: Option<End>,
    /// Whether a stream or iterator has yielded the end.
    pub over: bool,
    pub batches: u64,
    pub events: u64,
    pub missed: u64,
}

impl Reader {
    pub fn new(request: RequestSpec, cursor: Cursor, token: Token, opened_at: usize, grant: Option<Grant>) -> Self {
        Self {
            request,
            open: true,
            cursor,
            token,
            bound: 0,
            from: 0,
            delivered: None,
            opened_at,
            grant,
            reset: false,
            token_deleted: false,
            must_ask: false,
            ticked: false,
            expired: false,
            skipped: false,
            cancelled: false,
            ended: None,
            over: false,
            batches: 0,
            events: 0,
            missed: 0,
        }
    }

    pub fn has_expired(&self, clock: &ManualClock) -> bool {
        self.grant.as_ref().and_then(|grant| grant.expires_at).is_some_and(|expiry| expiry <= clock.millis())
    }
}

impl NaiveBroker {
    /// Returns the end that has precedence over data, if there is one. Asks about access if it must. [17], [18], [23]
    pub fn check_ends(&mut self, number: usize) -> Result<(), End> {
        if let Some(end) = &self.readers[number].ended {
            return Err(end.clone());
        }
        let reader = &self.readers[number];
        if reader.reset {
            return Err(self.end(number, End::Reset));
        }
        if reader.token_deleted {
            return Err(self.end(number, End::Revoked));
        }
        if reader.must_ask && self.config.guarded {
            match self.ask(&reader.request) {
                Some(grant) => {
                    self.readers[number].grant = Some(grant);
                    self.readers[number].ticked = false;
                }
                None => return Err(self.end(number, End::Revoked)),
            }
        }
        self.readers[number].must_ask = false;
        if self.readers[number].expired || self.readers[number].has_expired(&self.clock) {
            return Err(self.end(number, End::Expired));
        }
        if self.readers[number].cancelled {
            return Err(self.end(number, End::Cancelled));
        }
        Ok(())
    }

    fn end(&mut self, number: usize, end: End) -> End {
        self.readers[number].ended = Some(end.clone());
        self.observed.ended += 1;
        end
    }

    /// The cursor, placed if it can be.
    fn cursor(&mut self, number: usize) -> Option<usize> {
        let reader = &mut self.readers[number];
        match reader.cursor {
            Cursor::At(position) => Some(position),
            Cursor::Waiting(_) => {
                // Batches without events may have moved past the place that it waits for: an empty read passes them.
                let earliest = self.earliest_next_place().index;
                let reader = &mut self.readers[number];
                reader.token.place = reader.token.place.max(Place::before(earliest));
                None
            }
            // Until it has passed something.
            Cursor::Elastic(end) => Some(self.oldest.min(end)),
        }
    }

    /// What was lost between a cursor and the oldest, if any of it was asked for. [22]
    fn lost(&self, number: usize, cursor: usize) -> Option<End> {
        let Reader { request, skipped, token, bound, .. } = &self.readers[number];
        let oldest = self.log.get(self.oldest).map_or(self.next_place, |batch| batch.place);
        let (resumes_at, whole, continues) = (oldest.index, oldest.count == 0, request.continues);
        if *skipped {
            let missed = self.oldest.saturating_sub(cursor) as u64;
            let next = self.log.get(cursor).filter(|_| cursor < self.oldest).map(|batch| batch.place);
            let first = next.map_or(token.place.index.max(*bound), |place| place.index);
            let through = self.gone.last_index();
            return Some(End::Lagged { missed, skipped: true, first, through, resumes_at, whole, continues });
        }
        let evicted = self.log.get(cursor..self.oldest)?;
        let (first, last) = (evicted.first()?, evicted.last()?);
        evicted.iter().any(|batch| request.asks_for(batch)).then_some(End::Lagged {
            missed: evicted.len() as u64,
            skipped: false,
            first: first.place.index,
            through: last.place.index,
            resumes_at,
            whole,
            continues,
        })
    }

    /// Reports the loss: the reader ends, or continues at the oldest.
    fn report_loss(&mut self, number: usize, end: End) -> End {
        let reader = &mut self.readers[number];
        if let End::Lagged { missed, .. } = end {
            reader.missed += missed;
            self.observed.missed += missed;
        }
        if !reader.request.continues {
            return self.end(number, end);
        }
        reader.skipped = false;
        reader.cursor = Cursor::At(self.oldest);
        reader.token.place = self.log.get(self.oldest).map_or(self.next_place, |batch| batch.place);
        end
    }

    /// Whether anything that was asked for is unread by a cursor that has lost nothing.
    fn ahead(&mut self, number: usize, cursor: usize) -> Readiness {
        let cursor = cursor.max(self.oldest);
        let reader = &mut self.readers[number];
        match reader.cursor {
            // Before the end of the backlog it may still move with the oldest without a loss.
            Cursor::Elastic(end) if cursor < end => {}
            _ => reader.cursor = Cursor::At(cursor),
        }
        if self.log[cursor..].iter().any(|batch| reader.request.asks_for(batch)) {
            Readiness::Ready
        } else if cursor < reader.opened_at {
            Readiness::Either
        } else {
            Readiness::Pending
        }
    }

    /// A read of any kind that does not wait.
    pub fn read(&mut self, number: usize) -> Outcome {
        if let Err(end) = self.check_ends(number) {
            return Outcome::End(end);
        }
        let Some(cursor) = self.cursor(number) else { return self.nothing(number) };
        if let Some(end) = self.lost(number, cursor) {
            return Outcome::End(self.report_loss(number, end));
        }
        for position in cursor.max(self.oldest)..self.log.len() {
            let batch = &self.log[position];
            let reader = &self.readers[number];
            let delivered = batch.facts.iter().filter(|fact| self.decide(reader, fact) == Decision::Delivered);
            let ids: Vec<u64> = delivered.map(|fact| fact.id).collect();
            if !ids.is_empty() {
                let (place, batch_len) = (batch.place, batch.facts.len());
                let reader = &mut self.readers[number];
                reader.cursor = Cursor::At(position + 1);
                reader.token.place = place.next();
                reader.delivered = Some(place);
                reader.batches += 1;
                reader.events += ids.len() as u64;
                return Outcome::Delivery { index: place.index, ids, batch_len };
            }
        }
        self.nothing(number)
    }

    /// Passes everything.
    fn nothing(&mut self, number: usize) -> Outcome {
        self.pass_all(number);
        if self.closed { Outcome::End(self.end(number, End::Closed)) } else { Outcome::Empty }
    }

    pub fn pass_all(&mut self, number: usize) {
        let earliest = self.earliest_next_place();
        let reader = &mut self.readers[number];
        if let Cursor::At(_) | Cursor::Elastic(_) = reader.cursor {
            reader.cursor = Cursor::At(self.log.len());
            reader.token.place = reader.token.place.max(Place::before(earliest.index));
        }
    }

    /// The result of a read, without making it.
    pub fn peek(&mut self, number: usize) -> Outcome {
        let (reader, observed) = (self.readers[number].clone(), self.observed);
        let outcome = self.read(number);
        (self.readers[number], self.observed) = (reader, observed);
        outcome
    }

    /// Opens a drain window: ends are checked once. [20]
    pub fn open_window(&mut self, number: usize) -> Window {
        if let Err(end) = self.check_ends(number) {
            return Window::End(end);
        }
        let Some(cursor) = self.cursor(number) else {
            return if self.closed { Window::End(self.end(number, End::Closed)) } else { Window::Open };
        };
        if let Some(end) = self.lost(number, cursor) {
            return Window::End(self.report_loss(number, end));
        }
        match self.ahead(number, cursor) {
            Readiness::Ready => Window::Open,
            Readiness::Either => Window::Either,
            Readiness::Pending => match self.nothing(number) {
                Outcome::End(end) => Window::End(end),
                _ => Window::Open,
            },
        }
    }

    /// The next item of an open window. As no script publishes while one is open, it is like a read, but an end is
    /// returned by the next window.
    pub fn next_in_window(&mut self, number: usize) -> Outcome {
        if self.readers[number].ended.is_some() {
            return Outcome::Empty;
        }
        let (closed, ended) = (std::mem::take(&mut self.closed), self.observed.ended);
        let outcome = self.read(number);
        self.closed = closed;
        assert_eq!(self.observed.ended, ended, "nothing ends within a window");
        outcome
    }

    /// The next item of a window that was opened when the log ended at `end`, whatever was evicted since.
    pub fn next_below(&mut self, number: usize, end: usize) -> Outcome {
        let Cursor::At(cursor) = self.readers[number].cursor else { return Outcome::Empty };
        let reader = &mut self.readers[number];
        let found = (cursor..end).find(|at| reader.request.asks_for(&self.log[*at]));
        let Some(at) = found else {
            reader.cursor = Cursor::At(end.max(cursor));
            return Outcome::Empty;
        };
        let batch = &self.log[at];
        let wanted = batch.facts.iter().filter(|fact| reader.request.matches(&fact.spec));
        let ids: Vec<u64> = wanted.map(|fact| fact.id).collect();
        reader.cursor = Cursor::At(at + 1);
        reader.token.place = batch.place.next();
        reader.delivered = Some(batch.place);
        reader.batches += 1;
        reader.events += ids.len() as u64;
        Outcome::Delivery { index: batch.place.index, ids, batch_len: batch.facts.len() }
    }

    /// Undoes [`next_below`](Self::next_below), for a reader that had this position and token.
    pub fn untake(&mut self, number: usize, cursor: Cursor, before: Token, delivered: Option<Place>, taken: &Outcome) {
        let reader = &mut self.readers[number];
        (reader.cursor, reader.token) = (cursor, before);
        if let Outcome::Delivery { ids, .. } = taken {
            reader.delivered = delivered;
            reader.batches -= 1;
            reader.events -= ids.len() as u64;
        }
    }

    /// Moves a reader within a window. It may not pass a match.
    pub fn move_within_window(&mut self, number: usize, cursor: usize, end: usize) {
        let Cursor::At(before) = self.readers[number].cursor else { panic!("it has no cursor") };
        assert!(before <= cursor && cursor <= end, "a window of {before}..{end} ended at {cursor}");
        let skipped = self.log[before..cursor].iter().find(|batch| self.readers[number].request.asks_for(batch));
        assert!(skipped.is_none(), "a window passed {skipped:?} and did not give it");
        self.readers[number].cursor = Cursor::At(cursor);
    }

    /// The next item of an iterator or stream: the end once, and for `Closed` not at all. [23]
    pub fn next_item(&mut self, number: usize) -> Option<Outcome> {
        let outcome = self.read(number);
        if self.readers[number].ended.is_some() {
            let over = std::mem::replace(&mut self.readers[number].over, true);
            if over || outcome == Outcome::End(End::Closed) {
                return None;
            }
        }
        Some(outcome)
    }

    /// Whether there is a batch, a loss or an end to return. Nothing is passed that might be delivered.
    pub fn readiness(&mut self, number: usize) -> Readiness {
        if self.check_ends(number).is_err() {
            return Readiness::Ready;
        }
        let closed = if self.closed { Readiness::Ready } else { Readiness::Pending };
        let Some(cursor) = self.cursor(number) else { return closed };
        if self.lost(number, cursor).is_some() {
            return Readiness::Ready;
        }
        match self.ahead(number, cursor) {
            Readiness::Pending => {
                self.pass_all(number);
                closed
            }
            Readiness::Either if self.closed => Readiness::Ready,
            readiness => readiness,
        }
    }

    /// The batches ahead, if any of them matches; and the same if the backlog of the opening is too long to be
    /// searched, and may count as a match. [27]
    pub fn lag(&self, number: usize) -> [u64; 2] {
        let reader = &self.readers[number];
        let cursor = match reader.cursor {
            Cursor::At(position) => position,
            Cursor::Elastic(end) => self.oldest.min(end),
            Cursor::Waiting(_) => self.log.len(),
        };
        let ahead = &self.log[cursor..];
        let asked = reader.skipped || ahead.iter().any(|batch| reader.request.asks_for(batch));
        let unread = self.log.get(cursor.max(self.oldest)..reader.opened_at).unwrap_or_default();
        // The event of an access change is none of the facts.
        let unsearched = unread.iter().map(|batch| batch.facts.len() + 1).sum::<usize>() > 256;
        [asked, asked || unsearched].map(|all| if all { ahead.len() as u64 } else { 0 })
    }
}
