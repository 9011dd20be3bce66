//! Structures with one shared buffer: tokio's broadcast, async-broadcast and bus. Their readers filter for themselves.
//!
//! None has an index, a start other than now, or access control. Only tokio's counts what was lost.

use std::hint::black_box;
use std::sync::Arc;

use async_broadcast as asynchronous;
use event_broker::Batch;
use tokio::sync::broadcast;

use super::carried::Carried;
use super::event::{Event, Item, Payload};
use super::{Awaited, Blocking, Churning, Seen, Stepwise, Structure, Want};

/// A receiver with its request.
pub(crate) struct Filtered<R> {
    pub(super) receiver: R,
    pub(super) want: Want,
}

impl<R> Filtered<R> {
    #[inline]
    fn take(&self, batch: &Batch<Payload>) -> Seen {
        black_box(batch.index());
        Seen { batches: 1, events: self.want.count(batch.events()) }
    }
}

fn share(index: u64, events: Vec<Event>) -> Item {
    Arc::new(Batch::new(index, events))
}

/// A receiver for each want.
fn receivers<R>(wants: &[Want], mut receiver: impl FnMut() -> R) -> Vec<Filtered<R>> {
    wants.iter().map(|want| Filtered { receiver: receiver(), want: want.clone() }).collect()
}

/// `tokio::sync::broadcast` of what can be cloned cheaply.
pub(crate) struct TokioOf<T>(pub(crate) broadcast::Sender<T>);

/// The same of shared batches.
pub(crate) type Tokio = TokioOf<Item>;

impl<T: Carried> Structure for TokioOf<T> {
    type Reader = Filtered<broadcast::Receiver<T>>;
    type Prepared = T::Raw;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        "tokio broadcast"
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let sender = broadcast::Sender::new(capacity);
        let readers = receivers(wants, || sender.subscribe());
        (Self(sender), readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> T::Raw {
        T::prepare(index, events)
    }

    fn publish(&mut self, batch: T::Raw) {
        // An error only means that there is no receiver.
        let _ = self.0.send(T::wrap(batch));
    }

    #[inline]
    fn drain(&self, reader: &mut Self::Reader) -> Seen {
        let mut seen = Seen::default();
        while let Some(one) = self.step(reader) {
            seen += one;
        }
        seen
    }
}

impl<T: Carried> Churning for TokioOf<T> {
    fn join(&mut self, want: &Want) -> Self::Reader {
        Filtered { receiver: self.0.subscribe(), want: want.clone() }
    }

    fn leave(&mut self, reader: Self::Reader) {
        drop(reader);
    }
}

impl<T: Carried> Stepwise for TokioOf<T> {
    #[inline]
    fn step(&self, reader: &mut Self::Reader) -> Option<Seen> {
        match reader.receiver.try_recv() {
            Ok(batch) => Some(reader.take(batch.batch())),
            Err(broadcast::error::TryRecvError::Empty) => None,
            Err(error) => panic!("a reader was to get everything: {error}"),
        }
    }
}

/// `tokio::sync::broadcast` of batches by value: each receiver clones all events, keys and filter keys.
pub(crate) struct TokioByValue(broadcast::Sender<Batch<Payload>>);

impl Structure for TokioByValue {
    type Reader = Filtered<broadcast::Receiver<Batch<Payload>>>;
    type Prepared = Batch<Payload>;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        "tokio broadcast, by value"
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let sender = broadcast::Sender::new(capacity);
        let readers = receivers(wants, || sender.subscribe());
        (Self(sender), readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Batch<Payload> {
        Batch::new(index, events)
    }

    fn publish(&mut self, batch: Batch<Payload>) {
        // An error only means that there is no receiver.
        let _ = self.0.send(batch);
    }

    #[inline]
    fn drain(&self, reader: &mut Self::Reader) -> Seen {
        let mut seen = Seen::default();
        loop {
            match reader.receiver.try_recv() {
                Ok(batch) => {
                    black_box(batch.index());
                    seen += Seen { batches: 1, events: reader.want.count(batch.events()) };
                }
                Err(broadcast::error::TryRecvError::Empty) => return seen,
                Err(error) => panic!("a reader was to get everything: {error}"),
            }
        }
    }
}

impl Churning for TokioByValue {
    fn join(&mut self, want: &Want) -> Self::Reader {
        Filtered { receiver: self.0.subscribe(), want: want.clone() }
    }

