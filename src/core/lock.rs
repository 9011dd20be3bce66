//! The broker's lock, and who goes first: a publisher waits for one step of somebody else at most, however many there are.
//! What is locked, and what a step does, is not known here.
//!
//! Subscribers and readers that ask for access, or where they stand, take turns at a lock of their own, and
//! only who has the turn competes with a publisher. Three things keep a publisher from waiting long:
//! - a step is short: what takes as long as a request is long is done outside the lock, or in several steps;
//! - while a publisher sleeps for the lock, the next step waits for it to have its turn;
//! - once a publisher has had to wait, steps are paced for a while: together they hold the lock for a [`SHARE`]th of the
//!   time at most. Otherwise a storm of subscribers holds it nearly always, and on a busy machine one of them is
//!   preempted with it for milliseconds.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::steps::Hold;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering, PACED, SleepGuard, SleepMutex, sleep};

/// While steps are paced they hold the lock for one part in so many of the time: fewer than one publish in ten finds it
/// held.
const SHARE: u32 = 16;

/// So many steps are paced after a publisher had to wait: some 10 ms of a storm.
const PACED_STEPS: u32 = 256;

/// What a step is counted for at most: if it took longer, its thread was preempted, and nobody has to make up for that.
const LONGEST_STEP: Duration = Duration::from_micros(20);

/// So much time is saved up for steps to come.
const SAVED: Duration = Duration::from_millis(5);

/// A sleep that is shorter takes longer than it should.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);

/// How long a step sleeps for a publisher to be woken, and how often before it goes on anyway: publishers that contend with
/// each other all the time may not keep it out for good.
const GIVES_WAY: (Duration, u32) = (Duration::from_micros(20), 8);

/// What is changed under the lock.
pub(crate) struct Locked<S> {
    state: SleepMutex<S>,
    /// Whose turn it is among those who do not publish. Taken before the state, never after it.
    turn: Mutex<Pace>,
    paced: PacedSteps,
    waiting: Waiting,
}

/// How many steps are still to be paced. Relaxed: nothing else is known by it.
struct PacedSteps(AtomicU32);

/// How many publishers wait for the lock. Relaxed: a step that does not see one has no advantage over it but once.
struct Waiting(AtomicU32);

/// How far paced steps are ahead of their share of the time.
struct Pace {
    /// When they have made up for what they took.
    even: Option<Instant>,
}

/// A step of somebody who does not publish.
pub(crate) struct Step<'a, S> {
    state: Option<SleepGuard<'a, S>>,
    /// When it began, if it is paced.
    begun: Option<Instant>,
    turn: MutexGuard<'a, Pace>,
    _hold: Hold,
}

impl<S> Locked<S> {
    pub(crate) fn new(state: S) -> Self {
        Self {
            state: SleepMutex::new(state),
            turn: Mutex::new(Pace { even: None }),
            paced: PacedSteps(AtomicU32::new(0)),
            waiting: Waiting(AtomicU32::new(0)),
        }
    }

    /// For publishing, for what the host does to all readers at once, and for what it asks on its way to a publish.
    #[inline]
    pub(crate) fn lock_first(&self) -> SleepGuard<'_, S> {
        match self.state.try_lock() {
            Some(state) => state,
            None => self.wait_to_publish(),
        }
    }

    #[cold]
    fn wait_to_publish(&self) -> SleepGuard<'_, S> {
        self.paced.0.store(PACED_STEPS, Ordering::Relaxed);
        self.waiting.0.fetch_add(1, Ordering::Relaxed);
        let state = self.state.lock();
        self.waiting.0.fetch_sub(1, Ordering::Relaxed);
        state
    }

    /// For everybody else, and for a step that is short.
    pub(crate) fn lock_in_turn(&self) -> Step<'_, S> {
        let turn = self.turn.lock();
        let paced = if PACED { self.paced.0.load(Ordering::Relaxed) } else { 0 };
        if paced > 0 {
            // A publisher may set it again meanwhile, and then it is set as high as it was.
            self.paced.0.store(paced - 1, Ordering::Relaxed);
            turn.wait();
            let (time, times) = GIVES_WAY;
            for _ in 0..times {
                if self.waiting.0.load(Ordering::Relaxed) == 0 {
                    break;
                }
                sleep(time);
            }
        }
        let state = Some(self.state.lock());
        Step { state, begun: (paced > 0).then(Instant::now), turn, _hold: Hold::begin() }
    }
}

impl Pace {
    /// Sleeps until steps are within their share of the time, if they are far ahead of it.
    fn wait(&self) {
        let Some(even) = self.even else { return };
        let ahead = even.saturating_duration_since(Instant::now());
        if ahead >= SHORTEST_SLEEP {
            sleep(ahead);
        }
    }

    /// Notes a step that took so long and ended now.
    fn note(&mut self, took: Duration, now: Instant) {
        let earliest = now.checked_sub(SAVED);
        let even =
            self.even.filter(|even| earliest.is_none_or(|earliest| *even > earliest)).or(earliest).unwrap_or(now);
        self.even = Some(even + took.min(LONGEST_STEP) * SHARE);
    }
}

impl<S> Deref for Step<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.state.as_ref().expect("a step has the state until it is over")
    }
}

impl<S> DerefMut for Step<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.state.as_mut().expect("a step has the state until it is over")
    }
}

impl<S> Drop for Step<'_, S> {
    fn drop(&mut self) {
        self.state = None;
        if let Some(begun) = self.begun {
            let now = Instant::now();
            self.turn.note(now.saturating_duration_since(begun), now);
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn paced_steps_take_their_share_of_the_time_and_save_a_little() {
        let mut pace = Pace { even: None };
        let mut now = Instant::now() + Duration::from_secs(1);
        let begun = now;
        // Without a pause: what is ahead grows by what a step takes, but for what was saved.
        let step = Duration::from_micros(10);
        for _ in 0..1_000 {
            now += step;
            pace.note(step, now);
        }
        let even = pace.even.expect("steps were noted");
        assert_eq!(even + SAVED, begun + step + 1_000 * SHARE * step);
        // A step that was preempted counts as a long one.
        pace.note(Duration::from_secs(1), now);
        assert_eq!(pace.even, Some(even + LONGEST_STEP * SHARE));
        // After a pause no more is saved than that.
        now += Duration::from_secs(10);
        pace.note(step, now);
        assert_eq!(pace.even.map(|even| even + SAVED), Some(now + step * SHARE));
    }
}
