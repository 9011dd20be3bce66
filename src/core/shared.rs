//! What a subscription shares with its handles, its nodes and the broker.
//! What only its reader touches lives in `subscription`.
//!
//! Invariants:
//! - The counters have one writer, the reader. So an addition is a load and a store.
//! - A pending start is set before the end that shows its batch.
//! - The nodes are sorted by id, and do not change.
//!
//! Callers: the reader in `subscription` writes the counters without a lock, `core` sets pending starts under the
//! broker's lock, and handles read all of it.

use std::sync::Arc;

use crate::access::Gate;
use crate::interest;
use crate::interest::Filter;
use crate::steps::{Step, count};
use crate::sync::{AtomicU64, Ordering, Slot};
use crate::types::position::Position;
use crate::types::small_list::SmallList;
use crate::types::token::{Epoch, Place};
use crate::wait::{self, WaitList};

/// The waiter of a subscription.
pub(crate) type Waiter = Arc<wait::Waiter<SubscriptionShared>>;

/// A node with the wait lists of its readers.
pub(crate) type Node = interest::Node<Lists>;

/// The most nodes of which a reader polls each, and waits at each. A reader of more nodes has a hit queue instead.
pub(crate) const MAX_POLLED_NODES: usize = 8;

/// The list of a node's readers of many nodes. They stay registered until a hit takes them, and so the list is not
/// striped.
type HitQueueList = WaitList<SubscriptionShared, 0>;

/// The readers that wait for a node.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Readers of few nodes that wait: threads, tasks and doorbells.
    pub(crate) waiting: WaitList<SubscriptionShared>,
    /// Readers of many nodes whose hit queue gets this node when it is hit.
    hit_queues: Slot<Box<HitQueueList>>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { waiting: WaitList::default(), hit_queues: Slot::new() }
    }
}

impl Lists {
    /// Returns the list of the readers whose hit queue gets this node when it is hit.
    pub(crate) fn hit_queues(&self) -> &HitQueueList {
        if self.hit_queues.get().is_none() {
            // If another reader was faster, its list is there now.
            let _ = self.hit_queues.set(Box::default());
        }
        self.hit_queues.get().expect("it was set")
    }

    /// Returns the same list, if a reader ever used it.
    pub(crate) fn hit_queues_if_any(&self) -> Option<&HitQueueList> {
        self.hit_queues.get().map(|list| &**list)
    }
}

/// The part of a subscription that is shared.
#[derive(Debug)]
pub(crate) struct SubscriptionShared {
    pub(crate) id: u64,
    /// The history that the reader reads.
    pub(crate) epoch: Epoch,
    /// The public id of the principal. `None` for the anonymous one. Boxed, because most readers may be anonymous.
    pub(crate) principal: Option<Box<Arc<str>>>,
    pub(crate) filter: Arc<Filter>,
    pub(crate) gate: Gate,
    /// Set if the start was not reached when the subscription was opened.
    pub(crate) pending_start: Option<Box<PendingStart>>,
    pub(crate) counters: ReaderCounters,
    /// The reader's position when the subscription was opened, if its start was reached by then.
    pub(crate) opened: Position,
    /// Sorted by id. Empty for a reader of everything.
    pub(crate) nodes: SmallList<Arc<Node>>,
}

impl SubscriptionShared {
    /// Returns whether something that the reader asked for was evicted from `cursor..oldest`, or may have been: a node
    /// that was hit since `cursor` does not record how often.
    pub(crate) fn has_lost(&self, cursor: Position, oldest: Position) -> bool {
        count(Step::Poll, self.nodes.len());
        let lost = |node: &Arc<Node>| node.chain.end() > cursor || node.has_evicted(cursor, oldest);
        self.nodes.is_empty() || self.nodes.iter().any(lost)
    }

    /// Returns the place that the reader waits for, if it was not reached yet.
    pub(crate) fn pending_place(&self) -> Option<Place> {
        self.pending_start.as_ref().filter(|start| start.get().is_none()).map(|start| start.place)
    }

    /// Sets the position at which the reader begins, if it waits for its place.
    pub(crate) fn start_at(&self, position: Position) {
        if let Some(start) = &self.pending_start {
            start.set(position);
        }
    }

    /// Returns the reader's position as of its last read, in a log that reaches from `oldest` to `end`.
    pub(crate) fn cursor(&self, oldest: Position, end: Position) -> Position {
        match Position(self.counters.cursor.load(Ordering::Relaxed)) {
            ReaderCounters::PENDING => self.pending_start.as_ref().and_then(|start| start.get()).unwrap_or(end),
            Position(word) if word & ReaderCounters::ELASTIC != 0 => {
                oldest.min(Position(word & !ReaderCounters::ELASTIC))
            }
            cursor => cursor,
        }
    }

    /// Returns the position of a resume token: that of [`cursor`](Self::cursor), but an elastic start stays where it
    /// was opened until something is passed. So a token does not hide what was evicted meanwhile.
    pub(crate) fn resume_position(&self, end: Position) -> Position {
        self.cursor(Position::ZERO, end).max(self.opened)
    }
}

/// The start of a subscription whose place was not reached when it was opened.
#[derive(Debug)]
pub(crate) struct PendingStart {
    /// The place that the reader waits for.
    pub(crate) place: Place,
    position: AtomicU64,
}

impl PendingStart {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, position: AtomicU64::new(u64::MAX) }
    }

    /// Sets the position, before it becomes visible. Release, with the Acquire of [`get`](Self::get).
    pub(crate) fn set(&self, position: Position) {
        self.position.store(position.0, Ordering::Release);
    }

    /// Returns the position, once the place was reached. Acquire, with the Release of [`set`](Self::set).
    #[inline]
    pub(crate) fn get(&self) -> Option<Position> {
        match self.position.load(Ordering::Acquire) {
            u64::MAX => None,
            position => Some(Position(position)),
        }
    }
}

/// Counters that only the reader writes, once a read or window. Others read them for statistics.
#[derive(Debug)]
pub(crate) struct ReaderCounters {
    cursor: AtomicU64,
    batches: AtomicU64,
    events: AtomicU64,
    missed: AtomicU64,
}

/// What was read in one call or window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadCounts {
    pub(crate) batches: u64,
    pub(crate) events: u64,
}

impl ReaderCounters {
    /// The cursor of a subscription whose start was not reached yet.
    pub(crate) const PENDING: Position = Position(u64::MAX);
    /// The bit that is set in the cursor of an elastic start until the reader begins. It begins at the oldest batch,
    /// but no later than the position in the other bits.
    const ELASTIC: u64 = 1 << 63;

    pub(crate) fn new() -> Self {
        let [cursor, batches, events, missed] = [const { 0 }; 4].map(AtomicU64::new);
        Self { cursor, batches, events, missed }
    }

    // Relaxed throughout: these are statistics. Each has one writer, so a load and a store make an addition.

    #[inline]
    pub(crate) fn add(&self, counts: ReadCounts) {
        let add = |counter: &AtomicU64, n| counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        add(&self.batches, counts.batches);
        add(&self.events, counts.events);
    }

    #[inline]
    pub(crate) fn add_missed(&self, missed: u64) {
        self.missed.store(self.missed.load(Ordering::Relaxed) + missed, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn set_cursor(&self, cursor: Position) {
        self.cursor.store(cursor.0, Ordering::Relaxed);
    }

    pub(crate) fn set_elastic(&self, end: Position) {
        self.cursor.store(Self::ELASTIC | end.0, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> ReadCounts {
        ReadCounts { batches: self.batches.load(Ordering::Relaxed), events: self.events.load(Ordering::Relaxed) }
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}
