//! Futures and subscriptions that a test polls by hand, and waiting for other threads without a fixed time.
//! Many tasks in an order drawn from a seed are in `executor`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::subscription::{Delivery, Subscription, SubscriptionHandle};
use crate::sync::{AtomicU64, Ordering, yield_now};
use crate::types::error::RecvError;

/// How long the kit waits for another thread before it fails: 30 seconds. Only a deadlock or a lost wake-up takes so
/// long.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Something that is polled by hand: a subscription, a future, or anything else that has a poll function.
///
/// A probe has a waker of its own, which counts. So a test says when a task would wait, and that it is woken by its own
/// batch and by no other, without a runtime.
///
/// ```
/// use event_broker::testing::Probe;
/// use event_broker::{Broker, Event, RecvError, Request, Term};
///
/// let broker = Broker::<u32>::new();
/// let mut web = Probe::reading(broker.subscribe(Request::new().term(Term::key("web")?))?);
/// web.assert_pending();
/// broker.publish(1, [Event::new("Job", "JobRegistered", "db", 1)])?;
/// assert!(!web.is_woken(), "it is not its job");
/// broker.publish(2, [Event::new("Job", "JobRegistered", "web", 1)])?;
/// assert!(web.is_woken());
/// assert_eq!(web.assert_delivery().index(), 2);
/// web.assert_pending();
/// broker.close();
/// assert_eq!((web.assert_error(), web.wakes()), (RecvError::Closed, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Probe<T, O> {
    polled: T,
    poll: fn(&mut T, &mut Context<'_>) -> Poll<O>,
    waker: Waker,
    wakes: Arc<Wakes>,
    /// The number of wake-ups before the last poll.
    seen: u64,
    /// Whether it is a future, which must not be polled after it was ready, and whether it was.
    once: bool,
    finished: bool,
}

/// A count of wake-ups, which may come from any thread.
#[derive(Debug)]
struct Wakes(AtomicU64);

impl Wakes {
    /// Acquire, with the Release of [`wake`](Wake::wake): who sees the wake-up sees what it was for.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// How often an assertion polls something again that has woken itself while it was polled.
const MAX_SELF_WAKES: usize = 1000;

impl<P> Probe<Subscription<P>, Result<Delivery<P>, RecvError>> {
    /// Creates a probe that reads deliveries, by [`Subscription::poll_recv`].
    pub fn reading(subscription: Subscription<P>) -> Self {
        Self::by(subscription, Subscription::poll_recv)
    }

    /// Reads a delivery.
    ///
    /// # Panics
    ///
    /// Panics if there is nothing to read, or if the read returns an error.
    #[track_caller]
    pub fn assert_delivery(&mut self) -> Delivery<P> {
        match self.settle() {
            Poll::Ready(Ok(delivery)) => delivery,
            Poll::Ready(Err(error)) => panic!("expected a delivery, got the error: {error}"),
            Poll::Pending => panic!("expected a delivery, found nothing to read"),
        }
    }

    /// Reads an error: an end, or a loss.
    ///
    /// # Panics
    ///
    /// Panics if there is nothing to read, or if the read returns a delivery.
    #[track_caller]
    pub fn assert_error(&mut self) -> RecvError {
        match self.settle() {
            Poll::Ready(Err(error)) => error,
            Poll::Ready(Ok(delivery)) => panic!("expected an error, got {delivery:?}"),
            Poll::Pending => panic!("expected an error, found nothing to read"),
        }
    }
}

impl<F: Future> Probe<Pin<Box<F>>, F::Output> {
    /// Creates a probe of a future. As any future, it must not be polled after it was ready: the probe panics then.
    ///
    /// ```
    /// use event_broker::testing::Probe;
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<u32>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let mut reading = Probe::future(async move { reader.recv_async().await.map(|delivery| delivery.index()) });
    /// reading.assert_pending();
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// assert_eq!(reading.assert_ready(), Ok(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn future(future: F) -> Self {
        Self { once: true, ..Self::by(Box::pin(future), |future, context| future.as_mut().poll(context)) }
    }
}

