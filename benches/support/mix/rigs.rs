//! The rigs of the mix: all readers on one thread, or as tasks of a runtime of two workers.
//!
//! Both check after each window that every reader received what it should. They compute no statistics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::super::measure::processor_time;
use super::super::tasks::Gate;
use super::plan::{Plan, Wanted};
use super::{Mixed, MixedTasks, Tally};

/// Batches that a structure holds, whatever the window.
const CAPACITY: usize = 128;

/// The batches of a window.
fn prepare<S: Mixed>(plan: &Plan, window: u64) -> Vec<S::Prepared> {
    plan.numbers(window).map(|number| S::prepare(Plan::index(number), plan.events(number))).collect()
}

/// What windows took, and what they delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) batches: u64,
    pub(crate) deliveries: u64,
    pub(crate) publishing: Duration,
    /// Only of readers on the publisher's thread.
    pub(crate) reading: Duration,
    /// The same of each kind of readers, and how many reads that were.
    pub(crate) by_kind: [(Duration, u64); Wanted::KINDS],
    /// From the first publish of a window until all have read it.
    pub(crate) elapsed: Duration,
    /// Of all threads, where the system says it.
    pub(crate) processor: Option<Duration>,
}

/// All readers on the publisher's thread.
pub(crate) struct OneThread<S: Mixed> {
    structure: S,
    readers: Vec<S::Reader>,
    plan: Arc<Plan>,
    window: u64,
    received: Vec<(usize, Tally)>,
}

impl<S: Mixed> OneThread<S> {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let (structure, readers) = S::open(&plan.readers, CAPACITY);
        Self { structure, readers, plan: Arc::clone(plan), window: 0, received: Vec::new() }
    }

    /// Publishes windows, and lets readers read each. After a window of several batches every reader reads. A single
    /// batch is read by those that it concerns, as if they had been woken, and by all if each reader filters for itself.
    /// Readers of the same kind read one after another.
    pub(crate) fn run(&mut self, windows: u64) -> Taken {
        let mut taken = Taken::default();
        for _ in 0..windows {
            let Self { structure, readers, plan, window, received } = self;
            let batches = prepare::<S>(plan, *window);
            let all = plan.window > 1 || S::SEES_ALL;
            let mut reading = [const { Vec::new() }; Wanted::KINDS];
            for (number, wanted) in plan.readers.iter().enumerate() {
                if all || plan.expected(number, *window).events > 0 {
                    reading.get_mut(wanted.kind()).expect("a kind").push(number);
                }
            }
            taken.batches += batches.len() as u64;
            let start = Instant::now();
            for batch in batches {
                structure.publish(batch);
            }
            let published = Instant::now();
            let mut read = published;
            for (numbers, (time, reads)) in reading.iter().zip(&mut taken.by_kind) {
                let start = read;
                for &number in numbers {
                    received.push((number, S::drain(readers.get_mut(number).expect("counted"))));
                }
                read = Instant::now();
                *time += read - start;
                *reads += numbers.len() as u64;
            }
            taken.publishing += published - start;
            taken.reading += read - published;
            taken.elapsed += read - start;
            for (number, tally) in received.drain(..) {
                check::<S>(number, *window, tally, plan.expected(number, *window));
            }
            taken.deliveries += plan.deliveries(*window);
            *window += 1;
        }
        taken
    }
}

/// Panics unless a reader has received what it must of a window.
fn check<S: Mixed>(reader: usize, window: u64, received: Tally, expected: Tally) {
    let batches = if S::SEES_ALL { received.batches } else { expected.batches };
    assert_eq!(received, Tally { batches, ..expected }, "{}: reader {reader} in window {window}", S::name());
}

/// The work of a task.
struct Duty {
    number: usize,
    plan: Arc<Plan>,
    gate: Arc<Gate>,
    /// The windows that concern this reader, of one cycle.
    windows: Vec<u64>,
    /// How many of them are read, of all cycles.
    read: usize,
    /// The window that is read now or next, and what is to be received of it.
    expected: (u64, Tally),
    tally: Tally,
}

