//! The segmented log: bounded, append-only, read without locks once a directory is at hand.
//! What a slot carries, and who wants it, is not known here.
//!
//! Files: `segment` holds write-once slots, `directory` finds them, `frontier` is what readers poll, `retention` says
//! when the oldest must go, `bytes` counts what readers add, `appender` is the one writer, `seek` finds an index.
//!
//! Invariants:
//! - positions in `oldest..end` of the frontier are written, and found through the directory;
//! - the appender writes a slot, moves `oldest`, and then moves `end`: a reader never reaches more than the retention
//!   allows, and always finds what is oldest;
//! - an eviction without a write moves `oldest` alone;
//! - whoever loads `end`, then takes the directory, then loads `oldest`, finds every position in `oldest..end` there.

mod appender;
mod bytes;
mod directory;
mod frontier;
mod retention;
mod seek;
mod segment;
mod shared;
#[cfg(all(test, not(broker_loom)))]
mod tests;

pub(crate) use appender::{Appender, Evicted, Weighed};
pub(crate) use bytes::HEAVIEST;
#[cfg(any(feature = "json", all(broker_loom, test)))]
pub(crate) use bytes::{CachedBytes, Charge};
pub(crate) use directory::Directory;
pub(crate) use frontier::End;
pub(crate) use retention::{Cost, Retention};
pub(crate) use seek::Placed;
pub(crate) use segment::Segment;
pub(crate) use shared::Log;
