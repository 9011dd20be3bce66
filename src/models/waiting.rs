//! Waiting threads against publishing, closing, skipping and leaving: G10.
//! What is delivered, and in which order, is modelled in `fanout`; waiting without a thread is in `tasks`.
//!
//! A lost wake-up is a model that does not end.
//!
//! Broken by a missing fence or second read between registering and sleeping, a signal that is stored after
//! registering, waiters that are taken before the end moves, a bit that is cleared outside the lock of its part, a list
//! that loses a part of its waiters when it becomes striped, a
//! registration that is cleared after the wake, and a close that wakes first or not at all.

use std::sync::Arc;
use std::task::{Context, Waker};

use loom::sync::atomic::Ordering;

use super::{Count, Payload, broker, check, event, everything, keys, spawn};
use crate::sync::choose_stripe;
use crate::wait::{Registration, WaitList, Waiter, WakeBatch};
use crate::{Broker, RecvError, Request};

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

/// Requests of a reader whose place has not come yet: at one node, at two, and at so many that it has a hit queue.
const PENDING: [fn() -> Request<Payload>; 3] =
    [|| keys(&["a"]), || keys(&["b", "a"]), || keys(&["a", "b", "c", "d", "e", "f", "g", "h", "i"])];

fn pending(which: usize) -> Request<Payload> {
    PENDING[which]().start(crate::Start::Index(2))
}

/// The place of a reader comes with a batch that it asked for.
fn park_for_a_place_that_comes(which: usize) {
    check(move || {
        let broker = broker(4);
        broker.publish(1, [event("x", 1)]).unwrap();
        let mut reader = broker.subscribe(pending(which)).unwrap();
        let reading = spawn(move || reader.recv().unwrap().index());
        broker.publish(2, [event("a", 2)]).unwrap();
        assert_eq!(reading.join().unwrap(), 2);
    });
}

/// The place comes with a batch that the reader did not ask for, and the next batch is one that it asked for. What it
/// was registered for when its place came is not what it waits for then.
fn park_for_a_place_that_comes_with_something_else(which: usize) {
    check(move || {
        let broker = broker(4);
        broker.publish(1, [event("x", 1)]).unwrap();
        let mut reader = broker.subscribe(pending(which)).unwrap();
        let reading = spawn(move || reader.recv().unwrap().index());
        broker.publish(2, [event("x", 2)]).unwrap();
        broker.publish(3, [event("a", 3)]).unwrap();
        assert_eq!(reading.join().unwrap(), 3);
    });
}

#[test]
fn park_for_a_place_at_a_node_against_publish() {
    park_for_a_place_that_comes(0);
}

#[test]
fn park_for_a_place_at_two_nodes_against_publish() {
    park_for_a_place_that_comes(1);
}

#[test]
fn park_for_a_place_at_many_nodes_against_publish() {
    park_for_a_place_that_comes(2);
}

#[test]
fn park_for_a_place_at_a_node_against_two_publishes() {
    park_for_a_place_that_comes_with_something_else(0);
}

#[test]
fn park_for_a_place_at_two_nodes_against_two_publishes() {
    park_for_a_place_that_comes_with_something_else(1);
}

#[test]
fn park_for_a_place_at_many_nodes_against_two_publishes() {
    park_for_a_place_that_comes_with_something_else(2);
}

/// A skip ends a wait for a place before its target with a loss, and a wait for the target with the next batch.
#[test]
fn park_for_a_place_against_a_skip() {
    for (place, expected) in [(2, Err(true)), (5, Ok(5))] {
        check(move || {
            let broker = Broker::builder().max_batches(4).epoch(crate::Epoch::from(7)).build().unwrap();
            let mut reader = broker.subscribe(keys(&["a"]).start(crate::Start::Index(place))).unwrap();
            let reading = spawn(move || match reader.recv() {
                Ok(delivery) => Ok(delivery.index()),
                Err(error) => Err(error.lagged().expect("a loss").skipped),
            });
            broker.skip_to("0000000000000007-5-0".parse().unwrap()).unwrap();
            broker.publish(5, [event("a", 5)]).unwrap();
            assert_eq!(reading.join().unwrap(), expected);
        });
    }
}

