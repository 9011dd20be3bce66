//! Appending against reading, evicting and subscribing: G1, G2, G3, G4.
//! Nobody waits here.

use super::{broker, check, event, everything, keys, read_all, read_or_lose, spawn};
use crate::{LagPolicy, Start, TryRecvError};

/// A buffer of one: every publish evicts. What was read and what was told as lost make up what was sent.
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

/// The same by the chain of a term, where a loss is told only if something asked for was lost.
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

/// A window that is open while its batches are evicted shows each of them or stops, and what it did not show is told.
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
        // Whoever starts at the oldest may find that to be the second batch.
        assert!(read == [1, 2] && lost == 0 || read == [2], "read {read:?}, lost {lost}");
    });
}

/// A chain that has grown beyond the end that its reader loaded is walked back from there.
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

/// Into another segment: each holds one batch.
#[test]
fn a_chain_from_another_segment() {
    a_chain_from_beyond_the_end(4);
}

/// Into another slot: each segment holds three.
#[test]
fn a_chain_from_another_slot() {
    a_chain_from_beyond_the_end(24);
}

/// Two terms, two chains: merged in order, and complete at every end.
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

/// So many that hits are named to their reader.
const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// A hit that comes as its reader registers is seen by its look or named to it, and that before the end shows it.
#[test]
fn naming_against_enrolling() {
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
fn named_hits_are_all_read() {
    check(|| {
        let broker = broker(4);
        let mut reader = broker.subscribe(keys(&KEYS)).unwrap();
        // The first look registers everywhere.
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

/// Between the backlog, which is scanned, and what is live, which is chained, nothing is lost or doubled.
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

/// A future index begins with its own batch, whenever that comes.
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

/// A reader that scans is told of a loss only if something that it asked for is part of it.
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
        // Either way it is the second batch, which is read or lost.
        assert_eq!(read_one(), Some(2));
        assert_eq!(read_one(), None);
        publisher.join().unwrap();
        assert_eq!(read_one(), None);
    });
}
