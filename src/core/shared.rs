//! What a subscription shares with its handles, its nodes and the broker.
//! What only its reader touches is in the subscription itself.

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
pub(crate) type Waiter = Arc<wait::Waiter<Shared>>;

/// A node with the lists of those who wait for it.
pub(crate) type Node = interest::Node<Lists>;

/// Up to so many nodes are polled for news and parked at one by one. A reader of more is told which were hit.
pub(crate) const POLLED: usize = 8;

/// Who waits for a node.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Readers of few nodes, while they wait.
    pub(crate) parked: WaitList<Shared>,
    /// Readers of many nodes, since they last looked.
    notified: Slot<Box<WaitList<Shared>>>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { parked: WaitList::default(), notified: Slot::new() }
    }
}

impl Lists {
    /// The list of those who want to be told of a hit.
    pub(crate) fn notified(&self) -> &WaitList<Shared> {
        if self.notified.get().is_none() {
            // Lost to another reader, or not: either way it is there now.
            let _ = self.notified.set(Box::default());
        }
        self.notified.get().expect("it was set")
    }

    /// The same, if anybody ever did.
    pub(crate) fn notified_if_any(&self) -> Option<&WaitList<Shared>> {
        self.notified.get().map(|list| &**list)
    }
}

/// What everybody may know of a subscription.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: u64,
    /// The history that it reads.
    pub(crate) epoch: Epoch,
    /// The public id of whoever asked; none if that is the anonymous principal. Boxed, because most readers may be.
    pub(crate) principal: Option<Box<Arc<str>>>,
    pub(crate) filter: Arc<Filter>,
    pub(crate) gate: Gate,
    /// Of a subscription whose place had not come when it was opened.
    pub(crate) pending_start: Option<Box<PendingStart>>,
    pub(crate) counters: ReaderCounters,
    /// Where the reader stood when the subscription was opened, if its place had come.
    pub(crate) opened: Position,
    /// Sorted by id. Empty for a reader of everything.
    pub(crate) nodes: SmallList<Arc<Node>>,
}

impl Shared {
    /// Whether something from `cursor` to `oldest`, which is gone, was asked for, or may have been: a node that was hit
    /// since does not say how often.
    pub(crate) fn has_lost(&self, cursor: Position, oldest: Position) -> bool {
        count(Step::Poll, self.nodes.len());
        let lost = |node: &Arc<Node>| node.chain.last() > cursor || node.has_evicted(cursor, oldest);
        self.nodes.is_empty() || self.nodes.iter().any(lost)
    }

    /// The place that the reader waits for, if it has not come.
    pub(crate) fn pending_place(&self) -> Option<Place> {
        self.pending_start.as_ref().filter(|start| start.get().is_none()).map(|start| start.place)
    }

    /// Lets the reader begin here, if it waits for its place.
    pub(crate) fn start_at(&self, position: Position) {
        if let Some(start) = &self.pending_start {
            start.set(position);
        }
    }

    /// Where the reader stands in a log that reaches from `oldest` to `end`, as of its last read.
    pub(crate) fn cursor(&self, oldest: Position, end: Position) -> Position {
        match Position(self.counters.cursor.load(Ordering::Relaxed)) {
            ReaderCounters::PENDING => self.pending_start.as_ref().and_then(|start| start.get()).unwrap_or(end),
            Position(word) if word & ReaderCounters::ELASTIC != 0 => {
                oldest.min(Position(word & !ReaderCounters::ELASTIC))
            }
            cursor => cursor,
        }
    }

    /// Where a resume token has the reader stand: as [`cursor`](Self::cursor), but an elastic start stays where it was
    /// opened until something is passed, so that what went of itself is not hidden.
    pub(crate) fn resume_position(&self, end: Position) -> Position {
        self.cursor(Position::ZERO, end).max(self.opened)
    }
}

/// Where a subscription begins whose place had not come when it was opened.
#[derive(Debug)]
pub(crate) struct PendingStart {
    /// The place that it waits for.
    pub(crate) place: Place,
    position: AtomicU64,
}

impl PendingStart {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, position: AtomicU64::new(u64::MAX) }
    }

    /// Set before the position becomes visible.
    pub(crate) fn set(&self, position: Position) {
        self.position.store(position.0, Ordering::Release);
    }

    /// The position, once the place has come. Acquire, with the Release of `set`.
    #[inline]
    pub(crate) fn get(&self) -> Option<Position> {
        match self.position.load(Ordering::Acquire) {
            u64::MAX => None,
            position => Some(Position(position)),
        }
    }
}

/// Counts that the reader alone writes, once a read or window, and others read for statistics.
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
    /// The cursor of a subscription that waits for its place to come.
    pub(crate) const PENDING: Position = Position(u64::MAX);
    /// Marks the cursor of a subscription that has not begun: it will at the oldest batch, but not behind the position
    /// in the other bits.
    const ELASTIC: u64 = 1 << 63;

    pub(crate) fn new() -> Self {
        let [cursor, batches, events, missed] = [const { 0 }; 4].map(AtomicU64::new);
        Self { cursor, batches, events, missed }
    }

    // Relaxed throughout: statistics, with one writer each, so a load and a store make an addition.

    #[inline]
    pub(crate) fn add(&self, counts: ReadCounts) {
        let add = |meter: &AtomicU64, n| meter.store(meter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
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
