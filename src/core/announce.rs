//! Access changes that the host announces: by an event, by a call, or by the time at which a grant expires.
//! Which subscriptions a change concerns is decided in `registry`, and what it does to a reader in `subscription`.
//!
//! Invariants:
//! - The authorizer runs before the lock is taken, and readers are woken after it is released.
//! - A change is set on the gates of all subscriptions that it concerns in one hold of the lock.
//!
//! Callers: `publish` for the changes that events carry; `broker` for the others. None holds a lock.

use std::collections::HashSet;
use std::sync::Arc;

use super::shared::Waiter;
use super::state::{Core, MAX_PER_STEP};
use crate::access::AccessChange;
use crate::types::event::Event;

impl<P> Core<P> {
    /// Returns the access changes that the events carry, each once.
    #[inline]
    pub(super) fn access_changes(&self, events: &[Event<P>]) -> Vec<AccessChange> {
        let Some(authorizer) = &self.hooks.authorizer else { return Vec::new() };
        let mut changes = Vec::new();
        for event in events {
            authorizer.changes(event, &mut changes);
        }
        without_repeats(changes)
    }

    /// Sets a change on the gates of the readers that it concerns, and wakes them.
    pub(crate) fn access_changed(&self, change: AccessChange) {
        // They are not queued for a dispatcher, which may be stuck: the latency of this call does not matter.
        let mut waiters: Vec<Waiter> = Vec::new();
        self.state.lock_priority().fence(&[change], |waiter| waiters.push(Arc::clone(waiter)));
        for waiter in waiters {
            waiter.wake();
        }
    }

    /// Ends the subscriptions whose grant has expired and wakes their readers, some at a time.
    pub(crate) fn tick(&self) {
        let now = self.hooks.clock.now();
        loop {
            let expired = self.state.lock_step().registry.expire(now, MAX_PER_STEP);
            if expired.is_empty() {
                return;
            }
            for waiter in expired {
                waiter.wake();
            }
        }
    }
}

/// Removes repeated changes. A batch may hold a thousand events of one policy, and each of them would be set on the
/// gate of every subscription that rests on it.
fn without_repeats(mut changes: Vec<AccessChange>) -> Vec<AccessChange> {
    if changes.len() > 1 {
        let mut seen = HashSet::with_capacity(changes.len());
        changes.retain(|change| seen.insert(change.clone()));
    }
    changes
}
