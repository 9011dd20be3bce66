//! A store of one number with a switch for each bug, for what a store with objects does not show.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use event_broker::testing::Random;
use event_broker::testing::suite::{Clause, Failure, Object, Outcome, Suite, TestedStore};
use event_broker::{Broker, Builder, Event};

const NONE: u32 = 0;
const PANICS_IN_DRAW: u32 = 1;
const PICKS_FROM_NOTHING: u32 = 2;
const PANICS_IN_MAKE: u32 = 3;
const LOSES_AN_UPDATE: u32 = 4;
/// The same, but it promises no order.
const LOSES_AN_UPDATE_ON_PURPOSE: u32 = 5;
/// The state has a number that the store draws.
const DRAWS_A_NUMBER: u32 = 6;
/// What is rolled back is added by the next commit.
const KEEPS_WHAT_IS_PENDING: u32 = 7;
/// After a refusal, the next command is refused, too.
const LOCKS_AFTER_A_REFUSAL: u32 = 8;
/// The same, but it promises no order.
const LOCKS_ON_PURPOSE: u32 = 9;
/// A roll-back takes an index, and the state has the sum of the indexes.
const ROLL_BACKS_TAKE_INDEXES: u32 = 10;
const PUBLISHES_AN_EVENT_TWICE: u32 = 11;
/// The same, and it says so.
const REPEATS_EVENTS: u32 = 12;
/// An event adds one, so a batch has as many as the command adds.
const ADDS_UP: u32 = 13;
/// There is a second kind of event, twice, that no state shows.
const RINGS_TWICE: u32 = 14;
const ROLL_BACKS_PUBLISH_NOTHING: u32 = 15;
/// The same, after it has moved the index of the state.
const ROLL_BACKS_MOVE_BOTH_INDEXES: u32 = 16;
const PANICS_IN_APPLY: u32 = 17;
/// Its commits are counted.
const COUNTED: u32 = 18;

/// What the suite has committed to such stores.
static COMMITS: AtomicU32 = AtomicU32::new(0);

/// What such a store draws.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Holds its lock until it has published.
struct Counter<const BUG: u32> {
    state: Mutex<(u64, u32)>,
    /// What a roll-back has left.
    left: AtomicU32,
    broker: Broker<u32>,
}

impl<const BUG: u32> TestedStore for Counter<BUG> {
    type Payload = u32;
    type State = u32;
    type Command = u32;

    fn make(broker: Builder<u32>) -> Self {
        assert!(BUG != PANICS_IN_MAKE, "no disk");
        Self { state: Mutex::default(), left: AtomicU32::new(0), broker: broker.build().unwrap() }
    }

    fn broker(&self) -> Broker<u32> {
        self.broker.clone()
    }

    fn draw(&self, random: &mut Random) -> u32 {
        match BUG {
            PANICS_IN_DRAW => assert!(self.state().0 < 2, "nothing to choose"),
            PICKS_FROM_NOTHING => _ = random.pick::<u32>(&[]),
            _ => {}
        }
        random.pick(&[1, 2, 3])
    }

