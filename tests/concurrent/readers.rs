//! Readers of every kind, each with a log of what it did and saw, for the validators.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use event_broker::testing::history::{Step, Trace};
use event_broker::{Delivery, RecvError, RecvTimeoutError, Start, Subscription, TryRecvError, Verdict};

use super::random::Random;
use super::world::{Wish, World};

/// Long enough that only a lost wake-up takes it.
pub const FOREVER: Duration = Duration::from_secs(60);
/// What a reader did and saw.
pub struct Log {
    pub wish: Wish,
    pub trace: Trace,
}

impl Log {
    pub fn new(name: &str, wish: &Wish) -> Self {
        Self { wish: wish.clone(), trace: Trace::new(name) }
    }

    pub fn delivery(&mut self, delivery: &Delivery<u64>) {
        self.trace.delivered_by(delivery, |event| *event.payload());
    }

    /// Records an error, and returns whether the reader continues.
    pub fn error(&mut self, error: &RecvError) -> bool {
        let expected = matches!(error, RecvError::Lagged(_) | RecvError::Closed | RecvError::Revoked(_));
        assert!(expected, "{}: {error}", self.trace.reader());
        self.trace.failed(error);
        !error.is_terminal()
    }

    /// One read that does not wait. Returns whether the reader continues, and whether it found anything.
    pub fn try_recv(&mut self, world: &World, reader: &mut Subscription<u64>) -> (bool, bool) {
        let published = world.done();
        match reader.try_recv() {
            Ok(delivery) => self.delivery(&delivery),
            Err(TryRecvError::Empty) => {
                self.trace.found_nothing(published);
                return (true, false);
            }
            Err(TryRecvError::Recv(error)) => return (self.error(&error), true),
        }
        (true, true)
    }
}

pub struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread. Panics if it is not woken for far too long.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let started = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(FOREVER);
        assert!(started.elapsed() < FOREVER, "a wake-up was lost");
    }
}

pub type Read = fn(&World, &mut Subscription<u64>, &mut Log, &mut Random);

pub fn blocking(_: &World, reader: &mut Subscription<u64>, log: &mut Log, _: &mut Random) {
    loop {
        match reader.recv_timeout(FOREVER) {
            Ok(delivery) => log.delivery(&delivery),
            Err(RecvTimeoutError::Timeout) => panic!("{}: a wake-up was lost", log.trace.reader()),
            Err(RecvTimeoutError::Recv(error)) if log.error(&error) => {}
            Err(RecvTimeoutError::Recv(_)) => return,
        }
    }
}

pub fn task(_: &World, reader: &mut Subscription<u64>, log: &mut Log, _: &mut Random) {
    loop {
        match block_on(reader.recv_async()) {
            Ok(delivery) => log.delivery(&delivery),
            Err(error) if log.error(&error) => {}
            Err(_) => return,
        }
    }
}

pub fn draining(_: &World, reader: &mut Subscription<u64>, log: &mut Log, random: &mut Random) {
    loop {
        block_on(reader.readable());
        match reader.drain() {
            Ok(mut window) => {
                let some = if random.number(3) == 0 { 1 } else { usize::MAX };
                window.iter().take(some).for_each(|delivery| log.delivery(&delivery.to_delivery()));
            }
            Err(error) if log.error(&error) => {}
            Err(_) => return,
        }
    }
}

pub fn ringing(world: &World, reader: &mut Subscription<u64>, log: &mut Log, _: &mut Random) {
    let bell = reader.doorbell();
    loop {
        bell.recv_timeout(FOREVER).expect("no ring is missed");
        loop {
            match log.try_recv(world, reader) {
                (true, true) => {}
                (true, false) => break,
                (false, _) => return,
            }
        }
    }
}

/// Reads now and then, so that it is overtaken.
pub fn stalling(world: &World, reader: &mut Subscription<u64>, log: &mut Log, random: &mut Random) {
    loop {
        for _ in 0..random.number(50) {
            thread::yield_now();
        }
        for _ in 0..random.number(20) {
            if !log.try_recv(world, reader).0 {
                return;
            }
        }
    }
}

/// Leaves repeatedly, and resumes after its token.
pub fn resuming(world: &World, reader: &mut Subscription<u64>, log: &mut Log, random: &mut Random) {
    loop {
        for _ in 0..random.number(30) {
            thread::yield_now();
            if !log.try_recv(world, reader).0 {
                return;
            }
        }
        let Ok(next) = world.broker.subscribe(log.wish.request(Start::After(reader.token()))) else {
            // Closed: what is buffered can still be read.
            return blocking(world, reader, log, random);
        };
        let verdict = next.verdict();
        let expected = matches!(verdict, Verdict::Whole | Verdict::Lost { oldest: Some(_) });
        assert!(expected, "{}: {verdict:?}", log.trace.reader());
        log.trace.resumed(verdict, world.commits.lock().unwrap().history.len());
        *reader = next;
    }
}

/// Subscribes, reads a little and leaves, with other terms each time.
pub fn coming_and_going(world: &World, seed: u64) -> Vec<Log> {
    let mut random = Random::new(seed);
    let mut logs = Vec::new();
    loop {
        let first = random.number(30);
        let some = (0..=random.number(14)).map(|n| ("A", (first + n) % 30));
        let mut log = Log::new("coming and going", &Wish::new(some, &["n1"]));
        let before = world.done();
        let Ok(mut reader) = world.broker.subscribe(log.wish.request(Start::Latest)) else { return logs };
        log.trace = log.trace.begins(before..=world.commits.lock().unwrap().history.len());
        for _ in 0..random.number(40) {
            thread::yield_now();
            if !log.try_recv(world, &mut reader).0 {
                break;
            }
        }
        if log.trace.steps().last() != Some(&Step::Closed) {
            log.trace.stopped();
        }
        logs.push(log);
    }
}
