//! A bare ring with cursors: the least that any shared buffer costs; and an empty loop, which is what the rig costs.
//!
//! It detects no loss, has no index, and cannot wait. Threads can read it at once, but not while it is published to.

use std::hint::black_box;

use super::carried::Carried;
use super::event::{Event, Item};
use super::{Churning, Seen, Structure, Want};

/// A ring of batches. Its readers borrow them, or with `CLONE` share them.
pub(crate) struct RingOf<T, const CLONE: bool> {
    slots: Vec<Option<T>>,
    mask: u64,
    end: u64,
}

pub(crate) struct Cursor {
    at: u64,
    want: Want,
}

/// The same of shared batches.
pub(crate) type Ring<const CLONE: bool> = RingOf<Item, CLONE>;

impl<T: Carried, const CLONE: bool> Structure for RingOf<T, CLONE> {
    type Reader = Cursor;
    type Prepared = T::Raw;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        if CLONE { "bare ring, Arc cloned" } else { "bare ring, borrowed" }
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Cursor>) {
        let capacity = capacity.next_power_of_two();
        let ring = Self { slots: vec![None; capacity], mask: capacity as u64 - 1, end: 0 };
        (ring, wants.iter().map(|want| Cursor { at: 0, want: want.clone() }).collect())
    }

    fn prepare(index: u64, events: Vec<Event>) -> T::Raw {
        T::prepare(index, events)
    }

    fn publish(&mut self, batch: T::Raw) {
        let slot = usize::try_from(self.end & self.mask).ok().and_then(|at| self.slots.get_mut(at));
        *slot.expect("the mask keeps it inside") = Some(T::wrap(batch));
        self.end += 1;
    }

    #[inline]
    fn drain(&self, reader: &mut Cursor) -> Seen {
        self.read(reader, |batch, want| {
            let events = if CLONE {
                let shared = batch.clone();
                black_box(shared.batch().index());
                want.count(shared.batch().events())
            } else {
                black_box(batch.batch().index());
                want.count(batch.batch().events())
            };
            Seen { batches: 1, events }
        })
    }
}

impl<T: Carried, const CLONE: bool> RingOf<T, CLONE> {
    /// Reads all that is new by a function of a batch and of what the reader wants.
    #[inline]
    pub(crate) fn read(&self, reader: &mut Cursor, mut read: impl FnMut(&T, &Want) -> Seen) -> Seen {
        let mut seen = Seen::default();
        while reader.at < self.end {
            let slot = usize::try_from(reader.at & self.mask).ok().and_then(|at| self.slots.get(at));
            let batch = slot.and_then(Option::as_ref).expect("published");
            reader.at += 1;
            seen += read(batch, &reader.want);
        }
        seen
    }
}

impl<T: Carried, const CLONE: bool> Churning for RingOf<T, CLONE> {
    fn join(&mut self, want: &Want) -> Cursor {
        Cursor { at: self.end, want: want.clone() }
    }

    fn leave(&mut self, reader: Cursor) {
        drop(reader);
    }
}

/// No structure: readers count batches that they do not look at, and all of which they asked for.
pub(crate) struct Empty {
    end: u64,
    events: u64,
}

impl Structure for Empty {
    /// The number of batches that the reader has counted.
    type Reader = u64;
    /// The number of events of the batch.
    type Prepared = u64;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        "empty loop"
    }

    fn open(wants: &[Want], _capacity: usize) -> (Self, Vec<u64>) {
        assert!(wants.iter().all(|want| !matches!(want, Want::Key(_))), "it has no filter");
        (Self { end: 0, events: 0 }, vec![0; wants.len()])
    }

    fn prepare(_index: u64, events: Vec<Event>) -> u64 {
        events.len() as u64
    }

    fn publish(&mut self, events: u64) {
        self.end += 1;
        self.events = black_box(events);
    }

    #[inline]
    fn drain(&self, reader: &mut u64) -> Seen {
        let mut seen = Seen::default();
        while *reader < self.end {
            *reader += 1;
            black_box(*reader);
            seen += Seen { batches: 1, events: self.events };
        }
        seen
    }
}

impl Churning for Empty {
    fn join(&mut self, _want: &Want) -> u64 {
        self.end
    }

    fn leave(&mut self, _reader: u64) {}
}
