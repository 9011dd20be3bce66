//! Readers that block a thread. Each has one thread, and reads when the test orders it to.
//!
//! The subscription's handle shows whether the thread waits.

use std::marker::PhantomData;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::{Subscription, SubscriptionHandle, Token};

use crate::way::{Ends, Outcome, TIME_LIMIT, Way};

/// Longer than any test waits for a thread.
const NO_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a woken thread is given to read and wait again, if nothing shows that it has.
const LYING_DOWN: Duration = Duration::from_millis(20);

/// A way that blocks.
pub(crate) trait Blocking: Send + 'static {
    const ENDS: Ends = Ends::Repeat;

    fn open(subscription: Subscription<u64>) -> Self;

    /// Reads once for every order, until there are no more orders.
    fn run(self, desk: &Desk);
}

/// Where a thread receives orders to read, and answers each with the result.
pub(crate) struct Desk {
    orders: Receiver<()>,
    answers: Sender<Outcome>,
}

impl Desk {
    fn is_ordered(&self) -> bool {
        self.orders.recv().is_ok()
    }

    fn answer(&self, outcome: impl Into<Outcome>) {
        // A test that has failed takes no answers.
        let _ = self.answers.send(outcome.into());
    }

    /// Answers every order by one call.
    fn serve<T: Into<Outcome>>(&self, mut read: impl FnMut() -> T) {
        while self.is_ordered() {
            self.answer(read());
        }
    }
}

/// A thread that reads as `B` does.
pub(crate) struct Thread<B> {
    orders: Sender<()>,
    answers: Receiver<Outcome>,
    handle: SubscriptionHandle<u64>,
    /// Its wake-up count and position when it was last seen waiting.
    wakeups: u64,
    earlier: Token,
    way: PhantomData<fn() -> B>,
}

impl<B> Thread<B> {
    /// Spins until the thread waits.
    fn see_it_wait(&mut self) {
        let begun = Instant::now();
        while !self.handle.is_waiting() {
            match self.answers.try_recv() {
                Err(TryRecvError::Empty) => thread::yield_now(),
                Ok(outcome) => panic!("it does not wait, but received {outcome:?}"),
                Err(TryRecvError::Disconnected) => panic!("it does not wait, but has panicked"),
            }
            assert!(begun.elapsed() < TIME_LIMIT, "it neither waits nor receives anything");
        }
        self.earlier = self.handle.token();
    }

    fn was_woken(&self) -> bool {
        self.handle.stats().wakeups != self.wakeups
    }
}

impl<B: Blocking> Way for Thread<B> {
    const ENDS: Ends = B::ENDS;
    const BLOCKS: bool = true;

    fn open(subscription: Subscription<u64>) -> Self {
        let handle = subscription.handle();
        let reader = B::open(subscription);
        let (orders, ordered) = channel();
        let (answers, answered) = channel();
        thread::spawn(move || reader.run(&Desk { orders: ordered, answers }));
        let (wakeups, earlier) = (0, handle.token());
        Self { orders, answers: answered, handle, wakeups, earlier, way: PhantomData }
    }

    fn wait(&mut self) {
        self.wakeups = self.handle.stats().wakeups;
        self.orders.send(()).expect("the thread lives");
        self.see_it_wait();
    }

    fn stays_asleep(&mut self) {
        assert!(!self.was_woken(), "it was woken");
        self.see_it_wait();
    }

    fn settle(&mut self) {
        if !self.was_woken() {
            return self.see_it_wait();
        }
        // It may be between the wake-up and the read. Its position usually shows that it has read; if it has not, the
        // test checks less, and does not fail wrongly.
        let (earlier, begun) = (self.earlier, Instant::now());
        self.see_it_wait();
        while self.earlier == earlier && begun.elapsed() < LYING_DOWN {
            thread::yield_now();
            self.see_it_wait();
        }
        self.wakeups = self.handle.stats().wakeups;
    }

    fn woken(&mut self) -> Outcome {
        match self.answers.recv_timeout(TIME_LIMIT) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) if self.handle.is_waiting() => panic!("it sleeps through it"),
            Err(RecvTimeoutError::Timeout) => panic!("it is awake, and received nothing"),
            Err(RecvTimeoutError::Disconnected) => panic!("it has panicked"),
        }
    }

    fn read(&mut self) -> Outcome {
        self.orders.send(()).expect("the thread lives");
        self.woken()
    }
}

pub(crate) struct Recv(Subscription<u64>);

impl Blocking for Recv {
    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    fn run(mut self, desk: &Desk) {
        desk.serve(|| self.0.recv());
    }
}

/// The result of a timed read, which has more time than any test.
fn in_time<T>(read: Result<T, event_broker::RecvTimeoutError>) -> Result<T, event_broker::RecvError> {
    read.map_err(|error| match error {
        event_broker::RecvTimeoutError::Recv(error) => error,
        event_broker::RecvTimeoutError::Timeout => panic!("it gave up"),
    })
}

pub(crate) struct RecvTimeout(Subscription<u64>);

impl Blocking for RecvTimeout {
    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    fn run(mut self, desk: &Desk) {
        desk.serve(|| in_time(self.0.recv_timeout(NO_TIMEOUT)));
    }
}

pub(crate) struct RecvDeadline(Subscription<u64>);

impl Blocking for RecvDeadline {
    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    fn run(mut self, desk: &Desk) {
        desk.serve(|| in_time(self.0.recv_deadline(Instant::now() + NO_TIMEOUT)));
    }
}

pub(crate) struct Iter(Subscription<u64>);

impl Blocking for Iter {
    const ENDS: Ends = Ends::OnceThenOver;

    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    fn run(mut self, desk: &Desk) {
        let mut items = self.0.iter();
        desk.serve(|| items.next());
    }
}

#[cfg(feature = "json")]
pub(crate) use frames::{Frames, WriteTo};

/// The opening heartbeat is given when they are opened.
#[cfg(feature = "json")]
mod frames {
    use std::io::{self, Write};

    use event_broker::{FrameOptions, Subscription};

    use super::{Blocking, Desk};
    use crate::way::{Ends, Outcome};

    pub(crate) struct Frames(event_broker::Frames<u64>);

    impl Blocking for Frames {
        const ENDS: Ends = Ends::OnceThenOver;

        fn open(subscription: Subscription<u64>) -> Self {
            let mut frames = subscription.into_frames(FrameOptions::new());
            assert!(frames.next().is_some_and(|opening| opening.is_ok_and(|frame| frame.is_heartbeat())));
            Self(frames)
        }

        fn run(mut self, desk: &Desk) {
            desk.serve(|| self.0.next());
        }
    }

    /// One call continues until an error: its writer takes the next order before the next frame.
    pub(crate) struct WriteTo(event_broker::Frames<u64>);

    impl Blocking for WriteTo {
        fn open(subscription: Subscription<u64>) -> Self {
            let mut frames = subscription.into_frames(FrameOptions::new());
            assert!(frames.try_frame().is_ok_and(|opening| opening.is_some_and(|frame| frame.is_heartbeat())));
            Self(frames)
        }

        fn run(mut self, desk: &Desk) {
            while desk.is_ordered() {
                match self.0.write_to(Wire(desk)) {
                    Ok(error) => desk.answer(Outcome::Error(error)),
                    Err(_) => return,
                }
            }
        }
    }

    struct Wire<'d>(&'d Desk);

    impl Write for Wire<'_> {
        fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
            self.0.answer(Outcome::from_line(frame));
            if self.0.is_ordered() { Ok(frame.len()) } else { Err(io::Error::other("there are no more orders")) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
