//! The ordinals that items of a window borrow and that no batch holds.
//! What they select is not known here.
//!
//! Invariant: ordinals that were pushed stay where they are until the list is cleared, which needs exclusive access.
//!
//! Callers: the window that holds the list, and its iterator.

use std::mem::ManuallyDrop;
use std::sync::OnceLock;

/// A list of ordinals, kept until the window is dropped or iterated anew. It is a linked list, because items that were
/// yielded borrow from it while it grows.
///
/// Dropping it takes what it holds, and there is nothing left to drop in what remains. Dropping that as well would cost
/// every window eleven instructions.
#[derive(Default)]
pub(super) struct OrdinalList(ManuallyDrop<OnceLock<Box<OrdinalNode>>>);

struct OrdinalNode {
    ordinals: Box<[u32]>,
    next: OrdinalList,
}

impl OrdinalList {
    /// Appends `ordinals` at `end`, and moves `end` after them.
    pub(super) fn push<'w>(end: &mut &'w Self, ordinals: Box<[u32]>) -> &'w [u32] {
        let node = end.0.get_or_init(|| Box::new(OrdinalNode { ordinals, next: Self::default() }));
        *end = &node.next;
        &node.ordinals
    }

    /// Drops everything in the list.
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.0.get().is_some() {
            self.clear_all();
        }
    }

    /// Drops one node after the other: dropping a long list recursively would overflow the stack.
    #[cold]
    fn clear_all(&mut self) {
        let mut next = self.0.take();
        while let Some(mut node) = next {
            next = node.next.0.take();
        }
    }
}

impl Drop for OrdinalList {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn pushed_ordinals_stay_in_place_and_a_long_list_is_dropped() {
        const MANY: u32 = 300_000;
        let mut list = OrdinalList::default();
        for _ in 0..2 {
            let mut end = &list;
            let kept: Vec<&[u32]> = (0..MANY).map(|n| OrdinalList::push(&mut end, Box::new([n, n + 1]))).collect();
            assert!(kept.iter().zip(0..).all(|(kept, n)| **kept == [n, n + 1]));
            list.clear();
            assert!(list.0.get().is_none());
        }
    }
}
