//! How arbitrary bytes become a script, over small and dense alphabets.

use super::op::{Change, Config, EventSpec, Kind, Op, Origin, RequestSpec, Rule, Rung, StartSpec, Way};

pub const SLOTS: usize = 6;
pub const PRINCIPALS: [&str; 3] = ["anonymous", "ann", "bob"];
const TOPICS: [&str; 4] = ["A", "B", "C", ""];
const KINDS: [&str; 2] = ["x", "y"];
const NAMESPACES: [&str; 4] = ["default", "", "n1", "n2"];
const KEYS: [&str; 13] = ["k0", "k1", "k2", "", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11"];
const TERM_TOPICS: [&str; 4] = ["A", "*", "B", "C"];
const TERM_KEYS: [&str; 13] = ["k0", "*", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10", "k11"];
const POLICIES: [&str; 2] = ["p0", "p1"];
const ROLES: [&str; 2] = ["r0", "r1"];
/// Tokens that a grant may rest on beside its principal's own; one of them is another principal.
const TOKENS: [&str; 3] = ["t0", "ann", "bob"];

pub const CONFIG_BYTES: usize = 12;
pub const OP_BYTES: usize = 40;

/// Makes a script of any bytes; fewer or smaller bytes make a simpler one.
pub fn from_bytes(bytes: &[u8]) -> (Config, Vec<Op>) {
    let (config, ops) = bytes.split_at(bytes.len().min(CONFIG_BYTES));
    let config = Config::from_bytes(config);
    let ops = ops.chunks(OP_BYTES).map(|bytes| Op::from_bytes(bytes, config.guarded)).collect();
    (config, ops)
}

/// Bytes as a source of choices. When they run out, every choice is the first.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    fn number(&mut self, n: usize) -> u64 {
        self.below(n) as u64
    }

    fn signed(&mut self, lowest: i64, choices: usize) -> i64 {
        lowest + i64::try_from(self.below(choices)).unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Mostly one of the first few.
    fn key(&mut self, from: &[&'static str]) -> &'static str {
        let few = if self.one_in(4) { from.len() } else { 3 };
        self.pick(&from[..few])
    }

    fn some<T>(&mut self, n: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(n).then(|| make(self))
    }

    fn event(&mut self) -> EventSpec {
        EventSpec {
            topic: self.pick(&TOPICS),
            kind: self.pick(&KINDS),
            key: self.key(&KEYS),
            namespace: self.pick(&NAMESPACES),
            filter_keys: match self.below(6) {
                0..4 => Vec::new(),
                n => (0..n - 3).map(|_| self.key(&KEYS)).collect(),
            },
            weight: 1 + self.number(3),
        }
    }

    fn short_batch(&mut self) -> Vec<EventSpec> {
        (0..=self.below(3)).map(|_| self.event()).collect()
    }

    fn events(&mut self) -> Vec<EventSpec> {
        match self.below(32) {
            0..16 => vec![self.event()],
            16..29 => (0..2 + self.below(3)).map(|_| self.event()).collect(),
            29 | 30 => Vec::new(),
            // More than fit a word, which takes another path. Their bytes are derived from one seed byte.
            _ => {
                let mut seed = u32::try_from(self.below(256)).unwrap_or(0);
                (0..63 + self.below(6))
                    .map(|_| {
                        let bytes: Vec<u8> = (0..9)
                            .map(|_| {
                                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                                seed.to_be_bytes()[0]
                            })
                            .collect();
                        Choices(&bytes).event()
                    })
                    .collect()
            }
        }
    }

    fn terms(&mut self) -> Vec<(&'static str, &'static str)> {
        match self.below(10) {
            0 => Vec::new(),
            1..4 => vec![(self.pick(&TERM_TOPICS), self.key(&TERM_KEYS))],
            4 | 5 => (0..2 + self.below(3)).map(|_| (self.pick(&TERM_TOPICS), self.key(&TERM_KEYS))).collect(),
            6 => vec![("*", "*")],
            // More than are polled one by one.
            n => {
                let keys = TERM_KEYS.iter().filter(|key| n == 9 || **key != "*");
                let topics = &TERM_TOPICS[..=self.below(4)];
                let all: Vec<_> = keys.flat_map(|key| topics.iter().map(|topic| (*topic, *key))).collect();
                let first = self.below(all.len() - 8);
                let count = (9 + self.below(16)).min(all.len() - first);
                all[first..first + count].to_vec()
            }
        }
    }

    fn request(&mut self) -> RequestSpec {
        let start = match self.below(10) {
            0..3 => StartSpec::Oldest,
            3 => StartSpec::Index(self.signed(-10, 16)),
            4 => StartSpec::NearOldest(self.signed(-8, 12)),
            5 => StartSpec::Index(self.signed(0, 5)),
            6 => StartSpec::Exactly(self.signed(-8, 11)),
            7 | 8 => StartSpec::After(u8::try_from(self.below(24)).unwrap_or(0)),
            _ => StartSpec::Latest,
        };
        let namespaces = match self.below(8) {
            0 | 1 => vec!["*"],
            2 | 3 => Vec::new(),
            4 => vec!["n1"],
            5 => vec!["n1", "default"],
            6 => vec!["n2", "default", "n1", "n2"],
            _ => vec![self.pick(&["n1", "default", "unheard-of", "n1", "n1", ""]), self.pick(&["n2", "*"])],
        };
        let continues = self.below(2) == 1;
        let principal = self.pick(&PRINCIPALS);
        let types = match self.below(8) {
            6 => vec!["x"],
            7 => vec!["y", self.pick(&["y", "x", "unheard-of", "y", ""])],
            _ => Vec::new(),
        };
        let refuses = self.some(6, |choices| choices.number(3));
        let filler = if self.below(256) == 255 { 2100 } else { 0 };
        let mut terms = self.terms();
        if self.below(64) == 63 {
            terms.push(self.pick(&[("", "k0"), ("A", "")]));
        }
        let bell = self.one_in(4);
        RequestSpec { start, terms, filler, namespaces, types, refuses, principal, continues, bell }
    }

    fn rule(&mut self) -> Rule {
        Rule {
            allowed: !self.one_in(5),
            namespaces: match self.below(6) {
                3 => Some(vec!["default"]),
                4 => Some(vec!["n1", "default"]),
                5 => Some(vec!["n2", "n1"]),
                _ => None,
            },
            ttl: self.some(4, |choices| 10 * choices.number(6)),
            forbidden_key: self.some(3, |choices| choices.pick(&KEYS[..4])),
            checks_events: !self.one_in(3),
            token: self.some(3, |choices| choices.pick(&TOKENS)),
            policy: self.some(2, |choices| choices.pick(&POLICIES)),
            role: self.some(2, |choices| choices.pick(&ROLES)),
        }
    }

    fn change(&mut self) -> Change {
        match self.below(8) {
            0 => Change::Everyone,
            1 | 2 => Change::Token(self.pick(&PRINCIPALS)),
            3 | 4 => Change::Policy(self.pick(&POLICIES)),
            5 => Change::Role(self.pick(&ROLES)),
            6 => Change::Token(self.pick(&TOKENS)),
            7 if self.one_in(2) => Change::Role(self.pick(&ROLES)),
            _ => Change::TokenDeleted(self.pick(&["t0", "ann", "bob", "anonymous"])),
        }
    }

    fn kind(&mut self) -> Kind {
        match self.below(24) {
            20 | 21 => Kind::Thread(self.pick(&[Way::Recv, Way::Timeout, Way::Iter, Way::Frames])),
            22 => Kind::Frames,
            23 => Kind::FrameStream,
            0 | 1 => Kind::Try,
            2 => Kind::TryAll,
            3 => Kind::Timeout,
            4 => Kind::Deadline,
            5 => Kind::Block,
            6..9 => Kind::Poll,
            9 => Kind::Readable,
            10 => Kind::Async,
            11 => Kind::Iter,
            12 => Kind::Stream,
            13 => Kind::DrainAll,
            14 => Kind::DrainTake(self.below(5)),
            _ => Kind::Ring(match self.below(3) {
                0 => Rung::One,
                1 => Rung::Windows,
                _ => Rung::Part(self.below(4)),
            }),
        }
    }
}

impl Config {
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut choices = Choices(bytes);
        Self {
            // Above eight a segment of the log holds more than one batch.
            max_batches: match choices.below(10) {
                8 => 16 + choices.number(10),
                9 => 24 + choices.number(41),
                n => 1 + n as u64,
            },
            max_events: choices.some(4, |choices| 1 + choices.number(20)),
            max_bytes: choices.some(4, |choices| 1 + choices.number(30)),
            origin: match choices.below(6) {
                3 | 4 => Origin::Above(choices.number(30)),
                5 => Origin::After(choices.number(30), u32::try_from(choices.below(3)).unwrap_or(0)),
                _ => Origin::Whole,
            },
            guarded: choices.one_in(2),
            rising: choices.one_in(4),
            observed: !choices.one_in(2),
        }
    }
}

impl Op {
    /// Makes one step. A script of a guarded broker has more steps about access.
    pub fn from_bytes(bytes: &[u8], guarded: bool) -> Self {
        let mut choices = Choices(bytes);
        let choice = choices.below(128);
        let slot = choices.below(SLOTS);
        if guarded && choices.one_in(3) { choices.access(slot) } else { choices.op(choice, slot) }
    }
}

impl Choices<'_> {
    fn op(&mut self, choice: usize, slot: usize) -> Op {
        match choice {
            0..46 => {
                let step = [1, 1, 0, 2, 0, 3, 1, 1][self.below(8)];
                Op::Publish { step, events: self.events(), change: None }
            }
            46 => Op::Publish { step: self.signed(-3, 4), events: self.events(), change: None },
            47..50 => Op::Burst { batches: 1 + self.below(40), events: self.short_batch() },
            50..88 => Op::Read { slot, kind: self.kind() },
            88..92 => {
                Op::DrainAcross { slot, take: self.below(6), batches: 1 + self.below(10), events: self.short_batch() }
            }
            92..108 => Op::Subscribe { slot, request: self.request() },
            108 => Op::AccessChanged { change: self.change() },
            109 | 110 => Op::Doorbell { slot },
            111 => Op::Unsubscribe { slot },
            112 => Op::Cancel { slot },
            113 | 114 => Op::Explain { slot, event: self.event() },
            115 | 116 => {
                Op::HasInterest { topic: self.pick(&TOPICS), namespace: self.pick(&NAMESPACES), key: self.key(&KEYS) }
            }
            117 | 118 => Op::Reset { step: self.signed(-16, 24), same_epoch: self.one_in(4) },
            119 if self.one_in(4) => Op::Close,
            120 => Op::SkipTo {
                step: self.signed(-1, 5),
                count: u32::try_from(self.below(3)).unwrap_or(0),
                back: u64::from(self.one_in(8)),
            },
            121 => Op::PublishIn { back: self.number(2), step: 1, events: self.events() },
            _ => Op::Read { slot, kind: Kind::TryAll },
        }
    }

    fn access(&mut self, slot: usize) -> Op {
        match self.below(16) {
            0..4 => Op::Publish { step: 1, events: self.events(), change: Some(self.change()) },
            4..8 => {
                let principal = self.pick(&PRINCIPALS);
                Op::SetRule { principal, rule: self.rule(), announced: self.some(2, Self::change) }
            }
            8..11 => Op::AccessChanged { change: self.change() },
            11..14 => Op::Advance { millis: 5 * self.number(6), tick: self.one_in(2) },
            _ => Op::Read { slot, kind: Kind::Poll },
        }
    }
}
