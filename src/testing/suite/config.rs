//! The suite as a test calls it: which clauses are checked, with which scripts, and the failure that comes of it.
//! How a clause is checked is decided in the files of the clauses.
//!
//! Callers: tests of hosts.

use std::fmt;
use std::marker::PhantomData;

use super::clause::Clause;
use super::objects;
use super::readers;
use super::script::{Drawn, Step, commits_something, draw, shrink};
use super::single;
use super::store::TestedStore;
use super::threads;
use super::violation::{Failure, Violation};
use super::watch::{self, Blocked};

/// The variable that sets the seed of a single script, for a test that cannot be edited.
const SEED: &str = "EVENT_BROKER_SUITE_SEED";

/// The commands of a script, unless a test sets another number.
const COMMANDS: usize = 24;

/// Checks every clause with the default scripts.
///
/// # Panics
///
/// Panics with the [`Failure`] of the first clause that the store breaks. See [`TestedStore`] for an example.
#[track_caller]
pub fn assert_store<S: TestedStore>() {
    Suite::<S>::new().run();
}

/// The suite for one kind of store: how many scripts are drawn, and from which seed.
///
/// By default there are 16 scripts of 24 commands each, from seed 1. All clauses together take about a second in a debug
/// build, for a store that is cheap to make and to read.
///
/// They make some 10,500 commits: 27 for each command of a script. A store whose commits take 5 ms so needs 53 s. Tests of
/// a slow store lower [`scripts`](Self::scripts) or [`commands`](Self::commands): 4 scripts of 12 commands make an eighth
/// of the commits. To make a failure shorter, up to 400 more scripts are run, none longer than the first.
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
/// #         *state = (state.0 + 1, state.1 + more);
/// #         self.1.publish(state.0, [Event::new("Count", "Changed", "", state.1)]).unwrap();
/// #         Outcome::Committed(state.0)
/// #     }
/// #     fn state(&self) -> (u64, u32) { *self.0.lock().unwrap() }
/// #     fn apply(state: &mut u32, event: &Event<u32>) { *state = *event.payload() }
/// # }
///
/// let suite = Suite::<Counter>::new().scripts(4).commands(10);
/// suite.run(); // every clause
/// suite.assert(Clause::Replay); // one
/// Suite::<Counter>::new().seed(5).scripts(1).assert(Clause::Replay); // that clause with one script
/// Suite::<Counter>::new().scripts(1).without(Clause::Alike).run(); // every clause but one
/// assert!(suite.check(Clause::Losses).is_ok());
/// ```
pub struct Suite<S> {
    seed: u64,
    scripts: u32,
    commands: usize,
    without: Vec<Clause>,
    store: PhantomData<fn() -> S>,
}

impl<S: TestedStore> Suite<S> {
    /// Creates the suite with its defaults.
    pub const fn new() -> Self {
        Self { seed: 1, scripts: 16, commands: COMMANDS, without: Vec::new(), store: PhantomData }
    }

    /// Sets the seed of the first script. Each further script has the next number.
    ///
    /// If the environment variable `EVENT_BROKER_SUITE_SEED` has a number, there is one script, of that seed. An empty one
    /// counts as none.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of scripts for each clause.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    #[must_use]
    #[track_caller]
    pub const fn scripts(mut self, scripts: u32) -> Self {
        assert!(scripts > 0, "without scripts nothing is checked");
        self.scripts = scripts;
        self
    }

    /// Sets the number of commands in a script.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    #[must_use]
    #[track_caller]
    pub const fn commands(mut self, commands: usize) -> Self {
        assert!(commands > 0, "without commands nothing is checked");
        self.commands = commands;
        self
    }

    /// Leaves a clause out of [`run`](Self::run), for a store that does not promise it.
    #[must_use]
    pub fn without(mut self, clause: Clause) -> Self {
        self.without.push(clause);
        self
    }

    /// Checks every clause.
    ///
    /// # Panics
    ///
    /// Panics with the [`Failure`] of the first clause that the store breaks, or that cannot be checked: if no command
    /// that is drawn for it is ever committed, or if none can be drawn.
    #[track_caller]
    pub fn run(&self) {
        for clause in Clause::ALL.into_iter().filter(|clause| !self.without.contains(clause)) {
            self.assert(clause);
        }
    }

    /// Checks one clause.
    ///
    /// # Panics
    ///
    /// Panics with the [`Failure`] if the store breaks it, or if it cannot be checked.
    #[track_caller]
    pub fn assert(&self, clause: Clause) {
        if let Err(failure) = self.check(clause) {
            panic!("{failure}");
        }
    }

