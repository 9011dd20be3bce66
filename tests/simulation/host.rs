//! The host's side of a run: payloads, rules, clock, timer, wakers and an observer, each of which can be made to panic.
//!
//! The script alone decides when they do.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use event_broker::{AccessChange, AccessRequest, Authorizer, Clock, Denial, Event, Grant, Observer, Principal};
use serde::{Serialize, Serializer};

use crate::support::hooks::{Load, ManualClock, Rules};
use crate::support::naive::Fact;
use crate::support::op::Change;

/// What a fault panics with: every other panic is a failure of the run.
pub struct Planned;

/// Runs something that may panic as planned; `None` if it did.
pub fn planned<R>(run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(panic) if panic.is::<Planned>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// How often each kind of hook panics from now on. A run has one thread, so they belong to it.
#[derive(Default)]
pub struct Faults {
    pub drops: Cell<u32>,
    pub authorize: Cell<u32>,
    pub permits: Cell<u32>,
    pub changes: Cell<u32>,
    pub weigher: Cell<u32>,
    pub observer: Cell<u32>,
}

thread_local! {
    static FAULTS: Faults = Faults::default();
}

impl Faults {
    pub fn with<R>(run: impl FnOnce(&Self) -> R) -> R {
        FAULTS.with(run)
    }

    pub fn heal() {
        Self::with(|faults| {
            let Self { drops, authorize, permits, changes, weigher, observer } = faults;
            for fault in [drops, authorize, permits, changes, weigher, observer] {
                fault.set(0);
            }
        });
    }

    /// Panics if this fault is due.
    fn fire(which: impl FnOnce(&Self) -> &Cell<u32>) {
        let fires = Self::with(|faults| {
            let fault = which(faults);
            let left = fault.get();
            fault.set(left.saturating_sub(1));
            left > 0
        });
        if fires {
            panic_any(Planned);
        }
    }
}

/// The bytes of one unit of weight: more than all links of a buffer, which the naive broker does not have.
pub const UNIT: u64 = 1 << 40;

/// The payload of every event: its number in the run. It owns no heap.
#[derive(Debug)]
pub struct Payload {
    pub id: u64,
    weight: u64,
    change: Option<Change>,
}

impl Payload {
    pub fn event(fact: &Fact, change: Option<Change>) -> Event<Self> {
        fact.spec.event(fact.id, change).map(|Load { id, weight, change }| Self { id, weight, change })
    }

    /// By the script's word; a broker multiplies it by [`UNIT`].
    pub fn weigh(event: &Event<Self>) -> u64 {
        Faults::fire(|faults| &faults.weigher);
        event.payload().weight
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            Faults::fire(|faults| &faults.drops);
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.id)
    }
}

/// The authorizer: the table of rules, which the naive broker asks as well.
#[derive(Clone, Debug)]
pub struct Door(pub Rules);

impl Authorizer<Payload> for Door {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        Faults::fire(|faults| &faults.authorize);
        <Rules as Authorizer<Load>>::authorize(&self.0, request)
    }

    fn permits(&self, principal: &Principal, event: &Event<Payload>) -> bool {
        Faults::fire(|faults| &faults.permits);
        self.0.of(principal.id()).forbidden_key.is_none_or(|forbidden| event.key() != forbidden)
    }

    fn changes(&self, event: &Event<Payload>, changes: &mut Vec<AccessChange>) {
        Faults::fire(|faults| &faults.changes);
        changes.extend(event.payload().change.map(Change::announced));
    }
}

/// An observer that only adds up what was evicted.
#[derive(Debug, Default)]
pub struct Watcher {
    pub published: AtomicU64,
}

impl Observer for Watcher {
    fn on_publish(&self, _index: u64, _events: usize) {
        self.published.fetch_add(1, Ordering::Relaxed);
        Faults::fire(|faults| &faults.observer);
    }

    fn on_evict(&self, _batches: u64, _through: u64) {
        Faults::fire(|faults| &faults.observer);
    }

    fn on_end(&self, _id: event_broker::SubscriptionId, _end: Option<&event_broker::RecvError>) {
        Faults::fire(|faults| &faults.observer);
    }
}

/// The most reads of the clock in one step. Only a read that waits for ever exceeds it.
const READS: u64 = 5_000;

/// The broker's clock, which shows the script's time. It ends a read that would wait for real time to pass.
#[derive(Clone, Debug)]
pub struct PatientClock {
    time: ManualClock,
    reads: Arc<AtomicU64>,
}

impl PatientClock {
    pub fn new(time: ManualClock) -> Self {
        Self { time, reads: Arc::default() }
    }

    pub fn begin_step(&self) {
        self.reads.store(0, Ordering::Relaxed);
    }
}

impl Clock for PatientClock {
    fn now(&self) -> Instant {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(reads < READS, "no progress: a read does not return");
        self.time.now()
    }
}

/// The waker of one reader, which the scheduler looks at.
#[derive(Debug, Default)]
pub struct Flag {
    woken: AtomicBool,
    panics: AtomicU32,
    /// Set to lose wake-ups on purpose.
    deaf: AtomicBool,
}

impl Flag {
    pub fn take(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }

    pub fn is_set(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    pub fn arm(&self, times: u32) {
        self.panics.store(times, Ordering::Relaxed);
    }

    pub fn deafen(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.deaf.load(Ordering::Relaxed) {
            self.woken.store(true, Ordering::Relaxed);
        }
        let left = self.panics.load(Ordering::Relaxed);
        if left > 0 {
            self.panics.store(left - 1, Ordering::Relaxed);
            panic_any(Planned);
        }
    }
}

/// The sleeping timers, by the same time.
#[derive(Clone, Debug)]
pub struct Timers {
    time: ManualClock,
    asleep: Arc<Mutex<BTreeMap<(u64, u64), Waker>>>,
    next: Arc<AtomicU64>,
}

impl Timers {
    pub fn new(time: ManualClock) -> Self {
        Self { time, asleep: Arc::default(), next: Arc::default() }
    }

    pub fn sleep(&self, duration: Duration) -> Sleep {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let until = self.time.millis().saturating_add(millis);
        Sleep { timers: self.clone(), until, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Wakes the timers that are due, in the order of their times.
    pub fn fire(&self) {
        let now = self.time.millis();
        let due = {
            let mut asleep = self.asleep.lock().unwrap();
            let later = asleep.split_off(&(now + 1, 0));
            std::mem::replace(&mut *asleep, later)
        };
        for waker in due.into_values() {
            planned(|| waker.wake());
        }
    }
}

pub struct Sleep {
    timers: Timers,
    until: u64,
    number: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timers.time.millis() >= self.until {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        self.timers.asleep.lock().unwrap().insert((self.until, self.number), waker);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timers.asleep.lock().unwrap().remove(&(self.until, self.number));
    }
}
