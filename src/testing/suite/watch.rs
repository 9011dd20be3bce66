//! The clause that nothing is published before its commit: another thread reads the state in the middle of a publish.
//! How a reader is woken is decided in `wait`.
//!
//! A reader is polled before each command, so that the publish wakes it. Its waker stops the publish until a second
//! thread has read the state. A store that publishes under its own lock does not let that thread read, and then the
//! order cannot be seen by anybody: the waker gives up after a moment, and after a few such moments for good.
//!
//! Callers: `config`.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::run::{At, Run, denied, state_of};
use super::script::Step;
use super::store::{Outcome, TestedStore};
use super::violation::{Violation, guarded};
use crate::broker::Broker;
use crate::subscription::Subscription;
use crate::sync::{AtomicU32, Ordering, SleepCondvar, SleepGuard, SleepMutex, wait_until};
use crate::types::request::Request;
use crate::types::start::Start;

/// How long a publish waits for the state to be read.
const PATIENCE: Duration = Duration::from_millis(250);

/// The same for a store that has not let it be read several times: it may publish some commits under its own lock and
/// others not.
const LITTLE_PATIENCE: Duration = Duration::from_millis(2);

/// How long the second thread sleeps at most before it looks again.
const LONG: Duration = Duration::from_secs(1);

/// How often in a row the state could not be read during a publish. It is kept over all scripts of a run.
pub(super) struct Blocked(AtomicU32);

impl Blocked {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// How long the next publish waits. Relaxed: it only saves time.
    fn patience(&self) -> Duration {
        if self.0.load(Ordering::Relaxed) >= 2 { LITTLE_PATIENCE } else { PATIENCE }
    }

    fn count(&self, was_read: bool) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(
            if was_read && before < 2 { 0 } else { before.saturating_add(u32::from(!was_read)) },
            Ordering::Relaxed,
        );
    }
}

/// What the publish and the second thread say to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No command has published.
    Idle,
    /// A publish waits for the state to be read.
    Asked,
    /// The state was read. `in_time` says whether that was during the publish.
    Read { in_time: bool },
    /// The script is over.
    Over,
}

struct Pause {
    stage: SleepMutex<Stage>,
    changed: SleepCondvar,
    patience: Duration,
}

impl Pause {
    fn set(&self, stage: Stage) {
        *self.stage.lock() = stage;
        self.changed.notify_all();
    }

    /// Waits until the stage is another.
    fn after(&self, stage: Stage) -> SleepGuard<'_, Stage> {
        let mut guard = self.stage.lock();
        while *guard == stage {
            guard = wait_until(&self.changed, guard, Instant::now() + LONG, |now| *now != stage);
        }
        guard
    }
}

impl Wake for Pause {
    fn wake(self: Arc<Self>) {
        self.set(Stage::Asked);
        let until = Instant::now() + self.patience;
        let mut stage = wait_until(&self.changed, self.stage.lock(), until, |stage| *stage != Stage::Asked);
        if matches!(*stage, Stage::Read { .. }) {
            *stage = Stage::Read { in_time: true };
        }
    }
}

/// Ends the second thread, also if the store panics.
struct EndOfScript<'p>(&'p Pause);

impl Drop for EndOfScript<'_> {
    fn drop(&mut self) {
        self.0.set(Stage::Over);
    }
}

pub(super) fn commit_first<S: TestedStore>(script: &[Step<S::Command>], blocked: &Blocked) -> Result<(), Violation> {
    let mut run = Run::<S>::new(Broker::builder())?;
    for (number, step) in script.iter().enumerate() {
        let pause = Arc::new(Pause {
            stage: SleepMutex::new(Stage::Idle),
            changed: SleepCondvar::new(),
            patience: blocked.patience(),
        });
        let mut reader = woken_by_the_next(&run.store, &pause)?;
        let mut seen = None;
        // A thread for each command: it borrows the store, which the command then has to itself again.
        let (outcome, was_asked) = std::thread::scope(|scope| {
            let (store, pause) = (&run.store, &*pause);
            let watcher = scope.spawn(move || {
                let is_asked = *pause.after(Stage::Idle) == Stage::Asked;
                // As it is: a state need not be shared by threads.
                let seen = is_asked.then(|| guarded("the read of the state", || store.state()));
                let mut stage = pause.stage.lock();
                if *stage == Stage::Asked {
                    *stage = Stage::Read { in_time: false };
                }
                drop(stage);
                pause.changed.notify_all();
                seen
            });
            let end = EndOfScript(pause);
            let outcome = super::run::perform(store, step).map_err(|violation| violation.after(number));
            let mut was_asked = None;
            let stage = pause.stage.lock();
            match *stage {
                Stage::Asked => was_asked = Some(false),
                Stage::Read { in_time } => was_asked = Some(in_time),
                Stage::Idle | Stage::Over => {}
            }
            drop(stage);
            drop(end);
            seen = watcher.join().ok().flatten();
            (outcome, was_asked)
        });
        let outcome = outcome?;
        if let Some(in_time) = was_asked {
            blocked.count(in_time);
        }
        run.now = state_of(&run.store)?;
        run.recorder.take();
        let Ok(delivery) = reader.try_recv() else { continue };
        if let (Some(true), Some(seen), Outcome::Committed(index)) = (was_asked, seen, outcome)
            && delivery.index() == index
        {
            compare::<S>(index, &seen?, &run.now).map_err(|violation| violation.after(number))?;
        }
    }
    Ok(())
}

/// Compares the state that was read when the batch of a commit became visible with the state of that commit.
fn compare<S: TestedStore>(index: u64, seen: &(u64, S::State), committed: &At<S>) -> Result<(), Violation> {
    let what = "the state (- of the commit, + read when its events were visible)";
    if seen.0 < index {
        let text = format!("its events were visible under index {index} when the state was still at {}", seen.0);
        return Err(Violation::new(text).differing(what, &*committed.1, &seen.1));
    }
    if seen.0 == committed.0 && seen.1 != *committed.1 {
        let text = "its events were visible when the state did not show the change yet";
        return Err(Violation::new(text).differing(what, &*committed.1, &seen.1));
    }
    Ok(())
}

/// Opens a reader whose waker is called by the next publish.
fn woken_by_the_next<S: TestedStore>(store: &S, pause: &Arc<Pause>) -> Result<Subscription<S::Payload>, Violation> {
    let request = Request::new().namespace("*").start(Start::Latest).principal(store.principal());
    let mut reader = store.broker().subscribe(request).map_err(denied)?;
    let waker = Waker::from(Arc::clone(pause));
    match reader.poll_recv(&mut Context::from_waker(&waker)) {
        Poll::Pending => Ok(reader),
        Poll::Ready(_) => Err(Violation::new("something is published although no command was committed")),
    }
}
