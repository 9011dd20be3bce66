//! One subscription type for every way of reading.
//! `state` is what it holds, how it opens, and how it ends; the ways of reading are in the files beside it.
//!
//! `cursor` finds the next batch, `selector` its events, `recheck` checks the gate, `turn` bounds one read, `owned` gives
//! one delivery, `recv` blocks and rings, `poll` is for tasks, `drain` is the window for hot loops, `handle` acts from
//! elsewhere, `delivery` is what a read returns.

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
