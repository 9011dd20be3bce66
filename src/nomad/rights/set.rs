//! Defines a set of rights with a text form, for tests, tools, and servers that keep rights as a list.
//! What a right allows is decided in `rights`.
//!
//! Invariants: the text form of a set parses to the same set.
//!
//! Callers: hosts.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::{Capabilities, EVERY_NAMESPACE, NamespaceRight};
use crate::nomad::excerpt::Excerpt;
use crate::types::name::Namespace;

/// A set of rights: management, or a list that may be empty.
///
/// Its text is `management`, `anonymous` (the empty list), or a comma-separated list of `namespace:NAME:read-job` and
/// `node:read`. `NAME` may be `*`: such a right covers every namespace, including those that are created later.
///
/// ```
/// use event_broker::nomad::rights::{Capabilities, NamespaceRight, Rights};
///
/// let held: Rights = "namespace:prod:read-job,node:read".parse()?;
/// assert!(held.allows_node_read());
/// assert!(held.allows_namespace(&"prod".into(), NamespaceRight::ReadJob));
/// assert!(!held.allows_namespace(&"*".into(), NamespaceRight::ReadJob));
///
/// let unknown = "node:write".parse::<Rights>().unwrap_err();
/// assert_eq!(unknown.item(), "node:write");
/// # Ok::<(), event_broker::nomad::rights::ParseRightsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights(Held);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Management,
    Listed(BTreeSet<Right>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Namespace(Namespace, NamespaceRight),
    NodeRead,
}

const ITEM: &str = "management or anonymous alone, or namespace:NAME:read-job or node:read";
const NAME: &str = "a namespace's name, without colon, comma, star or space around it, or * for all";

impl Rights {
    /// Returns the set of every right.
    pub const fn management() -> Self {
        Self(Held::Management)
    }

    /// Returns the empty set.
    pub const fn anonymous() -> Self {
        Self(Held::Listed(BTreeSet::new()))
    }

    /// Adds a right in a namespace. `*` means every namespace, including those that are created later. Management stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty, or if the text form could not hold it unambiguously: it must not contain
    /// a colon, comma or star, and must not begin or end with a space.
    ///
    /// ```
    /// use event_broker::nomad::rights::{NamespaceRight, Rights};
    ///
    /// let held = Rights::anonymous().with_namespace("prod", NamespaceRight::ReadJob)?.with_node_read();
    /// assert_eq!(held.to_string(), "namespace:prod:read-job,node:read");
    /// assert!(Rights::anonymous().with_namespace("prod-*", NamespaceRight::ReadJob).is_err(), "there are no patterns");
    /// # Ok::<(), event_broker::nomad::rights::ParseRightsError>(())
    /// ```
    pub fn with_namespace(
        self,
        namespace: impl Into<Namespace>,
        right: NamespaceRight,
    ) -> Result<Self, ParseRightsError> {
        let namespace = namespace.into();
        let name = namespace.as_str();
        let is_name = !name.is_empty() && !name.contains([':', ',', '*']) && name.trim() == name;
        if name == "*" || is_name {
            Ok(self.with(Right::Namespace(namespace, right)))
        } else {
            Err(ParseRightsError { item: Excerpt::of(name), expected: NAME })
        }
    }

    /// Adds the right to read nodes. Management stays as it is.
    #[must_use]
    pub fn with_node_read(self) -> Self {
        self.with(Right::NodeRead)
    }

    fn with(mut self, right: Right) -> Self {
        if let Held::Listed(rights) = &mut self.0 {
            rights.insert(right);
        }
        self
    }
}

impl Default for Rights {
    /// Returns the empty set.
    fn default() -> Self {
        Self::anonymous()
    }
}

impl Capabilities for Rights {
    fn is_management(&self) -> bool {
        matches!(self.0, Held::Management)
    }

    fn allows_namespace(&self, namespace: &Namespace, right: NamespaceRight) -> bool {
        match &self.0 {
            Held::Management => true,
            Held::Listed(rights) => {
                rights.contains(&Right::Namespace(EVERY_NAMESPACE, right))
                    || rights.contains(&Right::Namespace(namespace.clone(), right))
            }
        }
    }

    fn allows_node_read(&self) -> bool {
        match &self.0 {
            Held::Management => true,
            Held::Listed(rights) => rights.contains(&Right::NodeRead),
        }
    }
}

impl FromStr for Rights {
    type Err = ParseRightsError;