/// A read while a skip empties the log knows why it is empty: the reported count is exact.
#[test]
fn read_against_a_skip() {
    check(|| {
        let broker = Broker::builder().max_batches(4).epoch(crate::Epoch::from(7)).build().unwrap();
        broker.publish(1, [event("a", 1)]).unwrap();
        let mut reader = broker.subscribe(keys(&["a"]).start(crate::Start::Index(1))).unwrap();
        let reading = spawn(move || match reader.recv() {
            Ok(delivery) => assert_eq!(delivery.index(), 1),
            Err(error) => assert!(error.lagged().expect("a loss").skipped),
        });
        broker.skip_to("0000000000000007-5-0".parse().unwrap()).unwrap();
        reading.join().unwrap();
    });
}

/// A registration outlives its wait. The second wait relies on the registration that the first left, or on a list whose
/// waiters are being woken.
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

/// Everything that was published before the close is delivered before the end.
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

/// In models a list becomes striped when a second waiter registers. One waits, and two more register at the same time,
/// on threads of a stripe each, while the list is taken.
fn a_list_that_becomes_striped(request: fn() -> Request<Payload>) {
    check(move || {
        let broker = broker(2);
        let [mut first, second, third] = [(); 3].map(|()| broker.subscribe(request()).unwrap());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        assert!(first.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        let reading = (0..).zip([second, third]).map(|(stripe, mut reader)| {
            spawn(move || {
                choose_stripe(stripe);
                reader.recv().unwrap().index()
            })
        });
        let reading: Vec<_> = reading.collect();
        broker.publish(1, [event("a", 1)]).unwrap();
        for reading in reading {
            assert_eq!(reading.join().unwrap(), 1);
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_list_of_everything_that_becomes_striped() {
    a_list_that_becomes_striped(everything);
}

#[test]
fn a_list_of_a_node_that_becomes_striped() {
    a_list_that_becomes_striped(|| keys(&["a"]));
}

/// Waiters leave a striped list, each from a part of its own, while it is taken.
#[test]
fn leaving_a_striped_list_against_publish() {
    check(|| {
        let broker = broker(2);
        let mut readers = [(); 3].map(|()| broker.subscribe(everything()).unwrap());
        let counts = [(); 3].map(|()| Arc::new(Count::default()));
        for (stripe, (reader, count)) in (0..).zip(readers.iter_mut().zip(&counts)) {
            choose_stripe(stripe % 2);
            let waker = Waker::from(Arc::clone(count));
            assert!(reader.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        }
        let [stays, goes, other] = readers;
        let leaving = spawn(move || drop(goes));
        broker.publish(1, [event("a", 1)]).unwrap();
        leaving.join().unwrap();
        drop(other);
        let woken = counts.map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!((woken[0], woken[2]), (1, 1), "{woken:?}");
        broker.publish(2, [event("a", 2)]).unwrap();
        drop(stays);
    });
}

/// A list is taken for one reader just as another registers there. The other is found by the next batch.
#[test]
fn register_while_a_list_is_taken() {
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

/// The same for a list of a hit queue.
#[test]
fn register_while_a_hit_is_queued() {
    check(|| {
        let (early, late) = (
            Arc::new(Waiter::new(Registration::for_lists(1), true, ())),
            Arc::new(Waiter::new(Registration::for_lists(1), true, ())),
        );
        let list = Arc::new(WaitList::<_>::default());
        list.register(&early, 0);
        let registering = spawn({
            let (list, late) = (Arc::clone(&list), Arc::clone(&late));
            move || list.register(&late, 0)
        });
        WakeBatch::default().queue_hits(&list);
        registering.join().unwrap();
        let mut hits = Vec::new();
        late.take_hits(&mut hits);
        assert!(list.is_occupied() || hits == [0]);
    });
}

/// A reader of many nodes, which has a hit queue, waits for each of two.
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

/// A reader whose hit was queued registers again, and can do so.
#[test]
fn register_again_against_queueing() {
    check(|| {
        let (waiter, list) =
            (Arc::new(Waiter::new(Registration::for_lists(1), true, ())), Arc::new(WaitList::<_>::default()));
        list.register(&waiter, 0);
        let queueing = spawn({
            let list = Arc::clone(&list);
            move || {
                let mut wake_batch = WakeBatch::default();
                wake_batch.queue_hits(&list);
                wake_batch.wake();
            }
        });
        let (mut before, mut after) = (Vec::new(), Vec::new());
        waiter.take_hits(&mut before);
        if !before.is_empty() {
            list.register(&waiter, 0);
        }
        queueing.join().unwrap();
        waiter.take_hits(&mut after);
        assert_eq!(list.is_occupied(), before == [0], "registered anew");
        assert_eq!([before, after].concat(), [0], "reported once");
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
