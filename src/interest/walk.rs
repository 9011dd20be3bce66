//! Follows chains back through the log, and collects the positions of a window that matched any of a reader's nodes.
//! Which of them are read, and whether one was lost, is decided in `subscription::cursor`.
//!
//! Invariants:
//! - a caller loads the end of the log, then the ends of the chains, then takes the directory, and then loads `oldest`.
//!   So every link at `oldest` or later is found;
//! - a link below `oldest` is not followed. Its match is reported, and represents all earlier ones.
//!
//! Callers: `subscription::cursor` without the broker's lock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::jumps::{Jump, SPACING};
use super::links::Links;
use super::node::Node;
use crate::log::Directory;
use crate::steps::{Step, count};
use crate::types::position::{Position, Run};

/// A slot's value that carries links.
pub(crate) trait Linked {
    fn links(&self) -> &Links;
}

/// A walk is made in parts of about this many runs, or of as many runs as it follows chains if that is more. A walk
/// that finds at most twice as many is made at once. This bounds a reader's memory: 24 KiB at most with eight nodes, as
/// the test `parts_of_long_chains_are_all_that_matched` checks. Only a reader hundreds of batches behind walks in
/// parts.
const PART: usize = 128;

/// Up to this many runs are collected without an allocation.
const RUNS: usize = 32;

/// Which events of a run of batches match, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// All events match.
    AllEvents,
    /// Some events of each batch match. Its links say which.
    Linked,
    /// Nothing is known, because the batches are older than the nodes.
    Unknown,
}

/// A run of batches, and which of their events match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatchedRun {
    pub(crate) run: Run,
    pub(crate) matching: Matching,
}

/// The matches in a window: runs that are disjoint, oldest first, and complete up to `through`.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) runs: SmallVec<[MatchedRun; RUNS]>,
    pub(crate) through: Position,
}

impl Collected {
    /// Sorts the runs, which were collected of several chains, each from the newest to the oldest. Merges those that
    /// overlap.
    fn compact(&mut self) {
        // Two lists that rise are sorted in half the steps of two that fall.
        self.runs.reverse();
        self.runs.sort_unstable_by_key(|matched| matched.run.start);
        self.runs.dedup_by(|next, last| {
            let overlaps = next.run.start < last.run.end;
            let merges = overlaps || next.run.start == last.run.end && next.matching == last.matching;
            if overlaps {
                // Only the links there say which events matched.
                last.matching = Matching::Linked;
            }
            if merges {
                last.run.end = last.run.end.max(next.run.end);
            }
            merges
        });
    }

    fn push(&mut self, start: Position, end: Position, matching: Matching) {
        let run = Run { start, end: end.min(self.through) };
        if !run.is_empty() {
            self.runs.push(MatchedRun { run, matching });
        }
    }
}

/// The newest run of a node's chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastRun {
    pub(crate) start: Position,
    /// From here on, all events of the batches match.
    pub(crate) all_events_from: Position,
    /// One past the last match before the run, or zero.
    pub(crate) previous_end: Position,
    /// Whether the run's first slot stores a jump.
    is_checkpoint: bool,
}

/// Returns the run that ends at `end`, one past a match, if that match is in reach.
#[inline]
pub(crate) fn last_run<T: Linked, L>(
    directory: &Directory<T>,
    node: &Node<L>,
    end: Position,
    oldest: Position,
) -> Option<LastRun> {
    let position = Position(end.0.checked_sub(1)?);
    count(Step::Walk, 1);
    let slot = if position < oldest { None } else { directory.get(position) };
    let link = slot?.links().find(node.id)?;
    let (start, all_events_from) = link.run(end);
    let previous_end = link.previous_end;
    Some(LastRun {
        start,
        all_events_from,
        previous_end: previous_end.end(),
        is_checkpoint: previous_end.is_checkpoint(),
    })
}

/// Collects the matches in `from..end`, or in the first part of it. `chain_ends` yields each node with the end of its
/// chain, which must have been loaded before `directory` was taken. Every position from `oldest` on must be found in
/// `directory`.
///
/// It takes as many steps as it finds runs and, for each node, the logarithm of the length of its chain.
///
/// Several matches below `oldest` may be reported as one position, which is enough to know that something was lost.
/// Matches at `oldest` or later are always complete.
pub(crate) fn collect<'a, T: Linked, L: 'a>(
    chain_ends: impl Iterator<Item = (&'a Arc<Node<L>>, Position)>,
    directory: &Directory<T>,
    oldest: Position,
    from: Position,
    end: Position,
) -> Collected {
    let chains: SmallVec<[_; 8]> =
        chain_ends.filter(|(_, end)| *end > from).map(|(node, end)| Chain { node: &**node, end }).collect();
    let walk = Walk { directory, oldest, from };
    let part = PART.max(chains.len());
    let mut steps = 2 * part;
    let mut collected = Collected { runs: SmallVec::new(), through: end };
    if !chains.iter().all(|chain| walk.walk_back(chain.node, chain.end, &mut steps, &mut collected)) {
        let through = walk.part_end(&chains, part).map_or(end, |through| through.min(end));
        collected = Collected { runs: SmallVec::new(), through };
        // The runs before `through` are one part. Beyond it only a few runs of each chain are walked.
        let mut unbounded = usize::MAX;
        for chain in &chains {
            walk.walk_back(chain.node, walk.start_of_walk(chain, through), &mut unbounded, &mut collected);
        }
    }
    // The runs of one chain are disjoint, and differ where they are adjacent.
    match chains.len() {
        1 => collected.runs.reverse(),
        _ if collected.runs.len() > 1 => collected.compact(),
        _ => {}
    }
    collected
}

/// A node, and the end of its chain as it was loaded.
struct Chain<'a, L> {
    node: &'a Node<L>,
    end: Position,
}

