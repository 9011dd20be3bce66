//! The rigs that measure a point, turn by turn. The count of every reader is checked.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::contenders::{Visit, VisitAwaited, VisitBlocking, VisitFramed};
use crate::point::{Mode, Point, Setting};
use crate::support::commits::Commits;
use crate::support::framed::{Framed, Out, expected_bytes};
use crate::support::inline::Inline;
use crate::support::measure::nanos;
use crate::support::tasks::{Placement, Run, Waiting};
use crate::support::{Awaited, Blocking, Churning, Structure, Want};

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
    /// The times of publishes.
    pub(crate) publish: Histogram<u64>,
}

/// What a window measured.
#[derive(Clone, Copy, Debug)]
struct Window {
    elapsed: Duration,
    deliveries: u64,
}

/// A structure with its readers, which is measured turn by turn.
pub(crate) trait Rig {
    fn turn(&mut self, length: Length) -> Turn;
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits")
}

/// More than it costs to read the clock.
const CLOCK: Duration = Duration::from_nanos(50);

/// The clock is read for each batch where that is at most this part of the time.
const PART_OF_CLOCK: u32 = 200;

/// Otherwise once in so many windows, which do not count.
const CLOCKED: u64 = 8;

/// Runs windows for a turn. `window` records the times of publishes if it is given where to.
fn turn(setting: &Setting, length: Length, mut window: impl FnMut(Option<&mut Histogram<u64>>) -> Window) -> Turn {
    let batches = u32::try_from(setting.window).unwrap_or(u32::MAX);
    let hardly_costs = |elapsed: Duration| elapsed >= CLOCK * batches * PART_OF_CLOCK;
    let mut clocked_too = false;
    for _ in 0..length.warm_up {
        clocked_too = hardly_costs(window(None).elapsed);
    }
    let mut turn = Turn { elapsed: Duration::ZERO, events: 0, deliveries: 0, publish: histogram() };
    let mut windows = 0;
    while windows < length.windows.max(1) || turn.elapsed < length.time {
        let Window { elapsed, deliveries } = window(clocked_too.then_some(&mut turn.publish));
        turn.elapsed += elapsed;
        turn.deliveries += deliveries;
        windows += 1;
    }
    if turn.publish.is_empty() {
        for _ in 0..windows.div_ceil(CLOCKED) {
            window(Some(&mut turn.publish));
        }
    }
    turn.events = windows * (setting.window * setting.batch) as u64;
    turn
}

/// Publishes a window on this thread.
fn publish<S: Structure>(rig: &mut Inline<S>, window: Vec<S::Prepared>, clock: Option<&mut Histogram<u64>>) {
    let Some(publish) = clock else { return rig.publish(window) };
    let mut last = Instant::now();
    for batch in window {
        rig.structure.publish(batch);
        let now = Instant::now();
        publish.record(nanos(now - last)).expect("resizes");
        last = now;
    }
}

/// Publishes and reads on one thread, while readers come and go.
struct OneThread<S: Structure> {
    setting: Setting,
    rig: Inline<S>,
    /// Of those that come and go.
    wants: Vec<Want>,
}

impl<S: Churning> Rig for OneThread<S> {
    fn turn(&mut self, length: Length) -> Turn {
        let Self { setting, rig, wants } = self;
        turn(setting, length, |clock| {
            let window = rig.prepare();
            let expected = rig.expected();
            let start = Instant::now();
            if setting.churn > 0 {
                rig.replace_last(setting.churn, wants);
            }
            publish(rig, window, clock);
            rig.read();
            let elapsed = start.elapsed();
            let deliveries = rig.check();
            assert_eq!(deliveries, expected, "{}, {setting}: deliveries were lost", S::name());
            Window { elapsed, deliveries }
        })
    }
}

/// The same of frames.
struct Frames<S: Structure>(Setting, Inline<S>);

impl<S: Framed> Rig for Frames<S> {
    fn turn(&mut self, length: Length) -> Turn {
        let Self(setting, rig) = self;
        let mut out = Out::default();
        let mut checked = false;
        turn(setting, length, |clock| {
            let window = rig.prepare();
            let expected = rig.expected();
            out.bytes = 0;
            let start = Instant::now();
            publish(rig, window, clock);
            rig.read_by(|structure, reader| structure.frames(reader, &mut out));
            let elapsed = start.elapsed();
            if !std::mem::replace(&mut checked, true) {
                // Once a turn, because it encodes all events again.
                let (plan, window) = rig.next();
                let bytes = expected_bytes(plan, rig.readers.len(), window);
                assert_eq!(out.bytes, bytes, "{}, {setting}: bytes of frames", S::name());
            }
            let deliveries = rig.check();
            assert_eq!(deliveries, expected, "{}, {setting}: deliveries were lost", S::name());
            Window { elapsed, deliveries }
        })
    }
}

/// Several threads that publish.
struct SeveralPublishers<S: Structure>(Setting, Commits<S>);

impl<S: Structure> Rig for SeveralPublishers<S> {
    fn turn(&mut self, length: Length) -> Turn {
        let Self(setting, rig) = self;
        rig.wake(true);
        let turn = turn(setting, length, |clock| {
            let (elapsed, deliveries) = rig.window(clock);
            Window { elapsed, deliveries }
        });
        rig.wake(false);
        turn
    }
}

/// Readers that wait, as tasks or threads.
struct Waiters<S: Structure>(Setting, Waiting<S>);

impl<S: Structure> Rig for Waiters<S> {
    fn turn(&mut self, length: Length) -> Turn {
        let Self(setting, rig) = self;
        turn(setting, length, |clock| {
            // The rig panics if a reader's count is wrong.
            let run = rig.run(1, if clock.is_some() { Run::with_latencies() } else { Run::timed() });
            if let (Some(publish), Some(latencies)) = (clock, run.latencies) {
                publish.add(latencies).expect("resizes");
            }
            Window { elapsed: run.elapsed, deliveries: run.deliveries }
        })
    }
}

struct Open(Setting);

impl Visit for Open {
    type Output = Box<dyn Rig>;

    fn inline<S: Churning>(self) -> Box<dyn Rig> {
        let Self(setting) = self;
        let plan = setting.plan();
        if setting.publishers > 1 {
            return Box::new(SeveralPublishers(
                setting,
                Commits::<S>::new(setting.subscribers, plan, setting.publishers),
            ));
        }
        let wants = (0..setting.subscribers).map(|reader| plan.want(reader)).collect();
        let mut rig = Inline::<S>::new(setting.subscribers, plan);
        rig.polls_all = setting.mode == Mode::Poll;
        Box::new(OneThread { setting, rig, wants })
    }
}

impl VisitFramed for Open {
    type Output = Box<dyn Rig>;

    fn framed<S: Framed>(self) -> Box<dyn Rig> {
        Box::new(Frames(self.0, Inline::<S>::new(self.0.subscribers, self.0.plan())))
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
    let open = Open(point.setting);
    match point.setting.mode {
        Mode::Drain | Mode::Poll => point.contender.visit(open),
        Mode::Frames => point.contender.visit_framed(open),
        Mode::Tasks => point.contender.visit_awaited(open),
        Mode::Threads => point.contender.visit_blocking(open),
    }
}
