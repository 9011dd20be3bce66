//! The broker's lock: a publisher waits for at most one step of another thread, however many threads contend.
//! What is locked, and what a step does, is decided by the callers.
//!
//! A step is one critical section of a thread that does not publish: of a subscriber, or of a reader that asks for
//! access or for its place. (The steps that `crate::steps` counts are smaller.) Such threads take turns at a lock of
//! their own, and only the one that has the turn competes with a publisher.
//!
//! Invariants, which keep the wait of a publisher short:
//! - A step is short. What takes as long as a request is long is done outside the lock, or in several steps.
//! - While a publisher sleeps for the lock, the next step waits until the publisher has had the lock.
//! - After a publisher had to wait, steps are paced for a while: together they hold the lock for at most one part in
//!   [`SHARE`] of the time. Otherwise a storm of subscribers holds it nearly always, and on a busy machine a subscriber
//!   is preempted for milliseconds while it holds the lock.
//!
//! Callers: `core` alone.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::steps::Hold;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering, PACED, SleepGuard, SleepMutex, sleep};

/// Paced steps hold the lock for at most one part in so many of the time: fewer than one publish in ten finds it held.
const SHARE: u32 = 16;

/// The number of steps that are paced after a publisher had to wait: some 10 ms of a storm.
const PACED_STEPS: u32 = 256;

/// The longest time that one step counts for. A step that took longer was preempted, and later steps need not make up
/// for that.
const LONGEST_STEP: Duration = Duration::from_micros(20);

/// The most time that steps save up for later steps.
const MAX_SAVED: Duration = Duration::from_millis(5);

/// The shortest sleep. A shorter one takes longer than requested.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);

/// How long a step sleeps so that a waiting publisher wakes up, and how often before the step continues anyway.
/// Publishers that contend with each other all the time cannot starve it.
const PUBLISHER_WAIT: (Duration, u32) = (Duration::from_micros(20), 8);

/// A value behind a lock that publishers get first, while the steps of other threads are paced.
pub(crate) struct PacedMutex<S> {
    state: SleepMutex<S>,
    /// The turn of the threads that do not publish. It is taken before the state, never after it.
    turn: Mutex<Pace>,
    paced: PacedSteps,
    waiting: Waiting,
}

/// The number of steps that are still to be paced. Relaxed: it publishes no other data.
struct PacedSteps(AtomicU32);

/// The number of publishers that wait for the lock. Relaxed: a step that misses a publisher gets ahead of it once at
/// most.
struct Waiting(AtomicU32);

/// How far paced steps are ahead of their share of the time.
struct Pace {
    /// The instant before which the next paced step must not start.
    next_step_at: Option<Instant>,
}

/// The lock, held for one step of a thread that does not publish.
pub(crate) struct StepGuard<'a, S> {
    state: Option<SleepGuard<'a, S>>,
    /// When the step began, if it is paced.
    begun: Option<Instant>,
    turn: MutexGuard<'a, Pace>,
    _hold: Hold,
}

impl<S> PacedMutex<S> {
    pub(crate) fn new(state: S) -> Self {
        Self {
            state: SleepMutex::new(state),
            turn: Mutex::new(Pace { next_step_at: None }),
            paced: PacedSteps(AtomicU32::new(0)),
            waiting: Waiting(AtomicU32::new(0)),
        }
    }

    /// Locks with priority: for publishing, for what the host does to all readers at once, and for what the host reads
    /// on its way to a publish.
    #[inline]
    pub(crate) fn lock_priority(&self) -> SleepGuard<'_, S> {
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

    /// Locks for one short step of a thread that does not publish.
    pub(crate) fn lock_step(&self) -> StepGuard<'_, S> {
        let turn = self.turn.lock();
        let paced = if PACED { self.paced.0.load(Ordering::Relaxed) } else { 0 };
        if paced > 0 {
            // A publisher may have set it again since the load. Then it stays as high as it was.
            self.paced.0.store(paced - 1, Ordering::Relaxed);
            turn.wait();
            let (time, times) = PUBLISHER_WAIT;
            for _ in 0..times {
                if self.waiting.0.load(Ordering::Relaxed) == 0 {
                    break;
                }
                sleep(time);
            }
        }
        let state = Some(self.state.lock());
        StepGuard { state, begun: (paced > 0).then(Instant::now), turn, _hold: Hold::begin() }
    }
}

impl Pace {
    /// Sleeps until steps are within their share of the time, if they are far ahead of it.
    fn wait(&self) {
        let Some(next_step_at) = self.next_step_at else { return };
        let ahead = next_step_at.saturating_duration_since(Instant::now());
        if ahead >= SHORTEST_SLEEP {
            sleep(ahead);
        }
    }

    /// Records a step that took this long and ended now.
    fn record(&mut self, took: Duration, now: Instant) {
        let earliest = now.checked_sub(MAX_SAVED);
        let next_step_at = self
            .next_step_at
            .filter(|next_step_at| earliest.is_none_or(|earliest| *next_step_at > earliest))
            .or(earliest)
            .unwrap_or(now);
        self.next_step_at = Some(next_step_at + took.min(LONGEST_STEP) * SHARE);
    }
}

impl<S> Deref for StepGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.state.as_ref().expect("a step has the state until it is over")
    }
}

impl<S> DerefMut for StepGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.state.as_mut().expect("a step has the state until it is over")
    }
}

impl<S> Drop for StepGuard<'_, S> {
    fn drop(&mut self) {
        self.state = None;
        if let Some(begun) = self.begun {
            let now = Instant::now();
            self.turn.record(now.saturating_duration_since(begun), now);
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn paced_steps_take_their_share_of_the_time_and_save_a_little() {
        let mut pace = Pace { next_step_at: None };
        let mut now = Instant::now() + Duration::from_secs(1);
        let begun = now;
        // Without a pause, steps get ahead by what each of them takes, but for what was saved.
        let step = Duration::from_micros(10);
        for _ in 0..1_000 {
            now += step;
            pace.record(step, now);
        }
        let next_step_at = pace.next_step_at.expect("steps were recorded");
        assert_eq!(next_step_at + MAX_SAVED, begun + step + 1_000 * SHARE * step);
        // A step that was preempted counts for the longest step.
        pace.record(Duration::from_secs(1), now);
        assert_eq!(pace.next_step_at, Some(next_step_at + LONGEST_STEP * SHARE));
        // After a long pause no more than the maximum is saved.
        now += Duration::from_secs(10);
        pace.record(step, now);
        assert_eq!(pace.next_step_at.map(|next_step_at| next_step_at + MAX_SAVED), Some(now + step * SHARE));
    }
}
