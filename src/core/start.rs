//! The position in the log and the place in the history that a start or a cursor has.
//! What a reader reports about it is decided in `subscription`.
//!
//! Invariants:
//! - A start is resolved in the step that enters its subscription, so nothing is published between them.
//! - Loss is decided by what was evicted, and never by whether an index is present.
//! - A token never hides a loss. If the place of its reader is not known any more, the token is one that reports a
//!   loss.
//!
//! Callers: `open` under the broker's lock; `subscription` and its handles without it.

use super::shared::Waiter;
use super::state::{Core, State};
use crate::access::Ending;
use crate::types::error::SubscribeError;
use crate::types::position::Position;
use crate::types::start::{Start, Verdict};
use crate::types::token::{Place, Token};

/// How often [`Core::place_at`] checks for a loss without the lock, while batches are evicted.
const MAX_UNLOCKED_TRIES: u32 = 8;

/// Where a subscription begins, as far as is known when it opens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartPosition {
    At(Position),
    /// At `from`, the oldest position now, or at the oldest position of the first read, but no later than `end`. What
    /// is buffered now and evicted before the first read is no loss. What is published from now on and evicted is one.
    /// No batch published from now on has an index below `bound`.
    Elastic {
        from: Position,
        end: Position,
        bound: u64,
    },
    /// At the first batch that has its place or a later one. It has not come yet.
    Pending,
}

/// The place of a reader.
pub(crate) struct ReaderPlace {
    /// The place of the next batch, or one that no later batch is before.
    pub(crate) place: Place,
    /// The place after the previous batch. A reader that was delivered that batch last has this resume place already.
    pub(crate) previous_end: Place,
}

/// The verdict of a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartVerdict {
    pub(crate) verdict: Verdict,
    /// Whether the oldest index, if the verdict names one, has all its batches.
    pub(crate) oldest_is_whole: bool,
}

/// Where a subscription begins, its verdict, and the place below which everything is passed.
pub(super) struct ResolvedStart {
    pub(super) start_position: StartPosition,
    pub(super) start_verdict: StartVerdict,
    pub(super) from: Place,
}

impl<P> Core<P> {
    /// Returns the resume token of a subscription, as of the last read of its reader.
    pub(crate) fn token_of(&self, waiter: &Waiter) -> Token {
        let shared = &waiter.shared;
        let here = || self.place_at(waiter, shared.resume_position(self.log.end().position)).map(|here| here.place);
        let place = shared.pending_place().or_else(here);
        // The place of the reader is not known any more. Such a token reports a loss.
        Token::new(shared.epoch, place.unwrap_or(Place::before(0)))
    }

    /// Returns the place of a reader that has this cursor. Returns `None` if it has lost something, or reads another
    /// history.
    ///
    /// Whether it has lost something is looked up before the lock is taken, since that loads from each of its nodes. It
    /// is looked up under the lock only if batches are evicted faster than that, several times in a row.
    pub(crate) fn place_at(&self, waiter: &Waiter, cursor: Position) -> Option<ReaderPlace> {
        for _ in 0..MAX_UNLOCKED_TRIES {
            let oldest = self.log.oldest();
            let lost = cursor < oldest && waiter.shared.has_lost(cursor, oldest);
            let state = self.state.lock_step();
            if state.appender.oldest() == oldest || cursor >= state.appender.oldest() {
                return state.place_at(waiter, cursor, lost);
            }
        }
        let state = self.state.lock_step();
        let oldest = state.appender.oldest();
        let lost = cursor < oldest && waiter.shared.has_lost(cursor, oldest);
        state.place_at(waiter, cursor, lost)
    }

    /// Returns the oldest position, the place of the batch there or of the next one, and the place after the last batch
    /// before it.
    pub(crate) fn after_skip(&self) -> (Position, Place, Place) {
        let state = self.state.lock_step();
        let oldest = state.appender.oldest();
        match state.appender.get(oldest) {
            Some(record) => (oldest, record.place, record.previous_end),
            None => (oldest, state.next_place, state.next_place),
        }
    }
}

