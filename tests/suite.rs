//! The suite for stores: a small store passes it, and each bug that can be switched on in that store is caught by the
//! clause that names it, with the seed and the shortest script. Other stores that are right pass it, too.
#![cfg(all(feature = "testing", not(broker_loom)))]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::significant_drop_tightening, reason = "a store holds its lock until it has published")]

#[path = "suite/counter.rs"]
mod counter;
#[path = "suite/jobs.rs"]
mod jobs;
#[path = "suite/right.rs"]
mod right;
#[path = "suite/scoped.rs"]
mod scoped;
#[path = "suite/store.rs"]
mod store;

use event_broker::testing::Random;
use event_broker::testing::suite::{Clause, Failure, Outcome, Suite, TestedStore, assert_store};
use event_broker::{Broker, Builder, Event};

use store::*;

#[test]
fn without_the_names_of_objects_deletions_are_seen_in_the_state() {
    assert!(Clause::ALL.into_iter().all(|clause| Suite::<Unnamed<NONE>>::new().check(clause).is_ok()));
    let failures = [first_failure::<Unnamed<FORGETS_A_CASCADE>>(), first_failure::<Unnamed<FORGETS_DELETIONS>>()];
    for failure in failures {
        assert_eq!((failure.clause(), failure.commands().len()), (Clause::Deletions, 2), "{failure}");
        assert!(failure.to_string().contains("\n+ "), "{failure}");
    }
    let failure = first_failure::<Unnamed<STALE_PAYLOAD>>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::Payloads, 2), "{failure}");
}

/// A store with parameters that are types.
struct Generic<A>(Store<STALE_PAYLOAD>, std::marker::PhantomData<fn() -> A>);

impl<A: Sync> TestedStore for Generic<A> {
    type Payload = Change;
    type State = Tables;
    type Command = Command;

    fn make(broker: Builder<Change>) -> Self {
        Self(Store::make(broker), std::marker::PhantomData)
    }

    fn broker(&self) -> Broker<Change> {
        self.0.broker()
    }

    fn draw(&self, random: &mut Random) -> Command {
        self.0.draw(random)
    }

    fn commit(&self, command: &Command) -> Outcome {
        self.0.commit(command)
    }

    fn state(&self) -> (u64, Tables) {
        TestedStore::state(&self.0)
    }

    fn apply(tables: &mut Tables, event: &Event<Change>) {
        Store::<STALE_PAYLOAD>::apply(tables, event);
    }
}

#[test]
fn the_call_that_is_shown_names_the_store() {
    let failure = Suite::<Generic<Vec<Option<Task>>>>::new().check(Clause::Payloads).unwrap_err();
    let again = "again: Suite::<Generic<Vec<Option<Task>>>>::new().seed(1).scripts(1).assert(Clause::Payloads), or set";
    assert!(failure.to_string().contains(again), "{failure}");
    let failure = Suite::<Generic<(&str, [u8; 2])>>::new().check(Clause::Payloads).unwrap_err();
    assert!(failure.to_string().contains("again: Suite::<Generic<(&str, [u8; 2])>>::new()"), "{failure}");
}

mod without_bugs {
    use super::{NONE, Store};

    event_broker::store_tests!(Store<NONE>);
}

/// The first clause that a store breaks.
fn first_failure<S: TestedStore>() -> Failure {
    let suite = Suite::<S>::new();
    Clause::ALL.into_iter().find_map(|clause| suite.check(clause).err()).unwrap()
}

/// It does nothing unless the next test runs it, in a process of its own.
#[test]
fn breaks_a_clause_if_asked() {
    if std::env::var_os("BREAK_A_CLAUSE").is_some() {
        Suite::<Store<STALE_PAYLOAD>>::new().assert(Clause::Payloads);
    }
}

/// What that test prints with this seed in the environment.
fn broken_with(seed: &str) -> String {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "breaks_a_clause_if_asked"]).env("BREAK_A_CLAUSE", "1").env("EVENT_BROKER_SUITE_SEED", seed);
    let output = child.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_environment_can_set_the_seed() {
    let text = broken_with("77");
    assert!(text.contains("seed 77; again: "), "{text}");
    let text = broken_with("");
    assert!(text.contains("seed 1; again: "), "{text}");
}

#[test]
fn a_seed_that_is_no_number_is_an_error_of_the_caller() {
    let text = broken_with("x");
    assert!(text.contains("EVENT_BROKER_SUITE_SEED is \"x\", expected a number or nothing"), "{text}");
    assert!(text.contains("panicked at tests/suite.rs:"), "{text}");
}

#[test]
fn a_run_of_all_clauses_panics_with_the_first_failure() {
    let panic = std::panic::catch_unwind(assert_store::<Store<STALE_PAYLOAD>>);
    let text = panic.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*text, first_failure::<Store<STALE_PAYLOAD>>().to_string());
    Suite::<Store<NONE>>::new().scripts(4).run();
    // A clause that is left out is not checked, and another length is part of the call that draws the script again.
    let suite = Suite::<Store<ORDER_OF_A_HASH_MAP>>::new().commands(9);
    suite.clone().without(Clause::Alike).run();
    let failure = suite.check(Clause::Alike).unwrap_err();
    assert!(failure.to_string().contains(".scripts(1).commands(9).assert(Clause::Alike)"), "{failure}");
}

