//! Expiry of a grant: on a manual clock, by a tick, and by a read that waits.

use std::task::Context;
use std::time::{Duration, Instant};

use event_broker::{AccessChange, Broker, Clock, Grant, RecvError};

use crate::common::{
    ManualClock, Rules, WakeCount, asks, assert_empty, assert_end, in_time, panics_in_time, publish_all,
    ruled_and_timed_by, ruled_by, who,
};

fn expiring(clock: &ManualClock, seconds: u64) -> Broker<u64> {
    let expiry = clock.after(seconds);
    let rules = Rules::new(move |_| Ok(Grant::all().expires_at(expiry)));
    ruled_and_timed_by(&rules, clock)
}

/// `Expired` has precedence over data, from the instant of expiry on.
#[test]
fn expired_comes_before_data() {
    let clock = ManualClock::new();
    let broker = expiring(&clock, 60);
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    publish_all(&broker, 1..=2);
    clock.advance(Duration::from_secs(59));
    assert_eq!(reader.recv().expect("in time").index(), 1);
    clock.advance(Duration::from_secs(1));
    assert_end(&mut reader, &RecvError::Expired);
}

/// A tick ends and wakes all expired readers, whatever they wait with, and no others.
#[test]
fn a_tick_ends_and_wakes_what_has_expired() {
    let clock = ManualClock::new();
    let (soon, late) = (clock.after(10), clock.after(20));
    let rules = Rules::new(move |request| match request.principal().id() {
        "soon" => Ok(Grant::all().expires_at(soon)),
        "late" => Ok(Grant::all().expires_at(late)),
        _ => Ok(Grant::all()),
    });
    let broker = ruled_and_timed_by(&rules, &clock);
    let open = |id| broker.subscribe(asks("Job", "*").principal(who(id))).expect("open");
    let mut readers = ["soon", "late", "never"].map(open);
    let wakes = readers.each_mut().map(|reader| {
        let (woken, waker) = WakeCount::new();
        assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        woken
    });
    let mut rung = open("soon");
    let bell = rung.doorbell();
    bell.recv().expect("the first comes at once");
    assert_empty(&mut rung);
    let counts = || wakes.each_ref().map(|wakes| wakes.get());
    broker.tick();
    assert_eq!((counts(), bell.is_empty()), ([0, 0, 0], true));
    clock.advance(Duration::from_secs(10));
    broker.tick();
    broker.tick();
    assert_eq!((counts(), bell.len()), ([1, 0, 0], 1));
    assert_end(&mut rung, &RecvError::Expired);
    clock.advance(Duration::from_secs(10));
    broker.tick();
    assert_eq!(counts(), [1, 1, 0]);
    let [mut soon, mut late, mut never] = readers;
    assert_end(&mut soon, &RecvError::Expired);
    assert_end(&mut late, &RecvError::Expired);
    assert_empty(&mut never);
}

/// A blocking read waits no longer than its grant holds. (A real and short time: it parks on the system's clock.)
#[test]
fn a_blocking_read_wakes_at_expiry() {
    in_time(|| {
        let rules = Rules::new(|_| Ok(Grant::all().expires_at(Instant::now() + Duration::from_millis(60))));
        let broker = ruled_by(&rules);
        let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
        assert_eq!(reader.recv().expect_err("nothing is published"), RecvError::Expired);
        let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
        let end = reader.recv_timeout(Duration::from_secs(3600)).expect_err("nothing is published");
        assert_eq!(end, event_broker::RecvTimeoutError::Recv(RecvError::Expired));
    });
}

/// A grant that was renewed in time is valid until its new expiry.
#[test]
fn a_renewed_grant_holds_longer() {
    let clock = ManualClock::new();
    let (first, second) = (clock.after(10), clock.after(20));
    let rules = Rules::new(move |_| Ok(Grant::all().expires_at(first)));
    let broker = ruled_and_timed_by(&rules, &clock);
    let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
    rules.set(move |_| Ok(Grant::all().expires_at(second)));
    broker.access_changed(AccessChange::Token("6f1c".into()));
    assert_empty(&mut reader);
    clock.advance(Duration::from_secs(15));
    broker.tick();
    assert_empty(&mut reader);
    clock.advance(Duration::from_secs(5));
    broker.tick();
    assert_end(&mut reader, &RecvError::Expired);
}

/// A clock that panics when it is read.
#[derive(Debug)]
struct Untouchable;

impl Clock for Untouchable {
    fn now(&self) -> Instant {
        panic!("the clock was read")
    }
}

/// A subscription without expiry never reads the clock, however it reads; one with an expiry does.
#[test]
fn without_expiry_the_clock_is_never_read() {
    let rules = Rules::new(|_| Ok(Grant::all().resting_on_policy("readers")));
    let broker = Broker::<u64>::builder().authorizer(rules).clock(Untouchable).build().expect("defaults");
    let mut reader = broker.subscribe(asks("Job", "*")).expect("open");
    publish_all(&broker, 1..=5);
    assert_eq!(reader.recv().expect("open").index(), 1);
    assert_eq!(reader.recv_timeout(Duration::ZERO).expect("open").index(), 2);
    assert!(reader.recv_timeout(Duration::from_millis(1)).is_ok());
    broker.access_changed(AccessChange::Policy("readers".into()));
    assert_eq!(reader.drain().expect("open").iter().count(), 2);
    assert!(reader.recv_timeout(Duration::from_millis(1)).is_err());
    assert!(reader.poll_recv(&mut Context::from_waker(std::task::Waker::noop())).is_pending());

    let message = panics_in_time(|| {
        let rules = Rules::new(|_| Ok(Grant::all().expires_at(Instant::now())));
        let broker = Broker::<u64>::builder().authorizer(rules).clock(Untouchable).build().expect("defaults");
        drop(broker.subscribe(asks("Job", "*")).expect("opening needs no clock").try_recv());
    });
    assert_eq!(message, "the clock was read");
}
