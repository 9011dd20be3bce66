//! Tests of the walks along chains: that parts are complete, and that a loss is reported.
//! How subscriptions use them is tested in `tests/`.

use super::*;
use crate::interest::{Filter, HitNodes, Interest, node_terms};
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
        let mut hit = HitNodes::new();
        let events = [Event::new("Job", "JobRegistered", key, ())];
        interest.link(position, events, &mut hit, |_, links| segment.set(position, Slot(links)));
        hit.extend_chains(position);
    }
    let directory = Directory::new(std::iter::once(&segment), 0);
    let chain_ends = std::iter::once((&node, node.chain.end()));
    let collected = collect(chain_ends, &directory, Position(oldest), Position(from), Position(end));
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
fn an_evicted_match_represents_all_before_it() {
    assert_eq!(collected(&[1, 4, 6, 9], 7, 0, 16), [(6, 7), (9, 10)]);
    // The link of a match at the oldest position is still there.
    assert_eq!(collected(&[1, 4, 7], 7, 0, 16), [(4, 5), (7, 8)]);
}

/// The end was loaded long ago. Meanwhile batches beyond it are evicted, and the chain is cut there.
#[test]
fn a_chain_cut_beyond_the_window_reports_the_loss_in_it() {
    assert_eq!(collected(&[2, 6, 9], 8, 0, 4), [(3, 4)]);
    assert_eq!(collected(&[2, 6], 8, 0, 4), [(3, 4)]);
}

/// A log of many slots with several nodes, and the positions that matched each node.
struct Long {
    nodes: Vec<Arc<Node<()>>>,
    matched: Vec<Vec<u64>>,
    directory: Directory<Slot>,
}

/// Builds a log with a node for each rate. A node of rate `n` is hit by one batch in `n`, at random. Rate 1 is always,
/// and rate 0 is two batches of three in turn.
fn long(slots: u64, rates: &[u64]) -> Long {
    let mut interest = Interest::<()>::new();
    let nodes: Vec<_> = (0..rates.len())
        .map(|number| {
            let mut request = Request::<()>::new().namespace("*").term(Term::key(format!("k{number}")).expect("a key"));
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
        let mut hit = HitNodes::new();
        interest.link(Position(position), events, &mut hit, |_, links| segment.set(Position(position), Slot(links)));
        hit.extend_chains(Position(position));
    }
    Long { nodes, matched, directory: Directory::new(segments.iter(), 0) }
}

/// However long the chains are, and however many, the parts together hold every match.
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
                let chain_ends = nodes.iter().map(|node| (node, node.chain.end()));
                let Collected { runs, through } =
                    collect(chain_ends, &directory, Position(oldest), next, Position(SLOTS));
                assert!(through > next, "{rates:?} from {next:?}");
                let part = PART.max(nodes.len());
                // Each run may have a part in which all events match.
                let most = 2 * (2 * part + 2 * nodes.len() * SPACING as usize);
                assert!(runs.len() <= most, "{} stretches of {}", runs.len(), rates.len());
                for MatchedRun { run, matching } in runs {
                    assert!(run.start >= next && run.end <= through, "{run:?} in {next:?}..{through:?}");
                    let in_part = |position: u64| position.is_multiple_of(3);
                    let all = !(run.start.0..run.end.0).any(in_part);
                    assert!(all || matching != Matching::AllEvents, "{run:?}");
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
fn adjacent_runs_merge_unless_their_events_differ() {
    use Matching::{AllEvents, Linked};

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
    assert_eq!(compacted(&[(3, 5, AllEvents), (1, 3, AllEvents)]), [(1, 5, AllEvents)]);
    assert_eq!(compacted(&[(3, 5, Linked), (1, 3, AllEvents)]), [(1, 3, AllEvents), (3, 5, Linked)]);
    assert_eq!(compacted(&[(4, 5, AllEvents), (1, 3, AllEvents)]), [(1, 3, AllEvents), (4, 5, AllEvents)]);
    // Only the links say which events of which node matched.
    assert_eq!(compacted(&[(1, 4, AllEvents), (3, 5, AllEvents)]), [(1, 5, Linked)]);
    assert_eq!(compacted(&[(1, 9, AllEvents), (3, 5, Linked), (9, 10, Linked)]), [(1, 10, Linked)]);
}

/// Each part costs a second walk, so a reader that is not far behind collects everything at once.
#[test]
fn up_to_twice_a_part_is_collected_at_once() {
    for (runs, at_once) in [(2 * PART as u64, true), (2 * PART as u64 + 1, false)] {
        let Long { nodes, directory, .. } = long(3 * runs, &[0]);
        let chain_ends = nodes.iter().map(|node| (node, node.chain.end()));
        let end = Position(3 * runs);
        let collected = collect(chain_ends, &directory, Position::ZERO, Position::ZERO, end);
        assert_eq!(collected.through == end, at_once, "{runs}");
    }
}

/// Runs far beyond a part are not walked for it.
#[test]
fn a_part_is_walked_from_near_its_end() {
    // Runs of two, and runs of any length, some of which a part ends within.
    let any_length = (200..600).step_by(20).map(|slots| (slots, 2, usize::MAX));
    for (slots, rate, most) in std::iter::once((600, 0, 2 * 2 * SPACING as usize)).chain(any_length) {
        let Long { nodes, matched, directory } = long(slots, &[rate]);
        let walk = Walk { directory: &directory, oldest: Position::ZERO, from: Position::ZERO };
        let node = nodes.first().expect("one");
        let chain = Chain { node: &**node, end: node.chain.end() };
        for through in 1..=slots {
            let near = walk.start_of_walk(&chain, Position(through));
            assert!(near >= chain.end.min(Position(through)), "{near:?} of {through}");
            let beyond = matched.iter().flatten().filter(|at| (through..near.0).contains(at)).count();
            assert!(beyond <= most, "{beyond} beyond {through}");
        }
    }
}

/// A loss is reported also if the chain is long, and is cut in any of its parts.
#[test]
fn a_long_chain_that_is_cut_reports_the_loss() {
    let Long { nodes, matched, directory } = long(4_000, &[2, 3]);
    for (oldest, from) in [(500, 10), (3_900, 0), (3_999, 3_990)] {
        let chain_ends = nodes.iter().map(|node| (node, node.chain.end()));
        let Collected { runs, through } =
            collect(chain_ends, &directory, Position(oldest), Position(from), Position(4_000));
        let first = runs.first().expect("some");
        assert!(first.run.start < Position(oldest) && first.run.start >= Position(from), "{first:?}");
        let in_reach = matched.iter().flatten().filter(|at| (oldest..through.0).contains(at));
        for at in in_reach.map(|at| Position(*at)) {
            assert!(runs.iter().any(|matched| (matched.run.start..matched.run.end).contains(&at)), "{at:?}");
        }
    }
}
