//! Minding the gate: what a reader does when access has changed or it was ended from outside.
//! Who is concerned by a change was decided by the publisher.

use super::Subscription;
use crate::broker::token_deleted;
use crate::error::RecvError;
use crate::gate::Ending;

impl<P> Subscription<P> {
    /// Does what the gate asks for, until it asks for nothing more.
    #[cold]
    pub(super) fn attend(&mut self) -> Result<(), RecvError> {
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
                match self.core.ask_again(&self.station, filter, principal, held, &mut self.seen) {
                    Ok(grant) => self.sieve.set_grant(grant),
                    // A reset meanwhile outranks the answer.
                    Err(_) if self.station.owner.gate.state().is(Ending::Reset) => continue,
                    Err(denial) => return Err(self.end(RecvError::Revoked(denial))),
                }
                // Another change may have come while this was asked, or an end that outranks it. What was seen with
                // the question may hold an end as well, which is still to be told.
                continue;
            }
            // By a tick, or by the clock alone: a cancel must not come before it either way.
            if state.is(Ending::Expired) || self.has_expired() {
                return Err(self.end(RecvError::Expired));
            }
            if state.is(Ending::Cancelled) {
                return Err(self.end(RecvError::Cancelled));
            }
            self.seen = state;
            return Ok(());
        }
    }
}