    /// Parses the text form. Spaces around an item are skipped, and an item may be repeated.
    fn from_str(text: &str) -> Result<Self, ParseRightsError> {
        match text.trim() {
            "management" => return Ok(Self::management()),
            "anonymous" => return Ok(Self::anonymous()),
            _ => {}
        }
        text.split(',').map(str::trim).try_fold(Self::anonymous(), |rights, item| {
            let wrong = |expected| ParseRightsError { item: Excerpt::of(item), expected };
            if item == "node:read" {
                return Ok(rights.with_node_read());
            }
            let (name, right) =
                item.strip_prefix("namespace:").and_then(|rest| rest.rsplit_once(':')).ok_or_else(|| wrong(ITEM))?;
            if right != NamespaceRight::ReadJob.as_str() {
                return Err(wrong(ITEM));
            }
            rights.with_namespace(name, NamespaceRight::ReadJob).map_err(|error| wrong(error.expected))
        })
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Held::Management => f.write_str("management"),
            Held::Listed(rights) if rights.is_empty() => f.write_str("anonymous"),
            Held::Listed(rights) => {
                for (place, right) in rights.iter().enumerate() {
                    if place > 0 {
                        f.write_str(",")?;
                    }
                    match right {
                        Right::Namespace(name, right) => write!(f, "namespace:{name}:{right}")?,
                        Right::NodeRead => f.write_str("node:read")?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Text that is not a set of rights: which item is wrong, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRightsError {
    item: Excerpt,
    expected: &'static str,
}

impl ParseRightsError {
    /// Returns the item that could not be parsed, cut after 64 characters.
    pub fn item(&self) -> &str {
        self.item.as_str()
    }

    /// Returns what was expected in its place.
    pub fn expected(&self) -> &str {
        self.expected
    }
}

impl fmt::Display for ParseRightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown right {}, expected {}", self.item, self.expected)
    }
}

impl Error for ParseRightsError {}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose own rights cannot be read has failed")]

    use super::*;

    #[test]
    fn rights_read_back_as_they_were_written() {
        for text in [
            "management",
            "anonymous",
            "node:read",
            "namespace:*:read-job",
            "namespace:*:read-job,namespace:a b:read-job,namespace:read-job:read-job,node:read",
        ] {
            assert_eq!(text.parse::<Rights>().unwrap().to_string(), text);
        }
        let loose: Rights = " node:read , namespace:b:read-job,namespace:a:read-job,node:read ".parse().unwrap();
        assert_eq!(loose.to_string(), "namespace:a:read-job,namespace:b:read-job,node:read");
    }

    #[test]
    fn an_item_that_is_no_right_is_named() {
        for (text, item, expected) in [
            ("", "", ITEM),
            ("node:read,", "", ITEM),
            ("node:read,,node:read", "", ITEM),
            ("Management", "Management", ITEM),
            ("management,node:read", "management", ITEM),
            ("node:read,anonymous", "anonymous", ITEM),
            ("node:write", "node:write", ITEM),
            ("namespace:prod", "namespace:prod", ITEM),
            ("namespace:prod:submit-job", "namespace:prod:submit-job", ITEM),
            ("namespace::read-job", "namespace::read-job", NAME),
            ("namespace:a:b:read-job", "namespace:a:b:read-job", NAME),
            ("namespace:prod-*:read-job", "namespace:prod-*:read-job", NAME),
            ("namespace: a:read-job", "namespace: a:read-job", NAME),
        ] {
            let error = text.parse::<Rights>().unwrap_err();
            assert_eq!((error.item(), error.expected()), (item, expected), "{text:?}");
            assert_eq!(error.to_string(), format!("unknown right {item:?}, expected {expected}"));
        }
        for name in ["", "a,b", "a:b", "a*", "**", " a"] {
            let error = Rights::anonymous().with_namespace(name, NamespaceRight::ReadJob).unwrap_err();
            assert_eq!(error.item(), name);
        }
    }

    #[test]
    fn a_right_is_held_where_it_was_given() {
        let read = NamespaceRight::ReadJob;
        let prod = Rights::anonymous().with_namespace("prod", read).unwrap();
        let all = Rights::anonymous().with_namespace("*", read).unwrap();
        for (namespace, by_prod, by_all) in [("prod", true, true), ("later", false, true), ("*", false, true)] {
            assert_eq!(prod.allows_namespace(&namespace.into(), read), by_prod);
            assert_eq!(all.allows_namespace(&namespace.into(), read), by_all);
            assert!(Rights::management().allows_namespace(&namespace.into(), read));
            assert!(!Rights::default().allows_namespace(&namespace.into(), read));
        }
        assert!(!prod.allows_node_read() && !all.allows_node_read() && !all.is_management());
        assert!(Rights::management().allows_node_read());
        assert_eq!(Rights::management().with_node_read(), Rights::management());
    }
}
