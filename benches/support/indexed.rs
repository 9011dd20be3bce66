//! One channel for each reader behind a hash index from key to readers, as a server would build by hand.
//!
//! It has a backlog only where its name says so. It has no index to start from and counts no loss.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;

use ahash::RandomState;
use event_broker::Key;

use super::carried::Carried;
use super::event::{Event, Item};
use super::{Awaited, Blocking, Churning, Seen, Structure, Want};

/// A channel for one reader.
pub(crate) trait Channel: Send + 'static {
    type Sender<T: Carried>: Send + 'static;
    type Receiver<T: Carried>: Send + 'static;
    const NAME: &'static str;
    const NAME_WITH_BACKLOG: &'static str;

    fn open<T: Carried>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>);
    /// Returns whether there was room.
    fn send<T: Carried>(sender: &mut Self::Sender<T>, batch: T) -> bool;
    fn try_recv<T: Carried>(receiver: &mut Self::Receiver<T>) -> Option<T>;
}

pub(crate) struct Crossbeam;

impl Channel for Crossbeam {
    type Sender<T: Carried> = crossbeam_channel::Sender<T>;
    type Receiver<T: Carried> = crossbeam_channel::Receiver<T>;
    const NAME: &'static str = "crossbeam a reader, hash index";
    const NAME_WITH_BACKLOG: &'static str = "crossbeam a reader, hash index, backlog deque";

    fn open<T: Carried>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        crossbeam_channel::bounded(capacity)
    }

    #[inline]
    fn send<T: Carried>(sender: &mut Self::Sender<T>, batch: T) -> bool {
        sender.try_send(batch).is_ok()
    }

    #[inline]
    fn try_recv<T: Carried>(receiver: &mut Self::Receiver<T>) -> Option<T> {
        receiver.try_recv().ok()
    }
}

pub(crate) struct Flume;

impl Channel for Flume {
    type Sender<T: Carried> = flume::Sender<T>;
    type Receiver<T: Carried> = flume::Receiver<T>;
    const NAME: &'static str = "flume a reader, hash index";
    const NAME_WITH_BACKLOG: &'static str = "flume a reader, hash index, backlog deque";

    fn open<T: Carried>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        flume::bounded(capacity)
    }

    #[inline]
    fn send<T: Carried>(sender: &mut Self::Sender<T>, batch: T) -> bool {
        sender.try_send(batch).is_ok()
    }

    #[inline]
    fn try_recv<T: Carried>(receiver: &mut Self::Receiver<T>) -> Option<T> {
        receiver.try_recv().ok()
    }
}

/// A ring for one producer and one consumer, which cannot wait.
pub(crate) struct Rtrb;

impl Channel for Rtrb {
    type Sender<T: Carried> = rtrb::Producer<T>;
    type Receiver<T: Carried> = rtrb::Consumer<T>;
    const NAME: &'static str = "rtrb a reader, hash index";
    const NAME_WITH_BACKLOG: &'static str = "rtrb a reader, hash index, backlog deque";

    fn open<T: Carried>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        rtrb::RingBuffer::new(capacity)
    }

    #[inline]
    fn send<T: Carried>(sender: &mut Self::Sender<T>, batch: T) -> bool {
        sender.push(batch).is_ok()
    }

    #[inline]
    fn try_recv<T: Carried>(receiver: &mut Self::Receiver<T>) -> Option<T> {
        receiver.pop().ok()
    }
}

struct Outlet<S> {
    sender: S,
    /// The number of the last batch that was sent, so that none is sent twice.
    last: u64,
    /// The place of the reader in the list that it is in.
    place: usize,
}

/// The channels of the readers, found by key. With `BACKLOG` the last batches are kept for readers that join later.
pub(crate) struct IndexedOf<C: Channel, T: Carried, const BACKLOG: bool> {
    /// By number of reader. That of a reader that has left stays until the next takes its place.
    outlets: Vec<Outlet<C::Sender<T>>>,
    free: Vec<usize>,
    everyone: Vec<usize>,
    by_key: HashMap<Key, Vec<usize>, RandomState>,
    backlog: VecDeque<T>,
    capacity: usize,
    published: u64,
}

/// The same of shared batches.
pub(crate) type Indexed<C, const BACKLOG: bool = false> = IndexedOf<C, Item, BACKLOG>;

/// A receiver with its request, to count the events of a batch.
pub(crate) struct Inlet<R> {
    pub(super) receiver: R,
    pub(super) want: Want,
    number: usize,
}

