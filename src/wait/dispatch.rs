//! Waking on a thread of the host's own, so that publishing costs the same however many readers wait.
//! Which readers are woken is decided by the publisher: nothing here reads a batch.
//!
//! Invariants:
//! - Everything queued is woken: by a dispatcher, by a dispatcher that ends, or by a publisher that finds it overdue.
//! - The number of queued waiters is bounded by [`MAX_QUEUED`] and the number of readers.
//! - A dispatcher wakes before it drops, and drops without a lock.
//!
//! Callers: `core` queues after the broker's lock; `broker` runs dispatchers on the host's threads.

use std::fmt;
use std::mem;
use std::time::Duration;

use smallvec::SmallVec;

use super::wake::WakeBatch;
use crate::panics::Panics;
use crate::sync::{AtomicU64, DISPATCH_SPIN_LIMIT, Mutex, Ordering, Thread, current, park, park_timeout};

/// How long a dispatcher with nothing to do sleeps before it polls the queue again. As long as it does so, which is
/// [`DISPATCH_SPIN_LIMIT`] times in a row, a publisher need not wake it. Waking it would cost more than all the rest of
/// a publish (some 2 µs for a system call). At worst, readers are woken later by this interval.
const SPIN_INTERVAL: Duration = Duration::from_micros(50);

/// The waiters to be woken, and the threads that wake them. `G` is what these threads drop afterwards.
pub(crate) struct Dispatch<X, G> {
    queue: Mutex<Queue<X, G>>,
    running: Running,
    deferred_count: DeferredCount,
}

struct Queue<X, G> {
    /// The number of waiters in `wake_batch`.
    waiters: u64,
    /// Mostly one of each. In place, because memory that one thread allocates and another frees is expensive.
    wake_batch: SmallVec<[WakeBatch<X>; 1]>,
    deferred: SmallVec<[G; 1]>,
    /// The dispatchers that must be woken to see the queue.
    asleep: Vec<Thread>,
    running: u64,
}

impl<X, G> Queue<X, G> {
    fn take(&mut self) -> (SmallVec<[WakeBatch<X>; 1]>, SmallVec<[G; 1]>) {
        self.waiters = 0;
        (mem::take(&mut self.wake_batch), mem::take(&mut self.deferred))
    }

    /// Returns whether the dispatchers are stuck, or too slow by far for this number of readers. A reader can be queued
    /// twice, with a list and on its own. Readers that have left are queued as well.
    fn is_overdue(&self, readers: u64) -> bool {
        self.wake_batch.len() >= MAX_QUEUED
            || self.waiters > readers.saturating_mul(2).saturating_add(MAX_QUEUED as u64)
    }
}

/// The number of publishes with readers to wake, or of readers that have left, that are queued before a publisher wakes
/// what is queued itself. It bounds the queue.
const MAX_QUEUED: usize = 256;

/// A copy of [`Queue::running`] that publishers read without the lock. Only the value in the queue is decisive.
struct Running(AtomicU64);

/// The number of evicted values that were queued and are not dropped yet. Relaxed: it publishes no other data.
struct DeferredCount(AtomicU64);

impl<X, G> Dispatch<X, G> {
    pub(crate) fn new() -> Self {
        let queue = Queue {
            waiters: 0,
            wake_batch: SmallVec::new(),
            deferred: SmallVec::new(),
            asleep: Vec::new(),
            running: 0,
        };
        Self {
            queue: Mutex::new(queue),
            running: Running(AtomicU64::new(0)),
            deferred_count: DeferredCount(AtomicU64::new(0)),
        }
    }

    /// Returns how many evicted values a dispatcher has yet to drop.
    #[inline]
    pub(crate) fn deferred_drops(&self) -> u64 {
        self.deferred_count.0.load(Ordering::Relaxed)
    }

