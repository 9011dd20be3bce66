//! The clock that grants expire by, and that heartbeats of frames go by.
//! Nothing else in the broker has to know the time.

use std::fmt::Debug;
use std::time::Instant;

/// A monotonic clock, so that a host can supply its own and a test can turn the hands.
///
/// A subscription whose grant does not expire never reads it. Frames over a subscription do, for their heartbeats.
///
/// ```
/// use std::sync::Mutex;
/// use std::time::{Duration, Instant};
/// use event_broker::Clock;
///
/// #[derive(Debug)]
/// struct Hands(Mutex<Instant>);
///
/// impl Clock for Hands {
///     fn now(&self) -> Instant {
///         *self.0.lock().unwrap()
///     }
/// }
///
/// let clock = Hands(Mutex::new(Instant::now()));
/// let before = clock.now();
/// *clock.0.lock().unwrap() += Duration::from_secs(3600);
/// assert_eq!(clock.now() - before, Duration::from_secs(3600));
/// ```
pub trait Clock: Debug + Send + Sync {
    /// The time now. It must not fall.
    fn now(&self) -> Instant;
}

/// [`Instant::now`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
