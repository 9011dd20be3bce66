//! Models of everything that threads do to each other in this crate, explored by loom through `sync`.
//! Nothing here runs in an ordinary test: only the private cfg `broker_loom` builds it.
//!
//! Each model asserts conservation (what was sent was received, or is reported as lost), not one interleaving. The bugs
//! that the models catch are in `tests/planted/`: the first line of a bug names the file of models that catches it.
//!
//! - `fanout`: appending against reading, evicting and subscribing.
//! - `evicting`: evicting against readers with a partly read run, window or backlog.
//! - `stripes`: readers with copies of the directory of their own against evicting.
//! - `encoding`: bytes that readers cache against evicting.
//! - `waiting`: waiting threads against publishing, closing and leaving.
//! - `tasks`: waiting tasks and doorbells against publishing.
//! - `dispatching`: dispatchers against publishing and their own end.
//! - `tokens`: resume tokens against publishing and skipping.
//! - `access`: access changes against publishing, reading and subscribing.

mod access;
mod dispatching;
mod encoding;
mod evicting;
mod fanout;
mod stripes;
mod tasks;
mod tokens;
mod waiting;

use std::sync::Arc;
use std::task::Wake;

use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::{Broker, Event, Request, Scope, Subscription, Term, TryRecvError};

pub(crate) use loom::thread::spawn;

/// Explores a model, with at most two preemptions unless `LOOM_MAX_PREEMPTIONS` gives another number.
pub(crate) fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.max_branches = 20_000;
    builder.check(model);
}

/// A payload that identifies its batch.
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

/// Returns everything that can be read now.
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

/// Reads everything that can be read now, and adds up the batches that are reported as lost. The reader continues after
/// a loss.
pub(crate) fn read_or_lose(reader: &mut Subscription<Payload>, read: &mut Vec<Payload>, lost: &mut u64) {
    loop {
        match reader.try_recv() {
            Ok(delivery) => read.extend(delivery.events().map(|event| *event.payload())),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Recv(error)) => *lost += error.lagged().expect("the only error").missed,
        }
    }
}

/// A waker that counts its calls.
#[derive(Default)]
pub(crate) struct Count(pub(crate) AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
