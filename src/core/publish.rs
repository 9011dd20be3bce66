//! Publishing, and everything else that changes what readers see: closing, resetting, skipping, fencing, expiring.
//! What a reader does about it is decided in `subscription`.
//!
//! Invariants:
//! - No foreign code runs under the lock. The authorizer and the weigher run before it; wake-ups, the observer and
//!   drops run after it.
//! - A change passes through the gates before the position that brought it becomes visible.
//! - `Core::append` makes a batch visible in one order, which its documentation gives.
//!
//! Callers: `broker`, without a lock. `account` evicts through `Buffer` on a reader's thread.

use std::collections::HashSet;
use std::sync::Arc;

#[cfg(any(feature = "json", all(broker_loom, test)))]
use super::account::Buffer;
use super::account::ChargedBuffer;
use super::record::{Events, PublishedBatch};
use super::shared::{Node, Shared, Waiter};
use super::state::{Core, Floor, MAX_PER_STEP, Origin, Record, State, Weigher};
use crate::access::AccessChange;
use crate::access::Ending;
#[cfg(feature = "json")]
use crate::frame::FrameCache;
use crate::interest::Hit;
#[cfg(any(feature = "json", all(broker_loom, test)))]
use crate::log::{CachedBytes, Charge};
use crate::log::{Cost, Evicted, Log, MAX_BYTES};
#[cfg(any(feature = "json", all(broker_loom, test)))]
use crate::panics::ignore_panic;
use crate::types::error::{PublishError, PublishErrorKind, SkipError};
use crate::types::event::Event;
use crate::types::token::{Epoch, Place, Token};
use crate::wait::{WaitList, WakeBatch, seq_cst_fence};

/// What is left to do after the lock is released, in this order: wake, call the observer, drop.
struct AfterUnlock<P> {
    wake_batch: Option<WakeBatch<Shared>>,
    /// The number of open subscriptions.
    readers: u64,
    evicted_batches: u64,
    /// The index of the last batch that was evicted.
    evicted_through: u64,
    evicted: Evicted<Record<P>>,
    /// Whether a dispatcher may drop one of the evicted batches.
    may_defer: bool,
}

impl<P> AfterUnlock<P> {
    /// Returns the waiters to wake. Mostly there are none, and then nothing is allocated for them.
    #[cold]
    fn wake_batch(&mut self) -> &mut WakeBatch<Shared> {
        self.wake_batch.get_or_insert_default()
    }
}

impl<P> Default for AfterUnlock<P> {
    fn default() -> Self {
        Self {
            wake_batch: None,
            readers: 0,
            evicted_batches: 0,
            evicted_through: 0,
            evicted: Evicted::default(),
            may_defer: false,
        }
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
        let changes = self.access_changes(&events);
        let weigh_all = |weigh: &Weigher<P>| events.iter().fold(0_u64, |sum, event| sum.saturating_add(weigh(event)));
        let weight = self.hooks.weigher.as_ref().map_or(0, weigh_all).min(MAX_BYTES);

        let mut after = AfterUnlock::default();
        let mut state = self.state.lock_first();
        let place = match state.admit(index, epoch).and_then(|()| state.place_of_next(index)) {
            Ok(place) => place,
            Err(kind) => {
                drop(state);
                return Err(PublishError { kind, events: events.into_inner() });
            }
        };
        if !changes.is_empty() {
            let wake_batch = after.wake_batch();
            // A waiter is queued once, whatever number of changes concern it.
            state.fence(&changes, |waiter| wake_batch.push(waiter));
        }
        self.append(&mut state, place, events, weight, &mut after);
        drop(state);

        if let Some(wake_batch) = after.wake_batch.take() {
            let evicted = if after.may_defer { after.evicted.take_one() } else { None };
            let back = self.dispatch.wake(wake_batch, evicted, after.readers);
            if let Some(back) = back {
                after.evicted.add(back);
            }
        }
        self.hooks.observe(|observer| observer.on_publish(index, count));
        self.observe_evicted(&after);
        after.evicted.discard();
        Ok(())
    }

    fn observe_evicted(&self, after: &AfterUnlock<P>) {
        if after.evicted_batches > 0 {
            self.hooks.observe(|observer| observer.on_evict(after.evicted_batches, after.evicted_through));
        }
    }

