//! What changed of access while the authorizer is being asked, so that an answer that became stale is not used.
//! Whom a change concerns among open subscriptions is the registry's business.
//!
//! Invariants, all under the broker's lock:
//! - a change is noted while at least one question is open, and forgotten when none is;
//! - an answer is stale if something that it rests on changed since its question was put. A change that was made on
//!   the thread of the question is the authorizer's own, which can know of it when it answers: an authorizer that
//!   changes something each time that it is asked, such as when a token was last used, would be asked for ever. So
//!   such changes count for the first [`WITH_OWN`] questions alone;
//! - at most [`MOST`] different bases are noted. Beyond that, all of them count as changed: an answer is then asked for
//!   once too often, and never once too seldom.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::access::{AccessChange, Basis, Grant};
use crate::steps::{Step, count};
use crate::sync::{ThreadId, thread_id};
use crate::types::principal::Principal;

/// So many bases are noted one by one: some 64 KiB, however long a question takes.
const MOST: usize = 512;

/// So many questions in turn are stale by changes that the authorizer made itself.
const WITH_OWN: u32 = 3;

/// The number of a change, from 1 on.
type Change = u64;

/// The changes since the first of the questions that are open.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// About whom questions are open, by the threads that ask.
    open: HashMap<ThreadId, Vec<Option<Arc<str>>>>,
    changes: Change,
    everyone: Latest,
    bases: HashMap<Basis, Latest>,
    /// The last change that was not noted by its basis.
    unnoted: Change,
    /// When tokens that questions are open about were deleted last. As many as there are questions: they are noted whatever
    /// else changes.
    deleted: HashMap<Arc<str>, Change>,
}

/// When one basis changed last.
#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    change: Change,
    by: Option<ThreadId>,
    /// The last change by another thread than that.
    by_another: Change,
    deleted: Change,
}

impl Latest {
    fn note(&mut self, change: Change, by: ThreadId, deleted: bool) {
        if self.by != Some(by) {
            self.by_another = self.change;
            self.by = Some(by);
        }
        self.change = change;
        if deleted {
            self.deleted = change;
        }
    }

    fn is_after(&self, asked: Asked) -> bool {
        let is_own = asked.questions > WITH_OWN && self.by == Some(asked.by);
        let last = if is_own { self.by_another } else { self.change };
        last > asked.changes
    }
}

/// When a question was put, by which thread, and how many there were with it for one subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    changes: Change,
    by: ThreadId,
    questions: u32,
}

/// What became of an answer meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// Something that it rests on changed since the question was put.
    Stale,
    /// A token that it rests on was deleted: nothing is left to ask.
    Deleted,
}

impl Questions {
    /// Notes that a question will be asked. [`close`](Self::close) must follow.
    pub(crate) fn open(&mut self, principal: &Principal) {
        self.open.entry(thread_id()).or_default().push(principal.public_id());
    }

    /// Notes that a question has been asked, on the thread that opened it.
    pub(crate) fn close(&mut self) {
        if let Entry::Occupied(mut open) = self.open.entry(thread_id()) {
            open.get_mut().pop();
            if open.get().is_empty() {
                open.remove();
            }
        }
        if self.open.is_empty() {
            count(Step::Move, self.bases.len());
            (self.bases, self.everyone, self.unnoted) = (HashMap::new(), Latest::default(), 0);
            self.deleted = HashMap::new();
        }
    }

    /// Whether this is a change of the token that this thread is asking about: then it is the authorizer that makes it.
    pub(crate) fn are_about(&self, change: &AccessChange) -> bool {
        let AccessChange::Token(id) = change else { return false };
        let asked = self.open.get(&thread_id());
        asked.is_some_and(|asked| {
            asked.iter().any(|principal| principal.as_deref().unwrap_or(Principal::ANONYMOUS) == &**id)
        })
    }

    /// The moment at which a question is put, the first or a later one. It must be [open](Self::open).
    pub(crate) fn ask(&self, questions: u32) -> Asked {
        Asked { changes: self.changes, by: thread_id(), questions }
    }

