//! The timer of frame streams in tests: its sleeps end when the clock is advanced, or when the test says.
//! The sleeps themselves are in `clock`. When a heartbeat is due is decided by the stream.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::clock::{Alarm, ManualClock, Sleep, end_all};
use crate::frames::Timer;
use crate::sync::Mutex;

/// A [`Timer`] whose sleeps end when a [`ManualClock`] is advanced past their end, or when a test
/// [ends them](Self::end_all). Clones share the sleeps. Available with the features `json` and `stream`.
///
/// A broker that goes by the same clock then sends its heartbeats when the test says, and nothing sleeps.
///
/// ```
/// use std::pin::Pin;
/// use std::time::Duration;
/// use event_broker::testing::{ManualClock, ManualTicks, Probe};
/// use event_broker::{Broker, FrameOptions, Request};
/// use futures_core::Stream;
///
/// let clock = ManualClock::new();
/// let ticks = ManualTicks::new(&clock);
/// let broker = Broker::<u32>::builder().clock(clock.clone()).build()?;
/// let options = FrameOptions::new().heartbeat(Duration::from_secs(30))?;
/// let frames = broker.subscribe(Request::new())?.into_frame_stream(options, ticks.clone());
/// let mut frames = Probe::by(frames, |frames, context| Pin::new(frames).poll_next(context));
///
/// assert_eq!(frames.assert_ready().unwrap()?.as_str(), "{}\n", "the stream opens with a heartbeat");
/// frames.assert_pending();
/// assert_eq!(ticks.take_asked(), [Duration::from_secs(30)]);
/// clock.advance(Duration::from_secs(29));
/// assert!(!frames.is_woken());
/// clock.advance(Duration::from_secs(1));
/// assert!(frames.is_woken());
/// assert_eq!(frames.assert_ready().unwrap()?.as_str(), "{}\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ManualTicks {
    clock: ManualClock,
    begun: Arc<Mutex<Begun>>,
}

#[derive(Default)]
struct Begun {
    /// How long the sleeps were to be, since they were last taken.
    asked: Vec<Duration>,
    alarms: Vec<Weak<Alarm>>,
}

impl ManualTicks {
    /// Creates a timer that goes by this clock.
    pub fn new(clock: &ManualClock) -> Self {
        Self { clock: clock.clone(), begun: Arc::new(Mutex::new(Begun::default())) }
    }

    /// Ends all sleeps that have begun, although the clock has not reached their ends, and wakes those who sleep. A real
    /// timer may be early, too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use event_broker::Timer;
    /// use event_broker::testing::{ManualClock, ManualTicks, Probe};
    ///
    /// let mut ticks = ManualTicks::new(&ManualClock::new());
    /// let mut nap = Probe::future(ticks.sleep(Duration::from_secs(30)));
    /// nap.assert_pending();
    /// assert_eq!(ticks.sleeping(), 1);
    /// ticks.end_all();
    /// nap.assert_ready();
    /// assert_eq!(ticks.sleeping(), 0);
    /// ```
    pub fn end_all(&self) {
        let alarms = std::mem::take(&mut self.begun.lock().alarms);
        end_all(&alarms);
    }

    /// Returns the number of sleeps that have begun and neither ended nor been dropped.
    pub fn sleeping(&self) -> usize {
        let alarms = self.begun.lock().alarms.clone();
        alarms.iter().filter_map(Weak::upgrade).filter(|alarm| !alarm.is_over()).count()
    }

    /// Returns how long the sleeps were to be that have begun since the last call, in the order in which they began.
    pub fn take_asked(&self) -> Vec<Duration> {
        std::mem::take(&mut self.begun.lock().asked)
    }
}

impl Timer for ManualTicks {
    type Sleep = Sleep;

    fn sleep(&mut self, duration: Duration) -> Sleep {
        let sleep = self.clock.sleep(duration);
        let mut begun = self.begun.lock();
        begun.asked.push(duration);
        begun.alarms.retain(|alarm| alarm.strong_count() > 0);
        begun.alarms.push(sleep.alarm());
        drop(begun);
        sleep
    }
}

impl fmt::Debug for ManualTicks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sleeping = self.sleeping();
        f.debug_struct("ManualTicks").field("clock", &self.clock).field("sleeping", &sleeping).finish_non_exhaustive()
    }
}
