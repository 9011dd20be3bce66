//! Interns the topics and namespaces of all nodes: an event's name is looked up once, and not once a node.
//! What a number means in a node is decided in `subject`.
//!
//! Invariants:
//! - a name keeps its number while it is in use. Each [`Names::intern`] or [`Names::retain`] adds a use, and each
//!   [`Names::release`] removes one;
//! - a number belongs to one name at a time. A released number may be assigned to another name;
//! - the cache of recent names is emptied whenever a name gains or loses its number.
//!
//! Callers: `table` and `wide` under the broker's lock.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ahash::RandomState;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::hash_table::HashTable;

/// The names in use, with their numbers and counts.
#[derive(Debug)]
pub(super) struct Names {
    hasher: RandomState,
    by_hash: HashTable<SmallVec<[Entry; 1]>>,
    named: BTreeMap<u32, Named>,
    /// The number of the next new name, unless it is in use.
    next: u32,
    /// A cache of recently looked-up names, with what was found. Most events of a server have few topics and
    /// namespaces, and comparing a name costs less than hashing it.
    recent: RefCell<[Recent; RECENT]>,
}

#[derive(Debug)]
struct Entry {
    text: SmolStr,
    number: u32,
}

/// A name, and how many uses it has.
#[derive(Debug)]
struct Named {
    text: SmolStr,
    uses: u32,
}

/// A name that was looked up, and its number, if it had one.
type Recent = Option<(SmolStr, Option<u32>)>;

/// The number of entries in the cache. A name can be in one entry only.
const RECENT: usize = 8;

impl Names {
    /// The number of the wildcard, any name. No name has it.
    pub(super) const ANY: u32 = 0;
    /// The smallest number of a name. Smaller numbers have other meanings: see `NamespaceScope`.
    const FIRST: u32 = 2;

    /// Creates an empty collection. `phase` is that of its hash table.
    pub(super) fn new(phase: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            by_hash: HashTable::new(phase),
            named: BTreeMap::new(),
            next: Self::FIRST,
            recent: RefCell::default(),
        }
    }

    /// Returns the number of a name, and adds a use of it. Each call needs one call of [`release`](Self::release).
    pub(super) fn intern(&mut self, name: &SmolStr) -> u32 {
        let hash = self.hasher.hash_one(name.as_str());
        let alike = self.by_hash.get(hash);
        if let Some(entry) = alike.and_then(|alike| alike.iter().find(|entry| entry.text == *name)) {
            let number = entry.number;
            self.retain(number);
            return number;
        }
        while self.named.contains_key(&self.next) {
            self.next = self.next.checked_add(1).unwrap_or(Self::FIRST);
        }
        let number = self.next;
        self.next = self.next.checked_add(1).unwrap_or(Self::FIRST);
        let entry = Entry { text: name.clone(), number };
        match self.by_hash.get_mut(hash) {
            Some(alike) => alike.push(entry),
            None => self.by_hash.insert(hash, SmallVec::from_buf([entry])),
        }
        self.named.insert(number, Named { text: name.clone(), uses: 1 });
        self.recent.take();
        number
    }

    /// Does the same for several names one after another, many of which equal the one before. `last` is the name
    /// before.
    pub(super) fn intern_after<'n>(&mut self, last: &mut Option<(&'n SmolStr, u32)>, name: &'n SmolStr) -> u32 {
        if let Some((_, number)) = last.filter(|(text, _)| *text == name) {
            self.retain(number);
            return number;
        }
        let number = self.intern(name);
        *last = Some((name, number));
        number
    }

    /// Adds a use of a name that is in use. Does nothing if the number belongs to no name.
    pub(super) fn retain(&mut self, number: u32) {
        if let Some(named) = self.named.get_mut(&number) {
            named.uses += 1;
        }
    }

    /// Removes one use, as added by [`intern`](Self::intern). Does nothing if the number belongs to no name.
    pub(super) fn release(&mut self, number: u32) {
        let Some(named) = self.named.get_mut(&number) else { return };
        named.uses -= 1;
        if named.uses > 0 {
            return;
        }
        let Some(Named { text, .. }) = self.named.remove(&number) else { return };
        let hash = self.hasher.hash_one(text.as_str());
        if let Some(alike) = self.by_hash.get_mut(hash) {
            alike.retain(|entry| entry.number != number);
            if alike.is_empty() {
                self.by_hash.remove(hash);
            }
        }
        self.recent.take();
    }

    /// Returns the number of a name, if it is in use, without using the cache.
    pub(super) fn find_uncached(&self, name: &SmolStr) -> Option<u32> {
        let alike = self.by_hash.get(self.hasher.hash_one(name.as_str()))?;
        alike.iter().find(|entry| entry.text == *name).map(|entry| entry.number)
    }

    #[cfg(all(test, not(broker_loom)))]
    pub(super) fn len(&self) -> usize {
        self.named.len()
    }

    /// Returns the number of a name, if it is in use.
    #[inline]
    pub(super) fn find(&self, name: &SmolStr) -> Option<u32> {
        let mut recent = self.recent.borrow_mut();
        match recent.get_mut(recent_slot(name)) {
            Some(Some((known, found))) if same_text(known, name) => *found,
            recent => self.find_and_remember(name, recent),
        }
    }

    #[inline(never)]
    fn find_and_remember(&self, name: &SmolStr, recent: Option<&mut Recent>) -> Option<u32> {
        let found = self.find_uncached(name);
        // A long name is not cached: the cache would keep its memory, which no subscription accounts for.
        if let Some(recent) = recent.filter(|_| !name.is_heap_allocated()) {
            *recent = Some((name.clone(), found));
        }
        found
    }
}

