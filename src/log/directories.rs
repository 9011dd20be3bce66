//! Gives readers the directory without a write to memory that another core reads: each stripe has a copy.
//! When the directory changes is decided in `appender` and `free`, and which stripe a thread has in `stripes`.
//!
//! Every thread that reads would otherwise lock the same directory, and count the same reference. With two cores that
//! costs ten times as much as with one. So each [stripe](crate::stripes) has a [`DirectoryCopy`]: one reference of the
//! directory, in an allocation of its own, and a reader counts the references of that copy. A
//! [`DirectoryHandle`](super::DirectoryHandle) finds the copy again without a lock: it takes one addition, and one
//! subtraction when the reader is done.
//!
//! ```text
//!   appender ──> directory, generation 7
//!                    │ copied by the first reader of a stripe that needs it
//!          ┌─────────┴─────────┐
//!     stripe 0: copy of 7  stripe 1: copy of 6 (stale)  stripe 2: none
//!        ^  ^                  ^
//!       handles of readers, weak
//! ```
//!
//! A copy is *stale* when the directory has changed. It can still be read: what it holds is in its place, and only what
//! came later is missing. A reader that misses something takes the copy of the present generation. If the present
//! directory is not copied in its stripe yet, the reader copies it.
//!
//! A stale copy would keep evicted batches in memory. So the appender removes the copies of all stripes whenever a
//! segment leaves the directory, before it retires the segment. Copies that miss nothing but new segments stay.
//!
//! Invariants:
//! 1. No stripe has a copy with a segment that has left the directory, once the operation that removed it is over.
//! 2. Nobody holds the lock of a stripe for longer than it takes to move or clone a reference. Copies are made, and
//!    references dropped, without a lock. So a reader never holds up the publisher.
//! 3. No two stripes write the same cache line.
//!
//! The first holds because a reader marks its stripe under the directory's lock, in the step in which it takes the
//! directory that it copies, and stores the copy only if the generation is still the same, under the stripe's lock. The
//! appender changes directory and generation and takes the marks under the directory's lock, and then empties the
//! marked stripes. Either it empties a stripe after the copy was stored there, or the reader sees the new generation.
//! Marks are taken by the appender alone: when the last subscription leaves, the copies are removed and the marks stay.
//!
//! Callers: `shared` and `handle` for readers; `free` and `evict` change the directory under the broker's lock.

use std::collections::VecDeque;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use super::directory::Directory;
use super::frontier::Frontier;
use super::segment::Segment;
use crate::steps::{Step, count};
use crate::stripes::STRIPES;
use crate::sync::{Mutex, Slot};
use crate::types::position::Position;
use crate::writes;

/// The directory of the appender, and its copies by stripe.
#[derive(Debug)]
pub(super) struct Directories<T> {
    original: Mutex<Original<T>>,
    /// A stripe is allocated when a thread that has it reads for the first time.
    copies: Box<[Slot<Box<Stripe<T>>>]>,
}

/// A reference of the directory, which the readers of a stripe share.
///
/// The alignment keeps the count of its own references apart from what other threads write.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct DirectoryCopy<T>(Arc<Directory<T>>);

impl<T> Deref for DirectoryCopy<T> {
    type Target = Directory<T>;

    #[inline]
    fn deref(&self) -> &Directory<T> {
        &self.0
    }
}

#[derive(Debug)]
struct Original<T> {
    directory: Arc<Directory<T>>,
    /// The stripes that may have a copy, one bit each.
    copied: u64,
}

/// The alignment keeps the lock apart from what other threads write.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe<T> {
    copy: Mutex<Option<Arc<DirectoryCopy<T>>>>,
}

impl<T> Default for Directories<T> {
    fn default() -> Self {
        Self {
            original: Mutex::new(Original { directory: Arc::default(), copied: 0 }),
            copies: (0..STRIPES).map(|_| Slot::new()).collect(),
        }
    }
}

impl<T> Directories<T> {
    /// Calls `read` with the directory, under its lock.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Directory<T>) -> R) -> R {
        read(&self.original.lock().directory)
    }

    /// Returns the copy for a stripe. It has everything in reach below an end that was loaded before, and keeps its
    /// segments in memory while it is held.
    pub(super) fn copy(&self, stripe: u32, frontier: &Frontier) -> Arc<DirectoryCopy<T>> {
        // Allocated before the stripe is marked, so that whoever takes the mark finds the stripe.
        let Some(Stripe { copy: stored }) = self.stripe(stripe) else {
            return Arc::new(DirectoryCopy(Arc::clone(&self.original.lock().directory)));
        };
        if let Some(copy) = &*stored.lock()
            && copy.generation() == frontier.generation()
        {
            writes::reference(&**copy);
            return Arc::clone(copy);
        }
        let directory = {
            let mut original = self.original.lock();
            original.copied |= 1 << stripe;
            writes::reference(&*original.directory);
            Arc::clone(&original.directory)
        };
        let copy = Arc::new(DirectoryCopy(directory));
        let before = {
            let mut stored = stored.lock();
            // If the directory has changed since it was copied, the stripe may have been emptied already. Then the copy
            // is for this call alone.
            if frontier.generation() == copy.generation() { stored.replace(Arc::clone(&copy)) } else { None }
        };
        // It may be the last to hold what was evicted meanwhile, and the drop of a payload is foreign code.
        drop(before);
        copy
    }

    fn stripe(&self, number: u32) -> Option<&Stripe<T>> {
        let slot = self.copies.get(usize::try_from(number).ok()?)?;
        if slot.get().is_none() {
            // Of two threads that share the stripe, one allocates it.
            let _ = slot.set(Box::new(Stripe { copy: Mutex::new(None) }));
        }
        slot.get().map(|stripe| &**stripe)
    }

    /// Replaces the directory by one of these segments. The directory and `oldest` change together under the
    /// directory's lock, so a reader that holds this lock finds the oldest position in the directory.
    ///
    /// `shrinks` is true if a segment leaves the directory. The copies of the stripes are removed then, so that none of
    /// them keeps it. What is dropped here shares its segments with the caller, so no payload is dropped.
    pub(super) fn replace(
        &self,
        frontier: &Frontier,
        live: &VecDeque<Arc<Segment<T>>>,
        oldest: Position,
        shrinks: bool,
    ) {
        count(Step::Move, live.len());
        let mut original = self.original.lock();
        let generation = original.directory.generation() + 1;
        let before = if let Some(directory) = Arc::get_mut(&mut original.directory) {
            directory.update(live, generation);
            None
        } else {
            Some(mem::replace(&mut original.directory, Arc::new(Directory::new(live.iter(), generation))))
        };
        frontier.set_generation(generation);
        frontier.set_oldest(oldest);
        let copied = if shrinks { mem::take(&mut original.copied) } else { 0 };
        drop(original);
        drop(before);
        self.remove_copies(copied);
    }

    /// Removes all copies, because nobody is left to read them.
    ///
    /// The marks stay: the generation does not change, so a reader that comes meanwhile may store its copy after this.
    pub(super) fn remove_all_copies(&self) {
        let copied = self.original.lock().copied;
        self.remove_copies(copied);
    }

    /// Removes the copies of these stripes, one bit each.
    fn remove_copies(&self, mut stripes: u64) {
        while stripes != 0 {
            let stripe = usize::try_from(stripes.trailing_zeros()).unwrap_or(usize::MAX);
            stripes &= stripes - 1;
            if let Some(stripe) = self.copies.get(stripe).and_then(Slot::get) {
                let copy = stripe.copy.lock().take();
                drop(copy);
            }
        }
    }
}
