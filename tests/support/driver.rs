//! Runs a script on the real broker and on the naive one, and compares everything that is visible. The naive broker
//! decides what is expected.

mod read;
mod thread;

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use event_broker::{
    Broker, Delivery, DeliveryRef, Epoch, Explanation, RecvError, RecvTimeoutError, Request, Start, SubscribeError,
    Subscription, Token, TryRecvError,
};

use super::bytes::SLOTS;
use super::hooks::{CountingObserver, Load, ManualClock, Rules};
use super::matching::Decision;
use super::naive::{self, NaiveBroker, Place};
use super::op::{Change, Config, EventSpec, Kind, Op, Origin, RequestSpec, StartSpec};
use super::reader::{End, Outcome, Readiness};
use super::translate;
use super::wakes::WakeCount;
use thread::Away;

/// Runs a script, and panics where the two brokers differ.
pub fn run_script(config: &Config, script: &[Op]) {
    let mut driver = Driver::new(config);
    for op in script {
        driver.apply(op);
        driver.take_back();
        driver.settle();
    }
    driver.finish();
}

/// A subscription, which may have been moved away for a moment.
struct Real(Option<Subscription<Load>>);

impl Deref for Real {
    type Target = Subscription<Load>;

    fn deref(&self) -> &Subscription<Load> {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Real {
    fn deref_mut(&mut self) -> &mut Subscription<Load> {
        self.0.as_mut().unwrap()
    }
}

/// A subscription under test.
struct Slot {
    real: Real,
    /// Its number in the naive broker.
    naive: usize,
    waker: Arc<WakeCount>,
    /// Whether its last operation was an empty poll as a task.
    parked: bool,
    /// The last value of its waker's count.
    woken: usize,
    bell: Option<Receiver<()>>,
    /// The events that its predicate was called for.
    examined: Arc<Mutex<Vec<u64>>>,
}

struct Driver {
    real: Broker<Load>,
    naive: NaiveBroker,
    rules: Rules,
    clock: ManualClock,
    observer: Arc<CountingObserver>,
    slots: [Option<Slot>; SLOTS],
    /// Readers whose thread waits.
    away: [Option<Away>; SLOTS],
    tokens: Vec<(Token, naive::Token)>,
}

/// The bytes of one unit of weight: more than all links of a buffer, which the naive broker does not have.
const UNIT: u64 = 1 << 40;

impl Driver {
    fn new(config: &Config) -> Self {
        let clock = ManualClock::new();
        let rules = Rules::new(clock.clone());
        let observer = Arc::new(CountingObserver::default());
        let mut builder = Broker::<Load>::builder()
            .max_batches(config.max_batches)
            .epoch(Epoch::from(1))
            .clock(clock.clone())
            .weigher(|event| event.payload().weight * UNIT);
        if config.observed {
            builder = builder.observer(Arc::clone(&observer));
        }
        if let Some(events) = config.max_events {
            builder = builder.max_events(events);
        }
        if let Some(bytes) = config.max_bytes {
            builder = builder.max_bytes(bytes * UNIT + (UNIT - 1));
        }
        builder = match config.origin {
            Origin::Whole => builder,
            Origin::Above(index) => builder.initial_index(index),
            Origin::After(index, count) => builder.starts_after(translate::token(1, index, count)),
        };
        builder = builder.rising_indexes(config.rising);
        if config.guarded {
            builder = builder.authorizer(rules.clone());
        }
        Self {
            real: builder.build().unwrap(),
            naive: NaiveBroker::new(config.clone(), rules.clone(), clock.clone(), 1),
            rules,
            clock,
            observer,
            slots: [const { None }; SLOTS],
            away: [const { None }; SLOTS],
            tokens: Vec::new(),
        }
    }

    fn index(&self, step: i64) -> u64 {
        self.naive.latest.saturating_add_signed(step)
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Publish { step, events, change } => {
                self.publish(self.index(*step), self.naive.epoch, events, *change);
            }
            Op::PublishIn { back, step, events } => {
                self.publish(self.index(*step), self.naive.epoch.saturating_sub(*back), events, None);
            }
            Op::Burst { batches, events } => self.burst(*batches, events),
            Op::Subscribe { slot, request } => self.subscribe(*slot, request),
            Op::Read { slot, kind: Kind::Thread(way) } => self.send_away(*slot, *way),
            Op::Read { slot, kind } => self.read(*slot, *kind),
            Op::Doorbell { slot } => self.doorbell(*slot),
            Op::Unsubscribe { slot } => self.unsubscribe(*slot),
            Op::Cancel { slot } => {
                self.cancel_away(*slot);
                if let Some(slot) = &self.slots[*slot] {
                    slot.real.handle().cancel();
                    self.naive.cancel(slot.naive);
                }
            }
            Op::DrainAcross { slot, take, batches, events } => self.drain_across(*slot, *take, *batches, events),
            Op::SetRule { principal, rule, announced } => {
                self.rules.set(principal, rule.clone());
                if let Some(change) = announced {
                    self.access_changed(*change);
                }
            }
            Op::AccessChanged { change } => self.access_changed(*change),
            Op::Advance { millis, tick } => {
                self.clock.advance(Duration::from_millis(*millis));
                if *tick {
                    self.real.tick();
                    self.naive.tick();
                }
            }
            Op::Explain { slot, event } => self.explain(*slot, event),
            Op::HasInterest { topic, namespace, key } => {
                let event = EventSpec { topic, kind: "", key, namespace, filter_keys: Vec::new(), weight: 0 };
                assert_eq!(self.real.has_interest(*topic, *namespace, *key), self.naive.has_interest(&event));
            }
            Op::Reset { step, same_epoch } => {
                let epoch = self.naive.epoch + u64::from(!same_epoch);
                let index = self.index(*step);
                self.real.reset(index, Epoch::from(epoch));
                self.naive.reset(index, epoch);
                assert_eq!(self.real.epoch(), Epoch::from(epoch));
            }
            Op::SkipTo { step, count, back } => self.skip_to(self.index(*step), *count, *back),
            Op::Close => {
                self.real.close();
                self.naive.close();
                assert!(self.real.is_closed());
            }
        }
    }

    /// Publishes batches of one event each, these in turn.
    fn burst(&mut self, batches: usize, events: &[EventSpec]) {
        for event in events.iter().cycle().take(batches) {
            self.publish(self.index(1), self.naive.epoch, std::slice::from_ref(event), None);
            // What a thread reads must not depend on the progress of the burst.
            self.take_back();
        }
    }

    fn doorbell(&mut self, slot: usize) {
        if let Some(slot) = &mut self.slots[slot] {
            // The second call returns the same bell, which rings again at once.
            slot.bell = Some(slot.real.doorbell());
            slot.parked = false;
            slot.woken = slot.waker.get();
        }
    }

    fn access_changed(&mut self, change: Change) {
        self.real.access_changed(change.announced());
        self.naive.change(change);
    }

    fn publish(&mut self, index: u64, epoch: u64, events: &[EventSpec], change: Option<Change>) {
        let facts = self.naive.number(events);
        let carries = |place: usize| change.filter(|_| place == 0);
        let batch: Vec<_> =
            facts.iter().enumerate().map(|(place, fact)| fact.spec.event(fact.id, carries(place))).collect();
        let ids: Vec<u64> = facts.iter().map(|fact| fact.id).collect();
        let expected = self.naive.publish(index, epoch, facts, change);
        let published = match epoch {
            // Publishing without an epoch publishes in any.
            current if current == self.naive.epoch && index.is_multiple_of(2) => self.real.publish(index, batch),
            _ => self.real.publish_in(Epoch::from(epoch), index, batch),
        };
        let actual = published.map_err(|error| {
            let back: Vec<u64> = error.events.iter().map(|event| event.payload().id).collect();
            assert_eq!(back, ids, "a refused batch comes back whole");
            translate::unpublished(&error.kind)
        });
        assert_eq!(actual, expected, "publish at {index}");
    }

    fn skip_to(&mut self, index: u64, count: u32, back: u64) {
        let epoch = self.naive.epoch.saturating_sub(back);
        let place = Place { index, count: u64::from(count) };
        let expected = self.naive.skip_to(naive::Token { epoch, place });
        let actual =
            self.real.skip_to(translate::token(epoch, index, count)).map_err(|error| translate::unskipped(&error));
        assert_eq!(actual, expected, "skip to {place:?}");
    }

    fn subscribe(&mut self, slot: usize, spec: &RequestSpec) {
        self.unsubscribe(slot);
        let (start, naive_start) = translate::start(spec.start, &self.naive, &self.tokens);
        let examined = Arc::new(Mutex::new(Vec::new()));
        let expected = self.naive.subscribe(spec.clone(), naive_start);
        let actual = request(spec, start, &examined).and_then(|request| self.real.subscribe(request));
        let (real, (naive, verdict)) = match (actual, expected) {
            (Ok(real), Ok(naive)) => (real, naive),
            (Err(error), Err(refusal)) => return assert_eq!(translate::refusal(&error), refusal, "{error}"),
            (actual, expected) => panic!("subscribe gave {actual:?}, expected {expected:?}"),
        };
        let actual = translate::verdict(real.verdict());
        assert_eq!(actual, verdict, "{naive_start:?}");
        if verdict != naive::Verdict::Whole {
            assert_eq!(real.oldest_is_whole(), self.naive.oldest_is_whole(), "{naive_start:?}");
        }
        let real = Real(Some(real));
        self.slots[slot] =
            Some(Slot { real, naive, waker: Arc::default(), parked: false, woken: 0, bell: None, examined });
        self.note_token(slot);
        if spec.bell {
            self.doorbell(slot);
        }
    }

    fn unsubscribe(&mut self, slot: usize) {
        self.cancel_away(slot);
        if let Some(slot) = self.slots[slot].take() {
            self.naive.unsubscribe(slot.naive);
            let handle = slot.real.handle();
            drop(slot.real);
            // A handle outlives its subscription, and then does nothing.
            handle.cancel();
            let mut examined = slot.examined.lock().unwrap().clone();
            let all = examined.len();
            examined.sort_unstable();
            examined.dedup();
            assert_eq!(examined.len(), all, "a predicate runs once for each event");
        }
    }

    fn explain(&mut self, slot: usize, event: &EventSpec) {
        let Some(slot) = &mut self.slots[slot] else { return };
        let fact = naive::Fact { id: 0, spec: event.clone() };
        let expected = self.naive.decide(&self.naive.readers[slot.naive], &fact);
        let actual = match slot.real.explain(&event.event(0, None)) {
            Explanation::Delivered => Decision::Delivered,
            Explanation::NoTerm => Decision::NoTerm,
            Explanation::OutOfScope => Decision::OutOfScope,
            Explanation::OtherType => Decision::OtherType,
            Explanation::NotGranted => Decision::NotGranted,
            Explanation::NotPermitted => Decision::NotPermitted,
            Explanation::Refused => Decision::Refused,
            other => panic!("unknown explanation {other:?}"),
        };
        assert_eq!(actual, expected);
    }

    /// Keeps the token of a reader, for later starts. It need not be the token of the naive reader, as long as it
    /// neither skips nor repeats anything.
    fn note_token(&mut self, slot: usize) {
        if let Some(slot) = &self.slots[slot] {
            let token: Token = slot.real.token().to_string().parse().unwrap();
            assert_eq!(token, slot.real.token());
            self.naive.check_token(slot.naive, translate::place(token));
            let naive = naive::Token { place: translate::place(token), ..self.naive.readers[slot.naive].token };
            self.tokens.push((token, naive));
            let theirs = slot.real.handle().token();
            self.naive.check_handles_token(slot.naive, translate::place(theirs));
        }
    }

    /// Checks after every step which readers were woken, and the counters.
    fn settle(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            let count = slot.waker.get();
            let expected = usize::from(slot.parked && self.naive.woken.contains(&slot.naive));
            let request = &self.naive.readers[slot.naive].request;
            assert_eq!(count - slot.woken, expected, "wake-ups of a reader, parked: {}, of {request:?}", slot.parked);
            slot.woken = count;
            slot.parked &= expected == 0;
            if slot.parked {
                // G10: a pending reader has nothing to read. The passing of time alone wakes no reader.
                let peeked = self.naive.peek(slot.naive);
                let asleep = matches!(peeked, Outcome::Empty | Outcome::End(End::Expired));
                assert!(asleep, "a task sleeps through {peeked:?}");
            }
            let request = &self.naive.readers[slot.naive].request;
            let rings = slot.bell.as_ref().is_none_or(|bell| !bell.is_empty());
            let ended = self.naive.readers[slot.naive].ended.is_some();
            assert!(rings || ended || !self.naive.woken.contains(&slot.naive), "no ring for {request:?}");

            let stats = slot.real.stats();
            let reader = &self.naive.readers[slot.naive];
            assert_eq!((stats.batches, stats.events, stats.missed), (reader.batches, reader.events, reader.missed));
            if reader.ended.is_none() && !reader.reset {
                let lags = self.naive.lag(slot.naive);
                assert!(lags.contains(&stats.lag), "{} of {lags:?} at {reader:?}", stats.lag);
            }
        }
        self.naive.woken.clear();
        let stats = self.real.stats();
        let totals = translate::totals(&stats, UNIT);
        assert_eq!(totals, self.naive.totals());
        assert_eq!(self.real.latest_index(), self.naive.latest);
        if self.naive.config.observed {
            assert_eq!(self.observer.observed(), self.naive.observed);
        }
    }

