//! How a script breaks a clause, and the failure that a test shows of it.
//! When a clause is broken is decided in the files of the clauses, and which script is shown in `script`.
//!
//! Callers: the other files of this module; users see [`Failure`].

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::clause::Clause;
use super::lines::{difference, entries_of, short, write_some};
use crate::testing::outline::Outline;

/// How many lines of each part a failure shows, so that all of it can be seen at once: 25 at most.
const MAX_COMMANDS: usize = 8;
const MAX_PUBLISHED: usize = 4;
const MAX_DIFFERENCE: usize = 7;

/// How a script breaks a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// The command after which it was seen, counted from 0.
    pub(super) step: Option<usize>,
    pub(super) what: String,
    /// What is shown before each command, or nothing.
    pub(super) notes: Vec<String>,
    pub(super) published: Vec<String>,
    /// What the lines of the difference are, and the difference.
    pub(super) difference: Option<Box<(String, Vec<String>)>>,
    pub(super) kind: Kind,
}

/// What kind of violation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The store breaks the clause.
    Broken,
    /// Code of the store panicked.
    Panicked,
    /// The clause could not be checked.
    Unchecked,
}

impl Violation {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            step: None,
            what: what.into(),
            notes: Vec::new(),
            published: Vec::new(),
            difference: None,
            kind: Kind::Broken,
        }
    }

    /// The clause could not be checked, for this reason.
    pub(super) fn unchecked(what: impl Into<String>) -> Self {
        Self { kind: Kind::Unchecked, ..Self::new(what) }
    }

    /// It was seen after this command.
    pub(super) fn after(mut self, step: usize) -> Self {
        self.step = Some(step);
        self
    }

    /// Shows these lines of an outline.
    pub(super) fn showing(mut self, published: &Outline) -> Self {
        self.published = published.lines().iter().map(|line| format!("  {line}")).collect();
        if self.published.is_empty() {
            self.published.push("  nothing".to_owned());
        }
        self
    }

    /// Shows these notes, one before each command.
    pub(super) fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// Shows what differs in two values, an entry a line: `what` says which line is of which.
    pub(super) fn differing<T: fmt::Debug>(self, what: &str, expected: &T, found: &T) -> Self {
        self.differing_lines(what, &entries_of(expected), &entries_of(found))
    }

    pub(super) fn differing_lines(mut self, what: &str, expected: &[String], found: &[String]) -> Self {
        self.difference = Some(Box::new((what.to_owned(), difference(expected, found, MAX_DIFFERENCE))));
        self
    }
}

/// Runs code of the store, and returns its panic as a violation.
pub(super) fn guarded<R>(what: &str, run: impl FnOnce() -> R) -> Result<R, Violation> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let mut violation = Violation::new(format!("{what} panicked: {}", text_of(&*panic)));
        violation.kind = Kind::Panicked;
        violation
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with a payload that is no text")
}

