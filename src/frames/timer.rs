//! Defines the timer trait, by which a host lets a stream of frames sleep.
//! When a heartbeat is due is decided by the broker's clock in `stream`.
//!
//! Callers: `stream`.

use std::time::Duration;

/// A source of sleeps, as futures: the timer of the host's runtime.
///
/// Every function from a [`Duration`] to a future is a timer, so `tokio::time::sleep` can be passed as it is. A stream
/// of frames calls it when it starts to wait. The broker's [`Clock`](crate::Clock) decides whether a heartbeat is due
/// then. A sleep that ends early is therefore harmless, and one that ends late only delays a heartbeat.
///
/// ```
/// use std::future::{Ready, ready};
/// use std::time::Duration;
/// use event_broker::Timer;
///
/// /// A timer that does not wait, and counts its calls.
/// struct Counting(u32);
///
/// impl Timer for Counting {
///     type Sleep = Ready<()>;
///
///     fn sleep(&mut self, _: Duration) -> Ready<()> {
///         self.0 += 1;
///         ready(())
///     }
/// }
///
/// fn takes(_: impl Timer) {}
/// takes(Counting(0));
/// takes(tokio::time::sleep);
/// takes(|duration| async move { println!("asleep for {duration:?}") });
/// ```
pub trait Timer {
    /// The future of one sleep, which ends when the duration has passed. Its output is dropped.
    type Sleep: Future;

    /// Begins a sleep of this duration.
    fn sleep(&mut self, duration: Duration) -> Self::Sleep;
}

impl<F, S> Timer for F
where
    F: FnMut(Duration) -> S,
    S: Future,
{
    type Sleep = S;

    fn sleep(&mut self, duration: Duration) -> S {
        self(duration)
    }
}