/// Where a checkpoint begins, and its jump.
type Checkpoint = (Position, Jump);

/// A walk from newer batches back to `from`.
struct Walk<'a, T> {
    directory: &'a Directory<T>,
    oldest: Position,
    from: Position,
}

impl<T: Linked> Walk<'_, T> {
    /// Collects the matches of a chain below `end`. Returns false if it would take more than `steps` steps.
    fn walk_back<L>(&self, node: &Node<L>, mut end: Position, steps: &mut usize, collected: &mut Collected) -> bool {
        while end > self.from {
            let Some(left) = steps.checked_sub(1) else { return false };
            *steps = left;
            let Some(run) = last_run(self.directory, node, end, self.oldest) else {
                let position = Position(end.0 - 1);
                // The batch is evicted. All that is known is that it matched. Every match before it is evicted, too.
                // The batch may be beyond the window, if the window was loaded long ago. Then the whole window is
                // evicted, and its last batch is reported in place of the lost ones.
                let last = Position(collected.through.0.saturating_sub(1));
                collected.push(position.min(last), end, Matching::Linked);
                break;
            };
            collected.push(run.all_events_from.max(self.from), end, Matching::AllEvents);
            collected.push(run.start.max(self.from), run.all_events_from, Matching::Linked);
            end = run.previous_end;
        }
        true
    }

    /// Returns a position up to which about `runs` runs are in reach, or `None` if there are fewer.
    ///
    /// Checkpoints are counted from the oldest on, of all chains, in the order of their positions. Each counts for
    /// [`SPACING`] runs. So at most as many runs of each chain are not counted.
    fn part_end<L>(&self, chains: &[Chain<'_, L>], runs: usize) -> Option<Position> {
        let floor = self.from.max(self.oldest);
        let newest: Vec<Option<Checkpoint>> = chains.iter().map(|chain| self.newest_checkpoint(chain, floor)).collect();
        let nth = |at: usize, reached: &dyn Fn(&Checkpoint) -> bool| {
            let (chain, newest) = (chains.get(at)?, newest.get(at).copied().flatten()?);
            let (position, Jump { number, .. }) = self.earliest(chain.node, newest, reached);
            Some(Reverse((position, number, at)))
        };
        let mut next: BinaryHeap<_> =
            (0..chains.len()).filter_map(|at| nth(at, &|(position, _)| *position >= floor)).collect();
        let mut left = runs.div_ceil(usize::try_from(SPACING).unwrap_or(usize::MAX));
        while let Some(Reverse((position, number, at))) = next.pop() {
            left -= 1;
            if left == 0 {
                return Some(position.next());
            }
            if newest.get(at).copied().flatten().is_some_and(|(_, newest)| newest.number > number) {
                next.extend(nth(at, &|(_, jump)| jump.number > number));
            }
        }
        None
    }

    /// Returns where to start walking back if only the matches before `through` are needed.
    fn start_of_walk<L>(&self, chain: &Chain<'_, L>, through: Position) -> Position {
        let newest = if chain.end > through { self.newest_checkpoint(chain, through) } else { None };
        newest.map_or(chain.end, |newest| {
            let (position, _) = self.earliest(chain.node, newest, &|(position, _)| *position >= through);
            position.next()
        })
    }

    /// Returns the newest checkpoint of a chain, if it begins at `floor` or later. The newest runs of a chain are
    /// walked one by one, because most of them are no checkpoints.
    fn newest_checkpoint<L>(&self, chain: &Chain<'_, L>, floor: Position) -> Option<Checkpoint> {
        let mut end = chain.end;
        while end > floor {
            let run = last_run(self.directory, chain.node, end, self.oldest)?;
            if run.is_checkpoint {
                return if run.start < floor { None } else { self.checkpoint(chain.node, run.start) };
            }
            end = run.previous_end;
        }
        None
    }

    fn checkpoint<L>(&self, node: &Node<L>, begins: Position) -> Option<Checkpoint> {
        count(Step::Walk, 1);
        let slot = if begins < self.oldest { None } else { self.directory.get(begins) };
        Some((begins, *slot?.links().jump(node.id)?))
    }

    /// Returns the earliest checkpoint in reach for which `reached` holds. It must hold for `newest`, and for every
    /// checkpoint that follows one for which it holds.
    fn earliest<L>(&self, node: &Node<L>, newest: Checkpoint, reached: &dyn Fn(&Checkpoint) -> bool) -> Checkpoint {
        let mut here = newest;
        loop {
            let (_, Jump { far, previous, .. }) = here;
            let candidates = [far, previous].into_iter().flatten();
            let next = candidates.filter_map(|begins| self.checkpoint(node, begins)).find(|next| reached(next));
            match next {
                Some(next) => here = next,
                None => return here,
            }
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests;
