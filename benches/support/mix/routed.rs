//! A channel for each reader of the mix, behind an index of topics and keys and with a backlog, as a server would build
//! it by hand.
//!
//! It has no index to start from, counts no loss, and readers neither come nor go. A reader receives a shared batch once,
//! with a mask of the events that match, so batches have at most 63 events.
//!
//! Readers of a topic that ask for the same namespaces receive the same, so what matches is found once for all of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;
use event_broker::{Batch, Key, Namespace, Topic};

use super::super::event::{Event, Item};
use super::plan::Wanted;
use super::{Mixed, MixedTasks, Tally};

/// A mask of the events of a batch, by their places.
type Mask = u64;

/// The mask of a batch all of whose events match.
const ALL: Mask = Mask::MAX;

/// A batch, and which of its events match.
pub(crate) struct Part {
    batch: Item,
    matching: Mask,
}

impl Part {
    #[inline]
    fn read(&self) -> Tally {
        let mut tally = Tally::BATCH;
        let events = self.batch.events();
        if self.matching == ALL {
            for event in events {
                tally.read(event);
            }
            return tally;
        }
        let mut left = self.matching;
        while left != 0 {
            tally.read(events.get(left.trailing_zeros() as usize).expect("an event of the batch"));
            left &= left - 1;
        }
        tally
    }
}

/// A channel for one reader.
pub(crate) trait Pipe: Send + 'static {
    type Sender: Send + 'static;
    type Receiver: Send + 'static;
    const NAME: &'static str;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver);
    /// Returns whether there was room.
    fn send(sender: &mut Self::Sender, part: Part) -> bool;
    fn try_recv(receiver: &mut Self::Receiver) -> Option<Part>;
}

macro_rules! pipe {
    ($name:ident, $title:literal, $sender:ty, $receiver:ty, $open:path, $send:ident, $recv:ident) => {
        pub(crate) struct $name;

        impl Pipe for $name {
            type Sender = $sender;
            type Receiver = $receiver;
            const NAME: &'static str = concat!($title, " a reader, hash index, backlog deque");

            fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
                $open(capacity)
            }

            #[inline]
            fn send(sender: &mut Self::Sender, part: Part) -> bool {
                sender.$send(part).is_ok()
            }

            #[inline]
            fn try_recv(receiver: &mut Self::Receiver) -> Option<Part> {
                receiver.$recv().ok()
            }
        }
    };
}

pipe!(
    Crossbeam,
    "crossbeam",
    crossbeam_channel::Sender<Part>,
    crossbeam_channel::Receiver<Part>,
    crossbeam_channel::bounded,
    try_send,
    try_recv
);
pipe!(Flume, "flume", flume::Sender<Part>, flume::Receiver<Part>, flume::bounded, try_send, try_recv);
pipe!(Rtrb, "rtrb", rtrb::Producer<Part>, rtrb::Consumer<Part>, rtrb::RingBuffer::new, push, pop);

/// The readers of a topic that ask for the same namespaces.
struct Class {
    namespace: Option<Namespace>,
    readers: Vec<usize>,
    /// The events of the batch being published that match.
    matching: Mask,
}

/// Who asks for something of a topic.
#[derive(Default)]
struct Route {
    classes: Vec<Class>,
    by_key: HashMap<Key, Vec<(usize, Option<Namespace>)>, RandomState>,
}

struct Outlet<T> {
    sender: T,
    /// The events of the batch being published that match, for a reader of keys.
    matching: Mask,
}

/// The channels of the readers, and who asks for what.
pub(crate) struct Routed<P: Pipe> {
    outlets: Vec<Outlet<P::Sender>>,
    everyone: Vec<usize>,
    routes: HashMap<Topic, Route, RandomState>,
    /// The readers of keys that the batch being published concerns.
    concerned: Vec<usize>,
    backlog: VecDeque<Item>,
    capacity: usize,
}

fn within(namespace: Option<&Namespace>, event: &Event) -> bool {
    namespace.is_none_or(|namespace| namespace == event.namespace())
}

