//! Checking the gate: what a reader does when access has changed or it was ended from outside.
//! Who is concerned by a change was decided by the publisher.

use super::budget::Budget;
use super::state::Subscription;
use crate::access::Ending;
use crate::core::{Settled, token_deleted};
use crate::types::error::Denial;
use crate::types::error::RecvError;

fn unsettled() -> Denial {
    Denial::new("access changed each time that it was asked for, until the broker was closed")
}

impl<P> Subscription<P> {
    /// Does what the gate asks for, until it asks for nothing more. Whether that is done, or access could not be
    /// settled in this turn: then nothing may be handed out.
    #[cold]
    pub(super) fn recheck_access(&mut self, budget: &mut Budget) -> Result<bool, RecvError> {
        loop {
            let state = self.waiter.owner.gate.state();
            if state.is(Ending::Reset) {
                return Err(self.end(RecvError::Reset));
            }
            if state.is(Ending::TokenDeleted) {
                return Err(self.end(RecvError::Revoked(token_deleted())));
            }
            if state.changes() != self.last_gate.changes() {
                let held = self.selector.grant();
                let (filter, principal) = (&self.selector.filter, self.selector.principal());
                let again = || budget.may_ask_again();
                match self.core.recheck(&self.waiter, filter, principal, held, &mut self.last_gate, again) {
                    Settled::Allowed(grant) => self.selector.set_grant(grant),
                    // A reset meanwhile outranks the answer.
                    Settled::Denied(_) if self.waiter.owner.gate.state().is(Ending::Reset) => {}
                    Settled::Denied(denial) => return Err(self.end(RecvError::Revoked(denial))),
                    Settled::Not => {
                        let state = self.waiter.owner.gate.state();
                        if state.is(Ending::Reset) || state.is(Ending::TokenDeleted) {
                            continue;
                        }
                        if state.is(Ending::Cancelled) {
                            return Err(self.end(RecvError::Cancelled));
                        }
                        if self.core.log.end().closed {
                            // Nothing can be handed out any more, and nobody may be left to change that.
                            return Err(self.end(RecvError::Revoked(unsettled())));
                        }
                        return Ok(false);
                    }
                }
                // Another change may have come while this was asked, or an end that outranks it.
                continue;
            }
            // By a tick, or by the clock alone: a cancel must not come before it either way.
            if state.is(Ending::Expired) || self.has_expired() {
                return Err(self.end(RecvError::Expired));
            }
            if state.is(Ending::Cancelled) {
                return Err(self.end(RecvError::Cancelled));
            }
            if state.is_skipped() {
                self.cursor.skip();
            }
            self.last_gate = state;
            return Ok(true);
        }
    }
}
