//! What a host gives a stream of frames so that it can wait: something that sleeps.
//! What the time is, and when a heartbeat is due, is not known here.

use std::time::Duration;

/// Sleeps, as a future: the timer of whichever runtime the host is on.
///
/// Every function from a [`Duration`] to a future is one, so that `tokio::time::sleep` can be given as it is. It is asked
/// when a stream of frames starts to wait, and whether a heartbeat is due then is decided by the broker's
/// [`Clock`](crate::Clock): a sleep that ends early or late is no mistake, and only a late one makes a late heartbeat.
///
/// ```
/// use std::future::{Ready, ready};
/// use std::time::Duration;
/// use event_broker::Timer;
///
/// /// One that does not wait at all, and counts instead.
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
    /// Ends when the duration has passed. What it gives then is dropped.
    type Sleep: Future;

    /// Begins to sleep.
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
