//! What a broker consists of, the hooks of its host, and the lock order.
//! Operations that change it are in the files beside this one.
//!
//! Invariants:
//! - An index is admitted by [`NextIndexBound`], which every publish, reset and skip sets.
//! - `restored_place` is the place below which the host declared everything past. It is read while the log is empty.
//! - `skipped_at` is the end of the log at the last skip. It decides about readers that have left, whose gates report
//!   no skip.
//!
//! # Locks
//!
//! They are taken in this order, and no foreign code runs under any of them:
//! 1. [`Core::state`]. Only one publisher, subscriber or closer holds it at a time. A thread that does not publish
//!    takes the turn of [`PacedMutex`] before it.
//! 2. The [`WaitList`] of a node, or that of unfiltered readers.
//! 3. The signal or the hit queue of a waiter, the directory of the log, one of its copies, the queue of the
//!    dispatchers, and the list of a recorder of the test kit.
//!
//! A reader is *unfiltered* if it asks for all events and so has no nodes.
//!
//! Readers take the second and third kind alone, and only to wait, or when the directory that they have read last has
//! changed. Access checks, tokens, losses by a skip and the drop of a subscription take the first,
//! and so does a reader that encodes more than a bound in bytes allows. `Core::last_filter` is taken alone.
//!
//! Callers: `core` changes the state under the lock; `broker` builds it and reads it through [`Core`]; `subscription`
//! uses the log and the hooks without the lock.

use std::fmt;
use std::sync::{Arc, Weak};

use ahash::RandomState;

use super::decisions::PendingDecisions;
use super::lock::PacedMutex;
use super::next_index::NextIndexBound;
use super::record::PublishedBatch;
use super::registry::{PendingStarts, Registry};
use super::shared::{Lists, SubscriptionShared, Waiter};
use crate::access::{AccessChange, Authorizer};
use crate::interest::{Filter, Interest, KeyHasher};
use crate::log::{Appender, Log};
use crate::panics::ignore_panic;
use crate::sync::Mutex;
use crate::types::clock::Clock;
use crate::types::error::PublishErrorKind;
use crate::types::event::Event;
use crate::types::observer::Observer;
use crate::types::position::Position;
use crate::types::stats::BrokerStats;
use crate::types::token::{Epoch, Place, Token};
use crate::wait::{Dispatch, MANY_PARTS, WaitList};

/// The most subscriptions that one step ends or lists before it releases the lock to others.
pub(crate) const MAX_PER_STEP: usize = 256;

/// A batch in the log of a broker.
pub(crate) type Published<P> = PublishedBatch<P, Core<P>>;

/// One slot. All of a batch is behind one pointer, so that a window of slots takes few cache lines.
pub(crate) type Record<P> = Arc<Published<P>>;

/// The host's function that returns how many bytes an event counts for.
pub(crate) type Weigher<P> = Box<dyn Fn(&Event<P>) -> u64 + Send + Sync>;

/// What all handles of one broker share.
pub(crate) struct Core<P> {
    pub(crate) log: Log<Record<P>>,
    /// The unfiltered readers that wait.
    pub(crate) unfiltered: WaitList<SubscriptionShared, MANY_PARTS>,
    pub(crate) dispatch: Dispatch<SubscriptionShared, Record<P>>,
    pub(crate) state: PacedMutex<State<P>>,
    /// The filter of the last subscription, which the next one shares if its request is equal.
    pub(crate) last_filter: Mutex<Weak<Filter>>,
    /// Hashes wide scopes. Seeded, because clients choose what is hashed.
    pub(crate) hasher: RandomState,
    /// Hashes the keys of nodes.
    pub(crate) keys: KeyHasher,
    pub(crate) hooks: Hooks<P>,
    /// Reference to this core for batches whose cached bytes are charged. Dangling if bytes are not bounded.
    #[cfg(any(feature = "json", all(broker_loom, test)))]
    pub(crate) weak_self: Weak<Self>,
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
    /// Calls the observer, if there is one. A panic of the observer is caught.
    pub(crate) fn observe(&self, call: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            ignore_panic(|| call(&**observer));
        }
    }
}

/// Everything that is changed under the lock.
pub(crate) struct State<P> {
    pub(crate) appender: Appender<Record<P>>,
    pub(crate) interest: Interest<Lists>,
    pub(crate) registry: Registry,
    /// Subscriptions to places that no batch has reached yet.
    pub(crate) pending_starts: PendingStarts,
    pub(crate) index_bound: NextIndexBound,
    pub(crate) epoch: Epoch,
    /// Whether an index has at most one batch.
    pub(crate) rising: bool,
    /// The place below which the host declared everything past. Read while the log is empty.
    pub(crate) restored_place: Place,
    /// The end of the log when a part of the history was last skipped.
    pub(crate) skipped_at: Option<Position>,
    /// The place after the last batch.
    pub(crate) next_place: Place,
    /// The number of open readers that are unfiltered.
    pub(crate) unfiltered_readers: usize,
    /// The number of open readers that have a hit queue, because they have many nodes.
    pub(crate) hit_queue_readers: usize,
    /// Decisions of the authorizer that are pending, and what changed since they began.
    pub(crate) decisions: PendingDecisions,
    pub(crate) next_id: u64,
    pub(crate) counters: BrokerCounters,
    /// The recorders of tests.
    #[cfg(feature = "testing")]
    pub(crate) taps: Vec<Arc<super::tap::Tap<Record<P>>>>,
}

