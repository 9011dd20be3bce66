//! What a slot of the log carries: a batch as it was published, its place, and its links.
//! It is written once, by the publisher, and read by everybody.

use std::sync::Arc;

use crate::event::Event;
#[cfg(feature = "json")]
use crate::frame::FrameCache;
use crate::interest::{Linked, Links};
use crate::log::{Cost, Placed, Weighed};
use crate::token::{Epoch, Place};

/// A published batch, shared by the log and by every delivery of it.
#[derive(Debug)]
pub(crate) struct Published<P> {
    /// Its index, and how many batches of that index came before.
    pub(crate) place: Place,
    pub(crate) epoch: Epoch,
    pub(crate) events: Vec<Event<P>>,
    #[cfg(feature = "json")]
    pub(crate) frames: FrameCache,
}

impl<P> Published<P> {
    pub(crate) fn new(place: Place, epoch: Epoch, events: Vec<Event<P>>) -> Self {
        Self {
            place,
            epoch,
            events,
            #[cfg(feature = "json")]
            frames: FrameCache::new(),
        }
    }
}

/// One slot.
#[derive(Debug)]
pub(crate) struct Record<P> {
    pub(crate) batch: Arc<Published<P>>,
    /// As the batch has it: searching for an index stays within the segment.
    pub(crate) place: Place,
    /// How many events were published before: a run of whole batches is counted by its two ends.
    pub(crate) events_before: u64,
    /// The index of the batch before, which may be evicted: what a reader that was overtaken is told.
    pub(crate) previous: u64,
    pub(crate) bytes: u64,
    pub(crate) links: Links,
}

impl<P> Weighed for Record<P> {
    fn cost(&self) -> Cost {
        Cost { batches: 1, events: self.batch.events.len() as u64, bytes: self.bytes }
    }
}

impl<P> Placed for Record<P> {
    fn place(&self) -> Place {
        self.place
    }
}

impl<P> Linked for Record<P> {
    fn links(&self) -> &Links {
        &self.links
    }
}
