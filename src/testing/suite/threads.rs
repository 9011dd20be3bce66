//! The clause about commits of several threads: published in the order of their indexes, none lost and none twice.
//! What a single commit must do is checked in `single`.
//!
//! A publish of every second commit is held up before it reaches the broker until another has passed it, for a moment
//! at most. A store that lets another commit publish between its commit and its publish is so found out soon. A store
//! that publishes under its own lock only takes a moment longer.
//!
//! Callers: `config`.

use std::sync::Arc;
use std::thread::{ScopedJoinHandle, scope, yield_now};
use std::time::{Duration, Instant};

use super::run::{At, DIFFERENCE, Mirror, Run, apply, perform, state_of};
use super::script::Step;
use super::serial::{self, Ran};
use super::store::{Outcome, TestedStore};
use super::violation::Violation;
use crate::broker::Broker;
use crate::subscription::Delivery;
use crate::sync::{SleepCondvar, SleepMutex, wait_until};
use crate::testing::outline::Outline;
use crate::types::observer::Observer;

/// The threads that commit.
const THREADS: usize = 3;

/// How long a publish is held up.
const HOLD: Duration = Duration::from_millis(1);

/// How often the state is listed while they commit.
const LISTS: usize = 64;

/// A bound that is never reached: a broker asks what a batch weighs only if it has one.
const NO_BOUND: u64 = 1 << 50;

#[derive(Default)]
struct Passed {
    begun: u64,
    published: u64,
}

/// Holds up publishes. The broker calls it before it looks at the index, on the thread that publishes.
struct HoldUp {
    passed: SleepMutex<Passed>,
    more: SleepCondvar,
}

impl HoldUp {
    fn new() -> Self {
        Self { passed: SleepMutex::new(Passed::default()), more: SleepCondvar::new() }
    }

    fn hold(&self) {
        let mut passed = self.passed.lock();
        passed.begun += 1;
        let (is_held, published) = (passed.begun % 2 == 1, passed.published);
        if is_held {
            passed = wait_until(&self.more, passed, Instant::now() + HOLD, |passed| passed.published > published);
        }
        drop(passed);
    }
}

impl Observer for HoldUp {
    fn on_publish(&self, _: u64, _: usize) {
        self.passed.lock().published += 1;
        self.more.notify_all();
    }
}

pub(super) fn concurrent<S: TestedStore>(script: &[Step<S::Command>]) -> Result<(), Violation> {
    let hold_up = Arc::new(HoldUp::new());
    let weigher = Arc::clone(&hold_up);
    let broker = Broker::builder().max_bytes(NO_BOUND).observer(hold_up).weigher(move |_| {
        weigher.hold();
        1
    });
    let ran = serial::run::<S>(script)?;
    let steps = without_silent::<S>(script, &ran);
    let run = Run::<S>::new(broker)?;
    let mirror = Mirror::follow(&run.store, &run.now)?;
    let (results, lists) = scope(|scope| {
        let store = &run.store;
        let threads: Vec<_> = (0..THREADS.min(steps.len()))
            .map(|first| {
                let steps = steps.iter().skip(first).step_by(THREADS);
                let commit = move |(number, step)| {
                    perform(store, step).map(|outcome| Commit { number, thread: first + 1, step, outcome })
                };
                scope.spawn(move || steps.copied().map(commit).collect::<Result<Vec<_>, _>>())
            })
            .collect();
        let mut lists: Vec<At<S>> = Vec::new();
        while lists.len() < LISTS && !threads.iter().all(ScopedJoinHandle::is_finished) {
            // A store that has panicked may panic at each read: the first panic is the one to show.
            let Ok(list) = state_of(store) else { break };
            if lists.last().is_none_or(|last| last.0 != list.0) {
                lists.push(list);
            }
            yield_now();
        }
        let results: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
        (results, lists)
    });
    let mut commits = Vec::new();
    for result in results {
        commits.extend(result?);
    }
    let all =
        All { script, ran: &ran, start: &run.now, lists, end: state_of(&run.store)?, batches: run.recorder.take() };
    check(&all, &commits, mirror).map_err(|violation| violation.noting(notes(script.len(), &commits)))
}

/// A command that a thread has run.
struct Commit<'s, C> {
    /// Its number in the script.
    number: usize,
    /// The number of the thread, counted from 1.
    thread: usize,
    step: &'s Step<C>,
    outcome: Outcome,
}

/// What there is beside the commits.
struct All<'s, S: TestedStore> {
    script: &'s [Step<S::Command>],
    /// What one thread has done.
    ran: &'s [Ran<S>],
    start: &'s At<S>,
    /// The state as it was listed meanwhile, and at the end.
    lists: Vec<At<S>>,
    end: At<S>,
    batches: Vec<Delivery<S::Payload>>,
}

