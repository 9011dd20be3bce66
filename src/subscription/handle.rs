//! Watching or ending a subscription from elsewhere.
//! A handle reads nothing of the stream.

use std::fmt;
use std::sync::Arc;

use crate::broker::Core;
use crate::gate::Ending;
use crate::position::Position;
use crate::shared::{Meters, Station};
use crate::stats::{SubscriptionId, SubscriptionStats};

/// A handle of a subscription, for whoever does not read from it.
///
/// It outlives the subscription, and then does nothing.
///
/// ```
/// use event_broker::{Broker, RecvError, Request};
///
/// let broker = Broker::<()>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// let handle = reader.handle();
/// let blocked = std::thread::spawn(move || reader.recv().unwrap_err());
/// handle.cancel();
/// assert_eq!(blocked.join().unwrap(), RecvError::Cancelled);
/// # Ok::<(), event_broker::SubscribeError>(())
/// ```
pub struct SubscriptionHandle<P> {
    core: Arc<Core<P>>,
    station: Station,
}

impl<P> SubscriptionHandle<P> {
    pub(crate) fn new(core: Arc<Core<P>>, station: Station) -> Self {
        Self { core, station }
    }

    /// The subscription's name within its broker.
    pub fn id(&self) -> SubscriptionId {
        SubscriptionId(self.station.owner.id)
    }

    /// Ends the subscription: its reader gets [`RecvError::Cancelled`](crate::RecvError::Cancelled) from now on, also
    /// from a read that waits.
    pub fn cancel(&self) {
        self.station.owner.gate.end(Ending::Cancelled);
        self.station.wake();
    }

    /// The subscription in numbers.
    pub fn stats(&self) -> SubscriptionStats {
        let meters = &self.station.owner.meters;
        let tally = meters.tally();
        SubscriptionStats {
            batches: tally.batches,
            events: tally.events,
            missed: meters.missed(),
            lag: self.lag(),
            wakeups: self.station.wakeups(),
        }
    }

    fn lag(&self) -> u64 {
        let log = &self.core.log;
        let end = log.end().position;
        let cursor = match self.station.owner.meters.cursor() {
            Meters::PENDING => self.station.owner.begin.get().unwrap_or(end),
            Meters::OLDEST => log.oldest(),
            cursor => cursor,
        };
        let nodes = &self.station.owner.nodes;
        let asked = nodes.is_empty()
            || nodes.iter().any(|node| node.chain.last() > cursor || node.evicted() > cursor)
            || self.scans_to(cursor, end);
        if asked { end.since(cursor) } else { 0 }
    }

    /// Whether something in the part of the log that is older than the nodes was asked for.
    fn scans_to(&self, cursor: Position, end: Position) -> bool {
        let nodes = &self.station.owner.nodes;
        let live_from = nodes.iter().map(|node| node.since()).max().unwrap_or_default().min(end);
        if cursor >= live_from {
            return false;
        }
        let directory = self.core.log.directory();
        let mut position = cursor.max(self.core.log.oldest());
        while position < live_from {
            let events = directory.get(position).map_or(&[][..], |record| &record.events);
            if events.iter().any(|event| self.station.owner.filter.matches(event)) {
                return true;
            }
            position = position.next();
        }
        false
    }
}

impl<P> Clone for SubscriptionHandle<P> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), station: Arc::clone(&self.station) }
    }
}

impl<P> fmt::Debug for SubscriptionHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHandle").field("id", &self.id()).field("stats", &self.stats()).finish()
    }
}
