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
use crate::core::{Node, POLLED, Station};
use crate::interest::{Collected, LastRun, Matching, Stretch, collect, last_run};
use crate::log::{Directory, Log};
use crate::steps::{Step, count};
use crate::types::position::{Position, Run};
use crate::wait::look_again;

/// What a reader finds when it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// The batch at this position is next. It may have been evicted since.
    At(Position),
    /// All that was visible has been passed.
    Dry,
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
pub(super) type Stash<P> = Option<Arc<Directory<Record<P>>>>;

#[derive(Debug)]
pub(super) struct Reader {
    cursor: Position,
    known: Position,
    run: Run,
    /// What is known of the events in `run`.
    matching: Matching,
    /// Boxed, because hardly any reader has it for long.
    #[expect(clippy::box_collection, reason = "a reader is small while it has none")]
    more: Option<Box<VecDeque<Stretch>>>,
    live_from: Position,
    /// What is below may go without being lost: it was buffered when the subscription opened, and nothing was passed yet.
    free: Position,
    loss: Loss,
    /// For a reader of many nodes: those to look at. All others are enrolled for news.
    #[expect(clippy::box_collection, reason = "most readers have few nodes, and none of this")]
    carry: Option<Box<Vec<u32>>>,
}

impl Reader {
    pub(super) fn new(station: &Station, live_from: Position) -> Self {
        let lists = u32::try_from(station.owner.nodes.len()).unwrap_or(u32::MAX);
        Self {
            cursor: Position::ZERO,
            known: Position::ZERO,
            run: Run::EMPTY,
            matching: Matching::Unknown,
            more: None,
            live_from,
            free: Position::ZERO,
            loss: Loss::None,
            carry: station.is_named().then(|| Box::new((0..lists).collect())),
        }
    }

    #[inline]
    pub(super) fn cursor(&self) -> Position {
        self.cursor
    }

    /// Puts the cursor where the subscription begins.
    #[inline]
    pub(super) fn place(&mut self, cursor: Position) {
        self.cursor = cursor;
        self.known = self.known.max(cursor);
    }

    /// Goes on at `oldest`, after a loss was told.
    pub(super) fn resume(&mut self, station: &Station, oldest: Position) {
        if self.loss == Loss::Skipped {
            self.known = oldest;
        } else {
            self.trim(station, oldest);
        }
        self.place(oldest);
        self.loss = Loss::None;
        if let Some(carry) = &mut self.carry {
            // Nodes that were hit before the cursor have given up this reader's enrolment, and it may be that nothing is
            // left to be looked at that would have it enrol anew.
            station.take_news(carry);
            carry.sort_unstable();
            carry.dedup();
        }
    }

    /// Lets what is below `end` go without being lost, until [`stiffen`](Self::stiffen).
    pub(super) fn stretch(&mut self, end: Position) {
        self.free = end;
    }

    /// From now on everything counts as lost that goes before it was passed.
    pub(super) fn stiffen(&mut self) {
        self.free = Position::ZERO;
    }

    /// Up to where that may go.
    pub(super) fn free(&self) -> Position {
        self.free
    }

    /// Whether nothing is left that may go without being lost.
    pub(super) fn is_stiff(&self) -> bool {
        self.cursor >= self.free
    }

