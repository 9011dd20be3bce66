//! Waking on a thread of the host's own, so that publishing stays flat however many readers wait.
//! Whom to wake was decided by the publisher; nothing here looks at a batch.

use std::fmt;
use std::mem;
use std::time::Duration;

use crate::sync::{AtomicU64, LINGERS, Mutex, Ordering, Thread, current, park, park_timeout};
use crate::wait::Taken;

/// How long a dispatcher with nothing to do sleeps before it looks again by itself. For as long as it [`LINGERS`] a
/// publisher need not wake it, which would cost more than all the rest of a publish (some 2 µs for a system call). So
/// much later are readers woken at worst.
const LINGER: Duration = Duration::from_micros(50);

/// Seats to be woken, and the threads that do it.
pub(crate) struct Dispatch<X> {
    queue: Mutex<Queue<X>>,
    running: Running,
}

struct Queue<X> {
    taken: Vec<Taken<X>>,
    /// Dispatchers that must be woken to see the queue.
    asleep: Vec<Thread>,
    running: u64,
}

/// A copy of [`Queue::running`] for publishers. Only that of the queue is believed.
struct Running(AtomicU64);

impl<X> Dispatch<X> {
    pub(crate) fn new() -> Self {
        let queue = Queue { taken: Vec::new(), asleep: Vec::new(), running: 0 };
        Self { queue: Mutex::new(queue), running: Running(AtomicU64::new(0)) }
    }

    /// Hands the seats to a dispatcher, in O(lists), or wakes them here if none runs. Never call it under a lock.
    pub(crate) fn wake(&self, taken: Taken<X>) {
        // Relaxed: waking here is always right, and the queue's lock decides the rest.
        if taken.is_empty() || self.running.0.load(Ordering::Relaxed) == 0 {
            return taken.wake();
        }
        let mut queue = self.queue.lock();
        if queue.running == 0 {
            drop(queue);
            return taken.wake();
        }
        queue.taken.push(taken);
        let asleep = queue.asleep.pop();
        drop(queue);
        if let Some(asleep) = asleep {
            asleep.unpark();
        }
    }

    /// Wakes what is handed over, until `ended` says so. It is asked under the queue's lock; who changes its answer
    /// must [`nudge`](Self::nudge).
    pub(crate) fn run(&self, ended: impl Fn() -> bool) {
        let mut queue = self.queue.lock();
        queue.running += 1;
        self.running.0.store(queue.running, Ordering::Relaxed);
        drop(queue);
        let _run = Run { dispatch: self };
        let mut lingered = 0;
        loop {
            let mut queue = self.queue.lock();
            if !queue.taken.is_empty() {
                let taken = mem::take(&mut queue.taken);
                drop(queue);
                taken.into_iter().for_each(Taken::wake);
                lingered = 0;
            } else if ended() {
                return;
            } else if lingered < LINGERS {
                drop(queue);
                lingered += 1;
                park_timeout(LINGER);
            } else {
                queue.asleep.push(current());
                drop(queue);
                park();
            }
        }
    }

    /// Makes all dispatchers look whether they have ended.
    pub(crate) fn nudge(&self) {
        let asleep = mem::take(&mut self.queue.lock().asleep);
        for thread in asleep {
            thread.unpark();
        }
    }
}

/// One run. However it ends, nobody is left asleep.
struct Run<'a, X> {
    dispatch: &'a Dispatch<X>,
}

impl<X> Drop for Run<'_, X> {
    fn drop(&mut self) {
        let mut queue = self.dispatch.queue.lock();
        queue.running -= 1;
        self.dispatch.running.0.store(queue.running, Ordering::Relaxed);
        // Whoever runs on looks at the queue as well; that it is woken here costs nothing.
        let taken = mem::take(&mut queue.taken);
        drop(queue);
        taken.into_iter().for_each(Taken::wake);
    }
}

impl<X> fmt::Debug for Dispatch<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").finish_non_exhaustive()
    }
}