/// What the broker counts under its lock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerCounters {
    pub(crate) batches: u64,
    pub(crate) evicted: u64,
    pub(crate) wakeups: u64,
}

impl<P> State<P> {
    /// Sets access changes on the gates of the subscriptions that they concern. Calls `wake` with each subscription
    /// that is to be woken, once for each change.
    ///
    /// This is the fence: before it returns, the caller must not make anything visible that came with a change. See
    /// [`Gate`](crate::access::Gate).
    pub(crate) fn fence(&mut self, changes: &[AccessChange], mut wake: impl FnMut(&Waiter)) {
        for change in changes {
            self.decisions.record(change);
            // A change that the authorizer makes to the token it decides about wakes no reader; access is still
            // rechecked at the next read. Otherwise two readers of one token would wake each other for ever if the
            // authorizer records each use of the token.
            let quiet = self.decisions.is_own_change(change);
            self.registry.fence(change, quiet, &mut wake);
        }
    }

    /// Checks whether a batch of this index may be published now. `epoch` is the history that the publisher expects, if
    /// it names one.
    pub(crate) fn admit(&self, index: u64, epoch: Option<Epoch>) -> Result<(), PublishErrorKind> {
        if self.appender.is_closed() {
            return Err(PublishErrorKind::Closed);
        }
        if let Some(epoch) = epoch.filter(|epoch| *epoch != self.epoch) {
            return Err(PublishErrorKind::OtherEpoch { epoch, current: self.epoch });
        }
        match self.index_bound {
            NextIndexBound::Published(latest) | NextIndexBound::Above(latest) if index == latest && self.rising => {
                Err(PublishErrorKind::Repeated { index })
            }
            NextIndexBound::Above(initial) if index <= initial => Err(PublishErrorKind::Past { index, initial }),
            NextIndexBound::AtLeast(latest) | NextIndexBound::Published(latest) if index < latest => {
                Err(PublishErrorKind::Falling { index, latest })
            }
            _ => Ok(()),
        }
    }

    /// Returns the place of the next batch of this index, which must have been [admitted](Self::admit).
    pub(crate) fn place_of_next(&self, index: u64) -> Result<Place, PublishErrorKind> {
        if self.next_place.index != index {
            Ok(Place::before(index))
        } else if self.next_place.is_last() {
            Err(PublishErrorKind::Full { index })
        } else {
            Ok(self.next_place)
        }
    }

    pub(crate) fn latest_index(&self) -> u64 {
        self.index_bound.latest_index()
    }

    /// Returns the earliest place that the next batch can have: the place after the last batch, or where a batch
    /// without events has moved it.
    pub(crate) fn earliest_next_place(&self) -> Place {
        self.next_place.max(Place::before(self.index_bound.finished_below(self.rising)))
    }

    /// Returns whether the oldest batch is the first of its index, or there is none.
    pub(crate) fn oldest_is_whole(&self) -> bool {
        self.appender.get(self.appender.oldest()).is_none_or(|record| record.place.count == 0)
    }

    /// Returns the place below which everything is lost: evicted, or declared past by the host.
    pub(crate) fn lost_below(&self) -> Place {
        self.appender.get(self.appender.oldest()).map_or(self.restored_place, |record| record.previous_end)
    }

    /// Returns the index of the oldest batch in reach.
    pub(crate) fn oldest_index(&self) -> Option<u64> {
        self.appender.get(self.appender.oldest()).map(|record| record.place.index)
    }
}

impl<P> Core<P> {
    /// Returns all subscriptions in the order in which they were opened. Releases the lock after every
    /// [`MAX_PER_STEP`].
    pub(crate) fn subscriptions(&self) -> Vec<Waiter> {
        let mut subscriptions = Vec::new();
        let mut after = 0;
        while let Some(last) =
            self.state.lock_step().registry.subscriptions_after(after, MAX_PER_STEP, &mut subscriptions)
        {
            after = last;
        }
        subscriptions
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.state.lock_priority().epoch
    }

    /// Returns the token of the place after the last batch.
    pub(crate) fn token(&self) -> Token {
        let state = self.state.lock_priority();
        Token::new(state.epoch, state.next_place)
    }

    /// Returns whether an open subscription asks for such an event. This is a hint: it may change at once.
    pub(crate) fn has_interest(&self, event: &Event<()>) -> bool {
        let state = self.state.lock_priority();
        state.unfiltered_readers > 0 || state.interest.is_hit_by(event)
    }

    pub(crate) fn stats(&self) -> BrokerStats {
        let state = self.state.lock_priority();
        let (buffered_batches, buffered_events) = state.appender.buffered();
        BrokerStats {
            published_batches: state.counters.batches,
            published_events: state.appender.events(),
            evicted_batches: state.counters.evicted,
            buffered_batches,
            buffered_events,
            buffered_bytes: self.log.buffered_bytes(),
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
