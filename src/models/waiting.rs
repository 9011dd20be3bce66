//! Waiting against publishing, closing and leaving: G10. A lost wake-up is a model that does not end.
//! What is delivered, and in which order, is modelled elsewhere.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{Payload, broker, check, event, everything, keys, spawn};
use crate::{RecvError, Request};

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
