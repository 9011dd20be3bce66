//! Where a reader stands, and which batch it reads next.
//! It knows positions and nodes, not events: what is in a batch, and who may see it, is decided by the others here.
//!
//! Invariants, with `cursor <= known`:
//! - everything below `cursor` has been passed: delivered, or known not to match;
//! - what matches in `cursor..known` lies in `run` and `more`, which are disjoint and in order. Below `live_from` they
//!   say nothing about matching: that part of the log is older than the reader's nodes, and is scanned;
//! - above `known` nothing has been looked at.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::core::Record;
use crate::core::{Node, POLLED, Waiter};
use crate::interest::{Collected, LastRun, MatchedRun, Matching, collect, last_run};
use crate::log::{Directory, Log};
use crate::steps::{Step, count};
use crate::types::position::{Position, Run};
use crate::wait::seq_cst_fence;

/// What a reader finds when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// The batch at this position is next. It may have been evicted since.
    At(Position),
    /// All that was visible has been passed.
    CaughtUp,
    /// A batch that was asked for was evicted, or a part of the history was skipped.
    Lost,
}

/// What the reader has lost and its owner has not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    /// Batches that were asked for.
    Evicted,
    /// A part of the history that was never here, and with it all that the reader knew of.
    Skipped,
}

/// The directory that a look was made in.
pub(super) type Searched<P> = Option<Arc<Directory<Record<P>>>>;

#[derive(Debug)]
pub(super) struct Cursor {
    position: Position,
    known: Position,
    run: Run,
    /// What is known of the events in `run`.
    matching: Matching,
    /// Boxed, because hardly any reader has it for long.
    #[expect(clippy::box_collection, reason = "a reader is small while it has none")]
    more: Option<Box<VecDeque<MatchedRun>>>,
    live_from: Position,
    /// What is below may go without being lost: it was buffered when the subscription opened, and nothing was passed yet.
    elastic_until: Position,
    loss: Loss,
    /// For a reader of many nodes: those to look at. All others are registered for news.
    #[expect(clippy::box_collection, reason = "most readers have few nodes, and none of this")]
    unvisited: Option<Box<Vec<u32>>>,
}

