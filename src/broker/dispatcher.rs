//! The dispatcher as its host holds it: running it, starting it without blocking, and stopping it.
//! How waiters are queued and woken is in `wait/dispatch.rs`.
//!
//! The host calls it, on a thread or in a loop of its own.

use std::fmt;
use std::sync::Arc;

use crate::core::{Core, Record, SubscriptionShared};
use crate::sync::{AtomicBool, Ordering};
use crate::wait::RunningDispatcher;

/// Wakes waiting readers on a thread of the host's own, so that [`publish`](crate::Broker::publish) takes the same time
/// however many there are.
///
/// Without a dispatcher, publishing wakes on the publisher's thread: one `wake` for each waiting reader that matches.
/// While [`run`](Self::run) runs, publishing queues whole lists of readers instead. When it returns or panics,
/// everything queued is woken, and publishing wakes by itself again. So no wake-up is lost with a dispatcher.
///
/// Use one where a commit path must not pay for its readers. Waking a task is mostly the runtime's work, and takes a
/// publish as long as with any other broadcast: beside 1,000 tasks that keep up, a publish with a dispatcher took about a
/// hundredth of one without (benchmark `live`). The guide
/// [ways of reading](crate::guide::ways_of_reading#waking) says when it does not help.
///
/// A host with a loop of its own calls [`start`](Self::start) instead, and wakes queued readers from that loop.
///
/// A dispatcher also drops some of what is evicted meanwhile, which is still counted as if it were in the buffer. So a
/// payload whose drop panics can end it.
///
/// An idle dispatcher polls its queue for some 10 ms, and then sleeps until it is woken. Readers are woken up to about
/// 50 µs later than without a dispatcher.
///
/// ```
/// use event_broker::{Broker, Event, Request};
///
/// let broker = Broker::<u8>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// let dispatcher = broker.dispatcher();
/// let waking = std::thread::spawn(move || dispatcher.run());
/// let reading = std::thread::spawn(move || reader.recv().unwrap().index());
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
/// assert_eq!(reading.join().unwrap(), 7);
/// broker.close(); // ends the dispatcher, too
/// waking.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Dispatcher<P> {
    core: Arc<Core<P>>,
    stopped: Stopped,
}

struct Stopped(AtomicBool);

impl Stopped {
    /// Acquire, with the Release of [`set`](Self::set). The queue's lock makes sure that a sleeping dispatcher reads it
    /// again.
    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<P> Dispatcher<P> {
    pub(super) fn new(core: Arc<Core<P>>) -> Self {
        Self { core, stopped: Stopped(AtomicBool::new(false)) }
    }

    /// Wakes what publishing queues, until the broker is closed or [`stop`](Self::stop) is called.
    ///
    /// A broker may have several dispatchers running; each takes what is queued.
    ///
    /// # Panics
    ///
    /// Panics if the drop of an evicted payload panics. Every queued reader is woken then.
    pub fn run(&self) {
        self.core.dispatch.run(|| self.stopped.get() || self.core.log.end().closed);
    }

    /// Starts dispatching without blocking: for a host that wakes readers from a loop of its own, or a test that
    /// decides when they are woken.
    ///
    /// As long as the guard lives, publishing queues its lists, as it does while [`run`](Self::run) runs. They stay
    /// queued until the guard [wakes them](DispatchGuard::wake_queued). A host that is slow to call it delays readers
    /// and no publisher, and what is queued takes memory.
    ///
    /// ```
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<u8>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let bell = reader.doorbell();
    /// bell.try_recv()?; // the first ring comes at once
    /// assert!(reader.try_recv().is_err(), "and finds nothing");
    ///
    /// let dispatcher = broker.dispatcher();
    /// let dispatching = dispatcher.start();
    /// let mut index = 0;
    /// while index < 3 { // the host's own loop, which does other work as well
    ///     index += 1;
    ///     broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)])?;
    ///     assert!(bell.is_empty(), "publishing has woken no reader");
    ///     assert_eq!(dispatching.wake_queued(), 1);
    ///     bell.try_recv()?;
    ///     while reader.try_recv().is_ok() {}
    /// }
    /// drop(dispatching); // from now on publishing wakes by itself
    /// broker.publish(4, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// bell.try_recv()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "dropping the guard ends dispatching"]
    pub fn start(&self) -> DispatchGuard<'_, P> {
        DispatchGuard { run: self.core.dispatch.register_dispatcher() }
    }

    /// Ends [`run`](Self::run), also if it has yet to be called. Everything queued is woken. It does not end a
    /// [guard](DispatchGuard), which ends by being dropped.
    pub fn stop(&self) {
        self.stopped.set();
        self.core.dispatch.wake_dispatchers();
    }
}

impl<P> fmt::Debug for Dispatcher<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

/// A dispatcher that is driven step by step: see [`Dispatcher::start`].
///
/// Dropping the guard has the effect of [`run`](Dispatcher::run) returning: every queued reader is woken, and
/// publishing wakes by itself again. That is so after a panic, too. If a guard is leaked, queued readers stay asleep,
/// and publishing continues to queue.
///
/// Neither [`stop`](Dispatcher::stop) nor the end of the broker ends a guard. A closing broker wakes its readers by
/// itself. A host's loop checks [`is_closed`](crate::Broker::is_closed).
///
/// # Cancel safety
///
/// A task can hold a guard across `await`: if the task is cancelled, the guard is dropped, and no reader stays asleep.
///
/// # Panics
///
/// Dropping it panics if the drop of an evicted payload panics, unless the thread is unwinding already. Every queued
/// reader is woken then.
pub struct DispatchGuard<'d, P> {
    run: RunningDispatcher<'d, SubscriptionShared, Record<P>>,
}

impl<P> DispatchGuard<'_, P> {
    /// Wakes the readers that publishing has queued so far, and returns their number. A reader counts once for each
    /// list that it was found in. Zero means that there was nothing to do.
    ///
    /// It does not wait. What is queued meanwhile is left to the next call, so that this one ends.
    ///
    /// # Panics
    ///
    /// Panics if the drop of an evicted payload panics. Every queued reader is woken then, and the guard can be used
    /// again.
    pub fn wake_queued(&self) -> usize {
        usize::try_from(self.run.wake_queued()).unwrap_or(usize::MAX)
    }
}

impl<P> fmt::Debug for DispatchGuard<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DispatchGuard").finish_non_exhaustive()
    }
}
