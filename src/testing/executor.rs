//! Runs the tasks of a test on one thread, in an order that a seed decides.
//! What it reports when a run fails is in `run_error`. One future polled by hand is in `step`.
//!
//! Invariant: which task is polled next depends on the seed, on the order of spawning and on which tasks are woken, and
//! on nothing else. In which order they were woken does not matter.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::random::Random;
use super::run_error::{RunError, RunErrorKind, panic_message};
use crate::panics::ignore_panic;
use crate::sync::{AtomicBool, Ordering};

/// A small executor for tests of several tasks, such as publishers and readers. It runs them on this thread, in an order
/// drawn from a seed. The same seed gives the same order.
///
/// A task runs until it is pending, and again when it was woken. A publisher lets others run by [`yield_now`]. Tasks need
/// not be `Send`, and may borrow what lives longer than the executor. To try many orders, see [`explore`].
///
/// ```
/// use std::cell::RefCell;
/// use event_broker::testing::{Executor, yield_now};
/// use event_broker::{Broker, Event, Request};
///
/// fn order(seed: u64) -> Vec<String> {
///     let broker = Broker::<u32>::new();
///     let mut reader = broker.subscribe(Request::new()).unwrap();
///     let seen = RefCell::new(Vec::new());
///     let mut executor = Executor::new(seed);
///     executor.spawn("publisher", async {
///         for index in 1..=5 {
///             broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]).unwrap();
///             yield_now().await;
///         }
///         broker.close();
///     });
///     executor.spawn("reader", async {
///         while let Ok(delivery) = reader.recv_async().await {
///             seen.borrow_mut().push(delivery.index());
///         }
///     });
///     executor.run();
///     assert_eq!(*seen.borrow(), [1, 2, 3, 4, 5]);
///     executor.steps().map(str::to_owned).collect()
/// }
/// assert_eq!(order(7), order(7));
/// assert_ne!(order(7), order(8));
/// ```
pub struct Executor<'t> {
    seed: u64,
    random: Random,
    tasks: Vec<Task<'t>>,
    /// The tasks that were polled, by their place in the list.
    steps: Vec<usize>,
    max_steps: usize,
    /// What a run has panicked with, for [`explore`].
    failure: Option<RunError>,
}

struct Task<'t> {
    name: String,
    /// `None` when it is done.
    future: Option<Pin<Box<dyn Future<Output = ()> + 't>>>,
    woken: Arc<Woken>,
    waker: Waker,
    /// Whether a run may end without it.
    is_background: bool,
}

/// Whether a task was woken since its last poll began.
struct Woken(AtomicBool);

impl Woken {
    /// Acquire, with the Release of [`wake`](Wake::wake): the task sees what it was woken for.
    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// An exchange, with the same partner: a wake-up that it clears is seen as well.
    fn clear(&self) {
        self.0.swap(false, Ordering::Acquire);
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

const MAX_STEPS: usize = 100_000;

impl<'t> Executor<'t> {
    /// Creates an executor without tasks, whose order this seed decides.
    pub fn new(seed: u64) -> Self {
        let (tasks, steps) = (Vec::new(), Vec::new());
        Self { seed, random: Random::new(seed), tasks, steps, max_steps: MAX_STEPS, failure: None }
    }

    /// Sets how many steps all runs of this executor may take together: 100,000 by default. A run that needs more fails, as
    /// one without end.
    #[must_use]
    pub fn max_steps(mut self, steps: usize) -> Self {
        self.max_steps = steps;
        self
    }

    /// Adds a task. It runs with the next run, which fails if the task does not come to its end. The name is for
    /// reports.
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + 't) {
        self.add(name.into(), Box::pin(task), false);
    }

    /// Adds a task that may still wait when a run ends, such as a reader that serves for as long as the server lives.
    ///
    /// ```
    /// use event_broker::testing::Executor;
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let broker = Broker::<u32>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let handle = reader.handle();
    /// let mut executor = Executor::new(7);
    /// executor.spawn_background("server", async move { while reader.recv_async().await.is_ok() {} });
    /// executor.spawn("publisher", async {
    ///     broker.publish(1, [Event::new("Job", "JobRegistered", "web", 1)]).unwrap();
    /// });
    /// executor.run();
    /// assert_eq!((handle.stats().batches, handle.is_waiting()), (1, true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_background(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + 't) {
        self.add(name.into(), Box::pin(task), true);
    }

