//! The cost oracle: scripts of operations from seeds, each operation charged with what it may cost.
//!
//! `model` computes the charges. The steps of the broker must stay within a factor of them.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use event_broker::steps::{Step, Steps, take};
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Clock, Denial, Epoch, Event, Grant, LagPolicy, Principal,
    RecvError, Request, Start, Subscription, Term, Token, TryRecvError,
};

use super::clock::ManualClock;
use super::growth::opening::LONGEST_HOLD;
use super::model::{Model, Reader};
use super::random::Random;
use super::script::{Config, EventSpec, Op, POLICIES, RequestSpec, StartSpec, config, op};
use super::wakes::WakeCount;

/// The most steps that an operation may make for each that it is charged. Of ten thousand scripts none needed more than
/// two thirds of it.
fn factor(operation: &str) -> u64 {
    match operation {
        "broker stats" => 1,
        "token" | "subscriptions" => 2,
        "reset" | "close" | "tick" => 3,
        // A part of many chains can end among checkpoints that are close together, and then passes few of their runs.
        "read" | "drain" | "poll" => 7,
        "access" => 5,
        // Entries of tables that are moved, for each that comes or goes.
        "moves" => 8,
        // A look into each table that there may be something in, for each event and key.
        "publish" => 9,
        // Eight terms are compared with an event one by one.
        "stats" => 10,
        // A node is looked for, made, and entered with its names.
        "refuse" | "leave" => 12,
        "open" => 13,
        _ => panic!("{operation} has no factor"),
    }
}

/// How far a reader may be ahead of its charges: it searches its next matches in parts, for all its terms at once.
fn ahead(reader: &Reader) -> u64 {
    600 + 10 * reader.nodes.len() as u64
}

/// The number of entries that may be moved uncharged over a whole script.
const MOVES_ANYWAY: u64 = 4_000;

const TTL: u64 = 50;

/// Principals by number. Grants rest on two policies; those of every third principal expire.
#[derive(Clone, Debug)]
struct Host {
    clock: ManualClock,
}

impl Host {
    fn now(&self) -> u64 {
        self.clock.millis()
    }

    fn policies(principal: usize) -> [usize; 2] {
        [principal % POLICIES, (principal + 1) % POLICIES]
    }

    fn expires(principal: usize) -> bool {
        principal % 3 == 1
    }

    fn principal(number: usize) -> Principal {
        if number == 0 { Principal::anonymous() } else { Principal::new(number.to_string()) }
    }

    fn number(principal: &Principal) -> usize {
        principal.id().parse().unwrap_or_default()
    }
}

impl Clock for Host {
    fn now(&self) -> Instant {
        self.clock.now()
    }
}

impl Authorizer<usize> for Host {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let principal = Self::number(request.principal());
        let mut grant = Grant::all().without_event_checks();
        for policy in Self::policies(principal) {
            grant = grant.resting_on_policy(policy.to_string());
        }
        let expiry = Clock::now(self) + Duration::from_millis(TTL);
        Ok(if Self::expires(principal) { grant.expires_at(expiry) } else { grant })
    }

    fn changes(&self, event: &Event<usize>, changes: &mut Vec<AccessChange>) {
        if *event.payload() > 0 {
            changes.push(AccessChange::Policy((event.payload() - 1).to_string().into()));
        }
    }
}

struct Open {
    subscription: Subscription<usize>,
    id: usize,
    principal: usize,
    reader: Reader,
    /// What its reads were charged, and what they took.
    charged: u64,
    spent: u64,
    /// Access has changed since it last looked.
    changed: bool,
    expiry: Option<u64>,
    over: bool,
}

/// The largest ratio of steps to charge, by operation, and what it was of.
pub type Ratios = BTreeMap<&'static str, (f64, String)>;

struct Run<'r> {
    config: Config,
    broker: Broker<usize>,
    host: Host,
    model: Model,
    open: Vec<Open>,
    next: usize,
    epoch: u64,
    closed: bool,
    /// Entries that came or went, and moves.
    entries: u64,
    moves: u64,
    longest_hold: u64,
    seed: u64,
    /// Of the last operation.
    last: Steps,
    ratios: &'r mut Ratios,
}

