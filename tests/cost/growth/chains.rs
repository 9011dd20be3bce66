//! The cost of reading: along chains, and over a backlog that is older than the subscription.

use event_broker::steps::{Step, take};
use event_broker::{Broker, Event, LagPolicy, Request, Start, Subscription, Term};

use super::{Growth, assert_growth, broker, event, key, keys, publish, read_all, steps_of};

/// How often each of a reader's terms matches.
#[derive(Clone, Copy, Debug)]
enum Rates {
    /// All in turn.
    Even,
    /// The first every other time, the next every fourth, and so on.
    Halving,
    /// The first alone, and every other once at the end.
    LateOthers,
    /// Every other once at the beginning, and then the first alone.
    EarlyOthers,
}

impl Rates {
    fn term(self, terms: usize, matches: usize, number: usize) -> usize {
        match self {
            Self::Even => number % terms,
            Self::Halving => (number + 1).trailing_zeros() as usize % terms,
            Self::LateOthers => (number + terms).saturating_sub(matches),
            Self::EarlyOthers => terms.saturating_sub(number + 1),
        }
    }
}

/// A reader of this many terms, which is behind by this many matches with gaps between them.
fn behind(terms: usize, matches: usize, rates: Rates) -> (Broker<()>, Subscription<()>) {
    let broker = broker(2 * matches);
    let reader = broker.subscribe(keys(0..terms)).unwrap();
    let other = [event("A", "other")];
    for number in 0..matches {
        let term = rates.term(terms, matches, number);
        publish(&broker, [event("A", &format!("k{term}"))]);
        publish(&broker, other.clone());
    }
    (broker, reader)
}

/// A reader pays for what it reads, however far behind it is: N matches cost N times a logarithm, not N².
#[test]
fn catching_up_along_few_chains_costs_what_is_read() {
    for (terms, windows) in [(1, false), (1, true), (8, false)] {
        for rates in [Rates::Even, Rates::Halving, Rates::LateOthers, Rates::EarlyOthers] {
            assert_growth(&format!("{terms} terms, {rates:?}, windows: {windows}"), Growth::NLogN, 1_000, |matches| {
                let (_broker, mut reader) = behind(terms, matches, rates);
                let ((), steps) = steps_of(|| catch_up(&mut reader, matches, windows));
                steps.all()
            });
        }
    }
}

/// Steps per match, times the logarithm of the number of matches, for any number of chains. 128 chains that match in
/// turn are the worst case: their checkpoints are adjacent, and a part ends within one.
const STEPS_A_MATCH: f64 = 2.0;
const STEPS_A_MATCH_AT_WORST: f64 = 4.0;

/// Walks that restart from the newest match each time would take twice as many at this size.
#[test]
fn catching_up_along_many_chains_costs_what_is_read() {
    const MATCHES: usize = 32_000;
    let turns = [(60, Rates::Even), (60, Rates::Halving), (1_000, Rates::Even), (1_000, Rates::LateOthers)];
    for (terms, rates) in turns.into_iter().chain([(128, Rates::Even)]) {
        let (_broker, mut reader) = behind(terms, MATCHES, rates);
        let ((), steps) = steps_of(|| catch_up(&mut reader, MATCHES, terms == 60));
        let most = if terms == 128 { STEPS_A_MATCH_AT_WORST } else { STEPS_A_MATCH };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let a_match = steps.all() as f64 / MATCHES as f64 / (MATCHES as f64).log2();
        assert!(a_match <= most, "{terms} terms, {rates:?}: {a_match} log n steps a match");
    }
}

fn catch_up(reader: &mut Subscription<()>, matches: usize, windows: bool) {
    if !windows {
        assert_eq!(read_all(reader), matches);
        return;
    }
    let mut read = 0;
    while read < matches {
        read += reader.drain().unwrap().iter().take(7).count();
    }
}

/// The first read searches logarithmically many steps for each term, and no other read takes longer.
#[test]
fn no_read_costs_more_than_a_logarithm_a_term() {
    for (terms, least, steps_a_term) in [(1, 1_000, 700), (8, 1_000, 160)] {
        for rates in [Rates::Even, Rates::Halving, Rates::LateOthers, Rates::EarlyOthers] {
            assert_growth(&format!("longest read, {terms} terms, {rates:?}"), Growth::Log, least, |matches| {
                let longest = longest_read(terms, matches, rates);
                assert!(longest <= terms as u64 * steps_a_term, "a read of {terms}, {rates:?}, took {longest} steps");
                longest
            });
        }
    }
    for rates in [Rates::Even, Rates::Halving] {
        let longest = longest_read(60, 32_000, rates);
        assert!(longest <= 60 * 120, "a read of 60 terms, {rates:?}, took {longest} steps");
    }
}

