//! Users that do not return, and memory beside the batches: it is bounded by what exists, not by what has passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Event, Grant, Principal, Request, Start, Term,
};

use crate::Case;
use crate::measure::{Checks, live, peak};

pub(crate) const CASES: &[Case] = &[
    ("a_stuck_dispatcher_is_bounded_by_subscriptions", a_stuck_dispatcher_is_bounded_by_subscriptions),
    ("deletions_during_a_stuck_decision_are_bounded", deletions_during_a_stuck_decision_are_bounded),
    ("links_do_not_grow_with_namespaces", links_do_not_grow_with_namespaces),
    ("links_are_in_the_bound_of_bytes", links_are_in_the_bound_of_bytes),
    ("encoded_forms_are_in_the_bound_of_bytes", encoded_forms_are_in_the_bound_of_bytes),
    ("many_changes_in_one_batch_take_a_constant", many_changes_in_one_batch_take_a_constant),
];

fn term(topic: &str, key: &str) -> Term {
    Term::new(topic, key).expect("neither side is empty")
}

/// A place where foreign code blocks its thread until it is released.
struct Trap {
    entered: Mutex<Option<Sender<()>>>,
    released: Mutex<Receiver<()>>,
}

impl Trap {
    /// The trap, a signal that a thread is in it, and what releases it on drop.
    fn new() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let (entered, is_entered) = channel();
        let (release, released) = channel();
        let trap = Self { entered: Mutex::new(Some(entered)), released: Mutex::new(released) };
        (Arc::new(trap), is_entered, release)
    }

    /// Blocks the first caller.
    fn enter(&self) {
        let first = self.entered.lock().expect("no panic").take();
        if let Some(entered) = first {
            entered.send(()).expect("the receiver exists");
            // An error is the release, because the other side is gone.
            let _ = self.released.lock().expect("no panic").recv();
        }
    }
}

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        self.enter();
    }
}

/// Readers of many terms that read by themselves, while the only dispatcher is blocked in a waker.
fn a_stuck_dispatcher_is_bounded_by_subscriptions(checks: &mut Checks) {
    const READERS: usize = 10;
    const EARLY: u64 = 1_000;
    const LATE: u64 = 10_000;
    /// For each reader: its registrations in 20 lists, and the names of those that were hit.
    const EACH: usize = 2 * 1024;
    let broker = Broker::<String>::new();
    let dispatcher = Arc::new(broker.dispatcher());
    let (trap, is_entered, release) = Trap::new();
    let mut trapped = broker.subscribe(Request::new().term(term("Trap", "trap"))).expect("open");
    assert!(trapped.poll_recv(&mut Context::from_waker(&Waker::from(trap))).is_pending());
    let running = {
        let dispatcher = Arc::clone(&dispatcher);
        thread::spawn(move || dispatcher.run())
    };
    let mut index = 0;
    // Until the dispatcher runs, publishing would wake by itself and be trapped, and nothing shows when it does.
    thread::sleep(Duration::from_millis(100));
    let mut publish = |topic: &'static str, key: u64| {
        index += 1;
        let key = if topic == "Trap" { "trap".to_owned() } else { format!("job-{key}") };
        broker.publish(index, [Event::new(topic, "Changed", key, String::new())]).expect("rising");
    };
    publish("Trap", 0);
    is_entered.recv_timeout(Duration::from_secs(10)).expect("the dispatcher wakes");

    let request = || Request::new().start(Start::Latest).terms((0..20).map(|key| term("Job", &format!("job-{key}"))));
    let mut readers: Vec<_> = (0..READERS).map(|_| broker.subscribe(request()).expect("open")).collect();
    let mut early = 0;
    for round in 0..LATE {
        publish("Job", round % 20);
        for reader in &mut readers {
            let mut context = Context::from_waker(Waker::noop());
            while reader.poll_recv(&mut context).is_ready() {}
        }
        if round == EARLY {
            early = live();
        }
    }
    let grown = live().saturating_sub(early);
    checks.at_most(
        &format!("{READERS} readers of 20 terms, from {EARLY} to {LATE} publishes beside a stuck dispatcher"),
        grown,
        READERS * EACH,
    );
    drop(release);
    dispatcher.stop();
    running.join().expect("it returns");
}

/// An authorizer that hangs for one principal.
struct Hanging(Arc<Trap>);

impl<P> Authorizer<P> for Hanging {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        if request.principal().id() == "hangs" {
            self.0.enter();
        }
        Ok(Grant::all().resting_on_policy("p"))
    }
}

fn deletions_during_a_stuck_decision_are_bounded(checks: &mut Checks) {
    const DELETIONS: u64 = 50_000;
    /// What is recorded of changes while a decision is pending.
    const NOTED: usize = 128 * 1024;
    let (trap, is_entered, release) = Trap::new();
    let broker = Broker::<String>::builder().authorizer(Hanging(trap)).build().expect("valid");
    let others: Vec<_> = (0..10)
        .map(|number| broker.subscribe(Request::new().principal(Principal::new(format!("p{number}")))).expect("open"))
        .collect();
    let asking = {
        let broker = broker.clone();
        thread::spawn(move || broker.subscribe(Request::new().principal(Principal::new("hangs"))).map(drop))
    };
    is_entered.recv_timeout(Duration::from_secs(10)).expect("it is asked");
    let before = live();
    for number in 0..DELETIONS {
        broker.access_changed(AccessChange::TokenDeleted(format!("token-{number}").into()));
    }
    checks.at_most(&format!("{DELETIONS} deletions during one decision"), live().saturating_sub(before), NOTED);
    for number in 0..DELETIONS / 10 {
        broker.access_changed(AccessChange::Policy(format!("policy-{number}").into()));
        broker.access_changed(AccessChange::Token(format!("another-{number}").into()));
    }
    checks.at_most("other changes beside them", live().saturating_sub(before), NOTED);
    drop(release);
    asking.join().expect("no panic").expect("allowed");
    checks.at_most("after the answer", live().saturating_sub(before), 4 * 1024);
    drop(others);
}

