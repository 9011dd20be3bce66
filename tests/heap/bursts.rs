//! Bursts of subscriptions, and churn: afterwards only what the remaining subscription needs is live.

use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use event_broker::{
    AccessRequest, Authorizer, Broker, Denial, Event, Grant, Principal, RecvTimeoutError, Request, Start, Subscription,
    Term,
};

use crate::Case;
use crate::measure::{Checks, live};

pub(crate) const CASES: &[Case] = &[
    ("a_burst_leaves_what_one_subscription_needs", a_burst_leaves_what_one_subscription_needs),
    ("a_burst_of_wide_scopes_leaves_one", a_burst_of_wide_scopes_leaves_one),
    ("a_burst_of_principals_leaves_one", a_burst_of_principals_leaves_one),
    ("a_burst_of_many_sizes_leaves_the_same", a_burst_of_many_sizes_leaves_the_same),
    ("churn_of_future_starts_leaves_nothing", churn_of_future_starts_leaves_nothing),
    ("churn_of_waiting_readers_leaves_nothing", churn_of_waiting_readers_leaves_nothing),
    ("churn_of_principals_leaves_nothing", churn_of_principals_leaves_nothing),
];

/// Subscriptions of a burst.
const MANY: u64 = 1_000;

/// What a burst may leave beyond the remaining subscription's needs: the minimum sizes of some tables.
const LEFT: usize = 8 * 1024;

/// What churn may change: a list that happens to be longer.
const CHURN: usize = 4 * 1024;

type Ask = fn(u64) -> Request<String>;

fn term(topic: &str, key: &str) -> Term {
    Term::new(topic, key).expect("neither side is empty")
}

/// The request of a reader of a burst, by number.
const KINDS: [(&str, Ask); 12] = [
    ("everything", |_| Request::new().namespace("*")),
    ("a namespace", |_| Request::new()),
    ("a topic", |_| Request::new().term(term("Job", "*"))),
    ("a shared key", |_| Request::new().term(term("Job", "web"))),
    ("a key of its own", |number| Request::new().term(term("Job", &format!("job-{number}")))),
    ("a long key of its own", |number| Request::new().term(term("Job", &format!("job-{number}-{}", "x".repeat(64))))),
    ("a topic of its own", |number| Request::new().term(term(&format!("topic-{number}"), "*")).namespace("*")),
    ("a namespace of its own", |number| Request::new().namespace(format!("namespace-{number}"))),
    ("a shared key in a namespace of its own", |number| {
        Request::new().term(term("Job", "web")).namespace(format!("namespace-{number}"))
    }),
    ("a few keys of its own", |number| {
        Request::new().terms((0..3).map(|key| term("Job", &format!("job-{number}-{key}"))))
    }),
    ("twelve keys, some shared", |number| {
        Request::new().terms((0..12).map(|key| term("Job", &format!("job-{}", number / 2 + key))))
    }),
    ("a future start", |number| Request::new().start(Start::Index(1_000_000 + number))),
];

