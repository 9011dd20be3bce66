//! How a seed becomes a script, over small and dense alphabets. Nothing is drawn while a script runs.

use crate::random::Random;
use crate::script::{Dispatch, Fault, PENS, SLOTS, Script, Step, Way};
use crate::support::op::{Change, Config, EventSpec, Origin, RequestSpec, Rule, StartSpec};

const PRINCIPALS: [&str; 3] = ["anonymous", "ann", "bob"];
const TOPICS: [&str; 3] = ["A", "B", "C"];
const KINDS: [&str; 2] = ["x", "y"];
const NAMESPACES: [&str; 4] = ["default", "", "n1", "n2"];
const KEYS: [&str; 12] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11"];
const POLICIES: [&str; 2] = ["p0", "p1"];
const ROLES: [&str; 2] = ["r0", "r1"];
const TOKENS: [&str; 2] = ["t0", "bob"];

impl Random {
    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.number(u64::try_from(most - least + 1).unwrap())).unwrap()
    }

    fn some<T>(&mut self, n: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(n).then(|| make(self))
    }

    /// Mostly one of the first few.
    fn key(&mut self) -> &'static str {
        let few = if self.one_in(4) { KEYS.len() } else { 3 };
        self.pick(&KEYS[..few])
    }

    fn event(&mut self) -> EventSpec {
        EventSpec {
            topic: self.pick(&TOPICS),
            kind: self.pick(&KINDS),
            key: self.key(),
            namespace: self.pick(&NAMESPACES),
            filter_keys: match self.below(6) {
                0..4 => Vec::new(),
                n => (0..n - 3).map(|_| self.key()).collect(),
            },
            weight: 1 + self.number(3),
        }
    }

    fn events(&mut self) -> Vec<EventSpec> {
        let count = match self.below(16) {
            0..9 => 1,
            9..14 => 2 + self.below(3),
            14 => 0,
            _ => 5 + self.below(8),
        };
        (0..count).map(|_| self.event()).collect()
    }

    fn step(&mut self) -> i64 {
        self.pick(&[1, 1, 0, 2, 0, 3, 1, 1])
    }

    fn terms(&mut self) -> Vec<(&'static str, &'static str)> {
        let topic = |random: &mut Self| random.pick(&["A", "A", "B", "C", "*"]);
        match self.below(10) {
            0 | 1 => Vec::new(),
            2..5 => vec![(topic(self), self.key())],
            5 => vec![(topic(self), "*")],
            6 | 7 => (0..2 + self.below(4)).map(|_| (topic(self), self.key())).collect(),
            // More than are polled one by one.
            _ => {
                let topics = &TOPICS[..=self.below(TOPICS.len())];
                let all: Vec<_> = KEYS.iter().flat_map(|key| topics.iter().map(|topic| (*topic, *key))).collect();
                let first = self.below(all.len() - 8);
                let count = (9 + self.below(16)).min(all.len() - first);
                all[first..first + count].to_vec()
            }
        }
    }

    fn request(&mut self) -> RequestSpec {
        RequestSpec {
            start: match self.below(10) {
                0..3 => StartSpec::Oldest,
                3 => StartSpec::Index(self.between(-8, 3)),
                4 => StartSpec::NearOldest(self.between(-6, 4)),
                5 => StartSpec::Index(self.between(1, 6)),
                6 => StartSpec::Exactly(self.between(-6, 1)),
                7 => StartSpec::After(u8::try_from(self.below(24)).unwrap()),
                _ => StartSpec::Latest,
            },
            terms: self.terms(),
            // Beside two namespaces or more a scope that is too wide for nodes of its own.
            filler: if self.one_in(150) { 2100 } else { 0 },
            namespaces: match self.below(8) {
                0..3 => vec!["*"],
                3 => Vec::new(),
                4 => vec!["n1"],
                5 | 6 => vec!["n1", "default"],
                _ => vec!["n2", "default", "n1"],
            },
            types: match self.below(8) {
                0 => vec!["x"],
                1 => vec!["y", self.pick(&["x", "unheard-of"])],
                _ => Vec::new(),
            },
            refuses: self.some(4, |random| random.number(3)),
            principal: self.pick(&PRINCIPALS),
            continues: !self.one_in(3),
            bell: false,
        }
    }

    fn way(&mut self, mood: &Mood) -> Way {
        match self.below(16) {
            0 => Way::Try,
            1 => Way::Deadline,
            4 | 5 => Way::Async,
            6 => Way::Stream,
            7 => Way::Window(0),
            8 => Way::Window(1 + self.below(3)),
            9 => Way::Bell,
            10 => Way::BellWindow(0),
            11 => Way::BellWindow(1 + self.below(3)),
            12 if mood.frames => Way::FrameStream,
            13 if mood.frames => Way::Frames,
            // A panic in a waker is caught there and is no outcome of a step.
            14 | 15 if !mood.faults => Way::Inline,
            _ => Way::Poll,
        }
    }

    fn rule(&mut self) -> Rule {
        Rule {
            allowed: !self.one_in(6),
            namespaces: match self.below(6) {
                0 => Some(vec!["default", "n1"]),
                1 => Some(vec!["n2", "n1"]),
                _ => None,
            },
            ttl: self.some(3, |random| 10 * random.number(8)),
            forbidden_key: self.some(3, |random| random.pick(&KEYS[..3])),
            checks_events: !self.one_in(3),
            token: self.some(3, |random| random.pick(&TOKENS)),
            policy: self.some(2, |random| random.pick(&POLICIES)),
            role: self.some(2, |random| random.pick(&ROLES)),
        }
    }

    fn change(&mut self) -> Change {
        match self.below(8) {
            0 | 1 => Change::Everyone,
            2 | 3 => Change::Token(self.pick(&PRINCIPALS)),
            4 | 5 => Change::Policy(self.pick(&POLICIES)),
            6 => Change::Role(self.pick(&ROLES)),
            _ => Change::TokenDeleted(self.pick(&["t0", "ann", "bob"])),
        }
    }

    fn config(&mut self) -> Config {
        Config {
            max_batches: match self.below(4) {
                0 => 1 + self.number(3),
                1 => 4 + self.number(5),
                2 => 9 + self.number(16),
                _ => 25 + self.number(40),
            },
            max_events: self.some(4, |random| 1 + random.number(40)),
            max_bytes: self.some(4, |random| 1 + random.number(60)),
            origin: match self.below(6) {
                0 => Origin::Above(self.number(30)),
                1 => Origin::After(self.number(30), u32::try_from(self.below(3)).unwrap()),
                _ => Origin::Whole,
            },
            rising: self.one_in(4),
            guarded: self.one_in(2),
            observed: self.one_in(2),
        }
    }
}

