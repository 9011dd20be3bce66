//! What must hold after every step, and the progress that is demanded once the faults are gone.

use std::sync::atomic::Ordering;

use event_broker::Event;
use event_broker::testing::history::History;

use crate::host::{Faults, UNIT};
use crate::script::{Dispatch, SLOTS, Step, Way};
use crate::support::naive::{self, Fact};
use crate::support::reader::{End, Outcome};
use crate::support::translate;
use crate::world::{World, fail};

impl World<'_> {
    /// Checks what must hold after every step: no reader sleeps although it has something to read, and the numbers are
    /// those of the naive broker.
    pub fn settle(&mut self, ticked: bool) {
        self.take_all_inline();
        for slot in 0..SLOTS {
            let Some(actor) = &self.slots[slot] else { continue };
            if actor.busy && actor.flag.is_set() {
                fail!("needless wake-up", "{} does not wait and was woken", actor.trail.name);
            }
            if !actor.exact || actor.ended || self.queued || !actor.is_asleep() {
                continue;
            }
            let (number, by_timer) = (actor.naive, actor.way == Way::FrameStream);
            let overdue = by_timer && actor.due.is_some_and(|due| due <= self.millis());
            let outcome = self.naive.peek(number);
            let asleep = match &outcome {
                Outcome::Empty => !overdue,
                // The passing of time wakes only readers with a timer, unless the host ticks.
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
        let actual = translate::totals(&stats, UNIT);
        if actual != totals {
            fail!("numbers", "{actual:?}, expected {totals:?}");
        }
        let observed = self.host.watcher.published.load(Ordering::Relaxed);
        if self.naive.config.observed && observed != self.published {
            fail!("observer", "observed {observed} batches of {}", self.published);
        }
    }

    /// Removes all faults, and runs all readers until none can run.
    pub fn heal(&mut self) {
        Faults::heal();
        for actor in self.slots.iter().flatten() {
            actor.fuse.store(0, Ordering::Relaxed);
            actor.flag.arm(0);
        }
        self.dispatch(Dispatch::Step, false);
        self.tick();
        // A turn reads at least one batch, or examines a thousand events without a match.
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

    /// Checks that sleeping readers have nothing to read. What the naive broker does not know exactly, the reader
    /// itself is asked.
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

    /// Ends a run: progress, then the end of the broker, which every reader must receive.
    pub fn finish(&mut self) {
        self.take(&Step::Heal);
        self.take(&Step::Close);
        self.take(&Step::Heal);
        for slot in 0..SLOTS {
            if let Some(actor) = self.slots[slot].as_ref().filter(|actor| !actor.ended) {
                fail!("no end", "{} did not receive the close of the broker", actor.trail.name);
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
        let event = |fact: &Fact| {
            let spec = &fact.spec;
            Event::new(spec.topic, spec.kind, spec.key, fact.id).with_namespace(spec.namespace)
        };
        let history = |batches: &&[naive::Batch]| {
            let mut history = History::new();
            for batch in *batches {
                let events: Vec<_> = batch.facts.iter().map(event).collect();
                history.record_by(batch.place.index, &events, |event| *event.payload());
            }
            history
        };
        let epochs: Vec<_> = batches.iter().map(history).collect();
        for trail in &self.trails {
            trail.check(&self.past, &epochs, &batches);
        }
    }
}