/// What 100 batches without a namespace take beside this many readers of one key, each in its own namespace.
fn batches_beside(readers: u64, configure: impl Fn() -> Broker<String>) -> usize {
    let broker = configure();
    let request = |number: u64| Request::new().term(term("Node", "web")).namespace(format!("namespace-{number}"));
    let mut readers: Vec<_> = (0..readers).map(|number| broker.subscribe(request(number)).expect("open")).collect();
    let before = live();
    for index in 1..=100 {
        broker.publish(index, [Event::new("Node", "Changed", "web", String::new())]).expect("rising");
    }
    let took = live().saturating_sub(before);
    let last = readers.last_mut().expect("there are some");
    assert_eq!(last.try_recv().expect("it passes every scope").index(), 1);
    took
}

fn links_do_not_grow_with_namespaces(checks: &mut Checks) {
    /// For each batch.
    const EACH: usize = 64;
    let few = batches_beside(10, Broker::new);
    let many = batches_beside(10_000, Broker::new);
    checks.at_most("100 batches beside 10,000 namespaces, more than beside 10", many.saturating_sub(few), 100 * EACH);
}

/// Distinct terms that one event hits, all of which need a link: they count as bytes of the buffer.
fn links_are_in_the_bound_of_bytes(checks: &mut Checks) {
    const BOUND: usize = 256 * 1024;
    const KEYS: u64 = 1_000;
    let broker = Broker::<u64>::builder().max_batches(10_000).max_bytes(BOUND as u64).build().expect("valid");
    let request = |number: u64| Request::new().term(term("Job", &format!("{number}"))).namespace("*");
    let readers: Vec<_> = (0..KEYS).map(|number| broker.subscribe(request(number)).expect("open")).collect();
    let before = live();
    for index in 1..=200 {
        let event = Event::new("Job", "Changed", "web", 0_u64);
        let event = event.with_filter_keys((0..KEYS).map(|number| format!("{number}")));
        broker.publish(index, [event]).expect("rising");
    }
    let took = live().saturating_sub(before);
    checks.at_most("max_bytes(256 KiB), events of 1,000 filter keys that all hit", took, BOUND + BOUND / 8 + 64 * 1024);
    drop(readers);
}

fn encoded_forms_are_in_the_bound_of_bytes(checks: &mut Checks) {
    const BOUND: usize = 256 * 1024;
    const PAYLOAD: usize = 2 * 1024;
    let weigh = |event: &Event<String>| (event.payload().len() + 200) as u64;
    let broker =
        Broker::<String>::builder().max_batches(100_000).max_bytes(BOUND as u64).weigher(weigh).build().expect("valid");
    let before = live();
    let mut whole = broker.subscribe(Request::new()).expect("open");
    let mut narrow = broker.subscribe(Request::new().term(term("Job", "web"))).expect("open");
    let mut most = 0;
    for index in 1..=400 {
        let event = |key: &str| Event::new("Job", "Changed", key, "x".repeat(PAYLOAD));
        broker.publish(index, [event("web"), event("db")]).expect("rising");
        let delivery = whole.try_recv().expect("published");
        drop((delivery.frame().expect("text"), delivery.frame_with_token().expect("text")));
        let delivery = narrow.try_recv().expect("published");
        drop((delivery.frame().expect("text"), delivery.frame_with_token().expect("text")));
        if index % 50 == 0 {
            most = most.max(live().saturating_sub(before));
        }
    }
    checks.at_most("max_bytes(256 KiB) with frames, narrow ones and tokens", most, BOUND + BOUND / 8 + 32 * 1024);
}

/// Derives a change of one policy from each event of a topic.
struct Announced(AtomicU64);

impl<P> Authorizer<P> for Announced {
    fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Grant::all().resting_on_policy("p").expires_at(Instant::now() + Duration::from_secs(100_000)))
    }

    fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
        if *event.topic() == "Policy" {
            changes.push(AccessChange::Policy("p".into()));
        }
    }
}

fn many_changes_in_one_batch_take_a_constant(checks: &mut Checks) {
    const READERS: usize = 2_000;
    const CHANGES: usize = 1_000;
    /// For each reader and each change, and a constant. The events themselves exist before.
    const BOUND: usize = 64 * READERS + 256 * CHANGES + 64 * 1024;
    let broker = Broker::<String>::builder().authorizer(Announced(AtomicU64::new(0))).build().expect("valid");
    let request = |number: usize| Request::new().term(term("Job", &format!("{number}")));
    let mut readers: Vec<_> = (0..READERS).map(|number| broker.subscribe(request(number)).expect("open")).collect();
    for reader in &mut readers {
        assert!(reader.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let events: Vec<_> = (0..CHANGES).map(|_| Event::new("Policy", "Changed", "p", String::new())).collect();
    let before = live();
    broker.publish(1, events).expect("rising");
    let took = peak().saturating_sub(before);
    checks.at_most(&format!("{CHANGES} changes of one policy in a batch, {READERS} readers, at the peak"), took, BOUND);
}
