//! A suite for stores that publish: an author implements one trait, and all that one would want of such a store is run.
//! What a store must do is listed in `clause`; nothing here is about readers that lists and events alone do not need.
//!
//! A store commits changes of its state, and publishes each commit as one batch. What readers rely on is that a list of
//! the state and the events after it rebuild every later state. The suite draws scripts of commands, runs them on stores
//! of their own, and checks this clause by clause:
//!
//! | clause | demands |
//! |---|---|
//! | [`commits`](Clause::Commits) | a commit does not panic, and the state is then at its index |
//! | [`commit_first`](Clause::CommitFirst) | nothing is published before its commit |
//! | [`roll_back`](Clause::RollBack) | what is rolled back or refused publishes and changes nothing |
//! | [`once`](Clause::Once) | each commit is published once, as one batch, under its index |
//! | [`namespaces`](Clause::Namespaces) | events have the namespace of their object |
//! | [`keys`](Clause::Keys) | an object is found by its key and its filter keys |
//! | [`deletions`](Clause::Deletions) | deletions are events |
//! | [`payloads`](Clause::Payloads) | payloads are the state as of their commit, in an order that can be applied |
//! | [`replay`](Clause::Replay) | list at any index, then follow |
//! | [`losses`](Clause::Losses) | the same after losses |
//! | [`alike`](Clause::Alike) | replicas publish alike |
//! | [`concurrent`](Clause::Concurrent) | commits of several threads |
//!
//! [`assert_store`] runs all of them, [`Suite`] some, and [`store_tests!`](crate::store_tests) makes a test of each. A
//! [`Failure`] has the shortest script that shows it. A store implements [`TestedStore`], where an example is.
//!
//! The suite waits for the store without a bound: see [`TestedStore::commit`] on stores that deadlock. How long it takes
//! is said at [`Suite`].
//!
//! Clauses rest on each other in this order, so the first that fails is the one to look at. [`Clause::Namespaces`] and
//! [`Clause::Keys`] need [`TestedStore::objects`].

mod clause;
mod config;
mod lines;
mod objects;
mod readers;
mod run;
mod script;
mod serial;
mod single;
mod store;
mod threads;
mod violation;
mod watch;

pub use clause::Clause;
pub use config::{Suite, assert_store};
pub use store::{Object, Outcome, TestedStore};
pub use violation::Failure;

/// Makes a `#[test]` of each clause of the [suite](crate::testing::suite), with the name of the clause.
///
/// What follows the store is the suite to use, for other seeds or lengths.
///
/// ```
/// # use std::sync::Mutex;
/// # use event_broker::testing::{Random, suite::{Outcome, TestedStore}};
/// # use event_broker::{Broker, Builder, Event};
/// # struct Counter(Mutex<(u64, u32)>, Broker<u32>);
/// # impl TestedStore for Counter {
/// #     type Payload = u32;
/// #     type State = u32;
/// #     type Command = u32;
/// #     fn make(broker: Builder<u32>) -> Self { Self(Mutex::default(), broker.build().unwrap()) }
/// #     fn broker(&self) -> Broker<u32> { self.1.clone() }
/// #     fn draw(&self, random: &mut Random) -> u32 { 1 + random.pick(&[1, 2, 3]) }
/// #     fn commit(&self, more: &u32) -> Outcome {
/// #         let mut state = self.0.lock().unwrap();
/// #         *state = (state.0 + 1, state.1 + more);
/// #         self.1.publish(state.0, [Event::new("Count", "Changed", "", state.1)]).unwrap();
/// #         Outcome::Committed(state.0)
/// #     }
/// #     fn state(&self) -> (u64, u32) { *self.0.lock().unwrap() }
/// #     fn apply(state: &mut u32, event: &Event<u32>) { *state = *event.payload() }
/// # }
/// mod suite {
///     event_broker::store_tests!(super::Counter);
/// }
///
/// mod many_more_scripts {
///     use event_broker::testing::suite::Suite;
///     event_broker::store_tests!(super::Counter, Suite::new().seed(100).scripts(1_000));
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_tests {
    ($store:ty $(,)?) => {
        $crate::store_tests!($store, $crate::testing::suite::Suite::new());
    };
    ($store:ty, $suite:expr $(,)?) => {
        $crate::store_tests! { @ $store, $suite,
            commits Commits, commit_first CommitFirst, roll_back RollBack, once Once, namespaces Namespaces, keys Keys,
            deletions Deletions, payloads Payloads, replay Replay, losses Losses, alike Alike, concurrent Concurrent,
        }
    };
    (@ $store:ty, $suite:expr, $clause:ident $variant:ident, $($rest:tt)*) => {
        #[test]
        fn $clause() {
            let suite: $crate::testing::suite::Suite<$store> = $suite;
            suite.assert($crate::testing::suite::Clause::$variant);
        }
        $crate::store_tests! { @ $store, $suite, $($rest)* }
    };
    (@ $store:ty, $suite:expr,) => {};
}
