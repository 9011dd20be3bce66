//! A host into whose hooks a test can put code.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, LagPolicy, Lagged, Observer, Principal,
    RecvError, Request, Start, Subscription, SubscriptionId,
};

use crate::common::{ManualClock, assert_empty, indexes_now, term};

/// A place where the host's code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Authorize,
    Permits,
    Changes,
    Predicate,
    Weigher,
    OnPublish,
    OnEvict,
    OnSubscribe,
    OnLag,
    OnEnd,
    Wake,
    WakerDrop,
    PayloadDrop,
}

impl Hook {
    pub(crate) const ALL: [Self; 13] = [
        Self::Authorize,
        Self::Permits,
        Self::Changes,
        Self::Predicate,
        Self::Weigher,
        Self::OnPublish,
        Self::OnEvict,
        Self::OnSubscribe,
        Self::OnLag,
        Self::OnEnd,
        Self::Wake,
        Self::WakerDrop,
        Self::PayloadDrop,
    ];
}

type Code = dyn Fn() + Send + Sync;

/// While it lives, hooks on this thread run no code.
struct Inside {
    before: bool,
}

impl Inside {
    fn enter() -> Self {
        Self { before: INSIDE.replace(true) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

/// The code to run in a hook. It runs once each time it is set, and never within itself.
#[derive(Default)]
pub(crate) struct Host {
    code: Mutex<Option<(Hook, Arc<Code>)>>,
    ran: Mutex<Vec<Hook>>,
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Host {
    /// Sets what runs the next time this hook does.
    pub(crate) fn set(&self, hook: Hook, code: impl Fn() + Send + Sync + 'static) {
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some((hook, Arc::new(code)));
    }

    /// Whether the code that was set has run.
    pub(crate) fn has_run(&self, hook: Hook) -> bool {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).contains(&hook)
    }

    /// Runs work on this thread without running code in any hook.
    pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
        let _inside = Inside::enter();
        work()
    }

    fn run(&self, hook: Hook) {
        if INSIDE.get() {
            return;
        }
        let code = {
            let mut code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
            code.take_if(|(set, _)| *set == hook)
        };
        if let Some((_, code)) = code {
            self.ran.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
            let _inside = Inside::enter();
            code();
        }
    }
}

/// A payload whose drop is a hook.
pub(crate) struct Payload(Arc<Host>);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.run(Hook::PayloadDrop);
    }
}

struct Rules(Arc<Host>);

impl Authorizer<Payload> for Rules {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        self.0.run(Hook::Authorize);
        Ok(Grant::all().resting_on_policy("readers"))
    }

    fn permits(&self, _: &Principal, _: &Event<Payload>) -> bool {
        self.0.run(Hook::Permits);
        true
    }

    fn changes(&self, event: &Event<Payload>, changes: &mut Vec<AccessChange>) {
        self.0.run(Hook::Changes);
        event_broker::nomad::access_changes(event, changes);
    }
}

struct Watches(Arc<Host>);

impl Observer for Watches {
    fn on_publish(&self, _: u64, _: usize) {
        self.0.run(Hook::OnPublish);
    }

    fn on_evict(&self, _: u64, _: u64) {
        self.0.run(Hook::OnEvict);
    }

    fn on_subscribe(&self, _: SubscriptionId) {
        self.0.run(Hook::OnSubscribe);
    }

    fn on_lag(&self, _: SubscriptionId, _: &Lagged) {
        self.0.run(Hook::OnLag);
    }

    fn on_end(&self, _: SubscriptionId, _: Option<&RecvError>) {
        self.0.run(Hook::OnEnd);
    }
}

struct Wakes(Arc<Host>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.run(Hook::Wake);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.0.run(Hook::WakerDrop);
    }
}

/// A waker whose wake and drop are hooks.
pub(crate) fn waker(host: &Arc<Host>) -> Waker {
    Waker::from(Arc::new(Wakes(Arc::clone(host))))
}

