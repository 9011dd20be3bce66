//! What a rival's channel carries: a shared batch, or a shared batch that was encoded when it was published.
//!
//! The channels themselves are in `rivals` and `indexed`.

#[cfg(feature = "json")]
use std::ops::Range;
use std::sync::Arc;

use event_broker::Batch;

use super::event::{Event, Item, Payload};

pub(crate) trait Carried: Clone + Send + Sync + 'static {
    /// A batch as it is prepared outside the measured time.
    type Raw: Send + 'static;

    fn prepare(index: u64, events: Vec<Event>) -> Self::Raw;
    /// Makes what is sent, while a batch is published.
    fn wrap(raw: Self::Raw) -> Self;
    fn batch(&self) -> &Batch<Payload>;
}

/// Ready when it is published, which favours the rivals: the crate puts a batch into its log then.
impl Carried for Item {
    type Raw = Self;

    fn prepare(index: u64, events: Vec<Event>) -> Self {
        Arc::new(Batch::new(index, events))
    }

    fn wrap(raw: Self) -> Self {
        raw
    }

    fn batch(&self) -> &Batch<Payload> {
        self
    }
}

/// A batch with its frame, which is encoded once: what an author would build by hand who thinks of it.
#[cfg(feature = "json")]
#[derive(Clone)]
pub(crate) struct Encoded(Arc<Line>);

/// A frame, and where in it each event is.
#[cfg(feature = "json")]
pub(crate) struct Line {
    batch: Batch<Payload>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) events: Vec<Range<usize>>,
}

#[cfg(feature = "json")]
impl Encoded {
    pub(crate) fn line(&self) -> &Line {
        &self.0
    }
}

#[cfg(feature = "json")]
impl Carried for Encoded {
    type Raw = Batch<Payload>;

    fn prepare(index: u64, events: Vec<Event>) -> Batch<Payload> {
        Batch::new(index, events)
    }

    fn wrap(batch: Batch<Payload>) -> Self {
        let mut bytes = super::lines::head(batch.index());
        let mut events = Vec::with_capacity(batch.events().len());
        for (number, event) in batch.events().iter().enumerate() {
            if number > 0 {
                bytes.push(b',');
            }
            let start = bytes.len();
            super::lines::encode(event, &mut bytes);
            events.push(start..bytes.len());
        }
        bytes.extend_from_slice(super::lines::TAIL);
        Self(Arc::new(Line { batch, bytes, events }))
    }

    fn batch(&self) -> &Batch<Payload> {
        &self.0.batch
    }
}