    fn add(&mut self, name: String, future: Pin<Box<dyn Future<Output = ()> + 't>>, is_background: bool) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        self.tasks.push(Task { name, future: Some(future), woken, waker, is_background });
    }

    /// Runs the tasks until all have come to their end. [Background tasks](Self::spawn_background) run until they wait.
    ///
    /// # Panics
    ///
    /// Panics where [`try_run`](Self::try_run) returns an error, with its message, which names the seed.
    #[track_caller]
    pub fn run(&mut self) {
        if let Err(error) = self.try_run() {
            self.panic_with(error);
        }
    }

    /// Runs as [`run`](Self::run) does, and returns what failed.
    ///
    /// ```
    /// use event_broker::testing::{Executor, RunErrorKind};
    /// use event_broker::{Broker, Request};
    ///
    /// let broker = Broker::<u32>::new();
    /// let mut reader = broker.subscribe(Request::new())?;
    /// let mut executor = Executor::new(7);
    /// executor.spawn("reader", async move { while reader.recv_async().await.is_ok() {} });
    /// let error = executor.try_run().unwrap_err(); // nobody closes the broker
    /// assert_eq!(error.kind, RunErrorKind::Deadlock { tasks: vec!["reader".into()] });
    /// assert_eq!(error.seed, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a task panics, if tasks remain of which none is woken, and if the run takes too many
    /// [steps](Self::max_steps). A wake-up by another thread may come too late, so nothing should wait for one.
    pub fn try_run(&mut self) -> Result<(), RunError> {
        self.run_woken()?;
        let unfinished = self.tasks.iter().filter(|task| task.future.is_some() && !task.is_background);
        let tasks: Vec<_> = unfinished.map(|task| task.name.clone()).collect();
        if tasks.is_empty() { Ok(()) } else { Err(self.error(RunErrorKind::Deadlock { tasks })) }
    }

    /// Runs the tasks until none is woken, and returns the names of those that wait then. The test can advance a clock
    /// or publish, and run again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use event_broker::testing::{Executor, ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let mut executor = Executor::new(7);
    /// executor.spawn("nap", clock.sleep(Duration::from_secs(60)));
    /// assert_eq!(executor.run_until_stalled(), ["nap"]);
    /// clock.advance(Duration::from_secs(60));
    /// executor.run();
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a task panics, and if the run takes too many [steps](Self::max_steps).
    #[track_caller]
    pub fn run_until_stalled(&mut self) -> Vec<&str> {
        if let Err(error) = self.run_woken() {
            self.panic_with(error);
        }
        self.tasks.iter().filter(|task| task.future.is_some()).map(|task| &*task.name).collect()
    }

    /// Returns the seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the names of the tasks that were polled, in their order.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|place| self.tasks.get(*place)).map(|task| &*task.name)
    }

    /// Polls woken tasks until none is left.
    fn run_woken(&mut self) -> Result<(), RunError> {
        let mut woken = Vec::new();
        loop {
            let is_woken = |task: &Task<'_>| task.future.is_some() && task.woken.get();
            woken.clear();
            woken.extend((0..).zip(&self.tasks).filter(|(_, task)| is_woken(task)).map(|(place, _)| place));
            if woken.is_empty() {
                return Ok(());
            }
            if self.steps.len() >= self.max_steps {
                return Err(self.error(RunErrorKind::TooManySteps { steps: self.max_steps }));
            }
            let place: usize = self.random.pick(&woken);
            self.steps.push(place);
            if let Some(kind) = self.tasks.get_mut(place).and_then(Task::poll) {
                return Err(self.error(kind));
            }
        }
    }

    fn error(&self, kind: RunErrorKind) -> RunError {
        RunError { seed: self.seed, kind, steps: self.steps().map(str::to_owned).collect() }
    }

    #[track_caller]
    fn panic_with(&mut self, error: RunError) -> ! {
        let message = error.to_string();
        self.failure = Some(error);
        panic!("{message}");
    }
}

