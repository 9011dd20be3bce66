//! The clauses that look at one command at a time: the state before and after it, and what it has published.
//! How a command is run is decided in `run`.
//!
//! Callers: `config`.

use super::lines::lines_of;
use super::objects::Objects;
use super::run::{DIFFERENCE, Done, Run, apply, apply_event};
use super::script::Step;
use super::serial;
use super::store::{Outcome, TestedStore};
use super::violation::Violation;
use crate::broker::Broker;
use crate::subscription::Delivery;
use crate::testing::outline::Outline;

/// Runs a script, and checks each command.
pub(super) fn each<S: TestedStore>(
    script: &[Step<S::Command>],
    check: impl Fn(&Done<S>) -> Result<(), Violation>,
) -> Result<(), Violation> {
    let mut run = Run::<S>::new(Broker::builder())?;
    for (number, step) in script.iter().enumerate() {
        check(&run.step(number, step)?)?;
    }
    Ok(())
}

pub(super) fn commits<S: TestedStore>(done: &Done<S>) -> Result<(), Violation> {
    let (before, after) = (done.before.0, done.after.0);
    match done.outcome {
        Outcome::Committed(index) | Outcome::Silent(index) if index <= before => {
            Err(done.violation(format!("it was committed under index {index}, but the state was at {before} before")))
        }
        Outcome::Committed(index) | Outcome::Silent(index) if index != after => {
            Err(done.violation(format!("it was committed under index {index}, but the state is at {after}")))
        }
        Outcome::Refused if after < before => {
            Err(done.violation(format!("the index of the state has fallen from {before} to {after}")))
        }
        _ => Ok(()),
    }
}

/// Runs a script, and checks each command that was not committed; and then what the others do without them.
pub(super) fn roll_back_each<S: TestedStore>(script: &[Step<S::Command>]) -> Result<(), Violation> {
    let mut run = Run::<S>::new(Broker::builder())?;
    let mut ran = Vec::with_capacity(script.len());
    for (number, step) in script.iter().enumerate() {
        let done = run.step(number, step)?;
        roll_back(&done, step)?;
        ran.push((done.outcome, done.after));
    }
    serial::without_refused::<S>(script, &ran)
}

