//! The log as all its readers share it.
//! What is appended, and when something is evicted, is decided by the one writer: `appender`.

use std::sync::Arc;

#[cfg(any(feature = "json", test))]
use super::bytes::{CachedBytes, Charge};
use super::bytes::{HEAVIEST, TotalBytes};
use super::directory::Directory;
use super::frontier::{End, Frontier};
use crate::sync::Mutex;
use crate::types::position::Position;

/// The readers' side of the log. The writer's side is the [`Appender`].
#[derive(Debug)]
pub(crate) struct Log<T> {
    pub(super) frontier: Frontier,
    pub(super) directory: Mutex<Arc<Directory<T>>>,
    pub(super) bytes: TotalBytes,
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

    /// Charges bytes that are about to be cached beside a batch of this log.
    #[cfg(any(feature = "json", test))]
    pub(crate) fn charge(&self, account: &CachedBytes, bytes: u64) -> Charge {
        self.bytes.charge(account, bytes)
    }

    /// Takes a charge back of what was not cached after all.
    #[cfg(any(feature = "json", test))]
    pub(crate) fn refund(&self, account: &CachedBytes, bytes: u64) {
        self.bytes.refund(account, bytes);
    }
}
