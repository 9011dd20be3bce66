//! Several threads that publish: each commits its share of a window under a lock, as those of a state store do. Then one
//! thread lets the readers read, and checks the count of each.
//!
//! The order of indexes is that of the lock, so rivals need the lock as well, whatever they could do without.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::Structure;
use super::event::Plan;
use super::inline::Inline;
use super::measure::nanos;

/// What the lock protects.
struct Store<S: Structure> {
    rig: Inline<S>,
    /// The batches of the window that are not yet committed.
    ready: VecDeque<S::Prepared>,
}

struct Shared<S: Structure> {
    store: Mutex<Store<S>>,
    /// Windows begun.
    begun: AtomicU64,
    /// Threads beside the first that have committed their share of the window.
    done: AtomicUsize,
    /// Whether the others spin until a window begins. Otherwise they sleep.
    awake: AtomicBool,
    over: AtomicBool,
}

/// Spins until another thread is let run.
const SPINS: u32 = 256;

fn spin_until(mut holds: impl FnMut() -> bool) {
    let mut spun = 0_u32;
    while !holds() {
        spun = spun.wrapping_add(1);
        if spun.is_multiple_of(SPINS) { thread::yield_now() } else { std::hint::spin_loop() }
    }
}

impl<S: Structure> Shared<S> {
    /// Commits so many batches, each under the lock, in the order in which they are ready.
    fn commit(&self, share: usize, mut clock: Option<&mut Histogram<u64>>) {
        for _ in 0..share {
            let start = clock.is_some().then(Instant::now);
            let mut store = self.store.lock();
            let batch = store.ready.pop_front().expect("one for each share");
            store.rig.structure.publish(batch);
            drop(store);
            if let (Some(publish), Some(start)) = (&mut clock, start) {
                publish.record(nanos(start.elapsed())).expect("resizes");
            }
        }
    }

    /// What a thread beside the first does.
    fn publish(&self, share: usize) {
        let mut seen = 0;
        loop {
            while !self.awake.load(Ordering::Acquire) && !self.over.load(Ordering::Acquire) {
                thread::park();
            }
            spin_until(|| {
                self.begun.load(Ordering::Acquire) > seen
                    || !self.awake.load(Ordering::Acquire)
                    || self.over.load(Ordering::Acquire)
            });
            if self.over.load(Ordering::Acquire) {
                return;
            }
            if self.begun.load(Ordering::Acquire) > seen {
                seen += 1;
                self.commit(share, None);
                self.done.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

/// The rig: this thread is one of those that publish.
pub(crate) struct Commits<S: Structure> {
    shared: Arc<Shared<S>>,
    own_share: usize,
    others: Vec<JoinHandle<()>>,
}

impl<S: Structure> Commits<S> {
    /// Opens this many readers, and starts the threads beside this one. Each has a share of every window.
    pub(crate) fn new(readers: usize, plan: Plan, publishers: usize) -> Self {
        assert!((1..=plan.window).contains(&publishers), "a share for each publisher");
        let share = plan.window / publishers;
        let own_share = plan.window - share * (publishers - 1);
        let store = Mutex::new(Store { rig: Inline::new(readers, plan), ready: VecDeque::new() });
        let shared = Arc::new(Shared {
            store,
            begun: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            awake: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let other = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.publish(share))
        };
        let others = (1..publishers).map(other).collect();
        Self { shared, own_share, others }
    }

    /// The other threads spin from now on, or sleep.
    pub(crate) fn wake(&self, awake: bool) {
        self.shared.awake.store(awake, Ordering::Release);
        self.others.iter().map(JoinHandle::thread).for_each(Thread::unpark);
    }

    /// Publishes a window from all threads at once, and lets all readers read it. The others must be awake. Returns how
    /// long it took, and the number of deliveries. If there is a `clock`, it records the commits of this thread, the wait
    /// for the lock in them.
    pub(crate) fn window(&mut self, clock: Option<&mut Histogram<u64>>) -> (Duration, u64) {
        let shared = &*self.shared;
        let mut store = shared.store.lock();
        let (batches, expected) = (store.rig.prepare(), store.rig.expected());
        store.ready.extend(batches);
        drop(store);
        shared.done.store(0, Ordering::Release);
        let start = Instant::now();
        shared.begun.fetch_add(1, Ordering::AcqRel);
        shared.commit(self.own_share, clock);
        let all_done = || shared.done.load(Ordering::Acquire) == self.others.len();
        spin_until(|| all_done() || self.others.iter().any(JoinHandle::is_finished));
        assert!(all_done(), "{}: a publisher has panicked", S::name());
        let mut store = shared.store.lock();
        store.rig.read();
        let elapsed = start.elapsed();
        let deliveries = store.rig.check();
        drop(store);
        assert_eq!(deliveries, expected, "{}: deliveries were lost", S::name());
        (elapsed, deliveries)
    }
}

impl<S: Structure> Drop for Commits<S> {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        for other in self.others.drain(..) {
            other.thread().unpark();
            // One that panicked has printed its message.
            let _ = other.join();
        }
    }
}
