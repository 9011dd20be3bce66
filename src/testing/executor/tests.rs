//! Tests of the executor: the order, and what a run reports that fails.
//! The executor itself is in `executor`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{pending, poll_fn};
use std::rc::Rc;

use super::*;
use crate::broker::Broker;
use crate::types::event::Event;
use crate::types::request::Request;

/// The order in which three tasks ran that yield twice each.
fn order(seed: u64) -> String {
    let order = RefCell::new(String::new());
    let mut executor = Executor::new(seed);
    for name in ["a", "b", "c"] {
        let order = &order;
        executor.spawn(name, async move {
            for _ in 0..3 {
                order.borrow_mut().push_str(name);
                yield_now().await;
            }
        });
    }
    executor.run();
    assert_eq!(executor.steps().count(), 12, "three a task, and one in which it ends");
    assert!(executor.steps().collect::<String>().starts_with(&order.borrow()[..1]));
    drop(executor);
    order.into_inner()
}

#[test]
fn a_seed_decides_the_order_and_all_orders_come() {
    let orders: BTreeSet<_> = (0..300).map(order).collect();
    assert!((0..50).all(|seed| order(seed) == order(seed)));
    assert!(orders.len() > 200, "{} of 300 differ", orders.len());
    for first in ["aaa", "abc", "cba", "bbb"] {
        assert!(orders.iter().any(|order| order.starts_with(first)), "{first}");
    }
}

#[test]
fn a_task_runs_only_when_it_was_woken() {
    let polls = Cell::new(0);
    let waker = RefCell::new(None);
    let mut executor = Executor::new(1);
    executor.spawn_background(
        "waits",
        poll_fn(|context| {
            polls.set(polls.get() + 1);
            *waker.borrow_mut() = Some(context.waker().clone());
            Poll::<()>::Pending
        }),
    );
    executor.spawn("runs", async {
        for _ in 0..10 {
            yield_now().await;
        }
    });
    executor.run();
    assert_eq!(polls.get(), 1);
    waker.borrow().as_ref().expect("it was polled").wake_by_ref();
    assert_eq!(executor.run_until_stalled(), ["waits"]);
    assert_eq!(polls.get(), 2);
}

#[test]
fn a_deadlock_names_who_waits() {
    let mut executor = Executor::new(5);
    executor.spawn("first", pending());
    executor.spawn("done", async {});
    executor.spawn_background("server", pending());
    executor.spawn("last", pending());
    let error = executor.try_run().expect_err("two wait for ever");
    assert_eq!(error.kind, RunErrorKind::Deadlock { tasks: vec!["first".into(), "last".into()] });
    let text = error.to_string();
    assert!(
        text.starts_with("seed 5: deadlock after step 4: nothing will wake \"first\", \"last\"\norder of steps: "),
        "{text}"
    );
}

#[test]
fn a_run_without_end_is_ended() {
    let mut executor = Executor::new(5).max_steps(1000);
    executor.spawn("turns", async {
        loop {
            yield_now().await;
        }
    });
    let error = executor.try_run().expect_err("it has no end");
    assert_eq!(error.to_string(), "seed 5: no end after 1000 steps\norder of steps: turns ×1000");
}

#[test]
fn a_long_order_is_cut_at_its_beginning() {
    let steps: Vec<_> = (0..100).map(|step| if step % 2 == 0 { "a".to_owned() } else { "b".to_owned() }).collect();
    let text = RunError { seed: 0, kind: RunErrorKind::TooManySteps { steps: 100 }, steps }.to_string();
    assert!(text.contains("order of steps: … (after 60 others) a, b, a"), "{text}");
    assert_eq!(text.matches(", ").count(), 39, "{text}");
}

/// The message of a panic in the closure.
fn panic_of<T>(run: impl FnOnce() -> T) -> String {
    panic_message(catch_unwind(AssertUnwindSafe(|| drop(run()))).expect_err("it must panic"))
}

/// A reader that is wrong in some orders: it takes it that both batches are there when it first reads.
fn hasty(executor: &mut Executor<'_>) {
    let broker = Broker::<()>::new();
    let mut reader = broker.subscribe(Request::new()).expect("everything is allowed");
    executor.spawn("publisher", async move {
        for index in 1..=2 {
            broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())]).expect("rising");
            yield_now().await;
        }
    });
    executor.spawn("reader", async move {
        reader.recv_async().await.expect("the first");
        reader.try_recv().expect("the second is there already");
    });
}

#[test]
fn the_first_seed_that_fails_is_reported_and_replays() {
    let fails = |seed| {
        let mut executor = Executor::new(seed);
        hasty(&mut executor);
        executor.try_run().is_err()
    };
    let failing = (0..1000).find(|seed| fails(*seed)).expect("an order that fails");
    let first = (0..1000).find(|seed| !fails(*seed)).expect("an order that passes");
    let seeds = || std::iter::once(first).chain(0..1000);
    let explored = || {
        let mut run = 0;
        let message = panic_of(|| {
            explore(seeds(), |executor| {
                run += 1;
                hasty(executor);
            });
        });
        (run, message)
    };
    let (run, message) = explored();
    assert_eq!(run, failing + 2, "it stops there");
    assert!(message.starts_with(&format!("seed {failing}: task \"reader\" panicked in step ")), "{message}");
    assert!(message.contains("the second is there already: Empty\norder of steps: "), "{message}");
    assert!(message.ends_with(&format!("seeds that passed before it: {}", failing + 1)), "{message}");
    assert_eq!(explored(), (run, message));
}

#[test]
fn a_check_after_the_run_is_reported_with_its_order() {
    let message = panic_of(|| {
        explore([3, 4], |executor| {
            let sum = Rc::new(Cell::new(0));
            let adds = Rc::clone(&sum);
            executor.spawn("adds", async move { adds.set(adds.get() + 1) });
            executor.run();
            assert_eq!(sum.get(), executor.seed() - 2, "the sum");
        });
    });
    assert!(message.starts_with("seed 4: the test panicked after step 1: assertion"), "{message}");
    assert!(message.ends_with("order of steps: adds\nseeds that passed before it: 1"), "{message}");
    let message = panic_of(|| {
        explore([9], |executor| {
            executor.spawn("waits", pending());
            executor.run();
        });
    });
    let expected = "seed 9: deadlock after step 1: nothing will wake \"waits\"\norder of steps: waits\n";
    assert_eq!(message, format!("{expected}seeds that passed before it: 0"));
    assert_eq!(panic_of(|| explore([], |_| {})), "expected seeds to run the test with, found none");
}
