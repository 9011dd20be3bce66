//! The access changes while the authorizer decides, so that no decision is used that has become stale.
//! Which open subscriptions a change concerns is decided in `registry`.
//!
//! A decision is pending from [`begin`](PendingDecisions::begin) to [`end`](PendingDecisions::end). It takes one
//! attempt or more, each of which calls the authorizer once. A grant has several bases: the tokens, policies and roles
//! that it rests on.
//!
//! Invariants:
//! - A change is recorded while at least one decision is pending, and forgotten when none is.
//! - A decision is stale if one of its bases changed since its attempt started.
//! - A change on the thread of the attempt is the authorizer's own, which can take it into account when it decides.
//!   Such changes count for the first [`ATTEMPTS_WITH_OWN_CHANGES`] attempts alone. Otherwise an authorizer that
//!   changes something on each call, such as when a token was last used, would be called for ever.
//! - At most [`MAX_BASES`] different bases are recorded. Beyond that, all of them count as changed: the authorizer is
//!   then called once too often, and never once too seldom.
//!
//! Callers: `recheck`, and `State::fence` for the changes, under the broker's lock.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::access::{AccessChange, Basis, Grant};
use crate::steps::{Step, count};
use crate::sync::{ThreadId, thread_id};
use crate::types::principal::Principal;

/// The most bases that are recorded one by one: some 64 KiB, however long a decision takes.
const MAX_BASES: usize = 512;

/// The number of attempts in a row that the authorizer's own changes make stale.
const ATTEMPTS_WITH_OWN_CHANGES: u32 = 3;

/// The number of a change, from 1 on.
type Change = u64;

/// The changes since the first of the decisions that are pending.
#[derive(Debug, Default)]
pub(crate) struct PendingDecisions {
    /// The principals that decisions are pending about, by the thread that calls the authorizer.
    pending: HashMap<ThreadId, Vec<Option<Arc<str>>>>,
    changes: Change,
    everyone: LastChange,
    bases: HashMap<Basis, LastChange>,
    /// The last change that is not recorded by its basis.
    unrecorded: Change,
    /// The last deletion of each token that a decision is pending about. There are at most as many as pending
    /// decisions, so they are recorded whatever else changes.
    deleted: HashMap<Arc<str>, Change>,
}

/// The last change of one basis.
#[derive(Clone, Copy, Debug, Default)]
struct LastChange {
    change: Change,
    thread: Option<ThreadId>,
    /// The last change by a thread other than `thread`.
    by_others: Change,
    deleted: Change,
}

impl LastChange {
    fn record(&mut self, change: Change, thread: ThreadId, deleted: bool) {
        if self.thread != Some(thread) {
            self.by_others = self.change;
            self.thread = Some(thread);
        }
        self.change = change;
        if deleted {
            self.deleted = change;
        }
    }

    fn is_after(&self, attempt: Attempt) -> bool {
        let is_own = attempt.number > ATTEMPTS_WITH_OWN_CHANGES && self.thread == Some(attempt.thread);
        let last = if is_own { self.by_others } else { self.change };
        last > attempt.changes
    }
}

/// One call of the authorizer: the changes before it, its thread, and its number among the attempts for one
/// subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    changes: Change,
    thread: ThreadId,
    number: u32,
}

/// Whether a decision can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// One of its bases changed since the attempt started.
    Stale,
    /// A token that it rests on was deleted. There is nothing left to decide.
    Deleted,
}

impl PendingDecisions {
    /// Begins a pending decision about a principal. [`end`](Self::end) must follow.
    pub(crate) fn begin(&mut self, principal: &Principal) {
        self.pending.entry(thread_id()).or_default().push(principal.public_id());
    }

    /// Ends a pending decision, on the thread that began it.
    pub(crate) fn end(&mut self) {
        if let Entry::Occupied(mut pending) = self.pending.entry(thread_id()) {
            pending.get_mut().pop();
            if pending.get().is_empty() {
                pending.remove();
            }
        }
        if self.pending.is_empty() {
            count(Step::Move, self.bases.len());
            (self.bases, self.everyone, self.unrecorded) = (HashMap::new(), LastChange::default(), 0);
            self.deleted = HashMap::new();
        }
    }

    /// Returns whether this is a change of the token that this thread has a decision pending about. Then the authorizer
    /// makes it.
    pub(crate) fn is_own_change(&self, change: &AccessChange) -> bool {
        let AccessChange::Token(id) = change else { return false };
        let principals = self.pending.get(&thread_id());
        principals.is_some_and(|principals| {
            principals.iter().any(|principal| principal.as_deref().unwrap_or(Principal::ANONYMOUS) == &**id)
        })
    }

    /// Returns an attempt that starts now: the first one, or a later one. The decision must be [pending](Self::begin).
    pub(crate) fn start_attempt(&self, number: u32) -> Attempt {
        Attempt { changes: self.changes, thread: thread_id(), number }
    }

