//! The cursor: the position of a reader in the log, and which batch it reads next.
//! It knows positions and nodes, not events: `selector` decides which events of a batch are delivered.
//!
//! An unfiltered reader, which asks for all events, reads the log itself. Any other reader loads the last positions of
//! its nodes and walks their chains back to its position. A reader of few nodes polls all of them. A reader of many
//! nodes (more than [`MAX_POLLED_NODES`](crate::core::MAX_POLLED_NODES)) visits only the nodes that its hit queue
//! names, and those in `unvisited`. `discover` does this.
//!
//! Invariants:
//! - `position <= discovered`.
//! - Everything below `position` is passed: it was delivered, it was reported lost, it was evicted below
//!   `elastic_until`, or it is not for this reader.
//! - All matches in `position..discovered` are in `run` and `later_runs`, which are disjoint and in order. Below
//!   `live_from` a run is a part of the log that is older than the reader's nodes. Its batches may match or not, and
//!   are scanned.
//! - At and above `discovered` nothing has been examined.
//! - The caller loads `end` before it calls. Inside, a directory is taken before the oldest position is loaded:
//!   whatever is between that oldest position and `end` is in the directory.
//!
//! Callers: the reader alone, through `owned`, `poll`, `drain`, `loss`, `register` and `begin_read`.

mod discover;
mod runs;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::core::{Record, Waiter};
use crate::interest::{MatchedRun, Matching};
use crate::log::{DirectoryCopy, DirectoryHandle, Log};
use crate::steps::{Step, count};
use crate::types::position::{Position, Run};

/// The result of [`Cursor::locate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// The next batch is at this position. It may have been evicted since.
    At(Position),
    /// Everything below the end is passed.
    CaughtUp,
    /// A batch that the reader asked for was evicted, or a part of the history was skipped.
    Lost,
}

/// A loss that has not been reported yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    /// Batches that the reader asked for were evicted.
    Evicted,
    /// A part of the history was skipped that was never published here. What the cursor had discovered is evicted.
    Skipped,
}

/// The directory that a search used, if it took one.
pub(super) type SearchDirectory<P> = Option<Arc<DirectoryCopy<Record<P>>>>;

/// The position of one reader in the log, and what it has discovered ahead.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The next position to pass.
    position: Position,
    /// One past the last position that has been examined for matches.
    discovered: Position,
    /// The next run of batches to read.
    run: Run,
    /// What is known about the events in `run`.
    matching: Matching,
    /// The runs after `run`. Boxed, because hardly any reader has them for long.
    #[expect(clippy::box_collection, reason = "a reader is small while it has none")]
    later_runs: Option<Box<VecDeque<MatchedRun>>>,
    /// The position from which the chains of all nodes are complete.
    live_from: Position,
    /// Batches below this position may be evicted without a loss: they were buffered when the subscription opened, and
    /// the reader has passed nothing yet.
    elastic_until: Position,
    loss: Loss,
    /// Numbers of the nodes to visit at the next discovery, for a reader of many nodes. The waiter is registered in all
    /// others, or its hit queue names them.
    #[expect(clippy::box_collection, reason = "most readers have few nodes, and none of this")]
    unvisited: Option<Box<Vec<u32>>>,
}

impl Cursor {
    pub(super) fn new(waiter: &Waiter, live_from: Position) -> Self {
        let lists = u32::try_from(waiter.shared.nodes.len()).unwrap_or(u32::MAX);
        Self {
            position: Position::ZERO,
            discovered: Position::ZERO,
            run: Run::EMPTY,
            matching: Matching::Unknown,
            later_runs: None,
            live_from,
            elastic_until: Position::ZERO,
            loss: Loss::None,
            unvisited: waiter.has_hit_queue().then(|| Box::new((0..lists).collect())),
        }
    }

    #[inline]
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Moves the cursor to a position: the start of the subscription, or the one where it continues after a loss.
    #[inline]
    pub(super) fn move_to(&mut self, cursor: Position) {
        self.position = cursor;
        self.discovered = self.discovered.max(cursor);
    }