#[track_caller]
fn caught<const BUG: u32>(clause: Clause, commands: usize, found: &str) {
    let failure = first_failure::<Store<BUG>>();
    let text = failure.to_string();
    assert_eq!(failure.clause(), clause, "{text}");
    assert!(failure.found().contains(found), "{text}");
    assert!(failure.commands().len() <= commands, "{text}");
    assert!(text.lines().count() <= 25, "{text}");
    let again = format!("Suite::<Store<{BUG}>>::new().seed({}).scripts(1).assert(Clause::{clause:?})", failure.seed());
    assert!(text.contains(&again) && text.contains(clause.sentence()), "{text}");
    assert_eq!(text.ends_with("; it depends on threads: repeat it"), clause == Clause::Concurrent, "{text}");
    let is_noted = text.contains(", thread 1: ");
    assert_eq!(is_noted, clause == Clause::Concurrent && !text.contains("panicked"), "{text}");
    for command in failure.commands() {
        assert!(text.contains(command), "{text}");
    }
    // The seed draws a script that fails, first. Threads may do well for once.
    let suite = Suite::<Store<BUG>>::new().seed(failure.seed()).scripts(1);
    let again = (0..10).find_map(|_| suite.check(clause).err()).unwrap();
    assert_eq!((again.clause(), again.seed()), (clause, failure.seed()));
}

macro_rules! bugs {
    ($($name:ident: $bug:ident, $clause:ident, $commands:literal, $found:literal;)*) => { $(
        #[test]
        fn $name() {
            caught::<$bug>(Clause::$clause, $commands, $found);
        }
    )* };
}

bugs! {
    a_panic: PANICS_IN_A_COMMIT, Commits, 2, "the commit panicked: no room for 3 rows";
    an_index_that_stands_still: INDEX_STANDS_STILL, Commits, 2, "but the state was at 1 before";
    a_publish_before_the_commit: PUBLISHES_BEFORE_COMMIT, CommitFirst, 1, "when the state was still at 0";
    a_publish_of_what_is_rolled_back: PUBLISHES_ON_ROLL_BACK, RollBack, 1, "something is published";
    a_publish_of_what_is_refused: PUBLISHES_WHAT_IS_REFUSED, RollBack, 1, "something is published";
    a_roll_back_that_leaves_a_part: KEEPS_WHAT_IS_ROLLED_BACK, RollBack, 2, "the state has changed";
    a_commit_that_is_forgotten: FORGETS_EVERY_FIFTH_COMMIT, Once, 5, "but is not published";
    a_commit_that_is_published_twice: PUBLISHES_TWICE, Once, 1, "as 2 batches";
    a_commit_that_is_split: SPLITS_A_COMMIT, Once, 1, "as 2 batches";
    two_commits_as_one_batch: MERGES_TWO_COMMITS, Once, 1, "but is not published";
    a_wrong_index: WRONG_INDEX, Once, 1, "under index 2";
    a_wrong_namespace: WRONG_NAMESPACE, Namespaces, 1, "has the namespace \"default\"";
    a_filter_key_that_is_forgotten: FORGETS_A_FILTER_KEY, Keys, 1, "a subscription to its filter key";
    a_filter_key_too_many: TOO_MANY_FILTER_KEYS, Keys, 1, "has the filter key \"everything\", which is not the object's";
    a_wrong_key: WRONG_KEY, Keys, 1, "an event of \"task\" is published";
    a_cascade_that_is_forgotten: FORGETS_A_CASCADE, Deletions, 2, "has left the state, but no event has";
    deletions_that_are_forgotten: FORGETS_DELETIONS, Deletions, 2, "has left the state, but no event has";
    a_stale_payload: STALE_PAYLOAD, Payloads, 2, "the events do not make the new state";
    a_batch_in_the_wrong_order: REVERSES_A_BATCH, Payloads, 1, "the events do not make the new state";
    a_history_that_is_reset: RESETS_NOW_AND_THEN, Replay, 7, "has ended";
    a_history_that_is_reset_when_it_is_long: RESETS_AFTER_EVICTION, Losses, 3, "has ended";
    the_order_of_a_hash_map: ORDER_OF_A_HASH_MAP, Alike, 3, "two replicas have not published the same";
    the_time_in_a_payload: TIME_IN_PAYLOAD, Alike, 1, "two replicas have not published the same";
    a_publish_without_the_lock: PUBLISHES_WITHOUT_THE_LOCK, Concurrent, 4, "panicked";
    a_refused_publish_that_is_ignored: LOSES_A_REFUSED_PUBLISH, Concurrent, 4, "not published: [";
    a_list_without_the_lock: LISTS_WITHOUT_THE_LOCK, Concurrent, 24, "does not make the state of that index";
}