/// Waits in one of the ways that take no thread.
fn wait(reader: &mut Subscription<String>, number: u64) {
    if number.is_multiple_of(16) {
        drop(reader.doorbell());
    }
    if number.is_multiple_of(3) {
        // As a thread whose time is over once it has registered.
        assert_eq!(reader.recv_deadline(Instant::now()).err(), Some(RecvTimeoutError::Timeout));
    }
    assert!(reader.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// Gives tables that shrink step by step their steps, the same at every broker: publishing, opening and leaving.
fn settle(broker: &Broker<String>) {
    for index in 1..=150 {
        broker.publish(index, [Event::new("Other", "Changed", "other", String::new())]).expect("rising");
        drop(broker.subscribe(Request::new().term(term("Other", "else"))).expect("open"));
    }
}

/// The live heap of a broker after all but reader `stays` have left.
fn after_burst(
    make: &impl Fn() -> Broker<String>,
    ask: impl Fn(u64) -> Request<String>,
    numbers: std::ops::Range<u64>,
    stays: Option<u64>,
) -> usize {
    let mut readers = Vec::with_capacity(usize::try_from(numbers.end - numbers.start).expect("few"));
    let before = live();
    let broker = make();
    for number in numbers {
        let mut reader = broker.subscribe(ask(number)).expect("allowed");
        wait(&mut reader, number);
        readers.push((number, reader));
    }
    readers.retain(|(number, _)| Some(*number) == stays);
    settle(&broker);
    live() - before
}

/// Compares what a burst leaves with what the subscription that stays needs alone, whichever of the burst it is.
///
/// Tables and trees that were larger are filled less than new ones are: a subscription of a thousand namespaces has up to
/// a quarter more than it needs alone.
fn check_burst(checks: &mut Checks, name: &str, count: u64, make: impl Fn() -> Broker<String>, ask: Ask) {
    let new = after_burst(&make, ask, 0..0, None);
    for (place, stays) in [("the first", 0), ("the middle one", count / 2), ("the last", count - 1)] {
        let alone = after_burst(&make, ask, stays..stays + 1, Some(stays));
        let left = after_burst(&make, ask, 0..count, Some(stays));
        let beyond = left.saturating_sub(alone);
        let at_most = LEFT + alone.saturating_sub(new) / 4;
        checks.at_most(&format!("{count} readers of {name}, {place} stays"), beyond, at_most);
    }
    let left = after_burst(&make, ask, 0..count, None);
    checks.at_most(&format!("{count} readers of {name}, no reader stays"), left.saturating_sub(new), LEFT);
}

fn a_burst_leaves_what_one_subscription_needs(checks: &mut Checks) {
    for (name, ask) in KINDS {
        check_burst(checks, name, MANY, Broker::new, ask);
    }
}

/// More than 4,096 pairs of term and namespace.
fn wide(number: u64) -> Request<String> {
    let topics = ["Job", "Node", "Evaluation", "Allocation", "Deployment"];
    let names = (0..1_000).map(|name| format!("{name}-{}", number % 8));
    Request::new().terms(topics.map(|topic| term(topic, "*"))).namespaces(names)
}

fn a_burst_of_wide_scopes_leaves_one(checks: &mut Checks) {
    check_burst(checks, "wide scopes", 40, Broker::new, wide);
}

/// Grants each principal its own: a token, a policy, a role, and some an expiry.
#[derive(Debug)]
pub(crate) struct Own {
    expiry: Instant,
}

impl Own {
    pub(crate) fn new() -> Self {
        Self { expiry: Instant::now() + Duration::from_secs(100_000) }
    }
}

impl<P> Authorizer<P> for Own {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let id = request.principal().id();
        let grant = Grant::namespaces(["default", id])
            .resting_on_token(format!("token-{id}"))
            .resting_on_policy(format!("policy-{id}"))
            .resting_on_role(format!("role-{id}"));
        Ok(if id.ends_with('7') { grant } else { grant.expires_at(self.expiry) })
    }
}

fn guarded() -> Broker<String> {
    Broker::builder().authorizer(Own::new()).build().expect("the defaults are valid")
}

fn of_principal(number: u64) -> Request<String> {
    Request::new().principal(Principal::new(format!("principal-{number}")).with_secret("secret"))
}

fn a_burst_of_principals_leaves_one(checks: &mut Checks) {
    check_burst(checks, "principals", MANY, guarded, of_principal);
}

/// What remains does not depend on how many there were.
fn a_burst_of_many_sizes_leaves_the_same(checks: &mut Checks) {
    let ask: Ask = |number| Request::new().term(term("Job", &format!("job-{number}")));
    let make = Broker::new;
    let left = [500, 12_000].map(|count| after_burst(&make, ask, 0..count, Some(0)));
    checks.at_most("12,000 keys leave more than 500 do", left[1].saturating_sub(left[0]), CHURN);
}

/// Opens and drops readers while one stays and nothing is published; live heap stays what it was.
fn check_churn(checks: &mut Checks, name: &str, broker: &Broker<String>, ask: impl Fn(u64) -> Request<String>) {
    const EARLY: u64 = 100;
    const LATE: u64 = 2_500;
    let mut stays = broker.subscribe(ask(0)).expect("allowed");
    wait(&mut stays, 1);
    let turn = |number: u64| {
        let mut reader = broker.subscribe(ask(number)).expect("allowed");
        wait(&mut reader, number);
        drop(reader);
    };
    (1..EARLY).for_each(turn);
    let early = live();
    (EARLY..LATE).for_each(turn);
    checks.at_most(&format!("{LATE} readers of {name}, one at a time"), live().saturating_sub(early), CHURN);
    drop(stays);
}

fn churn_of_future_starts_leaves_nothing(checks: &mut Checks) {
    let future = |number: u64| Request::new().start(Start::Index(1_000 + number * 7 % 10_000));
    check_churn(checks, "everything in the future", &Broker::new(), future);
    let keyed = |number: u64| future(number).term(term("Job", &format!("job-{number}")));
    check_churn(checks, "a key in the future", &Broker::new(), keyed);
}

fn churn_of_waiting_readers_leaves_nothing(checks: &mut Checks) {
    for (name, ask) in KINDS {
        check_churn(checks, name, &Broker::new(), ask);
    }
}

fn churn_of_principals_leaves_nothing(checks: &mut Checks) {
    check_churn(checks, "principals", &guarded(), of_principal);
}