    fn commit(&self, more: &u32) -> Outcome {
        COMMITS.fetch_add(u32::from(BUG == COUNTED), Ordering::Relaxed);
        let (_, before) = self.state();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if matches!(BUG, LOSES_AN_UPDATE | LOSES_AN_UPDATE_ON_PURPOSE) { before } else { state.1 };
        let drawn = if BUG == DRAWS_A_NUMBER { 10 * NEXT.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let left = self.left.swap(0, Ordering::Relaxed);
        match BUG {
            LOCKS_AFTER_A_REFUSAL | LOCKS_ON_PURPOSE if left > 0 => return Outcome::Refused,
            ROLL_BACKS_TAKE_INDEXES => {
                let index = state.0 + 1 + u64::from(left);
                *state = (index, before + u32::try_from(index).unwrap());
            }
            _ => *state = (state.0 + 1, before + more + drawn + left),
        }
        let event = |kind, count| Event::new("Count", kind, "", count);
        let events = match BUG {
            PUBLISHES_AN_EVENT_TWICE | REPEATS_EVENTS => vec![event("Changed", state.1), event("Changed", state.1)],
            ADDS_UP => (0..*more).map(|_| event("Added", 1)).collect(),
            RINGS_TWICE => vec![event("Changed", state.1), event("Rung", 0), event("Rung", 0)],
            _ => vec![event("Changed", state.1)],
        };
        self.broker.publish(state.0, events).unwrap();
        Outcome::Committed(state.0)
    }

    fn state(&self) -> (u64, u32) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roll_back(&self, more: &u32) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match BUG {
            ROLL_BACKS_PUBLISH_NOTHING => self.broker.publish(state.0 + 1, []).unwrap(),
            ROLL_BACKS_MOVE_BOTH_INDEXES => {
                state.0 += 1;
                self.broker.publish(state.0, []).unwrap();
            }
            KEEPS_WHAT_IS_PENDING => self.left.store(*more, Ordering::Relaxed),
            LOCKS_AFTER_A_REFUSAL | LOCKS_ON_PURPOSE | ROLL_BACKS_TAKE_INDEXES => self.left.store(1, Ordering::Relaxed),
            _ => {}
        }
        Outcome::Refused
    }

    fn repeats_events() -> bool {
        BUG == REPEATS_EVENTS
    }

    fn is_serial() -> bool {
        !matches!(BUG, LOSES_AN_UPDATE_ON_PURPOSE | LOCKS_ON_PURPOSE)
    }

    fn apply(state: &mut u32, event: &Event<u32>) {
        assert!(BUG != PANICS_IN_APPLY, "no such counter");
        match event.event_type().as_str() {
            "Added" => *state += event.payload(),
            "Rung" => {}
            _ => *state = *event.payload(),
        }
    }
}

/// The first clause that a store breaks.
fn first_failure<const BUG: u32>() -> Failure {
    let suite = Suite::<Counter<BUG>>::new();
    Clause::ALL.into_iter().find_map(|clause| suite.check(clause).err()).unwrap()
}

#[test]
fn it_is_right_without_bugs() {
    Suite::<Counter<NONE>>::new().run();
}

#[test]
fn a_panic_in_draw_is_a_failure() {
    let failure = first_failure::<PANICS_IN_DRAW>();
    assert_eq!((failure.clause(), failure.commands().len(), failure.seed()), (Clause::Commits, 2, 1), "{failure}");
    assert_eq!(failure.found(), "`draw`, at command 3, panicked: nothing to choose");
    let text = failure.to_string();
    assert!(text.starts_with("`commits` could not be checked: a commit does not panic"), "{text}");
    assert!(Clause::ALL.into_iter().all(|clause| Suite::<Counter<PANICS_IN_DRAW>>::new().check(clause).is_err()));
    let failure = first_failure::<PICKS_FROM_NOTHING>();
    assert_eq!(failure.found(), "`draw`, at command 1, panicked: nothing can be picked from an empty slice");
}

#[test]
fn a_panic_in_make_is_a_failure() {
    for clause in Clause::ALL {
        let failure = Suite::<Counter<PANICS_IN_MAKE>>::new().seed(5).check(clause).unwrap_err();
        assert_eq!((failure.clause(), failure.seed(), failure.found()), (clause, 5, "`make` panicked: no disk"));
    }
}

#[test]
fn a_suite_that_would_check_nothing_is_refused() {
    let text =
        |run: fn() -> Suite<Counter<NONE>>| *std::panic::catch_unwind(run).unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(text(|| Suite::new().scripts(0)), "without scripts nothing is checked");
    assert_eq!(text(|| Suite::new().commands(0)), "without commands nothing is checked");
    // A single command is enough, also if it is to be rolled back.
    Suite::<Counter<NONE>>::new().scripts(1).commands(1).run();
}

