//! The rows of the state store, and the events of their changes. A row is its own payload.

use std::collections::BTreeMap;
use std::time::Instant;

use event_broker::nomad::{event_type, topic};
use event_broker::{Event, EventType, Key, Namespace, Topic};
use serde::Serialize;

/// Any row. As JSON it is an object with one member, named as the API's page names the payload of the row's topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) enum Object {
    Job(Box<Job>),
    Node(Box<Node>),
    NodePool(NodePool),
    Allocation(Box<Allocation>),
    Evaluation(Box<Evaluation>),
    Deployment(Box<Deployment>),
    Service(Box<Service>),
    #[serde(rename = "ACLToken")]
    Token(Box<Token>),
    #[serde(rename = "ACLPolicy")]
    Policy(Policy),
    #[serde(rename = "ACLRole")]
    Role(Role),
}

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(rename_all = "PascalCase")]
        pub(crate) struct $name {
            $($(#[$attribute])* pub(crate) $field: $type,)*
            /// 0 until the row is committed.
            pub(crate) create_index: u64,
            pub(crate) modify_index: u64,
        }
    )*};
}

rows! {
    Job {
        #[serde(rename = "ID")]
        id: Key,
        name: Key,
        namespace: Namespace,
        r#type: &'static str,
        priority: u64,
        datacenters: Vec<&'static str>,
        node_pool: Key,
        task_groups: Vec<TaskGroup>,
        status: &'static str,
        stop: bool,
        version: u64,
    }
    #[expect(clippy::struct_field_names, reason = "the members are named as on the wire")]
    Node {
        #[serde(rename = "ID")]
        id: Key,
        datacenter: &'static str,
        name: String,
        #[serde(rename = "HTTPAddr")]
        http_addr: String,
        node_pool: Key,
        attributes: BTreeMap<&'static str, String>,
        resources: Resources,
        drain: bool,
        scheduling_eligibility: &'static str,
        status: &'static str,
        events: Vec<NodeEvent>,
    }
    NodePool {
        name: Key,
        description: &'static str,
        meta: BTreeMap<&'static str, &'static str>,
    }
    /// The job is not included: it has its own events.
    Allocation {
        #[serde(rename = "ID")]
        id: Key,
        namespace: Namespace,
        #[serde(rename = "EvalID")]
        eval_id: Key,
        name: String,
        #[serde(rename = "NodeID")]
        node_id: Key,
        node_name: String,
        #[serde(rename = "JobID")]
        job_id: Key,
        task_group: &'static str,
        #[serde(rename = "DeploymentID")]
        deployment_id: Key,
        desired_status: &'static str,
        client_status: &'static str,
        task_states: BTreeMap<&'static str, TaskState>,
        resources: Resources,
    }
    Evaluation {
        #[serde(rename = "ID")]
        id: Key,
        namespace: Namespace,
        priority: u64,
        r#type: &'static str,
        triggered_by: &'static str,
        #[serde(rename = "JobID")]
        job_id: Key,
        #[serde(rename = "DeploymentID")]
        deployment_id: Key,
        status: &'static str,
    }
    Deployment {
        #[serde(rename = "ID")]
        id: Key,
        namespace: Namespace,
        #[serde(rename = "JobID")]
        job_id: Key,
        job_version: u64,
        task_groups: BTreeMap<&'static str, DeploymentState>,
        status: &'static str,
        status_description: &'static str,
    }
    #[expect(clippy::struct_field_names, reason = "the members are named as on the wire")]
    Service {
        #[serde(rename = "ID")]
        id: Key,
        service_name: Key,
        namespace: Namespace,
        #[serde(rename = "NodeID")]
        node_id: Key,
        datacenter: &'static str,
        #[serde(rename = "JobID")]
        job_id: Key,
        #[serde(rename = "AllocID")]
        alloc_id: Key,
        tags: Vec<&'static str>,
        address: String,
        port: u64,
    }
    /// The secret is in the store and in no payload.
    Token {
        #[serde(rename = "AccessorID")]
        accessor_id: Key,
        #[serde(skip)]
        secret: String,
        name: &'static str,
        r#type: &'static str,
        policies: Vec<Key>,
        roles: Vec<Key>,
        #[serde(skip)]
        expires_at: Option<Instant>,
    }
    /// The rules are a list of rights in their text form.
    Policy {
        name: Key,
        description: &'static str,
        rules: String,
    }
    Role {
        #[serde(rename = "ID")]
        id: Key,
        name: Key,
        policies: Vec<Key>,
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TaskGroup {
    pub(crate) name: &'static str,
    pub(crate) count: u64,
    pub(crate) tasks: Vec<Task>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) driver: &'static str,
    pub(crate) config: BTreeMap<&'static str, String>,
    pub(crate) resources: Resources,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Resources {
    #[serde(rename = "CPU")]
    pub(crate) cpu: u64,
    #[serde(rename = "MemoryMB")]
    pub(crate) memory_mb: u64,
    #[serde(rename = "DiskMB")]
    pub(crate) disk_mb: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NodeEvent {
    pub(crate) message: &'static str,
    pub(crate) subsystem: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TaskState {
    pub(crate) state: &'static str,
    pub(crate) failed: bool,
    pub(crate) restarts: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeploymentState {
    pub(crate) desired_total: u64,
    pub(crate) desired_canaries: u64,
    pub(crate) placed_allocs: u64,
    pub(crate) healthy_allocs: u64,
    pub(crate) promoted: bool,
}

/// The same for every kind of row.
macro_rules! each {
    ($object:expr, $row:ident => $body:expr) => {
        match $object {
            Object::Job($row) => $body,
            Object::Node($row) => $body,
            Object::NodePool($row) => $body,
            Object::Allocation($row) => $body,
            Object::Evaluation($row) => $body,
            Object::Deployment($row) => $body,
            Object::Service($row) => $body,
            Object::Token($row) => $body,
            Object::Policy($row) => $body,
            Object::Role($row) => $body,
        }
    };
}

macro_rules! from_row {
    ($($variant:ident($row:ident)),*) => {$(
        impl From<$row> for Object {
            fn from(row: $row) -> Self {
                Self::$variant(row.into())
            }
        }
    )*};
}

from_row!(Job(Job), Node(Node), NodePool(NodePool), Allocation(Allocation), Evaluation(Evaluation));
from_row!(Deployment(Deployment), Service(Service), Token(Token), Policy(Policy), Role(Role));

impl Object {
    /// Records the commit that writes the row.
    pub(crate) fn stamp(&mut self, index: u64) {
        each!(self, row => {
            row.modify_index = index;
            if row.create_index == 0 {
                row.create_index = index;
            }
        });
    }

    /// The row's own id.
    pub(crate) fn key(&self) -> &Key {
        match self {
            Self::Job(row) => &row.id,
            Self::Node(row) => &row.id,
            Self::NodePool(row) => &row.name,
            Self::Allocation(row) => &row.id,
            Self::Evaluation(row) => &row.id,
            Self::Deployment(row) => &row.id,
            Self::Service(row) => &row.id,
            Self::Token(row) => &row.accessor_id,
            Self::Policy(row) => &row.name,
            Self::Role(row) => &row.id,
        }
    }

    fn topic(&self, what: &EventType) -> Topic {
        match self {
            Self::Job(_) => topic::JOB,
            Self::Node(_) if *what == event_type::NODE_DRAIN => topic::NODE_DRAIN,
            Self::Node(_) => topic::NODE,
            Self::NodePool(_) => topic::NODE_POOL,
            Self::Allocation(_) => topic::ALLOCATION,
            Self::Evaluation(_) => topic::EVALUATION,
            Self::Deployment(_) => topic::DEPLOYMENT,
            Self::Service(_) => topic::SERVICE,
            Self::Token(_) => topic::ACL_TOKEN,
            Self::Policy(_) => topic::ACL_POLICY,
            Self::Role(_) => topic::ACL_ROLE,
        }
    }

    /// Nodes, their pools and access rules belong to the cluster: they have no namespace.
    fn namespace(&self) -> Namespace {
        match self {
            Self::Job(row) => row.namespace.clone(),
            Self::Allocation(row) => row.namespace.clone(),
            Self::Evaluation(row) => row.namespace.clone(),
            Self::Deployment(row) => row.namespace.clone(),
            Self::Service(row) => row.namespace.clone(),
            _ => Namespace::NONE,
        }
    }

    /// The filter keys of the row.
    fn filter_keys(&self) -> Vec<Key> {
        let keys: &[&Key] = match self {
            Self::Allocation(row) => &[&row.job_id, &row.deployment_id],
            Self::Evaluation(row) => &[&row.job_id, &row.deployment_id],
            Self::Deployment(row) => &[&row.job_id],
            Self::Service(row) => &[&row.job_id, &row.service_name],
            Self::Role(row) => &[&row.name],
            _ => &[],
        };
        keys.iter().filter(|key| !key.is_empty()).map(|key| Key::clone(key)).collect()
    }

    /// The event of a change of the row.
    pub(crate) fn event(self, what: EventType) -> Event<Self> {
        let (topic, key, namespace, filter_keys) =
            (self.topic(&what), self.key().clone(), self.namespace(), self.filter_keys());
        Event::new(topic, what, key, self).with_namespace(namespace).with_filter_keys(filter_keys)
    }
}
