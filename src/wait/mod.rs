//! Waiting: waiters, the lists they are found in, and who wakes them.
//! What is waited for is not known here: a list belongs to whatever can be hit.

mod dispatch;
mod waiter;

pub(crate) use dispatch::{Dispatch, Run};
pub(crate) use waiter::{Mark, Seat, Signal, Taken, WaitList, look_again};
