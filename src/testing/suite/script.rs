//! Scripts of commands: drawn from a seed, and made shorter while they still fail.
//! What a script does to a store is decided in `run`.
//!
//! Callers: `config`.

use std::fmt;
use std::time::{Duration, Instant};

use super::store::{Outcome, TestedStore};
use super::violation::{Kind, Violation, guarded};
use crate::broker::{Broker, Builder};
use crate::panics::catch_panic;
use crate::testing::random::Random;

/// How often a script is tried with something left out. Scripts are short, so this is rarely reached.
const MAX_TRIES: u32 = 400;

/// The same for a store that panics: each panic is written to the output of the test.
const MAX_PANICS: u32 = 12;

/// How long scripts are tried, for a store whose commits take time.
const MAX_TIME: Duration = Duration::from_secs(10);

/// One command of a script, and what is done with it.
#[derive(Clone)]
pub(super) enum Step<C> {
    Commit(C),
    RollBack(C),
}

impl<C> Step<C> {
    const fn command(&self) -> &C {
        match self {
            Self::Commit(command) | Self::RollBack(command) => command,
        }
    }

    const fn with(&self, command: C) -> Self {
        match self {
            Self::Commit(_) => Self::Commit(command),
            Self::RollBack(_) => Self::RollBack(command),
        }
    }
}

impl<C: fmt::Debug> fmt::Display for Step<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(command) => write!(f, "{command:?}"),
            Self::RollBack(command) => write!(f, "roll back {command:?}"),
        }
    }
}

/// A script of a store.
pub(super) type Script<S> = Vec<Step<<S as TestedStore>::Command>>;

/// Makes a store.
pub(super) fn make<S: TestedStore>(broker: Builder<S::Payload>) -> Result<S, Violation> {
    guarded("`make`", || S::make(broker))
}

/// What was drawn.
pub(super) struct Drawn<S: TestedStore> {
    pub(super) script: Script<S>,
    /// Why it is shorter than it should be, if that is not a matter of a clause.
    pub(super) cut: Option<Violation>,
}

/// Draws a script. A store of its own commits what is drawn, so that later commands can be drawn by the state. One
/// command in five is to be rolled back, if the clause has use for that. Ends early at a panic of a commit, with the
/// command that it panics at, and at a panic of `make` or `draw`.
pub(super) fn draw<S: TestedStore>(seed: u64, commands: usize, with_roll_backs: bool) -> Drawn<S> {
    let mut random = Random::new(seed);
    let store = match make::<S>(Broker::builder()) {
        Ok(store) => store,
        Err(panic) => return Drawn { script: Vec::new(), cut: Some(Violation::unchecked(panic.what)) },
    };
    let mut script = Vec::with_capacity(commands);
    for number in 1..=commands {
        let command = match guarded(&format!("`draw`, at command {number},"), || store.draw(&mut random)) {
            Ok(command) => command,
            Err(panic) => return Drawn { script, cut: Some(Violation::unchecked(panic.what)) },
        };
        if random.one_in(5) && with_roll_backs {
            script.push(Step::RollBack(command));
            continue;
        }
        script.push(Step::Commit(command.clone()));
        if catch_panic(|| store.commit(&command)).is_none() {
            break;
        }
    }
    Drawn { script, cut: None }
}

/// Whether a script would commit something, if all of its commands were to be committed. Otherwise it says nothing
/// about the store.
pub(super) fn commits_something<S: TestedStore>(script: &[Step<S::Command>]) -> Result<bool, Violation> {
    let store = make::<S>(Broker::builder())?;
    for (number, step) in script.iter().enumerate() {
        let commit = || store.commit(step.command());
        let outcome = guarded("the commit", commit).map_err(|violation| violation.after(number))?;
        if !matches!(outcome, Outcome::Refused) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a script that fails as short as it can: first without what comes after the failure, then with fewer commands,
/// half of them at a time and in the end one by one, and then with simpler commands. `check` returns how a script fails.
pub(super) fn shrink<S: TestedStore>(
    script: Script<S>,
    violation: Violation,
    check: impl Fn(&[Step<S::Command>]) -> Option<Violation>,
) -> (Script<S>, Violation) {
    let mut shortest = Shortest { script, violation, tries: 0, panics: 0, begun: Instant::now(), check };
    if let Some(step) = shortest.violation.step {
        let mut cut = shortest.script.clone();
        cut.truncate(step + 1);
        shortest.try_it(cut);
    }
    loop {
        shortest.remove();
        // What is simpler may make another command superfluous.
        if !shortest.simplify::<S>() {
            return (shortest.script, shortest.violation);
        }
    }
}

/// The shortest script so far, and how it fails.
struct Shortest<C, F> {
    script: Vec<Step<C>>,
    violation: Violation,
    tries: u32,
    panics: u32,
    begun: Instant,
    check: F,
}

impl<C: Clone, F: Fn(&[Step<C>]) -> Option<Violation>> Shortest<C, F> {
    /// Takes this script instead, if it fails, and returns whether it does.
    fn try_it(&mut self, script: Vec<Step<C>>) -> bool {
        let is_over = self.tries >= MAX_TRIES || self.panics >= MAX_PANICS || self.begun.elapsed() >= MAX_TIME;
        if is_over || script.is_empty() {
            return false;
        }
        self.tries += 1;
        let Some(violation) = (self.check)(&script) else { return false };
        let panicked = |violation: &Violation| violation.kind == Kind::Panicked;
        self.panics += u32::from(panicked(&violation));
        // A command that was drawn by a state may panic without the commands that led there: that is another failure.
        if panicked(&violation) && !panicked(&self.violation) {
            return false;
        }
        (self.script, self.violation) = (script, violation);
        true
    }

    fn remove(&mut self) {
        let mut count = self.script.len() / 2;
        while count > 0 {
            let (mut from, mut removed) = (0, false);
            while from < self.script.len() {
                let mut script = self.script.clone();
                script.drain(from..(from + count).min(self.script.len()));
                if self.try_it(script) {
                    removed = true;
                } else {
                    from += count;
                }
            }
            // One by one, until none can be left out.
            count = if count == 1 && removed { 1 } else { count / 2 };
        }
    }

    /// Returns whether a command has become simpler.
    fn simplify<S: TestedStore<Command = C>>(&mut self) -> bool {
        let mut simplified = false;
        let mut at = 0;
        while let Some(step) = self.script.get(at).cloned() {
            let smaller = S::smaller(step.command());
            let found = smaller.into_iter().any(|command| {
                let mut script = self.script.clone();
                if let Some(place) = script.get_mut(at) {
                    *place = step.with(command);
                }
                self.try_it(script)
            });
            simplified |= found;
            at += usize::from(!found);
        }
        simplified
    }
}
