//! Discovery: which batches between the cursor and the end match, by polling nodes and walking their chains.
//! Where the cursor is, and whether an eviction was a loss, is decided in `cursor`.
//!
//! Invariants:
//! - Whatever matches below `discovered` was appended to the runs of the cursor, in order.
//! - A directory is taken before the oldest position is loaded. Everything between that position and `end` is in it.
//! - A reader of many nodes registers in a node before it loads the last position of the node, with a fence in between.
//!
//! Callers: `cursor`; `register` for the nodes that were not visited.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Cursor, SearchDirectory};
use crate::core::{MAX_POLLED_NODES, Node, Record, Waiter};
use crate::interest::{Collected, LastRun, MatchedRun, Matching, collect, last_run};
use crate::log::{DirectoryHandle, Log};
use crate::steps::{Step, count};
use crate::types::position::{Position, Run};
use crate::wait::seq_cst_fence;

impl Cursor {
    /// Examines what became visible below `end`, or the first part of it. Returns the oldest position as loaded after
    /// the directory that the search used.
    #[inline]
    pub(super) fn discover<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
        searched: &mut SearchDirectory<P>,
    ) -> Position {
        if waiter.shared.nodes.is_empty() {
            self.append(MatchedRun { run: Run { start: self.discovered, end }, matching: Matching::AllEvents });
            self.discovered = end;
            return log.oldest();
        }
        self.discover_in_nodes(log, waiter, end, handle, searched)
    }

    /// Implements [`discover`](Self::discover) for a reader that is not unfiltered.
    #[inline(never)]
    fn discover_in_nodes<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
        searched: &mut SearchDirectory<P>,
    ) -> Position {
        let nodes = &waiter.shared.nodes;
        let from = self.discovered;
        if from < self.live_from {
            let end = end.min(self.live_from);
            self.append(MatchedRun { run: Run { start: from, end }, matching: Matching::Unknown });
            self.discovered = end;
            return log.oldest();
        }
        if waiter.has_hit_queue() {
            return self.discover_in_hit_nodes(log, waiter, end, handle, searched);
        }
        count(Step::Poll, nodes.len());
        let mut hit = nodes.iter().map(|node| (node, node.chain.end())).filter(|(_, last)| *last > from);
        let Some((node, last)) = hit.next() else {
            self.discovered = end;
            return log.oldest();
        };
        let Some(second) = hit.next() else {
            return self.discover_in_one_node(log, node, last, end, handle, searched);
        };
        let lasts: SmallVec<[_; MAX_POLLED_NODES]> = [(node, last), second].into_iter().chain(hit).collect();
        self.walk(log, lasts.into_iter(), end, handle, searched)
    }

    /// Implements [`discover`](Self::discover) when only one node was hit. The first link mostly describes all its
    /// matches as one run. No chain is walked then.
    fn discover_in_one_node<P>(
        &mut self,
        log: &Log<Record<P>>,
        node: &Arc<Node>,
        last: Position,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
        searched: &mut SearchDirectory<P>,
    ) -> Position {
        let directory = searched.insert(handle.current(log));
        let oldest = log.oldest();
        let from = self.discovered;
        match last_run(directory, node, last, oldest) {
            Some(LastRun { start, all_events_from, previous_end, .. }) if start <= from || previous_end <= from => {
                let stop = last.min(end);
                let all_events_from = all_events_from.clamp(from, stop.max(from));
                for (start, end, matching) in [
                    (start.max(from), all_events_from, Matching::Linked),
                    (all_events_from.max(start), stop, Matching::AllEvents),
                ] {
                    if start < end {
                        self.append(MatchedRun { run: Run { start, end }, matching });
                    }
                }
                self.discovered = end;
            }
            _ => self.append_collected(&collect(std::iter::once((node, last)), directory, oldest, from, end)),
        }
        oldest
    }

    /// Implements [`discover`](Self::discover) for a reader of many nodes: it visits only those that were hit.
    fn discover_in_hit_nodes<P>(
        &mut self,
        log: &Log<Record<P>>,
        waiter: &Waiter,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
        searched: &mut SearchDirectory<P>,
    ) -> Position {
        let nodes = &waiter.shared.nodes;
        let mut unvisited = self.unvisited.take().unwrap_or_default();
        waiter.take_hits(&mut unvisited);
        unvisited.sort_unstable();
        unvisited.dedup();
        if unvisited.is_empty() {
            self.discovered = end;
            self.unvisited = Some(unvisited);
            return log.oldest();
        }
        count(Step::Poll, unvisited.len());
        let unvisited_node = |list: u32| Some((list, nodes.get(usize::try_from(list).ok()?)?));
        for (list, node) in unvisited.iter().copied().filter_map(unvisited_node) {
            node.lists.hit_queues().register(waiter, usize::try_from(list).unwrap_or(usize::MAX));
        }
        // Registering comes before loading the last positions. A hit in between is seen here and also queued, which
        // costs one visit more than needed. The fence's partner is `sync::store_and_fence` in the publisher.
        seq_cst_fence();
        let lasts: Vec<Position> =
            unvisited.iter().copied().filter_map(unvisited_node).map(|(_, node)| node.chain.end()).collect();
        // The hit queue is empty now, so the nodes are kept while foreign code may run and panic: another directory is
        // dropped for this one, which may be the last to hold what was evicted.
        self.unvisited = Some(unvisited);
        let directory = searched.insert(handle.current(log));
        let mut unvisited = self.unvisited.take().unwrap_or_default();
        let oldest = log.oldest();
        let hit = unvisited.iter().copied().filter_map(unvisited_node).map(|(_, node)| node).zip(lasts.iter().copied());
        self.append_collected(&collect(hit, directory, oldest, self.discovered, end));
        // Keeps the nodes whose last match is beyond what was walked. The hit that set it may have been taken from the
        // queue above, and is not queued again.
        let mut lasts = lasts.into_iter();
        unvisited.retain(|_| lasts.next().is_some_and(|last| last > self.discovered));
        self.unvisited = Some(unvisited);
        oldest
    }

    /// Registers a reader of many nodes in those that it has not visited since they were hit, or not visited at all.
    pub(in crate::subscription) fn register_unvisited(&self, waiter: &Waiter) {
        for list in
            self.unvisited.iter().flat_map(|unvisited| unvisited.iter()).filter_map(|list| usize::try_from(*list).ok())
        {
            if let Some(node) = waiter.shared.nodes.get(list) {
                node.lists.hit_queues().register(waiter, list);
            }
        }
    }

    /// Walks the chains of these nodes, whose last positions were loaded before. Appends the matches below `end`, or a
    /// first part of them. Returns the oldest position as loaded after the directory.
    fn walk<'a, P>(
        &mut self,
        log: &Log<Record<P>>,
        lasts: impl Iterator<Item = (&'a Arc<Node>, Position)>,
        end: Position,
        handle: &mut DirectoryHandle<Record<P>>,
        searched: &mut SearchDirectory<P>,
    ) -> Position {
        let directory = searched.insert(handle.current(log));
        let oldest = log.oldest();
        self.append_collected(&collect(lasts, directory, oldest, self.discovered, end));
        oldest
    }

    fn append_collected(&mut self, collected: &Collected) {
        self.discovered = collected.through;
        let mut runs = collected.runs.iter();
        if let Some(first) = runs.next() {
            self.append(*first);
        }
        if runs.len() > 0 {
            self.append_later_runs(runs.as_slice());
        }
    }
}