#[test]
fn a_commit_that_is_made_of_a_stale_read_is_a_failure() {
    let failure = first_failure::<LOSES_AN_UPDATE>();
    assert_eq!(failure.clause(), Clause::Concurrent, "{failure}");
    assert!(failure.found().starts_with("one thread makes another state of the same commands"), "{failure}");
    assert!(failure.commands().len() <= 4, "{failure}");
    let text = failure.to_string();
    assert!(text.contains("\n  1  index ") && text.contains(", thread 1: "), "{text}");
    assert!(text.contains("\npublished:\n  1 Count/Changed \"\" = "), "{text}");
    assert!(text.lines().count() <= 25, "{text}");
    assert!(text.contains("the state (- of several threads, + of one thread in the order of the indexes):"), "{text}");
    Suite::<Counter<LOSES_AN_UPDATE_ON_PURPOSE>>::new().run();
    Suite::<Counter<DRAWS_A_NUMBER>>::new().without(Clause::Alike).run();
}

#[test]
fn what_is_rolled_back_and_returns_later_is_a_failure() {
    let failure = first_failure::<KEEPS_WHAT_IS_PENDING>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::RollBack, 2), "{failure}");
    let found = "after command 2, the state is another one than without the commands before it that were refused";
    assert_eq!(failure.found(), found);
    let text = failure.to_string();
    assert!(text.contains("the state (- in the script, + without those commands):\n- "), "{text}");
    let failure = first_failure::<LOCKS_AFTER_A_REFUSAL>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::RollBack, 2), "{failure}");
    assert!(
        failure.found().ends_with("but Committed(1) without the commands before it that were refused"),
        "{failure}"
    );
    Suite::<Counter<LOCKS_ON_PURPOSE>>::new().run();
    Suite::<Counter<ROLL_BACKS_TAKE_INDEXES>>::new().run();
}

#[test]
fn an_event_that_a_batch_has_twice_is_a_failure() {
    let failure = first_failure::<PUBLISHES_AN_EVENT_TWICE>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::Once, 1), "{failure}");
    let found =
        format!("after command 1, its batch has an event twice: Count/Changed \"\" = {}", failure.commands().concat());
    assert_eq!(failure.found(), found);
    assert_eq!(failure.to_string().matches("\n  1 Count/Changed").count(), 2, "{failure}");
    Suite::<Counter<REPEATS_EVENTS>>::new().run();
    Suite::<Counter<ADDS_UP>>::new().run();
    Suite::<Counter<RINGS_TWICE>>::new().run();
}

#[test]
fn a_batch_without_events_of_what_is_rolled_back_is_a_failure() {
    let failure = first_failure::<ROLL_BACKS_PUBLISH_NOTHING>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::RollBack, 1), "{failure}");
    let found = "after command 1, which was not committed, the broker is at index 1, but the state at 0";
    assert_eq!(failure.found(), found);
    Suite::<Counter<ROLL_BACKS_MOVE_BOTH_INDEXES>>::new().run();
}

#[test]
fn a_panic_in_apply_is_a_failure_of_payloads() {
    let failure = first_failure::<PANICS_IN_APPLY>();
    assert_eq!((failure.clause(), failure.commands().len()), (Clause::Payloads, 1), "{failure}");
    let found = "after command 1, `apply` panicked: no such counter (at Count/Changed \"\")";
    assert_eq!(failure.found(), found);
    assert_eq!(Object::new("Count", "", &1).to_string(), "Count \"\"");
}

/// The documentation of `Suite` has the numbers.
#[test]
fn the_number_of_commits_is_known() {
    Suite::<Counter<COUNTED>>::new().run();
    let commits = COMMITS.swap(0, Ordering::Relaxed);
    Suite::<Counter<COUNTED>>::new().scripts(2).commands(8).run();
    let few = COMMITS.swap(0, Ordering::Relaxed);
    assert!((10_300..10_700).contains(&commits) && (400..470).contains(&few), "{commits} and {few}");
}
