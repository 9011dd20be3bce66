//! What a slot of the log holds: a published batch with its place, its links, and what is cached beside it.
//! What a batch matches, and when it is evicted, is decided elsewhere.
//!
//! Invariant: after the publisher has made a record, only `frames` and `cached` change.
//!
//! Callers: `publish` makes records under the broker's lock; readers and the log read them.

// Models build no frames, but charge bytes as frames do. Hence `all(broker_loom, test)` beside the feature.
use std::mem::needs_drop;
use std::ops::Deref;
use std::sync::Arc;
use std::thread::panicking;

use super::cache_charge::ChargedBuffer;
#[cfg(any(feature = "json", all(broker_loom, test)))]
use super::cache_charge::{Buffer, CacheAccount};
#[cfg(feature = "json")]
use crate::frame::FrameCache;
use crate::interest::{Linked, Links};
#[cfg(any(feature = "json", all(broker_loom, test)))]
use crate::log::CachedBytes;
use crate::log::{Cost, Placed, Weighed};
use crate::panics::Panics;
use crate::types::event::Event;
use crate::types::token::{Epoch, Place};

/// A published batch, shared by the log and by every delivery of it. `B` is the buffer that is charged for what is
/// cached beside it.
///
/// The order of the fields puts what every reader loads next to each other, mostly in one cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct PublishedBatch<P, B> {
    pub(crate) events: Events<P>,
    /// The index, and how many batches of that index came before.
    pub(crate) place: Place,
    /// How many events were published before. The events of a run of whole batches are counted by its two ends.
    pub(crate) events_before: u64,
    pub(crate) links: Links,
    #[cfg(feature = "json")]
    pub(crate) frames: FrameCache,
    /// The place after the previous batch, which may be evicted. Everything below it is past once this batch is the
    /// oldest.
    pub(crate) previous_end: Place,
    /// What the weigher returned for the events; 0 if bytes are not bounded.
    pub(crate) weight: u64,
    pub(crate) epoch: Epoch,
    #[cfg(any(feature = "json", all(broker_loom, test)))]
    pub(crate) cached: CachedBytes,
    pub(crate) buffer: ChargedBuffer<B>,
}

impl<P, B> PublishedBatch<P, B> {
    /// Returns what the batch counts for in a bound in bytes when it is published. Nothing is cached beside it by then.
    pub(crate) fn bytes(&self) -> u64 {
        self.weight + self.links.bytes()
    }
}

#[cfg(any(feature = "json", all(broker_loom, test)))]
impl<P, B: Buffer> PublishedBatch<P, B> {
    /// Returns the account that is charged for what is cached beside the batch.
    pub(crate) fn account(&self) -> CacheAccount<'_, B> {
        self.buffer.account(&self.cached)
    }
}

/// The events of a batch, from publishing until the last reader has dropped them.
///
/// Payloads are foreign code, and several of them may panic when they are dropped. So they are dropped one by one.
#[derive(Debug)]
pub(crate) struct Events<P>(Vec<Event<P>>);

impl<P> Events<P> {
    pub(crate) fn new(events: Vec<Event<P>>) -> Self {
        Self(events)
    }

    /// Frees spare capacity, which stays unused. If `exactly`, as where bytes are bounded, it frees all of it.
    /// Otherwise it leaves up to as much as the events take, which is the most that a list has after growing.
    #[inline]
    pub(crate) fn shrink(&mut self, exactly: bool) {
        let spare = self.0.capacity() - self.0.len();
        if spare > if exactly { 0 } else { self.0.len().max(4) } {
            self.0.shrink_to_fit();
        }
    }

    /// Stamps each event with the index of the commit.
    #[inline]
    pub(crate) fn stamp(&mut self, index: u64) {
        match self.0.as_mut_slice() {
            [event] => event.stamp(index),
            events => events.iter_mut().for_each(|event| event.stamp(index)),
        }
    }

    /// Returns the events to their publisher.
    pub(crate) fn into_inner(mut self) -> Vec<Event<P>> {
        std::mem::take(&mut self.0)
    }
}

impl<P> Deref for Events<P> {
    type Target = Vec<Event<P>>;

    #[inline]
    fn deref(&self) -> &Vec<Event<P>> {
        &self.0
    }
}

impl<P> AsRef<[Event<P>]> for Events<P> {
    fn as_ref(&self) -> &[Event<P>] {
        &self.0
    }
}

impl<P> Drop for Events<P> {
    #[inline]
    fn drop(&mut self) {
        // A single drop that panics unwinds as usual, unless the thread is unwinding already.
        if needs_drop::<P>() && (self.0.len() > 1 || panicking()) {
            let (mut panics, events) = (Panics::default(), &mut self.0);
            while !events.is_empty() {
                // Dropped in place, from the last to the first: moving each event out took a third of freeing a batch.
                panics.catch(|| (0..events.len()).rev().for_each(|len| events.truncate(len)));
            }
            panics.resume();
        }
    }
}

impl<P, B> Weighed for Arc<PublishedBatch<P, B>> {
    fn cost(&self) -> Cost {
        #[cfg(any(feature = "json", all(broker_loom, test)))]
        let cached = self.cached.get();
        #[cfg(not(any(feature = "json", all(broker_loom, test))))]
        let cached = 0;
        Cost { batches: 1, events: self.events.len() as u64, bytes: self.bytes() + cached }
    }

    fn close(&self) -> Cost {
        #[cfg(any(feature = "json", all(broker_loom, test)))]
        self.cached.close();
        self.cost()
    }

    fn events_before(&self) -> u64 {
        self.events_before
    }
}

impl<P, B> Placed for Arc<PublishedBatch<P, B>> {
    #[inline]
    fn place(&self) -> Place {
        self.place
    }
}

impl<P, B> Linked for Arc<PublishedBatch<P, B>> {
    #[inline]
    fn links(&self) -> &Links {
        &self.links
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// Spare capacity is memory that no bound counts. Where bytes are not bounded, the capacity of a list that grew is
    /// left alone.
    #[test]
    fn room_for_more_events_is_freed() {
        for (len, capacity, exactly, gives_back) in [
            (1, 4, false, false),
            (1, 4_096, false, true),
            (5, 8, false, false),
            (5, 8, true, true),
            (8, 8, true, false),
        ] {
            let mut list = Vec::with_capacity(capacity);
            list.extend((0..len).map(|n| Event::new("Job", "t", "web", n)));
            let before = list.capacity();
            let mut events = Events::new(list);
            events.shrink(exactly);
            let after = events.into_inner().capacity();
            assert_eq!(after < before, gives_back, "{len} of {capacity}, {exactly}: {after}");
        }
    }
}
