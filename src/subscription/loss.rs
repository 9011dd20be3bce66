//! The account of losses: counting a loss, and reporting it as an error.
//! Whether something was lost is decided in `cursor`, by `Cursor::discard_evicted_runs`.
//!
//! Invariants:
//! - A loss is reported once, and counted when it is reported.
//! - An end or a change of the gate takes precedence over a loss.
//!
//! Callers: `owned` and `drain`, when the cursor has located a loss.

use super::state::{StartState, Subscription};
use crate::types::error::{Lagged, RecvError};
use crate::types::request::LagPolicy;

impl<P> Subscription<P> {
    /// Reports a loss: counts it, informs the observer, and returns the error. By the reader's policy it ends the
    /// subscription or moves the cursor to the oldest position.
    ///
    /// Returns `None` if the gate has changed meanwhile or no batch is left. The read must then begin again.
    pub(super) fn report_loss(&mut self) -> Option<RecvError> {
        let skipped = self.cursor.has_skipped();
        let (oldest, place, previous_end) = if skipped {
            if self.policy == LagPolicy::Continue {
                // Cleared before the oldest position is loaded. That position is at or after this skip, and a later
                // skip sets the flag again.
                self.waiter.shared.gate.clear_skipped();
                self.last_gate = self.last_gate.without_skipped();
            }
            self.core.after_skip()
        } else {
            self.core.log.read_oldest(|position, record| (position, record.place, record.previous_end))?
        };
        if self.waiter.shared.gate.state() != self.last_gate {
            // The gate has changed meanwhile. An end takes precedence over a loss: after a reset, what was read above
            // belongs to another history.
            if skipped {
                // The skip was not reported after all.
                self.waiter.shared.gate.set_skipped();
            }
            return None;
        }
        let lagged = Lagged {
            missed: oldest.since(self.cursor.effective_position(oldest)),
            skipped,
            from: self.resume_place.index.max(if self.start_state == StartState::Elastic {
                self.elastic_lower_index
            } else {
                0
            }),
            through: previous_end.last_index(),
            resumes_at: place.index,
            resumes_whole: place.count == 0,
            policy: self.policy,
        };
        self.end_elastic();
        self.waiter.shared.counters.add_missed(lagged.missed);
        self.core.hooks.observe(|observer| observer.on_lag(self.id(), &lagged));
        match self.policy {
            LagPolicy::Close => Some(self.end(RecvError::Lagged(lagged))),
            LagPolicy::Continue => {
                self.cursor.resume_at(&self.waiter, oldest);
                self.resume_place = place;
                self.waiter.shared.counters.set_cursor(oldest);
                // There may be more to read, although nothing more is published.
                self.ring();
                Some(RecvError::Lagged(lagged))
            }
        }
    }
}
