//! One point of the study: its parameters and its measurement. The count of every reader is checked.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::contenders::{Contender, UnknownName, Visit, VisitAwaited};
use crate::sheet::Row;
use crate::support::event::{Payload, Plan};
use crate::support::inline::Inline;
use crate::support::measure::nanos;
use crate::support::tasks::{Placement, Run, Waiting};
use crate::support::{Awaited, Structure, Want};

/// Where the readers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// On the publisher's thread: publish a window, and let every reader read it.
    Drain,
    /// Tasks of a runtime with two workers, the publisher among them.
    Tasks,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Drain, Self::Tasks];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Tasks => "tasks",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Drain => "publish and read on one thread",
            Self::Tasks => "readers as tasks, 2 workers, publisher among them",
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

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) mode: Mode,
    pub(crate) contender: Contender,
    pub(crate) subscribers: usize,
    /// The part of the events that a reader asks for.
    pub(crate) fraction: f64,
    /// Events a batch.
    pub(crate) batch: usize,
    /// Bytes.
    pub(crate) payload: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, contender, subscribers, fraction, batch, payload } = self;
        write!(f, "{mode} {contender}, subscribers {subscribers}, match {fraction}, batch {batch}, payload {payload}")
    }
}

impl Point {
    /// Readers ask for one of `groups` keys, or for everything if it is 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the fraction is at least a millionth")]
    pub(crate) fn groups(&self) -> u64 {
        (1.0 / self.fraction).round() as u64
    }

    fn plan(&self) -> Plan {
        Plan {
            groups: self.groups(),
            batch: self.batch,
            window: 64,
            payload: Payload::of(self.payload),
            copied: true,
            all: Want::Everything,
        }
    }

    /// Windows until every group has had an event.
    fn round(&self) -> u64 {
        self.groups().div_ceil(64 * self.batch as u64)
    }
}

/// The measurement.
struct Measured {
    elapsed: Duration,
    windows: u64,
    deliveries: u64,
    publish: Histogram<u64>,
}

impl Measured {
    fn none() -> Self {
        let publish = Histogram::new(3).expect("three digits");
        Self { elapsed: Duration::ZERO, windows: 0, deliveries: 0, publish }
    }
}

/// Measures windows for at least this long and at least one full round of the groups, after one warm-up round.
fn repeat(point: &Point, time: Duration, mut window: impl FnMut(&mut Measured)) -> Measured {
    let mut warm = Measured::none();
    let start = Instant::now();
    for _ in 0..point.round() {
        window(&mut warm);
        if start.elapsed() > time {
            break;
        }
    }
    let mut measured = Measured::none();
    let start = Instant::now();
    while start.elapsed() < time || measured.windows < point.round() {
        window(&mut measured);
        measured.windows += 1;
    }
    measured
}

struct OneThread<'p>(&'p Point, Duration);

impl Visit for OneThread<'_> {
    type Output = Measured;

    fn inline<S: Structure>(self) -> Measured {
        let Self(point, time) = self;
        let mut rig = Inline::<S>::new(point.subscribers, point.plan());
        repeat(point, time, |measured| {
            let window = rig.prepare();
            let expected = rig.expected();
            let start = Instant::now();
            let mut last = start;
            for batch in window {
                rig.structure.publish(batch);
                let now = Instant::now();
                measured.publish.record(nanos(now - last)).expect("resizes");
                last = now;
            }
            let deliveries = rig.drain();
            measured.elapsed += start.elapsed();
            assert_eq!(deliveries, expected, "{point}: deliveries were lost");
            measured.deliveries += deliveries;
        })
    }
}

struct AsTasks<'p>(&'p Point, Duration);

impl VisitAwaited for AsTasks<'_> {
    type Output = Measured;

    fn awaited<S: Awaited>(self) -> Measured {
        let Self(point, time) = self;
        let mut rig = Waiting::<S>::tasks(point.subscribers, point.plan(), Placement::AmongTasks);
        repeat(point, time, |measured| {
            // The rig panics if a reader's count is wrong.
            let run = rig.run(1, Run::with_latencies());
            measured.elapsed += run.elapsed;
            measured.deliveries += run.deliveries;
            measured.publish.add(run.latencies.expect("asked for")).expect("resizes");
        })
    }
}

/// Measures a point for this long. Panics if a reader receives more or less than it asked for.
#[expect(clippy::cast_precision_loss, reason = "counts of what was measured are far below 2^52")]
pub(crate) fn measure(point: &Point, time: Duration, bytes_per_subscription: Option<u64>) -> Row {
    let measured = match point.mode {
        Mode::Drain => point.contender.visit(OneThread(point, time)),
        Mode::Tasks => point.contender.visit_awaited(AsTasks(point, time)),
    };
    let Measured { elapsed, windows, deliveries, publish } = measured;
    let seconds = elapsed.as_secs_f64();
    let batches = windows * 64;
    let events = batches * point.batch as u64;
    let quantile = |quantile| publish.value_at_quantile(quantile);
    Row {
        point: *point,
        seconds,
        events,
        deliveries,
        deliveries_per_second: deliveries as f64 / seconds,
        nanos_per_event: seconds * 1e9 / events as f64,
        publish_p50: quantile(0.5),
        publish_p99: quantile(0.99),
        publish_p999: quantile(0.999),
        publish_max: publish.max(),
        bytes_per_subscription,
    }
}
