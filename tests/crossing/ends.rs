//! Every end and every loss: the reader waits, the end is caused, and the reader is woken and receives exactly that.

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use event_broker::nomad::{event_type, topic};
use event_broker::{AccessChange, Denial, Epoch, Event, Grant, LagPolicy, Lagged, RecvError, Start, Verdict};

use crate::way::{Ends, Outcome, TIME_LIMIT, Way};
use crate::world::{READER, Terms, World, ahead};

/// The place that waiting readers wait for. Everything that ends them is published at it or above.
const AHEAD: u64 = 50;

/// Runs the scenario with readers that wait behind a backlog, at an empty broker, and for a place ahead.
fn waiting<W: Way>(world: impl Fn(Terms) -> World, end: impl Fn(World, W)) {
    Terms::each(|terms| {
        for start in [Start::Latest, Start::Oldest, Start::Index(AHEAD)] {
            println!("that waits from {start:?}");
            let world = world(terms);
            let mut verdict = Verdict::Whole;
            match start {
                Start::Oldest => {}
                Start::Index(_) => verdict = Verdict::Future { latest: 0 },
                _ => drop(world.asked(1)),
            }
            let mut reader: W = world.open(start, verdict);
            reader.wait();
            end(world, reader);
        }
    });
}

/// A world with an authorizer.
fn ruled(terms: Terms) -> World {
    World::ruled(terms, 100)
}

/// Asserts that this end was returned, and that it is returned again for ever, or only once.
#[track_caller]
fn ends<W: Way>(outcome: &Outcome, mut reader: W, end: &RecvError) {
    assert!(end.is_terminal());
    let (first, further) = match W::ENDS {
        Ends::Repeat => (Outcome::Error(end.clone()), Outcome::Error(end.clone())),
        Ends::OnceThenOver if *end == RecvError::Closed => (Outcome::Over, Outcome::Over),
        Ends::OnceThenOver => (Outcome::Error(end.clone()), Outcome::Over),
    };
    assert_eq!(*outcome, first);
    for _ in 0..2 {
        assert_eq!(reader.read(), further);
    }
}

/// By call or by dropping the last broker; the backlog first.
pub(crate) fn closed<W: Way>() {
    waiting(World::new, |world, mut reader: W| {
        world.broker.close();
        ends(&reader.woken(), reader, &RecvError::Closed);
    });
    waiting(World::new, |world, mut reader: W| {
        drop(world);
        ends(&reader.woken(), reader, &RecvError::Closed);
    });
    waiting(World::new, |world, mut reader: W| {
        let (first, second) = (world.asked(AHEAD), world.asked(AHEAD + 1));
        world.other(AHEAD + 2);
        world.broker.close();
        assert_eq!(reader.woken(), first);
        assert_eq!(reader.read(), second);
        ends(&reader.read(), reader, &RecvError::Closed);
    });
}

pub(crate) fn cancelled<W: Way>() {
    waiting(World::new, |world, mut reader: W| {
        let [handle] = &world.broker.subscriptions()[..] else { panic!("there is one reader") };
        handle.cancel();
        ends(&reader.woken(), reader, &RecvError::Cancelled);
    });
}

pub(crate) fn reset<W: Way>() {
    waiting(World::new, |world, mut reader: W| {
        world.broker.reset(AHEAD, Epoch::from(7));
        let outcome = reader.woken();
        world.asked(AHEAD + 1);
        ends(&outcome, reader, &RecvError::Reset);
    });
}

fn token_deleted() -> RecvError {
    RecvError::Revoked(Denial::new("the token was deleted"))
}

/// By call, and by an event that represents it.
pub(crate) fn deleted<W: Way>() {
    waiting(World::new, |world, mut reader: W| {
        world.broker.access_changed(AccessChange::TokenDeleted(READER.into()));
        ends(&reader.woken(), reader, &token_deleted());
    });
    waiting(ruled, |world, mut reader: W| {
        let deleted = Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, READER, 0);
        world.broker.publish(AHEAD, [deleted]).expect("the first batch");
        ends(&reader.woken(), reader, &token_deleted());
    });
}

/// By the authorizer, which is asked again after a change of access: by call, and by an event.
pub(crate) fn denied<W: Way>() {
    let denied = RecvError::Revoked(Denial::new("no longer allowed"));
    waiting(ruled, |world, mut reader: W| {
        world.rules.deny();
        world.broker.access_changed(AccessChange::Everyone);
        ends(&reader.woken(), reader, &denied);
    });
    waiting(ruled, |world, mut reader: W| {
        world.rules.deny();
        let updated = Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_UPSERTED, READER, 0);
        world.broker.publish(AHEAD, [updated]).expect("the first batch");
        ends(&reader.woken(), reader, &denied);
    });
}

/// No end: the authorizer is asked again, and the reader waits on.
pub(crate) fn allowed<W: Way>() {
    waiting(ruled, |world, mut reader: W| {
        world.broker.access_changed(AccessChange::Everyone);
        reader.settle();
        world.comes_to_its_place(&mut reader, AHEAD);
    });
}

