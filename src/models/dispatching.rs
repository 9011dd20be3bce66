//! Dispatchers: what is queued for them, against their end and against being queued again: G6, G10.
//! Which readers are woken is modelled in `waiting`.
//!
//! Broken by a dispatcher that sleeps unlisted, checks for its end without the lock, ends with something queued, drops
//! before it wakes, or counts drops wrongly; by a publisher that trusts the copy of the number of dispatchers; and by a
//! `queued` flag that is cleared too late, never, or without an acquire.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Count, broker, check, event, everything, keys, spawn};
use crate::wait::{Dispatch, Registration, Signal, WaitList, Waiter, WakeBatch};

/// A dispatcher loses no wake-up, not even one that is queued while it ends.
#[test]
fn dispatcher_hand_over() {
    check(|| {
        let broker = broker(2);
        let mut reader = broker.subscribe(keys(&["a"])).unwrap();
        let dispatcher = Arc::new(broker.dispatcher());
        let waking = spawn({
            let dispatcher = Arc::clone(&dispatcher);
            move || dispatcher.run()
        });
        let reading = spawn(move || reader.recv().unwrap().index());
        broker.publish(1, [event("a", 1)]).unwrap();
        assert_eq!(reading.join().unwrap(), 1);
        broker.close();
        waking.join().unwrap();
    });
}

/// The same if it is stopped while the wake-up is queued.
#[test]
fn dispatcher_death() {
    check(|| {
        let broker = broker(2);
        let mut reader = broker.subscribe(everything()).unwrap();
        let waker = Arc::new(Count::default());
        assert!(reader.poll_recv(&mut Context::from_waker(&Waker::from(Arc::clone(&waker)))).is_pending());
        let dispatcher = Arc::new(broker.dispatcher());
        let stopper = Arc::clone(&dispatcher);
        let waking = spawn(move || dispatcher.run());
        let publisher = spawn(move || {
            broker.publish(1, [event("a", 1)]).unwrap();
            broker
        });
        stopper.stop();
        let broker = publisher.join().unwrap();
        waking.join().unwrap();
        // Checked before the broker is dropped, which wakes everybody.
        assert_eq!(waker.0.load(Ordering::Relaxed), 1);
        drop((broker, reader));
    });
}

/// A value whose drop records whether it was counted as deferred until then, and whether the waiter was woken before.
struct Evicted {
    dispatch: Weak<Dispatch<(), Evicted>>,
    woken: Arc<Count>,
    dropped: Arc<Mutex<Vec<(bool, bool)>>>,
}

impl Drop for Evicted {
    fn drop(&mut self) {
        let deferred = self.dispatch.upgrade().is_some_and(|dispatch| dispatch.deferred_drops() > 0);
        let woken = self.woken.0.load(Ordering::Relaxed) == 1;
        self.dropped.lock().unwrap().push((deferred, woken));
    }
}

/// A deferred value is dropped once, after the waking, and counted until then, even if the dispatcher is ending.
#[test]
fn dispatcher_with_deferred_drops() {
    check(|| {
        let dispatch = Arc::new(Dispatch::<(), Evicted>::new());
        let stopped = Arc::new(AtomicBool::new(false));
        let (waiter, list) = (Arc::new(Waiter::new(Registration::for_lists(1), false, ())), WaitList::<_>::default());
        let woken = Arc::new(Count::default());
        waiter.set_waker(&Waker::from(Arc::clone(&woken)));
        list.register(&waiter, 0);
        let (mut wake_batch, dropped) = (WakeBatch::default(), Arc::new(Mutex::new(Vec::new())));
        wake_batch.take(&list);
        let running = spawn({
            let (dispatch, stopped) = (Arc::clone(&dispatch), Arc::clone(&stopped));
            move || dispatch.run(|| stopped.load(Ordering::Acquire))
        });
        let stopper = spawn({
            let dispatch = Arc::clone(&dispatch);
            move || {
                stopped.store(true, Ordering::Release);
                dispatch.wake_dispatchers();
            }
        });
        let (weak, woken) = (Arc::downgrade(&dispatch), Arc::clone(&woken));
        let not_deferred = dispatch.wake_or_queue(
            wake_batch,
            Some(Evicted { dispatch: weak, woken, dropped: Arc::clone(&dropped) }),
            1,
        );
        stopper.join().unwrap();
        running.join().unwrap();
        let deferred = not_deferred.is_none();
        drop(not_deferred);
        assert_eq!((dropped.lock().unwrap().as_slice(), dispatch.deferred_drops()), ([(deferred, true)].as_slice(), 0));
    });
}

/// A waiter that is queued is not queued a second time. The reader that the first waking wakes finds what it would have
/// been queued for.
#[test]
fn waiter_that_is_queued_already() {
    check(|| {
        let waiter = Arc::new(Waiter::new(Registration::for_lists(1), false, ()));
        let made = Arc::new(AtomicUsize::new(0));
        let mut first = WakeBatch::default();
        made.store(1, Ordering::SeqCst);
        first.push(&waiter);
        let waking = spawn(move || first.wake());
        let publishing = spawn({
            let (waiter, made) = (Arc::clone(&waiter), Arc::clone(&made));
            move || {
                made.store(2, Ordering::Release);
                let mut second = WakeBatch::default();
                second.push(&waiter);
                second.wake();
            }
        });
        while made.load(Ordering::Acquire) < 2 {
            waiter.set_signal(Signal::Thread(crate::sync::current()));
            if made.load(Ordering::Acquire) < 2 {
                crate::sync::park();
            }
        }
        waking.join().unwrap();
        publishing.join().unwrap();
    });
}