impl<P> State<P> {
    /// Returns the place of a reader that has this cursor. `lost` is whether a match was evicted from the cursor on, or
    /// may have been.
    fn place_at(&self, waiter: &Waiter, mut cursor: Position, lost: bool) -> Option<ReaderPlace> {
        let gate = waiter.shared.gate.state();
        if gate.is(Ending::Reset) || gate.is_skipped() {
            return None;
        }
        let (oldest, end) = (self.appender.oldest(), self.appender.end());
        // The gate of a reader that left does not report a later skip, so its cursor decides: it counts as skipped up
        // to the end that the log had then.
        let skipped = gate.has_left() && self.skipped_at.is_some_and(|skipped| cursor <= skipped);
        if skipped || cursor < oldest && (gate.has_left() || lost) {
            return None;
        }
        cursor = cursor.max(oldest);
        match self.appender.get(cursor) {
            Some(record) => Some(ReaderPlace { place: record.place, previous_end: record.previous_end }),
            None if cursor >= end => {
                Some(ReaderPlace { place: self.earliest_next_place(), previous_end: self.next_place })
            }
            None => None,
        }
    }

    /// Finds the position of a start, and its verdict. Only [`Start::Exactly`] refuses.
    pub(super) fn resolve_start(&self, start: Start) -> Result<ResolvedStart, SubscribeError> {
        match start {
            Start::Oldest => Ok(self.start_at_oldest(Verdict::Whole)),
            Start::Latest => {
                let start_position = StartPosition::At(self.appender.end());
                Ok(self.resolved_start(start_position, Verdict::Whole, self.earliest_next_place()))
            }
            Start::Index(index) => Ok(self.start_at(Place::before(index))),
            Start::After(token) if token.epoch() == self.epoch => Ok(self.start_at(token.place())),
            Start::After(_) => Ok(self.start_at_oldest(Verdict::OtherEpoch { oldest: self.oldest_index() })),
            Start::Exactly(index) => self.start_exactly(index),
        }
    }

    fn resolved_start(&self, start_position: StartPosition, verdict: Verdict, from: Place) -> ResolvedStart {
        ResolvedStart {
            start_position,
            start_verdict: StartVerdict { verdict, oldest_is_whole: self.oldest_is_whole() },
            from,
        }
    }

    fn start_at_oldest(&self, verdict: Verdict) -> ResolvedStart {
        let (from, next) = (self.appender.oldest(), self.earliest_next_place());
        let start_position = StartPosition::Elastic { from, end: self.appender.end(), bound: next.index };
        self.resolved_start(start_position, verdict, self.appender.get(from).map_or(next, |record| record.place))
    }

    fn start_at(&self, from: Place) -> ResolvedStart {
        let from = if self.rising { from.in_rising_history() } else { from };
        if from < self.lost_below() {
            return self.start_at_oldest(Verdict::Lost { oldest: self.oldest_index() });
        }
        let latest = self.latest_index();
        let verdict = if from.index > latest.saturating_add(1) { Verdict::Future { latest } } else { Verdict::Whole };
        let position = self.appender.seek(from);
        match self.appender.get(position) {
            // There is no batch between `from` and this one.
            Some(record) => self.resolved_start(StartPosition::At(position), verdict, record.place),
            None if from <= self.earliest_next_place() => {
                self.resolved_start(StartPosition::At(position), verdict, self.earliest_next_place())
            }
            // A further batch of the latest index may still come, and must not be delivered.
            None => self.resolved_start(StartPosition::Pending, verdict, from),
        }
    }

    fn start_exactly(&self, index: u64) -> Result<ResolvedStart, SubscribeError> {
        let from = Place::before(index);
        let latest = self.latest_index();
        if from < self.lost_below() {
            return Err(SubscribeError::Lost { index, oldest: self.oldest_index() });
        }
        let position = self.appender.seek(from);
        match self.appender.get(position).map(|record| record.place.index) {
            Some(found) if found == index => Ok(self.resolved_start(StartPosition::At(position), Verdict::Whole, from)),
            None if index > latest => Err(SubscribeError::Future { index, latest }),
            next => Err(SubscribeError::Absent { index, next }),
        }
    }
}
