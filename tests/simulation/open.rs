//! How a run begins, and how readers are opened on the broker and on the naive one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use event_broker::{Broker, Dispatcher, Epoch, Request, Start, SubscribeError};

use crate::actor::Actor;
use crate::host::{Door, PatientClock, Payload, Planned, UNIT, Watcher, planned};
use crate::run::Sabotage;
use crate::script::Way;
use crate::support::hooks::{ManualClock, Rules};
use crate::support::naive::{self, Place};
use crate::support::op::{Config, Origin, RequestSpec};
use crate::support::reader::Cursor;
use crate::support::translate;
use crate::trail::Trail;
use crate::world::{World, fail};

/// The host of a run: what the broker is built from, and a dispatcher of it.
pub struct Host {
    pub broker: Broker<Payload>,
    pub dispatcher: Dispatcher<Payload>,
    pub rules: Rules,
    pub time: ManualClock,
    pub clock: PatientClock,
    pub watcher: Arc<Watcher>,
}

impl Host {
    pub fn new(config: &Config) -> Self {
        let time = ManualClock::new();
        let (clock, rules) = (PatientClock::new(time.clone()), Rules::new(time.clone()));
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
            builder = builder.max_bytes(bytes * UNIT + (UNIT - 1)).weigher(|event| Payload::weigh(event) * UNIT);
        }
        builder = match config.origin {
            Origin::Whole => builder,
            Origin::Above(index) => builder.initial_index(index),
            Origin::After(index, count) => builder.starts_after(translate::token(1, index, count)),
        };
        if config.guarded {
            builder = builder.authorizer(Door(rules.clone()));
        }
        if config.observed {
            builder = builder.observer(Arc::clone(&watcher));
        }
        let broker = builder.build().unwrap();
        Self { dispatcher: broker.dispatcher(), broker, rules, time, clock, watcher }
    }
}

impl World<'_> {
    pub fn subscribe(&mut self, slot: usize, way: Way, spec: &RequestSpec) {
        self.drop_reader(slot);
        let (start, naive_start) = translate::start(spec.start, &self.naive, &self.tokens);
        if let Some(actor) = self.open(slot, way, spec, start, naive_start) {
            self.slots[slot] = Some(actor);
            self.note_token(slot);
        }
    }

    /// Opens a reader, as the naive broker does.
    pub fn open(
        &mut self,
        slot: usize,
        way: Way,
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
            (Err(error), Err(refusal)) if translate::refusal(&error) == refusal => {
                self.note(format!("refused: {refusal:?}"));
                return None;
            }
            (actual, expected) => fail!("subscribe", "{naive_start:?} gave {actual:?}, expected {expected:?}"),
        };
        let actual = translate::verdict(reads.verdict());
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
        match self.naive.readers[naive].cursor {
            Cursor::At(at) => trail.begin((at - here, at - here), Place::before(0)),
            Cursor::Elastic(end) => trail.begin((self.naive.oldest - here, end - here), Place::before(0)),
            Cursor::Waiting(from) => trail.begin((self.published_here(), self.published_here()), from),
        }
        let mut actor = Actor::new(way, spec.clone(), reads, naive, fuse, trail);
        actor.settle_in(&self.timers);
        if self.sabotage == Sabotage::LostWakes {
            actor.flag.deafen();
        }
        Some(actor)
    }
}

/// A request as the broker takes it.
fn request(spec: &RequestSpec, start: Start, fuse: &Arc<AtomicU32>) -> Result<Request<Payload>, SubscribeError> {
    let request = translate::request::<Payload>(spec, start)?;
    if let Some(rest) = spec.refuses {
        let fuse = Arc::clone(fuse);
        return Ok(request.filter(move |event| {
            let left = fuse.load(Ordering::Relaxed);
            if left > 0 {
                fuse.store(left - 1, Ordering::Relaxed);
                std::panic::panic_any(Planned);
            }
            event.payload().id % 3 != rest
        }));
    }
    Ok(request)
}
