//! Futures polled by hand, tasks in a seeded order, and rules: what happens at their edges.

use std::time::Duration;

use event_broker::testing::{Executor, ManualClock, Probe, Rule, Rules};
use event_broker::{Broker, Request};

use crate::failing::fails;

#[test]
fn a_future_that_was_ready_is_not_polled_again() {
    let mut probe = Probe::future(async { 7 });
    assert_eq!(probe.assert_ready(), 7);
    assert_eq!(fails!(probe.assert_pending()), "the future was ready already, and must not be polled again");
}

/// The seed is told also if a task panics when it is dropped.
#[test]
fn a_panic_of_a_drop_is_that_of_the_task() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let mut executor = Executor::new(11);
    let bomb = Bomb;
    executor.spawn("one", async move {
        let _bomb = &bomb;
    });
    let error = executor.try_run().unwrap_err().to_string();
    assert!(error.contains("dropped") && error.contains("one") && error.contains("11"), "{error}");
}

#[test]
fn a_grant_for_ever_does_not_expire() {
    let (rules, clock) = (Rules::new(), ManualClock::new());
    rules.set(Rule::allow().expires_after(&clock, Duration::MAX));
    let broker = Broker::<()>::builder().authorizer(rules.clone()).clock(clock.clone()).build().unwrap();
    let mut reader = broker.subscribe(Request::new()).unwrap();
    clock.advance_and_tick(&broker, Duration::from_secs(1_000_000_000));
    assert!(reader.try_recv().is_err_and(|error| error == event_broker::TryRecvError::Empty));
}

#[test]
fn a_tick_ends_what_has_expired() {
    let (rules, clock, second) = (Rules::new(), ManualClock::new(), Duration::from_secs(1));
    rules.set(Rule::allow().expires_after(&clock, second));
    let broker = Broker::<()>::builder().authorizer(rules).clock(clock.clone()).build().unwrap();
    let mut reader = Probe::reading(broker.subscribe(Request::new()).unwrap());
    reader.assert_pending();
    clock.advance(second);
    assert!(!reader.is_woken(), "time alone wakes nobody");
    clock.advance_and_tick(&broker, Duration::ZERO);
    assert!(reader.is_woken());
}
