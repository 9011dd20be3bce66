//! Implements the list of an event's filter keys: one in place, any other number beside the event.
//! What a filter key matches is decided in `term` and in `interest`.
//!
//! Most events have one or two filter keys, and the list is moved and freed with each event. So it takes no more than
//! one key does: a `SmallVec` of one key takes 16 bytes more.
//!
//! Invariants:
//! - a list of one key, and an empty one, take no memory of their own;
//! - a list of up to [`MAX_EXACT`] keys has no spare capacity.
//!
//! Callers: `event`.

use std::fmt;
use std::ops::Deref;

use crate::types::name::Key;

/// Up to so many keys are reallocated exactly whenever one is added. Beyond that, the capacity doubles, so that adding
/// keys one by one takes linear time.
const MAX_EXACT: usize = 16;

/// The filter keys of an event, in the order in which they were added.
#[derive(Clone)]
pub(super) enum FilterKeys {
    One([Key; 1]),
    /// Any other number, up to [`MAX_EXACT`] if they were added one by one.
    Exact(Box<[Key]>),
    #[expect(clippy::box_collection, reason = "a list in place would take more than a key")]
    Growing(Box<Vec<Key>>),
}

impl FilterKeys {
    /// Creates an empty list.
    #[inline]
    pub(super) fn new() -> Self {
        Self::Exact(Box::default())
    }

    /// Appends a key.
    #[inline]
    pub(super) fn with(self, key: Key) -> Self {
        match self {
            Self::Exact(keys) if keys.is_empty() => Self::One([key]),
            keys => keys.grown(key),
        }
    }

    #[inline(never)]
    fn grown(self, key: Key) -> Self {
        match self {
            Self::One([first]) => Self::Exact(Box::new([first, key])),
            Self::Exact(keys) => {
                let mut keys = keys.into_vec();
                if keys.len() < MAX_EXACT {
                    keys.reserve_exact(1);
                    keys.push(key);
                    Self::Exact(keys.into_boxed_slice())
                } else {
                    keys.push(key);
                    Self::Growing(Box::new(keys))
                }
            }
            Self::Growing(mut keys) => {
                keys.push(key);
                Self::Growing(keys)
            }
        }
    }

    /// Appends keys.
    pub(super) fn with_all(self, keys: impl IntoIterator<Item = Key>) -> Self {
        if self.is_empty() {
            Self::from(keys.into_iter().collect::<Vec<_>>())
        } else {
            keys.into_iter().fold(self, Self::with)
        }
    }
}

impl Deref for FilterKeys {
    type Target = [Key];

    #[inline]
    fn deref(&self) -> &[Key] {
        match self {
            Self::One(one) => one,
            Self::Exact(keys) => keys,
            Self::Growing(keys) => keys,
        }
    }
}

impl From<Vec<Key>> for FilterKeys {
    fn from(keys: Vec<Key>) -> Self {
        match <[Key; 1]>::try_from(keys) {
            Ok(one) => Self::One(one),
            Err(keys) => Self::Exact(keys.into_boxed_slice()),
        }
    }
}

impl fmt::Debug for FilterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for FilterKeys {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for FilterKeys {}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    fn keys(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Key> {
        numbers.map(|number| Key::from(number.to_string()))
    }

    /// However the keys are added, the list holds the same, takes no more room than a key, and one key is in place.
    #[test]
    fn any_number_is_stored_and_one_in_place() {
        assert_eq!(size_of::<FilterKeys>(), size_of::<Key>());
        for count in [0, 1, 2, 3, MAX_EXACT, MAX_EXACT + 1, 10 * MAX_EXACT] {
            let expected: Vec<_> = keys(0..count).collect();
            for first in [0, 1, 2, count].map(|first| first.min(count)) {
                let list = FilterKeys::from(keys(0..first).collect::<Vec<_>>());
                let all_at_once = list.clone().with_all(keys(first..count));
                for list in [keys(first..count).fold(list, FilterKeys::with), all_at_once] {
                    assert_eq!(*list, *expected);
                    assert_eq!(format!("{list:?}"), format!("{expected:?}"));
                    assert_eq!(matches!(list, FilterKeys::One(_)), count == 1);
                }
            }
        }
    }
}
