//! The dispatcher also drops payloads: memory stays bounded (G6), and a panic there loses no wake-up (G10).
//!
//! Its wake-ups are modelled in the library.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;

use event_broker::{Broker, Dispatcher, Event, Request, Start, Subscription};

use crate::common::{WakeCount, in_time};

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

/// Blocks the dispatcher until the test releases it.
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

/// Semantics 7, G6: an eighth more than the buffer, also if the dispatcher has batches to drop and is blocked.
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
        // Until it runs, the publisher wakes the readers.
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

/// Semantics 19: the panic ends the dispatcher after all readers are awake, and from then on publishing wakes by
/// itself.
#[test]
fn a_payload_that_panics_in_the_dispatcher_ends_it_and_nothing_else() {
    struct Panicking;
    impl Drop for Panicking {
        fn drop(&mut self) {
            assert!(!on_dispatcher() || thread::panicking(), "a payload that will not be dropped there");
        }
    }
    in_time(|| {
        let broker = Broker::<Panicking>::builder().max_batches(64).build().expect("a bound above zero");
        let (_dispatcher, thread) = run(&broker);
        let mut reader = broker.subscribe(Request::new().start(Start::Latest).namespace("*")).expect("open");
        let (count, waker) = WakeCount::new();
        let mut index = 0;
        let mut woken_by_publish = || {
            park(&mut reader, &waker);
            let before = count.get();
            index += 1;
            broker.publish(index, [Event::new("Job", "Changed", "web", Panicking)]).expect("rising");
            while count.get() == before {
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

fn job<P>(payload: P) -> [Event<P>; 1] {
    [Event::new("Job", "Changed", "web", payload)]
}

/// While a guard lives publishing wakes no reader. Each step wakes the readers that were queued before it; when the
/// last of several guards is dropped, publishing wakes again.
#[test]
fn a_guard_wakes_step_by_step_and_what_is_left_when_it_is_dropped() {
    let broker = Broker::<u8>::builder().max_batches(8).build().expect("a bound above zero");
    let open = || broker.subscribe(Request::new().start(Start::Latest).namespace("*")).expect("open");
    let mut readers = [open(), open(), open()];
    let counts = [(); 3].map(|()| Arc::new(WakeCount::default()));
    let mut index = 0;
    let mut publish = || {
        for (reader, count) in readers.iter_mut().zip(&counts) {
            park(reader, &Waker::from(Arc::clone(count)));
        }
        index += 1;
        broker.publish(index, job(1)).expect("rising");
    };
    let woken = || counts.each_ref().map(|count| count.get());

    let dispatcher = broker.dispatcher();
    let (first, second) = (dispatcher.start(), dispatcher.start());
    assert_eq!(first.wake_queued(), 0, "nothing was handed over");
    publish();
    assert_eq!(woken(), [0; 3]);
    assert_eq!((first.wake_queued(), second.wake_queued()), (3, 0), "each takes what it finds");
    assert_eq!(woken(), [1; 3]);
    publish();
    drop(second);
    assert_eq!(woken(), [2; 3], "what is queued is woken, although another dispatcher runs on");
    publish();
    assert_eq!(woken(), [2; 3]);
    dispatcher.stop();
    assert_eq!(woken(), [2; 3], "only `run` is stopped");
    drop(first);
    assert_eq!(woken(), [3; 3]);
    publish();
    assert_eq!(woken(), [4; 3], "publishing wakes by itself");
}

/// A closing broker wakes by itself, also readers that are queued for a batch.
#[test]
fn a_guard_that_outlives_its_broker_has_nothing_to_wake() {
    let broker = Broker::<u8>::new();
    let mut reader = broker.subscribe(Request::new().namespace("*")).expect("open");
    let (count, waker) = WakeCount::new();
    park(&mut reader, &waker);
    let dispatcher = broker.dispatcher();
    let guard = dispatcher.start();
    broker.publish(1, job(1)).expect("rising");
    drop(broker);
    assert_eq!(count.get(), 1);
    assert!(reader.recv().is_ok() && reader.recv().is_err());
    guard.wake_queued();
    assert_eq!((count.get(), guard.wake_queued()), (1, 0));
}

/// Semantics 19: all readers are awake when the drop of an evicted payload panics in a step, or when a panic drops the
/// guard.
#[test]
fn a_panic_in_a_step_leaves_nobody_asleep_and_the_guard_usable() {
    struct Panicking(Arc<AtomicUsize>);
    impl Drop for Panicking {
        fn drop(&mut self) {
            let fires = !thread::panicking() && self.0.swap(0, Ordering::SeqCst) > 0;
            assert!(!fires, "a payload that will not be dropped there");
        }
    }
    let armed = Arc::new(AtomicUsize::new(0));
    let broker = Broker::<Panicking>::builder().max_batches(64).build().expect("a bound above zero");
    let mut reader = broker.subscribe(Request::new().start(Start::Latest).namespace("*")).expect("open");
    let (count, waker) = WakeCount::new();
    let mut index = 0;
    let mut publish = || {
        park(&mut reader, &waker);
        index += 1;
        broker.publish(index, job(Panicking(Arc::clone(&armed)))).expect("rising");
        count.get()
    };
    let dispatcher = broker.dispatcher();
    let guard = dispatcher.start();
    let mut panics = 0;
    for _ in 0..400 {
        let before = publish();
        armed.store(1, Ordering::SeqCst);
        let step = catch_unwind(AssertUnwindSafe(|| guard.wake_queued()));
        armed.store(0, Ordering::SeqCst);
        panics += usize::from(step.is_err());
        assert_eq!(count.get(), before + 1);
    }
    assert!(panics > 0, "it drops some of what is evicted");
    let before = publish();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = guard;
        panic!("in the loop of the host");
    }));
    assert!(unwound.is_err());
    assert_eq!(count.get(), before + 1);
    assert_eq!(publish(), before + 2, "publishing wakes by itself");
}