impl<T, O> Probe<T, O> {
    /// Creates a probe of anything that has a poll function, such as a stream.
    ///
    /// ```
    /// use event_broker::testing::Probe;
    /// use event_broker::{Broker, Event, Request, Subscription};
    ///
    /// let broker = Broker::<u32>::new();
    /// let mut reader = Probe::by(broker.subscribe(Request::new())?, Subscription::poll_readable);
    /// reader.assert_pending();
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// reader.assert_ready();
    /// assert_eq!(reader.get_mut().drain()?.iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn by(polled: T, poll: fn(&mut T, &mut Context<'_>) -> Poll<O>) -> Self {
        let wakes = Arc::new(Wakes(AtomicU64::new(0)));
        Self { polled, poll, waker: Waker::from(Arc::clone(&wakes)), wakes, seen: 0, once: false, finished: false }
    }

    /// Polls once.
    ///
    /// # Panics
    ///
    /// Panics if it is a future that was ready before. The assertions do so, too.
    #[track_caller]
    pub fn poll(&mut self) -> Poll<O> {
        assert!(!self.finished, "the future was ready already, and must not be polled again");
        self.seen = self.wakes.get();
        let polled = (self.poll)(&mut self.polled, &mut Context::from_waker(&self.waker));
        self.finished = self.once && polled.is_ready();
        polled
    }

    /// Returns whether it was woken since the last poll began. A runtime would poll it again.
    pub fn is_woken(&self) -> bool {
        self.wakes.get() > self.seen
    }

    /// Returns how often it was woken since the probe was created.
    pub fn wakes(&self) -> u64 {
        self.wakes.get()
    }

    /// Asserts that it waits: a poll is pending. If it wakes itself meanwhile, as a reader does that yields to other
    /// tasks, it is polled again, as a runtime would do.
    ///
    /// # Panics
    ///
    /// Panics if a poll is ready, and if it wakes itself a thousand times.
    #[track_caller]
    pub fn assert_pending(&mut self)
    where
        O: fmt::Debug,
    {
        if let Poll::Ready(output) = self.settle() {
            panic!("expected it to be pending, it is ready with {output:?}");
        }
    }

    /// Asserts that it does not wait, and returns the output. If it wakes itself while it is polled, it is polled again.
    ///
    /// # Panics
    ///
    /// Panics if a poll is pending and has not woken itself, and if it wakes itself a thousand times.
    #[track_caller]
    pub fn assert_ready(&mut self) -> O {
        match self.settle() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("expected it to be ready, it is pending{}", self.history()),
        }
    }

    /// Returns what is polled.
    pub fn get(&self) -> &T {
        &self.polled
    }

    /// Returns what is polled, for calls of other methods.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.polled
    }

    /// Returns what is polled, without the probe.
    pub fn into_inner(self) -> T {
        self.polled
    }

    /// Polls until it is ready, or pending and not woken.
    #[track_caller]
    fn settle(&mut self) -> Poll<O> {
        for _ in 0..MAX_SELF_WAKES {
            let polled = self.poll();
            if polled.is_ready() || !self.is_woken() {
                return polled;
            }
        }
        panic!("expected it to be ready or to wait, it was pending and woken {MAX_SELF_WAKES} times in a row");
    }

    fn history(&self) -> &'static str {
        if self.wakes() == 0 { ", and was never woken" } else { "" }
    }
}

impl<T: fmt::Debug, O> fmt::Debug for Probe<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("polled", &self.polled)
            .field("wakes", &self.wakes())
            .field("is_woken", &self.is_woken())
            .finish_non_exhaustive()
    }
}

/// Waits until the reader waits: a thread in a blocking read, or a task that is pending. It yields to other threads
/// meanwhile, and sleeps no fixed time.
///
/// ```
/// use event_broker::testing::wait_until_waiting;
/// use event_broker::{Broker, Event, Request};
///
/// let broker = Broker::<u32>::new();
/// let mut reader = broker.subscribe(Request::new())?;
/// let handle = reader.handle();
/// let reading = std::thread::spawn(move || reader.recv().map(|delivery| delivery.index()));
/// wait_until_waiting(&handle);
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
/// assert_eq!(reading.join().unwrap(), Ok(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
///
/// Panics after [`TIME_LIMIT`].
#[track_caller]
pub fn wait_until_waiting<P>(handle: &SubscriptionHandle<P>) {
    let limit = TIME_LIMIT;
    let waits = wait_within(limit, || handle.is_waiting());
    assert!(waits, "expected the subscription {} to wait, it does not after {limit:?}: {handle:?}", handle.id());
}

