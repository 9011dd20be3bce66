//! The history as a whole: closing it, replacing it, and skipping a part of it.
//! Batches are published in `publish`. What a reader reports about a reset or a skip is decided in `subscription`.
//!
//! Invariants:
//! - The gates are set before the log is emptied: a reader that finds the log empty finds the reason.
//! - Readers are woken, and evicted batches dropped, after the lock is released.
//!
//! Callers: `broker`, without a lock.

use super::next_index::HistoryStart;
use super::shared::Waiter;
use super::state::{Core, Record, State};
use crate::access::Ending;
use crate::log::{Evicted, Log};
use crate::types::error::SkipError;
use crate::types::token::{Epoch, Token};

impl<P> Core<P> {
    /// Closes the log, and wakes all readers and dispatchers.
    pub(crate) fn close(&self) {
        let waiters: Vec<Waiter> = {
            let mut state = self.state.lock_priority();
            state.appender.close(&self.log);
            state.registry.subscriptions().cloned().collect()
        };
        for waiter in waiters {
            waiter.wake();
        }
        self.dispatch.wake_dispatchers();
    }

    /// Ends all subscriptions, empties the log and begins another history above `index`.
    pub(crate) fn reset(&self, index: u64, epoch: Epoch) {
        let mut evicted = Evicted::default();
        let (waiters, pending_starts) = {
            let mut state = self.state.lock_priority();
            let waiters: Vec<Waiter> = state.registry.subscriptions().cloned().collect();
            for waiter in &waiters {
                // Set before the log is emptied: a reader that finds it empty finds the reason.
                waiter.shared.gate.end(Ending::Reset);
            }
            state.counters.evicted += state.appender.buffered().0;
            state.appender.clear(&self.log, &mut evicted);
            self.log.set_latest_index(index);
            self.log.finish(index);
            (state.index_bound, state.next_place) = HistoryStart::Above(index).begin();
            state.restored_place = state.next_place;
            state.epoch = epoch;
            (waiters, std::mem::take(&mut state.pending_starts))
        };
        drop(pending_starts);
        for waiter in waiters {
            waiter.wake();
        }
        evicted.discard();
    }

    /// Skips the history up to the token: empties the log, and wakes the readers before it.
    pub(crate) fn skip_to(&self, token: Token) -> Result<(), SkipError> {
        let mut evicted = Evicted::default();
        let before = self.state.lock_priority().skip_to(&self.log, token, &mut evicted)?;
        for waiter in before {
            waiter.wake();
        }
        evicted.discard();
        Ok(())
    }
}

impl<P> State<P> {
    /// Empties the log, and returns the readers before the place. The gate of each reports the skip.
    fn skip_to(
        &mut self,
        log: &Log<Record<P>>,
        token: Token,
        evicted: &mut Evicted<Record<P>>,
    ) -> Result<Vec<Waiter>, SkipError> {
        if self.appender.is_closed() {
            return Err(SkipError::Closed);
        }
        let (epoch, current) = (token.epoch(), self.epoch);
        if epoch != current {
            return Err(SkipError::OtherEpoch { epoch, current });
        }
        let place = if self.rising { token.place().in_rising_history() } else { token.place() };
        let here = self.earliest_next_place();
        if place <= here {
            // The token names the place after the last batch, or where batches without events have moved it since. No
            // batch lies between.
            let is_whole = token.place().count == 0 && place >= self.next_place;
            let is_current = token.place() == self.next_place || place == here || is_whole;
            let current = Token::new(current, here);
            return if is_current { Ok(Vec::new()) } else { Err(SkipError::Behind { token, current }) };
        }
        if token.place() == self.next_place {
            // The token names the last possible place.
            return Ok(Vec::new());
        }
        // Subscriptions that wait for the target of the skip, or a later one, have lost nothing. All others have.
        let end = self.appender.end();
        while let Some(waiter) = self.pending_starts.pop_reached(place) {
            waiter.shared.start_at(end);
        }
        let is_before = |waiter: &&Waiter| waiter.shared.pending_place().is_none();
        let before: Vec<Waiter> = self.registry.subscriptions().filter(is_before).cloned().collect();
        for waiter in &before {
            // Set before the log is emptied: a reader that finds it empty finds the reason.
            waiter.shared.gate.set_skipped();
        }
        self.skipped_at = Some(end);
        self.counters.evicted += self.appender.buffered().0;
        self.appender.clear(log, evicted);
        (self.index_bound, self.next_place) = HistoryStart::After(token.place()).begin();
        self.restored_place = place;
        log.set_latest_index(self.latest_index());
        if let Some(last) = place.index.checked_sub(1) {
            log.finish(last);
        }
        Ok(before)
    }
}
