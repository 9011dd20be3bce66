//! The subscription: one type for every way of reading from a broker.
//! The log, the nodes, the gate and the wait lists are not here: `core` and the layers below it hold them.
//!
//! # Files, in the order of reading
//!
//! 1. `state`: what a subscription holds, how it opens, how each read begins, how a loss is reported, how it ends.
//! 2. `cursor`: where a reader stands in the log, and which batch is next.
//! 3. `selector`: which events of a batch are delivered.
//! 4. `delivery`: what a read returns.
//! 5. `owned`: the next owned delivery, by the fast path or by the slow one.
//! 6. `recv`: reading without waiting, blocking reads, the doorbell, and how every reader registers before it waits.
//! 7. `poll` and `stream`: reading as a task.
//! 8. `drain` and `window_run`: windows of borrowed deliveries, for hot loops.
//! 9. `recheck`: what a reader does when its gate has changed.
//! 10. `budget` and `refinement`: how much one read may do, and the filtering of a large batch over several reads.
//! 11. `handle`: observing a subscription and ending it from elsewhere.
//!
//! # One call of `recv`
//!
//! 1. `recv_until` (`recv.rs`) tries `next_fast` (`owned.rs`). It returns the next batch without a lock if the cursor
//!    has discovered it, the gate has not changed, and only terms and namespaces decide what is delivered. Otherwise
//!    `next_slow` (`owned.rs`) takes the steps below.
//! 2. Gate: `begin_read` (`state.rs`) loads the end of the log and then the gate. If the gate has changed,
//!    `recheck_access` (`recheck.rs`) asks the authorizer again, or ends the subscription.
//! 3. Cursor: `try_start` (`state.rs`) places the cursor of a reader whose start had not come when it subscribed. Then
//!    `Cursor::locate` (`cursor.rs`) returns the next position, a loss, or that the reader has caught up.
//! 4. Selector: `fetch` (`owned.rs`) reads the batch and selects its events by terms and namespaces. `refine_batch`
//!    (`owned.rs`) applies the post-filters. If no event is left, the batch is passed and step 2 follows.
//! 5. Delivery: `pass_delivery` (`owned.rs`) moves the cursor and counts the batch, and the read returns it.
//! 6. Loss: `report_loss` (`state.rs`) returns [`RecvError::Lagged`](crate::RecvError::Lagged).
//! 7. Waiting: a reader that has caught up leaves its signal, registers, reads once more (`register_and_retry`,
//!    `recv.rs`), and parks.
//!
//! # Where to look
//!
//! | question | answer |
//! |---|---|
//! | what has a reader lost? | `Cursor::discard_below` decides it, `Subscription::report_loss` counts and reports it |
//! | where is the gate checked? | `Subscription::begin_read`, on the slow path; `fast_path_position`, on the fast one |
//! | where do readers wait? | `register_and_retry` for all; `recv_until` for threads, `poll_recv_slow` for tasks |
//!
//! # Invariants
//!
//! - A batch is *passed* once the cursor stands behind it: it was delivered, it was reported lost, it was evicted
//!   before the first read of an elastic start, or it is not for this reader. Batches are passed in the order of the
//!   log, each once.
//! - The end of the log is loaded before the gate. A reader that sees a position sees the access changes that were
//!   published before it.
//! - Foreign code (authorizer, predicate, waker, observer) runs while no lock is held.
//!
//! `broker` opens subscriptions and makes handles. `frames` reads through the public methods and those that are
//! `pub(crate)`.

mod budget;
mod cursor;
mod delivery;
mod drain;
mod handle;
mod owned;
mod poll;
mod recheck;
mod recv;
mod refinement;
mod selector;
mod state;
#[cfg(feature = "stream")]
mod stream;
mod window_run;

#[cfg(feature = "json")]
pub(crate) use delivery::Selection;
pub use delivery::{Delivery, DeliveryRef, Events};
pub use drain::{Drain, DrainIter};
pub use handle::SubscriptionHandle;
pub use poll::{Readable, Recv};
pub use recv::Iter;
pub use selector::Explanation;
pub use state::Subscription;
