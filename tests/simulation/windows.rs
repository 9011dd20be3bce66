//! Windows, also those that stay open while batches are published.

use event_broker::RecvError;
use event_broker::testing::history::Step as Seen;

use crate::actor::{Actor, Got};
use crate::host::{Payload, planned};
use crate::support::op::EventSpec;
use crate::support::reader::{Cursor, Outcome, Reader, Readiness, Window};
use crate::support::translate;
use crate::turns::{Before, is};
use crate::world::{World, fail};

impl World<'_> {
    /// Reads this many from one window, or all of it.
    pub fn window(&mut self, actor: &mut Actor, take: usize) -> bool {
        let number = actor.naive;
        let expected = actor.exact.then(|| self.ask(actor, |naive| naive.open_window(number)));
        let mut left = if take == 0 { usize::MAX } else { take };
        let Some(reads) = actor.reads() else { unreachable!("no future has it") };
        let mut given = Vec::new();
        let mut panicked = None;
        let end = match reads.drain() {
            Err(error) => Some(error),
            Ok(mut window) => {
                let mut items = window.iter();
                while left > 0 {
                    left -= 1;
                    let before = Before::of(&self.naive, number);
                    let wanted = expected.as_ref().map(|_| self.naive.next_in_window(number));
                    let Some(item) = planned(|| items.next()) else {
                        panicked = Some(before);
                        break;
                    };
                    let got = item.map_or(Got::Nothing, |item| Got::of_ref(&item));
                    let over = matches!(got, Got::Nothing);
                    given.push((got, wanted));
                    if over {
                        if items.next().is_some() || window.iter().next().is_some() {
                            fail!("window", "it continues when it is over");
                        }
                        break;
                    }
                }
                None
            }
        };
        match (&end, &expected) {
            (_, None) | (None, Some(Window::Open | Window::Either)) => {}
            (Some(RecvError::Closed), Some(Window::Either)) if self.naive.closed => {
                self.naive.read(number);
            }
            (Some(error), Some(Window::End(end))) if is(&translate::end(error), end) => {}
            (actual, expected) => fail!("window", "{} gave {actual:?}, expected {expected:?}", actor.trail.name),
        }
        let (mut any, mut stopped) = (false, panicked.is_some());
        for (got, wanted) in given {
            if let Some(wanted) = &wanted {
                Self::agree(actor, &got, Some(wanted));
            }
            if let Got::Nothing = got {
                stopped = true;
                actor.trail.push(self.now, Seen::Empty { published: self.published_here() });
            } else {
                any |= self.took(actor, got);
            }
        }
        if let Some(before) = panicked {
            if actor.exact {
                self.restore(actor, before);
                self.follow(actor);
            }
            self.took(actor, Got::Panicked);
        }
        if let Some(error) = end {
            return self.took(actor, Got::End(error));
        }
        any || !stopped
    }

    /// Publishes while a window is open. The window still returns what it showed at opening, evicted or not; it may
    /// only end early, where its reader had not examined what is evicted now.
    pub fn drain_across(&mut self, slot: usize, take: usize, batches: usize, event: &EventSpec) {
        let Some(mut actor) = self.slots[slot].take() else { return };
        let number = actor.naive;
        let reader = &self.naive.readers[number];
        let settled = !reader.skipped && reader.ended.is_none() && !reader.reset && !reader.must_ask;
        let plain = settled && !reader.token_deleted && !reader.cancelled && matches!(reader.cursor, Cursor::At(_));
        let plain = plain && actor.exact && !actor.refuses(self.guarded()) && !self.naive.closed;
        if !plain || actor.reads().is_none() || self.naive.readiness(number) != Readiness::Ready {
            // Where a window ends early decides whether refused batches have been passed.
            if plain && actor.reads().is_some() {
                self.read_now(&mut actor);
                actor.parked = false;
            }
            self.slots[slot] = Some(actor);
            for _ in 0..batches {
                self.take_event(event);
            }
            return;
        }
        if let Window::End(end) = self.naive.open_window(number) {
            let got = actor.reads().map(|reads| reads.drain().err());
            match got.flatten() {
                Some(error) if is(&translate::end(&error), &end) => self.took(&mut actor, Got::End(error)),
                got => fail!("window", "{} gave {got:?}, expected {end:?}", actor.trail.name),
            };
        } else {
            self.read_across(&mut actor, take, batches, event);
        }
        self.slots[slot] = Some(actor);
        self.note_token(slot);
    }

    fn read_across(&mut self, actor: &mut Actor, take: usize, batches: usize, event: &EventSpec) {
        let (number, end) = (actor.naive, self.naive.log.len());
        let mut given = Vec::new();
        let Some(reads) = actor.reads() else { unreachable!("it was looked at") };
        let mut window = match reads.drain() {
            Ok(window) => window,
            Err(error) => fail!("window", "{error} instead of a window"),
        };
        let mut items = window.iter();
        let mut early = false;
        for taken in 0.. {
            if taken == take {
                for _ in 0..batches {
                    self.take_event(event);
                }
            }
            let Reader { cursor, token, delivered, .. } = self.naive.readers[number];
            let expected = self.naive.next_below(number, end);
            let Some(item) = items.next() else {
                early = matches!(cursor, Cursor::At(at) if at < self.naive.oldest);
                if early {
                    self.naive.untake(number, cursor, token, delivered, &expected);
                } else if expected != Outcome::Empty {
                    fail!("window", "it ended before {expected:?}");
                }
                break;
            };
            given.push((Got::of_ref(&item), expected));
        }
        drop(window);
        for (got, expected) in given {
            Self::agree(actor, &got, Some(&expected));
            self.took(actor, got);
        }
        let lag = actor.handle.stats().lag;
        if early && lag > 0 {
            self.naive.move_within_window(number, self.naive.log.len() - usize::try_from(lag).unwrap(), end);
        }
        actor.exact &= !early || lag > 0;
        self.read_now(actor);
        // It was read by another way than the one that it waits by.
        actor.parked = false;
    }

    fn take_event(&mut self, event: &EventSpec) {
        let index = self.naive.latest.saturating_add(1);
        let facts = self.naive.number(std::slice::from_ref(event));
        let batch = facts.iter().map(|fact| Payload::event(fact, None)).collect();
        self.publish_batch(index, self.naive.epoch, batch, facts, None, false);
    }
}
