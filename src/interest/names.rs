//! Names that somebody subscribed to, as numbers: an event's topic or namespace is looked at once, not once a node.
//! What a number stands for in a node is not known here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ahash::RandomState;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::hashed::Table;

/// The names in use, each with its number, and how many nodes it is used by.
#[derive(Debug)]
pub(super) struct Names {
    hasher: RandomState,
    by_hash: Table<SmallVec<[Entry; 1]>>,
    named: BTreeMap<u32, Named>,
    /// The number that the next new name has, unless it is in use.
    next: u32,
    /// Names that were looked for lately, and what was found: most events of a server have few topics and namespaces,
    /// and comparing one costs less than hashing it.
    recent: RefCell<[Recent; RECENT]>,
}

#[derive(Debug)]
struct Entry {
    text: SmolStr,
    number: u32,
}

/// What a number stands for, and how often it was entered.
#[derive(Debug)]
struct Named {
    text: SmolStr,
    uses: u32,
}

/// A name, and the number that was found of it, if any was.
type Recent = Option<(SmolStr, Option<u32>)>;

/// So many names are remembered, each at a place of its own.
const RECENT: usize = 8;

impl Names {
    /// The number of no name: any will do.
    pub(super) const ANY: u32 = 0;
    /// Smaller numbers mean something else to whoever uses them.
    const FIRST: u32 = 2;

    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            by_hash: Table::new(),
            named: BTreeMap::new(),
            next: Self::FIRST,
            recent: RefCell::default(),
        }
    }

    /// The number of a name, which is in use until the number has been taken [out](Self::exit) as often.
    pub(super) fn enter(&mut self, name: &SmolStr) -> u32 {
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

    /// The same for several names in turn, of which many are the same as the one before.
    pub(super) fn enter_after<'n>(&mut self, last: &mut Option<(&'n SmolStr, u32)>, name: &'n SmolStr) -> u32 {
        if let Some((_, number)) = last.filter(|(text, _)| *text == name) {
            self.retain(number);
            return number;
        }
        let number = self.enter(name);
        *last = Some((name, number));
        number
    }

    /// Enters a name that is in use once more. Numbers that are no name's may be given, too.
    pub(super) fn retain(&mut self, number: u32) {
        if let Some(named) = self.named.get_mut(&number) {
            named.uses += 1;
        }
    }

    /// Takes back one [`enter`](Self::enter). Numbers that are no name's may be given, too.
    pub(super) fn exit(&mut self, number: u32) {
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

    /// The number of a name, if it is in use, without remembering that it was looked for.
    pub(super) fn look(&self, name: &SmolStr) -> Option<u32> {
        let alike = self.by_hash.get(self.hasher.hash_one(name.as_str()))?;
        alike.iter().find(|entry| entry.text == *name).map(|entry| entry.number)
    }

    #[cfg(all(test, not(broker_loom)))]
    pub(super) fn len(&self) -> usize {
        self.named.len()
    }

    /// The number of a name, if it is in use.
    #[inline]
    pub(super) fn find(&self, name: &SmolStr) -> Option<u32> {
        let mut recent = self.recent.borrow_mut();
        match recent.get_mut(place(name)) {
            Some(Some((known, found))) if is(known, name) => *found,
            recent => self.look_up(name, recent),
        }
    }

    #[inline(never)]
    fn look_up(&self, name: &SmolStr, recent: Option<&mut Recent>) -> Option<u32> {
        let found = self.look(name);
        // A long name would be kept in memory here, by nobody's leave.
        if let Some(recent) = recent.filter(|_| !name.is_heap_allocated()) {
            *recent = Some((name.clone(), found));
        }
        found
    }
}

/// Whether two names are one. Literals and shared names mostly lie in one place.
#[inline]
fn is(one: &str, other: &str) -> bool {
    one.len() == other.len() && (std::ptr::eq(one.as_ptr(), other.as_ptr()) || one == other)
}

/// Where a name is remembered: few have the same length and end.
#[inline]
fn place(name: &str) -> usize {
    (name.len() + usize::from(name.as_bytes().last().copied().unwrap_or_default())) % RECENT
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;
    use crate::types::name::Topic;

    #[test]
    fn a_name_keeps_its_number_while_it_is_in_use() {
        let mut names = Names::new();
        let text = SmolStr::from;
        let (job, node) = (names.enter(&text("Job")), names.enter(&text("Node")));
        assert_eq!(names.enter(&text("Job")), job);
        names.exit(job);
        assert_eq!(names.find(Topic::from("Job").text()), Some(job));
        names.exit(job);
        assert_eq!(names.find(Topic::from("Job").text()), None);
        assert_eq!(names.find(Topic::from("Node").text()), Some(node));
        names.exit(Names::ANY);
        names.next = job;
        let allocation = names.enter(&text("Allocation"));
        assert_eq!(allocation, job, "free numbers are used again");
        names.next = job;
        assert!(![job, node].contains(&names.enter(&text("Evaluation"))), "others are not");
    }

    /// What was found is remembered until the names change, also of more names than are remembered.
    #[test]
    fn a_name_is_found_from_when_to_when_it_is_in_use() {
        let mut names = Names::new();
        let text = |n: usize| SmolStr::from(format!("name {n}"));
        let found = |names: &Names| (0..4 * RECENT).map(|n| names.find(&text(n))).collect::<Vec<_>>();
        assert_eq!(found(&names), [None; 4 * RECENT]);
        let numbers: Vec<_> = (0..4 * RECENT).map(|n| names.enter(&text(n))).collect();
        for _ in 0..2 {
            assert!(found(&names).into_iter().eq(numbers.iter().copied().map(Some)));
        }
        names.exit(*numbers.first().expect("many"));
        assert_eq!((names.find(&text(0)), names.find(&text(1))), (None, numbers.get(1).copied()));
        let again = names.enter(&text(0));
        assert_eq!((names.find(&text(0)), names.find(&text(1))), (Some(again), numbers.get(1).copied()));
    }
}
