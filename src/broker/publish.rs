//! Publishing, and everything else that changes what readers see: closing, resetting, fencing, expiring.
//! What readers do about it is in the subscription.

use std::sync::Arc;

use super::core::{Core, Floor, State};
use crate::access::AccessChange;
use crate::error::{PublishError, PublishErrorKind};
use crate::event::Event;
use crate::gate::Ending;
use crate::log::{Cost, Garbage};
use crate::record::{Published, Record};
use crate::shared::{Shared, Station};
use crate::token::{Epoch, Place};
use crate::wait::{Taken, look_again};

/// What is left to do when the lock is gone, in this order: wake, tell, drop.
struct After<P> {
    taken: Taken<Shared>,
    evicted: u64,
    evicted_through: u64,
    garbage: Garbage<Record<P>>,
}

impl<P> Default for After<P> {
    fn default() -> Self {
        Self { taken: Taken::default(), evicted: 0, evicted_through: 0, garbage: Garbage::default() }
    }
}

impl<P> Core<P> {
    pub(super) fn publish(&self, index: u64, mut events: Vec<Event<P>>) -> Result<(), PublishError<P>> {
        for event in &mut events {
            event.stamp(index);
        }
        let count = events.len();
        if count == 0 {
            return self.advance(index).map_err(|kind| PublishError { kind, events });
        }
        let changes = self.changes(&events);
        let bytes = self.hooks.weigher.as_ref().map_or(0, |weigh| events.iter().map(weigh).sum());
        let batch = Arc::new(Published::new(events));

        let mut after = After::default();
        let mut state = self.state.lock();
        let admitted = state.admit(index);
        if admitted.is_ok() {
            state.fence(&changes, &mut after.taken);
            self.append(&mut state, index, Arc::clone(&batch), bytes, &mut after);
        }
        drop(state);
        if let Err(kind) = admitted {
            let events = Arc::into_inner(batch).map(|batch| batch.events).unwrap_or_default();
            return Err(PublishError { kind, events });
        }
        let After { taken, evicted, evicted_through, garbage } = after;
        self.dispatch.wake(taken);
        self.hooks.observe(|observer| observer.on_publish(index, count));
        if evicted > 0 {
            self.hooks.observe(|observer| observer.on_evict(evicted, evicted_through));
        }
        drop(garbage);
        Ok(())
    }

    /// The one order of a publish: room, slot, node positions, names, the end, and then the waiting.
    fn append(&self, state: &mut State<P>, index: u64, batch: Arc<Published<P>>, bytes: u64, after: &mut After<P>) {
        let events = batch.events.len() as u64;
        let cost = Cost { batches: 1, events, bytes };
        let State { appender, interest, gone, counters, .. } = state;
        appender.make_room(cost, |position, record| {
            interest.note_evicted(position, &record.batch.events);
            *gone = record.place.next();
            after.evicted += 1;
            after.evicted_through = record.place.index;
        });
        counters.evicted += after.evicted;

        let position = appender.end();
        let links = interest.link(position, &batch.events);
        let place = if state.next_place.index == index { state.next_place } else { Place::before(index) };
        let record = Record { batch, place, previous: state.last_index, bytes, links };
        appender.write(&self.log, record, &mut after.garbage);
        interest.extend(position);

        state.next_place = place.next();
        state.last_index = index;
        state.floor = Floor::AtLeast(index);
        if !state.pending.is_empty() {
            // Whoever waits for this place or a lower one begins here.
            let later = state.pending.split_off(&state.next_place);
            for station in std::mem::replace(&mut state.pending, later).into_values().flatten() {
                station.owner.begin.set(position);
                after.taken.push(station);
            }
        }
        let mut name = || {
            look_again();
            if state.named_readers > 0 {
                for list in interest.hit_nodes().filter_map(|node| node.lists.named_if_any()) {
                    if list.is_occupied() {
                        list.name(&mut after.taken);
                    }
                }
            }
        };
        if state.named_readers > 0 {
            // A reader that sees the new end must have been told which nodes to look at.
            name();
        }
        self.log.set_latest_index(index);
        appender.reveal(&self.log);
        // A reader that enrolled meanwhile has looked at the nodes, but may not have seen the end.
        name();
        let parked = interest.hit_nodes().map(|node| &node.lists.parked);
        for list in std::iter::once(&self.everyone).chain(parked) {
            if list.is_occupied() {
                list.take(&mut after.taken);
            }
        }
        counters.batches += 1;
        counters.events += events;
        counters.wakeups += after.taken.len();
    }

    /// A batch without events: only the latest index moves.
    fn advance(&self, index: u64) -> Result<(), PublishErrorKind> {
        let mut state = self.state.lock();
        state.admit(index)?;
        state.floor = Floor::AtLeast(index);
        self.log.set_latest_index(index);
        drop(state);
        self.hooks.observe(|observer| observer.on_publish(index, 0));
        Ok(())
    }

    fn changes(&self, events: &[Event<P>]) -> Vec<AccessChange> {
        let mut changes = Vec::new();
        if let Some(authorizer) = &self.hooks.authorizer {
            for event in events {
                authorizer.changes(event, &mut changes);
            }
        }
        changes
    }

    pub(super) fn access_changed(&self, change: AccessChange) {
        let mut taken = Taken::default();
        self.state.lock().fence(&[change], &mut taken);
        taken.wake();
    }

    pub(super) fn tick(&self) {
        let now = self.hooks.clock.now();
        let expired = self.state.lock().registry.expire(now);
        for station in expired {
            station.wake();
        }
    }

    pub(super) fn close(&self) {
        let stations: Vec<Station> = {
            let mut state = self.state.lock();
            state.appender.close(&self.log);
            state.registry.stations().cloned().collect()
        };
        for station in stations {
            station.wake();
        }
        self.dispatch.nudge();
    }

    pub(super) fn reset(&self, index: u64, epoch: Epoch) {
        let mut garbage = Garbage::default();
        let (stations, pending) = {
            let mut state = self.state.lock();
            let stations: Vec<Station> = state.registry.stations().cloned().collect();
            for station in &stations {
                // Before the log is emptied: whoever finds it empty finds the reason.
                station.owner.gate.end(Ending::Reset);
            }
            state.counters.evicted += state.appender.held().batches;
            state.appender.clear(&self.log, &mut garbage);
            self.log.set_latest_index(index);
            state.floor = Floor::Above(index);
            state.gone = Place::past(index);
            state.next_place = Place::past(index);
            state.last_index = index;
            state.epoch = epoch;
            (stations, std::mem::take(&mut state.pending))
        };
        drop(pending);
        for station in stations {
            station.wake();
        }
        drop(garbage);
    }
}
