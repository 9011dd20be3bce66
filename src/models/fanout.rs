//! Appending against reading, evicting and subscribing: G1, G2, G3, G4.
//! No reader waits here: waiting is in `waiting` and `tasks`.
//!
//! Broken by another order of slot, node positions, hit queues, end and `oldest`, by a store of them without Release or
//! a load without Acquire, and by a reader that forgets a hit, a loss or the rest of a scan.

use super::{broker, check, event, everything, keys, read_all, read_or_lose, spawn};
use crate::{LagPolicy, Start, TryRecvError};

/// In a buffer of one batch every publish evicts. What was read and what was reported as lost add up to what was sent.
#[test]
fn append_against_read_and_evict() {
    check(|| {
        let broker = broker(1);
        let mut reader = broker.subscribe(everything().lag_policy(LagPolicy::Continue)).unwrap();
        read_all(&mut reader);
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                for n in 1..=2 {
                    broker.publish(n, [event("a", n), event("b", n)]).unwrap();
                }
            }
        });
        let (mut read, mut lost) = (Vec::new(), 0);
        read_or_lose(&mut reader, &mut read, &mut lost);
        publisher.join().unwrap();
        read_or_lose(&mut reader, &mut read, &mut lost);
        assert_eq!(read.len() as u64 / 2 + lost, 2);
        assert!(read.is_sorted() && read.len() % 2 == 0, "in order and whole: {read:?}");
        assert_eq!(read.last(), Some(&2), "the newest stays");
    });
}

/// The same for the chain of a term. A loss is reported only if something that was asked for was lost.
#[test]
fn chain_against_evict() {
    check(|| {
        let broker = broker(1);
        let mut reader = broker.subscribe(keys(&["a"]).lag_policy(LagPolicy::Continue)).unwrap();
        read_all(&mut reader);
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(1, [event("a", 1)]).unwrap();
                broker.publish(2, [event("b", 2)]).unwrap();
            }
        });
        let (mut read, mut lost) = (Vec::new(), 0);
        read_or_lose(&mut reader, &mut read, &mut lost);
        publisher.join().unwrap();
        read_or_lose(&mut reader, &mut read, &mut lost);
        assert_eq!(read == [1], lost == 0, "read {read:?}, lost {lost}");
        assert!(read.is_empty() || read == [1]);
    });
}

/// A window that is open while its batches are evicted returns each of them or stops. What it did not return is
/// reported.
#[test]
fn window_against_evict() {
    check(|| {
        let broker = broker(1);
        let mut reader = broker.subscribe(everything().lag_policy(LagPolicy::Continue)).unwrap();
        broker.publish(1, [event("a", 1)]).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(2, [event("a", 2)]).unwrap()
        });
        let (mut read, mut lost) = (Vec::new(), 0);
        for _ in 0..2 {
            match reader.drain() {
                Ok(mut window) => read.extend(window.iter().map(|delivery| delivery.index())),
                Err(error) => lost += error.lagged().unwrap().missed,
            }
        }
        publisher.join().unwrap();
        read_or_lose(&mut reader, &mut read, &mut lost);
        // A reader that starts at the oldest batch may find that this is the second one.
        assert!(read == [1, 2] && lost == 0 || read == [2], "read {read:?}, lost {lost}");
    });
}

/// A chain that has grown beyond the end that its reader loaded is walked back from beyond it.
fn a_chain_from_beyond_the_end(buffer: u64) {
    check(move || {
        let broker = broker(buffer);
        let mut reader = broker.subscribe(keys(&["a"])).unwrap();
        broker.publish(1, [event("a", 1)]).unwrap();
        broker.publish(2, [event("b", 2)]).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(3, [event("a", 3)]).unwrap()
        });
        let mut read = read_all(&mut reader);
        publisher.join().unwrap();
        read.extend(read_all(&mut reader));
        assert_eq!(read, [1, 3]);
    });
}

/// The chain grows into another segment: each holds one batch.
#[test]
fn a_chain_from_another_segment() {
    a_chain_from_beyond_the_end(4);
}

