//! The same commands once more, by one thread on a store of its own, in the order of the indexes that several threads have
//! got. It must arrive at the same state.
//! Where commands are run first is decided in `threads`.
//!
//! A store that looks at the time or draws numbers of its own may arrive at another state, and is right. So what differs
//! counts only if the first run, made once more after the second, does what it did: then nothing has changed meanwhile.
//! A store whose refusals take indexes has other indexes without them, and its state may hold them. So nothing is compared
//! from the first index on that is another.
//!
//! Callers: `threads`.

use std::mem::discriminant;

use super::run::{At, Run, perform, state_of};
use super::script::{Step, make};
use super::store::{Outcome, TestedStore};
use super::violation::Violation;
use crate::broker::Broker;

/// What a command has done in the first run, and the state after it.
pub(super) type Ran<S> = (Outcome, At<S>);

/// What the lines of two states are.
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
