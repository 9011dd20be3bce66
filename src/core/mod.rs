//! What all handles of one broker share: the log, the interest, the registry, and the lock around them.
//! Nothing here is public: `subscription` and `broker` are its two faces.
//!
//! `state` says what there is and in which order it is locked, `publish` and `open` change it, `record` is what lies in a
//! slot of the log, `shared` what a subscription shares with it.

mod account;
mod join;
mod lock;
mod open;
mod publish;
mod questions;
mod record;
mod registry;
mod shared;
mod state;

pub(crate) use lock::Locked;
pub(crate) use open::{Again, Found, MOST_QUESTIONS, Opened, Settled, StartPosition, token_deleted};
pub(crate) use questions::Questions;
pub(crate) use registry::{Pending, Registry};
pub(crate) use shared::{Node, POLLED, ReadCounts, Shared, Waiter};
pub(crate) use state::{BrokerCounters, Core, Hooks, Origin, Published, Record, State, Weigher};