/// A blocking read ends by itself; any other waiting reader is woken by a tick.
pub(crate) fn expired<W: Way>() {
    // In real time: a thread sleeps this long before it reads the clock again.
    const TERM: Duration = Duration::from_millis(10);
    let world = |terms| {
        let world = ruled(terms);
        let expiry = world.clock.after(0) + TERM;
        world.rules.set(move |_| Ok(Grant::all().without_event_checks().expires_at(expiry)));
        world
    };
    waiting(world, |world, mut reader: W| {
        world.clock.advance(TERM);
        if !W::BLOCKS {
            world.broker.tick();
        }
        ends(&reader.woken(), reader, &RecvError::Expired);
    });
}

/// Holds a woken thread in the authorizer until this is dropped. Otherwise it would read the first batch before the
/// second could overtake it. The test polls all other readers itself, when the batches are published.
fn hold<W: Way>(world: &World) -> Option<Sender<()>> {
    if !W::BLOCKS {
        return None;
    }
    let (release, released) = bounded::<()>(0);
    let (entered, is_inside) = bounded(1);
    world.rules.set(move |_| {
        let _ = entered.try_send(());
        let _ = released.recv();
        Ok(Grant::all().without_event_checks())
    });
    world.broker.access_changed(AccessChange::Everyone);
    is_inside.recv_timeout(TIME_LIMIT).expect("the reader asks for access");
    Some(release)
}

/// Overtakes a waiting reader before it reads. Returns what it received, and what remains to be read.
fn overtake<W: Way>(world: &World, reader: &mut W, index: u64) -> (Lagged, Outcome) {
    let held = hold::<W>(world);
    world.asked(index);
    world.asked(index + 1);
    let left = world.asked(index + 2);
    drop(held);
    let lagged = reader.woken().loss();
    assert_eq!((lagged.count(), lagged.through, lagged.resumes_at), (Some(2), index + 1, index + 2));
    assert_eq!(lagged.policy, world.policy);
    (lagged, left)
}

/// Batches that do not match overtake no reader.
fn overtaken_by_others<W: Way>(world: &World, reader: &mut W) {
    (2..=4).for_each(|index| world.other(index));
    reader.stays_asleep();
    let asked = world.asked(AHEAD);
    assert_eq!(reader.woken(), asked);
    reader.wait();
}

pub(crate) fn lagged_close<W: Way>() {
    let closes = |lagged: Lagged, reader: W| {
        let end = RecvError::Lagged(lagged);
        ends(&Outcome::Error(end.clone()), reader, &end);
    };
    let world = |terms| World::ruled(terms, 1).policy(LagPolicy::Close);
    waiting(world, |world, mut reader: W| closes(overtake(&world, &mut reader, AHEAD).0, reader));
    waiting(world, |world, mut reader: W| {
        overtaken_by_others(&world, &mut reader);
        closes(overtake(&world, &mut reader, AHEAD + 1).0, reader);
    });
}

/// Reported once; what follows can be read at once, and a doorbell rings for it.
pub(crate) fn lagged_continue<W: Way>() {
    let continues = |world: &World, mut reader: W, left: &Outcome| {
        assert_eq!(reader.read(), *left);
        world.continues(&mut reader);
    };
    let world = |terms| World::ruled(terms, 1).policy(LagPolicy::Continue);
    waiting(world, |world, mut reader: W| {
        let (_, left) = overtake(&world, &mut reader, AHEAD);
        continues(&world, reader, &left);
    });
    waiting(world, |world, mut reader: W| {
        overtaken_by_others(&world, &mut reader);
        let (_, left) = overtake(&world, &mut reader, AHEAD + 1);
        continues(&world, reader, &left);
    });
}

/// The broker skips to a place ahead of the reader: the loss cannot be counted.
pub(crate) fn skipped_before<W: Way>() {
    for policy in [LagPolicy::Close, LagPolicy::Continue] {
        let world = |terms| World::new(terms).policy(policy);
        waiting(world, |world, mut reader: W| {
            world.broker.skip_to(ahead(AHEAD + 9, 2)).expect("it lies ahead");
            let outcome = reader.woken();
            let lagged = outcome.loss();
            assert_eq!((lagged.count(), lagged.through, lagged.policy), (None, AHEAD + 9, policy));
            match policy {
                LagPolicy::Close => ends(&outcome, reader, &RecvError::Lagged(lagged)),
                LagPolicy::Continue => world.continues(&mut reader),
            }
        });
    }
}

/// The reader is at the place that is skipped to, or waits for one beyond it: it continues without a report.
pub(crate) fn skipped_at<W: Way>() {
    Terms::each(|terms| {
        let place = ahead(9, 2);
        for (start, next) in [(Start::After(place), 9), (Start::Index(10), 10), (Start::Index(20), 20)] {
            println!("that waits from {start:?}");
            let world = World::new(terms);
            world.asked(1);
            let mut reader: W = world.open(start, Verdict::Future { latest: 1 });
            reader.wait();
            world.broker.skip_to(place).expect("it lies ahead");
            reader.settle();
            if next == 20 {
                world.asked(10);
                reader.stays_asleep();
            }
            world.comes_to_its_place(&mut reader, next);
        }
        // To the broker's current position.
        let world = World::new(terms);
        world.asked(1);
        let mut reader: W = world.open(Start::Latest, Verdict::Whole);
        reader.wait();
        world.broker.skip_to(world.broker.token()).expect("it is the broker's own place");
        reader.stays_asleep();
        world.continues(&mut reader);
    });
}