/// Waits until the condition holds, which another thread makes true. It yields to other threads meanwhile, and sleeps
/// no fixed time. `what` completes the sentence "expected …" if it fails.
///
/// ```
/// use event_broker::testing::wait_until;
/// use event_broker::{Broker, Event};
///
/// let broker = Broker::<u32>::new();
/// let publishing = {
///     let broker = broker.clone();
///     std::thread::spawn(move || broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)]))
/// };
/// wait_until("index 7 to be published", || broker.latest_index() == 7);
/// # publishing.join().unwrap().unwrap();
/// ```
///
/// # Panics
///
/// Panics after [`TIME_LIMIT`].
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_within(TIME_LIMIT, what, condition);
}

/// Waits as [`wait_until`] does, with another time limit.
///
/// # Panics
///
/// Panics after this time.
#[track_caller]
pub fn wait_until_within(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(wait_within(limit, condition), "expected {what}, still waiting after {limit:?}");
}

fn wait_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() >= limit {
            // The thread may have been stopped between the two.
            return condition();
        }
        yield_now();
    }
    true
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::run_error::panic_message;
    use super::*;
    use crate::broker::Broker;
    use crate::types::event::Event;
    use crate::types::request::Request;

    /// The message of a panic in the closure.
    fn panic_of<T>(run: impl FnOnce() -> T) -> String {
        panic_message(catch_unwind(AssertUnwindSafe(|| drop(run()))).expect_err("it must panic"))
    }

    fn publish(broker: &Broker<()>, indexes: std::ops::RangeInclusive<u64>) {
        for index in indexes {
            broker.publish(index, [Event::new("Job", "JobRegistered", "web", ())]).expect("rising");
        }
    }

    #[test]
    fn assertions_say_what_was_expected_and_found() {
        let broker = Broker::<()>::new();
        let mut reader = Probe::reading(broker.subscribe(Request::new()).expect("everything is allowed"));
        assert_eq!(panic_of(|| reader.assert_delivery()), "expected a delivery, found nothing to read");
        assert_eq!(panic_of(|| reader.assert_error()), "expected an error, found nothing to read");
        assert_eq!(panic_of(|| reader.assert_ready()), "expected it to be ready, it is pending, and was never woken");
        publish(&broker, 1..=2);
        let found = panic_of(|| reader.assert_pending());
        assert!(found.starts_with("expected it to be pending, it is ready with Ok(Delivery { index: 1"), "{found}");
        let found = panic_of(|| reader.assert_error());
        assert!(found.starts_with("expected an error, got Delivery { index: 2"), "{found}");
        reader.assert_pending();
        assert_eq!(panic_of(|| reader.assert_ready()), "expected it to be ready, it is pending");
        broker.close();
        let found = panic_of(|| reader.assert_delivery());
        assert_eq!(found, "expected a delivery, got the error: the broker is closed");
    }

    /// After 128 deliveries a reader yields: it is pending, and woken.
    #[test]
    fn a_reader_that_yields_is_not_taken_for_one_that_waits() {
        let broker = Broker::<()>::builder().max_batches(1000).build().expect("a bound above zero");
        let mut reader = Probe::reading(broker.subscribe(Request::new()).expect("everything is allowed"));
        publish(&broker, 1..=500);
        let mut yielded = 0;
        for index in 1..=300 {
            assert_eq!(reader.assert_delivery().index(), index);
            yielded = reader.wakes();
        }
        assert_eq!(yielded, 2);
        while reader.poll().is_ready() {}
        assert!(reader.is_woken());
        let found = panic_of(|| reader.assert_pending());
        assert!(found.starts_with("expected it to be pending, it is ready"), "{found}");
    }

    #[test]
    fn what_wakes_itself_for_ever_is_found() {
        let mut restless = Probe::by((), |(), context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let expected = "expected it to be ready or to wait, it was pending and woken 1000 times in a row";
        assert_eq!(panic_of(|| restless.assert_pending()), expected);
        assert_eq!(panic_of(|| restless.assert_ready()), expected);
        assert_eq!(restless.wakes(), 2000);
    }

    #[test]
    fn waiting_has_a_limit() {
        let found = panic_of(|| wait_until_within(Duration::from_millis(5), "it to rain", || false));
        assert_eq!(found, "expected it to rain, still waiting after 5ms");
        let mut polls = 0;
        wait_until_within(Duration::ZERO, "the second look", || {
            polls += 1;
            polls == 2
        });
    }
}
