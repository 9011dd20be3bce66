//! Who is subscribed, what each grant rests on, when it runs out, and who waits for a place to come.
//! It belongs to the broker's lock and asks nobody: it only finds whom a change concerns.
//!
//! Ordered maps throughout: they free what a burst of subscriptions took while it leaves, one node at a time, and grow
//! without ever copying all of themselves, so that no step under the broker's lock is a long one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use super::shared::Waiter;
use crate::access::Ending;
use crate::access::{AccessChange, Basis, Grant};
use crate::steps::{Step, count};
use crate::types::principal::Principal;
use crate::types::token::Place;

/// All open subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// By id, so in the order in which they were opened.
    waiters: BTreeMap<u64, Waiter>,
    by_basis: BTreeMap<Basis, BTreeMap<u64, Waiter>>,
    /// With what the gate said of changes when the grant was noted.
    expiries: BTreeMap<(Instant, u64), (Waiter, u64)>,
}

impl Registry {
    pub(crate) fn insert(&mut self, waiter: Waiter) {
        count(Step::Find, 1);
        self.waiters.insert(waiter.owner.id, waiter);
    }

    pub(crate) fn remove(&mut self, id: u64) {
        count(Step::Find, 1);
        self.waiters.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// In the order in which they were opened.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        count(Step::Find, self.waiters.len());
        self.waiters.values()
    }

    /// Adds to `into` up to `most` subscriptions with an id above `after`, and returns the last id added, if any was.
    pub(crate) fn waiters_after(&self, after: u64, most: usize, into: &mut Vec<Waiter>) -> Option<u64> {
        let before = into.len();
        let later = self.waiters.range((Bound::Excluded(after), Bound::Unbounded));
        into.extend(later.take(most).map(|(_, waiter)| waiter.clone()));
        count(Step::Find, into.len() - before);
        into.get(before..)?.last().map(|waiter| waiter.owner.id)
    }

    /// Notes what a grant rests on.
    pub(crate) fn index_by_basis(&mut self, waiter: &Waiter, principal: &Principal, grant: &Grant) {
        let id = waiter.owner.id;
        for basis in grant.basis(principal) {
            count(Step::Find, 1);
            self.by_basis.entry(basis).or_default().insert(id, waiter.clone());
        }
        if let Some(expiry) = grant.expiry() {
            count(Step::Find, 1);
            self.expiries.insert((expiry, id), (waiter.clone(), waiter.owner.gate.state().changes()));
        }
    }

    /// Forgets what [`index_by_basis`](Self::index_by_basis) noted.
    pub(crate) fn unindex_by_basis(&mut self, waiter: &Waiter, principal: &Principal, grant: &Grant) {
        let id = waiter.owner.id;
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

    /// Passes a change through the gate of every subscription that it concerns, and shows those to `wake` that are to be
    /// woken for it: all but those of a change that is `quiet`, and they, too, if it ends them.
    pub(crate) fn fence(&self, change: &AccessChange, quiet: bool, mut wake: impl FnMut(&Waiter)) {
        let ends = matches!(change, AccessChange::TokenDeleted(_));
        let mut pass = |waiter: &Waiter| {
            count(Step::Fence, 1);
            if ends {
                waiter.owner.gate.end(Ending::TokenDeleted);
            } else {
                waiter.owner.gate.change();
            }
            if ends || !quiet {
                wake(waiter);
            }
        };
        match change.basis() {
            Some(basis) => self.by_basis.get(&basis).into_iter().flat_map(BTreeMap::values).for_each(pass),
            None => self.waiters().for_each(&mut pass),
        }
    }

    /// Ends subscriptions whose grant, as noted here, has run out by `now`, up to `most` of them, and returns those to be
    /// woken. Each is once.
    ///
    /// Whose access has changed since the grant was given is about to ask for a newer one, which may have been renewed:
    /// it is woken to look at the clock itself, and not ended here.
    pub(crate) fn expire(&mut self, now: Instant, most: usize) -> Vec<Waiter> {
        let mut expired = Vec::new();
        while expired.len() < most
            && let Some(first) = self.expiries.first_entry().filter(|first| first.key().0 <= now)
        {
            count(Step::Fence, 1);
            let (waiter, changes) = first.remove();
            if waiter.owner.gate.state().changes() == changes {
                waiter.owner.gate.end(Ending::Expired);
            }
            expired.push(waiter);
        }
        expired
    }
}

/// Subscriptions to places that no batch has reached yet.
#[derive(Debug, Default)]
pub(crate) struct Pending(BTreeMap<(Place, u64), Waiter>);

impl Pending {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, place: Place, waiter: Waiter) {
        count(Step::Find, 1);
        self.0.insert((place, waiter.owner.id), waiter);
    }

    /// Takes one out, if it still waits for its place.
    pub(crate) fn remove(&mut self, waiter: &Waiter) -> Option<Waiter> {
        let start = waiter.owner.pending_start.as_ref()?;
        count(Step::Find, 1);
        self.0.remove(&(start.place, waiter.owner.id))
    }

    /// Takes out one that waits for a place before `next`, if any does.
    pub(crate) fn pop_reached(&mut self, next: Place) -> Option<Waiter> {
        count(Step::Find, 1);
        let first = self.0.first_entry().filter(|first| first.key().0 < next)?;
        Some(first.remove())
    }
}
