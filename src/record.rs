//! What a slot of the log carries: a batch as it was published, its place, and its links.
//! It is made once, by the publisher, and read by everybody.

use std::sync::Arc;

use crate::event::Event;
#[cfg(feature = "json")]
use crate::frame::FrameCache;
use crate::interest::{Linked, Links};
use crate::log::{Cost, Placed, Weighed};
use crate::token::{Epoch, Place};

/// One slot: all of a batch is behind one pointer, so that a window of slots is few cache lines.
pub(crate) type Record<P> = Arc<Published<P>>;

/// A published batch, shared by the log and by every delivery of it. In this order, so that what every reader looks at
/// lies together: mostly in one cache line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Published<P> {
    pub(crate) events: Vec<Event<P>>,
    /// Its index, and how many batches of that index came before.
    pub(crate) place: Place,
    /// How many events were published before: a run of whole batches is counted by its two ends.
    pub(crate) events_before: u64,
    pub(crate) links: Links,
    #[cfg(feature = "json")]
    pub(crate) frames: FrameCache,
    /// The place after the batch before, which may be evicted: what is past once this is the oldest.
    pub(crate) after: Place,
    pub(crate) bytes: u64,
    pub(crate) epoch: Epoch,
}

impl<P> Weighed for Record<P> {
    fn cost(&self) -> Cost {
        Cost { batches: 1, events: self.events.len() as u64, bytes: self.bytes }
    }

    fn events_before(&self) -> u64 {
        self.events_before
    }
}

impl<P> Placed for Record<P> {
    #[inline]
    fn place(&self) -> Place {
        self.place
    }
}

impl<P> Linked for Record<P> {
    #[inline]
    fn links(&self) -> &Links {
        &self.links
    }
}
