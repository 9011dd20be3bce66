//! The dispatcher as its host holds it.
//! How it wakes is in `dispatch`.

use std::fmt;
use std::sync::Arc;

use super::core::Core;
use crate::sync::{AtomicBool, Ordering};

/// Wakes waiting readers on a thread of the host's own, so that [`publish`](crate::Broker::publish) takes the same
/// time however many there are.
///
/// Without one, publishing wakes on the publisher's thread: one `wake` for each waiting reader that matches. While
/// [`run`](Self::run) runs, publishing hands their lists over whole. When it returns or panics, what it had been handed
/// is woken, and publishing wakes by itself again: a dispatcher can die, a wake-up cannot.
///
/// It also drops some of what is evicted meanwhile, which is still counted as if it were in the buffer. So a payload
/// whose drop panics can end it.
///
/// Idle, it looks for work by itself for some 10 ms and then sleeps until it is woken. Readers are woken some 50 µs
/// later than the publisher would have done at best.
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
    /// Acquire and Release; that a sleeping dispatcher looks at it is the queue's lock's doing.
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

    /// Wakes what publishing hands over, until the broker is closed or [`stop`](Self::stop) is called.
    ///
    /// A broker may have several running; each takes what it finds.
    ///
    /// # Panics
    ///
    /// If the drop of an evicted payload does. Everybody is woken then.
    pub fn run(&self) {
        self.core.dispatch.run(|| self.stopped.get() || self.core.log.end().closed);
    }

    /// Ends this dispatcher, also if it has yet to run. What it was handed is woken.
    pub fn stop(&self) {
        self.stopped.set();
        self.core.dispatch.nudge();
    }
}

impl<P> fmt::Debug for Dispatcher<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}
