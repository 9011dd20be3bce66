//! Where a reader says that it stands, against publishing: G3, G5.
//! What it reads meanwhile is modelled elsewhere.

use super::{Payload, broker, check, event, everything, keys, read_all, spawn};
use crate::{Broker, Request, Start, Subscription};

/// Reads what `read` finds while the first two indexes are published, and the rest after the token that it then has.
fn resumed_reads_the_rest(
    request: fn() -> Request<Payload>,
    read: fn(&mut Subscription<Payload>) -> Vec<Payload>,
    all: &'static [Payload],
) {
    check(move || {
        let broker = broker(4);
        let mut reader = broker.subscribe(request()).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(1, [event("a", 1)]).unwrap();
                broker.publish(2, [event("a", 2)]).unwrap();
            }
        });
        let mut delivered = read(&mut reader);
        let token = reader.token();
        publisher.join().unwrap();
        let mut resumed = broker.subscribe(everything().start(Start::After(token))).unwrap();
        delivered.extend(read_all(&mut resumed));
        assert_eq!(delivered, all, "after {token}");
    });
}

fn window(reader: &mut Subscription<Payload>) -> Vec<Payload> {
    reader.drain().unwrap().iter().map(|delivery| delivery.index()).collect()
}

/// The latest index is loaded before the end: a batch below it that is not seen cannot be taken for passed.
#[test]
fn token_of_an_empty_read_against_publish() {
    resumed_reads_the_rest(everything, read_all, &[1, 2]);
}

#[test]
fn token_of_an_empty_read_of_a_chain_against_publish() {
    resumed_reads_the_rest(|| keys(&["a"]), read_all, &[1, 2]);
}

#[test]
fn token_of_an_empty_window_against_publish() {
    resumed_reads_the_rest(everything, window, &[1, 2]);
}

/// Where indexes rise, an empty read passes the latest index as well, once its batch is visible and not before.
#[test]
fn token_of_an_empty_read_of_rising_indexes_against_publish() {
    check(|| {
        let broker = Broker::builder().max_batches(4).rising_indexes(true).build().unwrap();
        let mut reader = broker.subscribe(keys(&["a"])).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(1, [event("a", 1)]).unwrap();
                broker.publish(2, []).unwrap();
            }
        });
        let mut delivered = read_all(&mut reader);
        let token = reader.token();
        publisher.join().unwrap();
        let mut resumed = broker.subscribe(everything().start(Start::After(token))).unwrap();
        delivered.extend(read_all(&mut resumed));
        assert_eq!(delivered, [1], "after {token}");
    });
}

/// A token that is taken while a part of the history is skipped tells of the loss, unless the reader was told before.
#[test]
fn token_of_a_handle_against_a_skip() {
    check(|| {
        let broker = Broker::builder().max_batches(4).epoch(crate::Epoch::from(7)).build().unwrap();
        let reader = broker.subscribe(everything()).unwrap();
        let handle = reader.handle();
        let skipping = spawn({
            let broker = broker.clone();
            move || broker.skip_to("0000000000000007-5-1".parse().unwrap()).unwrap()
        });
        let token = handle.token();
        skipping.join().unwrap();
        let resumed = broker.subscribe(everything().start(Start::After(token))).unwrap();
        assert!(matches!(resumed.verdict(), crate::Verdict::Lost { .. }), "after {token}");
    });
}

/// A reader that waits for its place passes what comes before it, and nothing of what begins it.
#[test]
fn token_of_a_future_start_against_publish() {
    resumed_reads_the_rest(|| everything().start(Start::Index(1)), read_all, &[1, 2]);
}
