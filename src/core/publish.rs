//! Publishing, and everything else that changes what readers see: closing, resetting, fencing, expiring.
//! What readers do about it is in the subscription.

use std::collections::HashSet;
use std::sync::Arc;

#[cfg(any(feature = "json", all(broker_loom, test)))]
use super::account::Buffer;
use super::account::Home;
use super::record::{Events, PublishedBatch};
use super::shared::{Node, Shared, Station};
use super::state::{AT_ONCE, Core, Floor, Origin, Record, State, Weigher};
use crate::access::AccessChange;
use crate::access::Ending;
#[cfg(feature = "json")]
use crate::frame::FrameCache;
use crate::interest::Hit;
#[cfg(any(feature = "json", all(broker_loom, test)))]
use crate::log::{CachedBytes, Charge};
use crate::log::{Cost, Garbage, HEAVIEST, Log};
#[cfg(any(feature = "json", all(broker_loom, test)))]
use crate::panics::quietly;
use crate::types::error::{PublishError, PublishErrorKind, SkipError};
use crate::types::event::Event;
use crate::types::token::{Epoch, Place, Token};
use crate::wait::{Taken, WaitList, look_again};

/// What is left to do when the lock is gone, in this order: wake, tell, drop.
struct After<P> {
    taken: Option<Taken<Shared>>,
    /// How many subscriptions there are.
    readers: u64,
    evicted: u64,
    evicted_through: u64,
    garbage: Garbage<Record<P>>,
    /// Whether a dispatcher may drop some of it.
    lends: bool,
}

impl<P> After<P> {
    /// Whom to wake: mostly there is nobody, and then nothing is made for them.
    #[cold]
    fn taken(&mut self) -> &mut Taken<Shared> {
        self.taken.get_or_insert_default()
    }
}

impl<P> Default for After<P> {
    fn default() -> Self {
        Self { taken: None, readers: 0, evicted: 0, evicted_through: 0, garbage: Garbage::default(), lends: false }
    }
}

impl<P> Core<P> {
    /// Publishes a batch, if the broker is in this epoch or none is named.
    pub(crate) fn publish(
        &self,
        index: u64,
        epoch: Option<Epoch>,
        events: Vec<Event<P>>,
    ) -> Result<(), PublishError<P>> {
        let mut events = Events::new(events);
        events.stamp(index);
        let count = events.len();
        if count == 0 {
            return self.advance(index, epoch).map_err(|kind| PublishError { kind, events: events.into_inner() });
        }
        events.tighten(self.hooks.weigher.is_some());
        let changes = self.changes(&events);
        let weigh_all = |weigh: &Weigher<P>| events.iter().fold(0_u64, |sum, event| sum.saturating_add(weigh(event)));
        let weight = self.hooks.weigher.as_ref().map_or(0, weigh_all).min(HEAVIEST);

        let mut after = After::default();
        let mut state = self.state.publish();
        let place = match state.admit(index, epoch).and_then(|()| state.place_of_next(index)) {
            Ok(place) => place,
            Err(kind) => {
                drop(state);
                return Err(PublishError { kind, events: events.into_inner() });
            }
        };
        if !changes.is_empty() {
            let taken = after.taken();
            // Once, whatever number of changes concern it: a seat is queued once.
            state.fence(&changes, |station| taken.push(station));
        }
        self.append(&mut state, place, events, weight, &mut after);
        drop(state);

        if let Some(taken) = after.taken.take() {
            let garbage = if after.lends { after.garbage.take_one() } else { None };
            let back = self.dispatch.wake(taken, garbage, after.readers);
            if let Some(back) = back {
                after.garbage.add(back);
            }
        }
        self.hooks.observe(|observer| observer.on_publish(index, count));
        self.observe_evicted(&after);
        after.garbage.discard();
        Ok(())
    }

    fn observe_evicted(&self, after: &After<P>) {
        if after.evicted > 0 {
            self.hooks.observe(|observer| observer.on_evict(after.evicted, after.evicted_through));
        }
    }