    /// Appends a batch in the one order that is right for readers:
    ///
    /// 1. The links are made. They come first, because room must be made for them, too.
    /// 2. Room is made by giving up the oldest batches.
    /// 3. The slot is written.
    /// 4. The positions of the hit nodes are set, after the slot that they lead to.
    /// 5. Subscriptions that wait for this place get the position, before it becomes visible.
    /// 6. Hit queues are notified, before the end: a reader that sees the end must know which nodes to look at.
    /// 7. The end moves, and the batch is visible.
    /// 8. Hit queues are notified again, for readers that registered meanwhile.
    /// 9. The waiters are taken, after the end: a reader that registers later sees the end when it looks again.
    fn append(&self, state: &mut State<P>, place: Place, events: Events<P>, weight: u64, after: &mut AfterUnlock<P>) {
        let count = events.len() as u64;
        let State { appender, interest, counters, pending, next_place, floor, .. } = state;
        let position = appender.end();
        let (epoch, events_before, last) = (state.epoch, appender.events(), *next_place);
        #[cfg(any(feature = "json", all(broker_loom, test)))]
        let buffer = ChargedBuffer::new(self.itself.clone());
        #[cfg(not(any(feature = "json", all(broker_loom, test))))]
        let buffer = ChargedBuffer::none();
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
                buffer,
            })
        });
        let bytes = if self.hooks.weigher.is_some() { record.bytes() } else { 0 };
        let cost = Cost { batches: 1, events: count, bytes };
        let oldest = appender.oldest();
        let watched = self.hooks.observer.is_some() || interest.notes_evicted(oldest);
        after.evicted_batches = appender.make_room(&self.log, cost, watched, |position, record| {
            interest.note_evicted(position, oldest, &record.events);
            after.evicted_through = record.place.index;
        });
        counters.evicted += after.evicted_batches;
        let deferred = self.dispatch.deferred_drops();
        after.may_defer = appender.may_defer(deferred);
        // The batch that this publish may give to a dispatcher counts as a deferred drop, too.
        appender.write(&self.log, record, cost, deferred + u64::from(after.may_defer), &mut after.evicted);
        hit.extend(position);

        *next_place = place.next();
        *floor = Floor::Published(place.index);
        if !pending.is_empty() {
            // Subscriptions that wait for this place or a lower one begin here.
            while let Some(waiter) = pending.pop_reached(*next_place) {
                waiter.owner.start_at(position);
                after.wake_batch().push(&waiter);
            }
        }
        if state.notified_readers > 0 {
            // A reader that sees the new end must have the hit nodes in its hit queue. The partner is the fence of a
            // reader between registering and looking at its nodes, in `subscription::cursor`.
            seq_cst_fence();
            notify(hit.nodes(), after.wake_batch());
        }
        self.log.set_latest_index(place.index);
        appender.make_visible(&self.log);
        self.log.finish(place.index);
        if state.notified_readers > 0 {
            // A reader that registered meanwhile has looked at the nodes, but may not have seen the end.
            notify(hit.nodes(), after.wake_batch());
        }
        let mut take = |list: &WaitList<Shared>| {
            if list.is_occupied() {
                after.wake_batch().take(list);
            }
        };
        take(&self.everyone);
        hit.nodes().iter().for_each(|node| take(&node.lists.parked));
        counters.batches += 1;
        if let Some(wake_batch) = &after.wake_batch {
            after.readers = state.registry.len() as u64;
            counters.wakeups += wake_batch.len();
        }
    }

    /// Publishes a batch without events: only the latest index moves.
    fn advance(&self, index: u64, epoch: Option<Epoch>) -> Result<(), PublishErrorKind> {
        let mut state = self.state.lock_first();
        state.admit(index, epoch)?;
        state.floor = Floor::Published(index);
        self.log.set_latest_index(index);
        self.log.finish(index);
        drop(state);
        self.hooks.observe(|observer| observer.on_publish(index, 0));
        Ok(())
    }

    /// Returns the access changes that the events bring, each once.
    fn access_changes(&self, events: &[Event<P>]) -> Vec<AccessChange> {
        let mut changes = Vec::new();
        if let Some(authorizer) = &self.hooks.authorizer {
            for event in events {
                authorizer.changes(event, &mut changes);
            }
        }
        without_repeats(changes)
    }

    /// Passes a change through the gates, and wakes the readers that it concerns.
    pub(crate) fn access_changed(&self, change: AccessChange) {
        // They are not left to a dispatcher, which may be stuck: the caller is not in a hurry as a publisher is.
        let mut waiters: Vec<Waiter> = Vec::new();
        self.state.lock_first().fence(&[change], |waiter| waiters.push(Arc::clone(waiter)));
        for waiter in waiters {
            waiter.wake();
        }
    }

    /// Ends the subscriptions whose grant has expired and wakes their readers, some at a time.
    pub(crate) fn tick(&self) {
        let now = self.hooks.clock.now();
        loop {
            let expired = self.state.lock_in_turn().registry.expire(now, MAX_PER_STEP);
            if expired.is_empty() {
                return;
            }
            for waiter in expired {
                waiter.wake();
            }
        }
    }

    /// Closes the log, and wakes all readers and dispatchers.
    pub(crate) fn close(&self) {
        let waiters: Vec<Waiter> = {
            let mut state = self.state.lock_first();
            state.appender.close(&self.log);
            state.registry.waiters().cloned().collect()
        };
        for waiter in waiters {
            waiter.wake();
        }
        self.dispatch.wake_dispatchers();
    }

    /// Ends all subscriptions, empties the log and begins another history above `index`.
    pub(crate) fn reset(&self, index: u64, epoch: Epoch) {
        let mut evicted = Evicted::default();
        let (waiters, pending) = {
            let mut state = self.state.lock_first();
            let waiters: Vec<Waiter> = state.registry.waiters().cloned().collect();
            for waiter in &waiters {
                // Set before the log is emptied: a reader that finds it empty finds the reason.
                waiter.owner.gate.end(Ending::Reset);
            }
            state.counters.evicted += state.appender.held().0;
            state.appender.clear(&self.log, &mut evicted);
            self.log.set_latest_index(index);
            self.log.finish(index);
            (state.floor, state.next_place) = Origin::Above(index).begin();
            state.restored = state.next_place;
            state.epoch = epoch;
            (waiters, std::mem::take(&mut state.pending))
        };
        drop(pending);
        for waiter in waiters {
            waiter.wake();
        }
        evicted.discard();
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

    /// Evicts the oldest batches until the buffer is within its bounds, but never the newest. Called after readers have
    /// cached something beside batches.
    ///
    /// Nobody is woken: a reader that waits has passed everything. Dropping payloads runs foreign code. A panic of it
    /// is caught, because the reader on this thread has nothing to do with it.
    fn evict_excess(&self) {
        let mut after = AfterUnlock::default();
        self.state.lock_in_turn().evict_excess(&self.log, self.dispatch.deferred_drops(), &mut after);
        self.observe_evicted(&after);
        ignore_panic(|| after.evicted.discard());
    }
}

