//! Plausible events from a seed, among few objects, so that they refer to each other.
//! How numbers are drawn is decided in `testing::random`, and what property tests draw in `testing::strategies`.

use super::builder::{
    Sample, acl_policy, acl_role, acl_token, allocation, deployment, evaluation, job, node, node_pool, service,
};
use crate::nomad::event_type;
use crate::testing::random::Random;
use crate::types::name::EventType;

const JOBS: [&str; 4] = ["web", "db", "cache", "nightly-report"];
const NAMESPACES: [&str; 3] = ["default", "prod", "dev"];
const POOLS: [&str; 2] = ["default", "gpu"];
const POLICIES: [&str; 3] = ["readonly", "deploy", "operators"];

/// How many objects of a kind there are.
const OBJECTS: usize = 4;

/// Draws an event of any kind, of any type that the HTTP API has for it.
///
/// The ids are UUIDs of four objects of each kind, and there are four jobs and three namespaces. So events meet: an
/// allocation is of a job and a deployment that have events of their own.
///
/// ```
/// use event_broker::testing::{Random, sample};
///
/// let draw = |seed| {
///     let mut random = Random::new(seed);
///     (0..20).map(|payload| sample::any(&mut random).with_payload(payload)).collect::<Vec<_>>()
/// };
/// assert_eq!(draw(7), draw(7), "the same seed, the same events");
/// assert_ne!(draw(7), draw(8));
/// ```
pub fn any(random: &mut Random) -> Sample {
    let job_id = random.pick(&JOBS);
    let (node_id, deployment_id) = (uuid(random, 0x0d), uuid(random, 0xde));
    let (sample, types): (Sample, &[EventType]) = match random.below(10) {
        0 => (
            node(node_id),
            &[
                event_type::NODE_REGISTRATION,
                event_type::NODE_DEREGISTRATION,
                event_type::NODE_ELIGIBILITY,
                event_type::NODE_DRAIN,
                event_type::NODE_EVENT,
            ],
        ),
        1 => (node_pool(random.pick(&POOLS)), &[event_type::NODE_POOL_UPSERTED, event_type::NODE_POOL_DELETED]),
        2 => (
            job(job_id),
            &[event_type::JOB_REGISTERED, event_type::JOB_DEREGISTERED, event_type::JOB_BATCH_DEREGISTERED],
        ),
        3 => (
            with_deployment(allocation(uuid(random, 0xa1)).of_job(job_id).on_node(node_id), &deployment_id, random),
            &[
                event_type::ALLOCATION_CREATED,
                event_type::ALLOCATION_UPDATED,
                event_type::ALLOCATION_UPDATE_DESIRED_STATUS,
                event_type::PLAN_RESULT,
            ],
        ),
        4 => (
            with_deployment(evaluation(uuid(random, 0xe0)).of_job(job_id), &deployment_id, random),
            &[event_type::EVALUATION_UPDATED, event_type::JOB_REGISTERED],
        ),
        5 => (
            deployment(deployment_id).of_job(job_id),
            &[
                event_type::DEPLOYMENT_STATUS_UPDATE,
                event_type::DEPLOYMENT_PROMOTION,
                event_type::DEPLOYMENT_ALLOC_HEALTH,
            ],
        ),
        6 => (
            service(uuid(random, 0x5e), format!("{job_id}-http"))
                .of_job(job_id)
                .on_node(node_id)
                .of_allocation(uuid(random, 0xa1)),
            &[event_type::SERVICE_REGISTRATION, event_type::SERVICE_DEREGISTRATION],
        ),
        7 => (acl_token(uuid(random, 0xac)), &[event_type::ACL_TOKEN_UPSERTED, event_type::ACL_TOKEN_DELETED]),
        8 => (acl_policy(random.pick(&POLICIES)), &[event_type::ACL_POLICY_UPSERTED, event_type::ACL_POLICY_DELETED]),
        _ => (
            acl_role(uuid(random, 0x40), random.pick(&POLICIES)),
            &[event_type::ACL_ROLE_UPSERTED, event_type::ACL_ROLE_DELETED],
        ),
    };
    let sample = sample.event_type(random.pick(types));
    if sample.namespace.is_empty() { sample } else { sample.namespace(random.pick(&NAMESPACES)) }
}

/// Not every allocation and evaluation belongs to a deployment.
fn with_deployment(sample: Sample, id: &str, random: &mut Random) -> Sample {
    if random.one_in(3) { sample } else { sample.deployment(id) }
}

/// The id of one of the objects of a kind.
fn uuid(random: &mut Random, kind: u32) -> String {
    let object = random.below(OBJECTS) + 1;
    format!("{:08x}-7f0a-4124-b8b1-{object:012x}", kind << 24 | 0x00ce_4e56)
}
