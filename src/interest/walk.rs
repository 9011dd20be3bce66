//! Walking chains back through the log: which positions of a window matched any of a reader's nodes.
//! What becomes of them, and what of it was lost, is the reader's business.

use std::sync::Arc;

use smallvec::SmallVec;

use super::node::{Links, Node};
use crate::log::Directory;
use crate::position::{Position, Run};

/// A slot that carries links.
pub(crate) trait Linked {
    fn links(&self) -> &Links;
}

/// So many runs are kept of one walk; what matched later is walked to again. It bounds a reader's memory (6 KiB), and
/// is high enough that only a reader thousands of batches behind walks twice.
const MAX_RUNS: usize = 256;

/// What is known of the events of a run of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// All of them match.
    Whole,
    /// Each batch has some that do, and its links tell which.
    Linked,
    /// Nothing: the batches are older than the nodes.
    Unknown,
}

/// A run of batches, and what is known of their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) run: Run,
    pub(crate) matching: Matching,
}

/// The matches in a window, oldest first, disjoint, and up to where they are complete.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) stretches: SmallVec<[Stretch; 2]>,
    pub(crate) through: Position,
}

impl Collected {
    fn compact(&mut self) {
        self.stretches.sort_unstable_by_key(|stretch| stretch.run.start);
        let mut merged: SmallVec<[Stretch; 2]> = SmallVec::new();
        for next in self.stretches.drain(..) {
            match merged.last_mut() {
                // Together with what else matched there, all that is known is that links tell.
                Some(last)
                    if next.run.start < last.run.end
                        || next.run.start == last.run.end && next.matching == last.matching =>
                {
                    if next.run.start < last.run.end {
                        last.matching = Matching::Linked;
                    }
                    last.run.end = last.run.end.max(next.run.end);
                }
                _ => merged.push(next),
            }
        }
        if let Some(first_dropped) = merged.get(MAX_RUNS) {
            self.through = first_dropped.run.start;
            merged.truncate(MAX_RUNS);
        }
        self.stretches = merged;
    }

    fn push(&mut self, start: Position, end: Position, matching: Matching) {
        let run = Run { start, end: end.min(self.through) };
        if !run.is_empty() {
            self.stretches.push(Stretch { run, matching });
            if self.stretches.len() >= 2 * MAX_RUNS {
                self.compact();
            }
        }
    }
}

/// The run that a node's chain ends with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastRun {
    pub(crate) start: Position,
    /// From here on its batches match whole.
    pub(crate) whole: Position,
    /// One past the last match before the run, or zero.
    pub(crate) before: Position,
}

/// The run that ends at the match before `last`, if that is in reach.
#[inline]
pub(crate) fn last_run<T: Linked, L>(
    directory: &Directory<T>,
    node: &Node<L>,
    last: Position,
    oldest: Position,
) -> Option<LastRun> {
    let position = Position(last.0.checked_sub(1)?);
    let slot = if position < oldest { None } else { directory.get(position) };
    let link = slot?.links().find(node.id)?;
    let (start, whole) = link.run(last);
    Some(LastRun { start, whole, before: link.before })
}

/// Collects the matches in `from..end`. `lasts` gives, for each node, what its chain's `last` said
/// before `directory` was taken; everything from `oldest` on must be found there.
///
/// A match below `oldest` may be told by one position for several: enough to know that something was lost, and what
/// is at `oldest` or later is always told whole.
pub(crate) fn collect<'a, T: Linked, L: 'a>(
    lasts: impl Iterator<Item = (&'a Arc<Node<L>>, Position)>,
    directory: &Directory<T>,
    oldest: Position,
    from: Position,
    end: Position,
) -> Collected {
    let mut collected = Collected { stretches: SmallVec::new(), through: end };
    for (node, last) in lasts {
        let mut past = last;
        while past > from {
            let Some(LastRun { start, whole, before }) = last_run(directory, node, past, oldest) else {
                let position = Position(past.0 - 1);
                // Evicted: that it matched is all there is to know, and what lies before it is lost as well. It may lie
                // beyond the window, if that was long ago; then all of the window is evicted, and its last batch
                // stands for whatever was lost.
                let last = Position(collected.through.0.saturating_sub(1));
                collected.push(position.min(last), past, Matching::Linked);
                break;
            };
            collected.push(whole.max(from), past, Matching::Whole);
            collected.push(start.max(from), whole, Matching::Linked);
            past = before;
        }
    }
    if collected.stretches.len() > 1 {
        collected.compact();
    }
    collected
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::filter::Filter;
    use crate::interest::{Hit, Interest, node_terms};
    use crate::log::Segment;
    use crate::request::{Request, Term};

    struct Slot(Links);

    impl Linked for Slot {
        fn links(&self) -> &Links {
            &self.0
        }
    }

    /// Sixteen slots, of which these match, and what a walk collects of them.
    fn collected(matches: &[u64], oldest: u64, from: u64, end: u64) -> Vec<(u64, u64)> {
        let mut request = Request::<()>::new().term(Term::key("web").expect("a key"));
        let filter = Arc::new(Filter::new(&mut request).expect("a request"));
        let mut interest = Interest::<()>::new();
        let node = interest.join(&node_terms(&filter).next().expect("a node"), Position::ZERO);
        let segment = Arc::new(Segment::new(Position::ZERO, 16));
        for position in (0..16).map(Position) {
            let key = if matches.contains(&position.0) { "web" } else { "db" };
            let mut hit = Hit::new();
            let events = [Event::new("Job", "JobRegistered", key, ())];
            interest.link(position, events, &mut hit, |_, links| segment.set(position, Slot(links)));
            hit.extend(position);
        }
        let directory = Directory::new(std::iter::once(&segment));
        let lasts = std::iter::once((&node, node.chain.last()));
        let collected = collect(lasts, &directory, Position(oldest), Position(from), Position(end));
        assert_eq!(collected.through, Position(end));
        collected.stretches.iter().map(|stretch| (stretch.run.start.0, stretch.run.end.0)).collect()
    }

    #[test]
    fn matches_of_a_window_are_runs() {
        assert_eq!(collected(&[1, 2, 3, 6, 9], 0, 0, 16), [(1, 4), (6, 7), (9, 10)]);
        assert_eq!(collected(&[1, 2, 3, 6, 9], 0, 2, 9), [(2, 4), (6, 7)]);
        assert_eq!(collected(&[], 0, 0, 16), []);
    }

    #[test]
    fn a_match_that_was_evicted_stands_for_those_before_it() {
        assert_eq!(collected(&[1, 4, 6, 9], 7, 0, 16), [(6, 7), (9, 10)]);
    }

    /// The end was loaded long ago: by now batches beyond it are evicted, and the chain is cut there.
    #[test]
    fn a_chain_that_is_cut_beyond_the_window_still_tells_of_the_loss_in_it() {
        assert_eq!(collected(&[2, 6, 9], 8, 0, 4), [(3, 4)]);
        assert_eq!(collected(&[2, 6], 8, 0, 4), [(3, 4)]);
    }
}