/// Skipping a part of the history.
impl<P> Core<P> {
    pub(crate) fn skip_to(&self, token: Token) -> Result<(), SkipError> {
        let mut evicted = Evicted::default();
        let before = self.state.lock_first().skip_to(&self.log, token, &mut evicted)?;
        for waiter in before {
            waiter.wake();
        }
        evicted.discard();
        Ok(())
    }
}

impl<P> State<P> {
    #[cfg(any(feature = "json", all(broker_loom, test)))]
    fn evict_excess(&mut self, log: &Log<Record<P>>, deferred: u64, after: &mut AfterUnlock<P>) {
        let Self { appender, interest, counters, .. } = self;
        let oldest = appender.oldest();
        after.evicted_batches = appender.evict_excess(log, deferred, &mut after.evicted, |position, record| {
            interest.note_evicted(position, oldest, &record.events);
            after.evicted_through = record.place.index;
        });
        counters.evicted += after.evicted_batches;
    }

    /// Empties the log, and returns the readers that stand before the place. The gate of each reports the skip.
    fn skip_to(
        &mut self,
        log: &Log<Record<P>>,
        token: Token,
        evicted: &mut Evicted<Record<P>>,
    ) -> Result<Vec<Waiter>, SkipError> {
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
            // The token names the place after the last batch, or one that batches without events have moved it to
            // since. Nothing lies between.
            let is_whole = token.place().count == 0 && place >= self.next_place;
            let stands_there = token.place() == self.next_place || place == here || is_whole;
            let current = Token::new(current, here);
            return if stands_there { Ok(Vec::new()) } else { Err(SkipError::Behind { token, current }) };
        }
        if token.place() == self.next_place {
            // The token names the last place there is.
            return Ok(Vec::new());
        }
        // Subscriptions that wait for the place that is skipped to, or a later one, have lost nothing. All others have.
        let end = self.appender.end();
        while let Some(waiter) = self.pending.pop_reached(place) {
            waiter.owner.start_at(end);
        }
        let stands_before = |waiter: &&Waiter| waiter.owner.pending_place().is_none();
        let before: Vec<Waiter> = self.registry.waiters().filter(stands_before).cloned().collect();
        for waiter in &before {
            // Set before the log is emptied: a reader that finds it empty finds the reason.
            waiter.owner.gate.skip();
        }
        self.skipped_at = Some(end);
        self.counters.evicted += self.appender.held().0;
        self.appender.clear(log, evicted);
        (self.floor, self.next_place) = Origin::After(token.place()).begin();
        self.restored = place;
        log.set_latest_index(self.latest_index());
        if let Some(last) = place.index.checked_sub(1) {
            log.finish(last);
        }
        Ok(before)
    }
}

/// Removes repeated changes. A batch may hold a thousand events of one policy, and each of them would pass through the
/// gate of every subscription that rests on it.
fn without_repeats(mut changes: Vec<AccessChange>) -> Vec<AccessChange> {
    if changes.len() > 1 {
        let mut seen = HashSet::with_capacity(changes.len());
        changes.retain(|change| seen.insert(change.clone()));
    }
    changes
}

/// Puts the hit nodes into the hit queues of the readers that are registered there, and adds those readers to
/// `wake_batch`.
fn notify(nodes: &[&Node], wake_batch: &mut WakeBatch<Shared>) {
    for list in nodes.iter().filter_map(|node| node.lists.notified_if_any()) {
        if list.is_occupied() {
            wake_batch.notify(list);
        }
    }
}
