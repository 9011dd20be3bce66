//! Parses the query string of the HTTP API's event stream into a request.
//! Which requests are allowed is decided in `rights`. The host reads the query from its connection.
//!
//! Invariants: the text form of a query parses to the same query.
//!
//! Callers: hosts.

mod decode;
mod error;
mod limits;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::nomad::topic;
use crate::types::name::{Key, Namespace, Topic};
use crate::types::request::Request;
use crate::types::start::Start;
use crate::types::term::{InvalidRequest, Term};
use decode::decode;

pub use error::{Parameter, QueryError, QueryErrorKind};
pub use limits::Limits;

/// The characters that are escaped: all but those that need no escape anywhere in a URL, and the wildcard.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*');

/// A query of the HTTP API whose event stream [`nomad`](super) describes: `index`, and any number of `namespace` and
/// `topic`.
///
/// - Names and values of parameters are percent-decoded, `+` is a space, `&` separates parameters. Empty parameters
///   (`&&`) and one leading `?` are skipped.
/// - `index` is digits only, at most once. Absent or 0, it is [`Start::Oldest`], else [`Start::Index`].
/// - `namespace` is a name, or `*` for all of them, including those that are created later. Several are a union. None
///   means `default`.
/// - `topic` is `topic:key` or, for every key, `topic`. Either side may be `*`. Several are a union. None means
///   everything. A key with a colon is refused, as servers of that API refuse it. A [`Term`] that the program makes
///   takes any key.
/// - A `*` beside other characters, as in `Job:web-*` or `prod-*`, is refused everywhere: a query has no prefixes.
/// - Any other parameter is ignored, whatever its value holds. Its name must decode, because otherwise it might be one
///   of these.
///
/// Repeated values stay repeated and in order. The text form is a query again, and parses to the same value.
///
/// ```
/// use event_broker::nomad::{Parameter, Query, QueryErrorKind};
/// use event_broker::{Request, Start};
///
/// let query = Query::parse("?index=100&topic=Job%3Aweb&topic=Node&pretty")?;
/// assert_eq!(query.to_string(), "index=100&topic=Job:web&topic=Node:*");
///
/// let request: Request<()> = query.into_request();
/// assert_eq!(request.requested_start(), Start::Index(100));
///
/// let refused = Query::parse("topic=NodeDrain:*:*").unwrap_err();
/// assert_eq!((refused.parameter(), refused.kind()), (Parameter::Topic, QueryErrorKind::SeveralColons));
/// assert_eq!(refused.to_string(), r#"topic holds "NodeDrain:*:*", expected at most one colon, as in topic:key"#);
/// # Ok::<(), event_broker::nomad::QueryError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    index: Option<u64>,
    namespaces: Vec<Namespace>,
    terms: Vec<Term>,
}

