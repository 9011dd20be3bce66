//! Counts what operations do, so that tests can compare it with what an operation may cost.
//! Nothing is decided by the counts: without the private cfg `broker_steps` none of this is in the crate.
//!
//! A step is whatever is done as often as something can grow: one look-up in a table or tree, one hit, one link, one
//! batch walked over, one event examined, one waiter or gate touched. (A step of the broker's lock, in `core::lock`, is
//! a critical section and holds many of these.) Counts are kept for each thread.
//!
//! Invariant: a count belongs to one thread, and is changed by that thread alone.
//!
//! Callers: every layer counts; `tests/cost` takes the counts.

/// What a step is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(broker_steps), expect(unreachable_pub, reason = "it is public under the cfg"))]
#[non_exhaustive]
pub enum Step {
    /// A look-up in a table, tree or set.
    Find,
    /// Entries moved because a table, list or directory grows or shrinks.
    Move,
    /// A node or namespace joined or left.
    Join,
    /// A node hit by an event.
    Hit,
    /// A gate on which an access change or an end is set.
    Fence,
    /// A waiter registered, taken, put into a hit queue or woken.
    Wake,
    /// A run or checkpoint of a chain that is walked over.
    Walk,
    /// A node whose last match or evicted match is loaded by a reader.
    Poll,
    /// An event that is compared with a filter, or passed to a predicate or an authorizer.
    Scan,
    /// A batch that is delivered or passed.
    Read,
    /// A batch that is evicted, one by one.
    Evict,
}

#[cfg(broker_steps)]
mod counting {
    use std::cell::{Cell, RefCell};

    use super::Step;

    const KINDS: usize = 11;

    thread_local! {
        static COUNTS: RefCell<[u64; KINDS]> = const { RefCell::new([0; KINDS]) };
        static LONGEST: Cell<u64> = const { Cell::new(0) };
    }

    /// The steps since the last call, by kind.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Steps {
        counts: [u64; KINDS],
        /// The most steps in one hold of the broker's lock by a thread that does not publish.
        pub longest_hold: u64,
    }

    impl Steps {
        /// Returns the steps of one kind.
        pub fn of(&self, step: Step) -> u64 {
            self.counts.get(step as usize).copied().unwrap_or_default()
        }

        /// Returns the steps of all kinds.
        pub fn all(&self) -> u64 {
            self.counts.iter().sum()
        }
    }

    /// Returns the counts of this thread, and sets them to zero.
    pub fn take() -> Steps {
        let counts = COUNTS.with(|counts| std::mem::take(&mut *counts.borrow_mut()));
        Steps { counts, longest_hold: LONGEST.take() }
    }

    pub(crate) fn count(step: Step, steps: usize) {
        COUNTS.with(|counts| {
            if let Some(count) = counts.borrow_mut().get_mut(step as usize) {
                *count += steps as u64;
            }
        });
    }

    /// A time in which the broker's lock is held.
    #[derive(Debug)]
    pub(crate) struct Hold {
        begun: u64,
    }

    fn all() -> u64 {
        COUNTS.with(|counts| counts.borrow().iter().sum())
    }

    impl Hold {
        pub(crate) fn begin() -> Self {
            Self { begun: all() }
        }
    }

    impl Drop for Hold {
        fn drop(&mut self) {
            let steps = all().saturating_sub(self.begun);
            LONGEST.with(|longest| longest.set(longest.get().max(steps)));
        }
    }
}

#[cfg(broker_steps)]
pub(crate) use counting::{Hold, count};
#[cfg(broker_steps)]
pub use counting::{Steps, take};

#[cfg(not(broker_steps))]
#[inline]
pub(crate) const fn count(_: Step, _: usize) {}

/// A time in which the broker's lock is held.
#[cfg(not(broker_steps))]
#[derive(Debug)]
pub(crate) struct Hold;

#[cfg(not(broker_steps))]
impl Hold {
    #[inline]
    pub(crate) const fn begin() -> Self {
        Self
    }
}