    /// Moves the cursor to `oldest`, after a loss was reported.
    pub(super) fn resume_at(&mut self, waiter: &Waiter, oldest: Position) {
        if self.loss == Loss::Skipped {
            self.discovered = oldest;
        } else {
            self.discard_evicted_runs(waiter, oldest);
        }
        self.move_to(oldest);
        self.loss = Loss::None;
        if let Some(unvisited) = &mut self.unvisited {
            // A hit below the cursor has taken the registration of its node, and nothing else may register the waiter
            // again. So these nodes are visited at the next discovery.
            waiter.take_hits(unvisited);
            unvisited.sort_unstable();
            unvisited.dedup();
        }
    }

    /// Lets batches below `end` be evicted without a loss, until [`end_elastic`](Self::end_elastic).
    pub(super) fn set_elastic_until(&mut self, end: Position) {
        self.elastic_until = end;
    }

    /// Makes the eviction of any match that is not passed count as a loss from now on.
    pub(super) fn end_elastic(&mut self) {
        self.elastic_until = Position::ZERO;
    }

    /// Returns the position below which batches may be evicted without a loss.
    pub(super) fn elastic_until(&self) -> Position {
        self.elastic_until
    }

    /// Returns whether no batch is left that may be evicted without a loss.
    pub(super) fn is_past_elastic(&self) -> bool {
        self.position >= self.elastic_until
    }

    /// Returns the position of the cursor when `oldest` is the oldest position: an elastic start moves up to it, but
    /// not beyond [`elastic_until`](Self::elastic_until).
    pub(super) fn effective_position(&self, oldest: Position) -> Position {
        self.position.max(oldest.min(self.elastic_until))
    }

    /// Discards everything discovered, because a part of the history was skipped. The skipped part begins at the end of
    /// what was published before, and all of that is evicted. Nothing is examined until [`resume_at`](Self::resume_at).
    pub(super) fn mark_skipped(&mut self) {
        (self.run, self.later_runs, self.loss) = (Run::EMPTY, None, Loss::Skipped);
        self.discovered = Position(u64::MAX);
    }

    /// Returns whether the loss to report is a skip.
    pub(super) fn has_skipped(&self) -> bool {
        self.loss == Loss::Skipped
    }

