//! A hash table that grows and shrinks in small steps: by linear hashing, one shard at a time.
//! What is hashed, and how, is not known here.
//!
//! A table that doubles copies all of itself in one insertion, and one that never shrinks keeps what a burst took. Here
//! an insertion splits at most one shard, and a removal merges at most two, of some hundred entries each: a bounded step
//! under the broker's lock, however many entries there are.
//!
//! Invariants:
//! - the shards are numbered from 0, and an entry lies in the shard that [`Table::shard`] computes from its hash;
//! - shards hold [`FULL`] entries on average at most, and [`SPARE`] at least if there are several.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::steps::{Step, count};

/// Passes a hash through.
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

/// So many entries a shard has on average before the table takes another one: as many are gone through to split one.
const FULL: usize = 512;

/// So few before it gives one up.
const SPARE: usize = 192;

/// A shard that could hold so many times what it holds is made smaller.
const LOOSE: usize = 3;

/// Values by their hash.
#[derive(Debug)]
pub(super) struct Table<V> {
    shards: Vec<Shard<V>>,
    /// One less than the power of two that there are at most so many shards of.
    mask: usize,
    len: usize,
}

impl<V> Table<V> {
    pub(super) fn new() -> Self {
        Self { shards: vec![Shard::default()], mask: 0, len: 0 }
    }

    /// The number of the shard of a hash. The bits that it is computed from are none that the shard itself uses: those
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
        if self.len > FULL * self.shards.len() {
            self.split();
        }
    }

    pub(super) fn remove(&mut self, hash: u64) -> Option<V> {
        let at = self.shard(hash);
        let shard = self.shards.get_mut(at)?;
        count(Step::Find, 1);
        let value = shard.remove(&hash)?;
        self.len -= 1;
        tighten(shard);
        if self.shards.len() > 1 && self.len < SPARE * self.shards.len() {
            self.merge();
        }
        Some(value)
    }

    /// Adds a shard, and moves what belongs there.
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
            tighten(from);
        }
        self.shards = shards;
    }

    /// Gives the last shard up, and moves what it holds back to the one that it was split from.
    #[cold]
    fn merge(&mut self) {
        let Some(last) = self.shards.pop() else { return };
        let buddy = self.shards.len() & (self.mask >> 1);
        self.mask = self.shards.len().next_power_of_two() - 1;
        if let Some(shard) = self.shards.get_mut(buddy) {
            count(Step::Move, last.len());
            shard.extend(last);
        }
        if self.shards.len() * LOOSE < self.shards.capacity() {
            self.shards.shrink_to_fit();
        }
    }
}

/// Gives back what a shard will hardly need again.
fn tighten<V>(shard: &mut Shard<V>) {
    if shard.is_empty() {
        *shard = Shard::default();
    } else if shard.len() * LOOSE <= shard.capacity() {
        count(Step::Move, shard.len());
        shard.shrink_to(shard.len() * 5 / 4);
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    /// Well mixed, and the same each time.
    fn hash(number: u64) -> u64 {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn entries_are_found_while_the_table_grows_and_shrinks() {
        const MANY: u64 = 20_000;
        let mut table = Table::new();
        for number in 0..MANY {
            table.insert(hash(number), number);
            if number % 1_000 == 0 {
                assert!((0..=number).all(|number| table.get(hash(number)) == Some(&number)), "{number}");
            }
        }
        assert!(table.shards.len() >= 20_000 / FULL, "{} shards", table.shards.len());
        let largest = table.shards.iter().map(HashMap::len).max().expect("some");
        assert!(largest <= 4 * FULL, "a step moves {largest} entries");
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
            let mut table = Table::new();
            (0..20_000).for_each(|number| table.insert(hash(number), number));
            (0..20_000).filter(|number| *number != stays).for_each(|number| _ = table.remove(hash(number)));
            assert_eq!((table.get(hash(stays)), table.shards.len()), (Some(&stays), 1));
            assert!(table.shards.iter().map(HashMap::capacity).sum::<usize>() <= 64);
        }
    }
}
