//! The naive broker of the test kit, `event_broker::testing::oracle`, against the broker over scripts of calls:
//! semantics 3, 5, 8 to 13, 15, 17, 18, 22 and 23. The scripts of `oracle` have a naive broker of their own, which also
//! knows of waking, windows, frames and counters.
//!
//! `PROPTEST_CASES` sets how many scripts are drawn.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

#[path = "../common/clock.rs"]
mod clock;
mod script;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_broker::testing::oracle::{NaiveBroker, NaiveReader, agree};
use event_broker::{
    AccessChange, AccessRequest, Authorizer, Broker, Denial, Epoch, Event, Grant, LagPolicy, Principal, RecvError,
    Request, Start, SubscribeError, Subscription, Term, Token, TryRecvError, Verdict,
};
use proptest::prelude::*;
use script::{Config, Op, Origin, Rule, SLOTS, Spec, StartSpec, Wish, configs, ops};

const NAMES: [&str; 3] = ["default", "n1", "n2"];

/// The rules of the real broker's host, one for each slot, whose number is the principal.
#[derive(Clone, Debug, Default)]
struct Rules(Arc<Mutex<[Rule; SLOTS]>>);

impl Rules {
    fn answer(&self, slot: usize) -> Result<Grant, Denial> {
        match self.0.lock().unwrap()[slot] {
            Rule::All => Ok(Grant::all()),
            Rule::Only(name) => Ok(Grant::namespaces([NAMES[name]])),
            Rule::Nothing => Err(Denial::new("by the rules")),
        }
    }
}

impl Authorizer<u64> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        self.answer(request.principal().id().parse().unwrap())
    }
}

/// Both brokers, and their readers in pairs.
struct Both {
    config: Config,
    real: Broker<u64>,
    naive: NaiveBroker<u64>,
    rules: Rules,
    slots: [Option<(Subscription<u64>, NaiveReader)>; SLOTS],
    /// Whose access has changed since their last read.
    must_ask: [bool; SLOTS],
    tokens: Vec<Token>,
    epochs: u64,
    events: u64,
}

fn token(epoch: u64, index: u64, count: u32) -> Token {
    format!("{epoch:016x}-{index}-{count}").parse().unwrap()
}

fn request(slot: usize, wish: &Wish, start: Start) -> Request<u64> {
    let topic = |topic| ["A", "B", "*"][topic];
    let key = |key| ["k0", "k1", "k2", "k3", "*"][key];
    let mut request = Request::new()
        .start(start)
        .terms(wish.terms.iter().map(|term| Term::new(topic(term.0), key(term.1)).unwrap()))
        .namespaces(wish.namespaces.iter().map(|name| ["default", "n1", "n2", "*", ""][*name]))
        .principal(Principal::new(slot.to_string()))
        .lag_policy(if wish.continues { LagPolicy::Continue } else { LagPolicy::Close });
    if let Some(kind) = wish.kind {
        request = request.event_type(["x", "y"][kind]);
    }
    if let Some(rest) = wish.refuses {
        request = request.filter(move |event| event.payload() % 3 != rest);
    }
    request
}

impl Both {
    fn new(config: Config) -> Self {
        let rules = Rules::default();
        let mut real =
            Broker::builder().epoch(Epoch::from(0)).max_batches(config.batches).rising_indexes(config.rising);
        let mut naive =
            NaiveBroker::new().epoch(Epoch::from(0)).max_batches(config.batches).rising_indexes(config.rising);
        if let Some(events) = config.events {
            (real, naive) = (real.max_events(events), naive.max_events(events));
        }
        match config.origin {
            Origin::Whole => {}
            Origin::Above(index) => (real, naive) = (real.initial_index(index), naive.initial_index(index)),
            Origin::After(index, count) => {
                let token = token(0, index, count);
                (real, naive) = (real.starts_after(token), naive.starts_after(token));
            }
        }
        if config.guarded {
            real = real.authorizer(rules.clone());
        }
        let real = real.build().unwrap();
        let (slots, must_ask, tokens) = (Default::default(), [false; SLOTS], Vec::new());
        Self { config, real, naive, rules, slots, must_ask, tokens, epochs: 0, events: 0 }
    }