fn longest_read(terms: usize, matches: usize, rates: Rates) -> u64 {
    let (_broker, mut reader) = behind(terms, matches, rates);
    let mut longest = 0;
    take();
    while reader.try_recv().is_ok() {
        longest = longest.max(take().all());
    }
    longest
}

#[test]
fn a_predicate_over_everything_examines_each_event_once() {
    for of_all in [false, true] {
        assert_growth(&format!("a predicate, of all: {of_all}"), Growth::Linear, 500, |matches| {
            let broker = broker(2 * matches);
            let request = Request::new().filter(|event: &Event<()>| event.key() == "k0");
            let request = if of_all { request } else { request.term(Term::topic("A").unwrap()) };
            let mut reader = broker.subscribe(request.namespace("*")).unwrap();
            for _ in 0..matches {
                publish(&broker, [event("A", "k0")]);
                publish(&broker, [event("A", "k1")]);
            }
            let (read, steps) = steps_of(|| read_all(&mut reader));
            assert_eq!((read, steps.of(Step::Scan)), (matches, 2 * matches as u64));
            steps.all()
        });
    }
}

/// An event is matched in as many look-ups as it has keys, however many terms there are.
#[test]
fn many_terms_over_a_backlog_cost_what_is_in_it() {
    let published = |batches| {
        let broker = broker(batches);
        (0..batches).for_each(|_| publish(&broker, [event("A", "other").with_filter_key("another")]));
        broker
    };
    let first_read = |batches, terms| {
        let broker = published(batches);
        let mut reader = broker.subscribe(keys(0..terms)).unwrap();
        let (read, steps) = steps_of(|| reader.try_recv());
        assert!(read.is_err());
        let (_, stats) = steps_of(|| reader.stats());
        assert!(stats.of(Step::Scan) + stats.of(Step::Find) == 0, "it has read all");
        // Its own terms are looked at once, too.
        steps.of(Step::Scan) + steps.of(Step::Find)
    };
    assert_growth("terms", Growth::Flat, 256, |terms| first_read(1_000, terms));
    assert_growth("batches", Growth::Linear, 250, |batches| first_read(batches, 1_000));
    let stats = |batches, terms| {
        let broker = published(batches);
        let reader = broker.subscribe(keys(0..terms)).unwrap();
        let (_, steps) = steps_of(|| reader.stats());
        steps
    };
    // A part of the backlog, and the terms themselves, which should cost nothing.
    assert_growth("stats, batches", Growth::Flat, 500, |batches| stats(batches, 1_000).all());
    assert_growth("stats, terms", Growth::Flat, 256, |terms| {
        let steps = stats(1_000, terms);
        steps.of(Step::Scan) + steps.of(Step::Find)
    });
}

/// A reader that is overtaken repeatedly pays for itself, not for what it lost.
#[test]
fn a_loss_costs_the_same_however_much_was_lost() {
    assert_growth("a loss", Growth::Flat, 500, |lost| {
        let broker = broker(100);
        let request = Request::new().terms((0..8).map(key)).lag_policy(LagPolicy::Continue);
        let mut reader = broker.subscribe(request.start(Start::Latest)).unwrap();
        for number in 0..lost + 100 {
            publish(&broker, [event("A", &format!("k{}", number % 16))]);
        }
        let (read, steps) = steps_of(|| reader.try_recv());
        assert!(read.is_err());
        steps.all()
    });
}

/// A reader of many terms that reads from time to time pays for the terms that were hit.
#[test]
fn a_read_costs_the_terms_that_were_hit() {
    assert_growth("a look", Growth::Flat, 250, |terms| {
        let broker = broker(100);
        let mut reader = broker.subscribe(keys(0..terms)).unwrap();
        // The first read examines all of them, which opening has paid for.
        publish(&broker, [event("A", "k1")]);
        assert_eq!(read_all(&mut reader), 1);
        publish(&broker, [event("A", "k7"), event("A", "k9")]);
        let ((), steps) = steps_of(|| {
            assert!(reader.try_recv().is_ok());
            assert!(reader.try_recv().is_err());
        });
        steps.all()
    });
}
