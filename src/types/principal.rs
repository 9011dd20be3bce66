//! Defines the principal on whose behalf a subscription reads.
//! What a principal may read is decided by the authorizer.
//!
//! Invariants: the secret appears in no `Debug` output.
//!
//! Callers: `access`, `core`, `subscription` and `nomad`, and users of the crate.

use std::fmt;
use std::sync::Arc;

/// A principal: a public id, and a secret that only the authorizer reads.
///
/// Access changes name the public id. The secret appears in no `Debug` output, log or error.
///
/// ```
/// use event_broker::Principal;
///
/// let principal = Principal::new("6f1c").with_secret("hunter2");
/// assert_eq!(principal.secret(), Some("hunter2"));
/// assert!(!format!("{principal:?}").contains("hunter2"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    id: Option<Arc<str>>,
    secret: Option<Arc<str>>,
}

impl Principal {
    /// The id by which access changes name the anonymous principal.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// Creates a principal with this public id. [`ANONYMOUS`](Self::ANONYMOUS) makes the anonymous principal.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self { id: Some(id.into()).filter(|id| &**id != Self::ANONYMOUS), secret: None }
    }

    /// Returns the anonymous principal. Its access is checked and re-checked like that of any other.
    pub const fn anonymous() -> Self {
        Self { id: None, secret: None }
    }

    /// Adds the secret that proves the identity.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<Arc<str>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Returns the public id, which is [`ANONYMOUS`](Self::ANONYMOUS) for the anonymous principal.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or(Self::ANONYMOUS)
    }

    /// Returns the secret. Only the authorizer should read it.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// Returns the public id, or `None` for the anonymous principal.
    pub(crate) fn public_id(&self) -> Option<Arc<str>> {
        self.id.clone()
    }

    /// Returns whether this is the anonymous principal.
    pub fn is_anonymous(&self) -> bool {
        self.id.is_none()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.secret.as_ref().map(|_| format_args!("…").to_string());
        f.debug_struct("Principal").field("id", &self.id()).field("secret", &secret).finish()
    }
}
