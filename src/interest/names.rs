//! Names that somebody subscribed to, as numbers: an event's topic or namespace is looked at once, not once a node.
//! What a number stands for in a node is not known here.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::name::Text;

/// The names in use, each with its number, and how many nodes it is used by.
#[derive(Debug)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, (u32, u32), RandomState>,
    /// The names by number, from [`FIRST`](Self::FIRST) on.
    texts: Vec<Option<Arc<str>>>,
    free: Vec<u32>,
    /// The literal that was looked for last, and what was found. Most events of a server have few topics and
    /// namespaces, and those are literals: that two are the same is seen by their address.
    last: Cell<(&'static str, Option<u32>)>,
}

impl Names {
    /// The number of no name: any will do.
    pub(super) const ANY: u32 = 0;
    /// Smaller numbers mean something else to whoever uses them.
    const FIRST: u32 = 2;

    pub(super) fn new() -> Self {
        Self { numbers: HashMap::default(), texts: Vec::new(), free: Vec::new(), last: Cell::new(("", None)) }
    }

    /// The number of a name, which is in use until the number has been taken [out](Self::exit) as often.
    pub(super) fn enter(&mut self, name: &str) -> u32 {
        if let Some((number, uses)) = self.numbers.get_mut(name) {
            *uses += 1;
            return *number;
        }
        let text = Arc::<str>::from(name);
        let number = if let Some(number) = self.free.pop() {
            number
        } else {
            self.texts.push(None);
            u32::try_from(self.texts.len() - 1).expect("fewer than 2^32 names fit any memory") + Self::FIRST
        };
        if let Some(vacant) = self.texts.get_mut(index(number)) {
            *vacant = Some(Arc::clone(&text));
        }
        self.numbers.insert(text, (number, 1));
        self.last.set(("", None));
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
            self.last.set(("", None));
        }
    }

    /// The number of a name, if it is in use.
    #[inline]
    pub(super) fn find(&self, name: &Text) -> Option<u32> {
        let find = |name: &str| self.numbers.get(name).map(|(number, _)| *number);
        match name {
            Text::Static(name) => {
                let (last, found) = self.last.get();
                if std::ptr::eq(last, *name) {
                    return found;
                }
                let found = find(name);
                self.last.set((name, found));
                found
            }
            Text::Shared(name) => find(name),
        }
    }
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

    /// What was found of a literal is forgotten with every change of the names.
    #[test]
    fn a_literal_is_found_from_when_to_when_it_is_in_use() {
        let mut names = Names::new();
        let job = Topic::from_static("Job");
        assert_eq!(names.find(job.text()), None);
        let number = names.enter("Job");
        assert_eq!(names.find(job.text()), Some(number));
        assert_eq!(names.find(Topic::from_static("Node").text()), None);
        names.exit(number);
        assert_eq!(names.find(job.text()), None);
    }
}