/// A clause that a store breaks, with the shortest script that shows it.
///
/// Its text names the clause and what it demands, says what was found, and has the commands, what the last of them has
/// published, a diff, and the seed. It has 25 lines at most. What [`Clause::Concurrent`] has found depends on how threads
/// interleave: the same seed may have to be tried some times until it fails again, and the text says so. It also has
/// the index and the thread of each command.
///
/// ```
/// use event_broker::testing::suite::{Clause, Suite};
/// # use std::sync::Mutex;
/// # use event_broker::testing::{Random, suite::{Outcome, TestedStore}};
/// # use event_broker::{Broker, Builder, Event};
/// # struct Counter(Mutex<(u64, u32)>, Broker<u32>);
/// # impl TestedStore for Counter {
/// #     type Payload = u32;
/// #     type State = u32;
/// #     type Command = u32;
/// #     fn make(broker: Builder<u32>) -> Self { Self(Mutex::default(), broker.build().unwrap()) }
/// #     fn broker(&self) -> Broker<u32> { self.1.clone() }
/// #     fn draw(&self, random: &mut Random) -> u32 { 1 + random.pick(&[1, 2, 3]) }
/// #     fn commit(&self, more: &u32) -> Outcome {
/// #         let mut state = self.0.lock().unwrap();
/// #         let stale = state.1;
/// #         *state = (state.0 + 1, state.1 + more);
/// #         self.1.publish(state.0, [Event::new("Count", "Changed", "", stale)]).unwrap();
/// #         Outcome::Committed(state.0)
/// #     }
/// #     fn state(&self) -> (u64, u32) { *self.0.lock().unwrap() }
/// #     fn apply(state: &mut u32, event: &Event<u32>) { *state = *event.payload() }
/// #     fn smaller(more: &u32) -> Vec<u32> { (1..*more).collect() }
/// # }
///
/// // A counter whose events have the count before the change, and whose commands add a number.
/// let failure = Suite::<Counter>::new().seed(7).check(Clause::Payloads).unwrap_err();
/// assert_eq!((failure.clause(), failure.seed(), failure.commands()), (Clause::Payloads, 7, &["1".to_owned()][..]));
/// assert_eq!(
///     failure.to_string(),
///     "the store breaks `payloads`: the payloads are the state as of their commit, in an order that can be applied\n\
///      after command 1, the events do not make the new state of the one before\n\
///      commands:\n\
///      \x20 1  1\n\
///      published:\n\
///      \x20 1 Count/Changed \"\" = 0\n\
///      the state by events against the store's (- store, + events):\n\
///      - 1\n\
///      + 0\n\
///      seed 7; again: Suite::<Counter>::new().seed(7).scripts(1).assert(Clause::Payloads), \
///      or set EVENT_BROKER_SUITE_SEED=7",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    clause: Clause,
    seed: u64,
    commands: Vec<String>,
    violation: Box<Violation>,
    /// The call that draws the script again.
    again: String,
}

impl Failure {
    pub(super) fn new(
        clause: Clause,
        seed: u64,
        commands: Vec<String>,
        mut violation: Violation,
        again: String,
    ) -> Self {
        if let Some(step) = violation.step {
            violation.what = format!("after command {}, {}", step + 1, violation.what);
        }
        Self { clause, seed, commands, violation: Box::new(violation), again }
    }

    /// Returns the clause.
    pub const fn clause(&self) -> Clause {
        self.clause
    }

    /// Returns the seed by which [`Suite::seed`](super::Suite::seed) draws the script first.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the commands of the shortest script, each in its `Debug` form, behind `roll back` if it is rolled back.
    pub fn commands(&self) -> &[String] {
        &self.commands
    }

    /// Returns what was found, in one sentence.
    pub fn found(&self) -> &str {
        &self.violation.what
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clause, seed, commands, violation, again } = self;
        let Violation { what: found, notes, published, difference, kind, .. } = &**violation;
        match kind {
            Kind::Broken | Kind::Panicked => writeln!(f, "the store breaks `{clause}`: {}", clause.sentence())?,
            Kind::Unchecked => writeln!(f, "`{clause}` could not be checked: {}", clause.sentence())?,
        }
        writeln!(f, "{}", short(found))?;
        if !commands.is_empty() {
            writeln!(f, "commands:")?;
            let notes = notes.iter().map(|note| format!("{note}: ")).chain(std::iter::repeat(String::new()));
            let numbered = commands.iter().zip(1..).zip(notes);
            let numbered = numbered.map(|((command, number), note)| format!("  {number}  {note}{command}"));
            write_some(f, &numbered.collect::<Vec<_>>(), MAX_COMMANDS)?;
        }
        if !published.is_empty() {
            writeln!(f, "published:")?;
            write_some(f, published, MAX_PUBLISHED)?;
        }
        if let Some((what, difference)) = difference.as_deref() {
            writeln!(f, "{what}:")?;
            write_some(f, difference, MAX_DIFFERENCE)?;
        }
        write!(f, "seed {seed}; again: {again}, or set EVENT_BROKER_SUITE_SEED={seed}")?;
        if *clause == Clause::Concurrent && *kind != Kind::Unchecked {
            f.write_str("; it depends on threads: repeat it")?;
        }
        Ok(())
    }
}

impl Error for Failure {}
