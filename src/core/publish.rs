//! Publishing: one batch from its checks to the waking of the readers that it concerns.
//! Other changes of what readers see are in `history` and `announce`, and what readers do about them in `subscription`.
//!
//! Invariants:
//! - No foreign code runs under the lock. The authorizer and the weigher run before it; wake-ups, the observer and
//!   drops run after it.
//! - Access changes are set on the gates before the position that carries them becomes visible.
//! - `Core::append` makes a batch visible in one order, which its documentation gives.
//!
//! Callers: `broker`, without a lock. `evict` uses [`AfterUnlock`] for what it evicts.

use std::sync::Arc;

use super::cache_charge::ChargedBuffer;
use super::next_index::NextIndexBound;
use super::record::{Events, PublishedBatch};
use super::shared::{Node, SubscriptionShared};
use super::state::{Core, Record, State, Weigher};
#[cfg(feature = "json")]
use crate::frame::FrameCache;
use crate::interest::HitNodes;
#[cfg(any(feature = "json", all(broker_loom, test)))]
use crate::log::CachedBytes;
use crate::log::{Cost, Evicted, MAX_BYTES};
use crate::types::error::{PublishError, PublishErrorKind};
use crate::types::event::Event;
use crate::types::token::{Epoch, Place};
use crate::wait::{WakeBatch, seq_cst_fence};

/// What is left to do after the lock is released, in this order: wake, call the observer, drop.
pub(super) struct AfterUnlock<P> {
    wake_batch: Option<WakeBatch<SubscriptionShared>>,
    /// The number of open subscriptions.
    readers: u64,
    pub(super) evicted_batches: u64,
    /// The index of the last batch that was evicted.
    pub(super) evicted_through: u64,
    pub(super) evicted: Evicted<Record<P>>,
    /// Whether a dispatcher may drop one of the evicted batches.
    may_defer: bool,
}

impl<P> AfterUnlock<P> {
    /// Returns the waiters to wake. Mostly there are none, and then nothing is allocated for them.
    #[cold]
    fn wake_batch(&mut self) -> &mut WakeBatch<SubscriptionShared> {
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
            return self.publish_empty(index, epoch).map_err(|kind| PublishError { kind, events: events.into_inner() });
        }
        events.shrink(self.hooks.weigher.is_some());
        let changes = self.access_changes(&events);
        let weigh_all = |weigh: &Weigher<P>| events.iter().fold(0_u64, |sum, event| sum.saturating_add(weigh(event)));
        let weight = self.hooks.weigher.as_ref().map_or(0, weigh_all).min(MAX_BYTES);

        let mut after_unlock = AfterUnlock::default();
        let mut state = self.state.lock_priority();
        let place = match state.admit(index, epoch).and_then(|()| state.place_of_next(index)) {
            Ok(place) => place,
            Err(kind) => {
                drop(state);
                return Err(PublishError { kind, events: events.into_inner() });
            }
        };
        if !changes.is_empty() {
            let wake_batch = after_unlock.wake_batch();
            // A waiter is queued once, whatever number of changes concern it.
            state.fence(&changes, |waiter| wake_batch.push(waiter));
        }
        self.append(&mut state, place, events, weight, &mut after_unlock);
        drop(state);

