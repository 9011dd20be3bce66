//! How every read begins: the loads of end and gate, and the placing of a cursor whose start has come.
//! What a reader does when its gate has changed is decided in `gate_check`, and which batch is next in `cursor`.
//!
//! Invariants:
//! - The finished index is loaded before the end, and the end before the gate.
//! - A position is read only after the gate was found unchanged, once the end above that position was loaded.
//!
//! Callers: `owned`, `poll` and `drain` begin each read here; `frames` checks the gate.

use super::budget::Budget;
use super::state::{StartState, Subscription};
use crate::log::End;
use crate::types::error::RecvError;
use crate::types::token::Place;

impl<P> Subscription<P> {
    /// Begins a read: checks the gate, and returns the finished index and the end of the log, both as loaded before the
    /// gate. Returns `None` if the budget was spent before access was settled.
    ///
    /// The order of the loads:
    /// - The finished index comes before the end. So a reader that passes the end has passed every batch below that
    ///   index.
    /// - The gate comes last. A publisher sets the gates before it makes the position visible, so a reader that sees
    ///   the position sees the change. The partner is `State::fence`, which `Core::publish` calls before
    ///   `Core::append`.
    #[inline]
    pub(super) fn begin_read(&mut self, budget: &mut Budget) -> Result<Option<(u64, End)>, RecvError> {
        if let Some(ended) = &self.ended {
            return Err(ended.error.clone());
        }
        if self.start_state == StartState::Window {
            self.pass_forgotten_window();
        }
        loop {
            let finished = self.core.log.finished_below();
            let end = self.core.log.end();
            if self.waiter.shared.gate.state() != self.last_gate {
                if !self.recheck_access(budget)? {
                    return Ok(None);
                }
                continue;
            }
            if self.has_expired() {
                return Err(self.end(RecvError::Expired));
            }
            return Ok(Some((finished, end)));
        }
    }

    /// Checks the gate without reading.
    ///
    /// # Errors
    ///
    /// Returns the error that a read returns before it locates a batch.
    #[cfg(feature = "json")]
    pub(crate) fn check_gate(&mut self) -> Result<(), RecvError> {
        self.begin_read(&mut Budget::unlimited()).map(drop)
    }

    /// Returns whether the grant has expired. Without an expiry it does not read the clock.
    #[inline]
    pub(super) fn has_expired(&self) -> bool {
        self.selector.expiry().is_some_and(|expiry| self.core.hooks.clock.now() >= expiry)
    }

    /// Returns whether the cursor is placed, after placing it if the reader's start has come.
    #[inline]
    pub(super) fn ensure_placed(&mut self, finished: u64) -> bool {
        self.start_state == StartState::Reading || self.place_pending(finished)
    }

    #[cold]
    fn place_pending(&mut self, finished: u64) -> bool {
        match self.start_state {
            StartState::Reading | StartState::Elastic | StartState::Window => return true,
            StartState::Pending => {
                let Some(position) = self.waiter.shared.pending_start.as_ref().and_then(|start| start.get()) else {
                    // Batches without events may have moved the latest index past the place. `finished` was loaded
                    // before `pending_start`, which any batch below `finished` would have set.
                    self.resume_place = self.resume_place.max(Place::before(finished));
                    return false;
                };
                self.cursor.move_to(position);
            }
        }
        self.start_state = StartState::Reading;
        true
    }

    /// Ends an elastic start, because a batch is passed or none is left to pass. From now on the eviction of a match
    /// that is not passed is a loss.
    #[inline]
    pub(super) fn end_elastic(&mut self) {
        if self.start_state == StartState::Elastic {
            self.start_state = StartState::Reading;
            self.cursor.end_elastic();
        }
    }

    /// Stores the cursor where handles see it. An elastic start is stored as such, because eviction may still move it.
    pub(super) fn store_cursor(&mut self) {
        if self.cursor.is_past_elastic() {
            self.end_elastic();
        }
        let counters = &self.waiter.shared.counters;
        match self.start_state {
            StartState::Reading => counters.set_cursor(self.cursor.position()),
            _ => counters.set_elastic(self.cursor.elastic_until()),
        }
    }

    /// Records that the reader has caught up: everything below the index `finished` is passed.
    pub(super) fn record_caught_up(&mut self, finished: u64) {
        self.end_elastic();
        self.resume_place = self.resume_place.max(Place::before(finished));
        self.waiter.shared.counters.set_cursor(self.cursor.position());
    }
}
