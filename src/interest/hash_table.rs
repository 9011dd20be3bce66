//! Implements a hash table that grows and shrinks in small steps: linear hashing, one shard at a time.
//! What is hashed, and how, is decided in `table` and `names`.
//!
//! A table that doubles copies all of itself in one insertion, and one that never shrinks keeps what a burst took. Here
//! an insertion splits at most one shard, and a removal merges at most two, of some hundred entries each. So every step
//! under the broker's lock is bounded, however many entries there are.
//!
//! Invariants:
//! - the shards are numbered from 0, and an entry is in the shard that [`HashTable::shard`] computes from its hash;
//! - a shard holds at most [`SPLIT_ABOVE`] entries on average, and at least [`MERGE_BELOW`] if there are several
//!   shards, both less the table's phase.
//!
//! Callers: `table` and `names` under the broker's lock.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::steps::{Step, count};

/// A hasher that returns the hash it is given.
#[derive(Debug, Default)]
pub(super) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only whole hashes are keys");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Shard<V> = HashMap<u64, V, BuildHasherDefault<Prehashed>>;

/// The table adds a shard when a shard holds more than this many entries on average. A split visits about as many.
const SPLIT_ABOVE: usize = 512;

/// The table removes a shard when a shard holds fewer than this many entries on average.
const MERGE_BELOW: usize = 192;

/// The phases of tables that grow together. They differ also as remainders of [`MERGE_BELOW`].
pub(super) const PHASES: [usize; 3] = [0, SPLIT_ABOVE / 3, 2 * SPLIT_ABOVE / 3 - 64];

/// A shard or a table is shrunk when its capacity is this many times its length.
const SHRINK_RATIO: usize = 3;

/// Values by their hash.
#[derive(Debug)]
pub(super) struct HashTable<V> {
    shards: Vec<Shard<V>>,
    /// One less than the smallest power of two that is at least the number of shards.
    mask: usize,
    len: usize,
    /// The table splits and merges as if it had this many more entries. Tables that have as many entries as each other
    /// have different phases, so that one hold of the lock does not split or merge all of them.
    phase: usize,
}

impl<V> HashTable<V> {
    /// Creates a table of a phase, one of [`PHASES`].
    pub(super) fn new(phase: usize) -> Self {
        Self { shards: vec![Shard::default()], mask: 0, len: 0, phase }
    }

    /// Returns the number of the shard of a hash. It is computed from bits that the shard itself does not use: those
    /// are the highest seven and the lowest.
    #[inline]
    fn shard(&self, hash: u64) -> usize {
        let at = usize::try_from(hash >> 24).unwrap_or_default() & self.mask;
        if at < self.shards.len() { at } else { at & (self.mask >> 1) }
    }

    #[inline]
    pub(super) fn get(&self, hash: u64) -> Option<&V> {
        count(Step::Find, 1);
        self.shards.get(self.shard(hash))?.get(&hash)
    }

    pub(super) fn get_mut(&mut self, hash: u64) -> Option<&mut V> {
        count(Step::Find, 1);
        let at = self.shard(hash);
        self.shards.get_mut(at)?.get_mut(&hash)
    }

    /// Adds a value under a hash that has none.
    pub(super) fn insert(&mut self, hash: u64, value: V) {
        let at = self.shard(hash);
        let Some(shard) = self.shards.get_mut(at) else { return };
        count(Step::Find, 1);
        if shard.len() == shard.capacity() {
            count(Step::Move, shard.len());
        }
        let before = shard.insert(hash, value);
        debug_assert!(before.is_none(), "a hash has one value");
        self.len += 1;
        if self.len + self.phase > SPLIT_ABOVE * self.shards.len() {
            self.split();
        }
    }

    pub(super) fn remove(&mut self, hash: u64) -> Option<V> {
        let at = self.shard(hash);
        let shard = self.shards.get_mut(at)?;
        count(Step::Find, 1);
        let value = shard.remove(&hash)?;
        self.len -= 1;
        shrink(shard);
        if self.shards.len() > 1 && self.len + self.phase < MERGE_BELOW * self.shards.len() {
            self.merge();
        }
        Some(value)
    }

    /// Adds a shard, and moves the entries that belong there.
    #[cold]
    fn split(&mut self) {
        let added = self.shards.len();
        self.shards.push(Shard::default());
        self.mask = self.shards.len().next_power_of_two() - 1;
        let mut shards = std::mem::take(&mut self.shards);
        let buddy = added & (self.mask >> 1);
        if let Ok([from, to]) = shards.get_disjoint_mut([buddy, added]) {
            let moves = |hash: &u64| usize::try_from(*hash >> 24).unwrap_or_default() & self.mask == added;
            count(Step::Move, from.len());
            to.extend(from.extract_if(|hash, _| moves(hash)));
            shrink(from);
        }
        self.shards = shards;
    }

    /// Removes the last shard, and moves its entries back to the shard that it was split from.
    #[cold]
    fn merge(&mut self) {
        let Some(last) = self.shards.pop() else { return };
        let buddy = self.shards.len() & (self.mask >> 1);
        self.mask = self.shards.len().next_power_of_two() - 1;
        if let Some(shard) = self.shards.get_mut(buddy) {
            count(Step::Move, last.len());
            shard.extend(last);
        }
        if self.shards.len() * SHRINK_RATIO < self.shards.capacity() {
            self.shards.shrink_to_fit();
        }
    }
}

/// Releases memory that a shard will hardly need again.
fn shrink<V>(shard: &mut Shard<V>) {
    if shard.is_empty() {
        *shard = Shard::default();
    } else if shard.len() * SHRINK_RATIO <= shard.capacity() {
        count(Step::Move, shard.len());
        shard.shrink_to(shard.len() * 5 / 4);
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// Returns a hash that is well mixed, and the same each time.
    fn hash(number: u64) -> u64 {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn entries_are_found_while_the_table_grows_and_shrinks() {
        const MANY: u64 = 20_000;
        let mut table = HashTable::new(PHASES[1]);
        for number in 0..MANY {
            table.insert(hash(number), number);
            if number % 1_000 == 0 {
                assert!((0..=number).all(|number| table.get(hash(number)) == Some(&number)), "{number}");
            }
        }
        assert!(table.shards.len() >= 20_000 / SPLIT_ABOVE, "{} shards", table.shards.len());
        let largest = table.shards.iter().map(HashMap::len).max().expect("some");
        assert!(largest <= 4 * SPLIT_ABOVE, "a step moves {largest} entries");
        for number in 0..MANY {
            assert_eq!(table.remove(hash(number)), Some(number));
            assert_eq!(table.get(hash(number)), None);
            if number % 1_000 == 999 {
                assert!(
                    (number + 1..MANY).all(|number| table.get_mut(hash(number)) == Some(&mut { number })),
                    "{number}"
                );
            }
        }
        assert_eq!((table.len, table.shards.len(), table.mask), (0, 1, 0));
        assert_eq!(table.shards.iter().map(HashMap::capacity).sum::<usize>(), 0, "nothing is kept");
    }

    #[test]
    fn one_that_stays_keeps_no_more_than_itself() {
        for stays in [0, 7_777, 19_999] {
            let mut table = HashTable::new(PHASES[1]);
            (0..20_000).for_each(|number| table.insert(hash(number), number));
            (0..20_000).filter(|number| *number != stays).for_each(|number| _ = table.remove(hash(number)));
            assert_eq!((table.get(hash(stays)), table.shards.len()), (Some(&stays), 1));
            assert!(table.shards.iter().map(HashMap::capacity).sum::<usize>() <= 64);
        }
    }
}