impl Cursor {
    pub(super) fn new(waiter: &Waiter, live_from: Position) -> Self {
        let lists = u32::try_from(waiter.owner.nodes.len()).unwrap_or(u32::MAX);
        Self {
            position: Position::ZERO,
            known: Position::ZERO,
            run: Run::EMPTY,
            matching: Matching::Unknown,
            more: None,
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

    /// Puts the cursor where the subscription begins.
    #[inline]
    pub(super) fn move_to(&mut self, cursor: Position) {
        self.position = cursor;
        self.known = self.known.max(cursor);
    }

    /// Goes on at `oldest`, after a loss was told.
    pub(super) fn resume(&mut self, waiter: &Waiter, oldest: Position) {
        if self.loss == Loss::Skipped {
            self.known = oldest;
        } else {
            self.trim(waiter, oldest);
        }
        self.move_to(oldest);
        self.loss = Loss::None;
        if let Some(unvisited) = &mut self.unvisited {
            // Nodes that were hit before the cursor have given up this reader's registration, and it may be that nothing is
            // left to be looked at that would have it register anew.
            waiter.take_hits(unvisited);
            unvisited.sort_unstable();
            unvisited.dedup();
        }
    }

    /// Lets what is below `end` go without being lost, until [`end_elastic`](Self::end_elastic).
    pub(super) fn set_elastic_until(&mut self, end: Position) {
        self.elastic_until = end;
    }

    /// From now on everything counts as lost that goes before it was passed.
    pub(super) fn end_elastic(&mut self) {
        self.elastic_until = Position::ZERO;
    }

    /// Up to where that may go.
    pub(super) fn elastic_until(&self) -> Position {
        self.elastic_until
    }

    /// Whether nothing is left that may go without being lost.
    pub(super) fn is_past_elastic(&self) -> bool {
        self.position >= self.elastic_until
    }

    /// The cursor, or as far as it goes of itself if this is the oldest.
    pub(super) fn position_at(&self, oldest: Position) -> Position {
        self.position.max(oldest.min(self.elastic_until))
    }

    /// Gives up all that is known: a part of the history was skipped that begins at the end of what was published
    /// before, and all of that is evicted. Nothing is looked at until [`resume`](Self::resume).
    pub(super) fn skip(&mut self) {
        (self.run, self.more, self.loss) = (Run::EMPTY, None, Loss::Skipped);
        self.known = Position(u64::MAX);
    }

    /// Whether the loss to be told is that of a skip.
    pub(super) fn has_skipped(&self) -> bool {
        self.loss == Loss::Skipped
    }

    /// The next batch below `end`, which was loaded before this was called. A directory that had to be taken for it is
    /// left in `searched`: it holds whatever is in reach below `end`.
    #[inline]
    pub(super) fn locate<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        searched: &mut Searched<P>,
    ) -> Located {
        if self.run.is_empty() && self.more.is_none() && self.known < end {
            self.discover(log, waiter, end, searched);
        }
        // Mostly that is all: there is a run, and it is in reach.
        if !self.run.is_empty() && self.position >= log.oldest() {
            return Located::At(self.run.start);
        }
        self.locate_otherwise(log, waiter, end, searched)
    }

    #[inline(never)]
    fn locate_otherwise<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        searched: &mut Searched<P>,
    ) -> Located {
        if self.loss == Loss::Skipped {
            return Located::Lost;
        }
        loop {
            if self.run.is_empty() && self.more.is_none() && self.known < end {
                self.discover(log, waiter, end, searched);
            }
            let oldest = log.oldest();
            if self.position < oldest {
                if self.known < oldest.min(end) {
                    self.discover(log, waiter, end, searched);
                    continue;
                }
                if self.position < self.elastic_until {
                    self.trim(waiter, oldest.min(self.elastic_until));
                    (self.position, self.loss) = (self.position_at(oldest), Loss::None);
                }
                self.trim(waiter, oldest);
                if self.loss != Loss::None {
                    return Located::Lost;
                }
                self.position = oldest.min(self.known);
            }
            if !self.next_run() {
                if self.known < end {
                    continue;
                }
                self.position = self.known;
                return Located::CaughtUp;
            }
            return Located::At(self.run.start);
        }
    }

    /// Whether there is a run to read from, after moving to the next one if need be.
    #[inline]
    fn next_run(&mut self) -> bool {
        !self.run.is_empty() || self.more.is_some() && self.next_of_more()
    }

    #[cold]
    fn next_of_more(&mut self) -> bool {
        while self.run.is_empty() {
            let Some(MatchedRun { run, matching }) = self.more.as_mut().and_then(|more| more.pop_front()) else {
                self.more = None;
                return false;
            };
            (self.run, self.matching) = (run, matching);
        }
        true
    }

    /// The next run in the window of one directory, whose end is `end`, without another look at what was evicted:
    /// a window's batches are held by it. If more was evicted than the reader has looked at, the window is over.
    #[inline]
    pub(super) fn next_in_window<P>(&mut self, log: &Log<Record<P>>, waiter: &Waiter, end: Position) -> Option<Run> {
        if self.run.is_empty() { self.next_run_in_window(log, waiter, end) } else { Some(self.run) }
    }

    #[inline(never)]
    fn next_run_in_window<P>(&mut self, log: &Log<Record<P>>, waiter: &Waiter, end: Position) -> Option<Run> {
        loop {
            if self.next_run() {
                return Some(self.run);
            }
            if self.known >= end {
                self.finish(end);
                return None;
            }
            let from = self.known;
            if self.discover(log, waiter, end, &mut None) > from {
                return None;
            }
        }
    }

    /// Whether nothing that a window up to `end` shows follows the current run.
    #[inline]
    pub(super) fn is_last_run(&self, end: Position) -> bool {
        self.more.is_none() && self.known >= end
    }

