//! Readers that have copies of the directory of their own, by stripe, against evicting and growing: G3, G6.
//! Readers that share a stripe are in `evicting` and `fanout`.
//!
//! Broken by a copy that is stored after its stripe was emptied, by a stripe that is not emptied, and by a copy that is
//! taken for the present directory although it is stale.

use std::sync::{Arc, Weak};

use super::{check, spawn};
use crate::sync::choose_stripe;
use crate::{Broker, Event, LagPolicy, Request, Start, Subscription, TryRecvError};

/// A payload that shows whether its batch is still in memory.
type Payload = Arc<u64>;

/// What one reader read, and how much it was told that it lost.
#[derive(Default)]
struct Seen {
    read: Vec<u64>,
    lost: u64,
}

impl Seen {
    fn try_recv(&mut self, reader: &mut Subscription<Payload>) {
        match reader.try_recv() {
            Ok(delivery) => self.read.push(delivery.index()),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Recv(error)) => self.lost += error.lagged().expect("the only error").missed,
        }
    }

    fn drain(&mut self, reader: &mut Subscription<Payload>) {
        match reader.drain() {
            Ok(mut window) => self.read.extend(window.iter().map(|delivery| delivery.index())),
            Err(error) => self.lost += error.lagged().expect("the only error").missed,
        }
    }
}

fn reader_of(broker: &Broker<Payload>) -> Subscription<Payload> {
    let request = Request::new().namespace("*").start(Start::Oldest).lag_policy(LagPolicy::Continue);
    broker.subscribe(request).expect("open")
}

struct World {
    broker: Broker<Payload>,
    /// The payloads that were published, by index.
    published: Vec<Weak<u64>>,
}

impl World {
    fn new(batches: u64) -> Self {
        Self { broker: Broker::builder().max_batches(batches).build().expect("not zero"), published: Vec::new() }
    }

    fn reader(&self) -> Subscription<Payload> {
        reader_of(&self.broker)
    }

    fn publish(&mut self) {
        let index = self.published.len() as u64 + 1;
        let payload = Arc::new(index);
        self.published.push(Arc::downgrade(&payload));
        let names = (crate::Topic::from_static("t"), crate::EventType::from_static("e"), crate::Key::from_static("k"));
        self.broker.publish(index, [Event::new(names.0, names.1, names.2, payload)]).expect("rising");
    }

    /// Nobody reads: what is out of reach is freed, whatever copies the stripes have.
    fn keeps_the_newest(&self, batches: usize) {
        let kept: Vec<_> = (1..).zip(&self.published).filter(|(_, payload)| payload.strong_count() > 0).collect();
        assert_eq!(kept.len(), batches, "{kept:?}");
    }
}

/// A reader copies the directory for its stripe while the appender replaces it. What is evicted is freed by whoever
/// holds it last, and no stripe keeps it. Each segment holds one batch.
fn a_copy_against_evicting(read: fn(&mut Seen, &mut Subscription<Payload>)) {
    check(move || {
        let mut world = World::new(1);
        let (mut own, mut other) = (world.reader(), world.reader());
        world.publish();
        let reading = spawn(move || {
            choose_stripe(1);
            let mut seen = Seen::default();
            read(&mut seen, &mut other);
            read(&mut seen, &mut other);
            (seen, other)
        });
        world.publish();
        let mut here = Seen::default();
        read(&mut here, &mut own);
        world.publish();
        let (mut there, mut other) = reading.join().expect("it ends");
        world.keeps_the_newest(1);
        for (seen, reader) in [(&mut here, &mut own), (&mut there, &mut other)] {
            // A loss, the rest, and nothing more.
            (0..3).for_each(|_| read(seen, reader));
            assert!(seen.read.is_sorted_by(|a, b| a < b), "{:?}", seen.read);
            assert_eq!(seen.read.len() as u64 + seen.lost, 3, "read {:?}", seen.read);
        }
        world.keeps_the_newest(1);
    });
}

#[test]
fn a_copy_for_a_window_against_evicting() {
    a_copy_against_evicting(Seen::drain);
}

#[test]
fn a_copy_for_a_batch_against_evicting() {
    a_copy_against_evicting(Seen::try_recv);
}

/// Two readers share a stripe and copy the directory at the same time, while the appender removes the copy.
#[test]
fn two_copies_for_one_stripe_against_evicting() {
    check(|| {
        let mut world = World::new(1);
        let readers = [world.reader(), world.reader()];
        world.publish();
        let reading = readers.map(|mut reader| {
            spawn(move || {
                let mut seen = Seen::default();
                seen.drain(&mut reader);
                (seen, reader)
            })
        });
        world.publish();
        for reading in reading {
            let (mut seen, mut reader) = reading.join().expect("it ends");
            (0..3).for_each(|_| seen.drain(&mut reader));
            assert_eq!(seen.read.len() as u64 + seen.lost, 2, "read {:?}", seen.read);
        }
        world.keeps_the_newest(1);
    });
}

/// The last subscription leaves and removes the copies, while a reader that was opened meanwhile copies the directory.
/// The copy may be stored after that, and the appender removes it all the same.
#[test]
fn a_copy_against_the_last_to_leave() {
    check(|| {
        let mut world = World::new(1);
        world.publish();
        let leaves = world.reader();
        let reading = spawn({
            let broker = world.broker.clone();
            move || {
                let mut reader = reader_of(&broker);
                Seen::default().drain(&mut reader);
                reader
            }
        });
        drop(leaves);
        let _reader = reading.join().expect("it ends");
        world.publish();
        world.keeps_the_newest(1);
    });
}

/// The directory grows while a reader has the copy from before. A window that sees the new end has its batches.
#[test]
fn a_stale_copy_against_growing() {
    check(|| {
        let mut world = World::new(7);
        let mut reader = world.reader();
        world.publish();
        let mut seen = Seen::default();
        seen.drain(&mut reader);
        let reading = spawn(move || {
            for _ in 0..2 {
                let (lag, before) = (reader.stats().lag, seen.read.len());
                seen.drain(&mut reader);
                let read = (seen.read.len() - before) as u64;
                assert!(read >= lag, "{read} of {lag} were read");
            }
            (seen, reader)
        });
        world.publish();
        world.publish();
        let (mut seen, mut reader) = reading.join().expect("it ends");
        seen.drain(&mut reader);
        assert_eq!(seen.read, [1, 2, 3]);
    });
}
