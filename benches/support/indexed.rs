//! One channel for each reader behind a hash index from key to readers, as a server would build by hand.
//!
//! It has a backlog only where its name says so. It has no index to start from and counts no loss.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;

use ahash::RandomState;
use event_broker::{Batch, Key};

use super::event::{Event, Item};
use super::{Awaited, Blocking, Seen, Structure, Want};

/// A channel for one reader.
pub(crate) trait Channel: Send + 'static {
    type Sender: Send + 'static;
    type Receiver: Send + 'static;
    const NAME: &'static str;
    const NAME_WITH_BACKLOG: &'static str;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver);
    /// Returns whether there was room.
    fn send(sender: &mut Self::Sender, batch: Item) -> bool;
    fn try_recv(receiver: &mut Self::Receiver) -> Option<Item>;
}

pub(crate) struct Crossbeam;

impl Channel for Crossbeam {
    type Sender = crossbeam_channel::Sender<Item>;
    type Receiver = crossbeam_channel::Receiver<Item>;
    const NAME: &'static str = "crossbeam a reader, hash index";
    const NAME_WITH_BACKLOG: &'static str = "crossbeam a reader, hash index, backlog deque";

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(capacity)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, batch: Item) -> bool {
        sender.try_send(batch).is_ok()
    }

    #[inline]
    fn try_recv(receiver: &mut Self::Receiver) -> Option<Item> {
        receiver.try_recv().ok()
    }
}

pub(crate) struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<Item>;
    type Receiver = flume::Receiver<Item>;
    const NAME: &'static str = "flume a reader, hash index";
    const NAME_WITH_BACKLOG: &'static str = "flume a reader, hash index, backlog deque";

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        flume::bounded(capacity)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, batch: Item) -> bool {
        sender.try_send(batch).is_ok()
    }

    #[inline]
    fn try_recv(receiver: &mut Self::Receiver) -> Option<Item> {
        receiver.try_recv().ok()
    }
}

/// A ring for one producer and one consumer, which cannot wait.
pub(crate) struct Rtrb;

impl Channel for Rtrb {
    type Sender = rtrb::Producer<Item>;
    type Receiver = rtrb::Consumer<Item>;
    const NAME: &'static str = "rtrb a reader, hash index";
    const NAME_WITH_BACKLOG: &'static str = "rtrb a reader, hash index, backlog deque";

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        rtrb::RingBuffer::new(capacity)
    }

    #[inline]
    fn send(sender: &mut Self::Sender, batch: Item) -> bool {
        sender.push(batch).is_ok()
    }

    #[inline]
    fn try_recv(receiver: &mut Self::Receiver) -> Option<Item> {
        receiver.pop().ok()
    }
}

struct Outlet<T> {
    sender: T,
    /// The number of the last batch that was sent, so that none is sent twice.
    last: u64,
}

/// The channels of the readers, found by key. With `BACKLOG` the last batches are kept for readers that join later.
pub(crate) struct Indexed<C: Channel, const BACKLOG: bool = false> {
    outlets: Vec<Outlet<C::Sender>>,
    everyone: Vec<usize>,
    by_key: HashMap<Key, Vec<usize>, RandomState>,
    backlog: VecDeque<Item>,
    capacity: usize,
    published: u64,
}

/// A receiver with its request, to count the events of a batch.
pub(crate) struct Inlet<R> {
    receiver: R,
    want: Want,
}

impl<R> Inlet<R> {
    #[inline]
    fn take(&self, batch: &Item) -> Seen {
        black_box(batch.index());
        // The index has already checked a batch of one event.
        let events = if batch.events().len() == 1 { 1 } else { self.want.count(batch.events()) };
        Seen { batches: 1, events }
    }
}

#[inline]
fn send<C: Channel>(outlets: &mut [Outlet<C::Sender>], readers: &[usize], number: u64, batch: &Item) {
    for reader in readers {
        let outlet = outlets.get_mut(*reader).expect("listed");
        if outlet.last != number {
            outlet.last = number;
            assert!(C::send(&mut outlet.sender, Arc::clone(batch)), "the window fits");
        }
    }
}

impl<C: Channel, const BACKLOG: bool> Structure for Indexed<C, BACKLOG> {
    type Reader = Inlet<C::Receiver>;
    type Prepared = Item;
    const SEES_ALL: bool = false;

    fn name() -> &'static str {
        if BACKLOG { C::NAME_WITH_BACKLOG } else { C::NAME }
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let mut by_key = HashMap::<Key, Vec<usize>, RandomState>::default();
        let (mut outlets, mut everyone, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for (number, want) in wants.iter().enumerate() {
            let (sender, receiver) = C::open(capacity);
            outlets.push(Outlet { sender, last: 0 });
            readers.push(Inlet { receiver, want: want.clone() });
            match want {
                Want::Everything | Want::DefaultNamespace => everyone.push(number),
                Want::Key(key) => by_key.entry(key.clone()).or_default().push(number),
            }
        }
        let backlog = VecDeque::with_capacity(capacity);
        (Self { outlets, everyone, by_key, backlog, capacity, published: 0 }, readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Item {
        Arc::new(Batch::new(index, events))
    }

    fn publish(&mut self, batch: Item) {
        self.published += 1;
        send::<C>(&mut self.outlets, &self.everyone, self.published, &batch);
        if !self.by_key.is_empty() {
            for event in batch.events() {
                for key in std::iter::once(event.key()).chain(event.filter_keys()) {
                    if let Some(readers) = self.by_key.get(key) {
                        send::<C>(&mut self.outlets, readers, self.published, &batch);
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
