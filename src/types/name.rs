//! Defines names: topics, event types, keys and namespaces.
//! What a name matches is decided in `term` and in `interest`.
//!
//! Invariants: names compare and hash as their text does, so a set of names can be searched by a `&str`.
//!
//! Callers: every layer, and users of the crate.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SmolStr);

        impl $name {
            /// Creates a name from a literal. Neither this nor a clone of it allocates.
            pub const fn from_static(name: &'static str) -> Self {
                Self(SmolStr::new_static(name))
            }

            /// Returns the name as text.
            #[inline]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// Returns whether the name is empty.
            #[inline]
            pub fn is_empty(&self) -> bool {
                self.as_str().is_empty()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::from_static("")
            }
        }

        impl From<&str> for $name {
            #[inline]
            fn from(name: &str) -> Self {
                Self(from_text(name))
            }
        }

        impl From<String> for $name {
            #[inline]
            fn from(name: String) -> Self {
                Self(from_text(&name))
            }
        }

        impl From<Arc<str>> for $name {
            #[inline]
            fn from(name: Arc<str>) -> Self {
                Self(SmolStr::from(name))
            }
        }

        impl From<&Self> for $name {
            fn from(name: &Self) -> Self {
                name.clone()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $name {}

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                // `Borrow<str>` requires that a name hashes as its text does.
                self.as_str().hash(state);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

/// Copies a text into a name.
///
/// Each length has a branch of its own, in which the compiler copies a known number of bytes through registers. With
/// one branch for all, `SmolStr::from` copies the text to the stack in small stores, and from there in large loads,
/// which must wait for the stores.
#[inline(never)]
fn from_text(text: &str) -> SmolStr {
    macro_rules! by_length {
        ($($len:literal)*) => {
            match text.len() {
                $($len => SmolStr::new_inline(text.get(..$len).unwrap_or_default()),)*
                _ => SmolStr::from(text),
            }
        };
    }
    by_length!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23)
}

name! {
    /// The subject of an event: the kind of object that changed.
    ///
    /// ```
    /// use event_broker::Topic;
    ///
    /// const JOB: Topic = Topic::from_static("Job");
    /// assert_eq!(JOB, Topic::from(String::from("Job")));
    /// ```
    Topic
}

name! {
    /// What happened to the object, as a name such as `JobRegistered`.
    EventType
}

name! {
    /// The id of an object, or a further id by which the object can be found.
    ///
    /// A publisher may send an empty key. Only the wildcard matches it.
    Key
}

name! {
    /// The scope of an event. If the object of an event has none, the event's namespace is [`Namespace::NONE`].
    ///
    /// ```
    /// use event_broker::Namespace;
    ///
    /// assert_eq!(Namespace::default(), Namespace::NONE);
    /// assert_eq!(Namespace::DEFAULT, "default");
    /// ```
    Namespace
}

impl Topic {
    /// Returns the name as the string type that holds it.
    #[inline]
    pub(crate) fn text(&self) -> &SmolStr {
        &self.0
    }
}

impl Namespace {
    /// Returns the name as the string type that holds it.
    #[inline]
    pub(crate) fn text(&self) -> &SmolStr {
        &self.0
    }

    /// No namespace. It is the empty name, and passes every namespace scope.
    pub const NONE: Self = Self::from_static("");

    /// The namespace of a request that names none.
    pub const DEFAULT: Self = Self::from_static("default");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies_of_one_text_are_one_name() {
        for text in ["Job", "a name that is too long to be stored in place"] {
            let literal = Topic::from_static(text);
            for copy in [Topic::from(text), Topic::from(text.to_owned()), Topic::from(Arc::<str>::from(text))] {
                assert_eq!(literal, copy);
                assert_eq!(literal.cmp(&copy), Ordering::Equal);
                let mut set = std::collections::HashSet::new();
                set.insert(literal.clone());
                assert!(set.contains(text));
                assert!(set.contains(&copy));
            }
        }
    }

    #[test]
    fn a_text_of_any_length_is_copied_whole() {
        let text = "ab\u{e9}0123456789\u{20ac}ABCDEFGHIJ-\u{1f980}-the rest";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let text = text.get(..end).expect("a boundary");
            assert_eq!(Key::from(text).as_str(), text);
            assert_eq!(Key::from(text.to_owned()).as_str(), text);
        }
    }

    #[test]
    fn a_name_prints_as_its_text() {
        let key = Key::from("a\"b");
        assert_eq!(key.to_string(), "a\"b");
        assert_eq!(format!("{key:?}"), "\"a\\\"b\"");
    }
}