/// A broker of three batches in which every hook is set.
pub(crate) fn hooked() -> (Arc<Host>, Broker<Payload>) {
    let host = Arc::new(Host::default());
    let weigher = Arc::clone(&host);
    let broker = Broker::builder()
        .max_batches(3)
        .max_bytes(1_000)
        .authorizer(Rules(Arc::clone(&host)))
        .observer(Watches(Arc::clone(&host)))
        .clock(ManualClock::new())
        .weigher(move |_| {
            weigher.run(Hook::Weigher);
            1
        })
        .build()
        .expect("bounds above zero");
    (host, broker)
}

/// A request for jobs, whose predicate is a hook.
pub(crate) fn request(host: &Arc<Host>) -> Request<Payload> {
    let host = Arc::clone(host);
    Request::new().term(term("Job", "*")).start(Start::Latest).lag_policy(LagPolicy::Continue).filter(move |_| {
        host.run(Hook::Predicate);
        true
    })
}

/// Publishes one job under the next index.
pub(crate) fn publish_next(host: &Arc<Host>, broker: &Broker<Payload>) {
    let event = Event::new("Job", "Changed", "web", Payload(Arc::clone(host))).with_namespace("default");
    drop(broker.publish(broker.latest_index() + 1, [event]));
}

/// Another subscription, opened before a hook panicked.
pub(crate) struct Bystander {
    reader: Subscription<Payload>,
    published: u64,
}

impl Bystander {
    pub(crate) fn new(broker: &Broker<Payload>) -> Self {
        Host::quietly(|| Self::open(broker))
    }

    fn open(broker: &Broker<Payload>) -> Self {
        let request = Request::new().term(term("Job", "*")).start(Start::Latest);
        let mut reader = broker.subscribe(request).expect("open");
        assert_empty(&mut reader);
        Self { reader, published: broker.stats().published_batches }
    }

    /// Checks after a step of [`exercise`], unless the check itself would come between the step and the next.
    pub(crate) fn check_after(&mut self, step: &str, host: &Arc<Host>, broker: &Broker<Payload>) {
        match step {
            "park" | "publish" | "change access" => {}
            // Overtaken like all others.
            "overtake" => *self = Self::new(broker),
            _ => self.noticed_nothing(host, broker),
        }
    }

    /// Asserts that it received everything that was published meanwhile, once and in order, and that the broker works
    /// as before.
    pub(crate) fn noticed_nothing(&mut self, host: &Arc<Host>, broker: &Broker<Payload>) {
        Host::quietly(|| self.check(host, broker));
    }

    fn check(&mut self, host: &Arc<Host>, broker: &Broker<Payload>) {
        let published = broker.stats().published_batches;
        let indexes = indexes_now(&mut self.reader);
        assert_eq!(indexes.len() as u64, published - self.published);
        assert!(indexes.is_sorted(), "{indexes:?}");
        let mut fresh = broker.subscribe(request(host)).expect("subscribing works");
        publish_next(host, broker);
        assert_eq!(indexes_now(&mut fresh), [broker.latest_index()]);
        assert_eq!(indexes_now(&mut self.reader), [broker.latest_index()]);
        self.published = broker.stats().published_batches;
    }
}

/// Performs each operation that runs a hook once, each step on its own, and drops what each step leaves.
pub(crate) fn exercise(host: &Arc<Host>, broker: &Broker<Payload>, step: &mut dyn FnMut(&str, &mut dyn FnMut())) {
    let mut reader = None;
    step("subscribe", &mut || reader = broker.subscribe(request(host)).ok());
    step("park", &mut || {
        if let Some(reader) = &mut reader {
            // Batches that others published meanwhile are not what it waits for.
            Host::quietly(|| while reader.try_recv().is_ok() {});
            let waker = waker(host);
            drop(reader.poll_recv(&mut std::task::Context::from_waker(&waker)));
        }
    });
    step("publish", &mut || publish_next(host, broker));
    step("change access", &mut || broker.access_changed(AccessChange::Policy("readers".into())));
    step("read", &mut || {
        if let Some(reader) = &mut reader {
            drop(reader.try_recv());
        }
    });
    step("overtake", &mut || (0..4).for_each(|_| publish_next(host, broker)));
    step("lag", &mut || {
        if let Some(reader) = &mut reader {
            while reader.try_recv().is_ok_and(|delivery| !delivery.is_empty()) {}
        }
    });
    step("tick", &mut || broker.tick());
    step("leave", &mut || reader = None);
}