    fn near(&self, step: i64) -> u64 {
        self.naive.latest_index().saturating_add_signed(step)
    }

    fn take(&mut self, op: &Op) {
        match op {
            Op::Publish { step, back, events } => self.publish(*step, *back, events),
            Op::Subscribe { slot, wish } => self.subscribe(*slot, wish),
            Op::Read { slot } => _ = self.read(*slot),
            Op::ReadAll { slot } => while self.read(*slot) {},
            Op::SetRule { slot, rule, announced } => self.set_rule(*slot, *rule, *announced),
            Op::Cancel { slot } => {
                if let Some((real, naive)) = &self.slots[*slot] {
                    real.handle().cancel();
                    self.naive.cancel(*naive);
                }
            }
            Op::Reset { step } => {
                self.epochs += 1;
                let (index, epoch) = (self.near(*step), Epoch::from(self.epochs));
                self.real.reset(index, epoch);
                self.naive.reset(index, epoch);
            }
            Op::SkipTo { step, count, back } => {
                let token = token(self.epochs.saturating_sub(*back), self.near(*step), *count);
                assert_eq!(self.real.skip_to(token), self.naive.skip_to(token));
            }
            Op::Close => {
                self.real.close();
                self.naive.close();
            }
        }
        assert_eq!(self.real.token(), self.naive.token());
        assert_eq!(self.real.epoch(), self.naive.current_epoch());
        assert_eq!(self.real.is_closed(), self.naive.is_closed());
        let stats = self.real.stats();
        let buffered: Vec<_> = self.naive.buffered().map(|batch| batch.events().len() as u64).collect();
        assert_eq!((stats.buffered_batches, stats.buffered_events), (buffered.len() as u64, buffered.iter().sum()));
        assert_eq!((stats.latest_index, stats.oldest_index), (self.naive.latest_index(), self.naive.oldest_index()));
        assert_eq!(stats.published_batches, self.naive.published().count() as u64);
    }

    fn publish(&mut self, step: i64, back: u64, specs: &[Spec]) {
        let mut events = Vec::new();
        for spec in specs {
            self.events += 1;
            let event =
                Event::new(["A", "B"][spec.topic], ["x", "y"][spec.kind], format!("k{}", spec.key), self.events);
            let event = event.with_namespace(["default", "n1", "n2", ""][spec.namespace]);
            events.push(event.with_filter_keys(spec.filter_key.map(|key| format!("k{key}"))));
        }
        let (index, epoch) = (self.near(step), Epoch::from(self.epochs.saturating_sub(back)));
        let expected = self.naive.publish_in(epoch, index, events.clone()).map_err(|error| (error.kind, error.events));
        let actual =
            if back == 0 { self.real.publish(index, events) } else { self.real.publish_in(epoch, index, events) };
        assert_eq!(actual.map_err(|error| (error.kind, error.events)), expected);
    }

    fn subscribe(&mut self, slot: usize, wish: &Wish) {
        (self.slots[slot], self.must_ask[slot]) = (None, false);
        let start = match wish.start {
            StartSpec::Oldest => Start::Oldest,
            StartSpec::Latest => Start::Latest,
            StartSpec::Index(step) => Start::Index(self.near(step)),
            StartSpec::Exactly(step) => Start::Exactly(self.near(step)),
            StartSpec::After(back) => {
                let token = self.tokens.len().checked_sub(1 + back).map(|at| self.tokens[at]);
                token.map_or(Start::Oldest, Start::After)
            }
        };
        let actual = self.real.subscribe(request(slot, wish, start));
        // The authorizer is not asked about an invalid request.
        let asked = self.config.guarded && !wish.namespaces.contains(&4);
        let answer = if asked { self.rules.answer(slot).map_err(SubscribeError::Denied) } else { Ok(Grant::all()) };
        let expected = answer.and_then(|grant| self.naive.subscribe_with(request(slot, wish, start), grant));
        match (actual, expected) {
            (Ok(real), Ok(naive)) => {
                assert_eq!(real.verdict(), naive.verdict(), "{start:?}");
                if naive.verdict() != Verdict::Whole {
                    assert_eq!(real.oldest_is_whole(), naive.oldest_is_whole(), "{start:?}");
                }
                self.slots[slot] = Some((real, naive));
                self.check_token(slot);
            }
            (actual, expected) => assert_eq!(actual.map(drop), expected.map(drop), "{start:?}"),
        }
    }

