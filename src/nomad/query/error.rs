//! Defines the errors of a query: which parameter is wrong, what it held, what was expected.
//! How a server answers such an error is decided by the host.
//!
//! Invariants: an error holds an excerpt of the query, never more of it.
//!
//! Callers: `query`.

use std::error::Error;
use std::fmt;

use crate::nomad::excerpt::Excerpt;

/// A query that was refused: which parameter is wrong, what it held, and what was expected.
///
/// ```
/// use event_broker::nomad::{Parameter, Query, QueryErrorKind};
///
/// let error = Query::parse("index=-1").unwrap_err();
/// assert_eq!(error.parameter(), Parameter::Index);
/// assert_eq!(error.held(), "-1");
/// assert_eq!(error.kind(), QueryErrorKind::NotDigits);
/// assert_eq!(error.to_string(), r#"index holds "-1", expected digits only"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    parameter: Parameter,
    held: Excerpt,
    kind: QueryErrorKind,
}

impl QueryError {
    pub(super) fn new(parameter: Parameter, held: &str, kind: QueryErrorKind) -> Self {
        Self { parameter, held: Excerpt::of(held), kind }
    }

    /// Returns the parameter that is wrong.
    pub fn parameter(&self) -> Parameter {
        self.parameter
    }

    /// Returns the text of the parameter as it was sent, not decoded, and cut after 64 characters.
    pub fn held(&self) -> &str {
        self.held.as_str()
    }

    /// Returns what is wrong with it.
    pub fn kind(&self) -> QueryErrorKind {
        self.kind
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameter, held, kind } = self;
        write!(f, "{parameter} holds {held}, expected ")?;
        match (kind, parameter) {
            (QueryErrorKind::Empty, Parameter::Index) => f.write_str("digits"),
            (QueryErrorKind::Empty, Parameter::Topic) => f.write_str("topic or topic:key"),
            _ => fmt::Display::fmt(kind, f),
        }
    }
}

impl Error for QueryError {}

/// The part of a query that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parameter {
    /// The query string as a whole.
    Query,
    /// The name of a parameter, which could not be decoded.
    Name,
    /// `index`.
    Index,
    /// `namespace`.
    Namespace,
    /// `topic`.
    Topic,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Query => "query string",
            Self::Name => "parameter name",
            Self::Index => "index",
            Self::Namespace => "namespace",
            Self::Topic => "topic",
        })
    }
}

/// What is wrong with a query. Its text names what was expected instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryErrorKind {
    /// A percent sign is not followed by two hexadecimal digits.
    MalformedEscape,
    /// The decoded text is not UTF-8.
    NotUtf8,
    /// A parameter has no value.
    Empty,
    /// A term has no topic: `:web`.
    EmptyTopic,
    /// A term has a colon and no key: `Job:`.
    EmptyKey,
    /// A term has more than one colon.
    SeveralColons,
    /// A topic, key or namespace holds a `*` beside other characters: `web-*`. It would match only that literal name,
    /// which is hardly what the client meant.
    PartialWildcard,
    /// There is a second `index`.
    Repeated,
    /// An `index` holds something other than digits.
    NotDigits,
    /// An `index` does not fit into 64 bits.
    TooLarge,
    /// The query is too long.
    QueryTooLong {
        /// The length of the query, in bytes, not decoded.
        bytes: usize,
        /// The maximum length.
        limit: usize,
    },
    /// A topic, key or namespace is too long.
    NameTooLong {
        /// The length of the name, in bytes, decoded.
        bytes: usize,
        /// The maximum length.
        limit: usize,
    },
    /// There are more terms than allowed. Repeated terms count each time.
    TooManyTerms {
        /// The maximum number of terms.
        limit: usize,
    },
    /// There are more namespaces than allowed. Repeated namespaces count each time.
    TooManyNamespaces {
        /// The maximum number of namespaces.
        limit: usize,
    },
}

impl fmt::Display for QueryErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedEscape => f.write_str("two hexadecimal digits after every percent sign"),
            Self::NotUtf8 => f.write_str("text that is UTF-8 once decoded"),
            Self::Empty => f.write_str("a name or *"),
            Self::EmptyTopic => f.write_str("a topic or * before the colon"),
            Self::EmptyKey => f.write_str("a key or * after the colon"),
            Self::SeveralColons => f.write_str("at most one colon, as in topic:key"),
            Self::PartialWildcard => {
                f.write_str("* by itself: it stands for every name, and a prefix is not supported in a query")
            }
            Self::Repeated => f.write_str("it at most once"),
            Self::NotDigits => f.write_str("digits only"),
            Self::TooLarge => write!(f, "at most {}", u64::MAX),
            Self::QueryTooLong { bytes, limit } => write!(f, "at most {limit} bytes, not {bytes}"),
            Self::NameTooLong { bytes, limit } => write!(f, "names of at most {limit} bytes, not {bytes}"),
            Self::TooManyTerms { limit } => write!(f, "at most {limit} topics in all"),
            Self::TooManyNamespaces { limit } => write!(f, "at most {limit} namespaces in all"),
        }
    }
}
