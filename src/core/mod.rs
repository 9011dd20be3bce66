//! The shared state of one broker: its log, index of terms, registry and hooks, and the lock around them.
//! Nothing here is public: `subscription` is the side of a reader, and `broker` the side of the host.
//!
//! # Files, in the order of reading
//!
//! - `state` lists what a broker consists of, and gives the lock order.
//! - `publish` publishes, and does everything else that changes what readers see.
//! - `record` is what a slot of the log holds: a batch with its place and its links.
//! - `shared` is what a subscription shares with its nodes, its handles and the broker.
//! - `open` opens a subscription and leaves it again, with the help of the next three files.
//! - `recheck` calls the authorizer, both for a subscription that is being opened and for one that is open.
//! - `join` joins and leaves the nodes of a subscription.
//! - `start` finds where a start or a cursor lies in the history.
//! - `registry` finds the subscriptions that an access change, an expiry or a new place concerns.
//! - `decisions` records access changes while the authorizer decides.
//! - `lock` is the broker's lock. It lets publishers go first.
//! - `account` charges what is cached beside a batch to the bytes of the buffer.
//!
//! # One publish
//!
//! [`Core::publish`] takes these steps. It holds the lock from step 2 to step 10, and runs no foreign code meanwhile.
//!
//! 1. The events are stamped. The authorizer names the access changes that they bring, and the weigher weighs them. A
//!    batch without events takes a path of its own, `Core::advance`, which moves only the latest index.
//! 2. Checks: the broker is open, it is in the epoch that is named, and the index may follow and has a place left.
//! 3. Fence: the access changes pass through the gates of the subscriptions that they concern.
//! 4. Links: the events are looked up in the index of terms. The nodes that they hit give the links of the record.
//! 5. Room: the oldest batches are given up until the batch fits. Nodes note what they lose.
//! 6. Slot: the record is written. After that, the batches that were given up are out of reach.
//! 7. Node positions: each hit node leads to the batch. Subscriptions that wait for its place get its position.
//! 8. Notify: the hit nodes go into the hit queues of readers of many nodes.
//! 9. End: the latest index moves, then the end, and the batch is visible. Hit queues are notified once more.
//! 10. Wait lists: the waiters of everything and of the hit nodes are taken into a wake batch.
//! 11. Unlock, and then wake: a dispatcher wakes the waiters, or this thread does if none runs.
//! 12. The observer is called, and the evicted batches are dropped.
//!
//! Steps 4 to 10 are `Core::append` in `publish`. Its documentation gives the reasons for their order.
//!
//! # Where things are kept
//!
//! - Lock order: at the top of `state`.
//! - Fence: `State::fence` and `Registry::fence` pass a change through each [`Gate`](crate::access::Gate) that it
//!   concerns. `decisions` records it for decisions that are pending. The reader's side is `recheck_access` in
//!   `subscription`.
//! - Account of losses: nodes note what was evicted of theirs, each record has the place after the batch before it, and
//!   a skip is noted in the gates and in `State::skipped_at`. `Shared::has_lost` and `State::lost_below` read this, and
//!   `report_loss` in `subscription` reports a loss.
//! - Wake-up: the invariants are those of [`wait`](crate::wait). `Core::append` collects the waiters, and
//!   `Core::publish` wakes them after the lock.
//! - Eviction: `Core::append` makes room for a batch, and `account` for bytes that readers cache. The bounds and the
//!   order of the writes are those of [`log`](crate::log).
//!
//! Callers: `broker` and `subscription`, without a lock.

mod account;
mod decisions;
mod join;
mod lock;
mod open;
mod publish;
mod recheck;
mod record;
mod registry;
mod shared;
mod start;
mod state;

pub(crate) use decisions::PendingDecisions;
pub(crate) use lock::Locked;
pub(crate) use open::Opened;
pub(crate) use recheck::{MAX_ATTEMPTS, OnStale, Rechecked, token_deleted};
pub(crate) use registry::{Pending, Registry};
pub(crate) use shared::{MAX_POLLED_NODES, Node, ReadCounts, Shared, Waiter};
pub(crate) use start::{StartPosition, StartVerdict};
pub(crate) use state::{BrokerCounters, Core, Hooks, Origin, Published, Record, State, Weigher};
