//! The clauses of the suite, with their names and what each demands in one sentence.
//! How a clause is checked is decided in `single`, `objects`, `readers`, `watch` and `threads`.
//!
//! Callers: tests of hosts, and the other files of this module.

use std::fmt;

/// One demand on a store that publishes what it commits.
///
/// ```
/// use event_broker::testing::suite::Clause;
///
/// assert_eq!(Clause::CommitFirst.to_string(), "commit_first");
/// assert!(Clause::ALL.iter().all(|clause| clause.sentence().len() > 40));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clause {
    /// A commit does not panic, and the state is then at its index, which is above the one before.
    Commits,
    /// Nothing is published before its commit: who is woken by a batch finds its change in the state.
    ///
    /// The state is read on another thread in the middle of the publish. A store that publishes under the lock that its
    /// readers need lets nobody look in between, and so keeps the clause.
    CommitFirst,
    /// What is rolled back or refused publishes nothing and changes nothing.
    ///
    /// The index of the state may move. That of the broker may follow, by a batch without events, and not pass it.
    ///
    /// It does not show in later commits either: without it, the other commands of a script have the same outcomes and
    /// make the same states on another store. A store that counts what it refuses says so by
    /// [`TestedStore::is_serial`](super::TestedStore::is_serial). If a commit then has another index, nothing is compared
    /// from there on.
    RollBack,
    /// Each commit that changes the state is published once, whole, as one batch, under its index.
    ///
    /// The batch has no event twice, with the same names and the same `Debug` form of the payload, if the second changes
    /// nothing that the first has not. A store that means it says so by
    /// [`TestedStore::repeats_events`](super::TestedStore::repeats_events).
    Once,
    /// An event has the namespace of the object that has changed.
    ///
    /// If objects of one key have changed, there is no event of that key in the namespace of another that has not.
    Namespaces,
    /// A changed object is found by its topic and key, and by each filter key; no event has another object's key.
    ///
    /// An event may have further filter keys, also those of other objects, unless the object says that there are none by
    /// [`Object::with_no_more_filter_keys`](super::Object::with_no_more_filter_keys). Those that it had before the commit
    /// are allowed beside the new ones.
    Keys,
    /// An object that leaves the state is in the events of the commit that removes it.
    Deletions,
    /// The payloads of a batch are the state as of its commit, in an order in which they can be applied.
    Payloads,
    /// The state listed at any index and the events after it rebuild each later state.
    Replay,
    /// The same with a buffer of two batches: who is overtaken is told, and lists again.
    Losses,
    /// Replicas that commit the same commands publish alike.
    Alike,
    /// Commits of several threads are published in the order of their indexes, none lost and none twice.
    ///
    /// A failure shows the index and the thread of each command. Commands that one thread commits silently are left out.
    ///
    /// One thread that makes the same commits on another store, in the order of their indexes, arrives at the same state:
    /// no commit was made of a stale read. A store that does not promise this says so by
    /// [`TestedStore::is_serial`](super::TestedStore::is_serial). What was refused is left out. If an index then becomes
    /// another one, the states are not compared.
    Concurrent,
}

impl Clause {
    /// Every clause, in the order in which [`Suite::run`](super::Suite::run) checks them.
    pub const ALL: [Self; 12] = [
        Self::Commits,
        Self::CommitFirst,
        Self::RollBack,
        Self::Once,
        Self::Namespaces,
        Self::Keys,
        Self::Deletions,
        Self::Payloads,
        Self::Replay,
        Self::Losses,
        Self::Alike,
        Self::Concurrent,
    ];

    /// Returns the name, as that of the test that [`store_tests!`](crate::store_tests) makes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::CommitFirst => "commit_first",
            Self::RollBack => "roll_back",
            Self::Once => "once",
            Self::Namespaces => "namespaces",
            Self::Keys => "keys",
            Self::Deletions => "deletions",
            Self::Payloads => "payloads",
            Self::Replay => "replay",
            Self::Losses => "losses",
            Self::Alike => "alike",
            Self::Concurrent => "concurrent",
        }
    }

    /// Returns what the clause demands, as one sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Commits => "a commit does not panic, and the state is then at its index, above the one before",
            Self::CommitFirst => "nothing is published before its commit, so who sees an event finds its change",
            Self::RollBack => "what is rolled back or refused publishes nothing and changes nothing",
            Self::Once => "a commit that changes the state is published once, as one batch, under its index",
            Self::Namespaces => "an event has the namespace of the object that has changed",
            Self::Keys => "a changed object is found by its key and filter keys, and no event has another's key",
            Self::Deletions => "an object that leaves the state is in the events of the commit that removes it",
            Self::Payloads => "the payloads are the state as of their commit, in an order that can be applied",
            Self::Replay => "the state listed at any index and the events after it rebuild each later state",
            Self::Losses => "a reader that is overtaken is told, lists again, and arrives at the same state",
            Self::Alike => "replicas that commit the same commands publish alike",
            Self::Concurrent => "commits of several threads are published in order, none lost and none twice",
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
