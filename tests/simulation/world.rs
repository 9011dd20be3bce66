//! A run: the broker, its host, its readers, and the naive broker beside them, which take one step after another.
//! How readers read is in `turns`; what comes of a run is in `run`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use event_broker::{
    Batch, BatchBuilder, Broker, DispatchGuard, Dispatcher, Epoch, Event, LagPolicy, Principal, PublishError,
    PublishErrorKind, Request, SkipError, Start, SubscribeError, Term, Token, Verdict,
};

use crate::actor::Actor;
use crate::host::{Door, Faults, PatientClock, Payload, Timers, Watcher, planned};
use crate::run::Sabotage;
use crate::script::{Dispatch, Fault, PENS, SLOTS, Step};
use crate::support::history::Published;
use crate::support::hooks::{Hands, Rules};
use crate::support::naive::{self, Fact, NaiveBroker, Place, Refusal, Unpublished, Unskipped};
use crate::support::op::{Change, Config, EventSpec, Origin, RequestSpec, StartSpec};
use crate::support::reader::{End, Outcome, Stand};
use crate::trail::{Past, Trail};

/// Panics with a failure of this kind, which shrinking keeps.
macro_rules! fail {
    ($kind:literal, $($details:tt)*) => {
        panic!("{}: {}", $kind, format_args!($($details)*))
    };
}
pub(crate) use fail;

/// The host of a run: what the broker is built from, and a dispatcher of it.
pub struct Host {
    pub broker: Broker<Payload>,
    pub dispatcher: Dispatcher<Payload>,
    pub rules: Rules,
    hands: Hands,
    clock: PatientClock,
    watcher: Arc<Watcher>,
}

impl Host {
    pub fn new(config: &Config) -> Self {
        let hands = Hands::new();
        let (clock, rules) = (PatientClock::new(hands.clone()), Rules::new(hands.clone()));
        let watcher = Arc::new(Watcher::default());
        let mut builder = Broker::<Payload>::builder()
            .max_batches(config.max_batches)
            .epoch(Epoch::from(1))
            .clock(clock.clone())
            .rising_indexes(config.rising);
        if let Some(events) = config.max_events {
            builder = builder.max_events(events);
        }
        if let Some(bytes) = config.max_bytes {
            builder = builder.max_bytes(bytes).weigher(Payload::weigh);
        }
        builder = match config.origin {
            Origin::Whole => builder,
            Origin::Above(index) => builder.initial_index(index),
            Origin::After(index, count) => builder.starts_after(token(1, index, count)),
        };
        if config.guarded {
            builder = builder.authorizer(Door(rules.clone()));
        }
        if config.observed {
            builder = builder.observer(Arc::clone(&watcher));
        }
        let broker = builder.build().unwrap();
        Self { dispatcher: broker.dispatcher(), broker, rules, hands, clock, watcher }
    }
}

/// A token as text has it.
fn token(epoch: u64, index: u64, count: u32) -> Token {
    format!("{epoch:016x}-{index}-{count}").parse().unwrap()
}

/// Where a token stands within its epoch.
pub fn place(token: Token) -> Place {
    let text = token.to_string();
    let mut parts = text.split('-').skip(1).map(|part| part.parse().unwrap());
    Place { index: parts.next().unwrap(), count: parts.next().unwrap() }
}

/// A batch that is collected.
type Pen = (BatchBuilder<Payload>, Vec<Fact>);

pub struct World<'h> {
    pub host: &'h Host,
    pub naive: NaiveBroker,
    guard: Option<DispatchGuard<'h, Payload>>,
    /// Whether readers may have been handed to the dispatcher and not been woken yet.
    queued: bool,
    pub timers: Timers,
    pub slots: [Option<Actor>; SLOTS],
    pens: [Option<Pen>; PENS],
    pub tokens: Vec<(Token, naive::Token)>,
    pub log: String,
    /// The number of the step.
    pub now: usize,
    /// The position that each epoch begins at.
    pub epochs: Vec<usize>,
    pub past: Past,
    trails: Vec<Trail>,
    opened: usize,
    sabotage: Sabotage,
    /// Failed publishes that an observer was not told of are none.
    published: u64,
}

