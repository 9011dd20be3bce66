//! A clock that the test advances.

#![allow(dead_code, reason = "every test crate uses its own part of this")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_broker::Clock;

/// A clock that does not move until it is advanced. Clones share the time.
#[derive(Clone, Debug)]
pub(crate) struct ManualClock {
    started: Instant,
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), nanos: Arc::default() }
    }

    /// Advances the time. Panics after five centuries.
    pub(crate) fn advance(&self, by: Duration) {
        self.nanos.fetch_add(u64::try_from(by.as_nanos()).expect("below five centuries"), Ordering::SeqCst);
    }

    /// The time that has passed since the clock was made.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    /// The same in whole milliseconds.
    pub(crate) fn millis(&self) -> u64 {
        self.nanos.load(Ordering::SeqCst) / 1_000_000
    }

    /// The time so many milliseconds after the clock was made.
    pub(crate) fn at(&self, millis: u64) -> Instant {
        self.started + Duration::from_millis(millis)
    }

    /// The time in so many seconds from now.
    pub(crate) fn after(&self, seconds: u64) -> Instant {
        self.now() + Duration::from_secs(seconds)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.started + self.elapsed()
    }
}