    fn leave(&mut self, reader: Self::Reader) {
        drop(reader);
    }
}

fn received(reader: &Filtered<broadcast::Receiver<Item>>, result: Result<Item, broadcast::error::RecvError>) -> Seen {
    match result {
        Ok(batch) => reader.take(&batch),
        Err(broadcast::error::RecvError::Closed) => Seen::default(),
        Err(error) => panic!("a reader was to get everything: {error}"),
    }
}

impl Awaited for Tokio {
    async fn wait(reader: &mut Self::Reader) -> Seen {
        let result = reader.receiver.recv().await;
        received(reader, result)
    }
}

impl Blocking for Tokio {
    fn block(reader: &mut Self::Reader) -> Seen {
        let result = reader.receiver.blocking_recv();
        received(reader, result)
    }
}

/// `async-broadcast` of shared batches, not overflowing: its publisher would wait for readers.
pub(crate) struct AsyncBroadcast(asynchronous::Sender<Item>, Kept);

type Kept = asynchronous::InactiveReceiver<Item>;

impl Structure for AsyncBroadcast {
    type Reader = Filtered<asynchronous::Receiver<Item>>;
    type Prepared = Item;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        "async-broadcast"
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let (sender, receiver) = asynchronous::broadcast(capacity);
        let readers = receivers(wants, || receiver.new_receiver());
        (Self(sender, receiver.deactivate()), readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Item {
        share(index, events)
    }

    fn publish(&mut self, batch: Item) {
        match self.0.try_broadcast(batch) {
            Ok(_) | Err(asynchronous::TrySendError::Inactive(_)) => {}
            Err(error) => panic!("the window fits: {error}"),
        }
    }

    #[inline]
    fn drain(&self, reader: &mut Self::Reader) -> Seen {
        let mut seen = Seen::default();
        loop {
            match reader.receiver.try_recv() {
                Ok(batch) => seen += reader.take(&batch),
                Err(asynchronous::TryRecvError::Empty) => return seen,
                Err(error) => panic!("a reader was to get everything: {error}"),
            }
        }
    }
}

impl Churning for AsyncBroadcast {
    fn join(&mut self, want: &Want) -> Self::Reader {
        Filtered { receiver: self.1.activate_cloned(), want: want.clone() }
    }

    fn leave(&mut self, reader: Self::Reader) {
        drop(reader);
    }
}

impl Awaited for AsyncBroadcast {
    async fn wait(reader: &mut Self::Reader) -> Seen {
        match reader.receiver.recv_direct().await {
            Ok(batch) => reader.take(&batch),
            Err(asynchronous::RecvError::Closed) => Seen::default(),
            Err(error) => panic!("a reader was to get everything: {error}"),
        }
    }
}

/// `bus` of shared batches: its publisher would wait for readers.
pub(crate) struct Bus(bus::Bus<Item>);

impl Structure for Bus {
    type Reader = Filtered<bus::BusReader<Item>>;
    type Prepared = Item;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        "bus"
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let mut bus = bus::Bus::new(capacity);
        let readers = receivers(wants, || bus.add_rx());
        (Self(bus), readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Item {
        share(index, events)
    }

    fn publish(&mut self, batch: Item) {
        self.0.try_broadcast(batch).map_err(|_| "full").expect("the window fits");
    }

    #[inline]
    fn drain(&self, reader: &mut Self::Reader) -> Seen {
        let mut seen = Seen::default();
        while let Ok(batch) = reader.receiver.try_recv() {
            seen += reader.take(&batch);
        }
        seen
    }
}

impl Blocking for Bus {
    fn block(reader: &mut Self::Reader) -> Seen {
        match reader.receiver.recv() {
            Ok(batch) => reader.take(&batch),
            Err(_) => Seen::default(),
        }
    }
}
