//! Frames for tasks: polled by hand, with a clock and a timer that the test moves, and once on a runtime.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use event_broker::{FrameStream, Grant, Timer};
use futures_core::Stream;

use super::*;
use crate::common::{ManualClock, Rules, WakeCount, in_time};

const INTERVAL: Duration = Duration::from_secs(30);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A timer that sleeps until the test ends the sleep, and records the durations. Neither it nor its sleeps may be moved
/// once they are pinned.
#[derive(Clone, Default)]
struct Alarm(Arc<Mutex<Asked>>, PhantomPinned);

#[derive(Default)]
struct Asked {
    durations: Vec<Duration>,
    /// How many sleeps have begun, and how many of them have ended.
    begun: usize,
    ended: usize,
    waker: Option<Waker>,
}

impl Alarm {
    /// Ends the sleeps that have begun.
    fn ring(&self) {
        let mut asked = self.0.lock().unwrap();
        asked.ended = asked.begun;
        if let Some(waker) = asked.waker.take() {
            waker.wake();
        }
    }

    /// Ends all sleeps, also those to come.
    fn ring_for_ever(&self) {
        self.0.lock().unwrap().ended = usize::MAX;
    }

    /// What was asked for since the last call.
    fn asked(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap().durations)
    }
}

impl Timer for Alarm {
    type Sleep = Asleep;

    fn sleep(&mut self, duration: Duration) -> Asleep {
        let mut asked = self.0.lock().unwrap();
        asked.durations.push(duration);
        asked.begun += 1;
        Asleep { asked: Arc::clone(&self.0), number: asked.begun, over: Cell::new(false), _pinned: PhantomPinned }
    }
}

struct Asleep {
    asked: Arc<Mutex<Asked>>,
    number: usize,
    over: Cell<bool>,
    _pinned: PhantomPinned,
}

