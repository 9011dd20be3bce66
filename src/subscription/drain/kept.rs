//! What items of a window borrow that no batch holds.
//! What it is for is not known here.

use std::sync::OnceLock;

/// Where the ordinals of items lie that no batch holds, until the window is dropped or gone through anew: a list, because items that were
/// yielded borrow from it while it grows.
#[derive(Default)]
pub(super) struct Keep(OnceLock<Box<Kept>>);

struct Kept {
    ordinals: Box<[u32]>,
    next: Keep,
}

impl Keep {
    /// Keeps `ordinals` at the end of the list, which `end` is made to be again.
    pub(super) fn keep<'w>(end: &mut &'w Self, ordinals: Box<[u32]>) -> &'w [u32] {
        let kept = end.0.get_or_init(|| Box::new(Kept { ordinals, next: Self::default() }));
        *end = &kept.next;
        &kept.ordinals
    }

    /// Drops what is kept.
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.0.get().is_some() {
            self.clear_all();
        }
    }

    /// One after the other: a long list dropped from within itself would overflow the stack.
    #[cold]
    fn clear_all(&mut self) {
        let mut next = self.0.take();
        while let Some(mut kept) = next {
            next = kept.next.0.take();
        }
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_where_it_is_and_a_long_list_is_dropped() {
        const MANY: u32 = 300_000;
        let mut keep = Keep::default();
        for _ in 0..2 {
            let mut end = &keep;
            let kept: Vec<&[u32]> = (0..MANY).map(|n| Keep::keep(&mut end, Box::new([n, n + 1]))).collect();
            assert!(kept.iter().zip(0..).all(|(kept, n)| **kept == [n, n + 1]));
            keep.clear();
            assert!(keep.0.get().is_none());
        }
    }
}
