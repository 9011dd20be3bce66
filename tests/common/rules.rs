//! An authorizer whose answer the test changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use event_broker::nomad::access_changes;
use event_broker::{AccessChange, AccessRequest, Authorizer, Denial, Event, Grant};

type Decision = dyn Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync;

/// An authorizer whose answer a test can change, and which counts how often it is asked.
///
/// It derives changes of access from events as the HTTP API does.
pub(crate) struct Rules {
    decision: Mutex<Arc<Decision>>,
    asked: AtomicUsize,
}

impl Rules {
    pub(crate) fn new(
        decision: impl Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { decision: Mutex::new(Arc::new(decision)), asked: AtomicUsize::new(0) })
    }

    /// Replaces the answer.
    pub(crate) fn set(&self, decision: impl Fn(&AccessRequest<'_>) -> Result<Grant, Denial> + Send + Sync + 'static) {
        *self.decision.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(decision);
    }

    /// Denies everything from now on.
    pub(crate) fn deny(&self) {
        self.set(|_| Err(Denial::new("no longer allowed")));
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl<P> Authorizer<P> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let decision = Arc::clone(&self.decision.lock().unwrap_or_else(PoisonError::into_inner));
        decision(request)
    }

    fn changes(&self, event: &Event<P>, changes: &mut Vec<AccessChange>) {
        access_changes(event, changes);
    }
}
