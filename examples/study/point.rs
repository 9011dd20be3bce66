//! One setting of the study, the rigs that measure a contender in it, and one turn of a rig. The count of every reader
//! is checked.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::contenders::{Contender, UnknownName, Visit, VisitAwaited, VisitBlocking};
use crate::support::event::{Payload, Plan, Zipf};
use crate::support::inline::Inline;
use crate::support::measure::nanos;
use crate::support::tasks::{Placement, Run, Waiting};
use crate::support::{Awaited, Blocking, Structure, Want};

/// Where the readers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// On the publisher's thread: publish a window, and let every reader read it.
    Drain,
    /// Tasks of a runtime, the publisher among them.
    Tasks,
    /// A thread for each reader, which blocks until there is something.
    Threads,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Drain, Self::Tasks, Self::Threads];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Tasks => "tasks",
            Self::Threads => "threads",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Drain => "publish and read on one thread",
            Self::Tasks => "readers as tasks, publisher among them",
            Self::Threads => "readers as threads",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or(UnknownName)
    }
}

/// Which keys the events have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// One after the other.
    Uniform,
    /// Drawn: the key of rank `k` in proportion to `1 / k`.
    Zipf,
}

impl Keys {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Keys {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Uniform, Self::Zipf].into_iter().find(|keys| keys.name() == name).ok_or(UnknownName)
    }
}

/// What is the same for all contenders that take turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) mode: Mode,
    pub(crate) subscribers: usize,
    /// The part of the events that a reader asks for.
    pub(crate) fraction: f64,
    /// Events a batch.
    pub(crate) batch: usize,
    /// Bytes.
    pub(crate) payload: usize,
    /// Batches that are published before all readers must have read them.
    pub(crate) window: usize,
    /// Batches that the structure holds; 0 for two windows.
    pub(crate) buffer: usize,
    /// Threads of the runtime; 0 where there is none.
    pub(crate) workers: usize,
    pub(crate) keys: Keys,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, subscribers, fraction, batch, payload, window, keys, .. } = self;
        write!(
            f,
            "{mode}, subscribers {subscribers}, match {fraction}, batch {batch}, payload {payload}, window {window}, {keys}"
        )
    }
}

/// A setting and a contender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) setting: Setting,
    pub(crate) contender: Contender,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.contender, self.setting)
    }
}

impl Setting {
    /// Readers ask for one of `groups` keys, or for everything if it is 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the fraction is at least a millionth")]
    pub(crate) fn groups(&self) -> u64 {
        (1.0 / self.fraction).round() as u64
    }

    fn plan(&self) -> Plan {
        Plan {
            groups: self.groups(),
            drawn: (self.keys == Keys::Zipf).then(|| Zipf::new(self.groups(), self.window * self.batch)),
            batch: self.batch,
            window: self.window,
            payload: Payload::of(self.payload),
            capacity: (self.buffer > 0).then_some(self.buffer),
            copied: true,
            all: Want::Everything,
        }
    }

    /// Windows until every group has had an event.
    pub(crate) fn round(&self) -> u64 {
        self.groups().div_ceil(self.window as u64 * self.batch as u64)
    }
}

/// How long a turn is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Windows before the turn that are not measured.
    pub(crate) warm_up: u64,
    /// At least this long, and at least one window.
    pub(crate) time: Duration,
    /// At least so many windows.
    pub(crate) windows: u64,
}

/// What a turn measured.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) elapsed: Duration,
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    /// The time of each publish.
    pub(crate) publish: Histogram<u64>,
}

impl Turn {
    fn new() -> Self {
        let publish = Histogram::new(3).expect("three digits");
        Self { elapsed: Duration::ZERO, events: 0, deliveries: 0, publish }
    }
}

/// A structure with its readers, which is measured turn by turn.
pub(crate) trait Rig {
    fn turn(&mut self, length: Length) -> Turn;
}

/// Runs windows for a turn.
fn turn(setting: &Setting, length: Length, mut window: impl FnMut(&mut Turn)) -> Turn {
    let mut warm = Turn::new();
    (0..length.warm_up).for_each(|_| window(&mut warm));
    let mut turn = Turn::new();
    let mut windows = 0;
    while windows < length.windows.max(1) || turn.elapsed < length.time {
        window(&mut turn);
        windows += 1;
    }
    turn.events = windows * (setting.window * setting.batch) as u64;
    turn
}

struct OneThread<S: Structure>(Setting, Inline<S>);

impl<S: Structure> Rig for OneThread<S> {
    fn turn(&mut self, length: Length) -> Turn {
        let Self(setting, rig) = self;
        turn(setting, length, |turn| {
            let window = rig.prepare();
            let expected = rig.expected();
            let start = Instant::now();
            let mut last = start;
            for batch in window {
                rig.structure.publish(batch);
                let now = Instant::now();
                turn.publish.record(nanos(now - last)).expect("resizes");
                last = now;
            }
            rig.read();
            turn.elapsed += start.elapsed();
            let deliveries = rig.check();
            assert_eq!(deliveries, expected, "{}, {setting}: deliveries were lost", S::name());
            turn.deliveries += deliveries;
        })
    }
}

/// Readers that wait, as tasks or threads.
struct Waiters<S: Structure>(Setting, Waiting<S>);

impl<S: Structure> Rig for Waiters<S> {
    fn turn(&mut self, length: Length) -> Turn {
        let Self(setting, rig) = self;
        turn(setting, length, |turn| {
            // The rig panics if a reader's count is wrong.
            let run = rig.run(1, Run::with_latencies());
            turn.elapsed += run.elapsed;
            turn.deliveries += run.deliveries;
            turn.publish.add(run.latencies.expect("asked for")).expect("resizes");
        })
    }
}

struct Open(Setting);

impl Visit for Open {
    type Output = Box<dyn Rig>;

    fn inline<S: Structure>(self) -> Box<dyn Rig> {
        Box::new(OneThread(self.0, Inline::<S>::new(self.0.subscribers, self.0.plan())))
    }
}

impl VisitAwaited for Open {
    type Output = Box<dyn Rig>;

    fn awaited<S: Awaited>(self) -> Box<dyn Rig> {
        let placement = Placement::AmongTasksOf(self.0.workers.max(1));
        Box::new(Waiters(self.0, Waiting::<S>::tasks(self.0.subscribers, self.0.plan(), placement)))
    }
}

impl VisitBlocking for Open {
    type Output = Box<dyn Rig>;

    fn blocking<S: Blocking>(self) -> Box<dyn Rig> {
        Box::new(Waiters(self.0, Waiting::<S>::threads(self.0.subscribers, self.0.plan())))
    }
}

/// Opens all readers of a point.
pub(crate) fn open(point: &Point) -> Box<dyn Rig> {
    match point.setting.mode {
        Mode::Drain => point.contender.visit(Open(point.setting)),
        Mode::Tasks => point.contender.visit_awaited(Open(point.setting)),
        Mode::Threads => point.contender.visit_blocking(Open(point.setting)),
    }
}
