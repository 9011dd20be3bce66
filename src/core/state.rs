//! What all handles of one broker share: the log, the lock, and the hooks.
//! Operations are in the files beside this one.
//!
//! # Locks
//!
//! In this order, and no foreign code under any of them:
//! 1. [`Core::state`]: one publisher, subscriber or closer at a time, and before it the turn of those who do not publish.
//! 2. a node's or the everything list's [`WaitList`];
//! 3. a waiter's signal or news, the log's directory, and the dispatchers' queue.
//!
//! Readers take the second and third alone, and only to wait or to cross the log; draining takes the directory's lock
//! once a window. Access checks and the drop of a subscription take the first, and so does a reader that encodes more
//! than a bound in bytes allows.

use std::fmt;
use std::sync::{Arc, Weak};

use ahash::RandomState;

use super::lock::Locked;
use super::questions::Questions;
use super::record::PublishedBatch;
use super::registry::{Pending, Registry};
use super::shared::{Lists, Shared, Waiter};
use crate::access::{AccessChange, Authorizer};
use crate::interest::Filter;
use crate::interest::{Interest, KeyHasher};
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
use crate::wait::Dispatch;
use crate::wait::WaitList;

/// So many subscriptions are ended, or listed, before others get a turn at the lock.
pub(crate) const MAX_PER_STEP: usize = 256;

/// A batch in the log of a broker.
pub(crate) type Published<P> = PublishedBatch<P, Core<P>>;

/// One slot: all of a batch is behind one pointer, so that a window of slots is few cache lines.
pub(crate) type Record<P> = Arc<Published<P>>;

pub(crate) type Weigher<P> = Box<dyn Fn(&Event<P>) -> u64 + Send + Sync>;

pub(crate) struct Core<P> {
    pub(crate) log: Log<Record<P>>,
    /// Readers of everything, while they wait.
    pub(crate) everyone: WaitList<Shared>,
    pub(crate) dispatch: Dispatch<Shared, Record<P>>,
    pub(crate) state: Locked<State<P>>,
    /// What was asked for last.
    pub(crate) last_filter: Mutex<Weak<Filter>>,
    /// Of wide scopes. What is hashed comes from strangers: it is seeded.
    pub(crate) hasher: RandomState,
    /// Of the keys of nodes.
    pub(crate) keys: KeyHasher,
    pub(crate) hooks: Hooks<P>,
    /// For batches whose cached bytes count; dangling if bytes are not bounded.
    #[cfg(any(feature = "json", all(broker_loom, test)))]
    pub(crate) itself: Weak<Self>,
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
            ignore_panic(|| tell(&**observer));
        }
    }
}

/// What may be published next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Floor {
    /// Nothing was published, and no history is missing.
    Free,
    /// The state was restored at this index: the next must be above.
    Above(u64),
    /// The last published index: the next must not be lower, and not equal where indexes rise.
    Published(u64),
    /// Everything below this index is past: the next must not be lower.
    From(u64),
}

/// Where the history of a broker begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Origin {
    /// No history is missing.
    #[default]
    Whole,
    /// Everything up to and including this index is past.
    Above(u64),
    /// Everything up to this place is past.
    After(Place),
}

impl Origin {
    /// What may come next, and the place that all before is past.
    pub(crate) fn begin(self) -> (Floor, Place) {
        match self {
            Self::Whole => (Floor::Free, Place::before(0)),
            Self::Above(index) => (Floor::Above(index), Place::after_all_of(index)),
            Self::After(place) if place.count == 0 => (Floor::From(place.index), place),
            Self::After(place) => (Floor::Published(place.index), place),
        }
    }
}

impl Floor {
    /// The latest index, as far as it is known: 0 if nothing was published.
    pub(crate) fn latest_index(self) -> u64 {
        match self {
            Self::Free => 0,
            Self::Above(index) | Self::Published(index) => index,
            Self::From(index) => index.saturating_sub(1),
        }
    }

    /// The index that nothing to come is below.
    pub(crate) fn finished_below(self, rising: bool) -> u64 {
        match self {
            Self::Free => 0,
            Self::From(index) => index,
            Self::Above(index) => index.saturating_add(1),
            Self::Published(index) => index.saturating_add(u64::from(rising)),
        }
    }
}