impl<'h> World<'h> {
    pub fn new(host: &'h Host, config: &Config, sabotage: Sabotage) -> Self {
        let naive = NaiveBroker::new(config.clone(), host.rules.clone(), host.hands.clone(), 1);
        let mut past = Past::new(config.guarded);
        // Who has no rule yet has one whose grants run out.
        past.note_rule(0, "bob", host.rules.of("bob"));
        Self {
            host,
            naive,
            guard: None,
            queued: false,
            timers: Timers::new(host.hands.clone()),
            slots: [const { None }; SLOTS],
            pens: [const { None }; PENS],
            tokens: Vec::new(),
            log: String::new(),
            now: 0,
            epochs: vec![0],
            past,
            trails: Vec::new(),
            opened: 0,
            sabotage,
            published: 0,
        }
    }

    pub fn millis(&self) -> u64 {
        self.host.hands.millis()
    }

    /// Lets a read wait anew.
    pub fn begin_turn(&self) {
        self.host.clock.begin_step();
    }

    pub fn guarded(&self) -> bool {
        self.naive.config.guarded
    }

    /// How many batches this epoch has had.
    pub fn published_here(&self) -> usize {
        self.naive.log.len() - self.epochs.last().unwrap()
    }

    pub fn note(&mut self, what: impl AsRef<str>) {
        writeln!(self.log, "  {}", what.as_ref()).unwrap();
    }

    fn index(&self, step: i64) -> u64 {
        self.naive.latest.saturating_add_signed(step)
    }

    pub fn take(&mut self, step: &Step) {
        self.now += 1;
        self.begin_turn();
        writeln!(self.log, "{step}").unwrap();
        match step {
            Step::Publish { step, back, events, change, bomb } => {
                let (index, epoch) = (self.index(*step), self.naive.epoch.saturating_sub(*back));
                self.publish(index, epoch, events, *change, *bomb);
            }
            Step::Burst { batches, event } => self.burst(*batches, event),
            Step::Large { events, event } => {
                let events = vec![event.clone(); *events];
                self.publish(self.index(1), self.naive.epoch, &events, None, false);
            }
            Step::Collect { pen, events } => {
                let facts = self.naive.number(events);
                let mut batch = Batch::builder();
                batch.extend(facts.iter().map(|fact| Payload::event(fact, None)));
                self.pens[*pen] = Some((batch, facts));
            }
            Step::Commit { pen, step } => {
                if let Some((batch, facts)) = self.pens[*pen].take() {
                    self.publish_batch(self.index(*step), self.naive.epoch, batch.into(), facts, None, false);
                }
            }
            Step::Abandon { pen } => self.pens[*pen] = None,
            Step::Subscribe { slot, way, request } => self.subscribe(*slot, *way, request),
            Step::Resume { slot, way } => self.resume(*slot, *way),
            Step::Run { slot, turns } => {
                for _ in 0..*turns {
                    if !self.turn(*slot, false) {
                        break;
                    }
                }
            }
            Step::Poke { slot } => {
                self.turn(*slot, true);
            }
            Step::Forget { slot } => {
                if let Some(actor) = &mut self.slots[*slot] {
                    actor.forget();
                }
            }
            Step::Drop { slot } => self.drop_reader(*slot),
            Step::Cancel { slot } => {
                if let Some(actor) = &self.slots[*slot] {
                    planned(|| actor.handle.cancel());
                    self.naive.cancel(actor.naive);
                }
            }
            Step::Across { slot, take, batches, event } => self.drain_across(*slot, *take, *batches, event),
            Step::Rule { principal, rule, announced } => {
                self.host.rules.set(principal, rule.clone());
                self.past.note_rule(self.now, principal, rule.clone());
                if let Some(change) = announced {
                    self.access_changed(*change);
                }
            }
            Step::Change { change } => self.access_changed(*change),
            Step::Advance { millis } => {
                self.host.hands.advance(*millis);
                self.timers.fire();
            }
            Step::Tick => self.tick(),
            Step::Reset { step, bomb } => {
                let (index, epoch) = (self.index(*step), self.naive.epoch + 1);
                self.bombed(*bomb, |world| world.host.broker.reset(index, Epoch::from(epoch)));
                self.naive.reset(index, epoch);
                self.epochs.push(self.naive.log.len());
                self.past.published.push(Vec::new());
            }
            Step::Skip { step, count, bomb } => self.skip_to(self.index(*step), *count, *bomb),
            Step::Dispatch { what, bomb } => self.dispatch(*what, *bomb),
            Step::Arm { fault, times } => self.arm(*fault, *times),
            Step::Heal => self.heal(),
            Step::Close => {
                self.host.broker.close();
                self.naive.close();
            }
        }
        self.settle(matches!(step, Step::Tick | Step::Heal));
    }

