//! Models of everything that threads do to each other here, explored by loom through the `sync` door.
//! Nothing here runs in an ordinary test: the private cfg `broker_loom` builds it.
//!
//! Each model asserts conservation (what was sent was received, or is told as lost), not one interleaving. The bugs
//! that they catch are kept in `tests/planted/`.

mod access;
mod dispatching;
mod encoding;
mod evicting;
mod fanout;
mod tasks;
mod tokens;
mod waiting;

use std::sync::Arc;
use std::task::Wake;

use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::{Broker, Event, Request, Scope, Subscription, Term, TryRecvError};

pub(crate) use loom::thread::spawn;

/// Explores a model: bounded to two preemptions unless `LOOM_MAX_PREEMPTIONS` says otherwise.
pub(crate) fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.max_branches = 20_000;
    builder.check(model);
}

/// A payload that says what it is.
pub(crate) type Payload = u64;

pub(crate) fn event(key: &'static str, payload: Payload) -> Event<Payload> {
    Event::new(
        crate::Topic::from_static("t"),
        crate::EventType::from_static("e"),
        crate::Key::from_static(key),
        payload,
    )
}

pub(crate) fn everything() -> Request<Payload> {
    Request::new().namespace("*")
}

pub(crate) fn keys(keys: &[&'static str]) -> Request<Payload> {
    let terms = keys.iter().map(|key| Term::key(*key).expect("not empty"));
    everything().terms(terms)
}

pub(crate) fn broker(batches: u64) -> Broker<Payload> {
    Broker::builder().max_batches(batches).build().expect("not zero")
}

/// Everything there is to read now.
pub(crate) fn read_all(reader: &mut Subscription<Payload>) -> Vec<Payload> {
    debug_assert_eq!(reader.scope(), &Scope::All);
    let mut read = Vec::new();
    loop {
        match reader.try_recv() {
            Ok(delivery) => read.extend(delivery.events().map(|event| *event.payload())),
            Err(TryRecvError::Empty) => return read,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What was read, and how many batches were told as lost, by a reader that goes on after a loss.
pub(crate) fn read_or_lose(reader: &mut Subscription<Payload>, read: &mut Vec<Payload>, lost: &mut u64) {
    loop {
        match reader.try_recv() {
            Ok(delivery) => read.extend(delivery.events().map(|event| *event.payload())),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Recv(error)) => *lost += error.lagged().expect("the only error").missed,
        }
    }
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Count(pub(crate) AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
