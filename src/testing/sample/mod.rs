//! Plausible events of a scheduler's world, with the topics, types, keys and filter keys of its HTTP API.
//! Which rights they need is decided in `nomad`, and what a store publishes by the store.
//!
//! | function | topic | type, unless another is set | key | namespace | filter keys |
//! |---|---|---|---|---|---|
//! | [`node`] | `Node`, and `NodeDrain` for events of type `NodeDrain` | `NodeRegistration` | id | none | |
//! | [`node_pool`] | `NodePool` | `NodePoolUpserted` | name | none | |
//! | [`job`] | `Job` | `JobRegistered` | id | `default` | |
//! | [`allocation`] | `Allocation` | `AllocationCreated` | id | `default` | job, deployment |
//! | [`evaluation`] | `Evaluation` | `EvaluationUpdated` | id | `default` | job, deployment |
//! | [`deployment`] | `Deployment` | `DeploymentStatusUpdate` | id | `default` | job |
//! | [`service`] | `Service` | `ServiceRegistration` | id | `default` | job, name of the service |
//! | [`acl_token`] | `ACLToken` | `ACLTokenUpserted` | accessor id | none | |
//! | [`acl_policy`] | `ACLPolicy` | `ACLPolicyUpserted` | name | none | |
//! | [`acl_role`] | `ACLRole` | `ACLRoleUpserted` | id | none | name |
//!
//! An id that was not set is no filter key. [`any`] draws one of them from a seed.
//!
//! Files: `builder` has the builder, `draw` what is drawn from a seed, and `payload` the JSON of the objects.

mod builder;
mod draw;
#[cfg(feature = "json")]
mod payload;

pub use builder::{
    Sample, acl_policy, acl_role, acl_token, allocation, deployment, evaluation, job, node, node_pool, service,
};
pub use draw::any;
