//! Implements a sparse set of small numbers, stored and intersected in words of 64 bits.
//! What the numbers mean is decided in `wide`.
//!
//! Invariants: the words are sorted, and none is zero.
//!
//! Callers: `wide` under the broker's lock.

use smallvec::SmallVec;

use crate::steps::{Step, count};

/// A set of numbers, as the words that are not zero, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BitSet(SmallVec<[Word; 1]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// The number of the word's lowest bit, divided by 64.
    at: u32,
    bits: u64,
}

impl BitSet {
    fn find(&self, at: u32) -> Result<usize, usize> {
        count(Step::Find, 1);
        self.0.binary_search_by_key(&at, |word| word.at)
    }

    pub(super) fn insert(&mut self, number: u32) {
        let (at, bit) = (number / 64, 1 << (number % 64));
        match self.find(at) {
            Ok(index) => {
                if let Some(word) = self.0.get_mut(index) {
                    word.bits |= bit;
                }
            }
            Err(index) => {
                count(Step::Move, self.0.len() - index);
                self.0.insert(index, Word { at, bits: bit });
            }
        }
    }

    pub(super) fn remove(&mut self, number: u32) {
        let Ok(index) = self.find(number / 64) else { return };
        if let Some(word) = self.0.get_mut(index) {
            word.bits &= !(1 << (number % 64));
            if word.bits == 0 {
                count(Step::Move, self.0.len() - index);
                self.0.remove(index);
                if self.0.len() * 4 < self.0.capacity() {
                    self.0.shrink_to_fit();
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the smallest number that is not in the set.
    pub(super) fn first_absent(&self) -> u32 {
        let full = self.0.iter().zip(0..).take_while(|(word, at)| word.at == *at && word.bits == u64::MAX).count();
        count(Step::Find, full + 1);
        let in_word = self.0.get(full).filter(|word| usize::try_from(word.at) == Ok(full));
        let bit = in_word.map_or(0, |word| word.bits.trailing_ones());
        u32::try_from(full).map_or(u32::MAX, |full| full.saturating_mul(64).saturating_add(bit))
    }

    /// Calls `found` for each number that is in both sets. It takes as many steps as the smaller set has words, and
    /// each step is a binary search.
    #[inline]
    pub(super) fn for_each_common(&self, other: &Self, mut found: impl FnMut(u32)) {
        let (few, mut many) = if self.0.len() <= other.0.len() { (&self.0, &*other.0) } else { (&other.0, &*self.0) };
        for word in few {
            count(Step::Find, 1);
            let before = many.partition_point(|other| other.at < word.at);
            many = many.get(before..).unwrap_or_default();
            let Some(other) = many.first() else { return };
            let mut common = if other.at == word.at { word.bits & other.bits } else { 0 };
            while common != 0 {
                found(word.at * 64 + common.trailing_zeros());
                common &= common - 1;
            }
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn common(one: &BitSet, other: &BitSet) -> Vec<u32> {
        let mut common = Vec::new();
        one.for_each_common(other, |number| common.push(number));
        common
    }

    #[test]
    fn operations_agree_with_a_plain_set() {
        let (mut bits, mut plain) = (BitSet::default(), BTreeSet::new());
        let mut next = 1_u32;
        for step in 0..4_000 {
            next = next.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            let number = (next >> 8) % 700;
            if step % 5 < 3 {
                bits.insert(number);
                plain.insert(number);
            } else {
                bits.remove(number);
                plain.remove(&number);
            }
            assert_eq!(bits.is_empty(), plain.is_empty());
            let absent = (0..701).find(|number| !plain.contains(number));
            assert_eq!(Some(bits.first_absent()), absent);
        }
        let mut all = BitSet::default();
        (0..700).for_each(|number| all.insert(number));
        assert_eq!(all.first_absent(), 700);
        assert!(common(&bits, &all).into_iter().eq(plain.iter().copied()));
        let mut thirds = BitSet::default();
        (0..700).step_by(3).for_each(|number| thirds.insert(number));
        let both = || plain.iter().copied().filter(|number| number % 3 == 0);
        assert!(common(&bits, &thirds).into_iter().eq(both()));
        assert!(common(&thirds, &bits).into_iter().eq(both()));
        for number in &plain {
            let mut one = BitSet::default();
            one.insert(*number);
            assert_eq!((common(&one, &bits), common(&all, &one)), (vec![*number], vec![*number]));
        }
        (0..700).for_each(|number| all.remove(number));
        assert!(all.is_empty());
        assert_eq!((all, common(&bits, &BitSet::default())), (BitSet::default(), vec![]));
    }

    /// A large set that shrinks releases memory. It does so rarely, because each time all remaining words are copied.
    #[test]
    fn memory_is_released_in_few_steps() {
        let numbers = || (0..1_000).map(|word| word * 64);
        let mut bits = BitSet::default();
        numbers().for_each(|number| bits.insert(number));
        let (mut capacity, mut changes) = (bits.0.capacity(), 0);
        for number in numbers() {
            bits.remove(number);
            assert!(bits.0.capacity() <= 4 * bits.0.len().max(1), "{} of {}", bits.0.len(), bits.0.capacity());
            changes += u32::from(bits.0.capacity() != capacity);
            capacity = bits.0.capacity();
        }
        assert!(changes <= 6, "{changes}");
    }
}