/// Returns whether two names are equal. Most literals and shared names have the same address.
#[inline]
fn same_text(one: &str, other: &str) -> bool {
    one.len() == other.len() && (std::ptr::eq(one.as_ptr(), other.as_ptr()) || one == other)
}

/// Returns a name's entry in the cache. Few names have the same length and the same last byte.
#[inline]
fn recent_slot(name: &str) -> usize {
    (name.len() + usize::from(name.as_bytes().last().copied().unwrap_or_default())) % RECENT
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;
    use crate::types::name::Topic;

    #[test]
    fn a_name_keeps_its_number_while_it_is_in_use() {
        let mut names = Names::new(0);
        let text = SmolStr::from;
        let (job, node) = (names.intern(&text("Job")), names.intern(&text("Node")));
        assert_eq!(names.intern(&text("Job")), job);
        names.release(job);
        assert_eq!(names.find(Topic::from("Job").text()), Some(job));
        names.release(job);
        assert_eq!(names.find(Topic::from("Job").text()), None);
        assert_eq!(names.find(Topic::from("Node").text()), Some(node));
        names.release(Names::ANY);
        names.next = job;
        let allocation = names.intern(&text("Allocation"));
        assert_eq!(allocation, job, "free numbers are used again");
        names.next = job;
        assert!(![job, node].contains(&names.intern(&text("Evaluation"))), "others are not");
    }

    /// What was found is cached until the names change. There are more names than cache entries.
    #[test]
    fn a_name_is_found_while_it_is_in_use() {
        let mut names = Names::new(0);
        let text = |n: usize| SmolStr::from(format!("name {n}"));
        let found = |names: &Names| (0..4 * RECENT).map(|n| names.find(&text(n))).collect::<Vec<_>>();
        assert_eq!(found(&names), [None; 4 * RECENT]);
        let numbers: Vec<_> = (0..4 * RECENT).map(|n| names.intern(&text(n))).collect();
        for _ in 0..2 {
            assert!(found(&names).into_iter().eq(numbers.iter().copied().map(Some)));
        }
        names.release(*numbers.first().expect("many"));
        assert_eq!((names.find(&text(0)), names.find(&text(1))), (None, numbers.get(1).copied()));
        let again = names.intern(&text(0));
        assert_eq!((names.find(&text(0)), names.find(&text(1))), (Some(again), numbers.get(1).copied()));
    }
}
