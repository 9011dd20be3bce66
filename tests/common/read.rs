//! Reads all that is available now, and assertions on an empty or ended subscription.

use event_broker::{Delivery, Denial, RecvError, Subscription, TryRecvError};

/// Reads until nothing is left and returns the deliveries. Panics on an error.
pub(crate) fn read_now<P>(reader: &mut Subscription<P>) -> Vec<Delivery<P>> {
    let mut deliveries = Vec::new();
    loop {
        match reader.try_recv() {
            Ok(delivery) => deliveries.push(delivery),
            Err(TryRecvError::Empty) => return deliveries,
            Err(TryRecvError::Recv(error)) => panic!("expected deliveries and then nothing, got: {error}"),
        }
    }
}

/// Reads until nothing is left and returns the indexes.
pub(crate) fn indexes_now<P>(reader: &mut Subscription<P>) -> Vec<u64> {
    read_now(reader).iter().map(Delivery::index).collect()
}

/// Reads until nothing is left and returns the keys of the events, batch by batch.
pub(crate) fn keys_now<P>(reader: &mut Subscription<P>) -> Vec<Vec<String>> {
    read_now(reader).iter().map(keys).collect()
}

/// The keys of a delivery's events.
pub(crate) fn keys<P>(delivery: &Delivery<P>) -> Vec<String> {
    delivery.events().map(|event| event.key().to_string()).collect()
}

/// Returns the error of the next read. Panics if there is none.
pub(crate) fn error_now<P>(reader: &mut Subscription<P>) -> RecvError {
    match reader.try_recv() {
        Err(TryRecvError::Recv(error)) => error,
        Err(TryRecvError::Empty) => panic!("expected an error, found nothing to read"),
        Ok(delivery) => panic!("expected an error, got index {}", delivery.index()),
    }
}

/// Asserts that nothing can be read now and that the subscription is open.
#[track_caller]
pub(crate) fn assert_empty<P>(reader: &mut Subscription<P>) {
    match reader.try_recv() {
        Err(TryRecvError::Empty) => {}
        Err(TryRecvError::Recv(error)) => panic!("expected nothing to read, got the error: {error}"),
        Ok(delivery) => panic!("expected nothing to read, got index {}", delivery.index()),
    }
}

/// Asserts that the subscription has ended in this way, and that every further call returns the same end.
#[track_caller]
pub(crate) fn assert_end<P>(reader: &mut Subscription<P>, end: &RecvError) {
    assert!(end.is_terminal());
    for _ in 0..3 {
        assert_eq!(error_now(reader), *end);
        assert_eq!(reader.drain().err().as_ref(), Some(end));
        assert_eq!(reader.recv().as_ref().err(), Some(end));
    }
}

/// Asserts that the subscription has ended because access was revoked, and returns the denial.
#[track_caller]
pub(crate) fn assert_revoked<P>(reader: &mut Subscription<P>) -> Denial {
    let end = error_now(reader);
    assert_end(reader, &end);
    match end {
        RecvError::Revoked(denial) => denial,
        other => panic!("expected access to be revoked, got: {other}"),
    }
}
