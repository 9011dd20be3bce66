//! The clauses about readers that list the state and then follow the events, with and without losses.
//! What one event makes of a state is checked in `single`; here it is what readers make of many.
//!
//! Callers: `config`.

use super::run::{At, Mirror, Run};
use super::script::Step;
use super::store::{Outcome, TestedStore};
use super::violation::Violation;
use crate::broker::Broker;
use crate::testing::random::Random;
use crate::types::start::Verdict;

/// The buffer of the clause about losses.
const FEW: u64 = 2;

/// Lists the state after each command and follows it from there. After each further command all that follow must have
/// its state.
pub(super) fn replay<S: TestedStore>(script: &[Step<S::Command>]) -> Result<(), Violation> {
    let mut run = Run::<S>::new(Broker::builder())?;
    let mut mirrors = vec![Mirror::follow(&run.store, &run.now)?];
    for (number, step) in script.iter().enumerate() {
        let done = run.step(number, step)?;
        if matches!(done.outcome, Outcome::Silent(_)) && done.changed() {
            // The author says that no event shows it.
            mirrors.clear();
        }
        let check = |mirrors: &mut Vec<Mirror<S>>| {
            let mut followed = Vec::with_capacity(mirrors.len() + 1);
            for mut mirror in mirrors.drain(..) {
                // The store's own broker may be too small for all of them.
                if mirror.read()? {
                    mirror.check(&done.after)?;
                    followed.push(mirror);
                }
            }
            let listed = Mirror::follow(&run.store, &done.after)?;
            if let Verdict::Lost { .. } = listed.reader.verdict() {
                let what = format!("what comes after index {} is lost as soon as it is listed", listed.listed);
                return Err(Violation::new(what));
            }
            followed.push(listed);
            *mirrors = followed;
            Ok(())
        };
        check(&mut mirrors).map_err(|violation| violation.after(number))?;
    }
    Ok(())
}

/// Three readers that read now and then, from a buffer of two batches; and one that begins after each index that was
/// ever listed.
pub(super) fn losses<S: TestedStore>(script: &[Step<S::Command>], seed: u64) -> Result<(), Violation> {
    let mut random = Random::new(seed);
    let mut run = Run::<S>::new(Broker::builder().max_batches(FEW))?;
    let mut mirrors = Vec::new();
    for _ in 0..3 {
        mirrors.push(Mirror::follow(&run.store, &run.now)?);
    }
    let mut published = Vec::new();
    let mut listed: Vec<At<S>> = vec![run.now.clone()];
    for (number, step) in script.iter().enumerate() {
        let done = run.step(number, step)?;
        published.extend(done.batches.iter().map(crate::Delivery::index));
        if matches!(done.outcome, Outcome::Silent(_)) && done.changed() {
            listed.clear();
            mirrors = (0..3).map(|_| Mirror::follow(&run.store, &done.after)).collect::<Result<_, _>>()?;
        }
        listed.push(done.after.clone());
        let is_last = number + 1 == script.len();
        let mut check = || {
            for mirror in mirrors.iter_mut().filter(|_| is_last || random.one_in(4)) {
                catch_up(&run.store, mirror, &done.after)?;
            }
            if is_last || random.one_in(4) {
                listed.iter().try_for_each(|at| begin_after(&run, at, &done.after, &published))?;
            }
            Ok(())
        };
        check().map_err(|violation: Violation| violation.after(number))?;
    }
    Ok(())
}

/// Reads what there is, and lists again if the reader was overtaken.
fn catch_up<S: TestedStore>(store: &S, mirror: &mut Mirror<S>, now: &At<S>) -> Result<(), Violation> {
    // A broker loses nothing between a list and a read if nothing is published in between.
    if !mirror.read()? {
        *mirror = Mirror::follow(store, now)?;
        if !mirror.read()? {
            return Err(Violation::new("a reader that was overtaken has listed again, and is overtaken at once"));
        }
    }
    mirror.check(now)
}

/// Begins after a state that was listed some time ago. If something after it is no longer in the buffer, the verdict
/// must say so; otherwise the events must make the present state of it.
fn begin_after<S: TestedStore>(run: &Run<S>, at: &At<S>, now: &At<S>, published: &[u64]) -> Result<(), Violation> {
    let mut mirror = Mirror::follow(&run.store, at)?;
    let stats = run.store.broker().stats();
    let after = published.iter().filter(|index| **index > at.0).count();
    let is_lost = after as u64 > stats.buffered_batches;
    match mirror.reader.verdict() {
        Verdict::Lost { .. } if is_lost => Ok(()),
        Verdict::Lost { .. } => {
            let what = format!("a start after index {} is told of a loss, but {after} batches are there", at.0);
            Err(Violation::new(what))
        }
        verdict if is_lost => {
            let what = format!("a start after index {} is told {verdict:?}, but batches after it are lost", at.0);
            Err(Violation::new(what))
        }
        _ if mirror.read()? => mirror.check(now),
        _ => Err(Violation::new(format!("a start after index {} was overtaken without a verdict", at.0))),
    }
}
