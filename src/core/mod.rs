//! The shared state of one broker: its log, index of terms, registry and hooks, and the lock around them.
//! Nothing here is public: `subscription` is the side of a reader, and `broker` the side of the host.
//!
//! # Files, in the order of reading
//!
//! - `state` lists what a broker consists of, and gives the lock order.
//! - `next_index` is the bound of the next index, and where a history begins.
//! - `publish` publishes a batch.
//! - `announce` sets access changes on gates, and ends what has expired.
//! - `history` closes, resets and skips.
//! - `record` is what a slot of the log holds: a batch with its place and its links.
//! - `shared` is what a subscription shares with its nodes, its handles and the broker.
//! - `open` opens a subscription and leaves it again, with the help of the next three files.
//! - `recheck` calls the authorizer, both for a subscription that is being opened and for one that is open.
//! - `join` joins and leaves the nodes of a subscription.
//! - `start` resolves starts, and finds the place that a cursor has in the history.
//! - `registry` finds the subscriptions that an access change, an expiry or a new place concerns.
//! - `decisions` records access changes while the authorizer decides.
//! - `lock` is the broker's lock. It lets publishers go first.
//! - `tap` is what a recorder of the test kit receives batches by, and `attach` gives it to a broker.
//! - `cache_charge` charges what is cached beside a batch to the bytes of the buffer, and `evict` evicts for it.
//!
//! # One publish
//!
//! [`Core::publish`] takes these steps. It holds the lock from step 2 to step 10, and runs no foreign code meanwhile.
//!
//! 1. The events are stamped. The authorizer names the access changes that they bring, and the weigher weighs them. A
//!    batch without events takes a path of its own, `Core::publish_empty`, which moves only the latest index.
//! 2. Checks: the broker is open, it is in the epoch that is named, and the index may follow and has a place left.
//! 3. Fence: the access changes are set on the gates of the subscriptions that they concern.
//! 4. Links: the events are looked up in the index of terms. The nodes that they hit give the links of the record.
//! 5. Room: the oldest batches are evicted until the batch fits. Nodes record what they lose.
//! 6. Slot: the record is written. After that, the evicted batches cannot be reached.
//! 7. Node positions: each hit node leads to the batch. Subscriptions that wait for its place get its position.
//! 8. Hit queues: the hit nodes are put into the hit queues of readers of many nodes.
//! 9. End: the latest index moves, then the end, and the batch is visible. The hit queues are filled once more.
//! 10. Wait lists: the waiters of the unfiltered list and of the hit nodes are taken into a wake batch.
//! 11. Unlock, and then wake: a dispatcher wakes the waiters, or this thread does if none runs.
//! 12. The observer is called, and the evicted batches are dropped.
//!
//! Steps 4 to 10 are `Core::append` in `publish`. Its documentation gives the reasons for their order.
//!
//! # Where things are kept
//!
//! - Lock order: at the top of `state`.
//! - Fence: `State::fence` and `Registry::fence` set a change on each [`Gate`](crate::access::Gate) that it concerns.
//!   `decisions` records it for decisions that are pending. In `subscription`, `begin_read` and `is_gate_unchanged`
//!   check the gate, and `recheck_access` acts on a change.
//! - Account of losses: nodes record what was evicted of theirs, each record has the place after the batch before it,
//!   and a skip is set on the gates and in `State::skipped_at`. For readers, `Cursor::discard_evicted_runs` decides
//!   whether something was lost, and `report_loss` reports it. For tokens, `SubscriptionShared::has_lost` and
//!   `State::lost_below` decide.
//! - Wake-up: the invariants are those of [`wait`](crate::wait). `Core::append` collects the waiters, and
//!   `Core::publish` wakes them after the lock.
//! - Eviction: `Core::append` makes room for a batch, and `evict` for bytes that readers cache. The bounds and the
//!   order of the writes are those of [`log`](crate::log).
//!
//! Callers: `broker` and `subscription`, without a lock.

mod announce;
#[cfg(feature = "testing")]
mod attach;
mod cache_charge;
mod decisions;
#[cfg(any(feature = "json", all(broker_loom, test)))]
mod evict;
mod history;
mod join;
mod lock;
mod next_index;
mod open;
mod publish;
mod recheck;
mod record;
mod registry;
mod shared;
mod start;
mod state;
#[cfg(feature = "testing")]
mod tap;

pub(crate) use decisions::PendingDecisions;
pub(crate) use lock::PacedMutex;
pub(crate) use next_index::HistoryStart;
pub(crate) use open::Opened;
pub(crate) use recheck::{MAX_ATTEMPTS, OnStale, Rechecked, token_deleted};
pub(crate) use registry::{PendingStarts, Registry};
pub(crate) use shared::{MAX_POLLED_NODES, Node, ReadCounts, SubscriptionShared, Waiter};
pub(crate) use start::{StartPosition, StartVerdict};
pub(crate) use state::{BrokerCounters, Core, Hooks, Published, Record, State, Weigher};
#[cfg(feature = "testing")]
pub(crate) use tap::Tap;
