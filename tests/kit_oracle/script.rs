//! Scripts of calls as plain data, and how they are drawn.

use proptest::prelude::*;

pub const SLOTS: usize = 4;

#[derive(Clone, Debug)]
pub struct Config {
    pub batches: u64,
    pub events: Option<u64>,
    pub rising: bool,
    pub origin: Origin,
    pub guarded: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Origin {
    Whole,
    Above(u64),
    After(u64, u32),
}

#[derive(Clone, Debug)]
pub struct Spec {
    pub topic: usize,
    pub kind: usize,
    pub key: usize,
    pub namespace: usize,
    pub filter_key: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub enum StartSpec {
    Oldest,
    Latest,
    /// Relative to the latest index.
    Index(i64),
    Exactly(i64),
    /// One of the tokens seen, counted from the last.
    After(usize),
}

#[derive(Clone, Debug)]
pub struct Wish {
    pub start: StartSpec,
    pub terms: Vec<(usize, usize)>,
    pub namespaces: Vec<usize>,
    pub kind: Option<usize>,
    pub refuses: Option<u64>,
    pub continues: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub enum Rule {
    #[default]
    All,
    Only(usize),
    Nothing,
}

#[derive(Clone, Debug)]
pub enum Op {
    /// Relative to the latest index, in the epoch of so many resets ago.
    Publish {
        step: i64,
        back: u64,
        events: Vec<Spec>,
    },
    Subscribe {
        slot: usize,
        wish: Wish,
    },
    Read {
        slot: usize,
    },
    ReadAll {
        slot: usize,
    },
    SetRule {
        slot: usize,
        rule: Rule,
        announced: bool,
    },
    Cancel {
        slot: usize,
    },
    Reset {
        step: i64,
    },
    SkipTo {
        step: i64,
        count: u32,
        back: u64,
    },
    Close,
}

pub fn specs() -> impl Strategy<Value = Spec> {
    let filter_key = prop::option::weighted(0.3, 0..4_usize);
    (0..2_usize, 0..2_usize, 0..4_usize, 0..4_usize, filter_key)
        .prop_map(|(topic, kind, key, namespace, filter_key)| Spec { topic, kind, key, namespace, filter_key })
}

pub fn wishes() -> impl Strategy<Value = Wish> {
    let start = prop_oneof![
        2 => Just(StartSpec::Oldest),
        1 => Just(StartSpec::Latest),
        3 => (-9..4_i64).prop_map(StartSpec::Index),
        2 => (-7..3_i64).prop_map(StartSpec::Exactly),
        4 => (0..12_usize).prop_map(StartSpec::After),
    ];
    let terms = prop::collection::vec((0..3_usize, 0..5_usize), 0..3);
    // 3 is `*`, and 4 is no name.
    let namespaces = prop::collection::vec(prop_oneof![20 => 0..4_usize, 1 => Just(4)], 0..3);
    let (kind, refuses) = (prop::option::weighted(0.2, 0..2_usize), prop::option::weighted(0.2, 0..3_u64));
    (start, terms, namespaces, kind, refuses, any::<bool>()).prop_map(
        |(start, terms, namespaces, kind, refuses, continues)| Wish {
            start,
            terms,
            namespaces,
            kind,
            refuses,
            continues,
        },
    )
}

pub fn ops() -> impl Strategy<Value = Op> {
    let slot = 0..SLOTS;
    let steps = prop_oneof![4 => 0..3_i64, 1 => -2..5_i64];
    let back = prop_oneof![12 => Just(0_u64), 1 => 1..3_u64];
    let rule = prop_oneof![Just(Rule::All), (0..3_usize).prop_map(Rule::Only), Just(Rule::Nothing)];
    let events = prop::collection::vec(specs(), 0..4);
    prop_oneof![
        40 => (steps, back.clone(), events).prop_map(|(step, back, events)| Op::Publish { step, back, events }),
        15 => (slot.clone(), wishes()).prop_map(|(slot, wish)| Op::Subscribe { slot, wish }),
        20 => slot.clone().prop_map(|slot| Op::Read { slot }),
        8 => slot.clone().prop_map(|slot| Op::ReadAll { slot }),
        4 => (slot.clone(), rule, prop::bool::weighted(0.8))
            .prop_map(|(slot, rule, announced)| Op::SetRule { slot, rule, announced }),
        1 => slot.prop_map(|slot| Op::Cancel { slot }),
        2 => (-3..4_i64).prop_map(|step| Op::Reset { step }),
        3 => (-2..5_i64, 0..3_u32, back).prop_map(|(step, count, back)| Op::SkipTo { step, count, back }),
        1 => Just(Op::Close),
    ]
}

pub fn configs() -> impl Strategy<Value = Config> {
    let origin = prop_oneof![
        3 => Just(Origin::Whole),
        1 => prop_oneof![Just(0), 1..9_u64, Just(u64::MAX - 3)].prop_map(Origin::Above),
        1 => (0..9_u64, prop_oneof![0..3_u32, u32::MAX - 2..=u32::MAX]).prop_map(|(index, count)| {
            Origin::After(index, count)
        }),
    ];
    let events = prop::option::of(1..8_u64);
    (1..8_u64, events, prop::bool::weighted(0.2), origin, any::<bool>())
        .prop_map(|(batches, events, rising, origin, guarded)| Config { batches, events, rising, origin, guarded })
}