    /// Runs something with the drop of the next payload panicking, if that is planned. `None` if it did.
    fn bombed<R>(&mut self, bomb: bool, run: impl FnOnce(&Self) -> R) -> Option<R> {
        Faults::with(|faults| faults.drops.set(u32::from(bomb)));
        let result = planned(|| run(self));
        Faults::with(|faults| faults.drops.set(0));
        if result.is_none() {
            self.note("a payload panicked in its drop");
        }
        result
    }

    fn burst(&mut self, batches: usize, event: &EventSpec) {
        for _ in 0..batches {
            self.publish(self.index(1), self.naive.epoch, std::slice::from_ref(event), None, false);
        }
    }

    fn publish(&mut self, index: u64, epoch: u64, events: &[EventSpec], change: Option<Change>, bomb: bool) {
        let facts = self.naive.number(events);
        let carries = |at: usize| change.filter(|_| at == 0);
        let batch = facts.iter().enumerate().map(|(at, fact)| Payload::event(fact, carries(at))).collect();
        self.publish_batch(index, epoch, batch, facts, change.filter(|_| !events.is_empty()), bomb);
    }

    pub fn publish_batch(
        &mut self,
        index: u64,
        epoch: u64,
        batch: Vec<Event<Payload>>,
        facts: Vec<Fact>,
        change: Option<Change>,
        bomb: bool,
    ) {
        // The validators find the place of a loss by two batches of an index at most.
        let here = &self.naive.log[*self.epochs.last().unwrap()..];
        let is_third = here.len() >= 2 && here[here.len() - 2..].iter().all(|batch| batch.place.index == index);
        let index = index + u64::from(is_third);
        let armed = |faults: &Faults| (faults.changes.get(), faults.weigher.get());
        let before = Faults::with(armed);
        let published = self.bombed(bomb, |world| match epoch {
            // Whoever names no epoch publishes in any.
            current if current == world.naive.epoch && index.is_multiple_of(2) => {
                world.host.broker.publish(index, batch)
            }
            _ => world.host.broker.publish_in(Epoch::from(epoch), index, batch),
        });
        if published.is_none() && Faults::with(armed) != before {
            return self.note("publishing panicked, and nothing was published");
        }
        let (empty, wanted) = (facts.is_empty(), change);
        let expected = self.naive.publish(index, epoch, facts, change);
        let actual = published.unwrap_or(Ok(())).map_err(|error| refused(&error));
        if actual != expected {
            fail!("publish", "at {index} in {epoch} gave {actual:?}, expected {expected:?}");
        }
        self.note(format!("at {index}: {actual:?}"));
        if actual.is_ok() {
            self.published += 1;
            if !empty {
                self.past.published.last_mut().unwrap().push(self.now);
            }
            if let Some(change) = wanted {
                self.past.note_change(self.now, change);
            }
            self.queued |= self.guard.is_some();
        }
        self.take_all_inline();
    }

    fn access_changed(&mut self, change: Change) {
        self.host.broker.access_changed(change.announced());
        self.naive.change(change);
        self.past.note_change(self.now, change);
    }

    fn tick(&mut self) {
        self.host.broker.tick();
        self.naive.tick();
    }

    fn skip_to(&mut self, index: u64, count: u32, bomb: bool) {
        let (epoch, place) = (self.naive.epoch, Place { index, count: u64::from(count) });
        let skipped = self.bombed(bomb, |world| world.host.broker.skip_to(token(epoch, index, count)));
        let expected = self.naive.skip_to(naive::Token { epoch, place });
        let actual = skipped.unwrap_or(Ok(())).map_err(|error| match error {
            SkipError::OtherEpoch { .. } => Unskipped::OtherEpoch,
            SkipError::Behind { .. } => Unskipped::Behind,
            SkipError::Closed => Unskipped::Closed,
            other => fail!("skip", "unknown refusal {other:?}"),
        });
        if actual != expected {
            fail!("skip", "to {place:?} gave {actual:?}, expected {expected:?}");
        }
        self.note(format!("{actual:?}"));
    }

    fn dispatch(&mut self, what: Dispatch, bomb: bool) {
        match what {
            Dispatch::Start => {
                if self.guard.is_none() {
                    self.guard = Some(self.host.dispatcher.start());
                }
            }
            Dispatch::Step => {
                let guard = self.guard.take();
                if let Some(guard) = &guard {
                    let woken = self.bombed(bomb, |_| guard.wake_queued());
                    self.note(format!("woken: {woken:?}"));
                    self.queued = false;
                }
                self.guard = guard;
            }
            Dispatch::End => {
                let guard = self.guard.take();
                self.bombed(bomb, |_| drop(guard));
                self.queued = false;
            }
        }
    }

