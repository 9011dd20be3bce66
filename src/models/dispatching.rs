//! The dispatcher: what it is handed against its ending. G10, G6.
//! Whom to wake is not its business, and modelled elsewhere.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};

use super::{Count, broker, check, event, everything, keys, spawn};
use crate::dispatch::Dispatch;
use crate::wait::{Mark, Seat, Taken, WaitList};

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
        let back = dispatch.wake(taken, Some(Garbage { dispatch: weak, woken, dropped: Arc::clone(&dropped) }));
        stopper.join().unwrap();
        running.join().unwrap();
        let lent = back.is_none();
        drop(back);
        assert_eq!((dropped.lock().unwrap().as_slice(), dispatch.lent()), ([(lent, true)].as_slice(), 0));
    });
}