fn roll_back<S: TestedStore>(done: &Done<S>, step: &Step<S::Command>) -> Result<(), Violation> {
    match (done.outcome, step) {
        (Outcome::Refused, _) if !done.batches.is_empty() => {
            Err(done.violation("which was not committed, something is published"))
        }
        // A batch without events is not recorded.
        (Outcome::Refused, _) if done.latest.1 > done.latest.0.max(done.after.0) => {
            let (broker, state) = (done.latest.1, done.after.0);
            Err(done.violation(format!(
                "which was not committed, the broker is at index {broker}, but the state at {state}"
            )))
        }
        (Outcome::Refused, _) if done.changed() => {
            let violation = done.violation("which was not committed, the state has changed");
            Err(violation.differing("the state (- before, + after)", &*done.before.1, &*done.after.1))
        }
        (Outcome::Committed(index) | Outcome::Silent(index), Step::RollBack(_)) => {
            Err(done.violation(format!("which was to be rolled back, it is committed under index {index}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn once<S: TestedStore>(done: &Done<S>) -> Result<(), Violation> {
    let (index, batches) = match done.outcome {
        Outcome::Committed(index) => (index, done.batches.len()),
        Outcome::Silent(_) if done.batches.is_empty() => return Ok(()),
        Outcome::Silent(index) => {
            return Err(
                done.violation(format!("which the store says is silent (index {index}), something is published"))
            );
        }
        Outcome::Refused => return Ok(()),
    };
    match done.batches.first() {
        // That an object is missing in the events is the matter of another clause.
        None if done.changed() && !only_removed(done) => {
            let violation = done.violation(format!("commit {index} has changed the state, but is not published"));
            Err(violation.differing("the state (- before, + after)", &*done.before.1, &*done.after.1))
        }
        Some(_) if batches > 1 => {
            Err(done.violation(format!("commit {index} is published as {batches} batches, expected one")))
        }
        Some(batch) if batch.index() != index => {
            let found = batch.index();
            Err(done.violation(format!("commit {index} is published under index {found}")))
        }
        Some(_) if !S::repeats_events() => superfluous(done),
        None | Some(_) => Ok(()),
    }
}

/// An event that a batch has twice, with the same names and payload: the first makes a difference to the state, and the
/// second makes none.
fn superfluous<S: TestedStore>(done: &Done<S>) -> Result<(), Violation> {
    let outline = Outline::by_debug(&done.batches);
    let lines = outline.lines();
    for (at, line) in lines.iter().enumerate() {
        let Some(first) = lines.iter().take(at).position(|other| other == line) else { continue };
        // That an event cannot be applied is the matter of another clause.
        let [all, once, none] = [&[][..], &[at], &[first, at]].map(|left_out| {
            let mut state = S::State::clone(&done.before.1);
            let events = done.batches.iter().flat_map(Delivery::events).enumerate();
            let mut kept = events.filter(|(number, _)| !left_out.contains(number));
            kept.try_for_each(|(_, event)| apply_event::<S>(&mut state, event)).map(|()| state).ok()
        });
        if all.is_some() && all == once && all != none {
            let shown = line.split_once(' ').map_or(line.as_str(), |(_, event)| event);
            let violation = Violation::new(format!("its batch has an event twice: {shown}")).after(done.step);
            return Err(violation.showing(&outline));
        }
    }
    Ok(())
}

/// Whether all that a command has changed is that something is gone.
fn only_removed<S: TestedStore>(done: &Done<S>) -> bool {
    let objects = Objects::of(done);
    if objects.are_known() {
        return objects.only_removed();
    }
    is_part(&lines_of(&*done.after.1), &lines_of(&*done.before.1))
}

/// Whether some lines are others with lines left out.
fn is_part(part: &[String], whole: &[String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|line| whole.any(|other| other == line))
}

/// With objects, each that is gone must have an event. Without, the state that the events make is compared with the
/// store's: it must not hold what the store has removed. That an event cannot be applied is the matter of another clause.
pub(super) fn deletions<S: TestedStore>(done: &Done<S>) -> Result<(), Violation> {
    if !matches!(done.outcome, Outcome::Committed(_)) || !done.changed() {
        return Ok(());
    }
    let objects = Objects::of(done);
    let mut mirror = S::State::clone(&done.before.1);
    if objects.are_known() {
        for gone in objects.removed() {
            let mut events = done.batches.iter().flat_map(Delivery::events);
            if !events.any(|event| *event.topic() == gone.topic && *event.key() == gone.key) {
                return Err(done.violation(format!("{gone} has left the state, but no event has its topic and key")));
            }
        }
        if apply::<S>(&mut mirror, &done.batches).is_err() {
            return Ok(());
        }
        let left = S::objects(&mirror);
        let kept = objects.removed().find(|gone| left.iter().any(|object| object.is(gone)));
        let kept = kept.map(|gone| format!("{gone} has left the state, but the events do not remove it from a copy"));
        return kept.map_or(Ok(()), |what| Err(done.violation(what)));
    }
    if apply::<S>(&mut mirror, &done.batches).is_err() || mirror == *done.after.1 {
        return Ok(());
    }
    let (before, after) = (lines_of(&*done.before.1), lines_of(&*done.after.1));
    let found = lines_of(&mirror);
    if is_part(&after, &found) && is_part(&found, &union(&before, &after)) {
        let violation = done.violation("the store has removed what the events leave in a copy");
        return Err(violation.differing(DIFFERENCE, &*done.after.1, &mirror));
    }
    Ok(())
}

/// The lines of both, in the order of a merge of two states.
fn union(before: &[String], after: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = after;
    for line in before {
        if let Some(at) = rest.iter().position(|other| other == line) {
            lines.extend_from_slice(rest.get(..at).unwrap_or_default());
            rest = rest.get(at + 1..).unwrap_or_default();
        }
        lines.push(line.clone());
    }
    lines.extend_from_slice(rest);
    lines
}

pub(super) fn payloads<S: TestedStore>(done: &Done<S>) -> Result<(), Violation> {
    // What is not published at all is the matter of another clause.
    if !matches!(done.outcome, Outcome::Committed(_)) || done.batches.is_empty() {
        return Ok(());
    }
    let mut mirror = S::State::clone(&done.before.1);
    apply::<S>(&mut mirror, &done.batches).map_err(|violation| violation.after(done.step).showing(&done.outline()))?;
    if mirror == *done.after.1 {
        return Ok(());
    }
    let what = "the events do not make the new state of the one before";
    let violation = Violation::new(what).after(done.step).showing(&done.outline());
    Err(violation.differing(DIFFERENCE, &*done.after.1, &mirror))
}

/// Runs a script on three replicas, in turns.
pub(super) fn alike<S: TestedStore>(script: &[Step<S::Command>]) -> Result<(), Violation> {
    let mut first = Run::<S>::new(Broker::builder())?;
    let mut others = [Run::<S>::new(Broker::builder())?, Run::<S>::new(Broker::builder())?];
    for (number, step) in script.iter().enumerate() {
        let expected = first.step(number, step)?;
        for other in &mut others {
            let found = other.step(number, step)?;
            if expected.outcome != found.outcome {
                let what = format!("one replica says {:?}, and another {:?}", expected.outcome, found.outcome);
                return Err(expected.violation(what));
            }
            let (one, another) = (expected.outline(), found.outline());
            if one != another {
                let violation = Violation::new("two replicas have not published the same").after(number);
                let what = "what was published (- one replica, + another)";
                return Err(violation.differing_lines(what, one.lines(), another.lines()));
            }
        }
    }
    Ok(())
}
