//! The ways of reading, each to the end of its stream: blocking, as a task, by a doorbell, stalled, and resumed.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, select, tick};
use event_broker::nomad::Query;
use event_broker::{LagPolicy, Principal, RecvError, Request, Start, Subscription, Token, WeakBroker};
use futures_core::Stream;

use crate::model::Object;
use crate::record::Record;

type Reader = Subscription<Object>;

/// A thread that waits for each delivery.
pub(crate) fn blocking(mut reader: Reader, record: &mut Record) {
    read_on(&mut reader, record);
    record.count(reader.stats());
}

fn read_on(reader: &mut Reader, record: &mut Record) {
    loop {
        match reader.recv() {
            Ok(delivery) => record.delivery(delivery),
            Err(error) => {
                if !record.error(error) {
                    return;
                }
            }
        }
        record.is_ready();
    }
}

/// Reads `until` deliveries, then stalls until it may continue, and reads to the end.
pub(crate) fn stalling(mut reader: Reader, record: &mut Record, until: usize, go_on: &Receiver<()>) {
    while record.batches() < until {
        match reader.recv() {
            Ok(delivery) => record.delivery(delivery),
            Err(error) => {
                record.error(error);
                return record.count(reader.stats());
            }
        }
    }
    record.is_ready();
    // The buffer evicts meanwhile, and keeps nothing for this reader.
    let _ = go_on.recv();
    blocking(reader, record);
}

/// How a reader resumes.
#[derive(Debug)]
pub(crate) struct Return {
    pub(crate) broker: WeakBroker<Object>,
    pub(crate) query: Query,
    pub(crate) principal: Principal,
    pub(crate) go_on: Receiver<()>,
}

/// Reads `until` deliveries, leaves with its token as text, and resumes with it.
pub(crate) fn resuming(mut reader: Reader, record: &mut Record, until: usize, back: Return) {
    while record.batches() < until {
        match reader.recv() {
            Ok(delivery) => record.delivery(delivery),
            Err(error) => {
                record.error(error);
                return record.count(reader.stats());
            }
        }
    }
    let kept: String = reader.token().to_string();
    record.count(reader.stats());
    drop(reader);
    let _ = back.go_on.recv();
    let Some(broker) = back.broker.upgrade() else { return };
    let Ok(token) = kept.parse::<Token>() else { return };
    let request = Request::from(back.query).principal(back.principal).start(Start::After(token));
    let Ok(reader) = broker.subscribe(request.lag_policy(LagPolicy::Continue)) else { return };
    record.verdict = reader.verdict();
    record.is_ready();
    drop(broker);
    blocking(reader, record);
}

/// A task on a single-threaded executor, by the `Stream`. It ends with its last error, or without one if everything was
/// read.
pub(crate) fn streaming(mut reader: Reader, record: &mut Record) {
    block_on(async {
        while let Some(item) = poll_fn(|context| Pin::new(&mut reader).poll_next(context)).await {
            match item {
                Ok(delivery) => record.delivery(delivery),
                Err(error) => {
                    record.error(error);
                }
            }
            record.is_ready();
        }
    });
    if record.end.is_none() {
        record.error(RecvError::Closed);
    }
    record.count(reader.stats());
}

/// A task that waits for one delivery and never receives it. Time alone does not wake a task; the host's `tick` does.
pub(crate) fn idling(mut reader: Reader, record: &mut Record) {
    record.is_ready();
    match block_on(reader.recv_async()) {
        Ok(delivery) => record.delivery(delivery),
        Err(error) => {
            record.error(error);
        }
    }
    record.count(reader.stats());
}

/// One loop over several channels, of which the broker's is one.
pub(crate) fn ringing(mut reader: Reader, record: &mut Record) {
    let bell = reader.doorbell();
    let other_work = tick(Duration::from_millis(50));
    loop {
        select! {
            recv(bell) -> _ => {}
            recv(other_work) -> _ => continue,
        }
        // One window per ring. What it leaves rings again, so the other work gets its turn.
        let error = match reader.drain() {
            Ok(mut window) => {
                window.iter().for_each(|delivery| record.delivery(delivery.to_delivery()));
                None
            }
            Err(error) => Some(error),
        };
        if error.is_some_and(|error| !record.error(error)) {
            return record.count(reader.stats());
        }
        record.is_ready();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A minimal executor.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
