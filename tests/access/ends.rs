//! The precedence of two ends that hold at the same time, for each pair.

use std::sync::Arc;
use std::time::Duration;

use event_broker::{AccessChange, Broker, Grant, LagPolicy, RecvError};

use crate::common::{ManualClock, Rules, asks, assert_end, error_now, indexes_now, publish_all, who};

/// What can end a subscription, in the order of precedence (semantics 23), and the error that a read then returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Reset,
    Revoked,
    Expired,
    Cancelled,
    Lagged,
    Closed,
}

const ENDS: [End; 6] = [End::Reset, End::Revoked, End::Expired, End::Cancelled, End::Lagged, End::Closed];

fn end_of(error: &RecvError) -> Option<End> {
    Some(match error {
        RecvError::Reset => End::Reset,
        RecvError::Revoked(_) => End::Revoked,
        RecvError::Expired => End::Expired,
        RecvError::Cancelled => End::Cancelled,
        RecvError::Lagged(_) => End::Lagged,
        RecvError::Closed => End::Closed,
        _ => return None,
    })
}

/// Causes two ends in this order before the next read, and returns the one that it reports. Access is revoked by a
/// change that is asked about or by a deleted token; a grant expires by a tick or by the clock alone.
fn first_of(ends: [End; 2], by_deletion: bool, by_tick: bool) -> End {
    let clock = ManualClock::new();
    let expiry = clock.after(60);
    let rules = Rules::new(move |_| Ok(Grant::all().expires_at(expiry)));
    let broker = Broker::<u64>::builder()
        .max_batches(2)
        .authorizer(Arc::clone(&rules))
        .clock(clock.clone())
        .build()
        .expect("bounds above zero");
    let mut reader =
        broker.subscribe(asks("Job", "*").principal(who("6f1c")).lag_policy(LagPolicy::Close)).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    for end in ends {
        match end {
            End::Reset => broker.reset(100, broker.epoch()),
            End::Revoked if by_deletion => broker.access_changed(AccessChange::TokenDeleted("6f1c".into())),
            End::Revoked => {
                rules.deny();
                broker.access_changed(AccessChange::Everyone);
            }
            End::Expired => {
                clock.advance(Duration::from_secs(60));
                if by_tick {
                    broker.tick();
                }
            }
            End::Cancelled => reader.handle().cancel(),
            End::Lagged if broker.is_closed() => {}
            End::Lagged => publish_all(&broker, 102..=105),
            End::Closed => broker.close(),
        }
    }
    let error = error_now(&mut reader);
    assert_end(&mut reader, &error);
    end_of(&error).expect("an end")
}

/// Of any two ends that hold at the same time the one of higher precedence is reported, in whatever order they came.
#[test]
fn ends_have_an_order_of_precedence() {
    for (place, first) in ENDS.into_iter().enumerate() {
        for second in ENDS.into_iter().skip(place + 1) {
            for (by_deletion, by_tick) in [(false, false), (false, true), (true, false), (true, true)] {
                for ends in [[first, second], [second, first]] {
                    // Nothing can be lost once the broker is closed.
                    let expected = if ends == [End::Closed, End::Lagged] { End::Closed } else { first };
                    let which = format!("{ends:?}, by deletion: {by_deletion}, by tick: {by_tick}");
                    assert_eq!(first_of(ends, by_deletion, by_tick), expected, "{which}");
                }
            }
        }
    }
}

/// Semantics 23: a reset during a call of the authorizer takes precedence over the denial that it returns.
#[test]
#[expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]
fn a_reset_during_a_denied_recheck_is_the_end() {
    struct Resets(std::sync::OnceLock<event_broker::WeakBroker<u64>>);
    impl event_broker::Authorizer<u64> for Resets {
        fn authorize(&self, _: &event_broker::AccessRequest<'_>) -> Result<Grant, event_broker::Denial> {
            let Some(broker) = self.0.get().and_then(event_broker::WeakBroker::upgrade) else {
                return Ok(Grant::all());
            };
            broker.reset(9, event_broker::Epoch::from(2));
            Err(event_broker::Denial::new("no more"))
        }
    }
    let rules = Arc::new(Resets(std::sync::OnceLock::new()));
    let broker = Broker::<u64>::builder().authorizer(Arc::clone(&rules)).build().unwrap();
    let mut reader = broker.subscribe(event_broker::Request::new()).unwrap();
    assert!(rules.0.set(broker.downgrade()).is_ok());
    broker.access_changed(AccessChange::Everyone);
    assert_eq!(reader.try_recv().unwrap_err(), event_broker::TryRecvError::Recv(RecvError::Reset));
}

/// Semantics 10 and 24: a reader that waits for an index passes the batches without events that go beyond it.
#[test]
#[expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]
fn a_waiting_reader_passes_batches_without_events() {
    let broker = Broker::<u64>::new();
    let start = event_broker::Start::Index(5);
    let mut reader = broker.subscribe(event_broker::Request::new().start(start)).unwrap();
    broker.publish(9, []).unwrap();
    assert_eq!(reader.try_recv().unwrap_err(), event_broker::TryRecvError::Empty);
    assert_eq!(reader.token().index(), 9);
}
