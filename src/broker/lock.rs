//! The broker's lock, and who goes first: a publisher waits for one step of somebody else at most, however many there are.
//! What is locked, and what a step does, is not known here.
//!
//! Subscribers, readers that ask for access, and whoever wants to know something take turns at a lock of their own, and
//! only who has that competes with a publisher. It hands the broker's lock over to a publisher that waits, instead of
//! leaving it to whoever is awake and quick. So a step is to be short: what takes as long as a request is long is done
//! outside the lock, or in several steps.

use std::ops::{Deref, DerefMut};

use crate::steps::Hold;
use crate::sync::{Mutex, MutexGuard, unlock_to_waiter};

/// What is changed under the lock.
pub(super) struct Locked<S> {
    state: Mutex<S>,
    /// Whose turn it is among those who do not publish. Taken before the state, never after it.
    turn: Mutex<()>,
}

/// A step of somebody who does not publish.
pub(super) struct Step<'a, S> {
    state: Option<MutexGuard<'a, S>>,
    _hold: Hold,
    _turn: MutexGuard<'a, ()>,
}

impl<S> Locked<S> {
    pub(super) fn new(state: S) -> Self {
        Self { state: Mutex::new(state), turn: Mutex::new(()) }
    }

    /// For publishing, and for what the host does to all readers at once.
    #[inline]
    pub(super) fn publish(&self) -> MutexGuard<'_, S> {
        self.state.lock()
    }

    /// For everybody else, and for a step that is short.
    pub(super) fn step(&self) -> Step<'_, S> {
        let turn = self.turn.lock();
        let state = Some(self.state.lock());
        Step { state, _hold: Hold::begin(), _turn: turn }
    }
}

impl<S> Deref for Step<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.state.as_ref().expect("a step has the state until it is over")
    }
}

impl<S> DerefMut for Step<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.state.as_mut().expect("a step has the state until it is over")
    }
}

impl<S> Drop for Step<'_, S> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            unlock_to_waiter(state);
        }
    }
}
