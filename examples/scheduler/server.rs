//! The server: the store, the broker, and the order in which a commit reaches them.

use std::sync::Arc;

use event_broker::{Batch, Broker, BuildError, Builder, PublishError};

use crate::acl::Acl;
use crate::model::Object;
use crate::random::Random;
use crate::store::{Commit, Store};

/// Whether all that is published is kept for the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Kept,
    None,
}

/// The only writer.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) broker: Broker<Object>,
    index: u64,
    gaps: Random,
    keeps: Log,
    log: Vec<Batch<Object>>,
}

impl Server {
    pub(crate) fn new(max_batches: u64, keeps: Log) -> Result<Self, BuildError> {
        Self::with(Broker::builder().max_batches(max_batches), keeps)
    }

    /// Creates the server with a broker of its own bounds.
    pub(crate) fn with(broker: Builder<Object>, keeps: Log) -> Result<Self, BuildError> {
        let store = Arc::new(Store::default());
        let broker = broker.authorizer(Acl::authorizer(&store)).build()?;
        Ok(Self { store, broker, index: 0, gaps: Random::new(7), keeps, log: Vec::new() })
    }

    /// Writes the initial tables, without events.
    pub(crate) fn restore(&self, fill: impl FnOnce(&mut Commit<'_>)) {
        let mut commit = self.store.begin(self.index);
        fill(&mut commit);
        commit.finish();
    }

    /// Commits under the next index, publishes under it, and returns it. The order matters: a reader finds an event's
    /// change in the state, and the authorizer finds the new rules when an event makes the broker ask it.
    pub(crate) fn commit(&mut self, fill: impl FnOnce(&mut Commit<'_>)) -> Result<u64, PublishError<Object>> {
        // The servers' log has other entries too, so indexes have gaps.
        let index = self.index + 1 + self.gaps.below(4);
        let mut commit = self.store.begin(index);
        fill(&mut commit);
        let events = commit.finish();
        self.index = index;
        if self.keeps == Log::Kept {
            self.log.push(events.clone().build(index));
        }
        self.broker.publish(index, events)?;
        Ok(index)
    }

    /// All published batches, without those that have no events.
    pub(crate) fn log(&self) -> &[Batch<Object>] {
        &self.log
    }
}