/// The kind of a run: the frequency of each kind of step.
struct Mood {
    guarded: bool,
    /// With a bound in bytes, cached frames may count, which the naive broker cannot know.
    frames: bool,
    faults: bool,
    /// One in this many steps steps the dispatcher, if there is one.
    dispatcher: Option<u64>,
    /// Up to this step a reader has no turn.
    stalled: [usize; SLOTS],
}

/// The script of a seed.
pub fn script(seed: u64) -> Script {
    let mut random = Random::new(seed);
    let config = random.config();
    let mut mood = Mood {
        guarded: config.guarded,
        frames: config.max_bytes.is_none(),
        faults: random.one_in(2),
        dispatcher: match random.below(6) {
            0 => Some(4),
            1 => Some(12),
            // Stuck, unless it dies.
            2 => Some(1_000),
            _ => None,
        },
        stalled: [0; SLOTS],
    };
    let mut steps: Vec<Step> = (0..=random.below(6)).map(|slot| subscribe(&mut random, &mood, slot)).collect();
    if mood.dispatcher.is_some() {
        steps.push(Step::Dispatch { what: Dispatch::Start, bomb: false });
    }
    for _ in 0..=random.below(3) {
        for _ in 0..20 + random.below(70) {
            let at = steps.len();
            steps.push(step(&mut random, &mut mood, at));
        }
        steps.push(Step::Heal);
    }
    if random.one_in(3) {
        steps.push(Step::Close);
        steps.extend((0..6).map(|_| run(&mut random)));
    }
    Script { config, steps }
}

fn subscribe(random: &mut Random, mood: &Mood, slot: usize) -> Step {
    Step::Subscribe { slot, way: random.way(mood), request: random.request() }
}