impl Run<'_> {
    /// Runs an operation and returns its steps.
    fn measure<T>(&mut self, operation: impl FnOnce(&mut Self) -> T) -> (T, u64) {
        take();
        let done = operation(self);
        let steps: Steps = take();
        self.moves += steps.of(Step::Move);
        self.last = steps;
        self.longest_hold = self.longest_hold.max(steps.longest_hold);
        assert!(steps.longest_hold <= LONGEST_HOLD, "seed {}: a hold of {} steps", self.seed, steps.longest_hold);
        (done, steps.all() - steps.of(Step::Move))
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn check(&mut self, what: &'static str, steps: u64, charge: u64, ahead: u64) {
        let ratio = steps.saturating_sub(ahead) as f64 / charge.max(1) as f64;
        let most = self.ratios.entry(what).or_default();
        if ratio > most.0 {
            *most = (
                ratio,
                format!("seed {}: {steps} for {charge} and {ahead}, {:?}, {:?}", self.seed, self.last, self.config),
            );
        }
        let allowed = factor(what) * charge + ahead;
        assert!(
            steps <= allowed,
            "seed {}: {what} took {steps} steps, charged {charge} and {ahead}: {:?}, in {:?}",
            self.seed,
            self.last,
            self.config
        );
    }

    fn publish(&mut self, events: &[EventSpec]) {
        if self.closed {
            return;
        }
        let index = if events.is_empty() { self.model.end } else { self.model.end + 1 };
        let built: Vec<_> = events.iter().map(event).collect();
        let (done, steps) = self.measure(|run| run.broker.publish(index, built));
        // Right after a reset there is no index that a batch without events could repeat.
        assert!(done.is_ok() || events.is_empty(), "{done:?}");
        let mut policies: Vec<usize> = events.iter().filter_map(|event| event.changes).collect();
        policies.sort_unstable();
        policies.dedup();
        let fenced =
            self.fence(|open| policies.iter().filter(|policy| Host::policies(open.principal).contains(policy)).count());
        if events.is_empty() {
            self.check("publish", steps, 1, 0);
            return;
        }
        self.entries += 1;
        let published = self.model.publish(&self.config, events);
        // Readers whose place is reached are woken. The token of a waiting reader names the place, not the one before
        // it.
        let end = self.model.end;
        let begun = self.open.iter().filter(|open| (end - 1..=end).contains(&open.reader.cursor)).count() as u64;
        let (gates, wakes) = (self.last.of(Step::Fence), self.last.of(Step::Wake));
        assert!(gates <= fenced, "seed {}: {gates} gates for {fenced} changes", self.seed);
        let woken = 2 * published.woken + published.hits + fenced + begun + 1;
        assert!(wakes <= woken, "seed {}: {wakes} wakes for {woken}", self.seed);
        self.check("publish", steps, published.charge() + fenced + begun, 0);
    }

    /// Records changes of access, this many for each reader. Returns the sum.
    fn fence(&mut self, changes: impl Fn(&Open) -> usize) -> u64 {
        if !self.config.guarded {
            return 0;
        }
        let mut fenced = 0;
        for open in &mut self.open {
            let changes = changes(open) as u64;
            fenced += changes;
            open.changed |= changes > 0;
        }
        fenced
    }

    fn bases(&self, principal: usize) -> u64 {
        match (self.config.guarded, principal) {
            (true, _) => 3 + u64::from(Host::expires(principal)),
            (false, 0) => 0,
            (false, _) => 1,
        }
    }

    fn open(&mut self, spec: &RequestSpec) {
        let latest = i64::try_from(self.model.end).unwrap();
        let index = |back: i64| u64::try_from(latest - back).unwrap_or_default();
        let (start, from) = match spec.start {
            StartSpec::Oldest => (Start::Oldest, 0),
            StartSpec::Latest => (Start::Latest, self.model.end),
            StartSpec::Back(back) => (Start::Index(index(back)), index(back).saturating_sub(1)),
            StartSpec::Exactly(back) => (Start::Exactly(index(back)), index(back).saturating_sub(1)),
            StartSpec::After(_) if self.open.is_empty() => (Start::Oldest, 0),
            StartSpec::After(reader) => {
                let token: Token = self.open[reader % self.open.len()].subscription.token();
                (Start::After(token), token.index())
            }
        };
        let reader = self.model.reader(spec, from.max(self.model.oldest()));
        let request = request(spec, start);
        let (done, steps) = self.measure(|run| run.broker.subscribe(request));
        let (asked, bases) = (self.model.asked_for(&reader), self.bases(spec.principal));
        let charge = 3 + asked + bases + self.model.depth();
        self.entries += 2 * asked + bases;
        self.model.make_nodes(&reader);
        let Ok(subscription) = done else {
            // The nodes that were joined are left again.
            self.check("refuse", steps, charge + asked, 0);
            return;
        };
        self.check("open", steps, charge, 0);
        self.model.join(&reader);
        let expiry = (self.config.guarded && Host::expires(spec.principal)).then(|| self.host.now() + TTL);
        let first_look = if reader.is_named() { reader.nodes.len() as u64 } else { 0 };
        self.open.push(Open {
            subscription,
            id: self.next,
            principal: spec.principal,
            reader,
            charged: first_look,
            spent: 0,
            changed: false,
            expiry,
            over: false,
        });
        self.next += 1;
    }

    fn leave(&mut self, place: usize) {
        let open = self.open.swap_remove(place);
        let asked = self.model.asked_for(&open.reader);
        let ((), steps) = self.measure(|_| drop(open.subscription));
        let charge = 2 + asked + self.bases(open.principal);
        self.entries += charge;
        self.model.leave(open.id, &open.reader);
        self.check("leave", steps, charge, 0);
    }

    /// Charges a read that went up to `to`, and checks all reads of the subscription together.
    fn charge_read(&mut self, what: &'static str, place: usize, to: u64, steps: u64, lost: bool) {
        let bases = self.bases(self.open[place].principal);
        let now = self.host.now();
        let guarded = self.config.guarded;
        let Open { reader, charged, spent, changed, expiry, id, principal, .. } = &mut self.open[place];
        let mut charge = 2 + reader.polled() + self.model.pass(reader, to);
        if std::mem::take(changed) {
            charge += 2 + 2 * bases;
            *expiry = (guarded && Host::expires(*principal)).then(|| now + TTL);
        }
        if lost {
            charge += reader.nodes.len() as u64;
        }
        *charged += charge;
        *spent += steps;
        if reader.is_named() {
            self.model.register(*id, reader);
        }
        let (charged, spent, ahead) = (*charged, *spent, ahead(reader));
        self.check(what, spent, charged, ahead);
    }

    fn after_error(&mut self, place: usize, error: &RecvError) -> (u64, bool) {
        let open = &mut self.open[place];
        let cursor = open.reader.cursor;
        match error {
            RecvError::Lagged(lagged) => {
                open.over = lagged.policy == LagPolicy::Close;
                (self.model.oldest().max(cursor), true)
            }
            RecvError::Closed => {
                open.over = true;
                (self.model.end, false)
            }
            _ => {
                open.over = true;
                (cursor, false)
            }
        }
    }

    fn read(&mut self, place: usize) {
        if self.open[place].over {
            return;
        }
        let (read, steps) =
            self.measure(|run| run.open[place].subscription.try_recv().map(|delivery| delivery.index()));
        let (to, lost) = match read {
            Ok(index) => (index, false),
            Err(TryRecvError::Empty) => (self.model.end, false),
            Err(TryRecvError::Recv(error)) => self.after_error(place, &error),
        };
        self.charge_read("read", place, to, steps, lost);
    }

    fn drain(&mut self, place: usize, most: usize) {
        if self.open[place].over {
            return;
        }
        let (read, steps) = self.measure(|run| {
            let mut window = run.open[place].subscription.drain()?;
            let (mut count, mut last) = (0, None);
            for delivery in window.iter().take(most) {
                count += 1;
                last = Some(delivery.index());
            }
            Ok((count, last))
        });
        let (to, lost) = match read {
            Ok((count, Some(last))) if count == most => (last, false),
            Ok((_, last)) => (last.map_or(self.model.end, |_| self.model.end), false),
            Err(error) => self.after_error(place, &error),
        };
        self.charge_read("drain", place, to, steps, lost);
    }

    fn poll(&mut self, place: usize) {
        if self.open[place].over {
            return;
        }
        let (woken, waker) = WakeCount::new();
        let (read, steps) = self.measure(|run| {
            let polled = run.open[place].subscription.poll_recv(&mut Context::from_waker(&waker));
            polled.map(|read| read.map(|delivery| delivery.index()))
        });
        let (to, lost) = match &read {
            Poll::Ready(Ok(index)) => (*index, false),
            Poll::Ready(Err(error)) => self.after_error(place, error),
            Poll::Pending => (self.model.end, false),
        };
        let waits = read.is_pending() && woken.get() == 0;
        let Open { charged, reader, id, .. } = &mut self.open[place];
        // It searches twice, and registers in between.
        *charged += 1 + 2 * reader.polled();
        if waits {
            self.model.register(*id, reader);
        }
        self.charge_read("poll", place, to, steps, lost);
    }

    fn change(&mut self, change: AccessChange, concerns: impl Fn(&Self, &Open) -> bool) {
        let concerned = self.open.iter().filter(|open| concerns(self, open)).map(|open| open.id).collect::<Vec<_>>();
        let ((), steps) = self.measure(|run| run.broker.access_changed(change));
        for open in self.open.iter_mut().filter(|open| concerned.contains(&open.id)) {
            open.changed = true;
        }
        self.check("access", steps, 1 + concerned.len() as u64, 0);
    }

    fn everybody(&self) -> u64 {
        1 + self.open.len() as u64
    }

    fn apply(&mut self, op: &Op) {
        let count = self.open.len();
        let place = |number: usize| number % count;
        match op {
            Op::Publish(events) => self.publish(events),
            Op::Burst(batches, events) => {
                for event in events.iter().cycle().take(*batches) {
                    self.publish(std::slice::from_ref(event));
                }
            }
            Op::Open(spec) => self.open(spec),
            Op::Policy(policy) => self.change(AccessChange::Policy(policy.to_string().into()), |run, open| {
                run.config.guarded && Host::policies(open.principal).contains(policy)
            }),
            Op::Token(principal) => {
                let id = Host::principal(*principal).id().to_owned();
                self.change(AccessChange::Token(id.into()), |run, open| {
                    open.principal == *principal && run.bases(*principal) > 0
                });
            }
            Op::Everyone => self.change(AccessChange::Everyone, |_, _| true),
            Op::Tick(millis) => {
                self.host.clock.advance(Duration::from_millis(*millis));
                let now = self.host.now();
                let ((), steps) = self.measure(|run| run.broker.tick());
                let mut expired = 0;
                for open in &mut self.open {
                    expired += u64::from(open.expiry.take_if(|expiry| *expiry <= now).is_some());
                }
                self.check("tick", steps, 1 + expired, 0);
            }
            Op::BrokerStats => {
                let (_, steps) = self.measure(|run| run.broker.stats());
                self.check("broker stats", steps, 1, 0);
            }
            Op::Subscriptions => {
                let (listed, steps) = self.measure(|run| run.broker.subscriptions().len());
                assert_eq!(listed, count);
                self.check("subscriptions", steps, self.everybody(), 0);
            }
            Op::Reset => {
                let index = self.model.end;
                self.epoch += 1;
                let epoch = Epoch::from(self.epoch);
                let ((), steps) = self.measure(|run| run.broker.reset(index, epoch));
                self.check("reset", steps, self.everybody() + self.model.held(), 0);
                self.model.clear();
            }
            Op::Close => {
                let ((), steps) = self.measure(|run| run.broker.close());
                self.closed = true;
                self.check("close", steps, self.everybody(), 0);
            }
            _ if count == 0 => {}
            Op::Read(reader) => self.read(place(*reader)),
            Op::CatchUp(reader) => {
                let place = place(*reader);
                while !self.open[place].over && self.open[place].reader.cursor < self.model.end {
                    self.read(place);
                }
            }
            Op::Drain(reader, most) => self.drain(place(*reader), *most),
            Op::Poll(reader) => self.poll(place(*reader)),
            Op::Leave(reader) => self.leave(place(*reader)),
            Op::LeaveAllBut(reader) => {
                let stays = self.open[place(*reader)].id;
                while let Some(place) = self.open.iter().position(|open| open.id != stays) {
                    self.leave(place);
                }
            }
            Op::Stats(reader) => {
                let place = place(*reader);
                let (_, steps) = self.measure(|run| run.open[place].subscription.stats());
                // It should be constant. Today it examines each of its own terms, and a part of the backlog.
                let own = 256 + self.open[place].reader.nodes.len() as u64;
                self.check("stats", steps, 1 + own, 0);
            }
            Op::TokenOf(reader) => {
                let place = place(*reader);
                let (_, steps) = self.measure(|run| run.open[place].subscription.token());
                self.check("token", steps, 1 + self.open[place].reader.nodes.len() as u64, 0);
            }
            Op::HandleToken(reader) => {
                let place = place(*reader);
                let handle = self.open[place].subscription.handle();
                let (_, steps) = self.measure(|_| handle.token());
                self.check("token", steps, 1 + self.open[place].reader.nodes.len() as u64, 0);
            }
        }
    }
}

