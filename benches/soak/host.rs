//! The host of the soak: principals and their rights, the publisher, and counters over all readers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::{AccessChange, AccessRequest, Authorizer, Broker, Denial, Epoch, Event, Grant, Principal};

use crate::options::Options;
use crate::plan::{Draw, Journal, Load, Subject};

/// Principals. What one may read follows from its number; whether it may read now, from the table.
pub(crate) const PRINCIPALS: u64 = 64;

/// The capacity of the broker, in batches.
pub(crate) const BUFFER: u64 = 256;

/// The least time between resets, in a run that has it.
const LONG: Duration = Duration::from_secs(90);

/// What a principal may read of what it asks for, while it is allowed to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    number: u64,
}

impl Rights {
    pub(crate) const fn of(number: u64) -> Self {
        Self { number }
    }

    /// Whether keys that end in 3 are refused by a check of each event.
    const fn has_refused_keys(self) -> bool {
        self.number % 8 == 6
    }

    const fn permits_key(self, key: u32) -> bool {
        !self.has_refused_keys() || key % 10 != 3
    }

    pub(crate) const fn permit(self, subject: Subject) -> bool {
        self.permits_key(subject.key())
    }

    /// Whether its grants run out after some seconds.
    const fn expire(self) -> bool {
        self.number % 8 == 5
    }
}

/// Whether a principal may read now, and the last batch before it was denied.
#[derive(Debug)]
struct Access {
    is_denied: AtomicBool,
    /// No batch after this one may be delivered to it. [`OPEN`](Self::OPEN) if it may read.
    fence: AtomicU64,
}

impl Access {
    const OPEN: u64 = u64::MAX;
}

/// The authorizer's table.
#[derive(Debug)]
pub(crate) struct Table(Vec<Access>);

impl Table {
    fn new() -> Self {
        let open = |_| Access { is_denied: AtomicBool::new(false), fence: AtomicU64::new(Access::OPEN) };
        Self((0..PRINCIPALS).map(open).collect())
    }

    fn access(&self, number: u64) -> &Access {
        let place = usize::try_from(number % PRINCIPALS).unwrap_or_default();
        self.0.get(place).expect("one for each principal")
    }

    /// Whether a delivery of this batch to this principal passed a fence. This may be called any time after the
    /// delivery, because the next fence is after every batch that was allowed before it.
    pub(crate) fn leaks(&self, principal: u64, index: u64) -> bool {
        index > self.access(principal).fence.load(Ordering::Acquire)
    }
}

fn principal_number(id: &str) -> u64 {
    id.strip_prefix("principal-").and_then(|number| number.parse().ok()).unwrap_or_default()
}

pub(crate) fn principal(number: u64) -> Principal {
    Principal::new(format!("principal-{number}")).with_secret("secret")
}

/// The policies that grants rest on.
const POLICIES: u64 = 10;

struct Rules(Arc<Table>);

impl Authorizer<Load> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let number = principal_number(request.principal().id());
        if self.0.access(number).is_denied.load(Ordering::Acquire) {
            return Err(Denial::new("denied for now"));
        }
        let rights = Rights::of(number);
        let grant = Grant::all().resting_on_policy(format!("policy-{}", number % POLICIES)).resting_on_role("role");
        let grant = if rights.has_refused_keys() { grant } else { grant.without_event_checks() };
        let expiry = || Instant::now() + Duration::from_secs(2 + number % 7);
        Ok(if rights.expire() { grant.expires_at(expiry()) } else { grant })
    }

    fn permits(&self, principal: &Principal, event: &Event<Load>) -> bool {
        let digits = event.key().as_str().rsplit('-').next().and_then(|digits| digits.parse().ok());
        Rights::of(principal_number(principal.id())).permits_key(digits.unwrap_or_default())
    }

    fn changes(&self, event: &Event<Load>, changes: &mut Vec<AccessChange>) {
        // A few commits publish a change of a policy that leaves it as it was.
        if event.payload().number.is_multiple_of(997) {
            changes.push(AccessChange::Policy(format!("policy-{}", event.payload().number % POLICIES).into()));
        }
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters over all readers.
        #[derive(Debug, Default)]
        pub(crate) struct Counts { $($(#[$doc])* pub(crate) $name: AtomicU64),* }

        impl Counts {
            /// The counters with their names.
            pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed))),*]
            }
        }
    };
}

counts! {
    sessions,
    denied_at_opening,
    refused_at_opening,
    delivered_batches,
    delivered_events,
    told_lost_batches,
    /// Of these, batches that matched the request.
    told_lost_matching,
    losses_told,
    stalls,
    frames,
    frame_bytes,
    ends_left,
    ends_closed,
    ends_revoked,
    ends_expired,
    ends_reset,
    ends_lagged,
    ends_cancelled,
    access_changes,
    denials,
    resets,
    dispatcher_runs,
}

/// Adds to a counter that only the report reads.
pub(crate) fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// The longest time between the publish of a batch and its delivery to a waiting reader. Wake-ups take microseconds,
/// and on a busy machine with ten thousand readers up to a second; a lost wake-up takes until the next.
const LATE: Duration = Duration::from_secs(3);

/// The times of the last publishes, a few per second.
struct Recent {
    notes: VecDeque<(Instant, u64)>,
    last: Instant,
}

impl Recent {
    const APART: Duration = Duration::from_millis(250);
    /// If publishing itself stalled for that long, the machine stalled, and no reader is at fault.
    const STANDSTILL: Duration = Duration::from_millis(500);

    fn new() -> Self {
        Self { notes: VecDeque::with_capacity(64), last: Instant::now() }
    }

