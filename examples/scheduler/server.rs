//! The server: the store, the broker, and the order in which a commit reaches them.

use std::sync::Arc;

use event_broker::{Batch, Broker, BuildError, PublishError};

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

/// The only one who commits.
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
        let store = Arc::new(Store::default());
        let broker = Broker::builder().max_batches(max_batches).authorizer(Acl::authorizer(&store)).build()?;
        Ok(Self { store, broker, index: 0, gaps: Random::new(7), keeps, log: Vec::new() })
    }

    /// Writes to the tables what stood in them before the first commit. Nobody is told.
    pub(crate) fn restore(&self, fill: impl FnOnce(&mut Commit<'_>)) {
        let mut commit = self.store.begin(self.index);
        fill(&mut commit);
        commit.finish();
    }

    /// Commits under the next index, then publishes under it, and gives it back.
    ///
    /// The order is what makes the rest right: a reader finds an event's change in the state, and the authorizer, when
    /// it is asked because of an event, the new rules.
    pub(crate) fn commit(&mut self, fill: impl FnOnce(&mut Commit<'_>)) -> Result<u64, PublishError<Object>> {
        // Other things are written to the log of the servers as well, so indexes have gaps.
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

    /// Everything that was published, commits without events included.
    pub(crate) fn log(&self) -> &[Batch<Object>] {
        &self.log
    }
}
