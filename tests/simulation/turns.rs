//! Turns of readers: each read is made on the broker and on the naive one, and both must return the same.
//!
//! A read that a hook panics out of, or that yields, has passed what it refused before, and nothing else. Its naive
//! counterpart moves to the position of the reader's token, which is checked to skip nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Waker};

use event_broker::testing::history::Step as Seen;
use event_broker::{RecvError, Start, Verdict};

use crate::actor::{Actor, Got, INTERVAL, try_recv};
use crate::host::Faults;
use crate::script::{SLOTS, Way};
use crate::support::hooks::Observed;
use crate::support::matching::Decision;
use crate::support::naive::{self, NaiveBroker};
use crate::support::op::Rule;
use crate::support::reader::{Cursor, End, Outcome, Reader, Readiness};
use crate::support::translate;
use crate::world::{World, fail};

/// A naive reader as it was before a read.
pub struct Before(Reader, Observed);

/// What a read must return; `None` where a stream is over.
type Expected = Option<Outcome>;

impl Before {
    pub fn of(naive: &NaiveBroker, number: usize) -> Self {
        Self(naive.readers[number].clone(), naive.observed)
    }
}

impl World<'_> {
    /// Gives a reader one turn. Returns whether it did anything that may be followed by more.
    pub fn turn(&mut self, slot: usize, spurious: bool) -> bool {
        let Some(mut actor) = self.slots[slot].take() else { return false };
        self.begin_turn();
        let runs = !actor.ended && (spurious || !actor.is_asleep());
        let continues = runs && {
            // A wake-up takes the waker that a poll has registered; a spurious poll finds it there.
            actor.leaves_waker &= !(actor.flag.take() && actor.parked);
            actor.parked = false;
            match actor.way {
                Way::Window(take) => self.readable(&mut actor, take),
                Way::Inline => {
                    self.take_inline(&mut actor, true);
                    false
                }
                Way::Bell => {
                    actor.take_ring();
                    while self.read_now(&mut actor) {}
                    true
                }
                Way::BellWindow(take) => {
                    actor.take_ring();
                    self.window(&mut actor, take);
                    true
                }
                _ => self.one(&mut actor),
            }
        };
        if runs {
            let polls = matches!(actor.way, Way::Poll | Way::Async | Way::Stream | Way::Window(_));
            actor.leaves_waker |= actor.parked || !continues;
            actor.busy = polls && !actor.leaves_waker && !actor.ended && !actor.flag.is_set();
        }
        self.slots[slot] = Some(actor);
        if runs {
            self.note_token(slot);
        }
        continues
    }

    /// Records what readers have read within their wakers, woken by what the naive broker has just done as well.
    pub fn take_all_inline(&mut self) {
        for slot in 0..SLOTS {
            if self.slots[slot].as_ref().is_some_and(|actor| actor.way == Way::Inline) {
                let mut actor = self.slots[slot].take().unwrap();
                self.take_inline(&mut actor, false);
                self.slots[slot] = Some(actor);
            }
        }
    }

    fn take_inline(&mut self, actor: &mut Actor, now: bool) {
        for got in actor.read_inline(now) {
            match &got {
                // It may be woken once more, and the end is returned again.
                Got::End(error) if actor.ended && error.is_terminal() => {}
                _ if actor.ended => fail!("no end", "{} gave {got:?} after its end", actor.trail.name),
                _ => _ = self.compare(actor, false, |_| got),
            }
        }
    }

    fn before(&self, actor: &Actor) -> Before {
        Before::of(&self.naive, actor.naive)
    }

    /// Undoes a naive read, but not its call of the authorizer.
    pub fn restore(&mut self, actor: &Actor, Before(reader, observed): Before) {
        let after = &mut self.naive.readers[actor.naive];
        // It may not have reached the end of what it must pass before it returns that the broker is closed.
        if !matches!(after.ended, None | Some(End::Closed)) {
            fail!("delivery", "{} should have received {:?}, and did not", actor.trail.name, after.ended);
        }
        let (grant, must_ask, ticked) = (after.grant.take(), after.must_ask, after.ticked);
        *after = Reader { grant, must_ask, ticked, ..reader };
        self.naive.observed = observed;
    }

    /// Runs an operation of the naive broker that may ask the authorizer. If the authorizer is about to panic, that is
    /// a denial.
    pub fn ask<R>(&mut self, actor: &Actor, read: impl FnOnce(&mut NaiveBroker) -> R) -> R {
        let asks = self.guarded() && self.naive.readers[actor.naive].must_ask;
        if !asks || Faults::with(|faults| faults.authorize.get()) == 0 {
            return read(&mut self.naive);
        }
        let (rules, principal) = (self.host.rules.clone(), actor.request.principal);
        let rule = rules.of(principal);
        rules.set(principal, Rule { allowed: false, ..rule.clone() });
        let result = read(&mut self.naive);
        rules.set(principal, rule);
        result
    }

    /// Moves the naive reader to the position of the real one, which has passed what it refused, and nothing that it
    /// must return.
    pub fn follow(&mut self, actor: &mut Actor) {
        actor.forget();
        let Ok(token) = actor.token() else { unreachable!("no future has its subscription") };
        let at = translate::place(token);
        let reader = &self.naive.readers[actor.naive];
        match reader.cursor {
            Cursor::Waiting(_) => {}
            // The token does not show how much of the backlog may still be evicted without loss.
            Cursor::Elastic(_) => actor.exact = false,
            Cursor::At(cursor) => {
                let ahead = &self.naive.log[cursor.max(self.naive.oldest)..];
                let passed = ahead.iter().take_while(|batch| batch.place < at).count();
                let given = |fact| self.naive.decide(reader, fact) == Decision::Delivered;
                if let Some(lost) = ahead[..passed].iter().find(|batch| batch.facts.iter().any(given)) {
                    fail!("delivery", "{} has passed {lost:?} and not given it", actor.trail.name);
                }
                // Or it has found that what was evicted did not match.
                if passed > 0 || ahead.first().is_some_and(|oldest| oldest.place <= at) {
                    let reader = &mut self.naive.readers[actor.naive];
                    reader.cursor = Cursor::At(cursor.max(self.naive.oldest) + passed);
                    reader.token.place = reader.token.place.max(at);
                }
            }
        }
    }

    /// One read by the reader's own way. Returns whether it continues.
    fn one(&mut self, actor: &mut Actor) -> bool {
        let number = actor.naive;
        let opens = actor.reads_frames() && actor.due.is_none();
        if opens && actor.exact {
            // The opening heartbeat, unless access is lost.
            let end = self.ask(actor, |naive| naive.check_ends(number)).err();
            let got = actor.read(false);
            return match (&got, end) {
                (Got::Beat { .. }, None) => self.took(actor, got),
                (Got::End(error), Some(end)) if translate::end(error) == end => self.took(actor, got),
                (got, end) => fail!("frame", "{} began with {got:?}, expected {end:?}", actor.trail.name),
            };
        }
        // An iterator of frames waits for real time, so it is only called for what is certainly there.
        let sure = actor.exact && actor.reads_frames() && actor.way == Way::Frames && !actor.refuses(self.guarded());
        let due = actor.due.is_some_and(|due| due <= self.millis());
        let there = sure && (due || self.ask(actor, |naive| naive.peek(number)) != Outcome::Empty);
        let items = actor.gives_items() || there;
        self.compare(actor, items, |actor| actor.read(there))
    }

    /// A read that does not wait, for any way. Returns whether more may follow.
    pub fn read_now(&mut self, actor: &mut Actor) -> bool {
        self.compare(actor, false, |actor| actor.reads().map_or(Got::Nothing, try_recv))
    }

    /// Makes a read on both sides.
    fn compare(&mut self, actor: &mut Actor, items: bool, read: impl FnOnce(&mut Actor) -> Got) -> bool {
        if !actor.exact {
            let mut got = read(actor);
            if matches!((&got, actor.way), (Got::Nothing, Way::Deadline)) {
                // With an expired deadline it may not have passed everything that it refuses.
                got = actor.reads().map_or(Got::Nothing, try_recv);
            }
            return self.took(actor, got);
        }
        let (before, number) = (self.before(actor), actor.naive);
        let expected: Expected =
            self.ask(actor, |naive| if items { naive.next_item(number) } else { Some(naive.read(number)) });
        let mut got = read(actor);
        if matches!((&got, actor.way), (Got::Nothing, Way::Deadline)) && expected == Some(Outcome::Empty) {
            // Then nothing was returned, and not all of it need have been passed.
            got = actor.reads().map_or(Got::Nothing, try_recv);
        } else if matches!((&got, actor.way), (Got::Nothing, Way::Deadline)) {
            // The deadline was reached before it had passed everything that it refuses.
            got = Got::Pause;
            if !self.looks_in_vain(actor, &before.0) {
                fail!("delivery", "{} found nothing in no time, expected {expected:?}", actor.trail.name);
            }
        }
        let paused = matches!(got, Got::Beat { .. }) && actor.flag.is_set();
        match &got {
            Got::Panicked | Got::Pause => {
                self.restore(actor, before);
                self.follow(actor);
            }
            Got::Beat { .. } => {
                let due = actor.due.is_some_and(|due| due <= self.millis());
                if !due {
                    fail!("frame", "{} gave a heartbeat that is due at {:?}", actor.trail.name, actor.due);
                }
                if paused || expected != Some(Outcome::Empty) {
                    if !paused && !self.looks_in_vain(actor, &before.0) {
                        fail!("delivery", "{} gave a heartbeat instead of {expected:?}", actor.trail.name);
                    }
                    self.restore(actor, before);
                    self.follow(actor);
                }
            }
            _ => Self::agree(actor, &got, expected.as_ref()),
        }
        if let Got::Nothing = got
            && actor.reads_frames()
            && actor.due.is_some_and(|due| due <= self.millis())
        {
            fail!("frame", "{} gave no heartbeat, which was due at {:?}", actor.trail.name, actor.due);
        }
        self.took(actor, got)
    }

    /// Whether a reader at that position may have batches ahead that it must examine and does not return.
    fn looks_in_vain(&self, actor: &Actor, before: &Reader) -> bool {
        let backlog = match before.cursor {
            Cursor::At(cursor) => cursor.max(self.naive.oldest) < before.opened_at,
            Cursor::Elastic(_) | Cursor::Waiting(_) => true,
        };
        backlog || actor.refuses(self.guarded())
    }

    pub fn agree(actor: &Actor, got: &Got, expected: Option<&Outcome>) {
        let same = match (got, expected) {
            (Got::Over, None) | (Got::Nothing, Some(Outcome::Empty)) => true,
            (
                Got::Delivery { index, ids, batch_len, .. },
                Some(Outcome::Delivery { index: at, ids: all, batch_len: len }),
            ) => index == at && ids == all && batch_len.is_none_or(|batch_len| batch_len == *len),
            (Got::End(error), Some(Outcome::End(end))) => is(&translate::end(error), end),
            _ => false,
        };
        if !same {
            fail!("delivery", "{} of {:?} gave {got:?}, expected {expected:?}", actor.trail.name, actor.request);
        }
    }

    /// Records the result of a read. Returns whether more may follow at once.
    pub fn took(&mut self, actor: &mut Actor, got: Got) -> bool {
        self.note(format!("{}: {got:?}", actor.trail.name));
        let now = self.now;
        match got {
            Got::Delivery { index, ids, token, .. } => {
                let distinct = ids.iter().collect::<BTreeSet<_>>().len() == ids.len();
                if !distinct {
                    fail!("delivery", "{} was given an event twice: {ids:?}", actor.trail.name);
                }
                actor.trail.push(now, Seen::Delivery { index, events: ids.into_iter().map(Into::into).collect() });
                actor.due = actor.due.map(|_| self.millis() + INTERVAL);
                if let Some(token) = token {
                    self.keep_token(token);
                }
                true
            }
            Got::Beat { token } => {
                actor.due = Some(self.millis() + INTERVAL);
                if let Some(token) = token {
                    self.keep_token(token);
                }
                true
            }
            Got::Nothing => {
                actor.trail.push(now, Seen::Empty { published: self.published_here() });
                actor.parked = matches!(
                    actor.way,
                    Way::Poll | Way::Inline | Way::Async | Way::Stream | Way::Window(_) | Way::FrameStream
                );
                false
            }
            // A task that has yielded runs again at its next turn; so does one that panicked.
            Got::Pause => true,
            Got::Panicked => false,
            Got::Over => {
                if !actor.ended {
                    actor.trail.push(now, Seen::Closed);
                }
                actor.ended = true;
                false
            }
            Got::End(error) => {
                self.end(actor, &error);
                !actor.ended
            }
        }
    }

    fn end(&mut self, actor: &mut Actor, error: &RecvError) {
        let now = self.now;
        actor.ended = error.is_terminal();
        match error {
            RecvError::Lagged(lost) if lost.skipped => {
                let trail = actor.trail.split(now, self.naive.oldest - self.epochs[actor.trail.epoch]);
                self.keep_trail(trail);
            }
            RecvError::Lagged(lost) => {
                let (missed, from, through, resumes_at) = (lost.missed, lost.from, lost.through, lost.resumes_at);
                actor.trail.push(now, Seen::Lost { missed, from, through, resumes_at });
            }
            RecvError::Closed => actor.trail.push(now, Seen::Closed),
            _ => actor.trail.push(now, Seen::Ended { why: error.name() }),
        }
    }

    /// Waits as a task for something to read, and reads a window.
    fn readable(&mut self, actor: &mut Actor, take: usize) -> bool {
        let (before, number) = (self.before(actor), actor.naive);
        let expected = if actor.exact { self.ask(actor, |naive| naive.readiness(number)) } else { Readiness::Either };
        let waker = Waker::from(Arc::clone(&actor.flag));
        let context = &mut Context::from_waker(&waker);
        let polled = actor.reads().expect("no future has it").poll_readable(context);
        match (polled.is_ready(), expected) {
            (true, Readiness::Ready | Readiness::Either) => self.window(actor, take),
            (false, _) if actor.flag.is_set() => {
                if actor.exact {
                    self.restore(actor, before);
                }
                self.took(actor, Got::Pause)
            }
            (false, Readiness::Pending | Readiness::Either) => {
                if actor.exact {
                    self.naive.pass_all(number);
                }
                self.took(actor, Got::Nothing)
            }
            (ready, expected) => fail!("delivery", "{} is ready: {ready}, expected {expected:?}", actor.trail.name),
        }
    }

    /// Drops a reader, and opens another after its token.
    pub fn resume(&mut self, slot: usize, way: Way) {
        let Some(actor) = self.slots[slot].take() else { return };
        let (number, exact) = (actor.naive, actor.exact);
        let (spec, mut trail, ended) = (actor.request.clone(), actor.trail.clone(), actor.ended);
        let reads = actor.into_reads();
        let token = reads.token();
        if exact {
            self.naive.check_token(number, translate::place(token));
        }
        drop(reads);
        self.naive.unsubscribe(number);
        let naive = naive::Token { epoch: token.epoch().get(), place: translate::place(token) };
        let published = self.published_here();
        let opened = self.open(slot, way, &spec, Start::After(token), naive::Start::After(naive));
        let Some(mut actor) = opened else { return self.keep_trail(trail) };
        let same = matches!(actor.verdict, Verdict::Whole | Verdict::Lost { oldest: Some(_) });
        match actor.verdict {
            verdict if same && !ended && !trail.is_fresh() && trail.epoch == actor.trail.epoch => {
                trail.push(self.now, Seen::Resumed { verdict, published });
                actor.trail = trail;
            }
            _ => self.keep_trail(trail),
        }
        self.slots[slot] = Some(actor);
        self.note_token(slot);
    }
}

/// Whether an end is the one expected. The lower bound of a lost range need not be tight.
pub fn is(actual: &End, expected: &End) -> bool {
    let mut actual = actual.clone();
    if let (End::Lagged { first: bound, .. }, End::Lagged { first, .. }) = (&mut actual, expected) {
        *bound = (*first).max(*bound);
    }
    actual == *expected
}