impl Duty {
    fn new<S: Mixed>(number: usize, plan: &Arc<Plan>, gate: &Arc<Gate>) -> Self {
        let concerns = |window: &u64| S::SEES_ALL || plan.expected(number, *window).events > 0;
        let windows = (0..plan.cycle()).filter(concerns).collect();
        let (plan, gate) = (Arc::clone(plan), Arc::clone(gate));
        let (expected, tally) = ((0, Tally::default()), Tally::default());
        let mut duty = Self { number, plan, gate, windows, read: 0, expected, tally };
        duty.advance();
        duty
    }

    /// Goes on to the next window that concerns this reader, if any does.
    fn advance(&mut self) {
        let Self { number, plan, windows, read, .. } = self;
        if let Some(window) = windows.get(*read % windows.len().max(1)) {
            let window = (*read / windows.len()) as u64 * plan.cycle() + window;
            self.expected = (window, plan.expected(*number, window));
        }
        *read += 1;
    }

    /// Records a read; a complete window is checked and reported.
    fn note<S: Mixed>(&mut self, tally: Tally) {
        self.tally += tally;
        let (window, expected) = self.expected;
        let complete = if S::SEES_ALL {
            self.tally.batches >= self.plan.window as u64
        } else {
            self.tally.events >= expected.events
        };
        if complete {
            check::<S>(self.number, window, std::mem::take(&mut self.tally), expected);
            self.advance();
            self.gate.arrive();
        }
    }
}

/// Each reader a task, and the publisher among them.
pub(crate) struct Tasks<S: Mixed> {
    publisher: Option<Publisher<S>>,
    runtime: Runtime,
}

struct Publisher<S> {
    structure: S,
    plan: Arc<Plan>,
    gate: Arc<Gate>,
    window: u64,
}

/// A window that is ready to be published.
struct Ready<T> {
    number: u64,
    batches: Vec<T>,
    /// How many readers receive something of it, and how many events they receive together.
    concerned: usize,
    deliveries: u64,
}

impl<S: Mixed> Publisher<S> {
    fn prepare(&mut self, windows: u64) -> Vec<Ready<S::Prepared>> {
        let numbers = self.window..self.window + windows;
        self.window = numbers.end;
        let plan = &self.plan;
        let ready = |number| Ready {
            number,
            batches: prepare::<S>(plan, number),
            concerned: if S::SEES_ALL { plan.readers.len() } else { plan.concerned(number) },
            deliveries: plan.deliveries(number),
        };
        numbers.map(ready).collect()
    }

    /// Publishes windows, each when all have read the one before.
    async fn run(&mut self, windows: Vec<Ready<S::Prepared>>) -> Taken {
        let mut taken = Taken::default();
        for Ready { number, batches, concerned, deliveries } in windows {
            self.gate.expect(concerned);
            taken.batches += batches.len() as u64;
            let start = Instant::now();
            for batch in batches {
                self.structure.publish(batch);
            }
            taken.publishing += start.elapsed();
            if concerned > 0 {
                self.gate.wait(S::name(), number).await;
            }
            taken.elapsed += start.elapsed();
            taken.deliveries += deliveries;
        }
        taken
    }
}

impl<S: MixedTasks> Tasks<S> {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let (structure, readers) = S::open(&plan.readers, CAPACITY);
        let gate = Arc::<Gate>::default();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
        for (number, mut reader) in readers.into_iter().enumerate() {
            let mut duty = Duty::new::<S>(number, plan, &gate);
            runtime.spawn(async move {
                loop {
                    let tally = S::wait(&mut reader).await;
                    if tally.batches == 0 {
                        break;
                    }
                    duty.note::<S>(tally);
                }
            });
        }
        let publisher = Publisher { structure, plan: Arc::clone(plan), gate, window: 0 };
        Self { publisher: Some(publisher), runtime }
    }

    /// Publishes windows, each when all have read the one before.
    pub(crate) fn run(&mut self, windows: u64) -> Taken {
        let mut publisher = self.publisher.take().expect("kept between runs");
        let windows = publisher.prepare(windows);
        let before = processor_time();
        let task = async move {
            let taken = publisher.run(windows).await;
            (publisher, taken)
        };
        let (publisher, taken) = self.runtime.block_on(async { tokio::spawn(task).await.expect("a publisher") });
        // Workers are counted in full once they sleep.
        std::thread::sleep(Duration::from_millis(1));
        let processor = processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
        self.publisher = Some(publisher);
        Taken { processor, ..taken }
    }
}