impl<P: Pipe> Routed<P> {
    fn insert(&mut self, reader: usize, wanted: &Wanted) {
        match wanted {
            Wanted::Everything => self.everyone.push(reader),
            Wanted::Topic { topic, namespace } => {
                let classes = &mut self.routes.entry(topic.clone()).or_default().classes;
                if let Some(class) = classes.iter_mut().find(|class| class.namespace == *namespace) {
                    class.readers.push(reader);
                } else {
                    classes.push(Class { namespace: namespace.clone(), readers: vec![reader], matching: 0 });
                }
            }
            Wanted::Keys { topic, keys, namespace } => {
                let route = self.routes.entry(topic.clone()).or_default();
                for key in keys {
                    route.by_key.entry(key.clone()).or_default().push((reader, namespace.clone()));
                }
            }
        }
    }

    /// Finds out which events of a batch each reader of a topic or of keys receives.
    fn find(&mut self, batch: &Item) {
        let Self { outlets, routes, concerned, .. } = self;
        for (place, event) in batch.events().iter().enumerate() {
            let Some(route) = routes.get_mut(event.topic()) else { continue };
            let bit = 1 << place;
            for class in &mut route.classes {
                if within(class.namespace.as_ref(), event) {
                    class.matching |= bit;
                }
            }
            for key in std::iter::once(event.key()).chain(event.filter_keys()) {
                for (reader, namespace) in route.by_key.get(key).into_iter().flatten() {
                    if within(namespace.as_ref(), event) {
                        let outlet = outlets.get_mut(*reader).expect("listed");
                        if outlet.matching == 0 {
                            concerned.push(*reader);
                        }
                        outlet.matching |= bit;
                    }
                }
            }
        }
    }
}

#[inline]
fn send<P: Pipe>(outlet: Option<&mut Outlet<P::Sender>>, batch: &Item, matching: Mask) {
    let sender = &mut outlet.expect("listed").sender;
    assert!(P::send(sender, Part { batch: Arc::clone(batch), matching }), "the window fits");
}

impl<P: Pipe> Mixed for Routed<P> {
    type Reader = P::Receiver;
    type Prepared = Item;
    const SEES_ALL: bool = false;

    fn name() -> &'static str {
        P::NAME
    }

    fn open(readers: &[Wanted], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = readers.iter().map(|_| P::open(capacity)).unzip();
        let mut routed = Self {
            outlets: senders.into_iter().map(|sender| Outlet { sender, matching: 0 }).collect(),
            everyone: Vec::new(),
            routes: HashMap::default(),
            concerned: Vec::new(),
            backlog: VecDeque::with_capacity(capacity),
            capacity,
        };
        for (number, wanted) in readers.iter().enumerate() {
            routed.insert(number, wanted);
        }
        (routed, receivers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Item {
        assert!(events.len() < Mask::BITS as usize, "a mask of {} events", events.len());
        Arc::new(Batch::new(index, events))
    }

    fn publish(&mut self, batch: Item) {
        self.find(&batch);
        let Self { outlets, everyone, routes, concerned, .. } = self;
        for reader in everyone {
            send::<P>(outlets.get_mut(*reader), &batch, ALL);
        }
        for class in routes.values_mut().flat_map(|route| &mut route.classes).filter(|class| class.matching != 0) {
            for reader in &class.readers {
                send::<P>(outlets.get_mut(*reader), &batch, class.matching);
            }
            class.matching = 0;
        }
        for reader in concerned.drain(..) {
            let outlet = outlets.get_mut(reader).expect("listed");
            let matching = std::mem::take(&mut outlet.matching);
            send::<P>(Some(outlet), &batch, matching);
        }
        if self.backlog.len() == self.capacity {
            self.backlog.pop_front();
        }
        self.backlog.push_back(batch);
    }

    #[inline]
    fn drain(reader: &mut Self::Reader) -> Tally {
        let mut tally = Tally::default();
        while let Some(part) = P::try_recv(reader) {
            tally += part.read();
        }
        tally
    }
}

impl MixedTasks for Routed<Flume> {
    async fn wait(reader: &mut Self::Reader) -> Tally {
        reader.recv_async().await.map_or_else(|_| Tally::default(), |part| part.read())
    }
}
