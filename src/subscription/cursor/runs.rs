//! The runs that a cursor has discovered: the current one and those that follow it.
//! Which batches they hold is decided in `discover`, and what is read of them in `cursor`.
//!
//! Invariant: the runs are disjoint, and in the order of the log.
//!
//! Callers: `cursor` and `discover`.

use super::{Cursor, Loss};
use crate::core::Waiter;
use crate::interest::{MatchedRun, Matching};
use crate::steps::{Step, count};
use crate::types::position::{Position, Run};

impl Cursor {
    /// Returns whether there is a run to read from, after moving on to the next run if the current one is empty.
    #[inline]
    pub(super) fn next_run(&mut self) -> bool {
        !self.run.is_empty() || self.later_runs.is_some() && self.next_later_run()
    }

    #[inline(never)]
    fn next_later_run(&mut self) -> bool {
        while self.run.is_empty() {
            let Some(MatchedRun { run, matching }) = self.later_runs.as_mut().and_then(|runs| runs.pop_front()) else {
                self.later_runs = None;
                return false;
            };
            (self.run, self.matching) = (run, matching);
        }
        true
    }

    #[inline]
    pub(super) fn append(&mut self, next: MatchedRun) {
        if self.later_runs.is_none() {
            if self.run.is_empty() {
                (self.run, self.matching) = (next.run, next.matching);
                return;
            }
            if self.run.end == next.run.start && self.matching == next.matching {
                self.run.end = next.run.end;
                return;
            }
        }
        self.append_later_run(next);
    }

    #[cold]
    fn append_later_run(&mut self, next: MatchedRun) {
        let later_runs = self.later_runs.get_or_insert_default();
        match later_runs.back_mut() {
            Some(last) if last.run.end == next.run.start && last.matching == next.matching => {
                last.run.end = next.run.end;
            }
            _ => later_runs.push_back(next),
        }
    }

    /// Appends runs after others, with at most one allocation for them.
    pub(super) fn append_later_runs(&mut self, runs: &[MatchedRun]) {
        let later_runs = self.later_runs.get_or_insert_default();
        later_runs.reserve(runs.len());
        later_runs.extend(runs);
    }

    /// Discards the runs below `oldest`, and records a loss if the reader asked for any of it.
    #[inline]
    pub(super) fn discard_evicted_runs(&mut self, waiter: &Waiter, oldest: Position) {
        while self.next_run() && self.run.start < oldest {
            let gone = Run { start: self.run.start, end: self.run.end.min(oldest) };
            if self.matching != Matching::Unknown || has_evicted(waiter, gone.start, oldest) {
                self.loss = Loss::Evicted;
            }
            self.run.start = gone.end;
        }
    }
}

/// Returns whether any evicted position from `start` on, which the reader had not scanned, matched one of its nodes.
fn has_evicted(waiter: &Waiter, start: Position, oldest: Position) -> bool {
    count(Step::Poll, waiter.shared.nodes.len());
    waiter.shared.nodes.iter().any(|node| node.has_evicted(start, oldest))
}
