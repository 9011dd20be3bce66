//! What the integration tests share: short words for reading, a clock with hands, rules that a test turns.
//! No expectation of any test lives here.

#![allow(dead_code, reason = "every test crate uses its own part of this")]
#![allow(unused_macros, unused_imports, reason = "every test crate uses its own part of this")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::nomad::access_changes;
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Clock, Delivery, Denial, Event, Grant, Principal, RecvError,
    Request, Subscription, Term, TryRecvError,
};

/// How long a test waits for what must come. Only a deadlock takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the work on a thread of its own, so that a deadlock fails instead of hanging.
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let worker = thread::spawn(move || drop(done.send(work())));
    match result.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("still at it after {PATIENCE:?}: a deadlock, or a lost wake-up"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().expect_err("it ended without a value"))
        }
    }
}

/// Runs what must panic, in time, and gives the message.
pub(crate) fn panics_in_time(work: impl FnOnce() + Send + 'static) -> String {
    let caught = in_time(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)));
    let payload = caught.expect_err("it must panic");
    match payload.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

/// An event of topic `Job` in the namespace `default`.
pub(crate) fn job(key: &str) -> Event<u64> {
    event("Job", key)
}

/// An event of any topic in the namespace `default`.
pub(crate) fn event(topic: &str, key: &str) -> Event<u64> {
    Event::new(topic, "Changed", key, 0).with_namespace("default")
}

pub(crate) fn term(topic: &str, key: &str) -> Term {
    Term::new(topic, key).expect("neither side is empty")
}

/// A request for one term.
pub(crate) fn asks<P>(topic: &str, key: &str) -> Request<P> {
    Request::new().term(term(topic, key))
}

/// A broker that keeps so many batches.
pub(crate) fn broker_of(batches: u64) -> Broker<u64> {
    Broker::builder().max_batches(batches).build().expect("a bound above zero")
}

/// Publishes one job under each index.
pub(crate) fn publish_all(broker: &Broker<u64>, indexes: impl IntoIterator<Item = u64>) {
    for index in indexes {
        broker.publish(index, [job("web")]).expect("rising indexes");
    }
}

/// The deliveries that can be read now, until nothing more can.
pub(crate) fn read_now<P>(reader: &mut Subscription<P>) -> Vec<Delivery<P>> {
    let mut deliveries = Vec::new();
    loop {
        match reader.try_recv() {
            Ok(delivery) => deliveries.push(delivery),
            Err(TryRecvError::Empty) => return deliveries,
            Err(TryRecvError::Recv(error)) => panic!("expected deliveries and then nothing, got: {error}"),
        }
    }
}

/// The indexes of what can be read now.
pub(crate) fn indexes_now<P>(reader: &mut Subscription<P>) -> Vec<u64> {
    read_now(reader).iter().map(Delivery::index).collect()
}

/// The keys of the events that can be read now, batch by batch.
pub(crate) fn keys_now<P>(reader: &mut Subscription<P>) -> Vec<Vec<String>> {
    read_now(reader).iter().map(keys).collect()
}

/// The keys of a delivery's events.
pub(crate) fn keys<P>(delivery: &Delivery<P>) -> Vec<String> {
    delivery.events().map(|event| event.key().to_string()).collect()
}

/// The error that the next read gives.
pub(crate) fn error_now<P>(reader: &mut Subscription<P>) -> RecvError {
    match reader.try_recv() {
        Err(TryRecvError::Recv(error)) => error,
        Err(TryRecvError::Empty) => panic!("expected an error, found nothing to read"),
        Ok(delivery) => panic!("expected an error, got index {}", delivery.index()),
    }
}

/// Nothing can be read now, and the subscription is open.
#[track_caller]
pub(crate) fn assert_empty<P>(reader: &mut Subscription<P>) {
    match reader.try_recv() {
        Err(TryRecvError::Empty) => {}
        Err(TryRecvError::Recv(error)) => panic!("expected nothing to read, got the error: {error}"),
        Ok(delivery) => panic!("expected nothing to read, got index {}", delivery.index()),
    }
}

/// The end of a subscription: it is told again on every further call.
#[track_caller]
pub(crate) fn assert_end<P>(reader: &mut Subscription<P>, end: &RecvError) {
    assert!(end.is_terminal());
    for _ in 0..3 {
        assert_eq!(error_now(reader), *end);
        assert_eq!(reader.drain().err().as_ref(), Some(end));
        assert_eq!(reader.recv().as_ref().err(), Some(end));
    }
}

/// The subscription ended with access taken back, and says so again on every further call.
#[track_caller]
pub(crate) fn assert_revoked<P>(reader: &mut Subscription<P>) -> Denial {
    let end = error_now(reader);
    assert_end(reader, &end);
    match end {
        RecvError::Revoked(denial) => denial,
        other => panic!("expected access to be revoked, got: {other}"),
    }
}

/// A clock whose hands are turned by the test.
#[derive(Clone, Debug)]
pub(crate) struct Hands(Arc<Mutex<Instant>>);

impl Hands {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(crate) fn turn(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// The time in so many seconds by these hands.
    pub(crate) fn after(&self, seconds: u64) -> Instant {
        self.now() + Duration::from_secs(seconds)
    }
}

impl Clock for Hands {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Decision = dyn Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync;

/// An authorizer whose answer a test can change, and which counts how often it is asked.
///
/// The changes of access are those that the API's own events stand for.
pub(crate) struct Rules {
    decision: Mutex<Arc<Decision>>,
    asked: AtomicUsize,
}

impl Rules {
    pub(crate) fn new(
        decision: impl Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { decision: Mutex::new(Arc::new(decision)), asked: AtomicUsize::new(0) })
    }

    pub(crate) fn set(&self, decision: impl Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync + 'static) {
        *self.decision.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(decision);
    }

    pub(crate) fn deny(&self) {
        self.set(|_| Err(Denial::new("no longer allowed")));
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl<P> Authorizer<P> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let decision = Arc::clone(&self.decision.lock().unwrap_or_else(PoisonError::into_inner));
        decision(request)
    }

    fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
        access_changes(event, changes);
    }
}

/// A broker with these rules.
pub(crate) fn ruled_by(rules: &Arc<Rules>) -> Broker<u64> {
    Broker::builder().authorizer(Arc::clone(rules)).build().expect("the defaults are valid")
}

/// Somebody with a public id.
pub(crate) fn who(id: &str) -> Principal {
    Principal::new(id)
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        let waker = Waker::from(Arc::clone(&count));
        (count, waker)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
