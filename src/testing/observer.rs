//! An observer that records every call.
//! When the broker calls it is described at the hook.

use std::fmt;
use std::sync::Arc;

use crate::sync::Mutex;
use crate::types::error::{Lagged, RecvError};
use crate::types::observer::Observer;
use crate::types::stats::SubscriptionId;

/// One call of an [`Observer`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observed {
    /// [`Observer::on_publish`]: a batch was published, or with no events only the index moved.
    Published {
        /// The index of the batch.
        index: u64,
        /// The number of its events.
        events: usize,
    },
    /// [`Observer::on_evict`]: batches were evicted.
    Evicted {
        /// The number of batches.
        batches: u64,
        /// The index of the last of them.
        through: u64,
    },
    /// [`Observer::on_subscribe`]: a subscription was opened.
    Subscribed(SubscriptionId),
    /// [`Observer::on_lag`]: a reader received a report of a loss.
    Lagged(SubscriptionId, Lagged),
    /// [`Observer::on_end`]: a subscription ended, with what its reader received, or was dropped before an end.
    Ended(SubscriptionId, Option<RecvError>),
}

/// The number of calls since the observer was created, and the sums of what they said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedCounts {
    /// The number of publishes, those without events included.
    pub published: u64,
    /// The number of published events.
    pub events: u64,
    /// The number of evicted batches.
    pub evicted: u64,
    /// The number of subscriptions that were opened.
    pub subscribed: u64,
    /// The number of losses that were reported.
    pub lagged: u64,
    /// The number of batches that those losses name.
    pub missed: u64,
    /// The number of subscriptions that ended or were dropped.
    pub ended: u64,
}

impl ObservedCounts {
    fn add(&mut self, call: &Observed) {
        match call {
            Observed::Published { events, .. } => {
                self.published += 1;
                self.events += *events as u64;
            }
            Observed::Evicted { batches, .. } => self.evicted += batches,
            Observed::Subscribed(_) => self.subscribed += 1,
            Observed::Lagged(_, lagged) => {
                self.lagged += 1;
                self.missed += lagged.missed;
            }
            Observed::Ended(..) => self.ended += 1,
        }
    }
}

/// An [`Observer`] that records every call, in the order in which the calls were made. Clones share the record.
///
/// ```
/// use event_broker::testing::{Observed, RecordingObserver};
/// use event_broker::{Broker, Event, RecvError, Request};
///
/// let observer = RecordingObserver::new();
/// let broker = Broker::<u32>::builder().max_batches(1).observer(observer.clone()).build()?;
/// let mut reader = broker.subscribe(Request::new())?;
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
/// broker.publish(8, [Event::new("Job", "JobRegistered", "web", 2)])?;
/// assert_eq!(observer.take(), [
///     Observed::Subscribed(reader.id()),
///     Observed::Published { index: 7, events: 1 },
///     Observed::Published { index: 8, events: 1 },
///     Observed::Evicted { batches: 1, through: 7 },
/// ]);
///
/// let Err(RecvError::Lagged(lagged)) = reader.recv() else { panic!("index 7 is gone") };
/// assert_eq!(observer.take(), [
///     Observed::Lagged(reader.id(), lagged.clone()),
///     Observed::Ended(reader.id(), Some(RecvError::Lagged(lagged))), // by its policy
/// ]);
/// assert_eq!((observer.counts().published, observer.counts().missed), (2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct RecordingObserver(Arc<Record>);

struct Record(Mutex<(Vec<Observed>, ObservedCounts)>);

impl Default for Record {
    fn default() -> Self {
        Self(Mutex::new((Vec::new(), ObservedCounts::default())))
    }
}

impl RecordingObserver {
    /// Creates an observer that has recorded nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the calls since the last call of this method, and forgets them.
    pub fn take(&self) -> Vec<Observed> {
        std::mem::take(&mut self.0.0.lock().0)
    }

    /// Returns the counts since the observer was created, whatever was taken.
    pub fn counts(&self) -> ObservedCounts {
        self.0.0.lock().1
    }

    fn record(&self, call: Observed) {
        let (calls, counts) = &mut *self.0.0.lock();
        counts.add(&call);
        calls.push(call);
    }
}

impl Observer for RecordingObserver {
    fn on_publish(&self, index: u64, events: usize) {
        self.record(Observed::Published { index, events });
    }

    fn on_evict(&self, batches: u64, through: u64) {
        self.record(Observed::Evicted { batches, through });
    }

    fn on_subscribe(&self, id: SubscriptionId) {
        self.record(Observed::Subscribed(id));
    }

    fn on_lag(&self, id: SubscriptionId, lagged: &Lagged) {
        self.record(Observed::Lagged(id, lagged.clone()));
    }

    fn on_end(&self, id: SubscriptionId, end: Option<&RecvError>) {
        self.record(Observed::Ended(id, end.cloned()));
    }
}

impl fmt::Debug for RecordingObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingObserver").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;
    use crate::broker::Broker;
    use crate::types::event::Event;
    use crate::types::request::{LagPolicy, Request};
    use crate::types::start::Start;

    #[test]
    fn losses_and_ends_are_recorded_and_counted() {
        let observer = RecordingObserver::new();
        let broker = Broker::builder().max_batches(2).observer(observer.clone()).build().expect("two are enough");
        let request = || Request::new().start(Start::Latest).lag_policy(LagPolicy::Continue);
        let mut slow = broker.subscribe(request()).expect("everything is allowed");
        let dropped = broker.subscribe(request()).expect("everything is allowed").id();
        for index in 1..=5 {
            broker
                .publish(index, [Event::new("Job", "JobRegistered", "web", ()), Event::new("Job", "", "", ())])
                .expect("rising");
        }
        broker.publish(9, []).expect("rising");
        let Err(RecvError::Lagged(lagged)) = slow.recv() else { panic!("three of five are gone") };
        let calls = observer.take();
        assert_eq!(
            calls.get(..3),
            Some(&[Observed::Subscribed(slow.id()), Observed::Subscribed(dropped), Observed::Ended(dropped, None)][..])
        );
        let is_publish = |call: &&Observed| matches!(call, Observed::Published { .. });
        assert_eq!(calls.iter().rfind(is_publish), Some(&Observed::Published { index: 9, events: 0 }));
        assert_eq!(calls.last(), Some(&Observed::Lagged(slow.id(), lagged)));
        let counts =
            ObservedCounts { published: 6, events: 10, evicted: 3, subscribed: 2, lagged: 1, missed: 3, ended: 1 };
        assert_eq!((observer.counts(), observer.take()), (counts, vec![]));
    }
}
