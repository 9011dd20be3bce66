//! Defines the limits of a query: its length, the number of its parts and the length of its names.
//! What a query means is decided in `query`.
//!
//! Callers: `query`, and hosts that set other limits.

use super::error::QueryErrorKind;

/// The limits of a query. The defaults admit what a client may reasonably request, and bound what a hostile client can
/// make a server hold.
///
/// ```
/// use event_broker::nomad::{Limits, Query, QueryErrorKind};
///
/// let limits = Limits::new().terms(2);
/// assert!(Query::parse_with("topic=Job:web&topic=Node", &limits).is_ok());
/// let refused = Query::parse_with("topic=Job&topic=Job&topic=Job", &limits).unwrap_err();
/// assert_eq!(refused.kind(), QueryErrorKind::TooManyTerms { limit: 2 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    query_bytes: usize,
    terms: usize,
    namespaces: usize,
    name_bytes: usize,
}

impl Limits {
    /// Creates the default limits: 64 KiB for the query, 4,096 terms, 1,024 namespaces, 4 KiB for each name.
    pub const fn new() -> Self {
        Self { query_bytes: 64 * 1024, terms: 4096, namespaces: 1024, name_bytes: 4 * 1024 }
    }

    /// Sets the maximum length of the whole query, in bytes, not decoded.
    ///
    /// ```
    /// use event_broker::nomad::{Limits, Query};
    ///
    /// assert!(Query::parse_with("index=7", &Limits::new().query_bytes(6)).is_err());
    /// ```
    #[must_use]
    pub const fn query_bytes(mut self, bytes: usize) -> Self {
        self.query_bytes = bytes;
        self
    }

    /// Sets the maximum number of terms. Repeated terms count each time.
    ///
    /// ```
    /// use event_broker::nomad::{Limits, Query};
    ///
    /// assert!(Query::parse_with("topic=Job&topic=Job", &Limits::new().terms(1)).is_err());
    /// ```
    #[must_use]
    pub const fn terms(mut self, count: usize) -> Self {
        self.terms = count;
        self
    }

    /// Sets the maximum number of namespaces. Repeated namespaces count each time.
    ///
    /// ```
    /// use event_broker::nomad::{Limits, Query};
    ///
    /// assert!(Query::parse_with("namespace=a&namespace=b", &Limits::new().namespaces(1)).is_err());
    /// ```
    #[must_use]
    pub const fn namespaces(mut self, count: usize) -> Self {
        self.namespaces = count;
        self
    }

    /// Sets the maximum length of a topic, a key or a namespace, in bytes, decoded.
    ///
    /// ```
    /// use event_broker::nomad::{Limits, Query};
    ///
    /// let limits = Limits::new().name_bytes(3);
    /// assert!(Query::parse_with("topic=%4Aob:web", &limits).is_ok());
    /// assert!(Query::parse_with("topic=Job:redis", &limits).is_err());
    /// ```
    #[must_use]
    pub const fn name_bytes(mut self, bytes: usize) -> Self {
        self.name_bytes = bytes;
        self
    }

    pub(super) fn check_query(&self, query: &str) -> Result<(), QueryErrorKind> {
        let (bytes, limit) = (query.len(), self.query_bytes);
        if bytes <= limit { Ok(()) } else { Err(QueryErrorKind::QueryTooLong { bytes, limit }) }
    }

    pub(super) fn check_name(&self, name: &str) -> Result<(), QueryErrorKind> {
        let (bytes, limit) = (name.len(), self.name_bytes);
        if bytes <= limit { Ok(()) } else { Err(QueryErrorKind::NameTooLong { bytes, limit }) }
    }

    pub(super) fn check_one_more_term(&self, have: usize) -> Result<(), QueryErrorKind> {
        let limit = self.terms;
        if have < limit { Ok(()) } else { Err(QueryErrorKind::TooManyTerms { limit }) }
    }

    pub(super) fn check_one_more_namespace(&self, have: usize) -> Result<(), QueryErrorKind> {
        let limit = self.namespaces;
        if have < limit { Ok(()) } else { Err(QueryErrorKind::TooManyNamespaces { limit }) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
