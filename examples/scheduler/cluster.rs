//! Changes of the cluster: nodes join, drain and leave; pools and access rules change.

use std::collections::BTreeMap;

use event_broker::Key;
use event_broker::nomad::event_type as happened;

use crate::acl;
use crate::model::{Node, NodeEvent, NodePool, Resources};
use crate::server::Server;
use crate::workload::{Scheduler, Step, Todo};

/// The node of the page's last sample request.
pub(crate) const SAMPLE_NODE: &str = "ccc4ce56-7f0a-4124-b8b1-a4015aa82c40";

const POOLS: &[&str] = &["gpu-a", "gpu-b"];
const TOKENS: &[&str] = &["ci", "deployer", "auditor"];
const POLICIES: &[&str] = &["team-a", "team-b"];
const ROLES: &[&str] = &["ops", "dev"];

/// Makes one change that does not concern jobs.
pub(crate) fn disturb(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    match scheduler.random.below(12) {
        0 => node_event(scheduler, server),
        1 => eligibility(scheduler, server),
        2 => drain(scheduler, server),
        3 => heartbeat(scheduler, server),
        4 => deregister(scheduler, server),
        5 => pool(scheduler, server),
        6 => token(scheduler, server),
        7 => policy(scheduler, server),
        8 => role(scheduler, server),
        // Most entries of the servers' log have no events.
        _ => server.commit(|_| {}),
    }
}

pub(crate) fn add_pool(name: &str, server: &mut Server) -> Step {
    let meta = BTreeMap::from([("owner", "platform")]);
    let pool = NodePool { name: name.into(), description: "nodes of one kind", meta, create_index: 0, modify_index: 0 };
    server.commit(|commit| commit.put(happened::NODE_POOL_UPSERTED, pool))
}

pub(crate) fn register(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    scheduler.nodes_named += 1;
    let number = scheduler.nodes_named;
    let id = if number == 1 { SAMPLE_NODE.to_owned() } else { scheduler.random.uuid() };
    let attributes = [
        ("cpu.arch", "amd64".to_owned()),
        ("cpu.numcores", (4 << (number % 3)).to_string()),
        ("driver.docker", "1".to_owned()),
        ("driver.docker.version", "27.3.1".to_owned()),
        ("driver.exec", "1".to_owned()),
        ("kernel.name", "linux".to_owned()),
        ("kernel.version", "6.8.0-45-generic".to_owned()),
        ("memory.totalbytes", (number << 32).to_string()),
        ("os.name", "ubuntu".to_owned()),
        ("os.version", "24.04".to_owned()),
        ("unique.hostname", format!("node-{number}")),
        ("unique.network.ip-address", format!("127.0.0.{number}")),
    ];
    let node = Node {
        id: id.into(),
        datacenter: "dc1",
        name: format!("node-{number}"),
        http_addr: format!("127.0.0.{number}:4646"),
        node_pool: "default".into(),
        attributes: attributes.into(),
        resources: Resources { cpu: 33_600, memory_mb: 15_760, disk_mb: 285_614 },
        drain: false,
        scheduling_eligibility: "eligible",
        status: "ready",
        events: vec![NodeEvent { message: "Node registered", subsystem: "Cluster" }],
        create_index: 0,
        modify_index: 0,
    };
    server.commit(|commit| commit.put(happened::NODE_REGISTRATION, node))
}

fn any_node(scheduler: &mut Scheduler, server: &Server) -> Option<Node> {
    let nodes: Vec<Node> = server.store.read().nodes.values().cloned().collect();
    scheduler.random.pick(&nodes).cloned()
}

fn node_event(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let mut node = any_node(scheduler, server);
    if let Some(node) = &mut node {
        // As many as are useful to a reader.
        if node.events.len() > 4 {
            node.events.remove(0);
        }
        node.events.push(NodeEvent { message: "Driver docker restarted", subsystem: "Driver" });
    }
    server.commit(|commit| commit.put_all(&happened::NODE_EVENT, node))
}

fn heartbeat(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let node = any_node(scheduler, server);
    server.commit(|commit| commit.put_all(&happened::NODE_REGISTRATION, node))
}

fn eligibility(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let node = any_node(scheduler, server).filter(|node| !node.drain);
    if let Some(node) = &node {
        scheduler.todo.push_back(Todo::Undrain(node.id.clone()));
    }
    let node = node.map(|node| Node { scheduling_eligibility: "ineligible", ..node });
    server.commit(|commit| commit.put_all(&happened::NODE_ELIGIBILITY, node))
}

/// A drain is two events of one commit: it has a topic of its own, and the node is no longer eligible.
fn drain(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let node = any_node(scheduler, server).filter(|node| !node.drain);
    let Some(node) = node.map(|node| Node { drain: true, scheduling_eligibility: "ineligible", ..node }) else {
        return server.commit(|_| {});
    };
    scheduler.todo.push_back(Todo::Undrain(node.id.clone()));
    server.commit(|commit| {
        commit.put(happened::NODE_DRAIN, node.clone());
        commit.note(happened::NODE_ELIGIBILITY, node);
    })
}

pub(crate) fn undrain(id: &Key, server: &mut Server) -> Step {
    let found = server.store.read().nodes.get(id).cloned();
    let node = found.map(|node| Node { drain: false, scheduling_eligibility: "eligible", ..node });
    server.commit(|commit| commit.put_all(&happened::NODE_ELIGIBILITY, node))
}

/// A node leaves, and another will replace it. The node that a query names stays.
fn deregister(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let node = any_node(scheduler, server).filter(|node| node.id != SAMPLE_NODE);
    if node.is_some() {
        scheduler.todo.push_back(Todo::Node);
    }
    server.commit(|commit| commit.delete_all(&happened::NODE_DEREGISTRATION, node))
}

fn pool(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let name = scheduler.random.pick(POOLS).copied().unwrap_or_default();
    let known = server.store.read().node_pools.get(name).cloned();
    match known {
        Some(pool) => server.commit(|commit| commit.delete(happened::NODE_POOL_DELETED, pool)),
        None => add_pool(name, server),
    }
}

fn token(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let name = scheduler.random.pick(TOKENS).copied().unwrap_or_default();
    let (token, _) = acl::token(name, "client", &["team-a"], &["role-ops"]);
    let known = server.store.read().tokens.get(&token.accessor_id).cloned();
    server.commit(|commit| match known {
        Some(token) => commit.delete(happened::ACL_TOKEN_DELETED, token),
        None => commit.put(happened::ACL_TOKEN_UPSERTED, token),
    })
}

fn policy(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let name = scheduler.random.pick(POLICIES).copied().unwrap_or_default();
    let known = server.store.read().policies.get(name).cloned();
    server.commit(|commit| match known {
        Some(policy) => commit.delete(happened::ACL_POLICY_DELETED, policy),
        None => commit.put(happened::ACL_POLICY_UPSERTED, acl::policy(name, "namespace:prod:read-job")),
    })
}

fn role(scheduler: &mut Scheduler, server: &mut Server) -> Step {
    let role = acl::role(scheduler.random.pick(ROLES).copied().unwrap_or_default(), POLICIES);
    let known = server.store.read().roles.get(&role.id).cloned();
    server.commit(|commit| match known {
        Some(role) => commit.delete(happened::ACL_ROLE_DELETED, role),
        None => commit.put(happened::ACL_ROLE_UPSERTED, role),
    })
}