    /// Finds the next batch below `end`, which the caller has loaded before. If this takes a directory, it leaves it in
    /// `searched`: the directory holds everything that is reachable below `end`.
    #[inline]
    pub(super) fn locate<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
        searched: &mut SearchDirectory<P>,
    ) -> Located {
        if self.run.is_empty() && self.later_runs.is_none() && self.discovered < end {
            self.discover(log, waiter, end, handle, searched);
        }
        // The common case: there is a run, and its start is not evicted.
        if !self.run.is_empty() && self.position >= log.oldest() {
            return Located::At(self.run.start);
        }
        if self.pass_if_nothing_below(end) {
            return Located::CaughtUp;
        }
        self.locate_slow(log, waiter, end, handle, searched)
    }

    /// Implements [`locate`](Self::locate) for all other cases, and decides whether an eviction was a loss.
    #[inline(never)]
    fn locate_slow<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
        searched: &mut SearchDirectory<P>,
    ) -> Located {
        if self.loss == Loss::Skipped {
            return Located::Lost;
        }
        loop {
            if self.run.is_empty() && self.later_runs.is_none() && self.discovered < end {
                self.discover(log, waiter, end, handle, searched);
            }
            let oldest = log.oldest();
            if self.position < oldest {
                if self.discovered < oldest.min(end) {
                    self.discover(log, waiter, end, handle, searched);
                    continue;
                }
                if self.position < self.elastic_until {
                    self.discard_evicted_runs(waiter, oldest.min(self.elastic_until));
                    (self.position, self.loss) = (self.effective_position(oldest), Loss::None);
                }
                self.discard_evicted_runs(waiter, oldest);
                if self.loss != Loss::None {
                    return Located::Lost;
                }
                self.position = oldest.min(self.discovered);
            }
            if !self.next_run() {
                if self.discovered < end {
                    continue;
                }
                self.position = self.discovered;
                return Located::CaughtUp;
            }
            return Located::At(self.run.start);
        }
    }

    /// Returns the next run in a window that ends at `end`. It does not check for eviction, because the window's
    /// directory holds its batches. The window is over if more was evicted than this cursor had discovered: the walk
    /// may have missed matches then.
    #[inline]
    pub(super) fn next_in_window<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
    ) -> Option<Run> {
        if self.run.is_empty() { self.next_run_in_window(log, waiter, end, handle) } else { Some(self.run) }
    }

    #[inline(never)]
    fn next_run_in_window<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
    ) -> Option<Run> {
        loop {
            if self.next_run() {
                return Some(self.run);
            }
            if self.discovered >= end {
                self.pass_unmatched_to(end);
                return None;
            }
            let from = self.discovered;
            if self.discover(log, waiter, end, handle, &mut None) > from {
                return None;
            }
        }
    }

    /// Returns whether no run of a window that ends at `end` follows the current one.
    #[inline]
    pub(super) fn is_last_run(&self, end: Position) -> bool {
        self.later_runs.is_none() && self.discovered >= end
    }

    /// Passes what is known not to match, if no run is left below `end`. The cursor is then at `end` or beyond it.
    #[inline]
    pub(super) fn pass_unmatched_to(&mut self, end: Position) {
        if self.run.is_empty() && self.is_last_run(end) {
            self.position = self.discovered;
        }
    }

    /// Passes everything that is discovered. No run may be left.
    #[inline]
    pub(super) fn pass_discovered(&mut self) {
        debug_assert!(self.run.is_empty() && self.later_runs.is_none(), "a run is left");
        self.position = self.discovered;
    }

    /// Returns the next position if it is discovered, it is known which of its events match, and no loss must be
    /// reported first.
    #[inline]
    pub(super) fn next_discovered(&self) -> Option<Position> {
        let known = !self.run.is_empty() && self.loss == Loss::None && self.matching != Matching::Unknown;
        known.then_some(self.run.start)
    }

    /// Discovers what became visible below `end`, for a reader of everything that has passed all before it. Returns the
    /// position to read next, or `None` if there is nothing new or more must be decided first.
    #[inline]
    pub(super) fn discover_everything(&mut self, end: Position) -> Option<Position> {
        if !self.run.is_empty() || self.later_runs.is_some() || self.loss != Loss::None || self.discovered >= end {
            return None;
        }
        (self.run, self.matching) = (Run { start: self.discovered, end }, Matching::AllEvents);
        self.discovered = end;
        Some(self.run.start)
    }

    /// Returns whether everything below `end` is passed, or does not match, and there is no loss to report. The cursor
    /// is at `end` or beyond it then.
    #[inline]
    pub(super) fn pass_if_nothing_below(&mut self, end: Position) -> bool {
        let nothing = self.run.is_empty() && self.is_last_run(end) && self.loss == Loss::None;
        if nothing {
            self.position = self.discovered;
        }
        nothing
    }

    /// Returns what is known about the events in the current run.
    #[inline]
    pub(super) fn matching(&self) -> Matching {
        self.matching
    }

    /// Returns the next position of the current run.
    #[inline]
    pub(super) fn next_in_run(&self) -> Position {
        self.run.start
    }

    /// Returns what is left of the current run.
    #[inline]
    pub(super) fn run(&self) -> Run {
        self.run
    }

    /// Passes all batches of the current run below `end`.
    #[inline]
    pub(super) fn pass_run_to(&mut self, end: Position) {
        count(Step::Read, 1);
        self.run.start = end;
        self.position = end;
    }

    /// Passes the batch at `position`, which was located.
    #[inline]
    pub(super) fn pass(&mut self, position: Position) {
        count(Step::Read, 1);
        self.position = position.next();
        self.run.start = position.next();
    }
}
