//! Waiting against publishing, closing and leaving: G10. A lost wake-up is a model that does not end.
//! What is delivered, and in which order, is modelled elsewhere.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Payload, broker, check, event, everything, keys, read_all, spawn};
use crate::dispatch::Dispatch;
use crate::wait::{Seat, Taken, WaitList};
use crate::{RecvError, Request, Subscription};

fn parked_reader_is_woken(request: fn() -> Request<Payload>) {
    check(move || {
        let broker = broker(2);
        let mut reader = broker.subscribe(request()).unwrap();
        let reading = spawn(move || reader.recv().unwrap().index());
        broker.publish(1, [event("a", 1)]).unwrap();
        assert_eq!(reading.join().unwrap(), 1);
    });
}

#[test]
fn park_against_publish() {
    parked_reader_is_woken(everything);
}

#[test]
fn park_at_a_node_against_publish() {
    parked_reader_is_woken(|| keys(&["a"]));
}

#[test]
fn park_at_two_nodes_against_publish() {
    parked_reader_is_woken(|| keys(&["b", "a"]));
}

#[test]
fn park_at_many_nodes_against_publish() {
    parked_reader_is_woken(|| keys(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]));
}

#[test]
fn park_for_a_future_index_against_publish() {
    parked_reader_is_woken(|| everything().start(crate::Start::Index(1)));
}

/// An enrolment outlives its wait: the second wait rests on what the first left behind, or on a list being woken.
#[test]
fn parking_again_against_publishing_again() {
    check(|| {
        let broker = broker(4);
        let mut reader = broker.subscribe(keys(&["a", "b"])).unwrap();
        let reading = spawn(move || (reader.recv().unwrap().index(), reader.recv().unwrap().index()));
        broker.publish(1, [event("a", 1)]).unwrap();
        broker.publish(2, [event("a", 2)]).unwrap();
        assert_eq!(reading.join().unwrap(), (1, 2));
    });
}

#[test]
fn park_against_close() {
    check(|| {
        let broker = broker(2);
        let mut reader = broker.subscribe(keys(&["a"])).unwrap();
        let reading = spawn(move || reader.recv().unwrap_err());
        broker.close();
        assert_eq!(reading.join().unwrap(), RecvError::Closed);
    });
}

#[test]
fn park_against_cancel() {
    check(|| {
        let broker = broker(2);
        let mut reader = broker.subscribe(everything()).unwrap();
        let handle = reader.handle();
        let reading = spawn(move || reader.recv().unwrap_err());
        handle.cancel();
        assert_eq!(reading.join().unwrap(), RecvError::Cancelled);
    });
}

#[test]
fn park_against_reset() {
    check(|| {
        let broker = broker(2);
        let mut reader = broker.subscribe(everything()).unwrap();
        let reading = spawn(move || reader.recv().unwrap_err());
        broker.reset(5, crate::Epoch::from(2));
        assert_eq!(reading.join().unwrap(), RecvError::Reset);
    });
}

/// Everything published before the close is delivered before the end.
#[test]
fn close_against_read() {
    check(|| {
        let broker = broker(2);
        let mut reader = broker.subscribe(everything()).unwrap();
        let publisher = spawn(move || {
            broker.publish(1, [event("a", 1)]).unwrap();
            broker.close();
        });
        assert_eq!(reader.recv().unwrap().index(), 1);
        assert_eq!(reader.recv().unwrap_err(), RecvError::Closed);
        publisher.join().unwrap();
    });
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that finds nothing is woken, and rung for if it has a doorbell; the waker is that of its last poll.
fn pending_task_is_woken(request: fn() -> Request<Payload>, bell: bool) {
    check(move || {
        let broker = broker(2);
        let mut reader = broker.subscribe(request()).unwrap();
        let bell = bell.then(|| reader.doorbell());
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let poll = |reader: &mut Subscription<Payload>, waker: &Arc<Count>| {
            let waker = Waker::from(Arc::clone(waker));
            reader.poll_recv(&mut Context::from_waker(&waker)).is_pending()
        };
        assert!(poll(&mut reader, &first));
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(1, [event("a", 1)]).unwrap()
        });
        let pending = poll(&mut reader, &last);
        publisher.join().unwrap();
        if pending {
            assert_eq!(last.0.load(Ordering::Relaxed), 1);
            assert!(bell.is_none_or(|bell| bell.try_recv().is_ok()));
            assert!(!poll(&mut reader, &last));
        } else {
            assert_eq!((Arc::strong_count(&first), Arc::strong_count(&last)), (1, 1), "no word is left behind");
        }
    });
}