fn run(random: &mut Random) -> Step {
    Step::Run { slot: random.below(SLOTS), turns: random.pick(&[1, 1, 1, 2, 4, 30, 200]) }
}

fn step(random: &mut Random, mood: &mut Mood, at: usize) -> Step {
    if let Some(one_in) = mood.dispatcher {
        if random.one_in(one_in) {
            return Step::Dispatch { what: Dispatch::Step, bomb: mood.faults && random.one_in(6) };
        }
        if random.one_in(40) {
            let what = if random.one_in(2) { Dispatch::End } else { Dispatch::Start };
            return Step::Dispatch { what, bomb: mood.faults && random.one_in(3) };
        }
    }
    if mood.faults && random.one_in(10) {
        return fault(random);
    }
    if mood.guarded && random.one_in(5) {
        return access(random);
    }
    let slot = random.below(SLOTS);
    match random.below(100) {
        0..28 => Step::Publish {
            step: if random.one_in(30) { random.between(-3, 0) } else { random.step() },
            back: u64::from(random.one_in(40)),
            events: random.events(),
            change: None,
            bomb: mood.faults && random.one_in(8),
        },
        28..31 => {
            let most = if random.one_in(8) { 200 } else { 20 };
            Step::Burst { batches: 1 + random.below(most), event: random.event() }
        }
        31 if random.one_in(6) => Step::Large { events: 60 + random.below(1200), event: random.event() },
        31..34 => Step::Collect { pen: random.below(PENS), events: random.events() },
        34..37 => Step::Commit { pen: random.below(PENS), step: random.step() },
        37 => Step::Abandon { pen: random.below(PENS) },
        38..74 => {
            if random.one_in(20) {
                mood.stalled[slot] = at + 10 + random.below(60);
            }
            if at < mood.stalled[slot] {
                Step::Publish { step: random.step(), back: 0, events: random.events(), change: None, bomb: false }
            } else {
                Step::Run { slot, turns: random.pick(&[1, 1, 1, 2, 4, 30, 200]) }
            }
        }
        74..83 => subscribe(random, mood, slot),
        83..86 => Step::Resume { slot, way: random.way(mood) },
        86 | 87 => Step::Poke { slot },
        88 => Step::Forget { slot },
        89 => Step::Drop { slot },
        90 => Step::Cancel { slot },
        91..94 => {
            let most = random.pick(&[10, 10, 40]);
            Step::Across { slot, take: random.below(5), batches: 1 + random.below(most), event: random.event() }
        }
        94 => Step::Advance { millis: 10 * random.number(8) },
        95 => Step::Tick,
        96 if random.one_in(3) => Step::Reset { step: random.between(-10, 8), bomb: mood.faults && random.one_in(4) },
        97 => Step::Skip {
            step: random.between(-1, 4),
            count: u32::try_from(random.below(3)).unwrap(),
            bomb: mood.faults && random.one_in(4),
        },
        98 => Step::Change { change: random.change() },
        _ => Step::Run { slot, turns: 200 },
    }
}

fn access(random: &mut Random) -> Step {
    match random.below(8) {
        0..2 => {
            let (events, change) = (random.events(), Some(random.change()));
            Step::Publish { step: 1, back: 0, events, change, bomb: false }
        }
        2..5 => {
            let (principal, rule) = (random.pick(&PRINCIPALS), random.rule());
            let announced = if random.one_in(3) { None } else { Some(Change::Token(principal)) };
            Step::Rule { principal, rule, announced }
        }
        5 => Step::Change { change: random.change() },
        6 => Step::Advance { millis: 10 * random.number(8) },
        _ => Step::Tick,
    }
}

fn fault(random: &mut Random) -> Step {
    let slot = random.below(SLOTS);
    let times = 1 + u32::try_from(random.below(3)).unwrap();
    let fault = match random.below(9) {
        0..3 => Fault::Predicate { slot },
        3 | 4 => Fault::Waker { slot },
        5 => Fault::Authorize,
        6 => Fault::Permits,
        7 => random.pick(&[Fault::Changes, Fault::Weigher]),
        _ => Fault::Observer,
    };
    Step::Arm { fault, times }
}
