//! Waiting: threads, tasks and doorbells as one kind of waiter, the lists that they register in, and waking them.
//! What is waited for is decided in `core`: a list belongs to a node, or to all unfiltered readers.
//!
//! A reader that finds nothing stores its [`Signal`] in its [`Waiter`], registers the waiter in the [`WaitList`] of
//! everything it waits for, reads once more, and only then sleeps. A publisher makes its batch visible, takes the lists
//! that were hit into a [`WakeBatch`], and wakes their waiters after its lock is released.
//!
//! Invariants. No wake-up is lost, in two steps:
//! 1. The reader registers, fences, and reads again. The publisher makes the batch visible, fences, and loads the flag
//!    of the list. One of the two sees the other. All four operations are sequentially consistent, the publisher's
//!    store and fence in one exchange ([`store_and_fence`](crate::sync::store_and_fence)), the reader's as a fence
//!    ([`seq_cst_fence`]).
//! 2. A registration outlives the wait it was made for, until a hit takes it. So a reader may find itself registered in
//!    a list that was taken but whose waiters have not been woken yet. That is as good as a registration: the taker
//!    clears the registration before it locks the waiter, and the reader locked the waiter before it loaded the
//!    registration.
//!
//! Files: `waiter` is one reader that waits, `list` the waiters of one thing, `wake` those that are to be woken,
//! `dispatch` the queue of a host's thread that wakes them.
//!
//! Callers: `subscription` registers without a lock. `core` takes lists under the broker's lock, and wakes after it.
//! `broker` runs dispatchers.

mod dispatch;
mod list;
mod waiter;
mod wake;

pub(crate) use dispatch::{Dispatch, RunningDispatcher};
pub(crate) use list::{MANY_PARTS, WaitList, seq_cst_fence};
pub(crate) use waiter::{Registration, Signal, Waiter};
pub(crate) use wake::WakeBatch;
