//! Gives readers access to the log: its end, its oldest position and its directory.
//! What is appended is decided in `core`, and what is evicted in `evict`.
//!
//! Invariants: a batch is read under the directory's lock, or through a directory that the reader holds. So it is not
//! freed meanwhile.
//!
//! Callers: `core`, `subscription` and `broker` without the broker's lock, except for [`Log::set_latest_index`] and
//! [`Log::finish`], which `core` calls under it.

use std::sync::Arc;

#[cfg(any(feature = "json", test))]
use super::bytes::{CachedBytes, Charge};
use super::bytes::{MAX_BYTES, TotalBytes};
use super::directories::{Directories, DirectoryCopy};
use super::frontier::{End, Frontier};
use crate::stripes;
use crate::types::position::Position;

/// The readers' side of the log. The writer's side is the [`Appender`](super::Appender).
#[derive(Debug)]
pub(crate) struct Log<T> {
    pub(super) frontier: Frontier,
    pub(super) directories: Directories<T>,
    pub(super) bytes: TotalBytes,
}

impl<T> Log<T> {
    /// Creates the empty log of a history with this latest index. `finished` is a lower bound of all future indexes.
    /// `max_bytes` is also the appender's bound in bytes.
    pub(crate) fn new(latest_index: u64, finished: u64, rising: bool, max_bytes: Option<u64>) -> Self {
        Self {
            frontier: Frontier::new(latest_index, finished, rising),
            directories: Directories::default(),
            bytes: TotalBytes::new(max_bytes),
        }
    }

    /// Returns one past the newest position, and whether the log is closed.
    #[inline]
    pub(crate) fn end(&self) -> End {
        self.frontier.end()
    }

    /// Returns the oldest position that readers can reach.
    #[inline]
    pub(crate) fn oldest(&self) -> Position {
        self.frontier.oldest()
    }

    #[inline]
    pub(crate) fn latest_index(&self) -> u64 {
        self.frontier.latest_index()
    }

    /// Returns a lower bound of the indexes of all batches at or after the [`end`](Self::end). It must be loaded before
    /// that end.
    #[inline]
    pub(crate) fn finished_below(&self) -> u64 {
        self.frontier.finished_below()
    }

    /// Records that no further batch can have this index, in a history of rising indexes. Called after the batches of
    /// this index are visible.
    pub(crate) fn finish(&self, index: u64) {
        self.frontier.finish(index);
    }

    /// Returns the bytes of all batches in reach, including what is cached beside them. Returns 0 if bytes are not
    /// bounded, and `u64::MAX` if some batch has the greatest weight, [`MAX_BYTES`].
    pub(crate) fn buffered_bytes(&self) -> u64 {
        match self.bytes.get() {
            MAX_BYTES.. => u64::MAX,
            bytes => bytes,
        }
    }

    /// Sets the latest index. It may be ahead of the batches: a batch without events changes nothing else. Called under
    /// the broker's lock only.
    pub(crate) fn set_latest_index(&self, index: u64) {
        self.frontier.set_latest_index(index);
    }

    /// Returns the directory for the readers of this thread: what was in reach below an end that was loaded before is
    /// in it. It keeps its segments in memory while it is held.
    #[inline(never)]
    pub(crate) fn directory(&self) -> Arc<DirectoryCopy<T>> {
        self.directories.copy(stripes::current(), &self.frontier)
    }

    /// Frees what readers' threads have of the directory. Called when the last subscription has left.
    pub(crate) fn forget_readers(&self) {
        self.directories.remove_all_copies();
    }

    /// Returns the generation of the directory.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.frontier.generation()
    }

    /// Reads the oldest batch in reach, if there is one, with its position. `read` runs under the directory's lock, so
    /// the batch is not freed meanwhile.
    pub(crate) fn read_oldest<R>(&self, read: impl FnOnce(Position, &T) -> R) -> Option<R> {
        self.directories.read(|directory| {
            let oldest = self.frontier.oldest();
            directory.get(oldest).map(|value| read(oldest, value))
        })
    }

    /// Reads one slot, and holds nothing afterwards. `read` runs under the directory's lock.
    pub(crate) fn read<R>(&self, position: Position, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.directories.read(|directory| {
            // Loaded under the lock: a segment may stay in the directory after its slots went out of reach.
            if position < self.frontier.oldest() {
                return None;
            }
            directory.get(position).map(read)
        })
    }

    /// Charges bytes that are about to be cached beside a batch of this log.
    #[cfg(any(feature = "json", test))]
    pub(crate) fn charge(&self, account: &CachedBytes, bytes: u64) -> Charge {
        self.bytes.charge(account, bytes)
    }

    /// Removes a charge for something that was not cached.
    #[cfg(any(feature = "json", test))]
    pub(crate) fn refund(&self, account: &CachedBytes, bytes: u64) {
        self.bytes.refund(account, bytes);
    }
}