impl Query {
    /// Parses a query within the default [`Limits`].
    ///
    /// # Errors
    ///
    /// Returns the first error in the query, from the left.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        Self::parse_with(query, &Limits::new())
    }

    /// Parses a query within these limits.
    ///
    /// # Errors
    ///
    /// Returns the first error in the query, from the left.
    pub fn parse_with(query: &str, limits: &Limits) -> Result<Self, QueryError> {
        // Checked before anything is copied. Decoded text is never longer than the text that was sent.
        limits.check_query(query).map_err(|kind| QueryError::new(Parameter::Query, query, kind))?;
        let mut parsed = Self::default();
        for pair in query.strip_prefix('?').unwrap_or(query).split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = decode(name).map_err(|kind| QueryError::new(Parameter::Name, name, kind))?;
            let (parameter, result) = match known.as_ref() {
                "index" => (Parameter::Index, parsed.parse_index(value)),
                "namespace" => (Parameter::Namespace, parsed.parse_namespace(value, limits)),
                "topic" => (Parameter::Topic, parsed.parse_topic(value, limits)),
                _ => continue,
            };
            result.map_err(|kind| QueryError::new(parameter, value, kind))?;
        }
        Ok(parsed)
    }

    fn parse_index(&mut self, value: &str) -> Result<(), QueryErrorKind> {
        if self.index.is_some() {
            return Err(QueryErrorKind::Repeated);
        }
        let digits = decode_filled(value)?;
        // `parse` also accepts a leading plus sign.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(QueryErrorKind::NotDigits);
        }
        self.index = Some(digits.parse().map_err(|_| QueryErrorKind::TooLarge)?);
        Ok(())
    }

    fn parse_namespace(&mut self, value: &str, limits: &Limits) -> Result<(), QueryErrorKind> {
        limits.check_one_more_namespace(self.namespaces.len())?;
        let name = decode_filled(value)?;
        limits.check_name(&name)?;
        check_wildcard(&name)?;
        self.namespaces.push(Namespace::from(name.as_ref()));
        Ok(())
    }

    fn parse_topic(&mut self, value: &str, limits: &Limits) -> Result<(), QueryErrorKind> {
        limits.check_one_more_term(self.terms.len())?;
        let term = decode_filled(value)?;
        let (topic, key) = match term.split_once(':') {
            None => (term.as_ref(), None),
            Some((_, key)) if key.contains(':') => return Err(QueryErrorKind::SeveralColons),
            Some((topic, key)) => (topic, Some(key)),
        };
        limits.check_name(topic)?;
        limits.check_name(key.unwrap_or_default())?;
        check_wildcard(topic)?;
        let topic = topic::ALL.iter().find(|known| *known == topic).map_or_else(|| Topic::from(topic), Topic::clone);
        let term = match key {
            None => Term::topic(topic),
            Some(key) => Term::new(topic, Key::from(key)),
        };
        let term = term.map_err(|error| match error {
            InvalidRequest::EmptyTopic { .. } => QueryErrorKind::EmptyTopic,
            _ => QueryErrorKind::EmptyKey,
        })?;
        check_wildcard(key.unwrap_or_default())?;
        self.terms.push(term);
        Ok(())
    }

    /// Returns the index as it was sent, 0 included.
    pub fn index(&self) -> Option<u64> {
        self.index
    }

    /// Returns where the stream begins: at the oldest if the index is absent or 0.
    ///
    /// ```
    /// use event_broker::{Start, nomad::Query};
    ///
    /// assert_eq!(Query::parse("index=0")?.start(), Start::Oldest);
    /// assert_eq!(Query::parse("index=1")?.start(), Start::Index(1));
    /// # Ok::<(), event_broker::nomad::QueryError>(())
    /// ```
    pub fn start(&self) -> Start {
        match self.index {
            None | Some(0) => Start::Oldest,
            Some(index) => Start::Index(index),
        }
    }

    /// Returns the namespaces, in the order of the query. None means `default`.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// Returns the terms, in the order of the query. None means everything.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Converts the query into a request. Its principal is anonymous until [`Request::principal`] sets another.
    pub fn into_request<P>(self) -> Request<P> {
        let start = self.start();
        Request::new().start(start).namespaces(self.namespaces).terms(self.terms)
    }
}

/// Decodes a value that must not be empty.
fn decode_filled(value: &str) -> Result<Cow<'_, str>, QueryErrorKind> {
    let value = decode(value)?;
    if value.is_empty() { Err(QueryErrorKind::Empty) } else { Ok(value) }
}

/// Refuses a name that looks like a pattern. The only wildcard is a `*` by itself.
fn check_wildcard(name: &str) -> Result<(), QueryErrorKind> {
    if name != "*" && name.contains('*') { Err(QueryErrorKind::PartialWildcard) } else { Ok(()) }
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(query: &str) -> Result<Self, QueryError> {
        Self::parse(query)
    }
}

impl<P> From<Query> for Request<P> {
    fn from(query: Query) -> Self {
        query.into_request()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |text| utf8_percent_encode(text, ESCAPED);
        let mut separator = "";
        if let Some(index) = self.index {
            write!(f, "index={index}")?;
            separator = "&";
        }
        for namespace in &self.namespaces {
            write!(f, "{separator}namespace={}", escaped(namespace.as_str()))?;
            separator = "&";
        }
        for term in &self.terms {
            let topic = term.topic_name().map_or("*", Topic::as_str);
            let key = term.key_name().map_or("*", Key::as_str);
            write!(f, "{separator}topic={}:{}", escaped(topic), escaped(key))?;
            separator = "&";
        }
        Ok(())
    }
}
