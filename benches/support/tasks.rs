//! The rigs of readers that wait, as tasks of a runtime or as threads.
//!
//! The publisher continues when every reader that the window concerns has received all of it. If a delivery is lost,
//! the rig panics after a timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::event::Plan;
use super::measure::nanos;
use super::{Awaited, Blocking, Seen, Structure};

/// How long the publisher waits for readers before it reports a lost delivery.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Where readers report that they have received a window.
#[derive(Default)]
pub(crate) struct Gate {
    missing: AtomicUsize,
    through: Notify,
}

impl Gate {
    /// Begins a window that so many readers must receive.
    pub(crate) fn expect(&self, readers: usize) {
        self.missing.store(readers, Ordering::Release);
    }

    /// Waits until the last of the expected readers, of which there is one at least, has arrived.
    pub(crate) async fn wait(&self, structure: &str, window: u64) {
        let through = tokio::time::timeout(TIME_LIMIT, self.through.notified()).await;
        assert!(through.is_ok(), "{structure}: readers lost deliveries in window {window}");
    }

    pub(crate) fn arrive(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.through.notify_one();
        }
    }
}

/// The work of one reader until the structure is gone, for any way of waiting.
struct Duty {
    number: usize,
    plan: Plan,
    gate: Arc<Gate>,
    window: u64,
    seen: Seen,
}

impl Duty {
    fn new(number: usize, plan: &Plan, gate: &Arc<Gate>) -> Self {
        Self { number, plan: plan.clone(), gate: Arc::clone(gate), window: 0, seen: Seen::default() }
    }

    /// Records a read. Windows that do not concern this reader are skipped; a complete one is reported.
    fn note<S: Structure>(&mut self, seen: Seen) {
        self.seen += seen;
        if !S::SEES_ALL {
            self.window = self.plan.next(self.number, self.window);
        }
        let need = self.plan.expected(self.number, self.window);
        let complete =
            if S::SEES_ALL { self.seen.batches >= self.plan.window as u64 } else { self.seen.events >= need };
        if complete {
            assert_eq!(self.seen.events, need, "{}: reader {}", S::name(), self.number);
            self.seen = Seen::default();
            self.window += 1;
            self.gate.arrive();
        }
    }
}

/// The publisher's side.
struct Publisher<S: Structure> {
    structure: S,
    plan: Plan,
    gate: Arc<Gate>,
    readers: usize,
    window: u64,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) elapsed: Duration,
    pub(crate) deliveries: u64,
    /// The latency of each `publish`, if requested.
    pub(crate) latencies: Option<Histogram<u64>>,
}

impl Run {
    pub(crate) fn timed() -> Self {
        Self { elapsed: Duration::ZERO, deliveries: 0, latencies: None }
    }

    pub(crate) fn with_latencies() -> Self {
        Self { latencies: Some(Histogram::new(3).expect("three digits")), ..Self::timed() }
    }
}

impl<S: Structure> Publisher<S> {
    /// Publishes windows. Each is built before the measured time and read before the next.
    async fn run(&mut self, windows: u64, mut run: Run) -> Run {
        let len = self.plan.window as u64;
        for _ in 0..windows {
            let numbers = self.window * len..(self.window + 1) * len;
            let batches: Vec<_> = numbers.map(|number| S::prepare(number + 1, self.plan.events(number))).collect();
            let concerned =
                if S::SEES_ALL { self.readers } else { self.plan.concerned(self.readers, self.window).count() };
            self.gate.expect(concerned);
            let start = Instant::now();
            if let Some(latencies) = &mut run.latencies {
                let mut last = start;
                for batch in batches {
                    self.structure.publish(batch);
                    let now = Instant::now();
                    latencies.record(nanos(now - last)).expect("resizes");
                    last = now;
                }
            } else {
                for batch in batches {
                    self.structure.publish(batch);
                }
            }
            if concerned > 0 {
                self.gate.wait(S::name(), self.window).await;
            }
            run.elapsed += start.elapsed();
            run.deliveries += self.plan.deliveries(self.readers, self.window);
            self.window += 1;
        }
        run
    }
}