    fn arm(&mut self, fault: Fault, times: u32) {
        match fault {
            Fault::Predicate { slot } => {
                if let Some(actor) = &self.slots[slot] {
                    actor.fuse.store(times, Ordering::Relaxed);
                }
            }
            Fault::Waker { slot } => {
                if let Some(actor) = &self.slots[slot] {
                    actor.flag.arm(times);
                }
            }
            other => Faults::with(|faults| {
                let hook = match other {
                    Fault::Authorize => &faults.authorize,
                    Fault::Permits => &faults.permits,
                    Fault::Changes => &faults.changes,
                    Fault::Weigher => &faults.weigher,
                    _ => &faults.observer,
                };
                hook.set(times);
            }),
        }
    }

    fn subscribe(&mut self, slot: usize, way: crate::script::Way, spec: &RequestSpec) {
        self.drop_reader(slot);
        let (start, naive_start) = self.start(spec.start);
        if let Some(actor) = self.open(slot, way, spec, start, naive_start) {
            self.slots[slot] = Some(actor);
            self.note_token(slot);
        }
    }

    /// Opens a reader, as the naive broker does.
    pub fn open(
        &mut self,
        slot: usize,
        way: crate::script::Way,
        spec: &RequestSpec,
        start: Start,
        naive_start: naive::Start,
    ) -> Option<Actor> {
        let fuse = Arc::new(AtomicU32::new(0));
        let broker = &self.host.broker;
        let opened = planned(|| request(spec, start, &fuse).and_then(|request| broker.subscribe(request)));
        let Some(opened) = opened else {
            self.note("the authorizer panicked");
            return None;
        };
        let expected = self.naive.subscribe(spec.clone(), naive_start);
        let (reads, (naive, verdict)) = match (opened, expected) {
            (Ok(reads), Ok(naive)) => (reads, naive),
            (Err(error), Err(refusal)) if unopened(&error) == refusal => {
                self.note(format!("refused: {refusal:?}"));
                return None;
            }
            (actual, expected) => fail!("subscribe", "{naive_start:?} gave {actual:?}, expected {expected:?}"),
        };
        let actual = match reads.verdict() {
            Verdict::Whole => naive::Verdict::Whole,
            Verdict::Lost { oldest } => naive::Verdict::Lost { oldest },
            Verdict::Future { latest } => naive::Verdict::Future { latest },
            Verdict::OtherEpoch { oldest } => naive::Verdict::OtherEpoch { oldest },
            other => fail!("verdict", "unknown: {other:?}"),
        };
        if actual != verdict
            || reads.oldest_is_whole() != (verdict == naive::Verdict::Whole || self.naive.oldest_is_whole())
        {
            fail!("verdict", "{naive_start:?} gave {actual:?}, expected {verdict:?}");
        }
        self.note(format!("reader {}: {verdict:?}", self.opened));
        let name = format!("reader {} in slot {slot} by {way}", self.opened);
        self.opened += 1;
        let mut trail = Trail::new(name, self.epochs.len() - 1, spec.clone(), self.now);
        let here = *self.epochs.last().unwrap();
        match self.naive.readers[naive].stand {
            Stand::At(at) => trail.begin((at - here, at - here), Place::before(0)),
            Stand::Elastic(end) => trail.begin((self.naive.oldest - here, end - here), Place::before(0)),
            Stand::Waiting(from) => trail.begin((self.published_here(), self.published_here()), from),
        }
        let mut actor = Actor::new(way, spec.clone(), reads, naive, fuse, trail);
        actor.settle_in(&self.timers);
        if self.sabotage == Sabotage::LostWakes {
            actor.flag.deafen();
        }
        Some(actor)
    }

    fn start(&self, start: StartSpec) -> (Start, naive::Start) {
        match start {
            StartSpec::Oldest => (Start::Oldest, naive::Start::Oldest),
            StartSpec::Latest => (Start::Latest, naive::Start::Latest),
            StartSpec::Index(step) => (Start::Index(self.index(step)), naive::Start::Index(self.index(step))),
            StartSpec::NearOldest(step) => {
                let index = self.naive.oldest_index().unwrap_or(0).saturating_add_signed(step);
                (Start::Index(index), naive::Start::Index(index))
            }
            StartSpec::Exactly(step) => (Start::Exactly(self.index(step)), naive::Start::Exactly(self.index(step))),
            StartSpec::After(back) => {
                let place = self.tokens.len().saturating_sub(1 + usize::from(back));
                match self.tokens.get(place) {
                    Some((real, naive)) => (Start::After(*real), naive::Start::After(*naive)),
                    None => (Start::Oldest, naive::Start::Oldest),
                }
            }
        }
    }

