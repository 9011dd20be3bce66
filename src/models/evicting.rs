//! Evicting against readers with a partly read run, window or backlog: G3, G6.
//! Readers that have discovered nothing when a batch is evicted are in `fanout`.
//!
//! Broken by loading `oldest` before the directory, moving it without the lock or storing it without Release, retiring
//! a segment too early, losing the record of an eviction, and a window or run that continues after its batch was
//! evicted.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};

use super::{Payload, broker, check, event, everything, keys, spawn};
use crate::{Broker, LagPolicy, Lagged, Request, Start, Subscription, TryRecvError};

/// What one reader read, and the losses that were reported to it.
#[derive(Default)]
struct Seen {
    read: Vec<u64>,
    lost: Vec<Lagged>,
}

impl Seen {
    /// Reads so many times, or until nothing is left.
    fn read(&mut self, reader: &mut Subscription<Payload>, times: usize) {
        for _ in 0..times {
            match reader.try_recv() {
                Ok(delivery) => self.read.push(delivery.index()),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Recv(error)) => self.lost.push(error.lagged().expect("the only error").clone()),
            }
        }
    }

    fn drain(&mut self, reader: &mut Subscription<Payload>) {
        match reader.drain() {
            Ok(mut window) => self.read.extend(window.iter().map(|delivery| delivery.index())),
            Err(error) => self.lost.push(error.lagged().expect("the only error").clone()),
        }
    }

    /// Asserts that each of these was read once and in order, or is in a reported loss.
    fn is_all_of(&self, sent: &[u64]) {
        assert!(self.read.is_sorted_by(|a, b| a < b), "{:?}", self.read);
        assert!(self.read.iter().all(|index| sent.contains(index)), "{:?} of {sent:?}", self.read);
        for index in sent.iter().filter(|index| !self.read.contains(index)) {
            let reported = |lag: &Lagged| (lag.from..lag.resumes_at).contains(index);
            assert!(self.lost.iter().any(reported), "{index} is lost: read {:?}, reported {:?}", self.read, self.lost);
        }
    }
}

fn lagging(request: Request<Payload>) -> Request<Payload> {
    request.lag_policy(LagPolicy::Continue)
}

/// A reader is in the middle of a run, in a segment from which batches are evicted, or which is retired and written
/// again. A read returns nothing that was out of reach when it began, although the segment still holds it.
fn a_known_run_against_evict(request: fn() -> Request<Payload>, key: fn(u64) -> &'static str) {
    // The smallest buffer whose segments hold three batches: one is read, one is evicted, and one is in reach.
    const BUFFER: u64 = 24;
    check(move || {
        let broker = broker(BUFFER);
        let mut reader = broker.subscribe(lagging(request()).start(Start::Oldest)).unwrap();
        for n in 1..=BUFFER {
            broker.publish(n, [event(key(n), n), event("a", n)]).unwrap();
        }
        let mut seen = Seen::default();
        seen.read(&mut reader, 1);
        let published = Arc::new(AtomicU64::new(BUFFER));
        let publisher = spawn({
            let (broker, published) = (broker.clone(), Arc::clone(&published));
            move || {
                for n in BUFFER + 1..=BUFFER + 4 {
                    broker.publish(n, [event(key(n), n), event("a", n)]).unwrap();
                    published.store(n, Ordering::Release);
                }
            }
        });
        for _ in 0..2 {
            let (gone, before) = (published.load(Ordering::Acquire) - BUFFER, seen.read.len());
            seen.read(&mut reader, 1);
            let now = seen.read.get(before);
            assert!(now.is_none_or(|index| *index > gone), "{now:?} was given, {gone} batches were evicted");
        }
        publisher.join().unwrap();
        seen.read(&mut reader, usize::MAX);
        seen.is_all_of(&(1..=BUFFER + 4).collect::<Vec<_>>());
    });
}

#[test]
fn a_run_of_everything_against_evict() {
    a_known_run_against_evict(everything, |_| "a");
}

/// The same where links give the events of the batch that match.
#[test]
fn a_run_of_a_chain_against_evict() {
    a_known_run_against_evict(|| keys(&["a"]), |_| "b");
}

/// A backlog that is older than its reader's nodes is in no chain. Its loss is recorded when it is evicted.
#[test]
fn a_backlog_against_evict() {
    check(|| {
        let broker = broker(1);
        broker.publish(1, [event("a", 1)]).unwrap();
        let mut reader = broker.subscribe(lagging(keys(&["a"])).start(Start::Index(1))).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(2, [event("b", 2)]).unwrap()
        });
        let mut seen = Seen::default();
        seen.read(&mut reader, usize::MAX);
        publisher.join().unwrap();
        seen.read(&mut reader, usize::MAX);
        seen.is_all_of(&[1]);
    });
}

