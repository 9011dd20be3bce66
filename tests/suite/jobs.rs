//! A store of names whose removals are drawn from its state, with switches for what only such a store shows.

use std::collections::BTreeSet;
use std::sync::Mutex;

use event_broker::testing::Random;
use event_broker::testing::suite::{Clause, Object, Outcome, Suite, TestedStore};
use event_broker::{Broker, Builder, Event};

const NONE: u32 = 0;
/// The event of a removal says that the name is there.
const REMOVAL_DOES_NOT_REMOVE: u32 = 1;
/// Removals are published before they are committed; all else is published under the lock of the state.
const REMOVES_AFTER_PUBLISHING: u32 = 2;
/// A commit announces a name that has not changed as well.
const ANNOUNCES_ANOTHER: u32 = 3;

struct Jobs<const BUG: u32> {
    state: Mutex<(u64, BTreeSet<String>)>,
    broker: Broker<bool>,
}

#[derive(Clone, Debug)]
enum Command {
    Set(&'static str),
    /// Drawn for a name that is there, so that without the command that set it the commit panics.
    Remove(String),
}

fn event(name: &str, is_there: bool) -> Event<bool> {
    Event::new("Job", "Changed", name, is_there)
}

impl<const BUG: u32> TestedStore for Jobs<BUG> {
    type Payload = bool;
    type State = BTreeSet<String>;
    type Command = Command;

    fn make(broker: Builder<bool>) -> Self {
        Self { state: Mutex::default(), broker: broker.build().unwrap() }
    }

    fn broker(&self) -> Broker<bool> {
        self.broker.clone()
    }

    fn draw(&self, random: &mut Random) -> Command {
        let names: Vec<String> = self.state.lock().unwrap().1.iter().cloned().collect();
        if names.is_empty() || random.one_in(2) {
            return Command::Set(random.pick(&["web", "db", "cache"]));
        }
        Command::Remove(random.pick(&names))
    }

    fn commit(&self, command: &Command) -> Outcome {
        let mut state = self.state.lock().unwrap();
        let index = state.0 + 1;
        match command {
            Command::Set(name) => {
                let others = state.1.iter().find(|other| other != name).cloned();
                if !state.1.insert((*name).to_owned()) {
                    return Outcome::Refused;
                }
                let mut events = vec![event(name, true)];
                events.extend(others.filter(|_| BUG == ANNOUNCES_ANOTHER).map(|other| event(&other, true)));
                state.0 = index;
                self.broker.publish(index, events).unwrap();
            }
            Command::Remove(name) if BUG == REMOVES_AFTER_PUBLISHING => {
                drop(state);
                self.broker.publish(index, [event(name, false)]).unwrap();
                let mut state = self.state.lock().unwrap();
                state.1.remove(name);
                state.0 = index;
            }
            Command::Remove(name) => {
                assert!(state.1.remove(name), "a job that is there");
                state.0 = index;
                self.broker.publish(index, [event(name, BUG == REMOVAL_DOES_NOT_REMOVE)]).unwrap();
            }
        }
        Outcome::Committed(index)
    }

    fn state(&self) -> (u64, BTreeSet<String>) {
        self.state.lock().unwrap().clone()
    }

    fn apply(state: &mut BTreeSet<String>, event: &Event<bool>) {
        let name = event.key().to_string();
        _ = if *event.payload() { state.insert(name) } else { state.remove(&name) };
    }

    fn objects(state: &BTreeSet<String>) -> Vec<Object> {
        state.iter().map(|name| Object::new("Job", name.as_str(), &())).collect()
    }

    /// Threads remove what others have removed.
    fn is_serial() -> bool {
        false
    }
}

/// Every clause but that of threads, whose commits panic where two remove one name.
fn clauses() -> impl Iterator<Item = Clause> {
    Clause::ALL.into_iter().filter(|clause| *clause != Clause::Concurrent)
}

#[test]
fn a_store_that_announces_an_unchanged_object_beside_a_changed_one_is_right() {
    for clause in clauses() {
        Suite::<Jobs<NONE>>::new().check(clause).unwrap();
        Suite::<Jobs<ANNOUNCES_ANOTHER>>::new().check(clause).unwrap();
    }
}

/// Without the command that set the name, the commit panics: that is not the failure that is made short.
#[test]
fn a_failure_is_not_shrunk_to_another_one() {
    for clause in [Clause::Payloads, Clause::Replay] {
        let failure = Suite::<Jobs<REMOVAL_DOES_NOT_REMOVE>>::new().check(clause).unwrap_err();
        assert_eq!((failure.clause(), failure.commands().len()), (clause, 2), "{failure}");
        assert!(!failure.to_string().contains("panicked"), "{failure}");
    }
}

/// A store that holds its lock while it publishes lets nobody read the state, and the next commit may be another matter.
#[test]
fn a_store_that_publishes_some_commits_too_early_is_found() {
    for seed in 0..5 {
        let suite = Suite::<Jobs<REMOVES_AFTER_PUBLISHING>>::new().seed(seed);
        assert!(suite.check(Clause::CommitFirst).is_err(), "seed {seed}");
    }
}
