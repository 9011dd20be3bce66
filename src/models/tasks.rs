//! Waiting tasks and doorbells against publishing: G10.
//! Threads that wait are in `waiting`.
//!
//! A lost wake-up is a waker that was not called when all is done.
//!
//! Broken by a signal or a doorbell that is set after registering, an empty read that is not repeated, a waker that is
//! kept although another polls, and a finished or dropped poll that leaves its waker behind.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::Ordering;

use super::{Count, Payload, broker, check, event, everything, keys, read_all, spawn};
use crate::{Request, Subscription};

type Polled = fn(&mut Subscription<Payload>, &mut Context<'_>) -> Poll<u64>;

fn delivery(reader: &mut Subscription<Payload>, context: &mut Context<'_>) -> Poll<u64> {
    reader.poll_recv(context).map(|delivery| delivery.unwrap().index())
}

fn readable(reader: &mut Subscription<Payload>, context: &mut Context<'_>) -> Poll<u64> {
    reader.poll_readable(context).map(|()| reader.try_recv().unwrap().index())
}

/// A task that finds nothing is woken, and its doorbell rings if it has one. The waker is that of its last poll.
fn pending_task_is_woken(request: fn() -> Request<Payload>, bell: bool, polled: Polled) {
    check(move || {
        let broker = broker(2);
        let mut reader = broker.subscribe(request()).unwrap();
        let bell = bell.then(|| reader.doorbell());
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let poll = |reader: &mut Subscription<Payload>, waker: &Arc<Count>| {
            let waker = Waker::from(Arc::clone(waker));
            polled(reader, &mut Context::from_waker(&waker)).is_pending()
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
            assert_eq!((Arc::strong_count(&first), Arc::strong_count(&last)), (1, 1), "no waker is left behind");
        }
    });
}

#[test]
fn poll_against_publish() {
    pending_task_is_woken(everything, false, delivery);
}

#[test]
fn poll_readable_against_publish() {
    pending_task_is_woken(everything, false, readable);
}

#[test]
fn poll_at_two_nodes_against_publish() {
    pending_task_is_woken(|| keys(&["b", "a"]), true, delivery);
}

/// The place of a task comes with a batch that it did not ask for, and the next batch is one that it asked for. The
/// task is woken for that one, wherever its polls come in between.
fn task_for_a_place(request: fn() -> Request<Payload>, polled: Polled) {
    check(move || {
        let broker = broker(4);
        broker.publish(1, [event("x", 1)]).unwrap();
        let mut reader = broker.subscribe(request().start(crate::Start::Index(2))).unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(2, [event("x", 2)]).unwrap();
                broker.publish(3, [event("a", 3)]).unwrap();
            }
        });
        let mut found = polled(&mut reader, &mut Context::from_waker(&waker));
        publisher.join().unwrap();
        // Everything is published. A task that was woken is polled, and must find the batch in the end.
        for _ in 0..2 {
            if found.is_pending() && count.0.swap(0, Ordering::Relaxed) > 0 {
                found = polled(&mut reader, &mut Context::from_waker(&waker));
            }
        }
        assert_eq!(found, Poll::Ready(3));
    });
}

#[test]
fn poll_for_a_place_at_a_node() {
    task_for_a_place(|| keys(&["a"]), delivery);
}

#[test]
fn poll_for_a_place_at_two_nodes() {
    task_for_a_place(|| keys(&["b", "a"]), delivery);
}

#[test]
fn poll_for_a_place_at_many_nodes() {
    task_for_a_place(|| keys(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]), delivery);
}

#[test]
fn poll_readable_for_a_place_at_a_node() {
    task_for_a_place(|| keys(&["a"]), readable);
}

/// The same with a doorbell, which rings as often as needed.
#[test]
fn bell_for_a_place_against_two_publishes() {
    check(|| {
        let broker = broker(4);
        broker.publish(1, [event("x", 1)]).unwrap();
        let mut reader = broker.subscribe(keys(&["a"]).start(crate::Start::Index(2))).unwrap();
        let bell = reader.doorbell();
        let publisher = spawn({
            let broker = broker.clone();
            move || {
                broker.publish(2, [event("x", 2)]).unwrap();
                broker.publish(3, [event("a", 3)]).unwrap();
            }
        });
        let mut read = Vec::new();
        if bell.try_recv().is_ok() {
            read.extend(read_all(&mut reader));
        }
        publisher.join().unwrap();
        while bell.try_recv().is_ok() {
            read.extend(read_all(&mut reader));
        }
        assert_eq!(read, [3]);
    });
}

/// A reader that has emptied its backlog is rung for the next batch, in whichever way it emptied it.
fn empty_reader_is_rung_for(request: fn() -> Request<Payload>, read: fn(&mut Subscription<Payload>) -> usize) {
    check(move || {
        let broker = broker(2);
        let mut reader = broker.subscribe(request()).unwrap();
        let bell = reader.doorbell();
        assert_eq!(read(&mut reader), 0);
        broker.publish(1, [event("a", 1)]).unwrap();
        bell.try_recv().expect("it rings");
        assert!(reader.try_recv().is_ok());
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(2, [event("a", 2)]).unwrap()
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

/// A task finds something by a poll without being woken. Its registration is still there, and the next poll must not
/// rely on it.
fn polling_again(poll: Polled) {
    check(move || {
        let broker = broker(4);
        let mut reader = broker.subscribe(keys(&["a"])).unwrap();
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut poll = |count: &Arc<Count>| {
            let waker = Waker::from(Arc::clone(count));
            poll(&mut reader, &mut Context::from_waker(&waker))
        };
        assert!(poll(&first).is_pending());
        let publisher = spawn({
            let broker = broker.clone();
            move || broker.publish(1, [event("a", 1)]).unwrap()
        });
        let early = poll(&first).is_ready();
        let pending = early && poll(&second).is_pending();
        publisher.join().unwrap();
        assert!(early || first.0.load(Ordering::Relaxed) == 1);
        assert_eq!(pending, early, "there is one batch");
        if pending {
            broker.publish(2, [event("a", 2)]).unwrap();
            assert!(second.0.load(Ordering::Relaxed) >= 1);
            assert_eq!(poll(&second), Poll::Ready(2));
        }
    });
}

#[test]
fn polling_again_against_publish() {
    polling_again(delivery);
}

#[test]
fn polling_readable_again_against_publish() {
    polling_again(readable);
}

/// A pending receive that is dropped consumes nothing. The next receive is woken, or finds the batch.
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
