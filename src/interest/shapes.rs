//! Which kinds of term anybody subscribed to: an event looks up no other.
//! No node is known here.

use super::names::Names;
use super::node::{Side, Subject};

/// The kinds of node: with an exact key, by topic (any, exact); without, by side (any, none, one) and topic. A kind that
/// has no node is not looked up.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    nodes: [u32; 10],
    present: u16,
}

impl Shapes {
    // Where the two kinds of a side begin, and of exact keys.
    const KEYED: usize = 0;
    const ANY: usize = 2;
    const NONE: usize = 4;
    const ONE: usize = 6;
    /// Beside its kind, every node of one namespace counts here.
    const NAMED: usize = 8;
    /// The nodes of wide scopes count here alone.
    const WIDE: usize = 9;

    /// The two kinds of one side, or of exact keys.
    const PAIR: u16 = 0b11;
    const KEYLESS: u16 = 0b1111_1100;
    const EXACT_TOPICS: u16 = 0b10_1010_1010;

    // What a kind is of its pair.
    pub(super) const ANY_TOPIC: u16 = 1;
    pub(super) const EXACT_TOPIC: u16 = 2;

    fn of(subject: &Subject) -> usize {
        let pair = if subject.key.is_some() { Self::KEYED } else { Self::begin(subject.side.number()) };
        pair + usize::from(subject.topic != Names::ANY)
    }

    #[inline]
    fn begin(side: u32) -> usize {
        match side {
            Side::ANY => Self::ANY,
            Side::NONE => Self::NONE,
            _ => Self::ONE,
        }
    }

    /// Which of the two kinds of a side there are, without an exact key.
    #[inline]
    pub(super) fn of_side(&self, side: u32) -> u16 {
        self.present >> Self::begin(side) & Self::PAIR
    }

    /// Which of the two kinds with an exact key there are.
    #[inline]
    pub(super) fn keyed(&self) -> u16 {
        self.present >> Self::KEYED & Self::PAIR
    }

    /// Whether there is anything without an exact key.
    #[inline]
    pub(super) fn has_keyless(&self) -> bool {
        self.present & Self::KEYLESS != 0
    }

    /// Whether there is anything with an exact topic, or may be.
    #[inline]
    pub(super) fn has_exact_topics(&self) -> bool {
        self.present & Self::EXACT_TOPICS != 0
    }

    /// Whether there is anything of one namespace, or of a wide scope.
    #[inline]
    pub(super) fn has_named(&self) -> bool {
        self.present & (1 << Self::NAMED | 1 << Self::WIDE) != 0
    }

    /// Whether there is anything of a wide scope.
    #[inline]
    pub(super) fn has_wide(&self) -> bool {
        self.present & 1 << Self::WIDE != 0
    }

    /// Whether there is nothing.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    pub(super) fn add(&mut self, subject: &Subject) {
        for kind in Self::kinds(subject) {
            if let Some(nodes) = self.nodes.get_mut(kind) {
                *nodes += 1;
                self.present |= 1 << kind;
            }
        }
    }

    pub(super) fn remove(&mut self, subject: &Subject) {
        for kind in Self::kinds(subject) {
            if let Some(nodes) = self.nodes.get_mut(kind) {
                *nodes -= 1;
                if *nodes == 0 {
                    self.present &= !(1 << kind);
                }
            }
        }
    }

    fn kinds(subject: &Subject) -> impl Iterator<Item = usize> {
        let (kind, named) = match subject.side {
            Side::Scope(_) => (Self::WIDE, false),
            side => (Self::of(subject), side.one().is_some()),
        };
        std::iter::once(kind).chain(named.then_some(Self::NAMED))
    }
}
