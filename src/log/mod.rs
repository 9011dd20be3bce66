//! Stores the published batches in a bounded, segmented log. A reader that holds a directory reads it without a lock.
//! What a slot carries is decided in `core`, and which batches match a reader in `interest` and `subscription`.
//!
//! A *slot* holds one batch and is written once. A *segment* is a fixed array of slots for consecutive positions. The
//! *directory* lists the live segments by the position at which each begins, their *base*. The appender changes it when
//! segments come or go, and readers read copies of it, one for each stripe of threads. Two numbers bound what readers can
//! reach: `oldest`, the first position, and `end`, one past the last.
//!
//! ```text
//!                  directory:  base 32     base 40     base 48
//!                                 |           |           |
//!                                 v           v           v
//!   24    31                 32      39  40      47  48      55
//!  [  xxxxxx]               [xxxx####]->[########]->[###.....]
//!   retired,                     ^                      ^
//!   emptied by the appender      oldest = 36            end = 51
//!
//!   x  evicted, not freed yet      #  in reach      .  not written yet
//! ```
//!
//! A segment leaves the directory as a whole, when its last batch has been evicted. Until then it holds batches that no
//! reader can reach. Afterwards it is the *retired* segment, and the appender frees what is left in it a few batches at
//! a time. What is evicted and not freed yet in the two is bounded by the *slack*, an eighth of each bound of the log.
//!
//! Invariants:
//! 1. Every position in `oldest..end` has been written and is found through the directory.
//! 2. The appender writes a slot, then moves `oldest`, then moves `end`. So a reader never reaches more than the
//!    retention allows, and the oldest position can be read whenever the log is not empty.
//! 3. An eviction without a write moves `oldest` alone.
//! 4. A reader that loads `end`, then takes the directory, then loads `oldest` finds every position in `oldest..end` in
//!    that directory.
//! 5. What is evicted and not freed yet stays within the slack, unless a reader holds it.
//!
//! Files, in the order in which to read them:
//! - `segment`: the write-once slots;
//! - `directory`: finds the segment and the slot of a position;
//! - `directories`, `handle`: the copies of the directory that readers hold, and how the appender removes them;
//! - `frontier`: the numbers that readers poll, with their orderings. The end, and whether the log is closed, is kept
//!   here;
//! - `shared`: [`Log`], the readers' side;
//! - `retention`: how much may be kept, as arithmetic on counts;
//! - `bytes`: the total of the bytes, which readers add to when they cache encoded forms;
//! - `appender`: [`Appender`], the writer's side. It appends batches and makes them visible;
//! - `evict`: moves `oldest` on until the bounds hold;
//! - `free`, `retired`: frees what was evicted, a few batches at a time;
//! - `evicted`: [`Evicted`], which holds what was freed until the broker's lock is released;
//! - `seek`: finds a position by the caller's index.
//!
//! The log does not record which reader lost what. A reader compares its cursor with `oldest` in
//! `subscription::cursor`, and `interest::node` records which evicted batches matched a node.
//!
//! Callers: `core` owns the [`Appender`] and calls it under the broker's lock; `core`, `subscription` and `broker` read
//! the [`Log`] without that lock; `interest` reads slots through a [`Directory`].

mod appender;
mod bytes;
mod directories;
mod directory;
mod evict;
mod evicted;
mod free;
mod frontier;
mod handle;
mod retention;
mod retired;
mod seek;
mod segment;
mod shared;
#[cfg(all(test, not(broker_loom)))]
mod tests;

pub(crate) use appender::{Appender, Weighed};
pub(crate) use bytes::MAX_BYTES;
#[cfg(any(feature = "json", all(broker_loom, test)))]
pub(crate) use bytes::{CachedBytes, Charge};
pub(crate) use directories::DirectoryCopy;
pub(crate) use directory::Directory;
pub(crate) use evicted::Evicted;
pub(crate) use frontier::End;
pub(crate) use handle::DirectoryHandle;
pub(crate) use retention::{Cost, Retention};
pub(crate) use seek::Placed;
#[cfg(all(test, not(broker_loom)))]
pub(crate) use segment::Segment;
pub(crate) use shared::Log;
