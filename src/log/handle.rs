//! Finds a copy of the directory again without a lock, and keeps no segment in memory.
//! Where copies are kept, and when they are removed, is decided in `directories`.
//!
//! Invariants: a reader writes to the copy of its own thread's stripe only. A copy that was removed is found only while
//! somebody else still holds it.
//!
//! Callers: `subscription`, through the handle of each reader.

use std::sync::{Arc, Weak};

use super::directories::DirectoryCopy;
use super::directory::Directory;
use super::shared::Log;
use crate::stripes;
use crate::types::position::Position;
use crate::writes;

/// What a reader keeps of the copy that it read last. Every subscription has one, so it takes two words.
#[derive(Debug)]
pub(crate) struct DirectoryHandle<T> {
    copy: Weak<DirectoryCopy<T>>,
    /// The lower half of the copy's generation.
    generation: u32,
    /// Where [`get`](Self::get) looks first; see [`Directory::get_near`].
    near: u16,
    stripe: u8,
}

impl<T> Default for DirectoryHandle<T> {
    fn default() -> Self {
        Self { copy: Weak::new(), generation: 0, near: 0, stripe: u8::MAX }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn lower(generation: u64) -> u32 {
    generation as u32
}

impl<T> DirectoryHandle<T> {
    /// Returns the copy that was found last, if it is that of this thread's stripe and is still there. It may be stale.
    #[inline]
    pub(crate) fn last(&self) -> Option<Arc<DirectoryCopy<T>>> {
        let copy = if u32::from(self.stripe) == stripes::current() { self.copy.upgrade() } else { None };
        copy.inspect(|copy| writes::reference(&**copy))
    }

    /// Returns the copy that was found last, if it is also what [`current`](Self::current) would return. A stale one is
    /// not looked at, because whoever drops it may be the last to hold what was evicted.
    #[inline]
    pub(crate) fn last_if_current(&self, log: &Log<T>) -> Option<Arc<DirectoryCopy<T>>> {
        let generation = log.generation();
        if self.generation != lower(generation) {
            return None;
        }
        self.last().filter(|copy| copy.generation() == generation)
    }

    /// Returns the value at a position in a directory. No search is made if it is in the segment found last.
    #[inline]
    pub(crate) fn get<'d>(&mut self, directory: &'d Directory<T>, position: Position) -> Option<&'d T> {
        let mut near = usize::from(self.near);
        let found = directory.get_near(&mut near, position);
        self.near = u16::try_from(near).unwrap_or_default();
        found
    }

    /// Returns the copy of the directory for this thread, as [`Log::directory`] does. What this drops may be the last to
    /// hold evicted batches, and the drop of a payload is foreign code.
    #[inline]
    pub(crate) fn current(&mut self, log: &Log<T>) -> Arc<DirectoryCopy<T>> {
        match self.last_if_current(log) {
            Some(copy) => copy,
            None => self.find(log),
        }
    }

    #[inline(never)]
    fn find(&mut self, log: &Log<T>) -> Arc<DirectoryCopy<T>> {
        let copy = log.directory();
        *self = Self {
            copy: Arc::downgrade(&copy),
            generation: lower(copy.generation()),
            near: self.near,
            stripe: u8::try_from(stripes::current()).unwrap_or(u8::MAX),
        };
        copy
    }
}