impl Future for Asleep {
    /// A timer's output may be anything.
    type Output = Vec<u8>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<u8>> {
        assert!(!self.over.get(), "polled after its end");
        let mut asked = self.asked.lock().unwrap();
        if asked.ended >= self.number {
            self.over.set(true);
            return Poll::Ready(Vec::new());
        }
        asked.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

fn poll(stream: &mut FrameStream<i32, Alarm>) -> Poll<Option<Result<Frame, FrameError>>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// The next frame now, as text; empty if there is none.
fn frame(stream: &mut FrameStream<i32, Alarm>) -> String {
    match poll(stream) {
        Poll::Ready(frame) => text(frame),
        Poll::Pending => String::new(),
    }
}

fn end(stream: &mut FrameStream<i32, Alarm>) -> RecvError {
    match poll(stream) {
        Poll::Ready(Some(Err(FrameError::Recv(error)))) => {
            assert_eq!(poll(stream), Poll::Ready(None), "the end is the last item");
            error
        }
        other => panic!("expected an end: {other:?}"),
    }
}

/// A broker by a manual clock, and a stream over it.
struct World {
    clock: ManualClock,
    rules: Arc<Rules>,
    broker: Broker<i32>,
    alarm: Alarm,
    stream: FrameStream<i32, Alarm>,
}

impl World {
    fn new(options: FrameOptions) -> Self {
        Self::granted(options, |_| Grant::all())
    }

    fn granted(options: FrameOptions, grant: impl Fn(&ManualClock) -> Grant) -> Self {
        let (clock, alarm) = (ManualClock::new(), Alarm::default());
        let grant = grant(&clock);
        let rules = Rules::new(move |_| Ok(grant.clone()));
        let broker = Broker::builder().authorizer(Arc::clone(&rules)).clock(clock.clone()).build().unwrap();
        let subscription = broker.subscribe(Request::new().principal(Principal::new("reader"))).unwrap();
        let stream = subscription.into_frame_stream(options, alarm.clone());
        Self { clock, rules, broker, alarm, stream }
    }
}

#[test]
fn a_heartbeat_comes_when_the_interval_has_passed_by_the_clock_and_never_earlier() {
    let World { clock, broker, alarm, mut stream, .. } = World::new(FrameOptions::new().progress(true));
    assert_eq!(frame(&mut stream), "{}\n");
    assert_eq!(alarm.asked(), [], "nobody waits");
    for _ in 0..3 {
        assert_eq!(frame(&mut stream), "");
    }
    assert_eq!(alarm.asked(), [INTERVAL], "one sleep for all polls");
    clock.advance(secs(29));
    alarm.ring();
    assert_eq!(frame(&mut stream), "", "it ended early");
    assert_eq!(alarm.asked(), [secs(1)], "what remains");
    clock.advance(secs(1));
    alarm.ring();
    assert_eq!(frame(&mut stream), "{}\n");
    assert_eq!(frame(&mut stream), "", "never two");
    assert_eq!(alarm.asked(), [INTERVAL]);
    broker.publish(5, [job("a", 1)]).unwrap();
    assert_eq!(frame(&mut stream), line(5, "a", "1"));
    clock.advance(INTERVAL);
    assert_eq!(frame(&mut stream), "{\"Index\":4,\"Events\":[]}\n", "the clock decides, not the timer");
}

#[test]
fn a_frame_puts_the_heartbeat_off_and_begins_no_sleep_of_its_own() {
    let World { clock, broker, alarm, mut stream, .. } = World::new(FrameOptions::new());
    assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
    assert_eq!(alarm.asked(), [INTERVAL]);
    for index in 1..=20 {
        clock.advance(secs(1));
        broker.publish(index, [job("a", 1)]).unwrap();
        assert_eq!(frame(&mut stream), line(index, "a", "1"));
        assert_eq!(frame(&mut stream), "");
    }
    assert_eq!(alarm.asked(), [], "the first one still sleeps");
    clock.advance(secs(10));
    alarm.ring();
    assert_eq!(frame(&mut stream), "", "30 s since the opening, 10 s since the last frame");
    assert_eq!(alarm.asked(), [secs(20)]);
    clock.advance(secs(20));
    alarm.ring();
    assert_eq!(frame(&mut stream), "{}\n");
}

#[test]
fn a_stream_that_nobody_polls_gathers_no_heartbeats() {
    let World { clock, broker, alarm, mut stream, .. } = World::new(FrameOptions::new());
    assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
    clock.advance(100 * INTERVAL);
    alarm.ring();
    assert_eq!(
        (frame(&mut stream).as_str(), frame(&mut stream).as_str()),
        ("{}\n", ""),
        "many intervals, one heartbeat"
    );
    clock.advance(100 * INTERVAL);
    alarm.ring();
    broker.publish(5, [job("a", 1)]).unwrap();
    assert_eq!(frame(&mut stream), line(5, "a", "1"), "what is there to read goes first");
    assert_eq!(frame(&mut stream), "", "and counts as a sign of life");
}

/// The clock advanced without the timer: the next sleep is for what remains by the clock, however long the old one has.
#[test]
fn a_sleep_that_the_clock_has_passed_is_not_relied_on() {
    let World { clock, broker: _open, alarm, mut stream, .. } = World::new(FrameOptions::new());
    assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
    clock.advance(100 * INTERVAL);
    assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
    assert_eq!(alarm.asked(), [INTERVAL, INTERVAL]);
}

#[test]
fn without_an_interval_and_an_expiry_nothing_sleeps() {
    let World { clock, broker, alarm, mut stream, .. } = World::new(options(NEVER));
    assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
    clock.advance(100 * INTERVAL);
    assert_eq!(frame(&mut stream), "");
    assert_eq!(alarm.asked(), []);
    broker.publish(5, [job("a", 1)]).unwrap();
    assert_eq!(frame(&mut stream), line(5, "a", "1"));
    drop(broker);
    assert_eq!(poll(&mut stream), Poll::Ready(None));
    assert_eq!(poll(&mut stream), Poll::Ready(None));
}

#[test]
fn a_timer_that_is_always_ready_does_not_hold_a_poll() {
    let World { clock, broker: _open, alarm, mut stream, .. } = World::new(FrameOptions::new());
    assert_eq!(frame(&mut stream), "{}\n");
    alarm.ring_for_ever();
    let (woken, waker) = WakeCount::new();
    for polls in 1..=3 {
        let polled = in_time({
            let waker = waker.clone();
            move || {
                let polled = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
                (polled, stream)
            }
        });
        stream = polled.1;
        assert_eq!(polled.0, Poll::Pending);
        assert_eq!(woken.get(), polls, "it comes back by itself");
        let asked = alarm.asked();
        assert!((1..=8).contains(&asked.len()) && asked.iter().all(|duration| *duration == INTERVAL), "{asked:?}");
    }
    clock.advance(INTERVAL);
    assert_eq!(frame(&mut stream), "{}\n");
}

// Semantics 18: expiry ends idle streams, too.
#[test]
fn a_grant_that_expires_ends_an_idle_stream_in_time() {
    for beats in [false, true] {
        let options = if beats { FrameOptions::new() } else { options(NEVER) };
        let world = World::granted(options, |clock| Grant::all().expires_at(clock.after(40)));
        let World { clock, alarm, mut stream, .. } = world;
        assert_eq!(frame(&mut stream), "{}\n");
        let (woken, waker) = WakeCount::new();
        assert_eq!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker)), Poll::Pending);
        if beats {
            assert_eq!(alarm.asked(), [INTERVAL]);
            clock.advance(INTERVAL);
            assert_eq!(frame(&mut stream), "{}\n");
            assert_eq!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker)), Poll::Pending);
            assert_eq!(alarm.asked(), [secs(10)], "the grant ends before the interval does");
            clock.advance(secs(10));
        } else {
            assert_eq!(alarm.asked(), [secs(40)]);
            clock.advance(secs(40));
        }
        assert_eq!(woken.get(), 0);
        alarm.ring();
        assert_eq!(woken.get(), 1);
        assert_eq!(end(&mut stream), RecvError::Expired);
    }
}

