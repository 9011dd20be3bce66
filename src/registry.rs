//! Who is subscribed, what each grant rests on, when it runs out, and who waits for a place to come.
//! It belongs to the broker's lock and asks nobody: it only finds whom a change concerns.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::access::{AccessChange, Basis, Grant, Principal};
use crate::gate::Ending;
use crate::shared::Station;
use crate::token::Place;

/// All open subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    stations: Vec<Option<Station>>,
    free: Vec<u32>,
    by_basis: HashMap<Basis, HashMap<u64, Station>>,
    /// With what the gate said of changes when the grant was noted.
    expiries: BTreeMap<(Instant, u64), (Station, u64)>,
}

impl Registry {
    /// Adds a subscription; the place is for taking it out again.
    pub(crate) fn enter(&mut self, station: Station) -> u32 {
        if let Some(place) = self.free.pop() {
            if let Some(vacant) = self.stations.get_mut(index(place)) {
                *vacant = Some(station);
            }
            place
        } else {
            self.stations.push(Some(station));
            u32::try_from(self.stations.len() - 1).expect("fewer than 2^32 subscriptions fit any memory")
        }
    }

    pub(crate) fn exit(&mut self, place: u32) {
        if let Some(occupied) = self.stations.get_mut(index(place)) {
            *occupied = None;
            self.free.push(place);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.stations.len() - self.free.len()
    }

    pub(crate) fn stations(&self) -> impl Iterator<Item = &Station> {
        self.stations.iter().flatten()
    }

    /// Notes what a grant rests on.
    pub(crate) fn rest(&mut self, station: &Station, principal: &Principal, grant: &Grant) {
        let id = station.owner.id;
        for basis in grant.basis(principal) {
            self.by_basis.entry(basis).or_default().insert(id, station.clone());
        }
        if let Some(expiry) = grant.expiry() {
            self.expiries.insert((expiry, id), (station.clone(), station.owner.gate.state().changes()));
        }
    }

    /// Forgets what [`rest`](Self::rest) noted.
    pub(crate) fn unrest(&mut self, station: &Station, principal: &Principal, grant: &Grant) {
        let id = station.owner.id;
        for basis in grant.basis(principal) {
            if let Some(resting) = self.by_basis.get_mut(&basis) {
                resting.remove(&id);
                if resting.is_empty() {
                    self.by_basis.remove(&basis);
                }
            }
        }
        if let Some(expiry) = grant.expiry() {
            self.expiries.remove(&(expiry, id));
        }
    }

    /// Passes a change through the gate of every subscription that it concerns, and shows those to `wake` that are to be
    /// woken for it: all but those of a change that is `quiet`, and they, too, if it ends them.
    pub(crate) fn fence(&self, change: &AccessChange, quiet: bool, mut wake: impl FnMut(&Station)) {
        let ends = matches!(change, AccessChange::TokenDeleted(_));
        let mut pass = |station: &Station| {
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
            Some(basis) => self.by_basis.get(&basis).into_iter().flat_map(HashMap::values).for_each(pass),
            None => self.stations().for_each(&mut pass),
        }
    }

    /// Ends every subscription whose grant, as noted here, has run out by `now`, and returns those to be woken. Each is
    /// once.
    ///
    /// Whose access has changed since the grant was given is about to ask for a newer one, which may have been renewed:
    /// it is woken to look at the clock itself, and not ended here.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Station> {
        let later = self.expiries.split_off(&(now, u64::MAX));
        let expired = std::mem::replace(&mut self.expiries, later).into_values();
        let end = |(station, changes): (Station, u64)| {
            if station.owner.gate.state().changes() == changes {
                station.owner.gate.end(Ending::Expired);
            }
            station
        };
        expired.map(end).collect()
    }
}

/// Subscriptions to places that no batch has reached yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    stations: BTreeMap<(Place, u64), Station>,
    places: HashMap<u64, Place>,
}

impl Pending {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.stations.is_empty()
    }

    pub(crate) fn enter(&mut self, place: Place, station: Station) {
        self.places.insert(station.owner.id, place);
        self.stations.insert((place, station.owner.id), station);
    }

    /// Takes one out, if it still waits.
    pub(crate) fn exit(&mut self, id: u64) -> Option<Station> {
        self.stations.remove(&(self.places.remove(&id)?, id))
    }

    /// Takes out whoever waits for a place before `next`.
    pub(crate) fn reach(&mut self, next: Place) -> impl Iterator<Item = Station> {
        let later = self.stations.split_off(&(next, 0));
        let reached = std::mem::replace(&mut self.stations, later);
        for (_, id) in reached.keys() {
            self.places.remove(id);
        }
        reached.into_values()
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
