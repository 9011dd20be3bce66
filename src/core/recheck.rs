//! Calling the authorizer: for a subscription that is being opened, and again for one that is open.
//! When a reader must do so is decided by its gate, and what a denial does to it in `subscription`.
//!
//! Invariants:
//! - The authorizer is called without a lock, on the thread that subscribes or reads.
//! - A decision is used in a step that finds it fresh, so that no change comes between.
//! - A panic of the authorizer in a recheck counts as a denial; in an opening it reaches the caller.
//!
//! Callers: `open`, and `recheck_access` in `subscription`.

use super::decisions::{Attempt, Freshness};
use super::shared::Waiter;
use super::state::{Core, Hooks, State};
use crate::access::{AccessRequest, GateState, Grant};
use crate::interest::Filter;
use crate::panics::catch_panic;
use crate::types::error::Denial;
use crate::types::principal::Principal;

/// The most attempts for one subscription that is being opened, or by one read that cannot wait, if the bases of each
/// decision change meanwhile.
pub(crate) const MAX_ATTEMPTS: u32 = 16;

/// What a read does about a decision that is stale.
pub(crate) enum OnStale {
    Retry,
    GiveUp,
}

/// The outcome of a recheck.
pub(crate) enum Rechecked {
    Allowed(Option<Grant>),
    Denied(Denial),
    /// Access changes faster than the authorizer decides.
    Unsettled,
}

impl<P> Core<P> {
    /// Asks the authorizer about an open subscription. If the decision becomes stale meanwhile, asks again unless
    /// `on_stale` gives up. Indexes the new grant.
    ///
    /// A panic of the authorizer counts as a denial. When it returns [`Rechecked::Allowed`], `last_gate` has the
    /// changes of the gate that the decision is newer than.
    #[expect(clippy::significant_drop_tightening, reason = "the decision must stay fresh until its basis is indexed")]
    pub(crate) fn recheck(
        &self,
        waiter: &Waiter,
        filter: &Filter,
        principal: &Principal,
        held: Option<&Grant>,
        last_gate: &mut GateState,
        mut on_stale: impl FnMut() -> OnStale,
    ) -> Rechecked {
        let check = AccessCheck::begin(self, principal, true);
        for attempt in 1.. {
            let outcome = catch_panic(|| check.request_decision(attempt, filter, principal));
            let decision = match outcome.unwrap_or_else(|| Err(Denial::new("the check of access failed"))) {
                Ok(decision) => decision,
                Err(denial) => return Rechecked::Denied(denial),
            };
            let mut state = self.state.lock_step();
            match decision.freshness(&state, principal) {
                Freshness::Fresh => {
                    // No change is set on the gate while the lock is held.
                    *last_gate = last_gate.with_changes_of(waiter.shared.gate.state());
                    let grant = decision.map(|decision| decision.grant);
                    if let (Some(held), Some(grant)) = (held, &grant) {
                        state.registry.unindex_by_basis(waiter, principal, held);
                        state.registry.index_by_basis(waiter, principal, grant);
                    }
                    return Rechecked::Allowed(grant);
                }
                Freshness::Deleted => return Rechecked::Denied(token_deleted()),
                Freshness::Stale => drop(state),
            }
            if waiter.shared.gate.state().is_ended_at_once() {
                break;
            }
            if let OnStale::GiveUp = on_stale() {
                break;
            }
        }
        Rechecked::Unsettled
    }
}

pub(crate) fn token_deleted() -> Denial {
    Denial::new("the token was deleted")
}

/// A decision that is pending. Until it is dropped, access changes are recorded.
pub(super) struct AccessCheck<'a, P> {
    core: &'a Core<P>,
    /// Whether the subscription is open already.
    recheck: bool,
}

/// A grant, and the attempt that gave it.
pub(super) struct Decision {
    pub(super) grant: Grant,
    attempt: Attempt,
}

pub(super) trait CheckFreshness {
    fn freshness<P>(&self, state: &State<P>, principal: &Principal) -> Freshness;
}

impl CheckFreshness for Option<Decision> {
    /// Without an authorizer there is no decision to become stale.
    fn freshness<P>(&self, state: &State<P>, principal: &Principal) -> Freshness {
        self.as_ref().map_or(Freshness::Fresh, |Decision { grant, attempt }| {
            state.decisions.freshness(*attempt, grant, principal)
        })
    }
}

impl<'a, P> AccessCheck<'a, P> {
    pub(super) fn begin(core: &'a Core<P>, principal: &Principal, recheck: bool) -> Self {
        if core.hooks.authorizer.is_some() {
            core.state.lock_step().decisions.begin(principal);
        }
        Self { core, recheck }
    }

    /// Calls the authorizer once. Returns `None` if there is none. A grant that does not cover a namespace that was
    /// named is a denial. So is one that has expired already, if the subscription is being opened.
    pub(super) fn request_decision(
        &self,
        attempt: u32,
        filter: &Filter,
        principal: &Principal,
    ) -> Result<Option<Decision>, Denial> {
        let Hooks { authorizer: Some(authorizer), clock, .. } = &self.core.hooks else { return Ok(None) };
        let attempt = self.core.state.lock_step().decisions.start_attempt(attempt);
        let scope = filter.scope();
        let request = AccessRequest { principal, terms: filter.terms(), scope, recheck: self.recheck };
        let grant = authorizer.authorize(&request)?;
        if let Some(name) = grant.uncovered(scope) {
            return Err(Denial::new(format!("no access to the namespace {name}")));
        }
        // An open subscription that has expired ends with `RecvError::Expired`, and not with a denial.
        if !self.recheck && grant.expiry().is_some_and(|expiry| expiry <= clock.now()) {
            return Err(Denial::new("access has expired already"));
        }
        Ok(Some(Decision { grant, attempt }))
    }
}

impl<P> Drop for AccessCheck<'_, P> {
    fn drop(&mut self) {
        if self.core.hooks.authorizer.is_some() {
            self.core.state.lock_step().decisions.end();
        }
    }
}