    /// Notes a change, if a question is open.
    pub(crate) fn note(&mut self, change: &AccessChange) {
        if self.open.is_empty() {
            return;
        }
        self.changes += 1;
        let Some(basis) = change.basis() else {
            self.everyone.note(self.changes, thread_id(), false);
            return;
        };
        if self.bases.len() >= MOST && !self.bases.contains_key(&basis) {
            self.bases = HashMap::new();
            self.unnoted = self.changes - 1;
        }
        let deleted = matches!(change, AccessChange::TokenDeleted(_));
        if let AccessChange::TokenDeleted(id) = change {
            let mut asked = self.open.values().flatten();
            if asked.any(|principal| principal.as_deref().unwrap_or(Principal::ANONYMOUS) == &**id) {
                self.deleted.insert(Arc::clone(id), self.changes);
            }
        }
        self.bases.entry(basis).or_default().note(self.changes, thread_id(), deleted);
    }

    /// What became of the answer to a question. Without a grant there was nobody to ask.
    pub(crate) fn freshness(&self, asked: Asked, grant: &Grant, principal: &Principal) -> Freshness {
        let mut stale = self.unnoted > asked.changes || self.everyone.is_after(asked);
        if self.changes > asked.changes {
            let deleted = self.deleted.get(principal.id());
            if deleted.is_some_and(|deleted| *deleted > asked.changes) {
                return Freshness::Deleted;
            }
            for latest in grant.basis(principal).filter_map(|basis| self.bases.get(&basis)) {
                if latest.deleted > asked.changes {
                    return Freshness::Deleted;
                }
                stale |= latest.is_after(asked);
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

    /// What a question finds whose answer rests on the token `own` and the policy `p`, if this changes meanwhile, on
    /// another thread.
    fn freshness(changes: &[AccessChange]) -> Freshness {
        let mut questions = Questions::default();
        questions.open(&Principal::new("own"));
        questions.note(&token("own"));
        let asked = questions.ask(1);
        std::thread::scope(|scope| {
            scope.spawn(|| changes.iter().for_each(|change| questions.note(change)));
        });
        let (principal, grant) = (Principal::new("own"), Grant::all().resting_on_policy("p").resting_on_token("t"));
        questions.freshness(asked, &grant, &principal)
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
    fn more_bases_than_are_noted_are_all_of_them() {
        let many = |count: usize| (0..count).map(|number| token(&number.to_string())).collect::<Vec<_>>();
        assert_eq!(freshness(&many(MOST - 1)), Freshness::Fresh);
        assert_eq!(freshness(&many(MOST + 1)), Freshness::Stale);
        // The deletion of the token that is asked about is not among what is forgotten.
        let deleted = [AccessChange::TokenDeleted("own".into())];
        assert_eq!(freshness(&[&deleted[..], &many(MOST + 1)].concat()), Freshness::Deleted);
        assert_eq!(freshness(&[many(MOST + 1), deleted.into()].concat()), Freshness::Deleted);
    }

    #[test]
    fn what_the_authorizer_itself_changes_each_time_is_known_to_it() {
        let (principal, grant) = (Principal::new("own"), Grant::all());
        let mut questions = Questions::default();
        questions.note(&token("own"));
        questions.open(&Principal::new("own"));
        for number in 1..=WITH_OWN {
            let asked = questions.ask(number);
            questions.note(&token("own"));
            assert_eq!(questions.freshness(asked, &grant, &principal), Freshness::Stale);
        }
        let asked = questions.ask(WITH_OWN + 1);
        questions.note(&token("own"));
        assert_eq!(questions.freshness(asked, &grant, &principal), Freshness::Fresh);
        std::thread::scope(|scope| {
            scope.spawn(|| questions.note(&token("own")));
        });
        questions.note(&token("own"));
        assert_eq!(questions.freshness(asked, &grant, &principal), Freshness::Stale);
        questions.note(&AccessChange::TokenDeleted("own".into()));
        assert_eq!(questions.freshness(asked, &grant, &principal), Freshness::Deleted);
        questions.close();
        assert!(questions.bases.is_empty());
    }
}
