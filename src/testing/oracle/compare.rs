//! Whether a broker may return what it returned, where the naive one returned something else or the same.
//! What the naive one returns is decided in `read`.

use super::reader::NaiveDelivery;
use crate::subscription::Delivery;
use crate::types::error::{RecvError, TryRecvError};

/// Returns whether the result of a read is what the naive broker returned.
///
/// Deliveries agree if index, events, length of the batch and token are equal. Errors agree if they are equal, but that
/// [`Lagged::from`](crate::Lagged::from) may be lower than expected: it is a lower bound.
///
/// ```
/// use event_broker::testing::oracle::{NaiveBroker, agree};
/// use event_broker::{Broker, Event, Request};
///
/// let broker = Broker::<u8>::new();
/// let mut naive = NaiveBroker::new().epoch(broker.epoch());
/// let (mut real, reader) = (broker.subscribe(Request::new())?, naive.subscribe(Request::new())?);
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
/// assert!(!agree(&naive.try_recv(reader), &real.try_recv()), "the naive one has nothing to read");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn agree<P: PartialEq>(
    expected: &Result<NaiveDelivery<P>, TryRecvError>,
    actual: &Result<Delivery<P>, TryRecvError>,
) -> bool {
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => {
            expected.index() == actual.index()
                && expected.token() == actual.token()
                && expected.batch_len() == actual.batch_len()
                && expected.events().eq(actual.events())
        }
        (Err(TryRecvError::Recv(RecvError::Lagged(expected))), Err(TryRecvError::Recv(RecvError::Lagged(actual)))) => {
            let mut bounded = actual.clone();
            bounded.from = expected.from;
            actual.from <= expected.from && bounded == *expected
        }
        (Err(expected), Err(actual)) => expected == actual,
        _ => false,
    }
}
