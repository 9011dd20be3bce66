//! Stores that differ in what is left to a store, and are all right.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use event_broker::testing::Random;
use event_broker::testing::suite::{Clause, Outcome, Suite, TestedStore};
use event_broker::{Broker, Builder, Event};

const OWN_BROKER: u32 = 0;
const SMALL_BUFFER: u32 = 1;
const GAPS: u32 = 2;
const REFUSALS_MOVE_THE_INDEX: u32 = 3;
const PUBLISHES_WHAT_IS_UNCHANGED: u32 = 4;
const EMPTY_BATCHES: u32 = 5;
const BEGINS_WITH_A_HISTORY: u32 = 6;
const SILENT_CHANGES: u32 = 7;
const RISING_INDEXES: u32 = 8;
const REFUSES_NOTHING: u32 = 9;

type State = BTreeMap<&'static str, u32>;

/// It holds its lock until it has published.
struct Store<const KIND: u32> {
    state: Mutex<(u64, State)>,
    broker: Broker<Option<u32>>,
}

impl<const KIND: u32> TestedStore for Store<KIND> {
    type Payload = Option<u32>;
    type State = State;
    type Command = (&'static str, Option<u32>);

    fn make(broker: Builder<Option<u32>>) -> Self {
        let broker = match KIND {
            OWN_BROKER => Broker::builder(),
            SMALL_BUFFER => broker.max_batches(3),
            RISING_INDEXES => broker.rising_indexes(true),
            _ => broker,
        };
        let store = Self { state: Mutex::default(), broker: broker.build().unwrap() };
        if KIND == BEGINS_WITH_A_HISTORY {
            for job in ["web", "db", "api"] {
                store.commit(&(job, Some(7)));
            }
        }
        store
    }

    fn broker(&self) -> Broker<Option<u32>> {
        self.broker.clone()
    }

    fn draw(&self, random: &mut Random) -> Self::Command {
        (random.pick(&["web", "db", "api"]), random.pick(&[None, Some(1), Some(2)]))
    }

    fn commit(&self, (job, version): &Self::Command) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, jobs) = &mut *state;
        let next = *index + if KIND == GAPS { 3 } else { 1 };
        let is_change = jobs.get(job) != version.as_ref();
        match KIND {
            PUBLISHES_WHAT_IS_UNCHANGED | EMPTY_BATCHES | REFUSES_NOTHING => {}
            _ if is_change => {}
            REFUSALS_MOVE_THE_INDEX => {
                *index = next;
                return Outcome::Refused;
            }
            _ => return Outcome::Refused,
        }
        match version {
            Some(version) => _ = jobs.insert(job, *version),
            None => _ = jobs.remove(job),
        }
        *index = next;
        if KIND == SILENT_CHANGES && *job == "api" {
            return Outcome::Silent(next);
        }
        let event = Event::new("Job", "Changed", *job, *version);
        match KIND {
            EMPTY_BATCHES if !is_change => self.broker.publish(next, []).unwrap(),
            REFUSES_NOTHING if !is_change => {}
            _ => self.broker.publish(next, [event]).unwrap(),
        }
        Outcome::Committed(next)
    }

    fn state(&self) -> (u64, State) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn apply(jobs: &mut State, event: &Event<Option<u32>>) {
        let job = ["web", "db", "api"].into_iter().find(|job| event.key() == job).unwrap();
        match event.payload() {
            Some(version) => _ = jobs.insert(job, *version),
            None => _ = jobs.remove(job),
        }
    }
}

macro_rules! kinds {
    ($($name:ident: $kind:ident;)*) => { $(
        #[test]
        fn $name() {
            Suite::<Store<$kind>>::new().run();
        }
    )* };
}

kinds! {
    a_store_with_a_broker_of_its_own: OWN_BROKER;
    a_small_buffer: SMALL_BUFFER;
    gaps_between_indexes: GAPS;
    refusals_that_move_the_index: REFUSALS_MOVE_THE_INDEX;
    what_is_unchanged_is_published: PUBLISHES_WHAT_IS_UNCHANGED;
    what_is_unchanged_is_an_empty_batch: EMPTY_BATCHES;
    a_history_before_the_first_command: BEGINS_WITH_A_HISTORY;
    changes_without_events: SILENT_CHANGES;
    indexes_that_must_rise: RISING_INDEXES;
    what_is_unchanged_is_committed_and_not_published: REFUSES_NOTHING;
}

/// A store that commits nothing passes no suite.
struct Idle(Broker<()>);

impl TestedStore for Idle {
    type Payload = ();
    type State = ();
    type Command = ();

    fn make(broker: Builder<()>) -> Self {
        Self(broker.build().unwrap())
    }

    fn broker(&self) -> Broker<()> {
        self.0.clone()
    }

    fn draw(&self, _: &mut Random) {}

    fn commit(&self, (): &()) -> Outcome {
        Outcome::Refused
    }

    fn state(&self) -> (u64, ()) {
        (0, ())
    }

    fn apply((): &mut (), _: &Event<()>) {}
}

#[test]
fn a_store_that_commits_nothing_is_told() {
    for clause in Clause::ALL {
        let failure = Suite::<Idle>::new().check(clause).unwrap_err();
        assert!(failure.found().contains("nothing can be checked"), "{failure}");
        assert!(failure.to_string().starts_with(&format!("`{clause}` could not be checked: ")), "{failure}");
    }
}
