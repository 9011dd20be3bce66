//! The crate as a structure under test, read by window or by owned delivery.
//!
//! It is configured like its rivals: bounded by batches, without authorizer and observer.

use std::hint::black_box;

use event_broker::{Broker, RecvError, Request, Start, Subscription, Term, TryRecvError};

use super::event::{Event, Payload, TOPIC};
use super::{Awaited, Blocking, Churning, Seen, Stepwise, Structure, Want};

/// The broker. Its readers drain windows, or with `OWNED` take one owned delivery at a time.
pub(crate) struct Ours<const OWNED: bool> {
    pub(crate) broker: Broker<Payload>,
}

/// The request of a reader that begins now.
pub(crate) fn request(want: &Want) -> Request<Payload> {
    let request = Request::new().start(Start::Latest);
    match want {
        Want::Everything => request.namespace("*"),
        Want::DefaultNamespace => request,
        Want::Key(key) => request.term(Term::new(TOPIC, key).expect("a topic and a key")),
    }
}

/// A broker that buffers `capacity` batches.
pub(crate) fn broker(capacity: usize) -> Broker<Payload> {
    Broker::builder().max_batches(capacity as u64).build().expect("a capacity")
}

/// Publishes a batch, whose index must be above the latest. A refusal is a mistake of the benchmark and panics.
#[inline]
pub(crate) fn publish<P>(broker: &Broker<P>, index: u64, events: impl Into<Vec<event_broker::Event<P>>>) {
    broker.publish(index, events).map_err(|refused| refused.kind).expect("indexes rise");
}

/// Opens a subscription to what is published from now on.
pub(crate) fn subscribe(broker: &Broker<Payload>, want: &Want) -> Subscription<Payload> {
    broker.subscribe(request(want)).expect("allowed")
}

/// Reads a window and counts what is in it.
#[inline]
pub(crate) fn drain(reader: &mut Subscription<Payload>) -> Result<Seen, RecvError> {
    let mut seen = Seen::default();
    for delivery in &mut reader.drain()? {
        black_box(delivery.index());
        seen += Seen { batches: 1, events: delivery.len() as u64 };
    }
    Ok(seen)
}

/// The result of a read that found an end.
fn over(error: &RecvError) -> Seen {
    assert!(matches!(error, RecvError::Closed), "a reader was to get everything: {error}");
    Seen::default()
}

impl<const OWNED: bool> Structure for Ours<OWNED> {
    type Reader = Subscription<Payload>;
    type Prepared = (u64, Vec<Event>);
    const SEES_ALL: bool = false;

    fn name() -> &'static str {
        if OWNED { "event-broker, owned" } else { "event-broker, drain" }
    }

    fn open(wants: &[Want], capacity: usize) -> (Self, Vec<Self::Reader>) {
        let broker = broker(capacity);
        let readers = wants.iter().map(|want| subscribe(&broker, want)).collect();
        (Self { broker }, readers)
    }

    fn prepare(index: u64, events: Vec<Event>) -> Self::Prepared {
        (index, events)
    }

    fn publish(&mut self, (index, events): Self::Prepared) {
        publish(&self.broker, index, events);
    }

    #[inline]
    fn drain(&self, reader: &mut Self::Reader) -> Seen {
        if !OWNED {
            return drain(reader).expect("not overtaken");
        }
        // Not by `step`: on an Intel Xeon a delivery of `cores` in windows of 1 took a tenth longer by it.
        let mut seen = Seen::default();
        loop {
            match reader.try_recv() {
                Ok(delivery) => {
                    black_box(delivery.index());
                    seen += Seen { batches: 1, events: delivery.len() as u64 };
                }
                Err(TryRecvError::Empty) => return seen,
                Err(error) => panic!("a reader was to get everything: {error}"),
            }
        }
    }
}

impl<const OWNED: bool> Churning for Ours<OWNED> {
    fn join(&mut self, want: &Want) -> Self::Reader {
        subscribe(&self.broker, want)
    }

    fn leave(&mut self, reader: Self::Reader) {
        drop(reader);
    }
}

impl Stepwise for Ours<true> {
    #[inline]
    fn step(&self, reader: &mut Self::Reader) -> Option<Seen> {
        match reader.try_recv() {
            Ok(delivery) => {
                black_box(delivery.index());
                Some(Seen { batches: 1, events: delivery.len() as u64 })
            }
            Err(TryRecvError::Empty) => None,
            Err(error) => panic!("a reader was to get everything: {error}"),
        }
    }
}

impl<const OWNED: bool> Awaited for Ours<OWNED> {
    async fn wait(reader: &mut Self::Reader) -> Seen {
        if OWNED {
            match reader.recv_async().await {
                Ok(delivery) => Seen { batches: 1, events: delivery.len() as u64 },
                Err(error) => over(&error),
            }
        } else {
            loop {
                reader.readable().await;
                match drain(reader) {
                    Ok(Seen { batches: 0, .. }) => {}
                    Ok(seen) => return seen,
                    Err(error) => return over(&error),
                }
            }
        }
    }
}

impl<const OWNED: bool> Blocking for Ours<OWNED> {
    fn block(reader: &mut Self::Reader) -> Seen {
        let mut seen = match reader.recv() {
            Ok(delivery) => Seen { batches: 1, events: delivery.len() as u64 },
            Err(error) => return over(&error),
        };
        if !OWNED {
            // The rest of the backlog; the next wait returns an end.
            seen += drain(reader).unwrap_or_default();
        }
        seen
    }
}
