//! Attaching a recorder of the test kit to a broker, and detaching it.
//! What a tap does with the batches is decided in `tap`.
//!
//! Invariant: the last reference of a tap is dropped without the lock, as it drops payloads.
//!
//! Callers: `testing`, without a lock.

use std::sync::Arc;

use super::state::{Core, Record};
use super::tap::Tap;

impl<P> Core<P> {
    /// Gives this tap all that is buffered, and all that will be published. A tap that has it already gets nothing twice.
    pub(crate) fn attach(&self, tap: &Arc<Tap<Record<P>>>) {
        let mut state = self.state.lock_priority();
        if state.taps.iter().any(|other| Arc::ptr_eq(other, tap)) {
            return;
        }
        let mut position = state.appender.oldest();
        while position < state.appender.end() {
            if let Some(record) = state.appender.get(position) {
                tap.push(record);
            }
            position = position.next();
        }
        state.taps.push(Arc::clone(tap));
    }

    /// Gives this tap nothing more.
    pub(crate) fn detach(&self, tap: &Arc<Tap<Record<P>>>) {
        let mut state = self.state.lock_priority();
        let removed: Vec<_> = state.taps.extract_if(.., |other| Arc::ptr_eq(other, tap)).collect();
        drop(state);
        drop(removed);
    }
}