    /// Queues the waiters for a dispatcher, in O(lists), and `deferred` for it to drop. If no dispatcher runs, wakes
    /// them here and returns `deferred`. If the dispatchers are overdue for so many `readers`, wakes all that are
    /// queued here, and returns `deferred`. Never call it under a lock.
    ///
    /// What is dropped was written long ago, and with many readers it is in no cache. Dropping it would cost the
    /// publisher more than queueing ten thousand waiters.
    pub(crate) fn wake_or_queue(&self, wake_batch: WakeBatch<X>, deferred: Option<G>, readers: u64) -> Option<G> {
        // Relaxed: waking here is always right, and the queue's lock decides the rest.
        if wake_batch.is_empty() || self.running.0.load(Ordering::Relaxed) == 0 {
            wake_batch.wake();
            return deferred;
        }
        let mut queue = self.queue.lock();
        if queue.running == 0 {
            drop(queue);
            wake_batch.wake();
            return deferred;
        }
        queue.waiters += wake_batch.len();
        queue.wake_batch.push(wake_batch);
        if queue.is_overdue(readers) {
            queue.waiters = 0;
            let overdue = mem::take(&mut queue.wake_batch);
            drop(queue);
            overdue.into_iter().for_each(WakeBatch::wake);
            return deferred;
        }
        if let Some(deferred) = deferred {
            queue.deferred.push(deferred);
            self.deferred_count.0.fetch_add(1, Ordering::Relaxed);
        }
        let asleep = queue.asleep.pop();
        drop(queue);
        if let Some(asleep) = asleep {
            asleep.unpark();
        }
        None
    }

    /// Counts one more dispatcher until the guard is dropped. From now on waiters are queued.
    pub(crate) fn register_dispatcher(&self) -> RunningDispatcher<'_, X, G> {
        let mut queue = self.queue.lock();
        queue.running += 1;
        self.running.0.store(queue.running, Ordering::Relaxed);
        drop(queue);
        RunningDispatcher { dispatch: self }
    }

    /// Wakes, and then drops. Dropping runs foreign code: its first panic resumes when everything is dropped.
    fn wake_and_drop(&self, wake_batch: SmallVec<[WakeBatch<X>; 1]>, deferred: SmallVec<[G; 1]>) {
        wake_batch.into_iter().for_each(WakeBatch::wake);
        let mut panics = Panics::default();
        for deferred in deferred {
            panics.catch(|| drop(deferred));
            self.deferred_count.0.fetch_sub(1, Ordering::Relaxed);
        }
        panics.resume();
    }

    /// Wakes what is queued, until `ended` returns true. It is called under the lock of the queue. A caller that
    /// changes its result must call [`wake_dispatchers`](Self::wake_dispatchers) afterwards.
    pub(crate) fn run(&self, ended: impl Fn() -> bool) {
        let _run = self.register_dispatcher();
        let mut spins = 0;
        loop {
            let mut queue = self.queue.lock();
            if !queue.wake_batch.is_empty() {
                let (wake_batch, deferred) = queue.take();
                drop(queue);
                self.wake_and_drop(wake_batch, deferred);
                spins = 0;
            } else if ended() {
                return;
            } else if spins < DISPATCH_SPIN_LIMIT {
                drop(queue);
                spins += 1;
                park_timeout(SPIN_INTERVAL);
            } else {
                queue.asleep.push(current());
                drop(queue);
                park();
            }
        }
    }

    /// Makes all dispatchers check whether they have ended.
    pub(crate) fn wake_dispatchers(&self) {
        let asleep = mem::take(&mut self.queue.lock().asleep);
        for thread in asleep {
            thread.unpark();
        }
    }
}

/// One dispatcher that is counted as running. However it ends, what is queued is woken.
pub(crate) struct RunningDispatcher<'a, X, G> {
    dispatch: &'a Dispatch<X, G>,
}

impl<X, G> RunningDispatcher<'_, X, G> {
    /// Wakes what is queued, drops what came with it, and returns the number of waiters.
    pub(crate) fn wake_queued(&self) -> u64 {
        let mut queue = self.dispatch.queue.lock();
        let (wake_batch, deferred) = queue.take();
        drop(queue);
        let waiters = wake_batch.iter().map(WakeBatch::len).sum();
        let dispatch = self.dispatch;
        dispatch.wake_and_drop(wake_batch, deferred);
        waiters
    }
}

impl<X, G> Drop for RunningDispatcher<'_, X, G> {
    fn drop(&mut self) {
        let mut queue = self.dispatch.queue.lock();
        queue.running -= 1;
        self.dispatch.running.0.store(queue.running, Ordering::Relaxed);
        // Other dispatchers that still run would find the queue, too. Waking it here costs nothing.
        let (wake_batch, deferred) = queue.take();
        // A spurious wake-up may have left this thread in the list. It would be woken in place of another.
        let asleep = mem::take(&mut queue.asleep);
        drop(queue);
        for thread in asleep {
            thread.unpark();
        }
        self.dispatch.wake_and_drop(wake_batch, deferred);
    }
}