impl Task<'_> {
    /// Polls the task, and returns its panic.
    fn poll(&mut self) -> Option<RunErrorKind> {
        let future = self.future.as_mut()?;
        self.woken.clear();
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&self.waker))));
        let kind = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(())) => None,
            Err(payload) => {
                let (task, message) = (Some(self.name.clone()), panic_message(payload));
                Some(RunErrorKind::Panicked { task, message })
            }
        };
        // A panic of the drop is the task's as well, unless it had panicked before.
        let finished = self.future.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(finished)));
        kind.or_else(|| {
            let message = panic_message(dropped.err()?);
            Some(RunErrorKind::Panicked { task: Some(self.name.clone()), message })
        })
    }
}

impl fmt::Debug for Executor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unfinished: Vec<_> =
            self.tasks.iter().filter(|task| task.future.is_some()).map(|task| &task.name).collect();
        f.debug_struct("Executor")
            .field("seed", &self.seed)
            .field("unfinished", &unfinished)
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

/// Runs a test once for each seed, and returns how often. The closure spawns tasks, and can [run](Executor::run) them and
/// check what they left; tasks that it has not run are run afterwards. The seed can also decide what is done, by a
/// [`Random`] of the same seed.
///
/// To replay a failure, call it with the one seed that the message names.
///
/// ```
/// use event_broker::testing::{explore, yield_now};
/// use event_broker::{Broker, Event, Request};
///
/// explore(0..100, |executor| {
///     let broker = Broker::<u32>::new();
///     for name in ["one", "two"] {
///         let mut reader = broker.subscribe(Request::new()).unwrap();
///         executor.spawn(name, async move {
///             for index in 1..=3 {
///                 assert_eq!(reader.recv_async().await.unwrap().index(), index);
///             }
///         });
///     }
///     executor.spawn("publisher", async move {
///         for index in 1..=3 {
///             broker.publish(index, [Event::new("Job", "JobRegistered", "web", 1)]).unwrap();
///             yield_now().await;
///         }
///     });
/// });
/// ```
///
/// # Panics
///
/// Panics with the first seed that fails: if the closure panics, or where [`Executor::try_run`] returns an error. The
/// message names the seed and the order of steps. Panics if there is no seed.
#[track_caller]
pub fn explore<'t>(seeds: impl IntoIterator<Item = u64>, mut test: impl FnMut(&mut Executor<'t>)) -> u64 {
    let mut passed = 0;
    for seed in seeds {
        let mut executor = Executor::new(seed);
        let outcome = catch_unwind(AssertUnwindSafe(|| test(&mut executor)));
        let error = match outcome {
            Ok(()) => executor.try_run().err(),
            Err(payload) => {
                let message = panic_message(payload);
                let failure = executor.failure.take();
                Some(failure.unwrap_or_else(|| executor.error(RunErrorKind::Panicked { task: None, message })))
            }
        };
        if let Some(error) = error {
            // A drop of a task that panics during another panic would abort.
            ignore_panic(|| drop(executor));
            panic!("{error}\nseeds that passed before it: {passed}");
        }
        passed += 1;
    }
    assert!(passed > 0, "expected seeds to run the test with, found none");
    passed
}

/// Lets other tasks run: the future is pending once, and wakes its task at once. It serves any executor.
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests;
