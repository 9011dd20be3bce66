//! Follows chains back through the log, and collects which positions of a window matched any of a reader's nodes.
//! What is read of them, and whether something was lost, is decided in `subscription::cursor`.
//!
//! Invariants:
//! - a caller loads the end, then the nodes' last matches, then takes the directory, and then loads `oldest`. So every
//!   link at `oldest` or later is found;
//! - a link below `oldest` is not followed. The match that it belongs to is reported, and stands for all before it.
//!
//! Callers: `subscription::cursor` without the broker's lock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::jumps::{Jump, SPACING};
use super::node::{Links, Node};
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

/// What is known of the events of a run of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// All events match.
    Whole,
    /// Some events of each batch match. Its links say which.
    Linked,
    /// Nothing is known, because the batches are older than the nodes.
    Unknown,
}

/// A run of batches, and what is known of their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatchedRun {
    pub(crate) run: Run,
    pub(crate) matching: Matching,
}

/// The matches in a window: runs that are disjoint, oldest first, and complete up to `through`.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) runs: SmallVec<[MatchedRun; 2]>,
    pub(crate) through: Position,
}

impl Collected {
    fn compact(&mut self) {
        self.runs.sort_unstable_by_key(|matched| matched.run.start);
        let mut merged: SmallVec<[MatchedRun; 2]> = SmallVec::new();
        for next in self.runs.drain(..) {
            match merged.last_mut() {
                // Two runs overlap. What matched there is known from the links only.
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
        self.runs = merged;
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
    /// The batches from here on match whole.
    pub(crate) whole: Position,
    /// One past the last match before the run, or zero.
    pub(crate) before: Position,
    /// Whether the run's first slot stores a jump.
    is_checkpoint: bool,
}

/// Returns the run that ends at `last`, one past a match, if that match is in reach.
#[inline]
pub(crate) fn last_run<T: Linked, L>(
    directory: &Directory<T>,
    node: &Node<L>,
    last: Position,
    oldest: Position,
) -> Option<LastRun> {
    let position = Position(last.0.checked_sub(1)?);
    count(Step::Walk, 1);
    let slot = if position < oldest { None } else { directory.get(position) };
    let link = slot?.links().find(node.id)?;
    let (start, whole) = link.run(last);
    Some(LastRun { start, whole, before: link.before.past(), is_checkpoint: link.before.is_checkpoint() })
}

/// Collects the matches in `from..end`, or in the first part of it. `lasts` yields each node with the last match of its
/// chain, which must have been loaded before `directory` was taken. Every position from `oldest` on must be found in
/// `directory`.
///
/// It takes as many steps as it finds runs and, for each node, the logarithm of the length of its chain.
///
/// Several matches below `oldest` may be reported as one position, which is enough to know that something was lost.
/// Matches at `oldest` or later are always complete.
pub(crate) fn collect<'a, T: Linked, L: 'a>(
    lasts: impl Iterator<Item = (&'a Arc<Node<L>>, Position)>,
    directory: &Directory<T>,
    oldest: Position,
    from: Position,
    end: Position,
) -> Collected {
    let chains: SmallVec<[_; 8]> =
        lasts.filter(|(_, last)| *last > from).map(|(node, last)| Chain { node: &**node, last }).collect();
    let walk = Walk { directory, oldest, from };
    let part = PART.max(chains.len());
    let mut steps = 2 * part;
    let mut collected = Collected { runs: SmallVec::new(), through: end };
    if !chains.iter().all(|chain| walk.walk_back(chain.node, chain.last, &mut steps, &mut collected)) {
        let through = walk.part_end(&chains, part).map_or(end, |through| through.min(end));
        collected = Collected { runs: SmallVec::new(), through };
        // What lies before `through` is one part. Beyond it are only a few runs of each chain.
        let mut unbounded = usize::MAX;
        for chain in &chains {
            walk.walk_back(chain.node, walk.start_of_walk(chain, through), &mut unbounded, &mut collected);
        }
    }
    if collected.runs.len() > 1 {
        collected.compact();
    }
    collected
}

/// A node, and one past the last match of its chain that is considered.
struct Chain<'a, L> {
    node: &'a Node<L>,
    last: Position,
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
    /// Collects the matches of a chain up to `past`. Returns false if it would take more than `steps` steps.
    fn walk_back<L>(&self, node: &Node<L>, mut past: Position, steps: &mut usize, collected: &mut Collected) -> bool {
        while past > self.from {
            let Some(left) = steps.checked_sub(1) else { return false };
            *steps = left;
            let Some(run) = last_run(self.directory, node, past, self.oldest) else {
                let position = Position(past.0 - 1);
                // The batch is evicted. It is known only that it matched. What lies before it is lost as well. If it
                // was evicted long ago, it may lie beyond the window. Then the whole window is evicted, and its last
                // batch stands for what was lost.
                let last = Position(collected.through.0.saturating_sub(1));
                collected.push(position.min(last), past, Matching::Linked);
                break;
            };
            collected.push(run.whole.max(self.from), past, Matching::Whole);
            collected.push(run.start.max(self.from), run.whole, Matching::Linked);
            past = run.before;
        }
        true
    }

    /// Returns a position up to which about `runs` runs are in reach, or `None` if there are fewer.
    ///
    /// Checkpoints are counted from the oldest on, of all chains, in the order of their positions. Each stands for
    /// [`SPACING`] runs. So at most so many runs of each chain are not counted.
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

    /// Returns where to start walking back if only what lies before `through` is needed.
    fn start_of_walk<L>(&self, chain: &Chain<'_, L>, through: Position) -> Position {
        let newest = if chain.last > through { self.newest_checkpoint(chain, through) } else { None };
        newest.map_or(chain.last, |newest| {
            let (position, _) = self.earliest(chain.node, newest, &|(position, _)| *position >= through);
            position.next()
        })
    }

    /// Returns the newest checkpoint of a chain, if it begins at `floor` or later. The newest runs of a chain are
    /// walked one by one, because they mostly are no checkpoints.
    fn newest_checkpoint<L>(&self, chain: &Chain<'_, L>, floor: Position) -> Option<Checkpoint> {
        let mut past = chain.last;
        while past > floor {
            let run = last_run(self.directory, chain.node, past, self.oldest)?;
            if run.is_checkpoint {
                return if run.start < floor { None } else { self.checkpoint(chain.node, run.start) };
            }
            past = run.before;
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
mod tests {
    use super::*;
    use crate::interest::Filter;
    use crate::interest::{Hit, Interest, node_terms};
    use crate::log::Segment;
    use crate::types::event::Event;
    use crate::types::request::Request;
    use crate::types::term::Term;

    struct Slot(Links);

    impl Linked for Slot {
        fn links(&self) -> &Links {
            &self.0
        }
    }

    /// Publishes sixteen slots, of which those at `matches` match, and returns what a walk collects.
    fn collected(matches: &[u64], oldest: u64, from: u64, end: u64) -> Vec<(u64, u64)> {
        let mut request = Request::<()>::new().term(Term::key("web").expect("a key"));
        let filter = Arc::new(Filter::new(&mut request).expect("a request"));
        let mut interest = Interest::<()>::new();
        let node = {
            let mut nodes = Vec::new();
            let mut terms: Vec<_> = node_terms(&filter, interest.key_hasher()).collect();
            interest.join(&filter, &mut terms, None, Position::ZERO, &mut nodes);
            nodes.remove(0)
        };
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
        collected.runs.iter().map(|matched| (matched.run.start.0, matched.run.end.0)).collect()
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
        // The link of a match at the oldest position is still there.
        assert_eq!(collected(&[1, 4, 7], 7, 0, 16), [(4, 5), (7, 8)]);
    }

    /// The end was loaded long ago. Meanwhile batches beyond it are evicted, and the chain is cut there.
    #[test]
    fn a_chain_that_is_cut_beyond_the_window_still_tells_of_the_loss_in_it() {
        assert_eq!(collected(&[2, 6, 9], 8, 0, 4), [(3, 4)]);
        assert_eq!(collected(&[2, 6], 8, 0, 4), [(3, 4)]);
    }

    /// A log of many slots with several nodes, and the positions that matched each node.
    struct Long {
        nodes: Vec<Arc<Node<()>>>,
        matched: Vec<Vec<u64>>,
        directory: Directory<Slot>,
    }

    /// Builds a log with a node for each rate. A node of rate `n` is hit by one batch in `n`, at random. Rate 1 is
    /// always, and rate 0 is two batches of three in turn.
    fn long(slots: u64, rates: &[u64]) -> Long {
        let mut interest = Interest::<()>::new();
        let nodes: Vec<_> = (0..rates.len())
            .map(|number| {
                let mut request =
                    Request::<()>::new().namespace("*").term(Term::key(format!("k{number}")).expect("a key"));
                let filter = Arc::new(Filter::new(&mut request).expect("a request"));
                let mut terms: Vec<_> = node_terms(&filter, interest.key_hasher()).collect();
                let mut nodes = Vec::new();
                interest.join(&filter, &mut terms, None, Position::ZERO, &mut nodes);
                nodes.remove(0)
            })
            .collect();
        let mut matched = vec![Vec::new(); rates.len()];
        let segments: Vec<_> = (0..slots).step_by(64).map(|base| Arc::new(Segment::new(Position(base), 64))).collect();
        let mut random = 1_u64;
        for position in 0..slots {
            let mut keys = Vec::new();
            for (number, rate) in rates.iter().enumerate() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if if *rate == 0 { position % 3 > 0 } else { (random >> 33).is_multiple_of(*rate) } {
                    keys.push(format!("k{number}"));
                    matched.get_mut(number).expect("one a node").push(position);
                }
            }
            let event = |key: &str| Event::new("Job", "t", key.to_owned(), ()).with_filter_keys(keys.clone());
            // Every third batch has a second event, which matches nothing.
            let events =
                if position % 3 == 0 { vec![event("-"), Event::new("Job", "t", "-", ())] } else { vec![event("-")] };
            let segment = segments.get(usize::try_from(position / 64).expect("few")).expect("one");
            let mut hit = Hit::new();
            interest
                .link(Position(position), events, &mut hit, |_, links| segment.set(Position(position), Slot(links)));
            hit.extend(Position(position));
        }
        Long { nodes, matched, directory: Directory::new(segments.iter()) }
    }

    /// However long the chains are, and however many, the parts together are what matched.
    #[test]
    fn parts_of_long_chains_are_all_that_matched() {
        const SLOTS: u64 = 6_000;
        let many: Vec<u64> = (0..300).map(|n| 50 + n % 7 * 400).collect();
        for rates in [&[2][..], &[1], &[0], &[2, 2], &[0, 5], &[3, 1_000, 40], &[2, 2, 2, 2, 2, 2, 2, 2], &many] {
            let Long { nodes, matched, directory } = long(SLOTS, rates);
            for (oldest, from) in [(0, 0), (0, 1), (100, 100), (2_345, 2_345), (2_345, 4_000), (5_990, 5_990)] {
                let mut expected: Vec<u64> = matched.iter().flatten().copied().filter(|at| *at >= from).collect();
                expected.sort_unstable();
                expected.dedup();
                let (mut found, mut next, mut parts) = (Vec::new(), Position(from), 0);
                while next < Position(SLOTS) {
                    let lasts = nodes.iter().map(|node| (node, node.chain.last()));
                    let Collected { runs, through } =
                        collect(lasts, &directory, Position(oldest), next, Position(SLOTS));
                    assert!(through > next, "{rates:?} from {next:?}");
                    let part = PART.max(nodes.len());
                    // Each run may have a part that matched whole.
                    let most = 2 * (2 * part + 2 * nodes.len() * SPACING as usize);
                    assert!(runs.len() <= most, "{} stretches of {}", runs.len(), rates.len());
                    for MatchedRun { run, matching } in runs {
                        assert!(run.start >= next && run.end <= through, "{run:?} in {next:?}..{through:?}");
                        let in_part = |position: u64| position.is_multiple_of(3);
                        let whole = !(run.start.0..run.end.0).any(in_part);
                        assert!(whole || matching != Matching::Whole, "{run:?}");
                        found.extend(run.start.0..run.end.0);
                    }
                    next = through;
                    parts += 1;
                }
                assert_eq!(found, expected, "{rates:?} from {from}");
                let runs = expected.len();
                assert!(parts <= 2 + runs / 64, "{parts} parts of {runs} matches");
            }
        }
    }

    #[test]
    fn runs_that_meet_are_one_and_know_no_more_than_both() {
        use Matching::{Linked, Whole};

        let compacted = |runs: &[(u64, u64, Matching)]| {
            let matched_run = |(start, end, matching): &(u64, u64, Matching)| {
                let run = Run { start: Position(*start), end: Position(*end) };
                MatchedRun { run, matching: *matching }
            };
            let mut collected = Collected { runs: runs.iter().map(matched_run).collect(), through: Position(100) };
            collected.compact();
            let compact = collected.runs.into_iter();
            compact.map(|MatchedRun { run, matching }| (run.start.0, run.end.0, matching)).collect::<Vec<_>>()
        };
        assert_eq!(compacted(&[(3, 5, Whole), (1, 3, Whole)]), [(1, 5, Whole)]);
        assert_eq!(compacted(&[(3, 5, Linked), (1, 3, Whole)]), [(1, 3, Whole), (3, 5, Linked)]);
        assert_eq!(compacted(&[(4, 5, Whole), (1, 3, Whole)]), [(1, 3, Whole), (4, 5, Whole)]);
        // Only the links say which node's events they are.
        assert_eq!(compacted(&[(1, 4, Whole), (3, 5, Whole)]), [(1, 5, Linked)]);
        assert_eq!(compacted(&[(1, 9, Whole), (3, 5, Linked), (9, 10, Linked)]), [(1, 10, Linked)]);
    }

    /// Each part costs a second walk, so a reader that is not far behind collects everything at once.
    #[test]
    fn up_to_twice_a_part_is_collected_at_once() {
        for (runs, at_once) in [(2 * PART as u64, true), (2 * PART as u64 + 1, false)] {
            let Long { nodes, directory, .. } = long(3 * runs, &[0]);
            let lasts = nodes.iter().map(|node| (node, node.chain.last()));
            let end = Position(3 * runs);
            let collected = collect(lasts, &directory, Position::ZERO, Position::ZERO, end);
            assert_eq!(collected.through == end, at_once, "{runs}");
        }
    }

    /// What lies far beyond a part is not walked through for it.
    #[test]
    fn a_part_is_walked_from_near_its_end() {
        // Runs of two, and runs of any length, some of which a part ends within.
        let any_length = (200..600).step_by(20).map(|slots| (slots, 2, usize::MAX));
        for (slots, rate, most) in std::iter::once((600, 0, 2 * 2 * SPACING as usize)).chain(any_length) {
            let Long { nodes, matched, directory } = long(slots, &[rate]);
            let walk = Walk { directory: &directory, oldest: Position::ZERO, from: Position::ZERO };
            let node = nodes.first().expect("one");
            let chain = Chain { node: &**node, last: node.chain.last() };
            for through in 1..=slots {
                let near = walk.start_of_walk(&chain, Position(through));
                assert!(near >= chain.last.min(Position(through)), "{near:?} of {through}");
                let beyond = matched.iter().flatten().filter(|at| (through..near.0).contains(at)).count();
                assert!(beyond <= most, "{beyond} beyond {through}");
            }
        }
    }

    /// A loss is reported also if the chain is long, and is cut in any of its parts.
    #[test]
    fn a_long_chain_that_is_cut_tells_of_the_loss() {
        let Long { nodes, matched, directory } = long(4_000, &[2, 3]);
        for (oldest, from) in [(500, 10), (3_900, 0), (3_999, 3_990)] {
            let lasts = nodes.iter().map(|node| (node, node.chain.last()));
            let Collected { runs, through } =
                collect(lasts, &directory, Position(oldest), Position(from), Position(4_000));
            let first = runs.first().expect("some");
            assert!(first.run.start < Position(oldest) && first.run.start >= Position(from), "{first:?}");
            let in_reach = matched.iter().flatten().filter(|at| (oldest..through.0).contains(at));
            for at in in_reach.map(|at| Position(*at)) {
                assert!(runs.iter().any(|matched| (matched.run.start..matched.run.end).contains(&at)), "{at:?}");
            }
        }
    }
}
