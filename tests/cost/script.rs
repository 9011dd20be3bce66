//! Draws the operations of a script from a seed.

use super::random::Random;

/// What a broker is built with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub max_batches: usize,
    pub max_events: Option<usize>,
    /// Whether there is an authorizer.
    pub guarded: bool,
    /// Keys are drawn from so many: few are hit often.
    pub keys: usize,
}

/// The names of an event, by number. No namespace is none.
#[derive(Clone, Debug)]
pub struct EventSpec {
    pub topic: usize,
    pub key: usize,
    pub namespace: Option<usize>,
    pub filter_keys: Vec<usize>,
    /// The policy that it says has changed.
    pub changes: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub enum StartSpec {
    Oldest,
    Latest,
    /// So many indexes before the latest, or behind it if negative.
    Back(i64),
    Exactly(i64),
    /// After the token of some reader.
    After(usize),
}

/// Terms by number of topic and key; none is any.
pub type TermSpec = (Option<usize>, Option<usize>);

#[derive(Clone, Debug)]
pub struct RequestSpec {
    pub start: StartSpec,
    /// No terms are everything.
    pub terms: Vec<TermSpec>,
    /// None are all.
    pub namespaces: Vec<usize>,
    pub typed: bool,
    /// Refuses events whose key gives this remainder by three.
    pub refuses: Option<usize>,
    pub principal: usize,
    pub goes_on: bool,
}

#[derive(Clone, Debug)]
pub enum Op {
    Publish(Vec<EventSpec>),
    /// This many batches of one event each.
    Burst(usize, Vec<EventSpec>),
    Open(RequestSpec),
    Read(usize),
    /// Reads one by one until nothing is left.
    CatchUp(usize),
    Drain(usize, usize),
    Poll(usize),
    Leave(usize),
    LeaveAllBut(usize),
    Policy(usize),
    Token(usize),
    Everyone,
    Tick(u64),
    Stats(usize),
    BrokerStats,
    Subscriptions,
    TokenOf(usize),
    HandleToken(usize),
    Reset,
    Close,
}

pub const TOPICS: usize = 5;
pub const POLICIES: usize = 4;
pub const PRINCIPALS: usize = 6;

pub fn config(random: &mut Random) -> Config {
    Config {
        max_batches: random.pick(&[2, 8, 40, 300, 2_000]),
        max_events: if random.one_in(3) { Some(random.pick(&[4, 100, 1_000])) } else { None },
        guarded: random.one_in(2),
        keys: random.pick(&[4, 30, 2_000]),
    }
}

/// Some are never published in; they only enlarge the tables.
fn namespace(random: &mut Random) -> usize {
    if random.one_in(2) { random.below(4) } else { random.below(1_500) }
}

fn event(random: &mut Random, config: &Config) -> EventSpec {
    let filter_keys = if random.one_in(3) { random.below(4) } else { 0 };
    EventSpec {
        topic: random.below(TOPICS),
        key: random.below(config.keys),
        namespace: (!random.one_in(4)).then(|| namespace(random)),
        filter_keys: (0..filter_keys).map(|_| random.below(config.keys)).collect(),
        changes: random.one_in(40).then(|| random.below(POLICIES)),
    }
}

fn events(random: &mut Random, config: &Config, count: usize) -> Vec<EventSpec> {
    let one_policy = random.one_in(30).then(|| random.below(POLICIES));
    let mut events: Vec<_> = (0..count).map(|_| event(random, config)).collect();
    for event in &mut events {
        event.changes = event.changes.or(one_policy);
    }
    events
}

fn request(random: &mut Random, config: &Config) -> RequestSpec {
    // A thousand terms are rare, because they take as long as everything else.
    let terms = match random.below(40) {
        0..6 => 0,
        6..20 => 1,
        20..28 => 2 + random.below(4),
        28..34 => 9 + random.below(8),
        34..39 => 60,
        _ => 1_000,
    };
    let namespaces = match random.below(30) {
        0..8 => 0,
        8..20 => 1,
        20..26 => 2 + random.below(5),
        26..29 => 60,
        _ => 1_100,
    };
    let first = random.below(1_500);
    let term = |random: &mut Random, number: usize| {
        let key = if terms < 60 { random.below(config.keys) } else { number };
        match random.below(8) {
            0 => (Some(random.below(TOPICS)), None),
            1 => (None, Some(key)),
            _ => (Some(random.below(TOPICS)), Some(key)),
        }
    };
    let back = |random: &mut Random| i64::try_from(random.below(40)).unwrap() - 5;
    RequestSpec {
        start: match random.below(12) {
            0..5 => StartSpec::Oldest,
            5..8 => StartSpec::Latest,
            8..10 => StartSpec::Back(back(random)),
            10 => StartSpec::Exactly(back(random)),
            _ => StartSpec::After(random.below(1 << 10)),
        },
        terms: (0..terms).map(|number| term(random, number)).collect(),
        namespaces: (0..namespaces)
            .map(|place| if namespaces < 60 { namespace(random) } else { (first + place) % 1_500 })
            .collect(),
        typed: random.one_in(10),
        refuses: random.one_in(8).then(|| random.below(3)),
        principal: random.below(PRINCIPALS),
        goes_on: random.one_in(2),
    }
}

pub fn op(random: &mut Random, config: &Config) -> Op {
    // One reader reads and resumes more often than the others.
    let reader = if random.one_in(2) { 0 } else { random.below(1 << 20) };
    match random.below(100) {
        0..22 => {
            let count = if random.one_in(4) { random.below(65) } else { random.below(3) };
            Op::Publish(events(random, config, count))
        }
        22..25 => {
            let batches = random.pick(&[20, 200, 700]);
            let count = 1 + random.below(5);
            Op::Burst(batches, events(random, config, count))
        }
        25..43 => Op::Open(request(random, config)),
        43..55 => Op::Read(reader),
        55..58 => Op::CatchUp(reader),
        58..66 => Op::Drain(reader, random.pick(&[1, 7, 300])),
        66..76 => Op::Poll(reader),
        76..84 => Op::Leave(random.below(1 << 20)),
        84 => Op::LeaveAllBut(reader),
        85..87 => Op::Policy(random.below(POLICIES)),
        87..89 => Op::Token(random.below(PRINCIPALS)),
        89 => Op::Everyone,
        90..92 => Op::Tick(random.pick(&[1, 10, 60])),
        92..95 => Op::Stats(reader),
        95 => Op::Subscriptions,
        96 => Op::TokenOf(reader),
        97 => Op::HandleToken(reader),
        98 if random.one_in(3) => Op::Reset,
        99 if random.one_in(12) => Op::Close,
        _ => Op::BrokerStats,
    }
}
