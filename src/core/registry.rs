//! Who is subscribed, what each grant rests on, when it runs out, and who waits for a place to come.
//! It belongs to the broker's lock and asks nobody: it only finds whom a change concerns.
//!
//! Ordered maps throughout: they free what a burst of subscriptions took while it leaves, one node at a time, and grow
//! without ever copying all of themselves, so that no step under the broker's lock is a long one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use super::shared::Station;
use crate::access::Ending;
use crate::access::{AccessChange, Basis, Grant};
use crate::steps::{Step, count};
use crate::types::principal::Principal;
use crate::types::token::Place;

/// All open subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// By id, so in the order in which they were opened.
    stations: BTreeMap<u64, Station>,
    by_basis: BTreeMap<Basis, BTreeMap<u64, Station>>,
    /// With what the gate said of changes when the grant was noted.
    expiries: BTreeMap<(Instant, u64), (Station, u64)>,
}

impl Registry {
    pub(crate) fn enter(&mut self, station: Station) {
        count(Step::Find, 1);
        self.stations.insert(station.owner.id, station);
    }

    pub(crate) fn exit(&mut self, id: u64) {
        count(Step::Find, 1);
        self.stations.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.stations.len()
    }

    /// In the order in which they were opened.
    pub(crate) fn stations(&self) -> impl Iterator<Item = &Station> {
        count(Step::Find, self.stations.len());
        self.stations.values()
    }

    /// Adds to `into` up to `most` subscriptions with an id above `after`, and returns the last id added, if any was.
    pub(crate) fn stations_after(&self, after: u64, most: usize, into: &mut Vec<Station>) -> Option<u64> {
        let before = into.len();
        let later = self.stations.range((Bound::Excluded(after), Bound::Unbounded));
        into.extend(later.take(most).map(|(_, station)| station.clone()));
        count(Step::Find, into.len() - before);
        into.get(before..)?.last().map(|station| station.owner.id)
    }

    /// Notes what a grant rests on.
    pub(crate) fn rest(&mut self, station: &Station, principal: &Principal, grant: &Grant) {
        let id = station.owner.id;
        for basis in grant.basis(principal) {
            count(Step::Find, 1);
            self.by_basis.entry(basis).or_default().insert(id, station.clone());
        }
        if let Some(expiry) = grant.expiry() {
            count(Step::Find, 1);
            self.expiries.insert((expiry, id), (station.clone(), station.owner.gate.state().changes()));
        }
    }

    /// Forgets what [`rest`](Self::rest) noted.
    pub(crate) fn unrest(&mut self, station: &Station, principal: &Principal, grant: &Grant) {
        let id = station.owner.id;
        for basis in grant.basis(principal) {
            count(Step::Find, 1);
            if let Some(resting) = self.by_basis.get_mut(&basis) {
                resting.remove(&id);
                if resting.is_empty() {
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
    pub(crate) fn fence(&self, change: &AccessChange, quiet: bool, mut wake: impl FnMut(&Station)) {
        let ends = matches!(change, AccessChange::TokenDeleted(_));
        let mut pass = |station: &Station| {
            count(Step::Fence, 1);
            if ends {
                station.owner.gate.end(Ending::TokenDeleted);
            } else {
                station.owner.gate.change();
            }
            if ends || !quiet {
                wake(station);
            }
        };
        match change.basis() {
            Some(basis) => self.by_basis.get(&basis).into_iter().flat_map(BTreeMap::values).for_each(pass),
            None => self.stations().for_each(&mut pass),
        }
    }

    /// Ends subscriptions whose grant, as noted here, has run out by `now`, up to `most` of them, and returns those to be
    /// woken. Each is once.
    ///
    /// Whose access has changed since the grant was given is about to ask for a newer one, which may have been renewed:
    /// it is woken to look at the clock itself, and not ended here.
    pub(crate) fn expire(&mut self, now: Instant, most: usize) -> Vec<Station> {
        let mut expired = Vec::new();
        while expired.len() < most
            && let Some(first) = self.expiries.first_entry().filter(|first| first.key().0 <= now)
        {
            count(Step::Fence, 1);
            let (station, changes) = first.remove();
            if station.owner.gate.state().changes() == changes {
                station.owner.gate.end(Ending::Expired);
            }
            expired.push(station);
        }
        expired
    }
}

/// Subscriptions to places that no batch has reached yet.
#[derive(Debug, Default)]
pub(crate) struct Pending(BTreeMap<(Place, u64), Station>);

impl Pending {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn enter(&mut self, place: Place, station: Station) {
        count(Step::Find, 1);
        self.0.insert((place, station.owner.id), station);
    }

    /// Takes one out, if it still waits for its place.
    pub(crate) fn exit(&mut self, station: &Station) -> Option<Station> {
        let begin = station.owner.begin.as_ref()?;
        count(Step::Find, 1);
        self.0.remove(&(begin.place, station.owner.id))
    }

    /// Takes out one that waits for a place before `next`, if any does.
    pub(crate) fn reach(&mut self, next: Place) -> Option<Station> {
        count(Step::Find, 1);
        let first = self.0.first_entry().filter(|first| first.key().0 < next)?;
        Some(first.remove())
    }
}