/// Where the publisher runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// A task among the readers, on a runtime of two workers.
    AmongTasks,
    /// A task among the readers, on a runtime of so many workers.
    AmongTasksOf(usize),
    /// A task among the readers, on a current-thread runtime.
    AmongTasksOfOneThread,
    /// A thread of its own; the readers are on a current-thread runtime.
    OwnThread,
}

/// Readers that wait.
pub(crate) struct Waiting<S: Structure> {
    publisher: Option<Publisher<S>>,
    /// Whether the publisher runs among the readers.
    among: bool,
    runtime: Runtime,
    threads: Vec<JoinHandle<()>>,
}

impl<S: Awaited> Waiting<S> {
    pub(crate) fn tasks(readers: usize, plan: Plan, placement: Placement) -> Self {
        let (publisher, opened) = Publisher::<S>::open(readers, plan);
        let among = placement != Placement::OwnThread;
        let mut threads = Vec::new();
        let workers = match placement {
            Placement::AmongTasks => Some(2),
            Placement::AmongTasksOf(workers) => Some(workers),
            Placement::AmongTasksOfOneThread | Placement::OwnThread => None,
        };
        let mut builder = if workers.is_some() { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        let runtime = builder.worker_threads(workers.unwrap_or(1)).enable_time().build().expect("a runtime");
        let reading = opened.into_iter().map(|(mut duty, mut reader)| async move {
            duty.note::<S>(Seen::default());
            loop {
                let seen = S::wait(&mut reader).await;
                if seen.batches == 0 {
                    break;
                }
                duty.note::<S>(seen);
            }
        });
        if among {
            for task in reading {
                runtime.spawn(task);
            }
        } else {
            let reading: Vec<_> = reading.collect();
            threads.push(std::thread::spawn(move || {
                let runtime = Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(async {
                    let tasks: Vec<_> = reading.into_iter().map(tokio::spawn).collect();
                    for task in tasks {
                        task.await.expect("a reader");
                    }
                });
            }));
        }
        Self { publisher: Some(publisher), among, runtime, threads }
    }
}

impl<S: Blocking> Waiting<S> {
    pub(crate) fn threads(readers: usize, plan: Plan) -> Self {
        let (publisher, opened) = Publisher::<S>::open(readers, plan);
        let reading = opened.into_iter().map(|(mut duty, mut reader)| {
            move || {
                duty.note::<S>(Seen::default());
                loop {
                    let seen = S::block(&mut reader);
                    if seen.batches == 0 {
                        break;
                    }
                    duty.note::<S>(seen);
                }
            }
        });
        let threads = reading.map(std::thread::spawn).collect();
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { publisher: Some(publisher), among: false, runtime, threads }
    }
}

impl<S: Structure> Publisher<S> {
    fn open(readers: usize, plan: Plan) -> (Self, Vec<(Duty, S::Reader)>) {
        let wants: Vec<_> = (0..readers).map(|reader| plan.want(reader)).collect();
        let (structure, opened) = S::open(&wants, plan.capacity());
        let gate = Arc::new(Gate::default());
        let opened = opened.into_iter().enumerate();
        let opened = opened.map(|(number, reader)| (Duty::new(number, &plan, &gate), reader)).collect();
        (Self { structure, plan, gate, readers, window: 0 }, opened)
    }
}

impl<S: Structure> Waiting<S> {
    /// Publishes windows to the waiting readers. Panics if a reader does not receive what it must.
    pub(crate) fn run(&mut self, windows: u64, run: Run) -> Run {
        let mut publisher = self.publisher.take().expect("kept between runs");
        let (publisher, run) = if self.among {
            let task = async move {
                let run = publisher.run(windows, run).await;
                (publisher, run)
            };
            self.runtime.block_on(async { tokio::spawn(task).await.expect("a publisher") })
        } else {
            let run = self.runtime.block_on(publisher.run(windows, run));
            (publisher, run)
        };
        self.publisher = Some(publisher);
        run
    }
}

impl<S: Structure> Drop for Waiting<S> {
    fn drop(&mut self) {
        // Readers end when the structure is gone.
        self.publisher = None;
        for thread in self.threads.drain(..) {
            // A reader that panicked has printed its message.
            let _ = thread.join();
        }
    }
}
