//! The tables of topics and of event types, row by row.

use event_broker::nomad::{Query, event_type, topic};
use event_broker::{Broker, Event, EventType, Request, Topic};

use crate::common::{asks, read_now};

/// Every topic of the page and what its payload holds, in its order; `ACLRole` is how the table of rights spells it.
const TOPICS: [(&str, Topic, &str); 12] = [
    ("ACLToken", topic::ACL_TOKEN, "ACLToken"),
    ("ACLPolicy", topic::ACL_POLICY, "ACLPolicy"),
    ("ACLRole", topic::ACL_ROLE, "ACLRole"),
    ("ACLRoles", topic::ACL_ROLES, "ACLRole"),
    ("Allocation", topic::ALLOCATION, "Allocation"),
    ("Job", topic::JOB, "Job"),
    ("Evaluation", topic::EVALUATION, "Evaluation"),
    ("Deployment", topic::DEPLOYMENT, "Deployment"),
    ("Node", topic::NODE, "Node"),
    ("NodeDrain", topic::NODE_DRAIN, "Node"),
    ("NodePool", topic::NODE_POOL, "NodePool"),
    ("Service", topic::SERVICE, "Service"),
];

/// Every topic has a constant, holds what the page says, and can be asked for alone.
#[test]
fn every_topic() {
    assert_eq!(topic::ALL, TOPICS.map(|(_, topic, _)| topic));
    for (name, topic, member) in TOPICS {
        assert_eq!(topic, name);
        assert_eq!(topic::payload_member(&topic), Some(member));
        let broker = Broker::<u64>::new();
        let query = Query::parse(&format!("topic={name}")).expect("a query");
        let mut reader = broker.subscribe(query.into_request()).expect("open");
        let events: Vec<_> = topic::ALL.iter().map(|topic| Event::new(topic, "", "key", 0)).collect();
        broker.publish(1, events).expect("the first");
        let deliveries = read_now(&mut reader);
        let got: Vec<_> = deliveries.iter().flat_map(|delivery| delivery.events()).map(Event::topic).collect();
        assert_eq!(got, [&topic]);
    }
}

/// Every event type of the page, in its order.
const TYPES: [(&str, EventType); 26] = [
    ("ACLTokenUpserted", event_type::ACL_TOKEN_UPSERTED),
    ("ACLTokenDeleted", event_type::ACL_TOKEN_DELETED),
    ("ACLPolicyUpserted", event_type::ACL_POLICY_UPSERTED),
    ("ACLPolicyDeleted", event_type::ACL_POLICY_DELETED),
    ("ACLRoleUpserted", event_type::ACL_ROLE_UPSERTED),
    ("ACLRoleDeleted", event_type::ACL_ROLE_DELETED),
    ("AllocationCreated", event_type::ALLOCATION_CREATED),
    ("AllocationUpdated", event_type::ALLOCATION_UPDATED),
    ("AllocationUpdateDesiredStatus", event_type::ALLOCATION_UPDATE_DESIRED_STATUS),
    ("DeploymentStatusUpdate", event_type::DEPLOYMENT_STATUS_UPDATE),
    ("DeploymentPromotion", event_type::DEPLOYMENT_PROMOTION),
    ("DeploymentAllocHealth", event_type::DEPLOYMENT_ALLOC_HEALTH),
    ("EvaluationUpdated", event_type::EVALUATION_UPDATED),
    ("JobRegistered", event_type::JOB_REGISTERED),
    ("JobDeregistered", event_type::JOB_DEREGISTERED),
    ("JobBatchDeregistered", event_type::JOB_BATCH_DEREGISTERED),
    ("NodeRegistration", event_type::NODE_REGISTRATION),
    ("NodeDeregistration", event_type::NODE_DEREGISTRATION),
    ("NodeEligibility", event_type::NODE_ELIGIBILITY),
    ("NodeDrain", event_type::NODE_DRAIN),
    ("NodeEvent", event_type::NODE_EVENT),
    ("NodePoolUpserted", event_type::NODE_POOL_UPSERTED),
    ("NodePoolDeleted", event_type::NODE_POOL_DELETED),
    ("PlanResult", event_type::PLAN_RESULT),
    ("ServiceRegistration", event_type::SERVICE_REGISTRATION),
    ("ServiceDeregistration", event_type::SERVICE_DEREGISTRATION),
];

/// Every type has a constant, and can be asked for alone.
#[test]
fn every_event_type() {
    assert_eq!(event_type::ALL, TYPES.map(|(_, event_type)| event_type));
    let broker = Broker::<u64>::new();
    let mut readers = TYPES.map(|(name, event_type)| {
        assert_eq!(event_type, name);
        (name, broker.subscribe(Request::new().event_type(event_type)).expect("open"))
    });
    let events: Vec<_> = event_type::ALL.iter().map(|event_type| Event::new("Any", event_type, "", 0)).collect();
    broker.publish(1, events).expect("the first");
    for (name, reader) in &mut readers {
        let deliveries = read_now(reader);
        let got: Vec<_> = deliveries.iter().flat_map(|delivery| delivery.events()).map(Event::event_type).collect();
        assert_eq!(got, [name]);
    }
}

/// A name that the page does not know is no error.
#[test]
fn unknown_names_are_no_errors() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(asks("Kettle", "*").event_type("KettleBoiled")).expect("open");
    broker.publish(1, [Event::new("Kettle", "KettleBoiled", "k1", 0)]).expect("the first");
    assert_eq!(read_now(&mut reader).len(), 1);
}