/// A window goes from a backlog, which is scanned, to batches that are chained, and discovers those in a second step.
/// What has been evicted by then is reported.
fn a_window_across_a_backlog_against_evict(terms: &'static [&'static str]) {
    const KEYS: [&str; 6] = ["a", "a", "z", "a", "z", "a"];
    check(move || {
        let broker = broker(KEYS.len() as u64);
        broker.publish(1, [event("a", 1)]).unwrap();
        let mut reader = broker.subscribe(lagging(keys(terms)).start(Start::Index(1))).unwrap();
        for (key, n) in KEYS.into_iter().zip(1..).skip(1) {
            let second = if key == "a" { "b" } else { "z" };
            broker.publish(n, [event(key, n), event(second, n)]).unwrap();
        }
        let publisher = spawn({
            let broker = broker.clone();
            move || (7..=10).for_each(|n| broker.publish(n, [event("z", n)]).unwrap())
        });
        let mut seen = Seen::default();
        seen.drain(&mut reader);
        publisher.join().unwrap();
        seen.read(&mut reader, usize::MAX);
        seen.is_all_of(&[1, 2, 4, 6]);
    });
}

#[test]
fn a_window_of_one_chain_against_evict() {
    a_window_across_a_backlog_against_evict(&["a"]);
}

#[test]
fn a_window_of_two_chains_against_evict() {
    a_window_across_a_backlog_against_evict(&["a", "b"]);
}

/// A window continues a run that another has begun. What was evicted in between is reported, and what follows is not
/// taken for it.
#[test]
fn a_second_window_against_evict() {
    check(|| {
        let broker = broker(3);
        let mut reader = broker.subscribe(lagging(everything())).unwrap();
        for n in 1..=3 {
            broker.publish(n, [event("a", n)]).unwrap();
        }
        let mut seen = Seen::default();
        seen.read.extend(reader.drain().unwrap().iter().take(1).map(|delivery| delivery.index()));
        let publisher = spawn({
            let broker = broker.clone();
            move || (4..=5).for_each(|n| broker.publish(n, [event("a", n)]).unwrap())
        });
        seen.drain(&mut reader);
        publisher.join().unwrap();
        seen.read(&mut reader, usize::MAX);
        seen.is_all_of(&[1, 2, 3, 4, 5]);
    });
}

/// One batch of a reader's older backlog was evicted before, and another just now. The record of the second eviction
/// does not hide the first.
#[test]
fn a_scan_against_two_evictions() {
    check(|| {
        let broker = broker(2);
        broker.publish(1, [event("a", 1)]).unwrap();
        broker.publish(2, [event("a", 2)]).unwrap();
        let mut reader = broker.subscribe(lagging(keys(&["a"])).start(Start::Index(1))).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || (3..=4).for_each(|n| broker.publish(n, [event("b", n)]).unwrap())
        });
        let mut seen = Seen::default();
        seen.read(&mut reader, 2);
        publisher.join().unwrap();
        seen.read(&mut reader, usize::MAX);
        seen.is_all_of(&[1, 2]);
    });
}

/// The same if one publish evicts two of them. Neither is lost until both are out of reach, and a reported loss
/// contains something that was asked for.
#[test]
fn a_scan_against_two_evicted_at_once() {
    check(|| {
        let broker = Broker::builder().max_batches(8).max_events(3).build().unwrap();
        for (n, key) in [(1, "b"), (2, "a"), (3, "a")] {
            broker.publish(n, [event(key, n)]).unwrap();
        }
        let mut reader = broker.subscribe(lagging(keys(&["a"])).start(Start::Index(1))).unwrap();
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(4, [event("b", 4)]).unwrap();
                broker.publish(5, [event("b", 5), event("b", 5)]).unwrap();
            }
        });
        let mut seen = Seen::default();
        seen.read(&mut reader, 2);
        publisher.join().unwrap();
        seen.read(&mut reader, usize::MAX);
        seen.is_all_of(&[2, 3]);
        for lag in &seen.lost {
            assert!((2..=3).any(|index| (lag.from..lag.resumes_at).contains(&index)), "{lag:?}");
        }
    });
}

/// The state is restored while a reader is in the previous history. That is not a lag, however much follows.
#[test]
fn a_reset_against_a_read() {
    check(|| {
        let broker = broker(1);
        let mut reader = broker.subscribe(everything()).unwrap();
        broker.publish(1, [event("a", 1)]).unwrap();
        reader.try_recv().unwrap();
        broker.publish(2, [event("a", 2)]).unwrap();
        let restoring = spawn({
            let broker = broker.clone();
            move || {
                broker.reset(5, crate::Epoch::from(2));
                broker.publish(6, [event("a", 6)]).unwrap();
            }
        });
        match reader.try_recv() {
            Ok(delivery) => assert_eq!(delivery.index(), 2),
            Err(TryRecvError::Recv(error)) => assert_eq!(error, crate::RecvError::Reset),
            Err(TryRecvError::Empty) => panic!("nothing was passed"),
        }
        restoring.join().unwrap();
        assert_eq!(reader.try_recv().unwrap_err(), TryRecvError::Recv(crate::RecvError::Reset));
    });
}
