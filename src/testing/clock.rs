//! A clock that a test advances, and sleeps that end when it is advanced.
//! When a grant expires or a heartbeat is due is decided by the broker. The timer of frame streams is in `ticks`.
//!
//! Invariants:
//! - The time and the list of sleeps are changed under one lock. So a sleep that begins while the clock is advanced is
//!   either on the list, or measured from the new time.
//! - Wakers are cloned, called and dropped without a lock.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::panics::Panics;
use crate::sync::Mutex;
use crate::types::clock::Clock;

/// A [`Clock`] that stands still until a test advances it. Clones share the time.
///
/// Reads check the expiry of a grant by this clock, and frames their heartbeats. The passing of time wakes no reader
/// that waits: [`advance_and_tick`](Self::advance_and_tick) also ends and wakes the readers whose grant has expired.
///
/// ```
/// use std::time::Duration;
/// use event_broker::testing::{ManualClock, Probe, Rule, Rules};
/// use event_broker::{Broker, RecvError, Request};
///
/// let (clock, rules) = (ManualClock::new(), Rules::new());
/// rules.set(Rule::allow().expires_after(&clock, Duration::from_secs(60)));
/// let broker = Broker::<u32>::builder().authorizer(rules).clock(clock.clone()).build()?;
///
/// let mut reader = Probe::reading(broker.subscribe(Request::new())?);
/// reader.assert_pending();
/// clock.advance_and_tick(&broker, Duration::from_secs(59));
/// assert!(!reader.is_woken());
/// clock.advance_and_tick(&broker, Duration::from_secs(1));
/// assert!(reader.is_woken());
/// assert_eq!(reader.assert_error(), RecvError::Expired);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Shared>);

struct Shared {
    started: Instant,
    time: Mutex<Time>,
}

struct Time {
    elapsed: Duration,
    /// The sleeps that have not ended, each with the elapsed time at which it ends.
    sleeps: Vec<(Duration, Weak<Alarm>)>,
}

impl ManualClock {
    /// Creates a clock that stands still at the present time.
    pub fn new() -> Self {
        let time = Time { elapsed: Duration::ZERO, sleeps: Vec::new() };
        Self(Arc::new(Shared { started: Instant::now(), time: Mutex::new(time) }))
    }