    /// Passes what is known not to match, up to `end` at least, if there is nothing else left before it.
    #[inline]
    pub(super) fn finish(&mut self, end: Position) {
        if self.run.is_empty() && self.is_last_run(end) {
            self.position = self.known;
        }
    }

    /// The next position, if it is known, links tell what it matched, and there is no loss to be told first.
    #[inline]
    pub(super) fn next_known(&self) -> Option<Position> {
        let known = !self.run.is_empty() && self.loss == Loss::None && self.matching != Matching::Unknown;
        known.then_some(self.run.start)
    }

    /// Whether nothing is known to follow the batch at `position` without a gap.
    pub(super) fn is_last_known(&self, position: Position) -> bool {
        position.next() >= self.run.end
    }

    /// What is known of the events in the current run.
    #[inline]
    pub(super) fn matching(&self) -> Matching {
        self.matching
    }

    /// The next position of the current run.
    #[inline]
    pub(super) fn next_in_run(&self) -> Position {
        self.run.start
    }

    /// Passes all batches of the current run up to `past`.
    #[inline]
    pub(super) fn pass_whole(&mut self, past: Position) {
        count(Step::Read, 1);
        self.run.start = past;
        self.position = past;
    }

    /// Passes the batch that was located.
    #[inline]
    pub(super) fn pass(&mut self, position: Position) {
        count(Step::Read, 1);
        self.position = position.next();
        self.run.start = position.next();
    }