/// The chain grows into another slot: each segment holds three.
#[test]
fn a_chain_from_another_slot() {
    a_chain_from_beyond_the_end(24);
}

/// The chains of two terms are merged in order, and complete at every end.
#[test]
fn two_chains_are_merged() {
    check(|| {
        let broker = broker(4);
        let mut reader = broker.subscribe(keys(&["a", "b"])).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(1, [event("a", 1)]).unwrap();
                broker.publish(2, [event("b", 2)]).unwrap();
            }
        });
        let mut read = read_all(&mut reader);
        publisher.join().unwrap();
        read.extend(read_all(&mut reader));
        assert_eq!(read, [1, 2]);
    });
}

/// So many keys that their reader has a hit queue.
const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// A hit that comes while its reader registers is found when the reader visits its nodes, or is in its hit queue before
/// the end shows it.
#[test]
fn queueing_hits_against_register() {
    check(|| {
        let broker = broker(4);
        let mut reader = broker.subscribe(keys(&KEYS)).unwrap();
        broker.publish(1, [event("z", 1)]).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(2, [event("a", 2)]).unwrap()
        });
        let mut read = read_all(&mut reader);
        read.extend(read_all(&mut reader));
        publisher.join().unwrap();
        read.extend(read_all(&mut reader));
        assert_eq!(read, [2]);
    });
}

#[test]
fn queued_hits_are_all_read() {
    check(|| {
        let broker = broker(4);
        let mut reader = broker.subscribe(keys(&KEYS)).unwrap();
        // The first read registers at all nodes.
        broker.publish(1, [event("z", 1)]).unwrap();
        assert!(read_all(&mut reader).is_empty());
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(2, [event("a", 2)]).unwrap();
                broker.publish(3, [event("a", 3)]).unwrap();
            }
        });
        let mut read = read_all(&mut reader);
        publisher.join().unwrap();
        read.extend(read_all(&mut reader));
        assert_eq!(read, [2, 3]);
    });
}

/// Between the backlog, which is scanned, and later batches, which are chained, nothing is lost or repeated.
#[test]
fn subscribe_against_publish() {
    check(|| {
        let broker = broker(4);
        broker.publish(1, [event("a", 1)]).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(2, [event("a", 2)]).unwrap();
                broker.publish(3, [event("a", 3)]).unwrap();
            }
        });
        let mut reader = broker.subscribe(keys(&["a"]).start(Start::Index(1))).unwrap();
        let mut read = read_all(&mut reader);
        publisher.join().unwrap();
        read.extend(read_all(&mut reader));
        assert_eq!(read, [1, 2, 3]);
    });
}

/// A start at a future index begins with the batch of that index, whenever it comes.
#[test]
fn future_start_against_publish() {
    check(|| {
        let broker = broker(4);
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(1, [event("a", 1)]).unwrap();
                broker.publish(2, [event("a", 2)]).unwrap();
            }
        });
        let mut reader = broker.subscribe(everything().start(Start::Index(2))).unwrap();
        let mut read = read_all(&mut reader);
        publisher.join().unwrap();
        read.extend(read_all(&mut reader));
        assert_eq!(read, [2]);
    });
}

/// A loss is reported to a reader that scans only if something that it asked for is part of it.
#[test]
fn scan_against_evict() {
    check(|| {
        let broker = broker(2);
        broker.publish(1, [event("b", 1)]).unwrap();
        broker.publish(2, [event("a", 2)]).unwrap();
        let mut reader = broker.subscribe(keys(&["a"]).start(Start::Index(1)).lag_policy(LagPolicy::Continue)).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(3, [event("b", 3)]).unwrap();
                broker.publish(4, [event("b", 4)]).unwrap();
            }
        });
        let mut read_one = || match reader.try_recv() {
            Ok(delivery) => Some(delivery.index()),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Recv(error)) => Some(error.lagged().unwrap().through),
        };
        // In both cases this is the second batch, which is read or lost.
        assert_eq!(read_one(), Some(2));
        assert_eq!(read_one(), None);
        publisher.join().unwrap();
        assert_eq!(read_one(), None);
    });
}