/// Everything that is changed under the lock.
pub(crate) struct State<P> {
    pub(crate) appender: Appender<Record<P>>,
    pub(crate) interest: Interest<Lists>,
    pub(crate) registry: Registry,
    /// Subscriptions to places that no batch has reached yet.
    pub(crate) pending: Pending,
    pub(crate) floor: Floor,
    pub(crate) epoch: Epoch,
    /// Whether an index carries one batch at most.
    pub(crate) rising: bool,
    /// What lies below is past by the host's word, if nothing was published since.
    pub(crate) restored: Place,
    /// Where the log ended when a part of the history was skipped last.
    pub(crate) skipped_at: Option<Position>,
    /// The place after the last batch.
    pub(crate) next_place: Place,
    /// Open readers of everything, and of so many nodes that hits are named to them.
    pub(crate) readers_of_all: usize,
    pub(crate) notified_readers: usize,
    /// Questions to the authorizer that are under way, and what changed since.
    pub(crate) questions: Questions,
    pub(crate) next_id: u64,
    pub(crate) counters: BrokerCounters,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerCounters {
    pub(crate) batches: u64,
    pub(crate) evicted: u64,
    pub(crate) wakeups: u64,
}

impl<P> State<P> {
    /// Passes changes through the gates that they concern, and shows those that are to be woken to `wake`: once for each
    /// change. Until the caller gives the lock up it makes nothing visible that came with a change before this.
    pub(crate) fn fence(&mut self, changes: &[AccessChange], mut wake: impl FnMut(&Waiter)) {
        for change in changes {
            self.questions.note(change);
            // What the authorizer changes of the token that it is asked about wakes nobody, though access is asked for again
            // at the next read: two readers of one token, for which it is noted each time that it was used, would wake
            // each other for ever.
            let quiet = self.questions.are_about(change);
            self.registry.fence(change, quiet, &mut wake);
        }
    }

    /// Whether a batch of this index may be published now, by somebody who holds the history to be this epoch, if
    /// that is known.
    pub(crate) fn admit(&self, index: u64, epoch: Option<Epoch>) -> Result<(), PublishErrorKind> {
        if self.appender.is_closed() {
            return Err(PublishErrorKind::Closed);
        }
        if let Some(epoch) = epoch.filter(|epoch| *epoch != self.epoch) {
            return Err(PublishErrorKind::OtherEpoch { epoch, current: self.epoch });
        }
        match self.floor {
            Floor::Published(latest) | Floor::Above(latest) if index == latest && self.rising => {
                Err(PublishErrorKind::Repeated { index })
            }
            Floor::Above(initial) if index <= initial => Err(PublishErrorKind::Past { index, initial }),
            Floor::From(latest) | Floor::Published(latest) if index < latest => {
                Err(PublishErrorKind::Falling { index, latest })
            }
            _ => Ok(()),
        }
    }

    /// The place of the next batch of this index, which was [admitted](Self::admit).
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
        self.floor.latest_index()
    }

    /// The place that the next batch cannot be before: that after the last batch, or where a batch without events has
    /// moved it.
    pub(crate) fn earliest_next_place(&self) -> Place {
        self.next_place.max(Place::before(self.floor.finished_below(self.rising)))
    }

    /// Whether the batch at `oldest` is the first of its index.
    pub(crate) fn oldest_is_whole(&self) -> bool {
        self.appender.get(self.appender.oldest()).is_none_or(|record| record.place.count == 0)
    }

    /// What lies below has been evicted, or is past by the host's word.
    pub(crate) fn lost_below(&self) -> Place {
        self.appender.get(self.appender.oldest()).map_or(self.restored, |record| record.after)
    }

    /// The index of the oldest batch in reach.
    pub(crate) fn oldest_index(&self) -> Option<u64> {
        self.appender.get(self.appender.oldest()).map(|record| record.place.index)
    }
}

impl<P> Core<P> {
    /// In the order in which they were opened; the lock is given up now and then.
    pub(crate) fn waiters(&self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        let mut after = 0;
        while let Some(last) = self.state.lock_in_turn().registry.waiters_after(after, MAX_PER_STEP, &mut waiters) {
            after = last;
        }
        waiters
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.state.lock_first().epoch
    }

    pub(crate) fn token(&self) -> Token {
        let state = self.state.lock_first();
        Token::new(state.epoch, state.next_place)
    }

    pub(crate) fn has_interest(&self, event: &Event<()>) -> bool {
        let state = self.state.lock_first();
        state.readers_of_all > 0 || state.interest.is_hit_by(event)
    }

    pub(crate) fn stats(&self) -> BrokerStats {
        let state = self.state.lock_first();
        let (buffered_batches, buffered_events) = state.appender.held();
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
