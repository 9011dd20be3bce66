//! The same commands once more, by one thread on a store of its own: without those that were refused, or in the order of
//! the indexes that several threads have got. Both must arrive at the same state.
//! Where commands are run first is decided in `single` and `threads`.
//!
//! A store that looks at the time or draws numbers of its own may arrive at another state, and is right. So what differs
//! counts only if the first run, made once more after the second, does what it did: then nothing has changed meanwhile.
//! A store whose refusals take indexes has other indexes without them, and its state may hold them. So nothing is compared
//! from the first index on that is another.
//!
//! Callers: `single` and `threads`.

use std::mem::discriminant;

use super::run::{At, Run, perform, state_of};
use super::script::{Step, make};
use super::store::{Outcome, TestedStore};
use super::violation::Violation;
use crate::broker::Broker;

/// What a command has done in the first run, and the state after it.
pub(super) type Ran<S> = (Outcome, At<S>);

/// What the lines of two states are.
const DIFFERENCE: &str = "the state (- in the script, + without those commands)";
const DIFFERENCE_OF_ORDER: &str = "the state (- of several threads, + of one thread in the order of the indexes)";

/// Runs a script on a store of its own.
pub(super) fn run<S: TestedStore>(script: &[Step<S::Command>]) -> Result<Vec<Ran<S>>, Violation> {
    let mut run = Run::<S>::new(Broker::builder())?;
    let steps = script.iter().enumerate();
    steps.map(|(number, step)| run.step(number, step).map(|done| (done.outcome, done.after))).collect()
}

/// Whether the script does the same once more.
fn is_repeated<S: TestedStore>(script: &[Step<S::Command>], ran: &[Ran<S>]) -> Result<bool, Violation> {
    Ok(run::<S>(script)?.iter().zip(ran).all(|(again, first)| again.0 == first.0 && again.1 == first.1))
}

/// What was refused or rolled back must not show in what is committed later.
///
/// What was rolled back is left out first. Then a command that was refused because of it is found as well.
pub(super) fn without_refused<S: TestedStore>(script: &[Step<S::Command>], ran: &[Ran<S>]) -> Result<(), Violation> {
    if !S::is_serial() {
        return Ok(());
    }
    let is_roll_back = |step: &Step<S::Command>, _: &Ran<S>| matches!(step, Step::RollBack(_));
    let is_refused = |_: &Step<S::Command>, (outcome, _): &Ran<S>| *outcome == Outcome::Refused;
    without::<S>(script, ran, is_roll_back)?;
    without::<S>(script, ran, is_refused)
}

fn without<S: TestedStore>(
    script: &[Step<S::Command>],
    ran: &[Ran<S>],
    is_left_out: impl Fn(&Step<S::Command>, &Ran<S>) -> bool,
) -> Result<(), Violation> {
    let store = make::<S>(Broker::builder())?;
    // Before the first that is left out, nothing can differ.
    let mut is_left = false;
    for (number, (step, first)) in script.iter().zip(ran).enumerate() {
        if is_left_out(step, first) {
            is_left = true;
            continue;
        }
        let outcome = perform(&store, step).map_err(|violation| violation.after(number))?;
        if !is_left {
            continue;
        }
        let state = state_of(&store).map_err(|violation| violation.after(number))?;
        let violation = if discriminant(&outcome) != discriminant(&first.0) {
            let found = first.0;
            Violation::new(format!("it is {found:?}, but {outcome:?} without the commands before it that were refused"))
        } else if outcome != first.0 || state.0 != first.1.0 {
            return Ok(());
        } else if state.1 != first.1.1 {
            let what = "the state is another one than without the commands before it that were refused";
            Violation::new(what).differing(DIFFERENCE, &*first.1.1, &*state.1)
        } else {
            continue;
        };
        let is_repeated = is_repeated::<S>(script.get(..=number).unwrap_or_default(), ran)?;
        return if is_repeated { Err(violation.after(number)) } else { Ok(()) };
    }
    Ok(())
}

/// What several threads have committed must be what one thread commits in the order of the indexes. `commits` are the
/// commands in that order, and `ran` is what the script did in one thread before.
pub(super) fn in_order<S: TestedStore>(
    commits: &[(&Step<S::Command>, Outcome)],
    end: &At<S>,
    script: &[Step<S::Command>],
    ran: &[Ran<S>],
) -> Result<(), Violation> {
    if !S::is_serial() {
        return Ok(());
    }
    let store = make::<S>(Broker::builder())?;
    let mut violation = None;
    for (step, found) in commits {
        let outcome = perform(&store, step)?;
        if discriminant(&outcome) != discriminant(found) {
            let what = "in the order of the indexes, one thread is told";
            violation = Some(Violation::new(format!("`{step}` is {found:?}; {what} {outcome:?}")));
            break;
        }
        if outcome != *found {
            return Ok(());
        }
    }
    let state = state_of(&store)?;
    if violation.is_none() && state.1 != end.1 {
        let what = "one thread makes another state of the same commands in the order of their indexes";
        let what = format!("{what} (or see `TestedStore::is_serial`)");
        violation = Some(Violation::new(what).differing(DIFFERENCE_OF_ORDER, &*end.1, &*state.1));
    }
    match violation {
        Some(violation) if is_repeated::<S>(script, ran)? => Err(violation),
        _ => Ok(()),
    }
}
