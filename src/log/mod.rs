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
#[cfg(all(test, not(broker_loom)))]
mod tests;

pub(crate) use appender::{Appender, Garbage, Weighed};
pub(crate) use bytes::HEAVIEST;
#[cfg(any(feature = "json", all(broker_loom, test)))]
pub(crate) use bytes::{CachedBytes, Charge};
pub(crate) use directory::Directory;
pub(crate) use frontier::End;
pub(crate) use retention::{Cost, Retention};
pub(crate) use seek::Placed;

use std::sync::Arc;

use crate::position::Position;
use crate::sync::Mutex;
use bytes::TotalBytes;
use frontier::Frontier;
pub(crate) use segment::Segment;

/// The readers' side of the log. The writer's side is the [`Appender`].
#[derive(Debug)]
pub(crate) struct Log<T> {
    frontier: Frontier,
    directory: Mutex<Arc<Directory<T>>>,
    bytes: TotalBytes,
}

impl<T> Log<T> {
    /// A log of a history whose latest index this is; all below `finished` is past. The bound in bytes is the
    /// appender's.
    pub(crate) fn new(latest_index: u64, finished: u64, rising: bool, max_bytes: Option<u64>) -> Self {
        Self {
            frontier: Frontier::new(latest_index, finished, rising),
            directory: Mutex::new(Arc::new(Directory::default())),
            bytes: TotalBytes::new(max_bytes),
        }
    }

    /// One past the newest position, and whether the log is closed.
    #[inline]
    pub(crate) fn end(&self) -> End {
        self.frontier.end()
    }

    /// The first position that readers may reach.
    #[inline]
    pub(crate) fn oldest(&self) -> Position {
        self.frontier.oldest()
    }

    #[inline]
    pub(crate) fn latest_index(&self) -> u64 {
        self.frontier.latest_index()
    }

    /// Loaded before [`end`](Self::end), it is a floor for the index of all that lies at or after that end.
    #[inline]
    pub(crate) fn finished_below(&self) -> u64 {
        self.frontier.finished_below()
    }

    /// Notes that nothing more of this index comes, in a history of rising indexes. After what it has is visible.
    pub(crate) fn finish(&self, index: u64) {
        self.frontier.finish(index);
    }

    /// The bytes that all in reach takes, with what is cached beside it; 0 if bytes are not bounded, and `u64::MAX` if
    /// some batch is said to be heavier than any.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        match self.bytes.get() {
            HEAVIEST.. => u64::MAX,
            bytes => bytes,
        }
    }

    /// Moves the latest index, which may run ahead of the batches: an empty one moves nothing else. Only under the
    /// broker's lock.
    pub(crate) fn set_latest_index(&self, index: u64) {
        self.frontier.set_latest_index(index);
    }

    /// The segments live now. Holding the directory holds them.
    pub(crate) fn directory(&self) -> Arc<Directory<T>> {
        Arc::clone(&self.directory.lock())
    }

    /// Reads the oldest batch in reach, if there is one, with its position. `read` runs under the directory's lock,
    /// which holds what was the oldest when it was taken.
    pub(crate) fn read_oldest<R>(&self, read: impl FnOnce(Position, &T) -> R) -> Option<R> {
        let directory = self.directory.lock();
        let oldest = self.frontier.oldest();
        directory.get(oldest).map(|value| read(oldest, value))
    }

    /// Reads one slot without holding anything afterwards. `read` runs under the directory's lock.
    pub(crate) fn read<R>(&self, position: Position, read: impl FnOnce(&T) -> R) -> Option<R> {
        let directory = self.directory.lock();
        // Loaded under the lock: segments may linger in the directory after their slots went out of reach.
        if position < self.frontier.oldest() {
            return None;
        }
        directory.get(position).map(read)
    }
}
