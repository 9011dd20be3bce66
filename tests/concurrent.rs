//! Histories of threads: publishers that share a commit lock, readers of every kind, and the validators over what
//! each of them saw. G1 to G5, G8 and G10.
//! No thread waits for time to prove an order: what happened before what is told by counts that rise with it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

#[path = "support/history.rs"]
mod history;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Delivery, Denial, Event, Grant, LagPolicy, Principal, RecvError,
    RecvTimeoutError, Request, Start, Subscription, Term, TryRecvError, Verdict,
};
use history::{Published, Step, Trace, validate};

/// Long enough that only a lost wake-up takes it.
const FOREVER: Duration = Duration::from_secs(60);
const BATCHES: usize = 360;
const PUBLISHERS: usize = 3;

/// One event of the run; its payload is its number.
#[derive(Clone, Debug)]
struct Fact {
    id: u64,
    topic: &'static str,
    key: String,
    namespace: &'static str,
}

/// What the host's state knows, under its own lock.
#[derive(Debug, Default)]
struct Commits {
    index: u64,
    batches: Vec<(u64, Vec<Fact>)>,
    /// The positions that the two access changes were published at.
    narrowed: Option<usize>,
    denied: Option<usize>,
}

/// A host: its state, its broker, and what is common knowledge about their order.
struct World {
    broker: Broker<u64>,
    commits: Mutex<Commits>,
    /// So many batches have certainly been published.
    done: AtomicUsize,
    rules: Arc<Rules>,
}

/// The rules in force: two switches.
#[derive(Debug, Default)]
struct Rules {
    narrowed: AtomicBool,
    denied: AtomicBool,
}

const NARROWED: u64 = u64::MAX;
const DENIED: u64 = u64::MAX - 1;

impl Authorizer<u64> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        match request.principal().id() {
            "narrowed" if self.narrowed.load(Ordering::SeqCst) => Ok(Grant::namespaces(["n1"])),
            "denied" if self.denied.load(Ordering::SeqCst) => Err(Denial::new("by the rules")),
            _ => Ok(Grant::all()),
        }
    }

    fn changes(&self, event: &Event<u64>, changes: &mut Vec<AccessChange>) {
        match *event.payload() {
            NARROWED => changes.push(AccessChange::Token("narrowed".into())),
            DENIED => changes.push(AccessChange::Token("denied".into())),
            _ => {}
        }
    }
}

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