    /// Reads once. Returns whether there may be more.
    fn read(&mut self, slot: usize) -> bool {
        let Some((real, naive)) = &mut self.slots[slot] else { return false };
        if std::mem::take(&mut self.must_ask[slot]) {
            self.naive.access_changed(*naive, self.rules.answer(slot));
        }
        let (actual, expected) = (real.try_recv(), self.naive.try_recv(*naive));
        assert!(agree(&expected, &actual), "expected {expected:?}, found {actual:?}");
        let more = match &actual {
            Ok(delivery) => {
                self.tokens.push(delivery.token());
                true
            }
            Err(TryRecvError::Recv(error)) => !error.is_terminal(),
            Err(TryRecvError::Empty) => false,
        };
        self.check_token(slot);
        more
    }

    /// Either broker can resume after either token of a reader.
    fn check_token(&mut self, slot: usize) {
        let Some((real, naive)) = &self.slots[slot] else { return };
        for token in [real.token(), self.naive.reader_token(*naive)] {
            assert!(self.naive.resumes_exactly(*naive, token), "{token}");
            self.tokens.push(token);
        }
    }

    fn set_rule(&mut self, slot: usize, rule: Rule, announced: bool) {
        self.rules.0.lock().unwrap()[slot] = rule;
        // A rule that is not announced is in force when the authorizer is asked next.
        if announced {
            self.real.access_changed(AccessChange::Token(slot.to_string().into()));
            self.must_ask[slot] = self.config.guarded;
        }
    }
}

fn cases(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn the_naive_broker_of_the_kit_returns_what_the_broker_returns(
        config in configs(),
        script in prop::collection::vec(ops(), 1..60),
    ) {
        let mut both = Both::new(config);
        for op in &script {
            both.take(op);
        }
        for slot in 0..SLOTS {
            while both.read(slot) {}
        }
    }
}

/// A grant that expires ends its reader at the next read, unless access has changed and the new grant does not.
#[test]
fn expiry_ends_a_reader_unless_its_grant_was_renewed() {
    #[derive(Debug)]
    struct Expiring(clock::ManualClock, Mutex<bool>);
    impl Authorizer<u64> for Expiring {
        fn authorize(&self, _: &AccessRequest<'_>) -> Result<Grant, Denial> {
            let expiry = event_broker::Clock::now(&self.0) + Duration::from_secs(10);
            Ok(if *self.1.lock().unwrap() { Grant::all().expires_at(expiry) } else { Grant::all() })
        }
    }
    for renewed in [false, true] {
        let clock = clock::ManualClock::new();
        let rules = Arc::new(Expiring(clock.clone(), Mutex::new(true)));
        let real = Broker::builder().authorizer(Arc::clone(&rules)).clock(clock.clone()).epoch(Epoch::from(0));
        let real = real.build().unwrap();
        let mut naive = NaiveBroker::new().epoch(Epoch::from(0));
        let (mut reader, naive_reader) =
            (real.subscribe(Request::new()).unwrap(), naive.subscribe(Request::new()).unwrap());
        real.publish(1, [Event::new("A", "x", "k0", 1)]).unwrap();
        naive.publish(1, [Event::new("A", "x", "k0", 1)]).unwrap();
        if renewed {
            *rules.1.lock().unwrap() = false;
            real.access_changed(AccessChange::Everyone);
            naive.access_changed(naive_reader, Ok(Grant::all()));
        }
        clock.advance(Duration::from_secs(11));
        real.tick();
        naive.expire(naive_reader);
        let expected = naive.try_recv(naive_reader);
        assert_eq!(expected.is_ok(), renewed);
        assert!(renewed || matches!(expected, Err(TryRecvError::Recv(RecvError::Expired))));
        assert!(agree(&expected, &reader.try_recv()));
    }
}