    /// Checks one clause, and returns how the store breaks it. See [`Failure`] for an example.
    ///
    /// # Errors
    ///
    /// Returns the failure with the shortest script that was found. If no command that is drawn is ever committed, or none
    /// can be drawn, returns a failure that says so.
    ///
    /// # Panics
    ///
    /// Panics if the variable that [`seed`](Self::seed) names is set to something that is not a number.
    #[track_caller]
    pub fn check(&self, clause: Clause) -> Result<(), Failure> {
        let (first, scripts) = match seed_of_environment() {
            Some(seed) => (seed, 1),
            None => (self.seed, self.scripts),
        };
        let blocked = Blocked::new();
        let mut committed = false;
        for seed in (0..scripts).map(|number| first.wrapping_add(u64::from(number))) {
            let Drawn { script, cut } = draw::<S>(seed, self.commands, with_roll_backs(clause));
            let check = |script: &[Step<S::Command>]| {
                // What depends on threads or on chance may have to be tried again.
                let tries = if matches!(clause, Clause::Concurrent | Clause::Alike) { 4 } else { 1 };
                (0..tries).find_map(|_| check_once::<S>(clause, script, seed, &blocked).err())
            };
            let shown = |script: &[Step<S::Command>]| script.iter().map(ToString::to_string).collect();
            if let Err(violation) = check_once::<S>(clause, &script, seed, &blocked) {
                let (script, violation) = shrink::<S>(script, violation, check);
                return Err(self.failure(clause, seed, shown(&script), violation));
            }
            // Only now: a clause that is broken may be why the next command cannot be drawn.
            if let Some(cut) = cut {
                return Err(self.failure(clause, seed, shown(&script), cut));
            }
            // The script was run, so a panic here would be a matter of chance.
            committed = committed || commits_something::<S>(&script).unwrap_or(true);
        }
        if committed {
            return Ok(());
        }
        let nothing = Violation::unchecked("no command that was drawn is ever committed, so nothing can be checked");
        Err(self.failure(clause, first, Vec::new(), nothing))
    }

    fn failure(&self, clause: Clause, seed: u64, commands: Vec<String>, violation: Violation) -> Failure {
        let length = match self.commands {
            COMMANDS => String::new(),
            length => format!(".commands({length})"),
        };
        let store = short_name(std::any::type_name::<S>());
        let again = format!("Suite::<{store}>::new().seed({seed}).scripts(1){length}.assert(Clause::{clause:?})");
        Failure::new(clause, seed, commands, violation, again)
    }
}

/// Returns the name of a type without the modules that it and its parameters are in.
fn short_name(name: &str) -> String {
    let mut short = String::new();
    for part in name.split_inclusive(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':' | '{' | '}')) {
        // A part is a path and what separates it from the next one.
        short.push_str(part.rsplit_once("::").map_or(part, |(_, last)| last));
    }
    short
}

#[track_caller]
fn seed_of_environment() -> Option<u64> {
    let text = std::env::var_os(SEED)?;
    let text = text.to_string_lossy();
    let number = text.trim();
    if number.is_empty() {
        return None;
    }
    let Ok(seed) = number.parse() else { panic!("{SEED} is {text:?}, expected a number or nothing") };
    Some(seed)
}

/// Whether the scripts of this clause have commands that are rolled back.
const fn with_roll_backs(clause: Clause) -> bool {
    matches!(clause, Clause::RollBack | Clause::Replay | Clause::Losses | Clause::Concurrent)
}

fn check_once<S: TestedStore>(
    clause: Clause,
    script: &[Step<S::Command>],
    seed: u64,
    blocked: &Blocked,
) -> Result<(), Violation> {
    match clause {
        Clause::Commits => single::each::<S>(script, single::commits),
        Clause::CommitFirst => watch::commit_first::<S>(script, blocked),
        Clause::RollBack => single::roll_back_each::<S>(script),
        Clause::Once => single::each::<S>(script, single::once),
        Clause::Namespaces => single::each::<S>(script, objects::namespaces),
        Clause::Keys => single::each::<S>(script, objects::keys),
        Clause::Deletions => single::each::<S>(script, single::deletions),
        Clause::Payloads => single::each::<S>(script, single::payloads),
        Clause::Replay => readers::replay::<S>(script),
        Clause::Losses => readers::losses::<S>(script, seed),
        Clause::Alike => single::alike::<S>(script),
        Clause::Concurrent => threads::concurrent::<S>(script),
    }
}

impl<S: TestedStore> Default for Suite<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for Suite<S> {
    fn clone(&self) -> Self {
        let Self { seed, scripts, commands, without, store } = self;
        Self { seed: *seed, scripts: *scripts, commands: *commands, without: without.clone(), store: *store }
    }
}

impl<S> fmt::Debug for Suite<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, scripts, commands, without, .. } = self;
        let mut text = f.debug_struct("Suite");
        text.field("seed", seed).field("scripts", scripts).field("commands", commands).field("without", without);
        text.finish_non_exhaustive()
    }
}