fn event(spec: &EventSpec) -> Event<usize> {
    let key = |key: &usize| format!("k{key}");
    let change = spec.changes.map_or(0, |policy| policy + 1);
    let event = Event::new(format!("T{}", spec.topic), format!("t{}", spec.topic % 2), key(&spec.key), change);
    let event = event.with_filter_keys(spec.filter_keys.iter().map(key));
    match spec.namespace {
        Some(name) => event.with_namespace(format!("n{name}")),
        None => event,
    }
}

fn request(spec: &RequestSpec, start: Start) -> Request<usize> {
    let name =
        |prefix: &str, number: Option<usize>| number.map_or("*".to_owned(), |number| format!("{prefix}{number}"));
    let terms = spec.terms.iter().map(|(topic, key)| Term::new(name("T", *topic), name("k", *key)).unwrap());
    let request = Request::new().start(start).terms(terms).principal(Host::principal(spec.principal));
    let request = request.lag_policy(if spec.goes_on { LagPolicy::Continue } else { LagPolicy::Close });
    let request = if spec.typed { request.event_type("t1") } else { request };
    let request = match spec.refuses {
        Some(rest) => request.filter(move |event: &Event<usize>| event.key().as_str().len() % 3 != rest),
        None => request,
    };
    if spec.namespaces.is_empty() {
        request.namespace("*")
    } else {
        request.namespaces(spec.namespaces.iter().map(|number| format!("n{number}")))
    }
}