    /// All readers read to the end, and every token seen is resumed from.
    fn finish(mut self) {
        for slot in 0..SLOTS {
            self.cancel_away(slot);
        }
        self.settle();
        for slot in 0..SLOTS {
            self.read(slot, Kind::TryAll);
            self.settle();
        }
        for back in 0..u8::try_from(self.tokens.len().min(24)).unwrap_or(24) {
            let request = RequestSpec {
                start: StartSpec::After(back),
                terms: Vec::new(),
                filler: 0,
                namespaces: vec!["*"],
                types: Vec::new(),
                refuses: None,
                principal: "resumer",
                continues: true,
                bell: false,
            };
            self.subscribe(0, &request);
            self.read(0, Kind::TryAll);
            self.tokens.pop();
            self.tokens.pop();
            self.settle();
        }
        for slot in 0..SLOTS {
            self.unsubscribe(slot);
        }
        assert_eq!(self.real.stats().subscriptions, 0);
        assert_eq!(self.real.stats().terms, 0, "terms without a subscription are gone");
    }
}

/// A request as the real broker takes it.
fn request(spec: &RequestSpec, start: Start, examined: &Arc<Mutex<Vec<u64>>>) -> Result<Request<Load>, SubscribeError> {
    let request = translate::request::<Load>(spec, start)?;
    if let Some(rest) = spec.refuses {
        let examined = Arc::clone(examined);
        return Ok(request.filter(move |event| {
            if event.payload().id > 0 {
                examined.lock().unwrap().push(event.payload().id);
            }
            event.payload().id % 3 != rest
        }));
    }
    Ok(request)
}
