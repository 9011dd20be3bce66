//! The state store of the example `scheduler` under the suite for stores.
#![cfg(all(feature = "json", feature = "stream", feature = "testing", not(broker_loom)))]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::significant_drop_tightening, reason = "the only writer holds its lock until it has published")]
#![allow(dead_code, reason = "the example has more than its store")]

#[path = "../examples/scheduler/acl.rs"]
mod acl;
#[path = "../examples/scheduler/cluster.rs"]
mod cluster;
#[path = "../examples/scheduler/model.rs"]
mod model;
#[path = "../examples/scheduler/random.rs"]
mod random;
#[path = "../examples/scheduler/server.rs"]
mod server;
#[path = "../examples/scheduler/store.rs"]
mod store;
#[path = "../examples/scheduler/workload.rs"]
mod workload;

use std::sync::{Arc, Mutex, PoisonError};

use event_broker::nomad::event_type as happened;
use event_broker::testing::Random;
use event_broker::testing::suite::{Object, Outcome, TestedStore};
use event_broker::{Broker, Builder, Event, Principal};

use model::Object as Row;
use server::{Log, Server};
use store::{Change, Store, Tables};
use workload::Scheduler;

/// A commit changes one row after another, and what is deleted is published under one of these types.
const DELETED: [event_broker::EventType; 7] = [
    happened::NODE_DEREGISTRATION,
    happened::NODE_POOL_DELETED,
    happened::JOB_BATCH_DEREGISTERED,
    happened::SERVICE_DEREGISTRATION,
    happened::ACL_TOKEN_DELETED,
    happened::ACL_POLICY_DELETED,
    happened::ACL_ROLE_DELETED,
];

/// The server with its scheduler, which decides what is committed; and the state, which others read meanwhile.
struct Scheduled {
    writer: Mutex<(Server, Scheduler)>,
    store: Arc<Store>,
    broker: Broker<Row>,
    reader: Principal,
}

impl TestedStore for Scheduled {
    type Payload = Row;
    type State = Tables;
    /// The seed of a step.
    type Command = u64;

    fn make(broker: Builder<Row>) -> Self {
        let mut server = Server::with(broker, Log::Kept).unwrap();
        let (token, reader) = acl::token("suite", "management", &[], &[]);
        server.commit(|commit| commit.put(happened::ACL_TOKEN_UPSERTED, token)).unwrap();
        let mut scheduler = Scheduler::new();
        for _ in 0..60 {
            scheduler.step(&mut server).unwrap();
        }
        let (store, broker) = (Arc::clone(&server.store), server.broker.clone());
        Self { writer: Mutex::new((server, scheduler)), store, broker, reader }
    }

    fn broker(&self) -> Broker<Row> {
        self.broker.clone()
    }

    fn draw(&self, random: &mut Random) -> u64 {
        // A seed that is drawn twice would make two rows of one id, perhaps in two namespaces.
        random.number(1 << 32)
    }

    fn commit(&self, seed: &u64) -> Outcome {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (server, scheduler) = &mut *writer;
        scheduler.random = random::Random::new(*seed);
        let index = scheduler.step(server).unwrap();
        let published = server.log().last().is_some_and(|batch| !batch.events().is_empty());
        // Entries of the log without events, some of which forget obsolete rows.
        if published { Outcome::Committed(index) } else { Outcome::Silent(index) }
    }

    fn state(&self) -> (u64, Tables) {
        let tables = self.store.read().clone();
        (tables.index, Tables { index: 0, ..tables })
    }

    fn apply(tables: &mut Tables, event: &Event<Row>) {
        let is_there = !DELETED.contains(event.event_type());
        tables.apply(Change { row: event.payload().clone(), is_there });
    }

    fn roll_back(&self, _: &u64) -> Outcome {
        let mut commit = self.store.begin(self.store.read().index + 1);
        commit.put(happened::ACL_POLICY_UPSERTED, acl::policy("never", "node:read"));
        drop(commit);
        Outcome::Refused
    }

    fn objects(tables: &Tables) -> Vec<Object> {
        rows(tables).iter().map(object).collect()
    }

    fn principal(&self) -> Principal {
        self.reader.clone()
    }
}

fn rows(tables: &Tables) -> Vec<Row> {
    let jobs = tables.jobs.values().cloned().map(Row::from);
    let nodes = tables.nodes.values().cloned().map(Row::from);
    let pools = tables.node_pools.values().cloned().map(Row::from);
    let allocations = tables.allocations.values().cloned().map(Row::from);
    let evaluations = tables.evaluations.values().cloned().map(Row::from);
    let deployments = tables.deployments.values().cloned().map(Row::from);
    let services = tables.services.values().cloned().map(Row::from);
    let rules = tables.policies.values().cloned().map(Row::from).chain(tables.roles.values().cloned().map(Row::from));
    let tokens = tables.tokens.values().cloned().map(Row::from);
    let works = jobs.chain(allocations).chain(evaluations).chain(deployments).chain(services);
    works.chain(nodes).chain(pools).chain(rules).chain(tokens).collect()
}

/// The names that the page of the API promises, written down a second time.
fn object(row: &Row) -> Object {
    let named = |topic: &str, key, row: &Row| Object::new(topic, key, row);
    let (namespace, key, filter_keys) = match row {
        Row::Job(job) => return named("Job", &job.id, row).with_namespace(&job.namespace),
        Row::Node(node) => return named("Node", &node.id, row),
        Row::NodePool(pool) => return named("NodePool", &pool.name, row),
        Row::Token(token) => return named("ACLToken", &token.accessor_id, row),
        Row::Policy(policy) => return named("ACLPolicy", &policy.name, row),
        Row::Role(role) => return named("ACLRole", &role.id, row).with_filter_key(&role.name),
        Row::Allocation(it) => (&it.namespace, ("Allocation", &it.id), vec![&it.job_id, &it.deployment_id]),
        Row::Evaluation(it) => (&it.namespace, ("Evaluation", &it.id), vec![&it.job_id, &it.deployment_id]),
        Row::Deployment(it) => (&it.namespace, ("Deployment", &it.id), vec![&it.job_id]),
        Row::Service(it) => (&it.namespace, ("Service", &it.id), vec![&it.job_id, &it.service_name]),
    };
    named(key.0, key.1, row).with_namespace(namespace).with_filter_keys(filter_keys).with_no_more_filter_keys()
}

event_broker::store_tests!(Scheduled, event_broker::testing::suite::Suite::new().scripts(6));
