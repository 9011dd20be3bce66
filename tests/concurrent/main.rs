//! Histories of real threads: publishers that share a commit lock, readers of every kind, and the validators of the test
//! kit over what each reader saw (G1 to G5, G8 and G10).
//!
//! No thread sleeps to establish an order. Counters that only rise establish what happened before what.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

#[path = "../common/random.rs"]
mod random;
mod readers;
mod world;

use std::sync::mpsc;
use std::thread;

use event_broker::testing::history::{Trace, check_all};
use event_broker::{Event, Start};
use random::Random;
use readers::{FOREVER, Log, Read, blocking, coming_and_going, draining, resuming, ringing, stalling, task};
use world::{DENIED, NARROWED, Wish, World};

const BATCHES: usize = 360;
const PUBLISHERS: usize = 3;

fn run(seed: u64, max_batches: u64) {
    let twenty = || Wish::new((0..20).map(|key| ("B", key)), &["n1", "n2"]);
    let one = || Wish::new([("A", 3)], &["n1"]);
    let readers: [(&str, Wish, Read); 11] = [
        ("blocking, all", Wish::all("reader"), blocking),
        ("blocking, one key", one(), blocking),
        ("task, twenty keys", twenty(), task),
        ("draining, all", Wish::all("reader"), draining),
        ("draining, twenty keys", twenty(), draining),
        ("ringing, three keys", Wish::new([("A", 1), ("B", 1), ("A", 2)], &["n2"]), ringing),
        ("stalling, twenty keys", twenty(), stalling),
        ("stalling, one key", one(), stalling),
        ("resuming, two keys", Wish::new([("A", 5), ("B", 5)], &["n1"]), resuming),
        ("narrowed", Wish::all("narrowed"), draining),
        ("denied", Wish::all("denied"), blocking),
    ];
    let world = &World::new(max_batches);
    let logs: Vec<Log> = thread::scope(|scope| {
        let mut running = Vec::new();
        for (number, (name, wish, read)) in readers.into_iter().enumerate() {
            // Nothing is published yet, so they read from the beginning.
            let mut reader = world.broker.subscribe(wish.request(Start::Index(1))).unwrap();
            running.push(scope.spawn(move || {
                let mut log = Log::new(name, &wish);
                read(world, &mut reader, &mut log, &mut Random::new(seed + number as u64));
                vec![log]
            }));
        }
        running.push(scope.spawn(move || coming_and_going(world, seed + 100)));
        let publishers = [0; PUBLISHERS].map(|_| {
            scope.spawn(move || {
                let mut random = Random::new(seed ^ 0x5555);
                for _ in 0..BATCHES / PUBLISHERS {
                    world.commit(&mut random, None);
                    if random.number(4) == 0 {
                        thread::yield_now();
                    }
                }
            })
        });
        let mut random = Random::new(seed + 200);
        for (after, change) in [(BATCHES / 4, NARROWED), (BATCHES / 2, DENIED)] {
            while world.done() < after {
                thread::yield_now();
            }
            world.commit(&mut random, Some(change));
        }
        for publisher in publishers {
            publisher.join().unwrap();
        }
        world.broker.close();
        running.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });

    let commits = std::mem::take(&mut *world.commits.lock().unwrap());
    let traces: Vec<Trace> = logs.into_iter().map(|log| log.wish.judge(log.trace, &commits)).collect();
    if let Err(violation) = check_all(&commits.history, &traces) {
        panic!("seed {seed}: {violation}");
    }
    assert_eq!(world.broker.stats().subscriptions, 0);
}

/// G1 order, G2 no duplicates, G3 no silent loss, G4 atomic, G5 resumable, G8 fence: a buffer that overtakes readers.
#[test]
fn g1_to_g5_g8_histories_of_overtaken_readers_are_valid() {
    for seed in 1..=3 {
        run(seed * 7919, 8);
    }
}

/// The same with a buffer that rarely overtakes.
#[test]
fn g1_to_g5_g8_histories_of_readers_that_keep_up_are_valid() {
    for seed in 1..=3 {
        run(seed * 104_729, 200);
    }
}

/// G10: each batch is published only after every reader that it concerns has confirmed the one before, so that no later
/// wake-up makes up for a lost one. Of the two kinds of batch each reader but the last receives one.
#[test]
fn g10_a_waiting_reader_is_woken_by_its_batch_alone() {
    const ROUNDS: u64 = 240;
    let world = &World::new(4);
    let twenty = |topic| Wish::new((0..20).map(move |key| (topic, key)), &["n1"]);
    let readers: [(Wish, Read); 7] = [
        (Wish::new([("A", 0)], &["n1"]), blocking),
        (twenty("A"), blocking),
        (Wish::new([("B", 1)], &["n1"]), task),
        (twenty("B"), draining),
        (twenty("A"), ringing),
        (Wish::new([("A", 0), ("A", 1)], &["n1"]), ringing),
        (Wish::all("reader"), blocking),
    ];
    thread::scope(|scope| {
        let (came, comes) = mpsc::channel();
        for (wish, read) in readers.clone() {
            let mut reader = world.broker.subscribe(wish.request(Start::Latest)).unwrap();
            // Confirms each delivery at once: it reads as its kind does, through a predicate that sees every event.
            let came = came.clone();
            drop(reader);
            let request = wish.request(Start::Latest).filter(move |event| came.send(*event.payload()).is_ok());
            reader = world.broker.subscribe(request).unwrap();
            scope.spawn(move || read(world, &mut reader, &mut Log::new("waiting", &wish), &mut Random::new(1)));
        }
        for round in 1..=ROUNDS {
            let (topic, key) = [("A", 0), ("B", 1), ("A", 1)][usize::try_from(round % 3).unwrap()];
            let key = format!("k{key}");
            let event = Event::new(topic, "t", key, round).with_namespace("n1");
            let expected = readers.iter().filter(|(wish, _)| wish.matches(&event)).count();
            world.broker.publish(round, [event]).unwrap();
            for _ in 0..expected {
                assert_eq!(comes.recv_timeout(FOREVER).expect("a wake-up was lost"), round);
            }
        }
        world.broker.close();
    });
}
