//! The open subscriptions, by id, by what their grants rest on, by expiry, and by the place that they wait for.
//! It only finds the subscriptions that something concerns: it calls neither the authorizer nor a waker.
//!
//! Invariants:
//! - All maps are ordered. They free what a burst of subscriptions took as it leaves, node by node, and grow without
//!   copying all of themselves, so that no step under the broker's lock is long.
//! - A grant is indexed from the step that enters its subscription to the step that takes it out or replaces the grant.
//!   The entry of its expiry goes when it expires.
//!
//! Callers: `core`, under the broker's lock.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use super::shared::Waiter;
use crate::access::{AccessChange, Basis, Ending, Grant};
use crate::steps::{Step, count};
use crate::types::principal::Principal;
use crate::types::token::Place;

/// All open subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// By id, and so in the order in which they were opened.
    subscriptions: BTreeMap<u64, Waiter>,
    by_basis: BTreeMap<Basis, BTreeMap<u64, Waiter>>,
    /// By expiry. Each entry has the gate's count of changes when the grant was indexed.
    expiries: BTreeMap<(Instant, u64), (Waiter, u64)>,
}

impl Registry {
    pub(crate) fn insert(&mut self, waiter: Waiter) {
        count(Step::Find, 1);
        self.subscriptions.insert(waiter.shared.id, waiter);
    }

    pub(crate) fn remove(&mut self, id: u64) {
        count(Step::Find, 1);
        self.subscriptions.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Returns all subscriptions in the order in which they were opened.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &Waiter> {
        count(Step::Find, self.subscriptions.len());
        self.subscriptions.values()
    }

    /// Adds to `into` up to `max` subscriptions with an id above `after`. Returns the last id that was added, if any.
    pub(crate) fn subscriptions_after(&self, after: u64, max: usize, into: &mut Vec<Waiter>) -> Option<u64> {
        let before = into.len();
        let later = self.subscriptions.range((Bound::Excluded(after), Bound::Unbounded));
        into.extend(later.take(max).map(|(_, waiter)| waiter.clone()));
        count(Step::Find, into.len() - before);
        into.get(before..)?.last().map(|waiter| waiter.shared.id)
    }

    /// Indexes a subscription by what its grant rests on, and by its expiry.
    pub(crate) fn index_by_basis(&mut self, waiter: &Waiter, principal: &Principal, grant: &Grant) {
        let id = waiter.shared.id;
        for basis in grant.basis(principal) {
            count(Step::Find, 1);
            self.by_basis.entry(basis).or_default().insert(id, waiter.clone());
        }
        if let Some(expiry) = grant.expiry() {
            count(Step::Find, 1);
            self.expiries.insert((expiry, id), (waiter.clone(), waiter.shared.gate.state().changes()));
        }
    }

    /// Removes what [`index_by_basis`](Self::index_by_basis) inserted.
    pub(crate) fn unindex_by_basis(&mut self, waiter: &Waiter, principal: &Principal, grant: &Grant) {
        let id = waiter.shared.id;
        for basis in grant.basis(principal) {
            count(Step::Find, 1);
            if let Some(indexed) = self.by_basis.get_mut(&basis) {
                indexed.remove(&id);
                if indexed.is_empty() {
                    self.by_basis.remove(&basis);
                }
            }
        }
        if let Some(expiry) = grant.expiry() {
            count(Step::Find, 1);
            self.expiries.remove(&(expiry, id));
        }
    }

    /// Sets a change on the gate of every subscription that it concerns. Calls `wake` with those that are to be woken
    /// for it: all of them, or, if the change is `quiet`, only those that it ends.
    pub(crate) fn fence(&self, change: &AccessChange, quiet: bool, mut wake: impl FnMut(&Waiter)) {
        let ends = matches!(change, AccessChange::TokenDeleted(_));
        let mut set = |waiter: &Waiter| {
            count(Step::Fence, 1);
            if ends {
                waiter.shared.gate.end(Ending::TokenDeleted);
            } else {
                waiter.shared.gate.change();
            }
            if ends || !quiet {
                wake(waiter);
            }
        };
        match change.basis() {
            Some(basis) => self.by_basis.get(&basis).into_iter().flat_map(BTreeMap::values).for_each(set),
            None => self.subscriptions().for_each(&mut set),
        }
    }

    /// Ends up to `max` subscriptions whose grant, as indexed here, has expired by `now`, and returns them to be woken.
    /// Each is returned once.
    ///
    /// A subscription whose access has changed since its grant was indexed is about to be rechecked, and the new grant
    /// may expire later. It is not ended here, but woken to check the clock itself.
    pub(crate) fn expire(&mut self, now: Instant, max: usize) -> Vec<Waiter> {
        let mut expired = Vec::new();
        while expired.len() < max
            && let Some(first) = self.expiries.first_entry().filter(|first| first.key().0 <= now)
        {
            count(Step::Fence, 1);
            let (waiter, changes) = first.remove();
            if waiter.shared.gate.state().changes() == changes {
                waiter.shared.gate.end(Ending::Expired);
            }
            expired.push(waiter);
        }
        expired
    }
}

/// Subscriptions to places that no batch has reached yet.
#[derive(Debug, Default)]
pub(crate) struct PendingStarts(BTreeMap<(Place, u64), Waiter>);

impl PendingStarts {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, place: Place, waiter: Waiter) {
        count(Step::Find, 1);
        self.0.insert((place, waiter.shared.id), waiter);
    }

    /// Removes a subscription, if it still waits for its place.
    pub(crate) fn remove(&mut self, waiter: &Waiter) -> Option<Waiter> {
        let start = waiter.shared.pending_start.as_ref()?;
        count(Step::Find, 1);
        self.0.remove(&(start.place, waiter.shared.id))
    }

    /// Removes and returns one subscription that waits for a place before `next`, if there is one.
    pub(crate) fn pop_reached(&mut self, next: Place) -> Option<Waiter> {
        count(Step::Find, 1);
        let first = self.0.first_entry().filter(|first| first.key().0 < next)?;
        Some(first.remove())
    }
}