/// The sleep ends before the clock shows it: then the rest is slept, and the end is no heartbeat.
#[test]
fn a_sleep_that_ends_before_the_expiry_is_slept_on() {
    let world = World::granted(options(NEVER), |clock| Grant::all().expires_at(clock.after(40)));
    let World { clock, alarm, mut stream, .. } = world;
    assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
    clock.advance(secs(39));
    alarm.ring();
    assert_eq!(frame(&mut stream), "");
    assert_eq!(alarm.asked(), [secs(40), secs(1)]);
}

#[test]
fn a_grant_that_is_cut_short_is_slept_for_anew() {
    let world = World::new(FrameOptions::new());
    let World { clock, rules, broker, alarm, mut stream } = world;
    assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
    let expiry = clock.after(5);
    rules.set(move |_| Ok(Grant::all().expires_at(expiry)));
    broker.access_changed(AccessChange::Token("reader".into()));
    assert_eq!(frame(&mut stream), "");
    assert_eq!(alarm.asked(), [INTERVAL, secs(5)]);
    clock.advance(secs(5));
    alarm.ring();
    assert_eq!(end(&mut stream), RecvError::Expired);
}

#[test]
fn the_end_is_the_last_item_and_the_fence_holds() {
    for opened in [true, false] {
        let World { clock, broker, alarm, mut stream, .. } = World::new(FrameOptions::new());
        if opened {
            assert_eq!((frame(&mut stream).as_str(), frame(&mut stream).as_str()), ("{}\n", ""));
        }
        broker.publish(5, [job("a", 1)]).unwrap();
        revoke(&broker);
        clock.advance(100 * INTERVAL);
        alarm.ring();
        assert!(matches!(end(&mut stream), RecvError::Revoked(_)));
    }
}

#[test]
fn heartbeats_for_tasks_carry_the_resume_token() {
    let World { clock, broker, mut stream, .. } = World::new(FrameOptions::new().progress(true).tokens(true));
    let token = stream.subscription().token();
    assert_eq!(frame(&mut stream), format!("{{\"Token\":\"{token}\"}}\n"));
    broker.publish(5, [job("a", 1)]).unwrap();
    assert_eq!(heartbeat_token(&frame(&mut stream)), stream.subscription().token());
    clock.advance(INTERVAL);
    let beat = frame(&mut stream);
    assert!(beat.starts_with("{\"Index\":4,\"Events\":[],\"Token\":\""), "{beat}");
    assert_eq!(heartbeat_token(&beat), stream.subscription().token());
}

/// A timer that advances the clock instead of sleeping: what is due is returned in the same poll, and the end as well.
#[test]
fn a_function_is_a_timer() {
    let World { clock, broker, .. } =
        World::granted(FrameOptions::new(), |clock| Grant::all().expires_at(clock.after(70)));
    let moves = move |duration| {
        clock.advance(duration);
        std::future::ready(())
    };
    let mut stream = broker.subscribe(Request::new()).unwrap().into_frame_stream(FrameOptions::new(), moves);
    let mut next = || match Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(item) => item,
        Poll::Pending => panic!("there is nothing to wait for"),
    };
    for _ in 0..3 {
        assert_eq!(text(next()), "{}\n");
    }
    assert_eq!(next(), Some(Err(FrameError::Recv(RecvError::Expired))));
    assert_eq!(next(), None);
}

fn heartbeat_token(text: &str) -> Token {
    Decoder::<i32>::new().decode(&mut text.as_bytes()).unwrap().unwrap().token().unwrap()
}

/// On a runtime, by its own timer: heartbeats, frames, and the end of the grant.
#[tokio::test(flavor = "current_thread")]
async fn a_runtimes_timer_is_enough() {
    let begun = Instant::now();
    let expiry = begun + Duration::from_millis(300);
    let rules = Rules::new(move |_| Ok(Grant::all().expires_at(expiry)));
    let broker = Broker::<i32>::builder().authorizer(rules).build().unwrap();
    let options = options(Duration::from_millis(20));
    let mut stream = broker.subscribe(Request::new()).unwrap().into_frame_stream(options, tokio::time::sleep);
    let reading = tokio::spawn(async move {
        let mut beats = 0_u32;
        loop {
            match std::future::poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await {
                Some(Ok(frame)) if frame.is_heartbeat() => beats += 1,
                Some(Ok(_)) => {}
                Some(Err(FrameError::Recv(RecvError::Expired))) => break beats,
                other => panic!("{other:?}"),
            }
        }
    });
    for index in 1..=5 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        broker.publish(index, [job("a", 1)]).unwrap();
    }
    let beats = tokio::time::timeout(secs(30), reading).await.unwrap().unwrap();
    assert!((2..=16).contains(&beats), "{beats}: one at once, and at most 15 in 300 ms");
    assert!(Instant::now() >= expiry);
}
