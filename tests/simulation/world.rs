//! A run: the broker, its host, its readers, and the naive broker, which take one step after another.
//!
//! `turns` holds how readers read.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use event_broker::{Batch, BatchBuilder, DispatchGuard, Epoch, Event, Token};

use crate::actor::Actor;
use crate::host::{Faults, Payload, Timers, planned};
use crate::open::Host;
use crate::run::Sabotage;
use crate::script::{Dispatch, Fault, PENS, SLOTS, Step};
use crate::support::naive::{self, Fact, NaiveBroker, Place};
use crate::support::op::{Change, Config, EventSpec};
use crate::support::translate;
use crate::trail::{Past, Trail};

/// Panics with a failure of this kind, which shrinking keeps.
macro_rules! fail {
    ($kind:literal, $($details:tt)*) => {
        panic!("{}: {}", $kind, format_args!($($details)*))
    };
}
pub(crate) use fail;

/// A batch that is being built.
type Pen = (BatchBuilder<Payload>, Vec<Fact>);

pub struct World<'h> {
    pub host: &'h Host,
    pub naive: NaiveBroker,
    pub guard: Option<DispatchGuard<'h, Payload>>,
    /// Whether readers may be queued for the dispatcher and not woken yet.
    pub queued: bool,
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
    pub trails: Vec<Trail>,
    pub opened: usize,
    pub sabotage: Sabotage,
    /// The number of published batches, those without events included.
    pub published: u64,
}

impl<'h> World<'h> {
    pub fn new(host: &'h Host, config: &Config, sabotage: Sabotage) -> Self {
        let naive = NaiveBroker::new(config.clone(), host.rules.clone(), host.time.clone(), 1);
        let mut past = Past::new(config.guarded);
        // A principal without a rule has one whose grants expire.
        past.note_rule(0, "bob", host.rules.of("bob"));
        Self {
            host,
            naive,
            guard: None,
            queued: false,
            timers: Timers::new(host.time.clone()),
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
        self.host.time.millis()
    }

    /// Resets the limit of a waiting read.
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

    pub fn index(&self, step: i64) -> u64 {
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
                self.host.time.advance(Duration::from_millis(*millis));
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

    /// Runs an operation during which the drop of the next payload panics, if that is planned. `None` if it did.
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
            // Publishing without an epoch publishes in any.
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
        let actual = published.unwrap_or(Ok(())).map_err(|error| translate::unpublished(&error.kind));
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

    pub fn tick(&mut self) {
        self.host.broker.tick();
        self.naive.tick();
    }

    fn skip_to(&mut self, index: u64, count: u32, bomb: bool) {
        let (epoch, place) = (self.naive.epoch, Place { index, count: u64::from(count) });
        let skipped = self.bombed(bomb, |world| world.host.broker.skip_to(translate::token(epoch, index, count)));
        let expected = self.naive.skip_to(naive::Token { epoch, place });
        let actual = skipped.unwrap_or(Ok(())).map_err(|error| translate::unskipped(&error));
        if actual != expected {
            fail!("skip", "to {place:?} gave {actual:?}, expected {expected:?}");
        }
        self.note(format!("{actual:?}"));
    }

    pub fn dispatch(&mut self, what: Dispatch, bomb: bool) {
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

    /// Keeps the token of a reader, for later starts.
    pub fn note_token(&mut self, slot: usize) {
        let Some(actor) = &self.slots[slot] else { return };
        let token = actor.token();
        let (Ok(at) | Err(at)) = token;
        if actor.exact {
            if token.is_ok() {
                self.naive.check_token(actor.naive, translate::place(at));
            } else {
                self.naive.check_handles_token(actor.naive, translate::place(at));
            }
        }
        self.keep_token(at);
    }

    pub fn keep_token(&mut self, token: Token) {
        let naive = naive::Token { epoch: token.epoch().get(), place: translate::place(token) };
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

    /// Keeps a completed part of a trail, though its reader continues.
    pub fn keep_trail(&mut self, trail: Trail) {
        self.trails.push(trail);
    }
}