impl<X, G> fmt::Debug for Dispatch<X, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex as StdMutex};
    use std::task::{Wake, Waker};

    use super::super::waiter::{Registration, Waiter};
    use super::*;

    /// A waker that reports that it is called, and then blocks until it is let go.
    struct Blocks {
        called: StdMutex<Sender<()>>,
        let_go: StdMutex<Receiver<()>>,
    }

    impl Wake for Blocks {
        fn wake(self: Arc<Self>) {
            self.called.lock().expect("no panic").send(()).expect("the receiver exists");
            self.let_go.lock().expect("no panic").recv().expect("the sender exists");
        }
    }

    /// A value that a dispatcher drops. It counts its drop, and may panic.
    struct Dropped(Arc<AtomicUsize>, bool);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            assert!(!self.1, "as the test wants it");
        }
    }

    fn wake_batch(waiter: &Arc<Waiter<()>>) -> WakeBatch<()> {
        let mut wake_batch = WakeBatch::default();
        wake_batch.push(waiter);
        wake_batch
    }

    fn waiter() -> Arc<Waiter<()>> {
        Arc::new(Waiter::new(Registration::for_lists(1), false, ()))
    }

    /// A deferred drop that panics ends the dispatcher, but not before the others are dropped and counted.
    #[test]
    fn a_deferred_drop_that_panics_does_not_stop_the_others() {
        let dispatch = Dispatch::<(), Dropped>::new();
        let (called, is_called) = channel();
        let (let_go, is_let_go) = channel();
        let blocked = waiter();
        blocked.set_waker(&Waker::from(Arc::new(Blocks { called: called.into(), let_go: is_let_go.into() })));
        let dropped = Arc::new(AtomicUsize::new(0));
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let run = || catch_unwind(AssertUnwindSafe(|| dispatch.run(|| ended.load(Ordering::SeqCst))));
            let running = scope.spawn(run);
            while dispatch.running.0.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            assert!(dispatch.wake_or_queue(wake_batch(&blocked), None, 4).is_none());
            is_called.recv().expect("it is woken");
            // While it is stuck, three more are queued together.
            for panics in [false, true, false] {
                let deferred = Some(Dropped(Arc::clone(&dropped), panics));
                assert!(dispatch.wake_or_queue(wake_batch(&waiter()), deferred, 4).is_none(), "it runs");
            }
            let_go.send(()).expect("it waits");
            assert!(running.join().expect("it was caught").is_err(), "the panic resumes");
        });
        assert_eq!((dropped.load(Ordering::SeqCst), dispatch.deferred_drops()), (3, 0));
    }

    /// The queue of a stuck dispatcher is bounded, however many readers come and go: the publisher wakes then.
    #[test]
    fn a_stuck_dispatcher_is_helped_out() {
        let dispatch = Dispatch::<(), ()>::new();
        let run = dispatch.register_dispatcher();
        for _ in 0..10 * MAX_QUEUED + 3 {
            let waiter = waiter();
            assert!(dispatch.wake_or_queue(wake_batch(&waiter), None, 1).is_none());
            let queued = {
                let queue = dispatch.queue.lock();
                (queue.wake_batch.len(), queue.waiters)
            };
            assert!(queued.0 < MAX_QUEUED && queued.1 <= MAX_QUEUED as u64 + 2, "{queued:?}");
        }
        assert!(run.wake_queued() > 0, "what is left is the dispatcher's");
        assert_eq!(run.wake_queued(), 0);
    }

    /// A dispatcher that ends after a spurious wake-up is not listed any more. Otherwise another would sleep on in its
    /// place.
    #[test]
    fn a_dispatcher_that_has_ended_is_not_listed() {
        let dispatch = Dispatch::<(), ()>::new();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| dispatch.run(|| ended.load(Ordering::SeqCst)));
            while dispatch.queue.lock().asleep.is_empty() {
                std::thread::yield_now();
            }
            ended.store(true, Ordering::SeqCst);
            running.thread().unpark();
            running.join().expect("it ends");
        });
        assert!(dispatch.queue.lock().asleep.is_empty());
    }
}
