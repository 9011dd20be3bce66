//! The crate, and tokio's broadcast with readers that filter, as structures of the mix.
//!
//! Channels for each reader are in `routed`.

use std::sync::Arc;

use event_broker::{Batch, Broker, RecvError, Request, Start, Subscription, Term, TryRecvError};
use tokio::sync::broadcast;

use super::super::event::{Event, Item, Payload};
use super::super::ours;
use super::plan::Wanted;
use super::{Mixed, MixedTasks, Tally};

/// The broker. Its readers drain windows, or with `OWNED` take one owned delivery at a time.
pub(crate) struct Ours<const OWNED: bool>(Broker<Payload>);

fn request(wanted: &Wanted) -> Request<Payload> {
    let request = Request::new().start(Start::Latest);
    let (request, namespace) = match wanted {
        Wanted::Everything => (request, None),
        Wanted::Topic { topic, namespace } => (request.term(Term::topic(topic).expect("a topic")), namespace.as_ref()),
        Wanted::Keys { topic, keys, namespace } => {
            let terms = keys.iter().map(|key| Term::new(topic, key).expect("a topic and a key"));
            (request.terms(terms), namespace.as_ref())
        }
    };
    match namespace {
        Some(namespace) => request.namespace(namespace),
        None => request.namespace("*"),
    }
}

fn drain(reader: &mut Subscription<Payload>) -> Result<Tally, RecvError> {
    let mut tally = Tally::default();
    for delivery in &mut reader.drain()? {
        tally.batches += 1;
        for event in delivery.events() {
            tally.read(event);
        }
    }
    Ok(tally)
}

/// The result of a read that found an end.
fn over(error: &RecvError) -> Tally {
    assert!(matches!(error, RecvError::Closed), "a reader was to get everything: {error}");
    Tally::default()
}

impl<const OWNED: bool> Mixed for Ours<OWNED> {
    type Reader = Subscription<Payload>;
    type Prepared = (u64, Vec<Event>);
    const SEES_ALL: bool = false;

    fn name() -> &'static str {
        if OWNED { "event-broker, owned" } else { "event-broker, windows" }
    }

    fn open(readers: &[Wanted], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let broker = ours::broker(capacity);
        let subscribe = |wanted| broker.subscribe(request(wanted)).expect("allowed");
        let readers = readers.iter().map(subscribe).collect();
        (Self(broker), readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Self::Prepared {
        (index, events)
    }

    fn publish(&mut self, (index, events): Self::Prepared) {
        ours::publish(&self.0, index, events);
    }

    #[inline]
    fn drain(reader: &mut Self::Reader) -> Tally {
        if !OWNED {
            return drain(reader).expect("not overtaken");
        }
        let mut tally = Tally::default();
        loop {
            match reader.try_recv() {
                Ok(delivery) => {
                    tally.batches += 1;
                    for event in delivery.events() {
                        tally.read(event);
                    }
                }
                Err(TryRecvError::Empty) => return tally,
                Err(error) => panic!("a reader was to get everything: {error}"),
            }
        }
    }
}

impl<const OWNED: bool> MixedTasks for Ours<OWNED> {
    async fn wait(reader: &mut Self::Reader) -> Tally {
        if OWNED {
            return match reader.recv_async().await {
                Ok(delivery) => {
                    let mut tally = Tally::BATCH;
                    delivery.events().for_each(|event| tally.read(event));
                    tally
                }
                Err(error) => over(&error),
            };
        }
        loop {
            reader.readable().await;
            match drain(reader) {
                Ok(Tally { batches: 0, .. }) => {}
                Ok(tally) => return tally,
                Err(error) => return over(&error),
            }
        }
    }
}

/// `tokio::sync::broadcast` of shared batches.
pub(crate) struct Filtered(broadcast::Sender<Item>);

/// A receiver that filters for itself.
pub(crate) struct Filter {
    receiver: broadcast::Receiver<Item>,
    wanted: Wanted,
}

impl Filter {
    #[inline]
    fn take(&self, batch: &Item) -> Tally {
        let mut tally = Tally::BATCH;
        for event in batch.events().iter().filter(|event| self.wanted.matches(event)) {
            tally.read(event);
        }
        tally
    }
}

impl Mixed for Filtered {
    type Reader = Filter;
    type Prepared = Item;
    const SEES_ALL: bool = true;

    fn name() -> &'static str {
        "tokio broadcast, filter at the receiver"
    }

    fn open(readers: &[Wanted], capacity: usize) -> (Self, Vec<Filter>) {
        let sender = broadcast::Sender::new(capacity);
        let filter = |wanted: &Wanted| Filter { receiver: sender.subscribe(), wanted: wanted.clone() };
        let readers = readers.iter().map(filter).collect();
        (Self(sender), readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Item {
        Arc::new(Batch::new(index, events))
    }

    fn publish(&mut self, batch: Item) {
        // An error only means that there is no receiver.
        let _ = self.0.send(batch);
    }

    #[inline]
    fn drain(reader: &mut Filter) -> Tally {
        let mut tally = Tally::default();
        loop {
            match reader.receiver.try_recv() {
                Ok(batch) => tally += reader.take(&batch),
                Err(broadcast::error::TryRecvError::Empty) => return tally,
                Err(error) => panic!("a reader was to get everything: {error}"),
            }
        }
    }
}

impl MixedTasks for Filtered {
    async fn wait(reader: &mut Filter) -> Tally {
        match reader.receiver.recv().await {
            Ok(batch) => reader.take(&batch),
            Err(broadcast::error::RecvError::Closed) => Tally::default(),
            Err(error) => panic!("a reader was to get everything: {error}"),
        }
    }
}