    /// Advances the time, and then ends the [sleeps](Self::sleep) that are over, in the order of their ends.
    ///
    /// The time jumps. A task that sleeps again and again is woken once, however far the clock is advanced.
    ///
    /// # Panics
    ///
    /// Panics if the new time cannot be represented, some centuries from now. The time is then what it was.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        let Shared { started, time } = &*self.0;
        let mut over = Vec::new();
        let representable = {
            let mut time = time.lock();
            match time.elapsed.checked_add(by).filter(|elapsed| started.checked_add(*elapsed).is_some()) {
                None => false,
                Some(elapsed) => {
                    time.elapsed = elapsed;
                    time.sleeps.retain(|(end, alarm)| {
                        if *end <= elapsed {
                            over.push((*end, Weak::clone(alarm)));
                        }
                        *end > elapsed && alarm.strong_count() > 0
                    });
                    true
                }
            }
        };
        assert!(representable, "a clock advanced by {by:?} shows a time that cannot be represented");
        over.sort_by_key(|(end, _)| *end);
        end_all(over.iter().map(|(_, alarm)| alarm));
    }

    /// Advances the time as [`advance`](Self::advance) does, and calls [`Broker::tick`]. That ends every subscription
    /// whose grant has expired, and wakes its reader: a thread, a task or a doorbell.
    ///
    /// ```
    /// use std::time::Duration;
    /// use event_broker::testing::{ManualClock, Rule, Rules, wait_until_waiting};
    /// use event_broker::{Broker, RecvError, Request};
    ///
    /// let (clock, rules) = (ManualClock::new(), Rules::new());
    /// rules.set(Rule::allow().expires_after(&clock, Duration::from_secs(3600)));
    /// let broker = Broker::<u32>::builder().authorizer(rules).clock(clock.clone()).build()?;
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let handle = reader.handle();
    /// let reading = std::thread::spawn(move || reader.recv().unwrap_err());
    /// wait_until_waiting(&handle);
    /// clock.advance_and_tick(&broker, Duration::from_secs(3600));
    /// assert_eq!(reading.join().unwrap(), RecvError::Expired);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`advance`](Self::advance).
    #[track_caller]
    pub fn advance_and_tick<P>(&self, broker: &Broker<P>, by: Duration) {
        self.advance(by);
        broker.tick();
    }

    /// Returns the time that has passed since the clock was created.
    pub fn elapsed(&self) -> Duration {
        self.0.time.lock().elapsed
    }

    /// Returns the instant at which this much time has passed since the clock was created. It may be in the past.
    ///
    /// # Panics
    ///
    /// Panics if the instant cannot be represented, some centuries from now.
    #[track_caller]
    pub fn at(&self, elapsed: Duration) -> Instant {
        match self.0.started.checked_add(elapsed) {
            Some(instant) => instant,
            None => panic!("the time {elapsed:?} after the start of a clock cannot be represented"),
        }
    }

    /// Returns the instant that is this far from now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use event_broker::{Clock, testing::ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// clock.advance(Duration::from_secs(40));
    /// assert_eq!(clock.now(), clock.at(Duration::from_secs(40)));
    /// assert_eq!(clock.after(Duration::from_secs(20)), clock.at(Duration::from_secs(60)));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`at`](Self::at).
    #[track_caller]
    pub fn after(&self, duration: Duration) -> Instant {
        self.at(self.elapsed().saturating_add(duration))
    }

    /// Does the same, and returns nothing if the instant cannot be represented.
    pub(super) fn checked_after(&self, duration: Duration) -> Option<Instant> {
        self.0.started.checked_add(self.elapsed().saturating_add(duration))
    }

    /// Begins a sleep that ends when the clock has been advanced this far. A sleep of no time has ended already, and
    /// one whose end cannot be represented does not end.
    ///
    /// It serves tasks of a test, such as a reader that gives up after a time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use event_broker::testing::{ManualClock, Probe};
    ///
    /// let clock = ManualClock::new();
    /// let mut nap = Probe::future(clock.sleep(Duration::from_secs(5)));
    /// clock.advance(Duration::from_secs(4));
    /// nap.assert_pending();
    /// clock.advance(Duration::from_secs(1));
    /// assert!(nap.is_woken());
    /// nap.assert_ready();
    /// ```
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let alarm = Arc::new(Alarm(Mutex::new(if duration.is_zero() { State::Ended } else { State::Asleep(None) })));
        if !duration.is_zero() {
            let mut time = self.0.time.lock();
            let end = time.elapsed.saturating_add(duration);
            time.sleeps.retain(|(_, alarm)| alarm.strong_count() > 0);
            time.sleeps.push((end, Arc::downgrade(&alarm)));
        }
        Sleep(alarm)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.0.started + self.elapsed()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

/// A sleep by a [`ManualClock`], as a future; see [`ManualClock::sleep`].
///
/// # Cancel safety
///
/// Dropping it ends the sleep, and wakes nobody.
#[must_use = "futures do nothing unless polled"]
pub struct Sleep(Arc<Alarm>);

impl Sleep {
    /// Returns what ends the sleep.
    #[cfg(all(feature = "json", feature = "stream"))]
    pub(super) fn alarm(&self) -> Weak<Alarm> {
        Arc::downgrade(&self.0)
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let (polled, unused) = self.0.set_waker(waker);
        drop(unused);
        polled
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("is_over", &self.is_over()).finish()
    }
}

/// The state of a sleep, shared by the sleeper and by what ends it.
pub(super) struct Alarm(Mutex<State>);

enum State {
    /// With the waker of the last poll.
    Asleep(Option<Waker>),
    Ended,
}