    /// Keeps where a reader stands, for later starts.
    pub fn note_token(&mut self, slot: usize) {
        let Some(actor) = &self.slots[slot] else { return };
        let token = actor.token();
        let (Ok(at) | Err(at)) = token;
        if actor.exact {
            if token.is_ok() {
                self.naive.check_token(actor.naive, place(at));
            } else {
                self.naive.check_handles_token(actor.naive, place(at));
            }
        }
        self.keep_token(at);
    }

    pub fn keep_token(&mut self, token: Token) {
        let naive = naive::Token { epoch: token.epoch().get(), place: place(token) };
        if self.tokens.last() != Some(&(token, naive)) {
            self.tokens.push((token, naive));
        }
    }

    pub fn drop_reader(&mut self, slot: usize) {
        if let Some(actor) = self.slots[slot].take() {
            self.naive.unsubscribe(actor.naive);
            let mut trail = actor.trail.clone();
            drop(actor.into_reads());
            if self.sabotage == Sabotage::LostDeliveries {
                trail.lose_a_delivery();
            }
            self.trails.push(trail);
        }
    }

    /// A part of a trail that is over, though its reader goes on.
    pub fn keep_trail(&mut self, trail: Trail) {
        self.trails.push(trail);
    }

    /// What must hold after every step: nobody sleeps through anything, and the numbers are those of the naive broker.
    fn settle(&mut self, ticked: bool) {
        self.take_all_inline();
        for slot in 0..SLOTS {
            let Some(actor) = &self.slots[slot] else { continue };
            if !actor.exact || actor.ended || self.queued || !actor.is_asleep() {
                continue;
            }
            let (number, by_timer) =
                (actor.naive, actor.reads_frames() && actor.way == crate::script::Way::FrameStream);
            let overdue = by_timer && actor.due.is_some_and(|due| due <= self.millis());
            let outcome = self.naive.peek(number);
            let asleep = match &outcome {
                Outcome::Empty => !overdue,
                // That time passes wakes those alone who have a timer, unless the host says so.
                Outcome::End(End::Expired) => !ticked && !by_timer,
                _ => false,
            };
            if !asleep {
                let reader = &self.slots[slot].as_ref().unwrap().trail.name;
                fail!(
                    "lost wake-up",
                    "{reader} sleeps through {outcome:?} of {:?}",
                    self.naive.readers[number].request
                );
            }
        }
        self.naive.woken.clear();
        let (stats, totals) = (self.host.broker.stats(), self.naive.totals());
        let actual = naive::Totals {
            published_batches: stats.published_batches,
            published_events: stats.published_events,
            evicted_batches: stats.evicted_batches,
            buffered_batches: stats.buffered_batches,
            buffered_events: stats.buffered_events,
            buffered_bytes: stats.buffered_bytes,
            oldest_index: stats.oldest_index,
            latest_index: stats.latest_index,
            subscriptions: stats.subscriptions,
        };
        if actual != totals {
            fail!("numbers", "{actual:?}, expected {totals:?}");
        }
        let observed = self.host.watcher.published.load(Ordering::Relaxed);
        if self.naive.config.observed && observed != self.published {
            fail!("observer", "was told of {observed} batches of {}", self.published);
        }
    }

    /// Takes all faults away, and lets everybody run who can, until nobody can.
    fn heal(&mut self) {
        Faults::heal();
        for actor in self.slots.iter().flatten() {
            actor.fuse.store(0, Ordering::Relaxed);
            actor.flag.arm(0);
        }
        self.dispatch(Dispatch::Step, false);
        self.tick();
        // A turn reads a batch at least, or examines a thousand events in vain.
        let most = 100 + 4 * self.naive.reach().len();
        for _ in 0..most {
            let ran = (0..SLOTS).filter(|slot| self.turn(*slot, false)).count();
            if ran == 0 {
                return self.all_has_been_read();
            }
        }
        let running: Vec<_> =
            self.slots.iter().flatten().filter(|actor| !actor.ended).map(|actor| &actor.trail.name).collect();
        fail!("no progress", "after {most} turns some of {running:?} still run");
    }

