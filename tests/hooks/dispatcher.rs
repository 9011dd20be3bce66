//! The dispatcher drops payloads, too: what is bounded stays bounded (G6), and what panics there loses no wake-up (G10).
//! How it wakes is modelled in the library.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;

use event_broker::{Broker, Dispatcher, Event, Request, Start, Subscription};

use crate::common::in_time;

const DISPATCHER: &str = "dispatcher";

fn on_dispatcher() -> bool {
    thread::current().name() == Some(DISPATCHER)
}

fn run<P: Send + Sync + 'static>(broker: &Broker<P>) -> (Arc<Dispatcher<P>>, thread::JoinHandle<()>) {
    let dispatcher = Arc::new(broker.dispatcher());
    let running = Arc::clone(&dispatcher);
    let thread = thread::Builder::new().name(DISPATCHER.into()).spawn(move || running.run()).expect("a thread");
    (dispatcher, thread)
}

fn park<P>(reader: &mut Subscription<P>, waker: &Waker) {
    while reader.poll_recv(&mut Context::from_waker(waker)).is_ready() {}
}

/// Holds the dispatcher up as long as there is somebody to release it.
struct Holding {
    arrived: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Wake for Holding {
    fn wake(self: Arc<Self>) {
        if on_dispatcher() {
            let _ = self.arrived.send(());
            let _ = self.go_on.lock().unwrap_or_else(PoisonError::into_inner).recv();
        }
    }
}

/// Semantics 7, G6: an eighth more than the buffer, also if a dispatcher has been handed some and is held up.
#[test]
fn what_a_dispatcher_has_yet_to_drop_is_bounded() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    in_time(|| {
        let broker = Broker::<Counted>::builder().max_batches(64).build().expect("a bound above zero");
        let live = Arc::<AtomicUsize>::default();
        let mut index = 0;
        let mut publish = || {
            live.fetch_add(1, Ordering::SeqCst);
            index += 1;
            broker.publish(index, [Event::new("Job", "Changed", "web", Counted(Arc::clone(&live)))]).expect("rising");
            assert!(live.load(Ordering::SeqCst) <= 72, "{} payloads", live.load(Ordering::SeqCst));
        };
        let (dispatcher, thread) = run(&broker);
        let (arrived, arrivals) = channel();
        let (release, go_on) = channel();
        let waker = Waker::from(Arc::new(Holding { arrived, go_on: Mutex::new(go_on) }));
        let open = || broker.subscribe(Request::new().start(Start::Latest).namespace("*")).expect("open");
        // Until it runs, the publisher wakes.
        while arrivals.try_recv().is_err() {
            let mut reader = open();
            park(&mut reader, &waker);
            publish();
            thread::yield_now();
        }
        for _ in 0..500 {
            let mut reader = open();
            park(&mut reader, Waker::noop());
            publish();
        }
        drop(release);
        dispatcher.stop();
        thread.join().expect("it was stopped");
    });
}

/// Semantics 19: the panic ends the dispatcher when everybody is awake, and publishing wakes by itself from then on.
#[test]
fn a_payload_that_panics_in_the_dispatcher_ends_it_and_nothing_else() {
    struct Panicking;
    impl Drop for Panicking {
        fn drop(&mut self) {
            assert!(!on_dispatcher() || thread::panicking(), "a payload that will not be dropped there");
        }
    }
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    in_time(|| {
        let broker = Broker::<Panicking>::builder().max_batches(64).build().expect("a bound above zero");
        let (_dispatcher, thread) = run(&broker);
        let mut reader = broker.subscribe(Request::new().start(Start::Latest).namespace("*")).expect("open");
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut index = 0;
        let mut woken_by_publish = || {
            park(&mut reader, &waker);
            let before = count.0.load(Ordering::SeqCst);
            index += 1;
            broker.publish(index, [Event::new("Job", "Changed", "web", Panicking)]).expect("rising");
            while count.0.load(Ordering::SeqCst) == before {
                thread::yield_now();
            }
        };
        while !thread.is_finished() {
            woken_by_publish();
        }
        assert!(thread.join().is_err(), "its payload panicked");
        (0..200).for_each(|_| woken_by_publish());
        assert_eq!(broker.stats().buffered_batches, 64);
    });
}
