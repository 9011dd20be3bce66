//! The subscription: one type for every way of reading from a broker.
//! The log, the nodes, the gate and the wait lists are not here: `core` and the layers below it hold them.
//!
//! # Files, in the order of reading
//!
//! 1. `state`: what a subscription holds, how it opens, what it reports about itself, how it ends.
//! 2. `begin_read` and `gate_check`: how each read begins, and what a reader does when its gate has changed.
//! 3. `cursor`, `cursor/discover` and `cursor/runs`: the position of a reader in the log, and which batch is next.
//! 4. `selector`: which events of a batch are delivered.
//! 5. `delivery`: what a read returns.
//! 6. `loss`: counting and reporting what was lost.
//! 7. `owned`: the next owned delivery, by the fast path or by the slow one.
//! 8. `recv` and `iter`: reading as a thread, without waiting or blocking.
//! 9. `register`: how every reader registers before it waits, and the doorbell.
//! 10. `poll` and `stream`: reading as a task.
//! 11. `drain` and `window_run`: windows of borrowed deliveries, for hot loops.
//! 12. `budget` and `post_filter_progress`: how much one read may do, and the filtering of a large batch over several
//!     reads.
//! 13. `handle`: observing a subscription and ending it from elsewhere.
//!
//! # One call of `recv`
//!
//! 1. `recv_until` (`recv.rs`) tries `next_fast` (`owned.rs`). It returns the next batch without a lock if the cursor
//!    has discovered it, the gate has not changed, and only terms and namespaces decide what is delivered. Otherwise
//!    `next_slow` (`owned.rs`) takes the steps below.
//! 2. Gate: `begin_read` (`begin_read.rs`) loads the end of the log and then the gate. If the gate has changed,
//!    `recheck_access` (`gate_check.rs`) asks the authorizer again, or ends the subscription.
//! 3. Cursor: `ensure_placed` (`begin_read.rs`) places the cursor of a reader whose start had not come when it
//!    subscribed. Then `Cursor::locate` (`cursor.rs`) returns the next position, a loss, or that the reader has caught
//!    up.
//! 4. Selector: `fetch` (`owned.rs`) reads the batch and selects its events by terms and namespaces.
//!    `post_filter_batch` (`owned.rs`) applies the post-filters. If no event is left, the batch is passed and step 2
//!    follows.
//! 5. Delivery: `pass_delivery` (`owned.rs`) moves the cursor and counts the batch, and the read returns it.
//! 6. Loss: `report_loss` (`loss.rs`) returns [`RecvError::Lagged`](crate::RecvError::Lagged).
//! 7. Waiting: a reader that has caught up stores its signal, registers, reads once more (`register_and_retry`,
//!    `register.rs`), and parks.
//!
//! # Where to look
//!
//! | question | answer |
//! |---|---|
//! | what has a reader lost? | `Cursor::discard_evicted_runs` decides it, `report_loss` counts and reports it |
//! | where is the gate checked? | `begin_read` on the slow path, `is_gate_unchanged` on the fast one |
//! | where do readers register? | `register_and_retry` for threads and tasks, `register` for windows and doorbells |
//! | where do readers wait? | `recv_until` for threads, `poll_recv_slow` and `poll_readable` for tasks |
//!
//! # Invariants
//!
//! - A batch is *passed* once the cursor is after it: it was delivered, it was reported lost, it was evicted before the
//!   first read of an elastic start, or it is not for this reader. Batches are passed in the order of the log, each
//!   once.
//! - The end of the log is loaded before the gate. A reader that sees a position sees the access changes that were
//!   published before it.
//! - Foreign code (authorizer, predicate, waker, observer) runs while no lock is held.
//!
//! Callers: `broker` opens subscriptions and makes handles. `frames` reads through the public methods and those that
//! are `pub(crate)`.

mod begin_read;
mod budget;
mod cursor;
mod delivery;
mod drain;
mod gate_check;
mod handle;
mod iter;
mod loss;
mod owned;
mod poll;
mod post_filter_progress;
mod recv;
mod register;
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
pub use iter::Iter;
pub use poll::{Readable, Recv};
pub use selector::Explanation;
pub use state::Subscription;