    /// Whoever sleeps has nothing to read. What the naive broker does not know exactly is asked of the reader itself.
    fn all_has_been_read(&mut self) {
        for slot in 0..SLOTS {
            let Some(actor) = self.slots[slot].as_ref().filter(|actor| !actor.exact && actor.is_asleep()) else {
                continue;
            };
            let (name, before) = (actor.trail.name.clone(), actor.trail.deliveries());
            self.turn(slot, true);
            if self.slots[slot].as_ref().is_some_and(|actor| actor.ended || actor.trail.deliveries() > before) {
                fail!("lost wake-up", "{name} sleeps through something");
            }
        }
    }

    /// The end of every run: progress, then the end of the broker, of which everybody is told.
    pub fn finish(&mut self) {
        self.take(&Step::Heal);
        self.take(&Step::Close);
        self.take(&Step::Heal);
        for slot in 0..SLOTS {
            if let Some(actor) = self.slots[slot].as_ref().filter(|actor| !actor.ended) {
                fail!("no end", "{} was not told that the broker is closed", actor.trail.name);
            }
            self.drop_reader(slot);
        }
        self.take(&Step::Dispatch { what: Dispatch::End, bomb: false });
        let stats = self.host.broker.stats();
        if (stats.subscriptions, stats.terms) != (0, 0) {
            fail!("numbers", "everybody has left: {stats:?}");
        }
        self.validate();
    }

    fn validate(&self) {
        let ends = self.epochs.iter().skip(1).copied().chain([self.naive.log.len()]);
        let batches: Vec<_> = self.epochs.iter().zip(ends).map(|(from, to)| &self.naive.log[*from..to]).collect();
        let ids = |facts: &[Fact]| facts.iter().map(|fact| fact.id).collect();
        let published = |batches: &&[naive::Batch]| {
            Published::new(batches.iter().map(|batch| (batch.place.index, ids(&batch.facts))).collect())
        };
        let epochs: Vec<_> = batches.iter().map(published).collect();
        for trail in &self.trails {
            trail.check(&self.past, &epochs, &batches);
        }
    }
}

/// A request as the broker takes it.
fn request(spec: &RequestSpec, start: Start, fuse: &Arc<AtomicU32>) -> Result<Request<Payload>, SubscribeError> {
    let mut request = Request::<Payload>::new()
        .start(start)
        .namespaces(spec.namespaces.iter().copied())
        .principal(Principal::new(spec.principal))
        .lag_policy(if spec.goes_on { LagPolicy::Continue } else { LagPolicy::Close });
    for (topic, key) in &spec.terms {
        request = request.term(Term::new(*topic, *key)?);
    }
    for number in 0..spec.filler {
        request = request.term(Term::new("A", format!("nobody's {number}"))?);
    }
    for kind in &spec.types {
        request = request.event_type(*kind);
    }
    if let Some(rest) = spec.refuses {
        let fuse = Arc::clone(fuse);
        request = request.filter(move |event| {
            let left = fuse.load(Ordering::Relaxed);
            if left > 0 {
                fuse.store(left - 1, Ordering::Relaxed);
                std::panic::panic_any(crate::host::Planned);
            }
            event.payload().id % 3 != rest
        });
    }
    Ok(request)
}

fn refused(error: &PublishError<Payload>) -> Unpublished {
    match error.kind {
        PublishErrorKind::Falling { index, latest } => Unpublished::Falling { index, latest },
        PublishErrorKind::Past { index, initial } => Unpublished::Past { index, initial },
        PublishErrorKind::Repeated { index } => Unpublished::Repeated { index },
        PublishErrorKind::OtherEpoch { epoch, current } => {
            Unpublished::OtherEpoch { epoch: epoch.get(), current: current.get() }
        }
        PublishErrorKind::Closed => Unpublished::Closed,
        other => fail!("publish", "unknown refusal {other:?}"),
    }
}

fn unopened(error: &SubscribeError) -> Refusal {
    match error {
        SubscribeError::Invalid(_) => Refusal::Invalid,
        SubscribeError::Denied(_) => Refusal::Denied,
        SubscribeError::Closed => Refusal::Closed,
        SubscribeError::Lost { index, oldest } => Refusal::Lost { index: *index, oldest: *oldest },
        SubscribeError::Absent { index, next } => Refusal::Absent { index: *index, next: *next },
        SubscribeError::Future { index, latest } => Refusal::Future { index: *index, latest: *latest },
        other => fail!("subscribe", "unknown refusal {other:?}"),
    }
}
