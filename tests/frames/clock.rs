//! Heartbeats follow the broker's clock: none before the interval has passed, and never several at once.

use std::sync::mpsc::{self, RecvTimeoutError};

use event_broker::Clock;

use super::*;
use crate::common::{ManualClock, TIME_LIMIT, in_time};

fn broker(clock: impl Clock + 'static) -> Broker<i32> {
    Broker::builder().clock(clock).build().unwrap()
}

#[test]
fn a_heartbeat_is_due_by_the_brokers_clock_and_once() {
    let clock = ManualClock::new();
    let broker = broker(clock.clone());
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(FrameOptions::new());
    assert_eq!(now(&mut frames), "{}\n");
    clock.advance(Duration::from_secs(30) - Duration::from_nanos(1));
    assert_eq!(now(&mut frames), "");
    clock.advance(Duration::from_nanos(1));
    assert_eq!(now(&mut frames), "{}\n");
    assert_eq!(now(&mut frames), "");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(now(&mut frames), "{}\n", "many intervals, one heartbeat");
    assert_eq!(now(&mut frames), "");
    clock.advance(Duration::from_secs(3600));
    broker.publish(1, [job("a", 1)]).unwrap();
    assert_eq!(now(&mut frames), line(1, "a", "1"), "what is there to read goes first");
    clock.advance(Duration::from_secs(29));
    assert_eq!(now(&mut frames), "", "and counts as a sign of life");
    clock.advance(Duration::from_secs(1));
    assert_eq!(text(frames.next()), "{}\n", "without waiting");
}

#[test]
fn real_time_alone_makes_no_heartbeat_and_the_clock_alone_does() {
    let clock = ManualClock::new();
    let broker = broker(clock.clone());
    let interval = Duration::from_millis(10);
    let frames = broker.subscribe(Request::new()).unwrap().into_frames(options(interval));
    let (send, receive) = mpsc::channel();
    let reader =
        thread::spawn(move || frames.map(|frame| send.send(text(Some(frame)))).take_while(Result::is_ok).count());
    assert_eq!(receive.recv_timeout(TIME_LIMIT).unwrap(), "{}\n");
    assert_eq!(receive.recv_timeout(10 * interval), Err(RecvTimeoutError::Timeout), "the clock does not advance");
    for _ in 0..3 {
        clock.advance(100 * interval);
        assert_eq!(receive.recv_timeout(TIME_LIMIT).unwrap(), "{}\n");
        assert_eq!(receive.recv_timeout(3 * interval), Err(RecvTimeoutError::Timeout), "none was gathered");
    }
    broker.publish(1, [job("a", 1)]).unwrap();
    assert_eq!(receive.recv_timeout(TIME_LIMIT).unwrap(), line(1, "a", "1"), "it waits for what comes all the while");
    drop((broker, receive));
    reader.join().unwrap();
}

/// A manual clock that counts how often it is read.
#[derive(Clone, Debug)]
struct Counting(ManualClock, Arc<AtomicUsize>);

impl Clock for Counting {
    fn now(&self) -> Instant {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.now()
    }
}

#[test]
fn a_clock_that_stops_just_before_a_heartbeat_is_not_waited_for_in_a_busy_loop() {
    let (clock, reads) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
    let broker = broker(Counting(clock.clone(), Arc::clone(&reads)));
    let mut frames = broker.subscribe(Request::new()).unwrap().into_frames(options(SHORT));
    assert_eq!(now(&mut frames), "{}\n");
    clock.advance(Duration::from_nanos(1_999_999));
    let reader = thread::spawn(move || text(frames.next()));
    thread::sleep(Duration::from_millis(100));
    assert!(reads.load(Ordering::Relaxed) < 1000, "{reads:?} in 100 ms");
    clock.advance(Duration::from_nanos(1));
    assert_eq!(in_time(|| reader.join().unwrap()), "{}\n");
}