    /// The one order of a publish: room, slot, node positions, names, the end, and then the waiting. The links come
    /// before all of it: room must be made for them, too.
    fn append(&self, state: &mut State<P>, place: Place, events: Events<P>, weight: u64, after: &mut After<P>) {
        let count = events.len() as u64;
        let State { appender, interest, counters, pending, next_place, floor, .. } = state;
        let position = appender.end();
        let (epoch, events_before, last) = (state.epoch, appender.events(), *next_place);
        #[cfg(any(feature = "json", all(broker_loom, test)))]
        let home = Home::new(self.itself.clone());
        #[cfg(not(any(feature = "json", all(broker_loom, test))))]
        let home = Home::none();
        let mut hit = Hit::new();
        let record = interest.link(position, events, &mut hit, |events, links| {
            Arc::new(PublishedBatch {
                place,
                events,
                events_before,
                links,
                after: last,
                weight,
                epoch,
                #[cfg(feature = "json")]
                frames: FrameCache::new(),
                #[cfg(any(feature = "json", all(broker_loom, test)))]
                cached: CachedBytes::new(),
                home,
            })
        });
        let bytes = if self.hooks.weigher.is_some() { record.bytes() } else { 0 };
        let cost = Cost { batches: 1, events: count, bytes };
        let oldest = appender.oldest();
        let watched = self.hooks.observer.is_some() || interest.notes_evicted(oldest);
        after.evicted = appender.make_room(&self.log, cost, watched, |position, record| {
            interest.note_evicted(position, oldest, &record.events);
            after.evicted_through = record.place.index;
        });
        counters.evicted += after.evicted;
        let lent = self.dispatch.lent();
        after.lends = appender.lends(lent);
        // One of those that this publish gives up may be lent, too.
        appender.write(&self.log, record, cost, lent + u64::from(after.lends), &mut after.garbage);
        hit.extend(position);

        *next_place = place.next();
        *floor = Floor::Published(place.index);
        if !pending.is_empty() {
            // Whoever waits for this place or a lower one begins here.
            while let Some(station) = pending.reach(*next_place) {
                station.owner.begin_at(position);
                after.taken().push(&station);
            }
        }
        if state.named_readers > 0 {
            // A reader that sees the new end must have been told which nodes to look at.
            look_again();
            name(hit.nodes(), after.taken());
        }
        self.log.set_latest_index(place.index);
        appender.reveal(&self.log);
        self.log.finish(place.index);
        if state.named_readers > 0 {
            // A reader that enrolled meanwhile has looked at the nodes, but may not have seen the end.
            name(hit.nodes(), after.taken());
        }
        let mut take = |list: &WaitList<Shared>| {
            if list.is_occupied() {
                list.take(after.taken());
            }
        };
        take(&self.everyone);
        hit.nodes().iter().for_each(|node| take(&node.lists.parked));
        counters.batches += 1;
        if let Some(taken) = &after.taken {
            after.readers = state.registry.len() as u64;
            counters.wakeups += taken.len();
        }
    }

    /// A batch without events: only the latest index moves.
    fn advance(&self, index: u64, epoch: Option<Epoch>) -> Result<(), PublishErrorKind> {
        let mut state = self.state.publish();
        state.admit(index, epoch)?;
        state.floor = Floor::Published(index);
        self.log.set_latest_index(index);
        self.log.finish(index);
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
        without_repeats(changes)
    }

    pub(crate) fn access_changed(&self, change: AccessChange) {
        // Not by a dispatcher, which may be stuck: who announces a change is not in a hurry as a publisher is.
        let mut stations: Vec<Station> = Vec::new();
        self.state.publish().fence(&[change], |station| stations.push(Arc::clone(station)));
        for station in stations {
            station.wake();
        }
    }

    pub(crate) fn tick(&self) {
        let now = self.hooks.clock.now();
        loop {
            let expired = self.state.step().registry.expire(now, AT_ONCE);
            if expired.is_empty() {
                return;
            }
            for station in expired {
                station.wake();
            }
        }
    }

    pub(crate) fn close(&self) {
        let stations: Vec<Station> = {
            let mut state = self.state.publish();
            state.appender.close(&self.log);
            state.registry.stations().cloned().collect()
        };
        for station in stations {
            station.wake();
        }
        self.dispatch.nudge();
    }

    pub(crate) fn reset(&self, index: u64, epoch: Epoch) {
        let mut garbage = Garbage::default();
        let (stations, pending) = {
            let mut state = self.state.publish();
            let stations: Vec<Station> = state.registry.stations().cloned().collect();
            for station in &stations {
                // Before the log is emptied: whoever finds it empty finds the reason.
                station.owner.gate.end(Ending::Reset);
            }
            state.counters.evicted += state.appender.held().0;
            state.appender.clear(&self.log, &mut garbage);
            self.log.set_latest_index(index);
            self.log.finish(index);
            (state.floor, state.next_place) = Origin::Above(index).begin();
            state.restored = state.next_place;
            state.epoch = epoch;
            (stations, std::mem::take(&mut state.pending))
        };
        drop(pending);
        for station in stations {
            station.wake();
        }
        garbage.discard();
    }
}