impl Alarm {
    /// Ends the sleep and wakes the task that was pending, if it has not ended before.
    fn end(&self) {
        let before = mem::replace(&mut *self.0.lock(), State::Ended);
        if let State::Asleep(Some(waker)) = before {
            waker.wake();
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(*self.0.lock(), State::Ended)
    }

    /// Stores the waker unless the sleep has ended. Also returns the waker that is not needed any more.
    fn set_waker(&self, waker: Waker) -> (Poll<()>, Option<Waker>) {
        match &mut *self.0.lock() {
            State::Ended => (Poll::Ready(()), Some(waker)),
            State::Asleep(stored) => (Poll::Pending, stored.replace(waker)),
        }
    }
}

/// Ends these sleeps in their order. If a waker panics, the others are woken before the panic goes on.
pub(super) fn end_all<'a>(alarms: impl IntoIterator<Item = &'a Weak<Alarm>>) {
    let mut panics = Panics::default();
    for alarm in alarms.into_iter().filter_map(Weak::upgrade) {
        panics.catch(|| alarm.end());
    }
    panics.resume();
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Wake;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Writes its name down when it is woken.
    struct Named(u8, Arc<Mutex<Vec<u8>>>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.lock().push(self.0);
        }
    }

    #[test]
    fn sleeps_end_in_the_order_of_their_ends_and_once() {
        let (clock, woken) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
        let mut sleeps: Vec<_> = [3, 1, 2, 1, 9].map(|seconds| Box::pin(clock.sleep(SECOND * seconds))).into();
        let poll = |number: u8, sleep: &mut Pin<Box<Sleep>>| {
            let waker = Waker::from(Arc::new(Named(number, Arc::clone(&woken))));
            sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        };
        for (number, sleep) in (0..).zip(&mut sleeps) {
            assert!(!poll(number, sleep));
        }
        clock.advance(SECOND * 3);
        assert_eq!(*woken.lock(), [1, 3, 2, 0]);
        assert_eq!(clock.0.time.lock().sleeps.len(), 1, "those that are over are forgotten");
        clock.advance(SECOND * 3);
        assert_eq!(woken.lock().len(), 4, "none is woken twice");
        let over: Vec<_> = (0..).zip(&mut sleeps).map(|(number, sleep)| poll(number, sleep)).collect();
        assert_eq!(over, [true, true, true, true, false]);
    }

    /// A waker that panics.
    struct Rude;

    impl Wake for Rude {
        fn wake(self: Arc<Self>) {
            panic!("not now");
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_asleep() {
        let clock = ManualClock::new();
        let mut sleeps = [(); 3].map(|()| Box::pin(clock.sleep(SECOND)));
        let wakers = [Waker::noop().clone(), Waker::from(Arc::new(Rude)), Waker::noop().clone()];
        for (sleep, waker) in sleeps.iter_mut().zip(&wakers) {
            assert!(sleep.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| clock.advance(SECOND))).is_err(), "the panic is not hidden");
        assert!(sleeps.iter().all(|sleep| sleep.is_over()));
    }

    #[test]
    fn a_dropped_sleep_is_forgotten() {
        let clock = ManualClock::new();
        for _ in 0..100 {
            drop(clock.sleep(SECOND));
        }
        assert_eq!(clock.0.time.lock().sleeps.len(), 1, "each removes those before it");
        clock.advance(SECOND / 2);
        assert_eq!(clock.0.time.lock().sleeps.len(), 0);
    }

    #[test]
    fn edges_of_time() {
        let clock = ManualClock::new();
        assert!(clock.sleep(Duration::ZERO).is_over());
        let endless = clock.sleep(Duration::MAX);
        clock.advance(SECOND);
        assert!(catch_unwind(AssertUnwindSafe(|| clock.advance(Duration::MAX))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| clock.after(Duration::MAX))).is_err());
        assert_eq!((clock.elapsed(), clock.now()), (SECOND, clock.at(SECOND)), "a clock still of use");
        assert!(!endless.is_over());
        assert_eq!(clock.clone().elapsed(), SECOND, "clones share the time");
    }
}
