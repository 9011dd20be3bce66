//! The resume token of a reader against publishing and skipping: G3, G5.
//! What the reader reads meanwhile is modelled in `fanout`.
//!
//! Broken by loading the end or a pending start before the latest index, by loading that index without Acquire, and,
//! where indexes rise, by finishing an index before the end moves.

use super::{Payload, broker, check, event, everything, keys, read_all, spawn};
use crate::{Broker, Request, Start, Subscription};

/// Reads what `read` finds while the first two indexes are published, and then what follows the token of that moment.
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
        assert_finished_is_delivered(&reader, &delivered, all);
        let token = reader.token();
        publisher.join().unwrap();
        let mut resumed = broker.subscribe(everything().start(Start::After(token))).unwrap();
        delivered.extend(read_all(&mut resumed));
        assert_eq!(delivered, all, "after {token}");
    });
}

/// What the reader calls finished, which heartbeats send as progress, was delivered to it.
fn assert_finished_is_delivered(reader: &Subscription<Payload>, delivered: &[Payload], all: &[Payload]) {
    let Some(finished) = reader.finished() else { return };
    let missing: Vec<_> = all.iter().filter(|index| **index <= finished && !delivered.contains(index)).collect();
    assert!(missing.is_empty(), "{missing:?} is finished at {finished}, and was not delivered");
}

fn window(reader: &mut Subscription<Payload>) -> Vec<Payload> {
    reader.drain().unwrap().iter().map(|delivery| delivery.index()).collect()
}

/// The latest index is loaded before the end, so a batch below it that is not visible does not count as passed.
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

/// Where indexes rise, an empty read also passes the latest index, but not before its batch is visible.
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
        assert_finished_is_delivered(&reader, &delivered, &[1]);
        let token = reader.token();
        publisher.join().unwrap();
        let mut resumed = broker.subscribe(everything().start(Start::After(token))).unwrap();
        delivered.extend(read_all(&mut resumed));
        assert_eq!(delivered, [1], "after {token}");
    });
}

/// A token that is taken while a part of the history is skipped reports the loss, unless it was already reported.
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

/// A reader that waits for its place passes what comes before it, and nothing of what begins there.
#[test]
fn token_of_a_future_start_against_publish() {
    resumed_reads_the_rest(|| everything().start(Start::Index(1)), read_all, &[1, 2]);
}
