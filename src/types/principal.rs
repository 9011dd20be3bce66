//! Who is asking.
//! What a principal may read is decided by the authorizer.

use std::fmt;
use std::sync::Arc;

/// Who is asking: a public id, and a secret that only the authorizer reads.
///
/// Access changes name the public id. The secret appears in no `Debug`, log or error.
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
    /// The id that access changes name the anonymous principal by.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// A principal by its public id.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self { id: Some(id.into()).filter(|id| &**id != Self::ANONYMOUS), secret: None }
    }

    /// Nobody in particular. Its access is checked and re-checked like anybody's.
    pub const fn anonymous() -> Self {
        Self { id: None, secret: None }
    }

    /// Adds what proves the identity.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<Arc<str>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// The public id, [`ANONYMOUS`](Self::ANONYMOUS) for the anonymous principal.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or(Self::ANONYMOUS)
    }

    /// The secret, for the authorizer's eyes.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// The public id, if it has one of its own.
    pub(crate) fn public_id(&self) -> Option<Arc<str>> {
        self.id.clone()
    }

    /// Whether this is the anonymous principal.
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