    /// The cursor, or as far as it goes of itself if this is the oldest.
    pub(super) fn cursor_at(&self, oldest: Position) -> Position {
        self.cursor.max(oldest.min(self.free))
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
    /// left in `stash`: it holds whatever is in reach below `end`.
    #[inline]
    pub(super) fn locate<P>(
        &mut self,
        log: &Log<Record<P>>,
        station: &Station,
        end: Position,
        stash: &mut Stash<P>,
    ) -> Located {
        if self.run.is_empty() && self.more.is_none() && self.known < end {
            self.learn(log, station, end, stash);
        }
        // Mostly that is all: there is a run, and it is in reach.
        if !self.run.is_empty() && self.cursor >= log.oldest() {
            return Located::At(self.run.start);
        }
        self.locate_otherwise(log, station, end, stash)
    }

    #[inline(never)]
    fn locate_otherwise<P>(
        &mut self,
        log: &Log<Record<P>>,
        station: &Station,
        end: Position,
        stash: &mut Stash<P>,
    ) -> Located {
        if self.loss == Loss::Skipped {
            return Located::Lost;
        }
        loop {
            if self.run.is_empty() && self.more.is_none() && self.known < end {
                self.learn(log, station, end, stash);
            }
            let oldest = log.oldest();
            if self.cursor < oldest {
                if self.known < oldest.min(end) {
                    self.learn(log, station, end, stash);
                    continue;
                }
                if self.cursor < self.free {
                    self.trim(station, oldest.min(self.free));
                    (self.cursor, self.loss) = (self.cursor_at(oldest), Loss::None);
                }
                self.trim(station, oldest);
                if self.loss != Loss::None {
                    return Located::Lost;
                }
                self.cursor = oldest.min(self.known);
            }
            if !self.next_run() {
                if self.known < end {
                    continue;
                }
                self.cursor = self.known;
                return Located::Dry;
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
            let Some(Stretch { run, matching }) = self.more.as_mut().and_then(|more| more.pop_front()) else {
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
    pub(super) fn next_in_window<P>(&mut self, log: &Log<Record<P>>, station: &Station, end: Position) -> Option<Run> {
        if self.run.is_empty() { self.next_run_in_window(log, station, end) } else { Some(self.run) }
    }

    #[inline(never)]
    fn next_run_in_window<P>(&mut self, log: &Log<Record<P>>, station: &Station, end: Position) -> Option<Run> {
        loop {
            if self.next_run() {
                return Some(self.run);
            }
            if self.known >= end {
                self.finish(end);
                return None;
            }
            let from = self.known;
            if self.learn(log, station, end, &mut None) > from {
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
            self.cursor = self.known;
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
        self.cursor = past;
    }

    /// Passes the batch that was located.
    #[inline]
    pub(super) fn pass(&mut self, position: Position) {
        count(Step::Read, 1);
        self.cursor = position.next();
        self.run.start = position.next();
    }

    /// Looks at what became visible below `end`, or at a part of it, and tells the oldest position of that moment.
    #[inline]
    fn learn<P>(&mut self, log: &Log<Record<P>>, station: &Station, end: Position, stash: &mut Stash<P>) -> Position {
        if station.owner.nodes.is_empty() {
            self.append(Stretch { run: Run { start: self.known, end }, matching: Matching::Whole });
            self.known = end;
            return log.oldest();
        }
        self.learn_from_nodes(log, station, end, stash)
    }

    /// The same for a reader that does not ask for everything.
    #[inline(never)]
    fn learn_from_nodes<P>(
        &mut self,
        log: &Log<Record<P>>,
        station: &Station,
        end: Position,
        stash: &mut Stash<P>,
    ) -> Position {
        let nodes = &station.owner.nodes;
        let from = self.known;
        if from < self.live_from {
            let end = end.min(self.live_from);
            self.append(Stretch { run: Run { start: from, end }, matching: Matching::Unknown });
            self.known = end;
            return log.oldest();
        }
        if station.is_named() {
            return self.learn_from_news(log, station, end, stash);
        }
        count(Step::Poll, nodes.len());
        let mut news = nodes.iter().map(|node| (node, node.chain.last())).filter(|(_, last)| *last > from);
        let Some((node, last)) = news.next() else {
            self.known = end;
            return log.oldest();
        };
        let Some(second) = news.next() else {
            return self.learn_from_one(log, node, last, end, stash);
        };
        let lasts: SmallVec<[_; POLLED]> = [(node, last), second].into_iter().chain(news).collect();
        self.walk(log, lasts.into_iter(), end, stash)
    }

    /// The same if one node alone has news. Mostly they are one run, which the first link tells of.
    fn learn_from_one<P>(
        &mut self,
        log: &Log<Record<P>>,
        node: &Arc<Node>,
        last: Position,
        end: Position,
        stash: &mut Stash<P>,
    ) -> Position {
        let directory = stash.insert(log.directory());
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
                        self.append(Stretch { run: Run { start, end }, matching });
                    }
                }
                self.known = end;
            }
            _ => self.keep(collect(std::iter::once((node, last)), directory, oldest, from, end)),
        }
        oldest
    }

    /// The same for a reader of many nodes: only those that were hit are looked at.
    fn learn_from_news<P>(
        &mut self,
        log: &Log<Record<P>>,
        station: &Station,
        end: Position,
        stash: &mut Stash<P>,
    ) -> Position {
        let nodes = &station.owner.nodes;
        let mut carry = self.carry.take().unwrap_or_default();
        station.take_news(&mut carry);
        carry.sort_unstable();
        carry.dedup();
        if carry.is_empty() {
            self.known = end;
            self.carry = Some(carry);
            return log.oldest();
        }
        count(Step::Poll, carry.len());
        let carried = |list: u32| Some((list, nodes.get(usize::try_from(list).ok()?)?));
        for (list, node) in carry.iter().copied().filter_map(carried) {
            node.lists.named().enrol(station, usize::try_from(list).unwrap_or(usize::MAX));
        }
        // Enrolled first, looked at second: a hit in between is both seen and named, which is one look too many.
        look_again();
        let lasts: Vec<Position> =
            carry.iter().copied().filter_map(carried).map(|(_, node)| node.chain.last()).collect();
        let hit = carry.iter().copied().filter_map(carried).map(|(_, node)| node).zip(lasts.iter().copied());
        let oldest = self.walk(log, hit, end, stash);
        // What lies beyond will not be named again: the hit has taken the enrolment, or will be taken for this look.
        let mut lasts = lasts.into_iter();
        carry.retain(|_| lasts.next().is_some_and(|last| last > self.known));
        self.carry = Some(carry);
        oldest
    }

    /// Enrols a reader of many nodes in those that it has not looked at since they were hit, or at all.
    pub(super) fn enrol_carried(&self, station: &Station) {
        for list in self.carry.iter().flat_map(|carry| carry.iter()).filter_map(|list| usize::try_from(*list).ok()) {
            if let Some(node) = station.owner.nodes.get(list) {
                node.lists.named().enrol(station, list);
            }
        }
    }

    fn walk<'a, P>(
        &mut self,
        log: &Log<Record<P>>,
        lasts: impl Iterator<Item = (&'a Arc<Node>, Position)>,
        end: Position,
        stash: &mut Stash<P>,
    ) -> Position {
        let directory = stash.insert(log.directory());
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
    fn append(&mut self, next: Stretch) {
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
    fn append_to_more(&mut self, next: Stretch) {
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
    fn trim(&mut self, station: &Station, oldest: Position) {
        while self.next_run() && self.run.start < oldest {
            let gone = Run { start: self.run.start, end: self.run.end.min(oldest) };
            if self.matching != Matching::Unknown || has_evicted(station, gone.start, oldest) {
                self.loss = Loss::Evicted;
            }
            self.run.start = gone.end;
        }
    }
}

/// Whether any evicted position from this one on, which the reader had not scanned, matched one of its nodes.
fn has_evicted(station: &Station, start: Position, oldest: Position) -> bool {
    count(Step::Poll, station.owner.nodes.len());
    station.owner.nodes.iter().any(|node| node.has_evicted(start, oldest))
}