    /// Records a change, if a decision is pending.
    pub(crate) fn record(&mut self, change: &AccessChange) {
        if self.pending.is_empty() {
            return;
        }
        self.changes += 1;
        let Some(basis) = change.basis() else {
            self.everyone.record(self.changes, thread_id(), false);
            return;
        };
        if self.bases.len() >= MAX_BASES && !self.bases.contains_key(&basis) {
            self.bases = HashMap::new();
            self.unrecorded = self.changes - 1;
        }
        let deleted = matches!(change, AccessChange::TokenDeleted(_));
        if let AccessChange::TokenDeleted(id) = change {
            let mut principals = self.pending.values().flatten();
            if principals.any(|principal| principal.as_deref().unwrap_or(Principal::ANONYMOUS) == &**id) {
                self.deleted.insert(Arc::clone(id), self.changes);
            }
        }
        self.bases.entry(basis).or_default().record(self.changes, thread_id(), deleted);
    }

    /// Returns whether a decision can still be used.
    pub(crate) fn freshness(&self, attempt: Attempt, grant: &Grant, principal: &Principal) -> Freshness {
        let mut stale = self.unrecorded > attempt.changes || self.everyone.is_after(attempt);
        if self.changes > attempt.changes {
            let deleted = self.deleted.get(principal.id());
            if deleted.is_some_and(|deleted| *deleted > attempt.changes) {
                return Freshness::Deleted;
            }
            for last in grant.basis(principal).filter_map(|basis| self.bases.get(&basis)) {
                if last.deleted > attempt.changes {
                    return Freshness::Deleted;
                }
                stale |= last.is_after(attempt);
            }
        }
        if stale { Freshness::Stale } else { Freshness::Fresh }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    fn token(id: &str) -> AccessChange {
        AccessChange::Token(id.into())
    }

    /// Returns the freshness of a decision that rests on the token `own` and the policy `p`, and on the token `t`,
    /// after these changes on another thread.
    fn freshness(changes: &[AccessChange]) -> Freshness {
        let mut decisions = PendingDecisions::default();
        decisions.begin(&Principal::new("own"));
        decisions.record(&token("own"));
        let attempt = decisions.start_attempt(1);
        std::thread::scope(|scope| {
            scope.spawn(|| changes.iter().for_each(|change| decisions.record(change)));
        });
        let (principal, grant) = (Principal::new("own"), Grant::all().resting_on_policy("p").resting_on_token("t"));
        decisions.freshness(attempt, &grant, &principal)
    }

    #[test]
    fn an_answer_is_stale_if_what_it_rests_on_changed() {
        assert_eq!(freshness(&[]), Freshness::Fresh);
        assert_eq!(freshness(&[token("another"), AccessChange::Policy("q".into())]), Freshness::Fresh);
        for change in [token("own"), token("t"), AccessChange::Policy("p".into()), AccessChange::Everyone] {
            assert_eq!(freshness(&[token("another"), change]), Freshness::Stale);
        }
        for id in ["own", "t"] {
            assert_eq!(freshness(&[AccessChange::TokenDeleted(id.into()), token(id)]), Freshness::Deleted);
        }
    }

    #[test]
    fn more_bases_than_are_recorded_are_all_of_them() {
        let many = |count: usize| (0..count).map(|number| token(&number.to_string())).collect::<Vec<_>>();
        assert_eq!(freshness(&many(MAX_BASES - 1)), Freshness::Fresh);
        assert_eq!(freshness(&many(MAX_BASES + 1)), Freshness::Stale);
        // The deletion of the token that the decision is about is not among what is forgotten.
        let deleted = [AccessChange::TokenDeleted("own".into())];
        assert_eq!(freshness(&[&deleted[..], &many(MAX_BASES + 1)].concat()), Freshness::Deleted);
        assert_eq!(freshness(&[many(MAX_BASES + 1), deleted.into()].concat()), Freshness::Deleted);
    }

    #[test]
    fn what_the_authorizer_itself_changes_each_time_is_known_to_it() {
        let (principal, grant) = (Principal::new("own"), Grant::all());
        let mut decisions = PendingDecisions::default();
        decisions.record(&token("own"));
        decisions.begin(&Principal::new("own"));
        for number in 1..=ATTEMPTS_WITH_OWN_CHANGES {
            let attempt = decisions.start_attempt(number);
            decisions.record(&token("own"));
            assert_eq!(decisions.freshness(attempt, &grant, &principal), Freshness::Stale);
        }
        let attempt = decisions.start_attempt(ATTEMPTS_WITH_OWN_CHANGES + 1);
        decisions.record(&token("own"));
        assert_eq!(decisions.freshness(attempt, &grant, &principal), Freshness::Fresh);
        std::thread::scope(|scope| {
            scope.spawn(|| decisions.record(&token("own")));
        });
        decisions.record(&token("own"));
        assert_eq!(decisions.freshness(attempt, &grant, &principal), Freshness::Stale);
        decisions.record(&AccessChange::TokenDeleted("own".into()));
        assert_eq!(decisions.freshness(attempt, &grant, &principal), Freshness::Deleted);
        decisions.end();
        assert!(decisions.bases.is_empty());
    }
}