impl World {
    fn new(max_batches: u64) -> Self {
        let rules = Arc::new(Rules::default());
        Self {
            broker: Broker::builder().max_batches(max_batches).authorizer(Arc::clone(&rules)).build().unwrap(),
            commits: Mutex::default(),
            done: AtomicUsize::new(0),
            rules,
        }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Commits and publishes, in this order. No index has more than two batches.
    #[expect(clippy::significant_drop_tightening, reason = "publishing is a part of the commit")]
    fn commit(&self, dice: &mut Dice, change: Option<u64>) {
        let mut commits = self.commits.lock().unwrap();
        let position = commits.batches.len();
        let repeats = commits.batches.iter().rev().take(2).filter(|(index, _)| *index == commits.index).count();
        commits.index += if repeats < 2 && position > 0 { dice.below(3) } else { 1 + dice.below(3) };
        match change {
            Some(NARROWED) => {
                commits.narrowed = Some(position);
                self.rules.narrowed.store(true, Ordering::SeqCst);
            }
            Some(DENIED) => {
                commits.denied = Some(position);
                self.rules.denied.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        let facts: Vec<Fact> = (0..=dice.below(4))
            .map(|n| Fact {
                id: (position as u64) << 8 | n,
                topic: if dice.below(2) == 0 { "A" } else { "B" },
                key: format!("k{}", dice.below(30)),
                namespace: ["n1", "n2", ""][usize::try_from(dice.below(3)).unwrap()],
            })
            .collect();
        let mut events: Vec<_> = facts
            .iter()
            .map(|fact| Event::new(fact.topic, "t", fact.key.as_str(), fact.id).with_namespace(fact.namespace))
            .collect();
        // Nobody asks for it.
        events.extend(change.map(|change| Event::new("Access", "t", "", change).with_namespace("nobody's")));
        let index = commits.index;
        commits.batches.push((index, facts));
        self.broker.publish(index, events).unwrap();
        self.done.store(position + 1, Ordering::SeqCst);
    }
}

/// What a reader of the run asks for.
#[derive(Clone, Debug)]
struct Wish {
    terms: Vec<(&'static str, String)>,
    namespaces: Vec<&'static str>,
    principal: &'static str,
}

impl Wish {
    fn new(terms: impl IntoIterator<Item = (&'static str, u64)>, namespaces: &[&'static str]) -> Self {
        let terms = terms.into_iter().map(|(topic, key)| (topic, format!("k{key}"))).collect();
        Self { terms, namespaces: namespaces.to_vec(), principal: "reader" }
    }

    /// Everything but the events of access changes, so that the two topics are named.
    fn all(principal: &'static str) -> Self {
        let terms = ["A", "B"].map(|topic| (topic, "*".to_owned())).to_vec();
        Self { terms, namespaces: vec!["n1", "n2"], principal }
    }

    fn request(&self, start: Start) -> Request<u64> {
        let terms = self.terms.iter().map(|(topic, key)| Term::new(*topic, key.as_str()).unwrap());
        // What may be narrowed cannot name what it may lose.
        let names = if self.principal == "reader" { self.namespaces.clone() } else { vec!["*"] };
        Request::new()
            .start(start)
            .terms(terms)
            .namespaces(names)
            .principal(Principal::new(self.principal))
            .lag_policy(LagPolicy::Continue)
    }

    fn matches(&self, fact: &Fact) -> bool {
        (fact.namespace.is_empty() || self.namespaces.contains(&fact.namespace))
            && self.terms.iter().any(|(topic, key)| *topic == fact.topic && (key == "*" || *key == fact.key))
    }

    /// What must come, and what may, of one fact at a position.
    fn verdict(&self, commits: &Commits, position: usize, fact: &Fact) -> (bool, bool) {
        let wanted = self.matches(fact);
        let since = |change: Option<usize>| change.is_some_and(|change| position >= change);
        match self.principal {
            // A later question may have narrowed it earlier.
            "narrowed" if fact.namespace == "n2" => (false, wanted && !since(commits.narrowed)),
            "denied" if since(commits.denied) => (false, false),
            _ => (wanted, wanted),
        }
    }

    fn trace(&self, commits: &Commits, begin: (usize, usize), steps: Vec<Step>) -> Trace {
        let of = |which: fn((bool, bool)) -> bool| {
            let batches = commits.batches.iter().enumerate();
            batches
                .map(|(at, (_, facts))| {
                    let chosen = facts.iter().filter(|fact| which(self.verdict(commits, at, fact)));
                    chosen.map(|fact| fact.id).collect()
                })
                .collect()
        };
        Trace { begin, must: of(|(must, _)| must), may: of(|(_, may)| may), steps }
    }
}

/// What a reader brings home.
struct Log {
    name: String,
    wish: Wish,
    begin: (usize, usize),
    steps: Vec<Step>,
}

impl Log {
    fn new(name: &str, wish: &Wish) -> Self {
        Self { name: name.to_owned(), wish: wish.clone(), begin: (0, 0), steps: Vec::new() }
    }

    fn delivery(&mut self, delivery: &Delivery<u64>) {
        let events = delivery.events().map(|event| *event.payload()).collect();
        self.steps.push(Step::Delivery { index: delivery.index(), events });
    }

    /// Whether the reader goes on.
    fn error(&mut self, error: &RecvError) -> bool {
        self.steps.push(match error {
            RecvError::Lagged(lost) => {
                Step::Lost { missed: lost.missed, from: lost.from, through: lost.through, resumes_at: lost.resumes_at }
            }
            RecvError::Closed => Step::Closed,
            RecvError::Revoked(_) => Step::Revoked,
            other => panic!("{}: {other}", self.name),
        });
        !error.is_terminal()
    }

    /// One read that does not wait. Whether the reader goes on, and whether it found anything.
    fn try_recv(&mut self, world: &World, reader: &mut Subscription<u64>) -> (bool, bool) {
        let published = world.done();
        match reader.try_recv() {
            Ok(delivery) => self.delivery(&delivery),
            Err(TryRecvError::Empty) => {
                self.steps.push(Step::Empty { published });
                return (true, false);
            }
            Err(TryRecvError::Recv(error)) => return (self.error(&error), true),
        }
        (true, true)
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread; panics if it is not woken for far too long.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let started = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(FOREVER);
        assert!(started.elapsed() < FOREVER, "a wake-up was lost");
    }
}

type Read = fn(&World, &mut Subscription<u64>, &mut Log, &mut Dice);

fn blocking(_: &World, reader: &mut Subscription<u64>, log: &mut Log, _: &mut Dice) {
    loop {
        match reader.recv_timeout(FOREVER) {
            Ok(delivery) => log.delivery(&delivery),
            Err(RecvTimeoutError::Timeout) => panic!("{}: a wake-up was lost", log.name),
            Err(RecvTimeoutError::Recv(error)) if log.error(&error) => {}
            Err(RecvTimeoutError::Recv(_)) => return,
        }
    }
}

fn task(_: &World, reader: &mut Subscription<u64>, log: &mut Log, _: &mut Dice) {
    loop {
        match block_on(reader.recv_async()) {
            Ok(delivery) => log.delivery(&delivery),
            Err(error) if log.error(&error) => {}
            Err(_) => return,
        }
    }
}

fn draining(_: &World, reader: &mut Subscription<u64>, log: &mut Log, dice: &mut Dice) {
    loop {
        block_on(reader.readable());
        match reader.drain() {
            Ok(mut window) => {
                let some = if dice.below(3) == 0 { 1 } else { usize::MAX };
                window.iter().take(some).for_each(|delivery| log.delivery(&delivery.to_delivery()));
            }
            Err(error) if log.error(&error) => {}
            Err(_) => return,
        }
    }
}

fn ringing(world: &World, reader: &mut Subscription<u64>, log: &mut Log, _: &mut Dice) {
    let bell = reader.doorbell();
    loop {
        bell.recv_timeout(FOREVER).expect("no ring is missed");
        loop {
            match log.try_recv(world, reader) {
                (true, true) => {}
                (true, false) => break,
                (false, _) => return,
            }
        }
    }
}

/// Reads now and then, so that it is overtaken.
fn stalling(world: &World, reader: &mut Subscription<u64>, log: &mut Log, dice: &mut Dice) {
    loop {
        for _ in 0..dice.below(50) {
            thread::yield_now();
        }
        for _ in 0..dice.below(20) {
            if !log.try_recv(world, reader).0 {
                return;
            }
        }
    }
}

/// Leaves again and again, and goes on after its token.
fn resuming(world: &World, reader: &mut Subscription<u64>, log: &mut Log, dice: &mut Dice) {
    loop {
        for _ in 0..dice.below(30) {
            thread::yield_now();
            if !log.try_recv(world, reader).0 {
                return;
            }
        }
        let Ok(next) = world.broker.subscribe(log.wish.request(Start::After(reader.token()))) else {
            // Closed: what is buffered can still be read.
            return blocking(world, reader, log, dice);
        };
        let lost = match next.verdict() {
            Verdict::Whole => None,
            Verdict::Lost { oldest } => oldest,
            verdict => panic!("{}: {verdict:?}", log.name),
        };
        log.steps.push(Step::Resumed { lost });
        *reader = next;
    }
}

/// Comes, reads a little, and goes, with other terms each time.
fn coming_and_going(world: &World, seed: u64) -> Vec<Log> {
    let mut dice = Dice(seed);
    let mut logs = Vec::new();
    loop {
        let first = dice.below(30);
        let some = (0..=dice.below(14)).map(|n| ("A", (first + n) % 30));
        let mut log = Log::new("coming and going", &Wish::new(some, &["n1"]));
        let before = world.done();
        let Ok(mut reader) = world.broker.subscribe(log.wish.request(Start::Latest)) else { return logs };
        log.begin = (before, world.commits.lock().unwrap().batches.len());
        for _ in 0..dice.below(40) {
            thread::yield_now();
            if !log.try_recv(world, &mut reader).0 {
                break;
            }
        }
        if log.steps.last() != Some(&Step::Closed) {
            log.steps.push(Step::Stopped);
        }
        logs.push(log);
    }
}

fn run(seed: u64, max_batches: u64) {
    let twenty = || Wish::new((0..20).map(|key| ("B", key)), &["n1", "n2"]);
    let one = || Wish::new([("A", 3)], &["n1"]);
    let readers: [(&str, Wish, Read); 11] = [
        ("blocking, all", Wish::all("reader"), blocking),
        ("blocking, one key", one(), blocking),
        ("task, twenty keys", twenty(), task),
        ("draining, all", Wish::all("reader"), draining),
        ("draining, twenty keys", twenty(), draining),
        ("ringing, three keys", Wish::new([("A", 1), ("B", 1), ("A", 2)], &["n2"]), ringing),
        ("stalling, twenty keys", twenty(), stalling),
        ("stalling, one key", one(), stalling),
        ("resuming, two keys", Wish::new([("A", 5), ("B", 5)], &["n1"]), resuming),
        ("narrowed", Wish::all("narrowed"), draining),
        ("denied", Wish::all("denied"), blocking),
    ];
    let world = &World::new(max_batches);
    let logs: Vec<Log> = thread::scope(|scope| {
        let mut running = Vec::new();
        for (number, (name, wish, read)) in readers.into_iter().enumerate() {
            // Nothing is published yet: they begin at the beginning.
            let mut reader = world.broker.subscribe(wish.request(Start::Index(1))).unwrap();
            running.push(scope.spawn(move || {
                let mut log = Log::new(name, &wish);
                read(world, &mut reader, &mut log, &mut Dice(seed + number as u64));
                vec![log]
            }));
        }
        running.push(scope.spawn(move || coming_and_going(world, seed + 100)));
        let publishers = [0; PUBLISHERS].map(|_| {
            scope.spawn(move || {
                let mut dice = Dice(seed ^ 0x5555);
                for _ in 0..BATCHES / PUBLISHERS {
                    world.commit(&mut dice, None);
                    if dice.below(4) == 0 {
                        thread::yield_now();
                    }
                }
            })
        });
        let mut dice = Dice(seed + 200);
        for (after, change) in [(BATCHES / 4, NARROWED), (BATCHES / 2, DENIED)] {
            while world.done() < after {
                thread::yield_now();
            }
            world.commit(&mut dice, Some(change));
        }
        for publisher in publishers {
            publisher.join().unwrap();
        }
        world.broker.close();
        running.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });

    let commits = std::mem::take(&mut *world.commits.lock().unwrap());
    let ids = |facts: &[Fact]| facts.iter().map(|fact| fact.id).collect();
    let published = Published::new(commits.batches.iter().map(|(index, facts)| (*index, ids(facts))).collect());
    for log in logs {
        validate(&published, &log.wish.trace(&commits, log.begin, log.steps), &log.name);
    }
    assert_eq!(world.broker.stats().subscriptions, 0);
}

/// G1 order, G2 no duplicates, G3 no silent loss, G4 atomic, G5 resumable, G8 fence: a buffer that overtakes readers.
#[test]
fn g1_to_g5_g8_histories_of_overtaken_readers_are_valid() {
    for seed in 1..=3 {
        run(seed * 7919, 8);
    }
}

/// The same with a buffer that seldom does.
#[test]
fn g1_to_g5_g8_histories_of_readers_that_keep_up_are_valid() {
    for seed in 1..=3 {
        run(seed * 104_729, 200);
    }
}

/// G10: each batch is published only when every reader that it is for has said that it came, so that a wake-up that is
/// lost is made up for by no later one. Of the two kinds of batch each reader but the last takes one.
#[test]
fn g10_a_waiting_reader_is_woken_by_its_batch_alone() {
    const ROUNDS: u64 = 240;
    let world = &World::new(4);
    let twenty = |topic| Wish::new((0..20).map(move |key| (topic, key)), &["n1"]);
    let readers: [(Wish, Read); 7] = [
        (Wish::new([("A", 0)], &["n1"]), blocking),
        (twenty("A"), blocking),
        (Wish::new([("B", 1)], &["n1"]), task),
        (twenty("B"), draining),
        (twenty("A"), ringing),
        (Wish::new([("A", 0), ("A", 1)], &["n1"]), ringing),
        (Wish::all("reader"), blocking),
    ];
    thread::scope(|scope| {
        let (came, comes) = mpsc::channel();
        for (wish, read) in readers.clone() {
            let mut reader = world.broker.subscribe(wish.request(Start::Latest)).unwrap();
            // Tells of each delivery at once: reads as its kind does, through a predicate that sees every event.
            let came = came.clone();
            drop(reader);
            let request = wish.request(Start::Latest).filter(move |event| came.send(*event.payload()).is_ok());
            reader = world.broker.subscribe(request).unwrap();
            scope.spawn(move || read(world, &mut reader, &mut Log::new("waiting", &wish), &mut Dice(1)));
        }
        for round in 1..=ROUNDS {
            let (topic, key) = [("A", 0), ("B", 1), ("A", 1)][usize::try_from(round % 3).unwrap()];
            let key = format!("k{key}");
            let fact = Fact { id: round, topic, key: key.clone(), namespace: "n1" };
            let expected = readers.iter().filter(|(wish, _)| wish.matches(&fact)).count();
            world.broker.publish(round, [Event::new(topic, "t", key, round).with_namespace("n1")]).unwrap();
            for _ in 0..expected {
                assert_eq!(comes.recv_timeout(FOREVER).expect("a wake-up was lost"), round);
            }
        }
        world.broker.close();
    });
}
