//! Costs near the limits of the design: cases that once exceeded them, and costs that grow with the reader's own terms
//! or grants, each at three sizes.

use std::task::Context;

use event_broker::steps::Step;
use event_broker::{AccessRequest, Authorizer, Broker, Denial, Event, Grant, Request, Start, Term, TryRecvError};

use crate::wakes::WakeCount;

use super::publishing::wide;
use super::{Growth, assert_growth, assert_growth_with, broker, event, key, keys, publish, read_all, steps_of};

/// The position of an overtaken reader is computed under the lock, from its terms, which may be many.
#[test]
fn the_token_of_an_overtaken_reader_is_a_short_hold() {
    assert_growth("a token", Growth::Flat, 250, |terms| {
        let broker = broker(10);
        let reader = broker.subscribe(keys(0..terms).start(Start::Latest)).unwrap();
        (0..30).for_each(|_| publish(&broker, [event("A", "other")]));
        let (_, steps) = steps_of(|| reader.handle().token());
        steps.longest_hold
    });
}

struct Broad(usize);

impl Authorizer<()> for Broad {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        Ok((0..self.0).fold(Grant::all(), |grant, policy| grant.resting_on_policy(policy.to_string())))
    }
}

/// The basis of a grant is recorded in one hold of the lock, together with a check that the answer is not stale: one
/// look-up for each token, policy and role that the server's authorizer names.
#[test]
fn a_grant_is_noted_in_as_many_looks_as_it_names() {
    assert_growth("a grant", Growth::Linear, 64, |policies| {
        let broker = Broker::builder().authorizer(Broad(policies)).build().unwrap();
        let (reader, opening) = steps_of(|| broker.subscribe(Request::<()>::new()).unwrap());
        let ((), leaving) = steps_of(|| drop(reader));
        opening.longest_hold.max(leaving.longest_hold)
    });
}

/// A task yields in the middle of a batch and continues there: each event is filtered once.
#[test]
fn a_long_batch_is_filtered_by_a_task_in_as_many_steps_as_it_has_events() {
    for older in [false, true] {
        assert_growth(&format!("a batch, older: {older}"), Growth::Linear, 4_000, |events| {
            let broker = broker(10);
            let request = Request::new().term(Term::topic("A").unwrap()).filter(|_: &Event<()>| false);
            let batch: Vec<_> = (0..events).map(|_| event("A", "k")).collect();
            let before = older.then(|| publish(&broker, batch.clone()));
            let mut reader = broker.subscribe(request).unwrap();
            before.unwrap_or_else(|| publish(&broker, batch));
            let (woken, waker) = WakeCount::new();
            let ((), steps) = steps_of(|| {
                // It wakes itself until it has come to the end.
                loop {
                    assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
                    if woken.take() == 0 {
                        break;
                    }
                }
            });
            steps.all()
        });
    }
}

/// Scopes whose numbers are far apart, because those between have left: one word each, not one of 64. Never more than
/// there are in the smaller of the two sets.
#[test]
fn wide_scopes_that_others_have_left_between_cost_one_step_each_at_most() {
    assert_growth_with("sparse scopes", Growth::Linear, 1.3, 1, |stay| {
        let broker = broker(10);
        let scope = |side: &'static str, number: usize| {
            (0..520).map(move |n| if n == 0 { format!("{side}{number}") } else { format!("{side}-{n}") })
        };
        let mut open = Vec::new();
        for number in 0..stay {
            for place in 0..64 {
                let request = match place {
                    0 => wide(&["A", "B"], scope("one", number)),
                    1 => wide(&["C", "D"], scope("two", number)),
                    _ => wide(&["E", "F"], (0..520).map(|n| format!("{}", n + number * 64 + place))),
                };
                open.push((place, broker.subscribe(request).unwrap()));
            }
        }
        open.retain(|(place, _)| *place < 2);
        let event = event("A", "k").with_namespace("two-7");
        let ((), steps) = steps_of(|| publish(&broker, [event]));
        assert_eq!(steps.of(Step::Hit), 0);
        drop(open);
        steps.all()
    });
}

/// The events of a batch for a reader are found by searching the reader's terms in the batch's links, or the links in
/// the terms: the smaller of the two.
#[test]
fn reading_a_batch_costs_the_readers_terms_or_the_batchs_links() {
    assert_growth("a read beside other terms", Growth::Linear, 64, |terms| {
        let broker = broker(10);
        let mut reader = broker.subscribe(keys(0..terms)).unwrap();
        publish(&broker, [event("A", "k1")]);
        assert_eq!(read_all(&mut reader), 1);
        let names =
            |number: usize| (0..1_030).map(move |n| if n == 0 { format!("own{number}") } else { format!("n{n}") });
        let others: Vec<_> = (0..terms.min(256)).map(|n| broker.subscribe(wide(&["A"], names(n))).unwrap()).collect();
        publish(&broker, [event("A", "k7").with_namespace("default"), event("A", "x").with_namespace("n7")]);
        let (read, steps) = steps_of(|| reader.try_recv());
        assert_eq!(read.unwrap().len(), 1);
        drop(others);
        steps.all()
    });
}

/// Over a backlog that is older than the subscription and is evicted while it is read. Each term records whether
/// evicted batches matched, so each read that finds something evicted checks its own terms.
#[test]
fn reading_an_old_backlog_while_it_goes_costs_the_terms_asked_for() {
    assert_growth("a read of an old backlog", Growth::Linear, 64, |terms| {
        let broker = broker(100);
        for _ in 0..50 {
            publish(&broker, [event("A", "k0")]);
            publish(&broker, [event("A", "other")]);
        }
        let mut reader = broker.subscribe(keys(0..terms).term(key(0))).unwrap();
        let mut steps = 0;
        for _ in 0..20 {
            let (read, took) = steps_of(|| reader.try_recv());
            assert!(read.is_ok() || matches!(read, Err(TryRecvError::Empty)), "{read:?}");
            steps += took.all();
            publish(&broker, [event("A", "other")]);
            publish(&broker, [event("A", "other")]);
        }
        steps
    });
}
