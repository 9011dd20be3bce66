//! What all handles of one broker share: the log, the lock, and the hooks.
//! Operations are in the files beside this one.
//!
//! # Locks
//!
//! In this order, and no foreign code under any of them:
//! 1. [`Core::state`]: one publisher, subscriber or closer at a time.
//! 2. a node's or the everything list's [`WaitList`];
//! 3. a seat's signal or news, the log's directory, and the dispatchers' queue.
//!
//! Readers take the second and third alone, and only to wait or to cross the log; draining takes the directory's lock
//! once a window. Access checks and the drop of a subscription take the first.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use crate::access::{AccessChange, Authorizer};
use crate::clock::Clock;
use crate::dispatch::Dispatch;
use crate::error::PublishErrorKind;
use crate::event::Event;
use crate::filter::Filter;
use crate::interest::Interest;
use crate::log::{Appender, Log};
use crate::observer::Observer;
use crate::record::Record;
use crate::registry::{Pending, Registry};
use crate::shared::{Lists, Shared, Station};
use crate::stats::BrokerStats;
use crate::sync::Mutex;
use crate::token::{Epoch, Place};
use crate::wait::{Taken, WaitList};

pub(crate) type Weigher<P> = Box<dyn Fn(&Event<P>) -> u64 + Send + Sync>;

pub(crate) struct Core<P> {
    pub(crate) log: Log<Record<P>>,
    /// Readers of everything, while they wait.
    pub(crate) everyone: WaitList<Shared>,
    pub(crate) dispatch: Dispatch<Shared, Record<P>>,
    pub(super) state: Mutex<State<P>>,
    pub(crate) hooks: Hooks<P>,
}

/// The host's own code.
pub(crate) struct Hooks<P> {
    pub(crate) authorizer: Option<Box<dyn Authorizer<P>>>,
    pub(crate) observer: Option<Box<dyn Observer>>,
    /// Set if the buffer is bounded in bytes.
    pub(crate) weigher: Option<Weigher<P>>,
    pub(crate) clock: Box<dyn Clock>,
}

impl<P> Hooks<P> {
    /// Tells the observer, whose panic is its own affair.
    pub(crate) fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            drop(catch_unwind(AssertUnwindSafe(|| tell(&**observer))));
        }
    }
}

/// What may be published next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Floor {
    /// Nothing was published, and no history is missing.
    Free,
    /// The state was restored at this index: the next must be above.
    Above(u64),
    /// The last published index: the next must not be lower.
    AtLeast(u64),
}

/// Everything that is changed under the lock.
pub(super) struct State<P> {
    pub(super) appender: Appender<Record<P>>,
    pub(super) interest: Interest<Lists>,
    pub(super) registry: Registry,
    /// Subscriptions to places that no batch has reached yet.
    pub(super) pending: Pending,
    pub(super) floor: Floor,
    pub(super) epoch: Epoch,
    /// What lies below is past by the host's word, if nothing was published since.
    pub(super) restored: Place,
    /// The place after the last batch.
    pub(super) next_place: Place,
    /// Open readers of everything, and of so many nodes that hits are named to them.
    pub(super) readers_of_all: usize,
    pub(super) named_readers: usize,
    /// Access changes so far. A question that was asked before the last one is asked again.
    pub(super) access_changes: u64,
    /// Questions under way, and the tokens deleted since the first of them was asked.
    pub(super) questions: usize,
    pub(super) deletions: Vec<Arc<str>>,
    pub(super) next_id: u64,
    /// What was asked for last.
    pub(super) last_filter: Weak<Filter>,
    pub(super) counters: Counters,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) batches: u64,
    pub(super) evicted: u64,
    pub(super) wakeups: u64,
}

impl<P> State<P> {
    /// Passes changes through the gates that they concern. The caller wakes `taken`, and until it gives the lock up
    /// makes nothing visible that came with a change before this.
    pub(super) fn fence(&mut self, changes: &[AccessChange], taken: &mut Taken<Shared>) {
        for change in changes {
            self.access_changes += 1;
            if let AccessChange::TokenDeleted(id) = change
                && self.questions > 0
            {
                self.deletions.push(Arc::clone(id));
            }
            self.registry.fence(change, |station| taken.push(Arc::clone(station)));
        }
    }

    /// Whether a batch of this index may be published now.
    pub(super) fn admit(&self, index: u64) -> Result<(), PublishErrorKind> {
        if self.appender.is_closed() {
            return Err(PublishErrorKind::Closed);
        }
        match self.floor {
            Floor::Above(initial) if index <= initial => Err(PublishErrorKind::Past { index, initial }),
            Floor::AtLeast(latest) if index < latest => Err(PublishErrorKind::Falling { index, latest }),
            _ => Ok(()),
        }
    }

    pub(super) fn latest_index(&self) -> u64 {
        match self.floor {
            Floor::Free => 0,
            Floor::Above(index) | Floor::AtLeast(index) => index,
        }
    }

    /// What lies below has been evicted, or is past by the host's word.
    pub(super) fn gone(&self) -> Place {
        self.appender.get(self.appender.oldest()).map_or(self.restored, |record| record.after)
    }

    /// The index of the oldest batch in reach.
    pub(super) fn oldest_index(&self) -> Option<u64> {
        self.appender.get(self.appender.oldest()).map(|record| record.place.index)
    }
}

impl<P> Core<P> {
    pub(super) fn stations(&self) -> Vec<Station> {
        self.state.lock().registry.stations().cloned().collect()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state.lock().epoch
    }

    pub(super) fn has_interest(&self, event: &Event<()>) -> bool {
        let state = self.state.lock();
        state.readers_of_all > 0 || state.interest.is_hit_by(event)
    }

    pub(super) fn stats(&self) -> BrokerStats {
        let state = self.state.lock();
        let held = state.appender.held();
        BrokerStats {
            published_batches: state.counters.batches,
            published_events: state.appender.events(),
            evicted_batches: state.counters.evicted,
            buffered_batches: held.batches,
            buffered_events: held.events,
            buffered_bytes: held.bytes,
            oldest_index: state.oldest_index(),
            latest_index: state.latest_index(),
            subscriptions: state.registry.len() as u64,
            terms: state.interest.len() as u64,
            wakeups: state.counters.wakeups,
        }
    }
}

impl<P> fmt::Debug for Core<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("oldest", &self.log.oldest())
            .field("end", &self.log.end())
            .field("latest_index", &self.log.latest_index())
            .finish_non_exhaustive()
    }
}