/// What is shown beside each command of a script: its index and its thread.
fn notes<C>(commands: usize, commits: &[Commit<'_, C>]) -> Vec<String> {
    let mut notes = vec!["left out".to_owned(); commands];
    for Commit { number, thread, outcome, .. } in commits {
        if let Some(note) = notes.get_mut(*number) {
            let became = outcome.index().map_or_else(|| "refused".to_owned(), |index| format!("index {index}"));
            *note = format!("{became}, thread {thread}");
        }
    }
    notes
}

fn check<S: TestedStore>(
    all: &All<'_, S>,
    commits: &[Commit<'_, S::Command>],
    mut mirror: Mirror<S>,
) -> Result<(), Violation> {
    let All { script, ran, start, lists, end, batches } = all;
    let outcomes: Vec<_> = commits.iter().map(|commit| commit.outcome).collect();
    numbers(&outcomes, batches)?;
    let shown = |violation: Violation| violation.showing(&Outline::by(batches, S::show as fn(&S::Payload) -> String));
    // From a commit without events on, the events do not show all that has changed.
    let silent = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Silent(index) => Some(*index),
        Outcome::Committed(_) | Outcome::Refused => None,
    });
    let silent = silent.min().unwrap_or(u64::MAX);
    for at in lists.iter().chain([end]).filter(|at| at.0 < silent) {
        let mut state = S::State::clone(&start.1);
        let until = batches.partition_point(|batch| batch.index() <= at.0);
        apply::<S>(&mut state, batches.get(..until).unwrap_or_default())?;
        if state != *at.1 {
            let what = format!("what is published up to index {} does not make the state of that index", at.0);
            let missing = missing(&outcomes, batches);
            return Err(shown(Violation::new(what + &missing).differing(DIFFERENCE, &*at.1, &state)));
        }
    }
    // The store's own broker may be too small for a reader that has not read meanwhile.
    if mirror.read()? && end.0 < silent {
        mirror.check(end).map_err(shown)?;
    }
    let is_commit = |commit: &&Commit<'_, _>| commit.outcome != Outcome::Refused;
    let mut in_order: Vec<_> = commits.iter().filter(is_commit).map(|commit| (commit.step, commit.outcome)).collect();
    in_order.sort_by_key(|(_, outcome)| outcome.index());
    serial::in_order::<S>(&in_order, end, script, ran).map_err(shown)
}

/// Leaves out what is committed without events: the state could not be compared with the events after it. Each of the
/// others has its number in the script.
fn without_silent<'s, S: TestedStore>(
    script: &'s [Step<S::Command>],
    ran: &[Ran<S>],
) -> Vec<(usize, &'s Step<S::Command>)> {
    let steps = script.iter().enumerate().zip(ran);
    steps.filter(|(_, (outcome, _))| !matches!(outcome, Outcome::Silent(_))).map(|(step, _)| step).collect()
}

/// Each batch belongs to one commit, and no commit has two batches or the index of another.
fn numbers<P>(outcomes: &[Outcome], batches: &[Delivery<P>]) -> Result<(), Violation> {
    let mut committed = indexes(outcomes);
    committed.sort_unstable();
    if let Some(pair) = committed.windows(2).find(|pair| pair.first() == pair.last()) {
        return Err(Violation::new(format!("two commits have the index {:?}", pair.first().copied().unwrap_or(0))));
    }
    let published: Vec<_> = batches.iter().map(Delivery::index).collect();
    let shown = |what: String| Err(Violation::new(what).showing(&Outline::of(batches)));
    if let Some(pair) = published.windows(2).find(|pair| pair.first() >= pair.last()) {
        return shown(format!(
            "index {:?} is published after {:?}",
            pair.last().unwrap_or(&0),
            pair.first().unwrap_or(&0)
        ));
    }
    match published.iter().find(|index| committed.binary_search(index).is_err()) {
        Some(index) => shown(format!("a batch is published under index {index}, which no commit has")),
        None => Ok(()),
    }
}

fn indexes(outcomes: &[Outcome]) -> Vec<u64> {
    let committed = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Committed(index) => Some(*index),
        Outcome::Silent(_) | Outcome::Refused => None,
    });
    committed.collect()
}

/// The commits without a batch, as a part of a sentence.
fn missing<P>(outcomes: &[Outcome], batches: &[Delivery<P>]) -> String {
    let mut missing = indexes(outcomes);
    missing.retain(|index| !batches.iter().any(|batch| batch.index() == *index));
    missing.sort_unstable();
    if missing.is_empty() { String::new() } else { format!("; not published: {missing:?}") }
}