impl<R> Inlet<R> {
    #[inline]
    fn take(&self, batch: &impl Carried) -> Seen {
        let batch = batch.batch();
        black_box(batch.index());
        // The index has already checked a batch of one event.
        let events = if batch.events().len() == 1 { 1 } else { self.want.count(batch.events()) };
        Seen { batches: 1, events }
    }
}

#[inline]
fn send<C: Channel, T: Carried>(outlets: &mut [Outlet<C::Sender<T>>], readers: &[usize], number: u64, batch: &T) {
    for reader in readers {
        let outlet = outlets.get_mut(*reader).expect("listed");
        if outlet.last != number {
            outlet.last = number;
            assert!(C::send(&mut outlet.sender, batch.clone()), "the window fits");
        }
    }
}

impl<C: Channel, T: Carried, const BACKLOG: bool> Structure for IndexedOf<C, T, BACKLOG> {
    type Reader = Inlet<C::Receiver<T>>;
    type Prepared = T::Raw;
    const SEES_ALL: bool = false;

    fn name() -> &'static str {
        if BACKLOG { C::NAME_WITH_BACKLOG } else { C::NAME }
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let mut indexed = Self {
            outlets: Vec::new(),
            free: Vec::new(),
            everyone: Vec::new(),
            by_key: HashMap::default(),
            backlog: VecDeque::with_capacity(capacity),
            capacity,
            published: 0,
        };
        let readers = wants.iter().map(|want| indexed.join(want)).collect();
        (indexed, readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> T::Raw {
        T::prepare(index, events)
    }

    fn publish(&mut self, batch: T::Raw) {
        let batch = T::wrap(batch);
        self.published += 1;
        send::<C, T>(&mut self.outlets, &self.everyone, self.published, &batch);
        if !self.by_key.is_empty() {
            for event in batch.batch().events() {
                for key in std::iter::once(event.key()).chain(event.filter_keys()) {
                    if let Some(readers) = self.by_key.get(key) {
                        send::<C, T>(&mut self.outlets, readers, self.published, &batch);
                    }
                }
            }
        }
        if BACKLOG {
            if self.backlog.len() == self.capacity {
                self.backlog.pop_front();
            }
            self.backlog.push_back(batch);
        }
    }

    #[inline]
    fn drain(&self, reader: &mut Self::Reader) -> Seen {
        let mut seen = Seen::default();
        while let Some(batch) = C::try_recv(&mut reader.receiver) {
            seen += reader.take(&batch);
        }
        seen
    }
}

impl<C: Channel, T: Carried, const BACKLOG: bool> Churning for IndexedOf<C, T, BACKLOG> {
    fn join(&mut self, want: &Want) -> Self::Reader {
        let (sender, receiver) = C::open(self.capacity);
        let list = match want {
            Want::Everything | Want::DefaultNamespace => &mut self.everyone,
            Want::Key(key) => self.by_key.entry(key.clone()).or_default(),
        };
        let outlet = Outlet { sender, last: 0, place: list.len() };
        let number = self.free.pop().unwrap_or(self.outlets.len());
        list.push(number);
        match self.outlets.get_mut(number) {
            Some(free) => *free = outlet,
            None => self.outlets.push(outlet),
        }
        Inlet { receiver, want: want.clone(), number }
    }

    fn leave(&mut self, reader: Self::Reader) {
        let place = self.outlets.get(reader.number).expect("joined").place;
        self.free.push(reader.number);
        let list = match &reader.want {
            Want::Everything | Want::DefaultNamespace => &mut self.everyone,
            Want::Key(key) => self.by_key.get_mut(key).expect("joined"),
        };
        list.swap_remove(place);
        if let Some(moved) = list.get(place).and_then(|moved| self.outlets.get_mut(*moved)) {
            moved.place = place;
        } else if list.is_empty()
            && let Want::Key(key) = &reader.want
        {
            self.by_key.remove(key);
        }
    }
}

impl<const BACKLOG: bool> Awaited for Indexed<Flume, BACKLOG> {
    async fn wait(reader: &mut Self::Reader) -> Seen {
        let result = reader.receiver.recv_async().await;
        result.map_or_else(|_| Seen::default(), |batch| reader.take(&batch))
    }
}

impl<const BACKLOG: bool> Blocking for Indexed<Flume, BACKLOG> {
    fn block(reader: &mut Self::Reader) -> Seen {
        reader.receiver.recv().map_or_else(|_| Seen::default(), |batch| reader.take(&batch))
    }
}

impl<const BACKLOG: bool> Blocking for Indexed<Crossbeam, BACKLOG> {
    fn block(reader: &mut Self::Reader) -> Seen {
        reader.receiver.recv().map_or_else(|_| Seen::default(), |batch| reader.take(&batch))
    }
}
