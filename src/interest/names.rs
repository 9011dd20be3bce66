//! Names that somebody subscribed to, as numbers: an event's topic or namespace is looked at once, not once a node.
//! What a number stands for in a node is not known here.

use std::cell::RefCell;
use std::collections::HashMap;

use ahash::RandomState;
use smol_str::SmolStr;

/// The names in use, each with its number, and how many nodes it is used by.
#[derive(Debug)]
pub(super) struct Names {
    numbers: HashMap<SmolStr, (u32, u32), RandomState>,
    /// The names by number, from [`FIRST`](Self::FIRST) on.
    texts: Vec<Option<SmolStr>>,
    free: Vec<u32>,
    /// Names that were looked for lately, and what was found: most events of a server have few topics and namespaces,
    /// and comparing one costs less than hashing it.
    recent: RefCell<[Recent; RECENT]>,
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
        Self { numbers: HashMap::default(), texts: Vec::new(), free: Vec::new(), recent: RefCell::default() }
    }

    /// The number of a name, which is in use until the number has been taken [out](Self::exit) as often.
    pub(super) fn enter(&mut self, name: &str) -> u32 {
        if let Some((number, uses)) = self.numbers.get_mut(name) {
            *uses += 1;
            return *number;
        }
        let text = SmolStr::from(name);
        let number = if let Some(number) = self.free.pop() {
            number
        } else {
            self.texts.push(None);
            u32::try_from(self.texts.len() - 1).expect("fewer than 2^32 names fit any memory") + Self::FIRST
        };
        if let Some(vacant) = self.texts.get_mut(index(number)) {
            *vacant = Some(text.clone());
        }
        self.numbers.insert(text, (number, 1));
        self.recent.take();
        number
    }

    /// Takes back one [`enter`](Self::enter). Numbers that are no name's may be given, too.
    pub(super) fn exit(&mut self, number: u32) {
        let Some(text) = self.texts.get_mut(index(number)) else { return };
        let Some((_, uses)) = text.as_ref().and_then(|text| self.numbers.get_mut(text)) else { return };
        *uses -= 1;
        if *uses == 0 {
            if let Some(text) = text.take() {
                self.numbers.remove(&text);
            }
            self.free.push(number);
            self.recent.take();
        }
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
        let found = self.numbers.get(name).map(|(number, _)| *number);
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

fn index(number: u32) -> usize {
    number.checked_sub(Names::FIRST).and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX)
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;
    use crate::name::Topic;

    #[test]
    fn a_name_keeps_its_number_while_it_is_in_use() {
        let mut names = Names::new();
        let (job, node) = (names.enter("Job"), names.enter("Node"));
        assert_eq!(names.enter("Job"), job);
        names.exit(job);
        assert_eq!(names.find(Topic::from("Job").text()), Some(job));
        names.exit(job);
        assert_eq!(names.find(Topic::from("Job").text()), None);
        assert_eq!(names.find(Topic::from("Node").text()), Some(node));
        names.exit(Names::ANY);
        assert_eq!(names.enter("Allocation"), job, "free numbers are used again");
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
        assert_eq!(names.enter(&text(0)), *numbers.first().expect("many"));
        assert_eq!(names.find(&text(0)), numbers.first().copied());
    }
}
