//! Checking the gate: what a reader does when access has changed or it was ended from outside.
//! Who is concerned by a change was decided by the publisher.

use super::state::Subscription;
use super::turn::Turn;
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
    pub(super) fn check_gate(&mut self, turn: &mut Turn) -> Result<bool, RecvError> {
        loop {
            let state = self.station.owner.gate.state();
            if state.is(Ending::Reset) {
                return Err(self.end(RecvError::Reset));
            }
            if state.is(Ending::TokenDeleted) {
                return Err(self.end(RecvError::Revoked(token_deleted())));
            }
            if state.changes() != self.seen.changes() {
                let held = self.sieve.grant();
                let (filter, principal) = (&self.sieve.filter, self.sieve.principal());
                let again = || turn.ask_again();
                match self.core.recheck(&self.station, filter, principal, held, &mut self.seen, again) {
                    Settled::Allowed(grant) => self.sieve.set_grant(grant),
                    // A reset meanwhile outranks the answer.
                    Settled::Denied(_) if self.station.owner.gate.state().is(Ending::Reset) => {}
                    Settled::Denied(denial) => return Err(self.end(RecvError::Revoked(denial))),
                    Settled::Not => {
                        let state = self.station.owner.gate.state();
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
                self.reader.skip();
            }
            self.seen = state;
            return Ok(true);
        }
    }
}
