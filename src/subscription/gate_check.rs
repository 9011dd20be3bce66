//! What a reader does when its gate has changed: it ends, asks the authorizer again, or marks its cursor as skipped.
//! The publisher decides which subscriptions a change concerns, and `begin_read` finds that the gate has changed.
//!
//! Invariants:
//! - Ends have an order: reset, token deleted, denied, expired, cancelled. The first one that holds is returned. The
//!   expiry is checked once access is settled.
//! - No authorizer is asked while a lock is held.
//!
//! Callers: `begin_read` alone.

use super::budget::Budget;
use super::state::Subscription;
use crate::access::Ending;
use crate::core::{Rechecked, token_deleted};
use crate::types::error::{Denial, RecvError};

fn unsettled_denial() -> Denial {
    Denial::new("access changed each time that it was asked for, until the broker was closed")
}

impl<P> Subscription<P> {
    /// Acts on every flag and change of the gate, until the gate shows nothing new. Returns `false` if the budget was
    /// spent before access was settled: then no event may be delivered.
    #[cold]
    pub(super) fn recheck_access(&mut self, budget: &mut Budget) -> Result<bool, RecvError> {
        loop {
            let state = self.waiter.shared.gate.state();
            if state.is(Ending::Reset) {
                return Err(self.end(RecvError::Reset));
            }
            if state.is(Ending::TokenDeleted) {
                return Err(self.end(RecvError::Revoked(token_deleted())));
            }
            if state.changes() != self.last_gate.changes() {
                let held = self.selector.grant();
                let (filter, principal) = (&self.selector.filter, self.selector.principal());
                let on_stale = || budget.on_stale_decision();
                match self.core.recheck(&self.waiter, filter, principal, held, &mut self.last_gate, on_stale) {
                    Rechecked::Allowed(grant) => self.selector.set_grant(grant),
                    // A reset that came meanwhile takes precedence over the denial.
                    Rechecked::Denied(_) if self.waiter.shared.gate.state().is(Ending::Reset) => {}
                    Rechecked::Denied(denial) => return Err(self.end(RecvError::Revoked(denial))),
                    Rechecked::Unsettled => {
                        let state = self.waiter.shared.gate.state();
                        if state.is(Ending::Reset) || state.is(Ending::TokenDeleted) {
                            continue;
                        }
                        if state.is(Ending::Cancelled) {
                            return Err(self.end(RecvError::Cancelled));
                        }
                        if self.core.log.end().closed {
                            // Nothing more is published, and no further change may come that settles access.
                            return Err(self.end(RecvError::Revoked(unsettled_denial())));
                        }
                        return Ok(false);
                    }
                }
                // Another change, or an end that takes precedence, may have come while the authorizer was asked.
                continue;
            }
            // By `tick` or by the clock alone: either way, the expiry comes before a cancel.
            if state.is(Ending::Expired) || self.has_expired() {
                return Err(self.end(RecvError::Expired));
            }
            if state.is(Ending::Cancelled) {
                return Err(self.end(RecvError::Cancelled));
            }
            if state.is_skipped() {
                self.cursor.mark_skipped();
            }
            self.last_gate = state;
            return Ok(true);
        }
    }
}