    /// Records a batch, and returns the last one that was published [`LATE`] ago, if there is a new one.
    fn note(&mut self, index: u64) -> Option<u64> {
        let now = Instant::now();
        if now - self.last > Self::STANDSTILL {
            self.notes.clear();
        }
        self.last = now;
        if self.notes.back().is_none_or(|(noted, _)| now - *noted >= Self::APART) {
            self.notes.push_back((now, index));
        }
        let (noted, settled) = *self.notes.front()?;
        (now - noted >= LATE).then(|| {
            self.notes.pop_front();
            settled
        })
    }
}

/// Shared by the readers, the publisher and the report.
pub(crate) struct Soak {
    pub(crate) options: Options,
    pub(crate) broker: Broker<Load>,
    pub(crate) journal: Journal,
    pub(crate) table: Arc<Table>,
    pub(crate) counts: Counts,
    pub(crate) deadline: Instant,
    published: AtomicU64,
    settled: AtomicU64,
    failures: Mutex<Vec<String>>,
    failed: AtomicU64,
}

/// The number of failures that are kept as text.
const SHOWN: usize = 20;

impl Soak {
    pub(crate) fn new(options: Options) -> Self {
        let table = Arc::new(Table::new());
        let broker = Broker::builder()
            .max_batches(BUFFER)
            .rising_indexes(true)
            .authorizer(Rules(Arc::clone(&table)))
            .build()
            .expect("bounds above zero");
        Self {
            deadline: Instant::now() + options.duration,
            options,
            broker,
            journal: Journal::new(),
            table,
            counts: Counts::default(),
            published: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            failures: Mutex::new(Vec::with_capacity(SHOWN)),
            failed: AtomicU64::new(0),
        }
    }

    /// The index of a batch whose publish has returned. Every read that begins now sees at least that much.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::SeqCst)
    }

    /// The index of a batch that was published [`LATE`] ago or earlier: every waiting reader must have received it.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    pub(crate) fn fail(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < SHOWN {
            failures.push(what);
        }
    }

    /// The number of failed checks, and the first of them as text.
    pub(crate) fn failures(&self) -> (u64, Vec<String>) {
        let words = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.failed.load(Ordering::Relaxed), words)
    }

    /// Publishes at the given rate until the time is over, changes access in between, then closes the broker. It is the
    /// only thread that publishes, announces and resets, so it knows the position of each fence.
    pub(crate) fn publish_all(&self) {
        let mut draw = Draw::new(self.options.seed, u64::MAX);
        let started = Instant::now();
        // Rarely enough that most sessions last as long as they were drawn to, and at least once in a short run.
        let reset_every = (self.options.duration / 12).max(LONG).min(self.options.duration / 2);
        let mut next_reset = started + reset_every;
        let mut index = 0;
        let mut recent = Recent::new();
        while !self.is_over() {
            index += 1;
            let events = self.journal.draw(index, &mut draw);
            if let Err(refused) = self.broker.publish(index, events) {
                self.fail(format!("publish of {index}: {refused}"));
            }
            self.published.store(index, Ordering::SeqCst);
            if let Some(settled) = recent.note(index) {
                self.settled.store(settled, Ordering::Relaxed);
            }
            if draw.one_in(100) {
                self.change_access(index, &mut draw);
            }
            if draw.one_in(40) {
                self.broker.tick();
            }
            if Instant::now() >= next_reset {
                next_reset += reset_every;
                self.broker.reset(index, Epoch::random());
                add(&self.counts.resets, 1);
            }
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let due = Duration::from_secs_f64(index as f64 / self.options.rate);
            if let Some(ahead) = due.checked_sub(started.elapsed()) {
                thread::sleep(ahead);
            }
        }
        self.broker.close();
    }

    fn change_access(&self, index: u64, draw: &mut Draw) {
        add(&self.counts.access_changes, 1);
        let number = draw.below(PRINCIPALS);
        let access = self.table.access(number);
        let id: Arc<str> = format!("principal-{number}").into();
        match draw.below(10) {
            _ if access.is_denied.load(Ordering::Relaxed) => {
                access.fence.store(Access::OPEN, Ordering::Release);
                access.is_denied.store(false, Ordering::Release);
                self.broker.access_changed(AccessChange::Token(id));
            }
            0..4 => {
                access.is_denied.store(true, Ordering::Release);
                self.broker.access_changed(AccessChange::Token(id));
                access.fence.store(index, Ordering::Release);
                add(&self.counts.denials, 1);
            }
            4 | 5 => self.broker.access_changed(AccessChange::TokenDeleted(id)),
            // It wakes all readers, also those that were not woken for a batch, so it is rare.
            9 if draw.one_in(3) => self.broker.access_changed(AccessChange::Everyone),
            _ => self.broker.access_changed(AccessChange::Policy(format!("policy-{}", number % POLICIES).into())),
        }
    }

    /// Runs a dispatcher a third of the time.
    pub(crate) fn dispatch_at_times(&self) {
        let turn = (self.options.duration / 20).clamp(Duration::from_millis(300), Duration::from_secs(20));
        let pause = |length: Duration| {
            let until = Instant::now() + length;
            while Instant::now() < until && !self.broker.is_closed() {
                thread::sleep(Duration::from_millis(50));
            }
        };
        while !self.broker.is_closed() {
            let dispatcher = self.broker.dispatcher();
            thread::scope(|scope| {
                scope.spawn(|| dispatcher.run());
                add(&self.counts.dispatcher_runs, 1);
                pause(turn);
                dispatcher.stop();
            });
            pause(turn * 2);
        }
    }
}
