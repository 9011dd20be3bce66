//! Defines the clock by which grants expire and heartbeats of frames are timed.
//! When a grant expires is decided in `core` and `subscription`. When a heartbeat is due is decided in `frames`.
//!
//! Callers: `core`, `subscription` and `frames`, without the broker's lock.

use std::fmt::Debug;
use std::time::Instant;

/// A monotonic clock. A host can supply its own, and a test can advance it.
///
/// A subscription whose grant does not expire never reads the clock. Frames over a subscription do, for their
/// heartbeats.
///
/// ```
/// use std::sync::Mutex;
/// use std::time::{Duration, Instant};
/// use event_broker::Clock;
///
/// #[derive(Debug)]
/// struct ManualClock(Mutex<Instant>);
///
/// impl Clock for ManualClock {
///     fn now(&self) -> Instant {
///         *self.0.lock().unwrap()
///     }
/// }
///
/// let clock = ManualClock(Mutex::new(Instant::now()));
/// let before = clock.now();
/// *clock.0.lock().unwrap() += Duration::from_secs(3600);
/// assert_eq!(clock.now() - before, Duration::from_secs(3600));
/// ```
pub trait Clock: Debug + Send + Sync {
    /// Returns the current time. It must never go back.
    fn now(&self) -> Instant;
}

/// The clock that returns [`Instant::now`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