/// Puts the script of a seed through a broker. Returns the longest hold of its lock.
fn run(seed: u64, ratios: &mut Ratios) -> u64 {
    let mut random = Random::new(seed);
    let config = config(&mut random);
    let host = Host { clock: ManualClock::new() };
    let builder = Broker::builder().max_batches(config.max_batches as u64).epoch(Epoch::from(0)).clock(host.clone());
    let builder = config.max_events.into_iter().fold(builder, |builder, most| builder.max_events(most as u64));
    let builder = if config.guarded { builder.authorizer(host.clone()) } else { builder };
    let broker = builder.build().unwrap();
    let mut run = Run {
        config,
        broker,
        host,
        model: Model::default(),
        open: Vec::new(),
        next: 0,
        epoch: 0,
        closed: false,
        entries: 0,
        moves: 0,
        longest_hold: 0,
        seed,
        last: Steps::default(),
        ratios,
    };
    let ops = 20 + random.below(130);
    for _ in 0..ops {
        let op = op(&mut random, &config);
        run.apply(&op);
    }
    while !run.open.is_empty() {
        run.leave(0);
    }
    let (moves, entries) = (run.moves, run.entries);
    run.check("moves", moves, entries, MOVES_ANYWAY);
    run.longest_hold
}

/// Scripts by their number: the same ones each time. More of them by `COST_SCRIPTS`.
#[test]
fn every_operation_costs_what_it_may() {
    let scripts = std::env::var("COST_SCRIPTS").ok().and_then(|scripts| scripts.parse().ok()).unwrap_or(200);
    let first = std::env::var("COST_FIRST").ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    let mut ratios = Ratios::new();
    let longest = (first..first + scripts).map(|seed| run(seed, &mut ratios)).max();
    if std::env::var_os("COST_VERBOSE").is_some() {
        println!("longest hold: {longest:?}");
        for (what, (ratio, of)) in ratios {
            println!("{what}: {ratio:.2}, {of}");
        }
    }
}
