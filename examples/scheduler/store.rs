//! The state store: tables in memory, changed by one commit at a time, each under a higher index.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use event_broker::{Batch, BatchBuilder, EventType, Key, Namespace};

use crate::model::{Allocation, Deployment, Evaluation, Job, Node, NodePool, Object, Policy, Role, Service, Token};

/// The committed state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables {
    /// The last commit.
    pub(crate) index: u64,
    pub(crate) jobs: BTreeMap<(Namespace, Key), Job>,
    pub(crate) nodes: BTreeMap<Key, Node>,
    pub(crate) node_pools: BTreeMap<Key, NodePool>,
    pub(crate) allocations: BTreeMap<Key, Allocation>,
    pub(crate) evaluations: BTreeMap<Key, Evaluation>,
    pub(crate) deployments: BTreeMap<Key, Deployment>,
    pub(crate) services: BTreeMap<Key, Service>,
    pub(crate) tokens: BTreeMap<Key, Token>,
    pub(crate) policies: BTreeMap<Key, Policy>,
    pub(crate) roles: BTreeMap<Key, Role>,
}

impl Tables {
    pub(crate) fn apply(&mut self, change: Change) {
        fn set<K: Ord, R>(table: &mut BTreeMap<K, R>, key: K, row: R, is_there: bool) {
            if is_there {
                table.insert(key, row);
            } else {
                table.remove(&key);
            }
        }
        let Change { row, is_there } = change;
        let key = row.key().clone();
        match row {
            Object::Job(row) => set(&mut self.jobs, (row.namespace.clone(), key), *row, is_there),
            Object::Node(row) => set(&mut self.nodes, key, *row, is_there),
            Object::NodePool(row) => set(&mut self.node_pools, key, row, is_there),
            Object::Allocation(row) => set(&mut self.allocations, key, *row, is_there),
            Object::Evaluation(row) => set(&mut self.evaluations, key, *row, is_there),
            Object::Deployment(row) => set(&mut self.deployments, key, *row, is_there),
            Object::Service(row) => set(&mut self.services, key, *row, is_there),
            Object::Token(row) => set(&mut self.tokens, key, *row, is_there),
            Object::Policy(row) => set(&mut self.policies, key, row, is_there),
            Object::Role(row) => set(&mut self.roles, key, row, is_there),
        }
    }
}

/// The store. Readers never see half a commit.
#[derive(Debug, Default)]
pub(crate) struct Store {
    tables: RwLock<Tables>,
}

impl Store {
    /// The committed state, which does not change while the guard lives.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the commit of an index.
    pub(crate) const fn begin(&self, index: u64) -> Commit<'_> {
        Commit { store: self, index, changes: Vec::new(), events: Batch::builder() }
    }
}

/// A row, and whether it is there.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) row: Object,
    pub(crate) is_there: bool,
}

/// A commit in progress. Dropping it changes nothing, and there is nothing to publish.
#[derive(Debug)]
pub(crate) struct Commit<'s> {
    store: &'s Store,
    index: u64,
    changes: Vec<Change>,
    events: BatchBuilder<Object>,
}

impl Commit<'_> {
    /// Writes a row.
    pub(crate) fn put(&mut self, what: EventType, row: impl Into<Object>) {
        self.change(what, row.into(), true);
    }

    /// Writes rows, possibly none.
    pub(crate) fn put_all<R: Into<Object>>(&mut self, what: &EventType, rows: impl IntoIterator<Item = R>) {
        for row in rows {
            self.put(what.clone(), row);
        }
    }

    /// Deletes rows, possibly none.
    pub(crate) fn delete_all<R: Into<Object>>(&mut self, what: &EventType, rows: impl IntoIterator<Item = R>) {
        for row in rows {
            self.delete(what.clone(), row);
        }
    }

    /// Deletes a row; the event shows its last value.
    pub(crate) fn delete(&mut self, what: EventType, row: impl Into<Object>) {
        self.change(what, row.into(), false);
    }

    /// Adds another event to a row that this commit writes.
    pub(crate) fn note(&mut self, what: EventType, row: impl Into<Object>) {
        let mut row = row.into();
        row.stamp(self.index);
        self.events.push(row.event(what));
    }

    /// Deletes obsolete rows, without an event.
    pub(crate) fn forget(&mut self, rows: impl IntoIterator<Item = Object>) {
        self.changes.extend(rows.into_iter().map(|row| Change { row, is_there: false }));
    }

    fn change(&mut self, what: EventType, mut row: Object, is_there: bool) {
        row.stamp(self.index);
        self.changes.push(Change { row: row.clone(), is_there });
        self.events.push(row.event(what));
    }

    /// Applies the changes. The caller must publish the returned events now.
    pub(crate) fn finish(self) -> BatchBuilder<Object> {
        let mut tables = self.store.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.index = self.index;
        for change in self.changes {
            tables.apply(change);
        }
        drop(tables);
        self.events
    }
}