#[test]
fn poll_against_publish() {
    pending_task_is_woken(everything, false);
}

#[test]
fn poll_at_two_nodes_against_publish() {
    pending_task_is_woken(|| keys(&["b", "a"]), true);
}

/// A reader that has emptied its backlog hears of the next batch, whichever way it emptied it.
fn empty_reader_is_rung_for(request: fn() -> Request<Payload>, read: fn(&mut Subscription<Payload>) -> usize) {
    check(move || {
        let broker = broker(2);
        let mut reader = broker.subscribe(request()).unwrap();
        let bell = reader.doorbell();
        bell.try_recv().expect("the first ring comes at once");
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(1, [event("a", 1)]).unwrap()
        });
        let mut count = read(&mut reader);
        publisher.join().unwrap();
        if count == 0 {
            bell.try_recv().expect("it rings for what was not read");
            count = read(&mut reader);
        }
        assert_eq!(count, 1);
    });
}

#[test]
fn bell_against_publish() {
    empty_reader_is_rung_for(everything, |reader| read_all(reader).len());
}

#[test]
fn bell_at_many_nodes_against_publish() {
    empty_reader_is_rung_for(|| keys(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]), |reader| read_all(reader).len());
}

#[test]
fn bell_of_windows_against_publish() {
    empty_reader_is_rung_for(everything, |reader| reader.drain().unwrap().iter().count());
}

/// One list, taken for one reader just as another enrols there: the other is found by the next batch.
#[test]
fn enrolling_while_a_list_is_taken() {
    check(|| {
        let broker = broker(4);
        let mut early = broker.subscribe(keys(&["a"])).unwrap();
        let mut reader = broker.subscribe(keys(&["a"])).unwrap();
        let waker = Waker::from(Arc::new(Count::default()));
        assert!(early.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        let reading = spawn(move || (reader.recv().unwrap().index(), reader.recv().unwrap().index()));
        broker.publish(1, [event("a", 1)]).unwrap();
        broker.publish(2, [event("a", 2)]).unwrap();
        assert_eq!(reading.join().unwrap(), (1, 2));
    });
}

/// The same for a reader of many nodes, which are named to it.
#[test]
fn parking_again_at_many_nodes() {
    check(|| {
        let broker = broker(4);
        let mut reader = broker.subscribe(keys(&["a", "b", "c", "d", "e", "f", "g", "h", "i"])).unwrap();
        let reading = spawn(move || (reader.recv().unwrap().index(), reader.recv().unwrap().index()));
        broker.publish(1, [event("a", 1)]).unwrap();
        broker.publish(2, [event("b", 2)]).unwrap();
        assert_eq!(reading.join().unwrap(), (1, 2));
    });
}

/// A pending receive that is dropped takes nothing with it: the next one is woken, or finds the batch.
#[test]
fn drop_of_a_pending_receive() {
    check(|| {
        let broker = broker(2);
        let mut reader = broker.subscribe(keys(&["a"])).unwrap();
        let reading = spawn(move || {
            let waker = Waker::from(Arc::new(Count::default()));
            let mut receive = reader.recv_async();
            let first = std::pin::Pin::new(&mut receive).poll(&mut Context::from_waker(&waker));
            drop(receive);
            match first {
                Poll::Ready(delivery) => delivery.unwrap().index(),
                Poll::Pending => reader.recv().unwrap().index(),
            }
        });
        broker.publish(1, [event("a", 1)]).unwrap();
        assert_eq!(reading.join().unwrap(), 1);
    });
}

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
        let (seat, list) = (Arc::new(Seat::new(1, false, ())), WaitList::default());
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

/// One reader leaves a node while another is to be woken there.
#[test]
fn unsubscribe_against_wake() {
    check(|| {
        let broker = broker(2);
        let mut leaving = broker.subscribe(keys(&["a"])).unwrap();
        let mut staying = broker.subscribe(keys(&["a"])).unwrap();
        let (left, stayed) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&left));
        assert!(leaving.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        let waker = Waker::from(Arc::clone(&stayed));
        assert!(staying.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        let leaver = spawn(move || drop(leaving));
        broker.publish(1, [event("a", 1)]).unwrap();
        leaver.join().unwrap();
        assert_eq!(stayed.0.load(Ordering::Relaxed), 1);
        assert!(staying.poll_recv(&mut Context::from_waker(&waker)).is_ready());
        drop(staying);
        assert_eq!(broker.stats().terms, 0);
    });
}
