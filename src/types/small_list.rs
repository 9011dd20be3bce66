//! Implements a list that never grows and usually has one element: that one in place, any other number in a box.
//! What the list is for is decided by its users.
//!
//! Invariants: a list of one element takes no memory of its own.
//!
//! Callers: `types::term`, `wait`, `interest` and `core`.

use std::ops::Deref;

/// One element in place, or any other number of them in a box. It takes two words if an element fits beside a null
/// pointer.
#[derive(Clone, Debug)]
pub(crate) enum SmallList<T> {
    One([T; 1]),
    Other(Box<[T]>),
}

impl<T> Deref for SmallList<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => one,
            Self::Other(other) => other,
        }
    }
}

impl<T: PartialEq> PartialEq for SmallList<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for SmallList<T> {}

impl<T> From<Vec<T>> for SmallList<T> {
    fn from(all: Vec<T>) -> Self {
        match <[T; 1]>::try_from(all) {
            Ok(one) => Self::One(one),
            Err(other) => Self::Other(other.into_boxed_slice()),
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_stored_and_one_in_place() {
        for count in [0, 1, 2, 100_u32] {
            let few = SmallList::from((0..count).collect::<Vec<_>>());
            assert!(few.iter().copied().eq(0..count));
            assert_eq!(matches!(few, SmallList::One(_)), count == 1);
        }
        assert_eq!(size_of::<SmallList<Box<u8>>>(), 2 * size_of::<usize>());
    }
}
