//! Finds a copy of the directory again without a lock, and keeps no segment in memory.
//! Where copies are kept, and when they are removed, is decided in `directories`.
//!
//! Invariants: a reader writes to the copy of its own thread's stripe only. A copy that was removed is not found.
//!
//! Callers: `subscription`, through the handle of each reader.

use std::sync::{Arc, Weak};

use super::directory::Directory;
use super::shared::Log;
use crate::stripes;
use crate::types::position::Position;
use crate::writes;

/// What a reader keeps of the copy that it read last.
#[derive(Debug)]
pub(crate) struct DirectoryHandle<T> {
    copy: Weak<Directory<T>>,
    stripe: u32,
    /// Where [`get`](Self::get) looks first; see [`Directory::get_near`].
    near: u32,
}

impl<T> Default for DirectoryHandle<T> {
    fn default() -> Self {
        Self { copy: Weak::new(), stripe: u32::MAX, near: 0 }
    }
}

impl<T> DirectoryHandle<T> {
    /// Returns the copy that was found last, if it is that of this thread's stripe and is still there. It may be stale.
    #[inline]
    pub(crate) fn last(&self) -> Option<Arc<Directory<T>>> {
        let copy = if self.stripe == stripes::current() { self.copy.upgrade() } else { None };
        copy.inspect(|copy| writes::reference(&**copy))
    }

    /// Returns the value at a position in a directory. No search is made if it is in the segment found last.
    #[inline]
    pub(crate) fn get<'d>(&mut self, directory: &'d Directory<T>, position: Position) -> Option<&'d T> {
        let mut near = usize::try_from(self.near).unwrap_or_default();
        let found = directory.get_near(&mut near, position);
        self.near = u32::try_from(near).unwrap_or_default();
        found
    }

    /// Returns the copy of the directory for this thread, as [`Log::directory`] does.
    #[inline]
    pub(crate) fn current(&mut self, log: &Log<T>) -> Arc<Directory<T>> {
        match self.last() {
            Some(copy) if log.is_current(&copy) => copy,
            stale => self.find(log, stale),
        }
    }

    #[inline(never)]
    fn find(&mut self, log: &Log<T>, stale: Option<Arc<Directory<T>>>) -> Arc<Directory<T>> {
        drop(stale);
        let copy = log.directory();
        (self.copy, self.stripe) = (Arc::downgrade(&copy), stripes::current());
        copy
    }
}
