//! Which kinds of term anybody subscribed to: an event looks up no other.
//! No node is known here.

use super::names::Names;
use super::node::Side;

/// The kinds of table entry: side (any, none, one), topic (exact, any), key (exact, any). A kind that has no entry is
/// not looked up.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    entries: [u32; 12],
    present: u16,
}

impl Shapes {
    // Where the four shapes of a side begin.
    const ANY: usize = 0;
    const NONE: usize = 4;
    pub(super) const ONE: usize = 8;
    /// The four shapes of the first side.
    pub(super) const SIDE: u16 = 0b1111;

    // What a shape is among the four of its side.
    pub(super) const EXACT_KEY: u32 = 1;
    pub(super) const EXACT_TOPIC: u32 = 2;
    /// The shapes with an exact topic, of every side.
    pub(super) const EXACT_TOPICS: u16 = 0b1100_1100_1100;

    /// The shape of a term with this side, whose topic is exact unless it is [`Names::ANY`].
    pub(super) fn of(side: u32, topic: u32, exact_key: bool) -> usize {
        Self::begin(side) + usize::from(topic != Names::ANY) * 2 + usize::from(exact_key)
    }

    #[inline]
    fn begin(side: u32) -> usize {
        match side {
            Side::ANY => Self::ANY,
            Side::NONE => Self::NONE,
            _ => Self::ONE,
        }
    }

    /// The shapes of a side that are present.
    #[inline]
    pub(super) fn of_side(&self, side: u32) -> u16 {
        self.present >> Self::begin(side) & Self::SIDE
    }

    pub(super) fn add(&mut self, shape: usize) {
        if let Some(entries) = self.entries.get_mut(shape) {
            *entries += 1;
            self.present |= 1 << shape;
        }
    }

    pub(super) fn remove(&mut self, shape: usize) {
        if let Some(entries) = self.entries.get_mut(shape) {
            *entries -= 1;
            if *entries == 0 {
                self.present &= !(1 << shape);
            }
        }
    }

    /// Whether none is present.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Whether any of these shapes is present.
    #[inline]
    pub(super) fn any_of(&self, mask: u16) -> bool {
        self.present & mask != 0
    }
}