    /// Looks at what became visible below `end`, or at a part of it, and tells the oldest position of that moment.
    #[inline]
    fn discover<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        searched: &mut Searched<P>,
    ) -> Position {
        if waiter.owner.nodes.is_empty() {
            self.append(MatchedRun { run: Run { start: self.known, end }, matching: Matching::Whole });
            self.known = end;
            return log.oldest();
        }
        self.discover_in_nodes(log, waiter, end, searched)
    }

    /// The same for a reader that does not ask for everything.
    #[inline(never)]
    fn discover_in_nodes<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        searched: &mut Searched<P>,
    ) -> Position {
        let nodes = &waiter.owner.nodes;
        let from = self.known;
        if from < self.live_from {
            let end = end.min(self.live_from);
            self.append(MatchedRun { run: Run { start: from, end }, matching: Matching::Unknown });
            self.known = end;
            return log.oldest();
        }
        if waiter.has_hit_queue() {
            return self.discover_in_hits(log, waiter, end, searched);
        }
        count(Step::Poll, nodes.len());
        let mut hit = nodes.iter().map(|node| (node, node.chain.last())).filter(|(_, last)| *last > from);
        let Some((node, last)) = hit.next() else {
            self.known = end;
            return log.oldest();
        };
        let Some(second) = hit.next() else {
            return self.discover_in_one(log, node, last, end, searched);
        };
        let lasts: SmallVec<[_; POLLED]> = [(node, last), second].into_iter().chain(hit).collect();
        self.walk(log, lasts.into_iter(), end, searched)
    }

    /// The same if one node alone has news. Mostly they are one run, which the first link tells of.
    fn discover_in_one<P>(
        &mut self,
        log: &Log<Record<P>>,
        node: &Arc<Node>,
        last: Position,
        end: Position,
        searched: &mut Searched<P>,
    ) -> Position {
        let directory = searched.insert(log.directory());
        let oldest = log.oldest();
        let from = self.known;
        match last_run(directory, node, last, oldest) {
            Some(LastRun { start, whole, before, .. }) if start <= from || before <= from => {
                let stop = last.min(end);
                let whole = whole.clamp(from, stop.max(from));
                for (start, end, matching) in
                    [(start.max(from), whole, Matching::Linked), (whole.max(start), stop, Matching::Whole)]
                {
                    if start < end {
                        self.append(MatchedRun { run: Run { start, end }, matching });
                    }
                }
                self.known = end;
            }
            _ => self.keep(collect(std::iter::once((node, last)), directory, oldest, from, end)),
        }
        oldest
    }

    /// The same for a reader of many nodes: only those that were hit are looked at.
    fn discover_in_hits<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        searched: &mut Searched<P>,
    ) -> Position {
        let nodes = &waiter.owner.nodes;
        let mut unvisited = self.unvisited.take().unwrap_or_default();
        waiter.take_hits(&mut unvisited);
        unvisited.sort_unstable();
        unvisited.dedup();
        if unvisited.is_empty() {
            self.known = end;
            self.unvisited = Some(unvisited);
            return log.oldest();
        }
        count(Step::Poll, unvisited.len());
        let unvisited_node = |list: u32| Some((list, nodes.get(usize::try_from(list).ok()?)?));
        for (list, node) in unvisited.iter().copied().filter_map(unvisited_node) {
            node.lists.notified().register(waiter, usize::try_from(list).unwrap_or(usize::MAX));
        }
        // Registered first, looked at second: a hit in between is both seen and named, which is one look too many.
        seq_cst_fence();
        let lasts: Vec<Position> =
            unvisited.iter().copied().filter_map(unvisited_node).map(|(_, node)| node.chain.last()).collect();
        let hit = unvisited.iter().copied().filter_map(unvisited_node).map(|(_, node)| node).zip(lasts.iter().copied());
        let oldest = self.walk(log, hit, end, searched);
        // What lies beyond will not be named again: the hit has taken the registration, or will be taken for this look.
        let mut lasts = lasts.into_iter();
        unvisited.retain(|_| lasts.next().is_some_and(|last| last > self.known));
        self.unvisited = Some(unvisited);
        oldest
    }

    /// Enrols a reader of many nodes in those that it has not looked at since they were hit, or at all.
    pub(super) fn register_unvisited(&self, waiter: &Waiter) {
        for list in
            self.unvisited.iter().flat_map(|unvisited| unvisited.iter()).filter_map(|list| usize::try_from(*list).ok())
        {
            if let Some(node) = waiter.owner.nodes.get(list) {
                node.lists.notified().register(waiter, list);
            }
        }
    }

    fn walk<'a, P>(
        &mut self,
        log: &Log<Record<P>>,
        lasts: impl Iterator<Item = (&'a Arc<Node>, Position)>,
        end: Position,
        searched: &mut Searched<P>,
    ) -> Position {
        let directory = searched.insert(log.directory());
        let oldest = log.oldest();
        self.keep(collect(lasts, directory, oldest, self.known, end));
        oldest
    }

    fn keep(&mut self, collected: Collected) {
        self.known = collected.through;
        for stretch in collected.stretches {
            self.append(stretch);
        }
    }

    #[inline]
    fn append(&mut self, next: MatchedRun) {
        if self.more.is_none() {
            if self.run.is_empty() {
                (self.run, self.matching) = (next.run, next.matching);
                return;
            }
            if self.run.end == next.run.start && self.matching == next.matching {
                self.run.end = next.run.end;
                return;
            }
        }
        self.append_to_more(next);
    }

    #[cold]
    fn append_to_more(&mut self, next: MatchedRun) {
        let more = self.more.get_or_insert_default();
        match more.back_mut() {
            Some(last) if last.run.end == next.run.start && last.matching == next.matching => {
                last.run.end = next.run.end;
            }
            _ => more.push_back(next),
        }
    }

    /// Gives up what lies below `oldest`, and notes whether any of it was asked for.
    #[inline]
    fn trim(&mut self, waiter: &Waiter, oldest: Position) {
        while self.next_run() && self.run.start < oldest {
            let gone = Run { start: self.run.start, end: self.run.end.min(oldest) };
            if self.matching != Matching::Unknown || has_evicted(waiter, gone.start, oldest) {
                self.loss = Loss::Evicted;
            }
            self.run.start = gone.end;
        }
    }
}

/// Whether any evicted position from this one on, which the reader had not scanned, matched one of its nodes.
fn has_evicted(waiter: &Waiter, start: Position, oldest: Position) -> bool {
    count(Step::Poll, waiter.owner.nodes.len());
    waiter.owner.nodes.iter().any(|node| node.has_evicted(start, oldest))
}
