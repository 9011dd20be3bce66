//! The dispatcher: what it is handed against its ending. G10, G6.
//! Whom to wake is not its business, and modelled elsewhere.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Count, broker, check, event, everything, keys, spawn};
use crate::wait::Dispatch;
use crate::wait::{Mark, Seat, Signal, Taken, WaitList};

/// A dispatcher that is handed a wake-up, or is ending just then, loses none.
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

/// The same, where it is stopped while the wake-up is handed over.
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
        // Before the broker is dropped: that wakes everybody.
        assert_eq!(waker.0.load(Ordering::Relaxed), 1);
        drop((broker, reader));
    });
}

/// What is dropped notes whether it was counted as lent until then, and whether whoever waited was woken before.
struct Garbage {
    dispatch: Weak<Dispatch<(), Garbage>>,
    woken: Arc<Count>,
    dropped: Arc<Mutex<Vec<(bool, bool)>>>,
}

impl Drop for Garbage {
    fn drop(&mut self) {
        let lent = self.dispatch.upgrade().is_some_and(|dispatch| dispatch.lent() > 0);
        let woken = self.woken.0.load(Ordering::Relaxed) == 1;
        self.dropped.lock().unwrap().push((lent, woken));
    }
}

/// What a dispatcher is handed to drop is dropped once, after the waking, and counted until then, also if it is ending
/// just then.
#[test]
fn dispatcher_that_is_lent_garbage() {
    check(|| {
        let dispatch = Arc::new(Dispatch::<(), Garbage>::new());
        let stopped = Arc::new(AtomicBool::new(false));
        let (seat, list) = (Arc::new(Seat::new(Mark::for_lists(1), false, ())), WaitList::default());
        let woken = Arc::new(Count::default());
        seat.wait_task(&Waker::from(Arc::clone(&woken)));
        list.enrol(&seat, 0);
        let (mut taken, dropped) = (Taken::default(), Arc::new(Mutex::new(Vec::new())));
        list.take(&mut taken);
        let running = spawn({
            let (dispatch, stopped) = (Arc::clone(&dispatch), Arc::clone(&stopped));
            move || dispatch.run(|| stopped.load(Ordering::Acquire))
        });
        let stopper = spawn({
            let dispatch = Arc::clone(&dispatch);
            move || {
                stopped.store(true, Ordering::Release);
                dispatch.nudge();
            }
        });
        let (weak, woken) = (Arc::downgrade(&dispatch), Arc::clone(&woken));
        let back = dispatch.wake(taken, Some(Garbage { dispatch: weak, woken, dropped: Arc::clone(&dropped) }), 1);
        stopper.join().unwrap();
        running.join().unwrap();
        let lent = back.is_none();
        drop(back);
        assert_eq!((dropped.lock().unwrap().as_slice(), dispatch.lent()), ([(lent, true)].as_slice(), 0));
    });
}

/// A seat that waits to be woken is not queued a second time, and what it would have been queued for is found by the
/// reader that the first waking wakes.
#[test]
fn seat_that_is_queued_already() {
    check(|| {
        let seat = Arc::new(Seat::new(Mark::for_lists(1), false, ()));
        let made = Arc::new(AtomicUsize::new(0));
        let mut first = Taken::default();
        made.store(1, Ordering::SeqCst);
        first.push(&seat);
        let waking = spawn(move || first.wake());
        let publishing = spawn({
            let (seat, made) = (Arc::clone(&seat), Arc::clone(&made));
            move || {
                made.store(2, Ordering::Release);
                let mut second = Taken::default();
                second.push(&seat);
                second.wake();
            }
        });
        while made.load(Ordering::Acquire) < 2 {
            seat.wait(Signal::Thread(crate::sync::current()));
            if made.load(Ordering::Acquire) < 2 {
                crate::sync::park();
            }
        }
        waking.join().unwrap();
        publishing.join().unwrap();
    });
}
