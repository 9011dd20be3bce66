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
pub(crate) use open::{Again, Begins, Found, MOST_QUESTIONS, Opened, Settled, token_deleted};
pub(crate) use questions::Questions;
pub(crate) use registry::{Pending, Registry};
pub(crate) use shared::{Node, POLLED, Shared, Station, Tally};
pub(crate) use state::{Core, Counters, Hooks, Origin, Published, Record, State, Weigher};
