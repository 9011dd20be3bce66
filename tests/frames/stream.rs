//! Frames for tasks: a poll by hand, and ticks that the test gives.
//! Waking is the subscription's, and tested there.

use super::*;
use event_broker::FrameStream;
use futures_core::Stream;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// Ticks that the test gives: so many, and then perhaps the end.
#[derive(Clone, Default)]
struct Ticks(Arc<Mutex<(usize, bool)>>);

impl Ticks {
    fn tick(&self, times: usize) {
        self.0.lock().unwrap().0 = times;
    }
}

impl Stream for Ticks {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        match &mut *self.0.lock().unwrap() {
            (0, true) => Poll::Ready(None),
            (0, false) => Poll::Pending,
            (ticks, _) => {
                *ticks -= 1;
                Poll::Ready(Some(()))
            }
        }
    }
}

fn poll(stream: &mut FrameStream<i32, Ticks>) -> Poll<Option<Result<Frame, FrameError>>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

fn frame(stream: &mut FrameStream<i32, Ticks>) -> String {
    match poll(stream) {
        Poll::Ready(frame) => text(frame),
        Poll::Pending => String::new(),
    }
}

fn open(broker: &Broker<i32>, options: FrameOptions) -> (FrameStream<i32, Ticks>, Ticks) {
    let ticks = Ticks::default();
    let request = Request::new().principal(Principal::new("reader"));
    (broker.subscribe(request).unwrap().into_frame_stream(options, ticks.clone()), ticks)
}

#[test]
fn a_tick_without_a_frame_since_the_last_is_a_heartbeat() {
    let broker = Broker::new();
    let (mut stream, ticks) = open(&broker, FrameOptions::new().progress(true));
    ticks.tick(1);
    assert_eq!(frame(&mut stream), "{}\n", "a tick before the stream began is worth nothing");
    assert_eq!(frame(&mut stream), "");
    ticks.tick(1);
    assert_eq!(frame(&mut stream), "{}\n");
    broker.publish(5, [job("a", 1)]).unwrap();
    assert_eq!(frame(&mut stream), line(5, "a", "1"));
    ticks.tick(1);
    assert_eq!(frame(&mut stream), "", "a frame was given since the last tick");
    for _ in 0..3 {
        ticks.tick(1);
        assert_eq!(frame(&mut stream), "{\"Index\":4,\"Events\":[]}\n");
        assert_eq!(frame(&mut stream), "");
    }
}

#[test]
fn ticks_that_gather_are_one_heartbeat_or_none() {
    let broker = Broker::new();
    let (mut stream, ticks) = open(&broker, FrameOptions::new());
    assert_eq!(frame(&mut stream), "{}\n");
    ticks.tick(20);
    assert_eq!(frame(&mut stream), "{}\n");
    assert_eq!(frame(&mut stream), "");
    ticks.tick(20);
    broker.publish(5, [job("a", 1)]).unwrap();
    assert_eq!(frame(&mut stream), line(5, "a", "1"));
    assert_eq!(frame(&mut stream), "");
    ticks.tick(2);
    assert_eq!(frame(&mut stream), "{}\n", "one whole interval lies between them");
    ticks.tick(usize::MAX);
    assert_eq!(frame(&mut stream), "{}\n", "ticks that are always ready do not hang it");
}

#[test]
fn the_end_of_the_ticks_is_not_the_end() {
    let broker = Broker::new();
    let (mut stream, ticks) = open(&broker, FrameOptions::new());
    ticks.0.lock().unwrap().1 = true;
    assert_eq!(frame(&mut stream), "{}\n");
    assert_eq!(frame(&mut stream), "");
    broker.publish(5, [job("a", 1)]).unwrap();
    assert_eq!(frame(&mut stream), line(5, "a", "1"));
    drop(broker);
    assert_eq!(poll(&mut stream), Poll::Ready(None));
    assert_eq!(poll(&mut stream), Poll::Ready(None));
}

#[test]
fn the_end_is_the_last_item_and_the_fence_holds() {
    for opened in [true, false] {
        let broker = Broker::new();
        let (mut stream, ticks) = open(&broker, FrameOptions::new());
        if opened {
            assert_eq!(frame(&mut stream), "{}\n");
        }
        broker.publish(5, [job("a", 1)]).unwrap();
        revoke(&broker);
        ticks.tick(3);
        assert!(matches!(poll(&mut stream), Poll::Ready(Some(Err(FrameError::Recv(RecvError::Revoked(_)))))));
        assert_eq!(poll(&mut stream), Poll::Ready(None));
    }
}
