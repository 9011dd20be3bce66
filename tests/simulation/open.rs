//! What a run begins with, and how readers are opened in it, on the broker and on the naive one.
//! How they read is in `turns`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use event_broker::{
    Broker, Dispatcher, Epoch, LagPolicy, Principal, Request, Start, SubscribeError, Term, Token, Verdict,
};

use crate::actor::Actor;
use crate::host::{Door, PatientClock, Payload, Planned, UNIT, Watcher, planned};
use crate::run::Sabotage;
use crate::script::Way;
use crate::support::hooks::{Hands, Rules};
use crate::support::naive::{self, Place, Refusal};
use crate::support::op::{Config, Origin, RequestSpec, StartSpec};
use crate::support::reader::Stand;
use crate::trail::Trail;
use crate::world::{World, fail};

/// The host of a run: what the broker is built from, and a dispatcher of it.
pub struct Host {
    pub broker: Broker<Payload>,
    pub dispatcher: Dispatcher<Payload>,
    pub rules: Rules,
    pub hands: Hands,
    pub clock: PatientClock,
    pub watcher: Arc<Watcher>,
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
            builder = builder.max_bytes(bytes * UNIT + (UNIT - 1)).weigher(|event| Payload::weigh(event) * UNIT);
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
pub fn token(epoch: u64, index: u64, count: u32) -> Token {
    format!("{epoch:016x}-{index}-{count}").parse().unwrap()
}

impl World<'_> {
    pub fn subscribe(&mut self, slot: usize, way: Way, spec: &RequestSpec) {
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
                std::panic::panic_any(Planned);
            }
            event.payload().id % 3 != rest
        });
    }
    Ok(request)
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
