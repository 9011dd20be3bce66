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

/// So many runs are kept of one walk; what matched later is walked to again. It bounds a reader's memory (4 KiB), and
/// is high enough that only a reader thousands of batches behind walks twice.
const MAX_RUNS: usize = 256;

/// The runs of matches in a window, oldest first, disjoint, and up to where they are complete.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) runs: SmallVec<[Run; 4]>,
    pub(crate) through: Position,
}

impl Collected {
    fn compact(&mut self) {
        self.runs.sort_unstable_by_key(|run| run.start);
        let mut merged: SmallVec<[Run; 4]> = SmallVec::new();
        for run in self.runs.drain(..) {
            match merged.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => merged.push(run),
            }
        }
        if let Some(first_dropped) = merged.get(MAX_RUNS) {
            self.through = first_dropped.start;
            merged.truncate(MAX_RUNS);
        }
        self.runs = merged;
    }

    fn push(&mut self, run: Run) {
        let run = Run { start: run.start, end: run.end.min(self.through) };
        if !run.is_empty() {
            self.runs.push(run);
            if self.runs.len() >= 2 * MAX_RUNS {
                self.compact();
            }
        }
    }
}

/// Collects the matches in `from..end`. `lasts` gives, for each node, what [`Chain::last`](super::Chain::last) said
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
    let mut collected = Collected { runs: SmallVec::new(), through: end };
    for (node, last) in lasts {
        let mut past = last;
        while past > from {
            let position = Position(past.0 - 1);
            let link = if position < oldest { None } else { directory.get(position) };
            let Some(link) = link.and_then(|slot| slot.links().find(node.id)) else {
                // Evicted: that it matched is all there is to know, and what lies before it is lost as well.
                collected.push(Run { start: position, end: past });
                break;
            };
            collected.push(Run { start: link.run_start.max(from), end: past });
            past = link.before;
        }
    }
    if collected.runs.len() > 1 {
        collected.compact();
    }
    collected
}