/// What readers cache beside batches counts in the bytes of the buffer.
#[cfg(any(feature = "json", all(broker_loom, test)))]
impl<P> Buffer for Core<P> {
    fn charge(&self, cached: &CachedBytes, bytes: u64) -> Charge {
        self.log.charge(cached, bytes)
    }

    fn refund(&self, cached: &CachedBytes, bytes: u64) {
        self.log.refund(cached, bytes);
    }

    /// Evicts the oldest batches until the buffer is within its bounds, but never the newest: readers have cached
    /// something beside batches.
    ///
    /// Nobody is woken: whoever waits has passed all there is. What is dropped is foreign code, whose panic is no affair
    /// of the reader that happens to be here: it is caught.
    fn evict_excess(&self) {
        let mut after = After::default();
        self.state.step().evict_excess(&self.log, self.dispatch.lent(), &mut after);
        self.observe_evicted(&after);
        quietly(|| after.garbage.discard());
    }
}

/// Skipping a part of the history.
impl<P> Core<P> {
    pub(crate) fn skip_to(&self, token: Token) -> Result<(), SkipError> {
        let mut garbage = Garbage::default();
        let before = self.state.publish().skip_to(&self.log, token, &mut garbage)?;
        for station in before {
            station.wake();
        }
        garbage.discard();
        Ok(())
    }
}

impl<P> State<P> {
    #[cfg(any(feature = "json", all(broker_loom, test)))]
    fn evict_excess(&mut self, log: &Log<Record<P>>, lent: u64, after: &mut After<P>) {
        let Self { appender, interest, counters, .. } = self;
        let oldest = appender.oldest();
        after.evicted = appender.evict_excess(log, lent, &mut after.garbage, |position, record| {
            interest.note_evicted(position, oldest, &record.events);
            after.evicted_through = record.place.index;
        });
        counters.evicted += after.evicted;
    }

    /// Empties the log, and returns the readers that stand before the place: each is told of its loss by its gate.
    fn skip_to(
        &mut self,
        log: &Log<Record<P>>,
        token: Token,
        garbage: &mut Garbage<Record<P>>,
    ) -> Result<Vec<Station>, SkipError> {
        if self.appender.is_closed() {
            return Err(SkipError::Closed);
        }
        let (epoch, current) = (token.epoch(), self.epoch);
        if epoch != current {
            return Err(SkipError::OtherEpoch { epoch, current });
        }
        let place = if self.rising { token.place().in_rising_history() } else { token.place() };
        let here = self.earliest_next_place();
        if place <= here {
            // Where the last batch ended, or where batches without events have moved that since: nothing lies between.
            let is_whole = token.place().count == 0 && place >= self.next_place;
            let stands_there = token.place() == self.next_place || place == here || is_whole;
            let current = Token::new(current, here);
            return if stands_there { Ok(Vec::new()) } else { Err(SkipError::Behind { token, current }) };
        }
        if token.place() == self.next_place {
            // The last place there is.
            return Ok(Vec::new());
        }
        // Who waits for the place that is skipped to, or a later one, has lost nothing. Everybody else has.
        let end = self.appender.end();
        while let Some(station) = self.pending.reach(place) {
            station.owner.begin_at(end);
        }
        let stands_before = |station: &&Station| station.owner.pending_place().is_none();
        let before: Vec<Station> = self.registry.stations().filter(stands_before).cloned().collect();
        for station in &before {
            // Before the log is emptied: whoever finds it empty finds the reason.
            station.owner.gate.skip();
        }
        self.skipped_at = Some(end);
        self.counters.evicted += self.appender.held().0;
        self.appender.clear(log, garbage);
        (self.floor, self.next_place) = Origin::After(token.place()).begin();
        self.restored = place;
        log.set_latest_index(self.latest_index());
        if let Some(last) = place.index.checked_sub(1) {
            log.finish(last);
        }
        Ok(before)
    }
}

/// The same changes, each once: a batch may hold a thousand events of one policy, and each of them would be passed through
/// the gate of everybody who rests on it.
fn without_repeats(mut changes: Vec<AccessChange>) -> Vec<AccessChange> {
    if changes.len() > 1 {
        let mut seen = HashSet::with_capacity(changes.len());
        changes.retain(|change| seen.insert(change.clone()));
    }
    changes
}

/// Tells the readers of many nodes which were hit.
fn name(nodes: &[&Node], taken: &mut Taken<Shared>) {
    for list in nodes.iter().filter_map(|node| node.lists.named_if_any()) {
        if list.is_occupied() {
            list.name(taken);
        }
    }
}