        if let Some(wake_batch) = after_unlock.wake_batch.take() {
            let evicted = if after_unlock.may_defer { after_unlock.evicted.take_one() } else { None };
            let not_deferred = self.dispatch.wake_or_queue(wake_batch, evicted, after_unlock.readers);
            if let Some(not_deferred) = not_deferred {
                after_unlock.evicted.add(not_deferred);
            }
        }
        self.hooks.observe(|observer| observer.on_publish(index, count));
        self.observe_evicted(&after_unlock);
        after_unlock.evicted.discard();
        Ok(())
    }

    pub(super) fn observe_evicted(&self, after_unlock: &AfterUnlock<P>) {
        if after_unlock.evicted_batches > 0 {
            self.hooks
                .observe(|observer| observer.on_evict(after_unlock.evicted_batches, after_unlock.evicted_through));
        }
    }

    /// Appends a batch, in the order that readers rely on:
    ///
    /// 1. The links are made. They come first, because their bytes count, too.
    /// 2. Room is made by evicting the oldest batches.
    /// 3. The slot is written.
    /// 4. The positions of the hit nodes are set, after the slot that they lead to.
    /// 5. Subscriptions that wait for this place get the position, before it becomes visible.
    /// 6. Hit queues are filled, before the end: a reader that sees the end must know which nodes to visit.
    /// 7. The end moves, and the batch is visible.
    /// 8. Hit queues are filled again, for readers that registered meanwhile.
    /// 9. The waiters are taken, after the end: a reader that registers later sees the end when it reads again.
    fn append(
        &self,
        state: &mut State<P>,
        place: Place,
        events: Events<P>,
        weight: u64,
        after_unlock: &mut AfterUnlock<P>,
    ) {
        let count = events.len() as u64;
        let State { appender, interest, counters, pending_starts, next_place, index_bound, .. } = state;
        let position = appender.end();
        let (epoch, events_before, previous_end) = (state.epoch, appender.events(), *next_place);
        #[cfg(any(feature = "json", all(broker_loom, test)))]
        let buffer = ChargedBuffer::new(self.weak_self.clone());
        #[cfg(not(any(feature = "json", all(broker_loom, test))))]
        let buffer = ChargedBuffer::none();
        let mut hit = HitNodes::new();
        let record = interest.link(position, events, &mut hit, |events, links| {
            Arc::new(PublishedBatch {
                events,
                place,
                events_before,
                links,
                #[cfg(feature = "json")]
                frames: FrameCache::new(),
                previous_end,
                weight,
                epoch,
                #[cfg(any(feature = "json", all(broker_loom, test)))]
                cached: CachedBytes::new(),
                buffer,
            })
        });
        #[cfg(feature = "testing")]
        let tapped = (!state.taps.is_empty()).then(|| Arc::clone(&record));
        let bytes = if self.hooks.weigher.is_some() { record.bytes() } else { 0 };
        let cost = Cost { batches: 1, events: count, bytes };
        let oldest = appender.oldest();
        let visit_evicted = self.hooks.observer.is_some() || interest.records_evictions(oldest);
        after_unlock.evicted_batches = appender.evict_to_fit(&self.log, cost, visit_evicted, |position, record| {
            interest.record_eviction(position, oldest, &record.events);
            after_unlock.evicted_through = record.place.index;
        });
        counters.evicted += after_unlock.evicted_batches;
        let deferred = self.dispatch.deferred_drops();
        after_unlock.may_defer = appender.may_defer(deferred);
        // The batch that this publish may give to a dispatcher counts as a deferred drop, too.
        appender.write(
            &self.log,
            record,
            cost,
            deferred + u64::from(after_unlock.may_defer),
            &mut after_unlock.evicted,
        );
        hit.extend_chains(position);

        *next_place = place.next();
        *index_bound = NextIndexBound::Published(place.index);
        if !pending_starts.is_empty() {
            // Subscriptions that wait for this place or a lower one begin here.
            while let Some(waiter) = pending_starts.pop_reached(*next_place) {
                waiter.shared.start_at(position);
                after_unlock.wake_batch().push(&waiter);
            }
        }
        if state.hit_queue_readers > 0 {
            // A reader that sees the new end must have the hit nodes in its hit queue. The partner is the fence of a
            // reader between registering and loading the last positions of its nodes, in
            // `subscription::cursor::discover`.
            seq_cst_fence();
            queue_hits(hit.nodes(), after_unlock.wake_batch());
        }
        self.log.set_latest_index(place.index);
        appender.make_visible(&self.log);
        self.log.finish(place.index);
        #[cfg(feature = "testing")]
        if let Some(record) = tapped {
            state.taps.iter().for_each(|tap| tap.push(&record));
        }
        if state.hit_queue_readers > 0 {
            // A reader that registered meanwhile has visited the nodes, but may not have seen the end.
            queue_hits(hit.nodes(), after_unlock.wake_batch());
        }
        if self.unfiltered.is_occupied() {
            after_unlock.wake_batch().take(&self.unfiltered);
        }
        for node in hit.nodes().iter().filter(|node| node.lists.waiting.is_occupied()) {
            after_unlock.wake_batch().take(&node.lists.waiting);
        }
        counters.batches += 1;
        if let Some(wake_batch) = &after_unlock.wake_batch {
            after_unlock.readers = state.registry.len() as u64;
            counters.wakeups += wake_batch.len();
        }
    }

    /// Publishes a batch without events: only the latest index moves.
    fn publish_empty(&self, index: u64, epoch: Option<Epoch>) -> Result<(), PublishErrorKind> {
        let mut state = self.state.lock_priority();
        state.admit(index, epoch)?;
        state.index_bound = NextIndexBound::Published(index);
        self.log.set_latest_index(index);
        self.log.finish(index);
        drop(state);
        self.hooks.observe(|observer| observer.on_publish(index, 0));
        Ok(())
    }
}

/// Puts the hit nodes into the hit queues of the readers that are registered there, and adds those readers to
/// `wake_batch`.
fn queue_hits(nodes: &[&Node], wake_batch: &mut WakeBatch<SubscriptionShared>) {
    for list in nodes.iter().filter_map(|node| node.lists.hit_queues_if_any()) {
        if list.is_occupied() {
            wake_batch.queue_hits(list);
        }
    }
}
