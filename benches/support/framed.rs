//! Reading frames instead of events: each reader copies the bytes of its deliveries, as it would into the buffer of a
//! connection.
//!
//! The crate encodes an event when the first reader asks for its frame. A rival encodes for each reader, or carries what
//! was encoded when it was published.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;

use event_broker::Batch;
use tokio::sync::broadcast::error::TryRecvError;

use super::carried::{Carried, Encoded};
use super::event::{Event, Item, Plan};
use super::floor::RingOf;
use super::indexed::{Channel, IndexedOf};
use super::lines::{TAIL, encode, head};
use super::ours::Ours;
use super::rivals::TokioOf;
use super::{Seen, Structure, Want};

/// The buffer of a connection.
#[derive(Debug, Default)]
pub(crate) struct Out {
    buffer: Vec<u8>,
    /// Bytes of all frames.
    pub(crate) bytes: u64,
}

impl Out {
    fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.clear();
        write(&mut self.buffer);
        self.bytes += self.buffer.len() as u64;
        black_box(self.buffer.as_slice());
    }
}

/// A structure whose readers can have frames.
pub(crate) trait Framed: Structure {
    /// Reads everything that is available, without waiting, and writes the frame of each batch with something for the
    /// reader.
    fn frames(&self, reader: &mut Self::Reader, out: &mut Out) -> Seen;
}

/// How many bytes of frames so many readers receive of a window.
pub(crate) fn expected_bytes(plan: &Plan, readers: usize, window: u64) -> u64 {
    let readers_of = |group: u64| (readers as u64 + plan.groups - 1).saturating_sub(group) / plan.groups;
    let (len, batch) = (plan.window as u64, plan.batch as u64);
    let numbers = window * len..(window + 1) * len;
    let of_batch = |number: u64| {
        let index = number + 1;
        let mut groups = BTreeMap::<u64, (u64, u64)>::new();
        for (event, place) in Batch::new(index, plan.events(number)).events().iter().zip(number * batch..) {
            let group = groups.entry(plan.group(place)).or_default();
            *group = (group.0 + 1, group.1 + encoded(event).len() as u64);
        }
        let frame = |(group, (events, bytes)): (u64, (u64, u64))| {
            readers_of(group) * ((head(index).len() + TAIL.len()) as u64 + bytes + events - 1)
        };
        groups.into_iter().map(frame).sum::<u64>()
    };
    numbers.map(of_batch).sum()
}

fn encoded(event: &Event) -> Vec<u8> {
    serde_json::to_vec(event).expect("plain data")
}

impl Want {
    fn takes(&self, event: &Event) -> bool {
        match self {
            Self::Everything | Self::DefaultNamespace => true,
            Self::Key(key) => event.key() == key || event.filter_keys().contains(key),
        }
    }
}

/// What a rival's reader writes.
pub(crate) trait Writes: Carried {
    /// Writes the frame of what the reader wants, if there is anything, and returns how many events it has.
    fn write(&self, want: &Want, out: &mut Vec<u8>) -> u64;

    fn frame(&self, want: &Want, out: &mut Out) -> Seen {
        let mut events = 0;
        out.frame(|buffer| events = self.write(want, buffer));
        Seen { batches: 1, events }
    }
}

/// Begins the frame before its first event, and separates the others.
fn before_event(events: u64, index: u64, out: &mut Vec<u8>) {
    if events == 0 {
        write!(out, "{{\"Index\":{index},\"Events\":[").expect("memory takes everything");
    } else {
        out.push(b',');
    }
}

impl Writes for Item {
    fn write(&self, want: &Want, out: &mut Vec<u8>) -> u64 {
        let mut events = 0;
        for event in self.events().iter().filter(|event| want.takes(event)) {
            before_event(events, self.index(), out);
            encode(event, out);
            events += 1;
        }
        if events > 0 {
            out.extend_from_slice(TAIL);
        }
        events
    }
}

impl Writes for Encoded {
    fn write(&self, want: &Want, out: &mut Vec<u8>) -> u64 {
        let (line, all) = (self.line(), self.batch().events());
        let Want::Key(_) = want else {
            out.extend_from_slice(&line.bytes);
            return all.len() as u64;
        };
        let mut events = 0;
        for (event, place) in all.iter().zip(&line.events) {
            if want.takes(event) {
                before_event(events, self.batch().index(), out);
                out.extend_from_slice(line.bytes.get(place.clone()).unwrap_or_default());
                events += 1;
            }
        }
        if events > 0 {
            out.extend_from_slice(TAIL);
        }
        events
    }
}

impl<const OWNED: bool> Framed for Ours<OWNED> {
    fn frames(&self, reader: &mut Self::Reader, out: &mut Out) -> Seen {
        let mut seen = Seen::default();
        if OWNED {
            loop {
                match reader.try_recv() {
                    Ok(delivery) => {
                        let frame = delivery.frame().expect("plain data");
                        out.frame(|buffer| buffer.extend_from_slice(frame.as_bytes()));
                        seen += Seen { batches: 1, events: delivery.len() as u64 };
                    }
                    Err(event_broker::TryRecvError::Empty) => return seen,
                    Err(error) => panic!("a reader was to get everything: {error}"),
                }
            }
        }
        for delivery in &mut reader.drain().expect("not overtaken") {
            let frame = delivery.frame().expect("plain data");
            out.frame(|buffer| buffer.extend_from_slice(frame.as_bytes()));
            seen += Seen { batches: 1, events: delivery.len() as u64 };
        }
        seen
    }
}

impl<T: Writes> Framed for TokioOf<T> {
    fn frames(&self, reader: &mut Self::Reader, out: &mut Out) -> Seen {
        let mut seen = Seen::default();
        loop {
            match reader.receiver.try_recv() {
                Ok(batch) => seen += batch.frame(&reader.want, out),
                Err(TryRecvError::Empty) => return seen,
                Err(error) => panic!("a reader was to get everything: {error}"),
            }
        }
    }
}

impl<C: Channel, T: Writes, const BACKLOG: bool> Framed for IndexedOf<C, T, BACKLOG> {
    fn frames(&self, reader: &mut Self::Reader, out: &mut Out) -> Seen {
        let mut seen = Seen::default();
        while let Some(batch) = C::try_recv(&mut reader.receiver) {
            // The index has already checked a batch of one event.
            let one = batch.batch().events().len() == 1;
            seen += batch.frame(if one { &Want::Everything } else { &reader.want }, out);
        }
        seen
    }
}

impl<T: Writes, const CLONE: bool> Framed for RingOf<T, CLONE> {
    fn frames(&self, reader: &mut Self::Reader, out: &mut Out) -> Seen {
        self.read(reader, |batch, want| batch.frame(want, out))
    }
}
