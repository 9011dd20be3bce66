//! A store of numbers in two namespaces, in which an object of the same key is in both, with a switch for each bug.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use event_broker::testing::Random;
use event_broker::testing::suite::{Clause, Failure, Object, Outcome, Suite, TestedStore};
use event_broker::{Broker, Builder, Event};

const NONE: u32 = 0;
const PUBLISHES_WHAT_IS_UNCHANGED: u32 = 1;
/// What is in the other namespace is removed by the second write, without an event.
const EXPIRES_WITHOUT_AN_EVENT: u32 = 2;
const WRONG_NAMESPACE: u32 = 3;

type State = BTreeMap<&'static str, u32>;

/// Holds its lock until it has published.
struct Scoped<const BUG: u32> {
    state: Mutex<(u64, State)>,
    broker: Broker<Option<u32>>,
}

impl<const BUG: u32> TestedStore for Scoped<BUG> {
    type Payload = Option<u32>;
    type State = State;
    type Command = (&'static str, u32);

    fn make(broker: Builder<Option<u32>>) -> Self {
        Self { state: Mutex::default(), broker: broker.build().unwrap() }
    }

    fn broker(&self) -> Broker<Option<u32>> {
        self.broker.clone()
    }

    fn draw(&self, random: &mut Random) -> Self::Command {
        (random.pick(&["dev", "prod"]), random.pick(&[0, 1, 2]))
    }

    fn commit(&self, (namespace, value): &Self::Command) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, values) = &mut *state;
        let other = if *namespace == "dev" { "prod" } else { "dev" };
        *index += 1;
        let is_same = values.insert(namespace, *value) == Some(*value);
        let event = |namespace, value| Event::new("Job", "Changed", "web", value).with_namespace(namespace);
        let mut events = vec![event(*namespace, Some(*value))];
        match BUG {
            PUBLISHES_WHAT_IS_UNCHANGED => {
                events.extend(values.get(other).map(|value| event(other, Some(*value))));
            }
            EXPIRES_WITHOUT_AN_EVENT if is_same => _ = values.remove(other),
            WRONG_NAMESPACE => events = vec![event(other, Some(*value))],
            _ => {}
        }
        self.broker.publish(*index, events).unwrap();
        Outcome::Committed(*index)
    }

    fn state(&self) -> (u64, State) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn apply(values: &mut State, event: &Event<Option<u32>>) {
        let namespace = if event.namespace() == "dev" { "dev" } else { "prod" };
        match event.payload() {
            Some(value) => _ = values.insert(namespace, *value),
            None => _ = values.remove(namespace),
        }
    }

    fn objects(values: &State) -> Vec<Object> {
        let object = |(namespace, value): (&&str, &u32)| Object::new("Job", "web", value).with_namespace(*namespace);
        values.iter().map(object).collect()
    }

    fn smaller((namespace, value): &Self::Command) -> Vec<Self::Command> {
        let namespaces = if *namespace == "dev" { vec![] } else { vec![("dev", *value)] };
        namespaces.into_iter().chain((0..*value).map(|value| (*namespace, value))).collect()
    }
}

/// The first clause that a store breaks.
fn first_failure<const BUG: u32>() -> Failure {
    let suite = Suite::<Scoped<BUG>>::new();
    Clause::ALL.into_iter().find_map(|clause| suite.check(clause).err()).unwrap()
}

#[test]
fn it_is_right_without_bugs() {
    Suite::<Scoped<NONE>>::new().run();
}

#[test]
fn what_is_unchanged_is_named() {
    let failure = first_failure::<PUBLISHES_WHAT_IS_UNCHANGED>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::Namespaces, 2), "{failure}");
    let found = "after command 2, an event of Job dev:web, which has not changed, is published";
    assert_eq!(failure.found().replace("prod", "dev"), found);
}

#[test]
fn what_is_gone_is_named() {
    let failure = first_failure::<EXPIRES_WITHOUT_AN_EVENT>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::Namespaces, 3), "{failure}");
    let found = "has left the state, but no event has its key and namespace; an event of Job ";
    assert!(failure.found().contains(found), "{failure}");
}

#[test]
fn a_wrong_namespace_is_named() {
    let failure = first_failure::<WRONG_NAMESPACE>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::Namespaces, 1), "{failure}");
    let found = "after command 1, Job dev:web has changed, but its event Changed has the namespace \"prod\"";
    assert_eq!(failure.found(), found);
}
