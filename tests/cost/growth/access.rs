//! The cost of changes of access.

use event_broker::steps::Step;
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, Principal, Request, Subscription, Term,
};
use std::time::{Duration, Instant};

use super::opening::AT_ONCE;
use crate::clock::ManualClock;

use super::{Growth, assert_growth, steps_of, without_moves};

/// Grants that rest on the policy of the principal's name, and events of policies that change them.
struct Policies {
    expiry: Option<Instant>,
}

impl Authorizer<()> for Policies {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let policy = request.principal().id().split('/').next().unwrap_or_default();
        let grant = Grant::all().resting_on_policy(policy);
        Ok(match self.expiry {
            Some(expiry) => grant.expires_at(expiry),
            None => grant,
        })
    }

    fn changes(&self, event: &Event<()>, changes: &mut Vec<AccessChange>) {
        if event.topic() == "Policy" {
            changes.push(AccessChange::Policy(event.key().as_str().into()));
        }
    }
}

fn guarded() -> Broker<()> {
    Broker::builder().authorizer(Policies { expiry: None }).build().unwrap()
}

fn open(broker: &Broker<()>, readers: usize, policy: &str) -> Vec<Subscription<()>> {
    let request = |reader| {
        let principal = Principal::new(format!("{policy}/{reader}"));
        Request::new().term(Term::new("A", format!("k{reader}")).unwrap()).principal(principal)
    };
    (0..readers).map(|reader| broker.subscribe(request(reader)).unwrap()).collect()
}

fn policy_events(events: usize) -> Vec<Event<()>> {
    (0..events).map(|_| Event::new("Policy", "PolicyUpserted", "p", ())).collect()
}

/// A change concerns each reader once, however often a batch announces it.
#[test]
fn a_thousand_events_of_one_policy_are_one_change() {
    for events in [1, 10, 1_000] {
        let broker = guarded();
        let readers = [open(&broker, 300, "p"), open(&broker, 300, "q")];
        let ((), steps) = steps_of(|| super::publish(&broker, policy_events(events)));
        assert_eq!(steps.of(Step::Fence), 300, "of {events} events");
        assert_eq!(steps.of(Step::Wake), 300, "of {events} events");
        drop(readers);
    }
    assert_growth("readers that are concerned", Growth::Linear, 250, |readers| {
        let broker = guarded();
        let open = open(&broker, readers, "p");
        let ((), steps) = steps_of(|| super::publish(&broker, policy_events(1_000)));
        drop(open);
        steps.of(Step::Fence) + steps.of(Step::Wake)
    });
    assert_growth("readers that are not", Growth::Flat, 250, |readers| {
        let broker = guarded();
        let open = open(&broker, readers, "q");
        let ((), steps) = steps_of(|| super::publish(&broker, policy_events(1_000)));
        drop(open);
        steps.all()
    });
}

/// A reader is fenced by each change that concerns it, and woken once for all of them.
#[test]
fn a_batch_of_many_changes_wakes_a_reader_once() {
    let broker = guarded();
    let open = open(&broker, 100, "p");
    let changes = (0..100).flat_map(|reader| {
        let own = Event::new("Policy", "PolicyUpserted", format!("p/{reader}"), ());
        [own, Event::new("Policy", "PolicyUpserted", "p", ())]
    });
    let ((), steps) = steps_of(|| super::publish(&broker, changes.collect::<Vec<_>>()));
    assert_eq!((steps.of(Step::Fence), steps.of(Step::Wake)), (100, 100));
    drop(open);
}

#[test]
fn changes_by_call_cost_the_readers_that_they_concern() {
    for change in [AccessChange::Policy("p".into()), AccessChange::Token("p/1".into())] {
        let concerned = if change == AccessChange::Policy("p".into()) { 10 } else { 1 };
        assert_growth(&format!("{change:?}"), Growth::Flat, 250, |readers| {
            let broker = guarded();
            let open = [open(&broker, 10, "p"), open(&broker, readers, "q")];
            let ((), steps) = steps_of(|| broker.access_changed(change.clone()));
            assert_eq!(steps.of(Step::Fence), concerned);
            drop(open);
            steps.all()
        });
    }
}

/// A tick costs the expired grants, and releases the lock from time to time.
#[test]
fn a_tick_costs_what_has_run_out() {
    let measure = |readers, seconds| {
        let clock = ManualClock::new();
        let authorizer = Policies { expiry: Some(clock.after(5)) };
        let broker = Broker::builder().authorizer(authorizer).clock(clock.clone()).build().unwrap();
        let open = open(&broker, readers, "p");
        clock.advance(Duration::from_secs(seconds));
        let ((), steps) = steps_of(|| broker.tick());
        assert!(steps.longest_hold <= AT_ONCE, "{} steps in one hold", steps.longest_hold);
        drop(open);
        without_moves(steps)
    };
    assert_growth("nothing has run out", Growth::Flat, 250, |readers| measure(readers, 4));
    assert_growth("all has", Growth::Linear, 250, |readers| measure(readers, 6));
}
