//! Sample events against the tables of the HTTP API's page: topics, what payloads hold, types, keys and filter keys.

use event_broker::nomad::{event_type, topic};
use event_broker::testing::sample::{self, Sample};
use event_broker::testing::{Outline, Random};
use event_broker::{Batch, Event};

use crate::failing::fails;

/// One of each, with every id set.
fn all() -> Vec<Sample> {
    vec![
        sample::node("n1"),
        sample::node("n1").event_type(event_type::NODE_DRAIN),
        sample::node_pool("gpu"),
        sample::job("web").namespace("prod"),
        sample::allocation("a1").namespace("prod").of_job("web").on_node("n1").deployment("d1"),
        sample::evaluation("e1").namespace("prod").of_job("web").on_node("n1").deployment("d1"),
        sample::deployment("d1").namespace("prod").of_job("web"),
        sample::service("s1", "http").namespace("prod").of_job("web").on_node("n1").of_allocation("a1"),
        sample::acl_token("t1"),
        sample::acl_policy("readonly"),
        sample::acl_role("r1", "ops"),
    ]
}

/// By the page: the topic, an event type, and the one member of the payload. The keys are those of the reference's
/// server, whose allocations are not found by their node.
const TABLE: [(&str, &str); 11] = [
    ("7 Node/NodeRegistration n1", "Node"),
    ("7 NodeDrain/NodeDrain n1", "Node"),
    ("7 NodePool/NodePoolUpserted gpu", "NodePool"),
    ("7 Job/JobRegistered prod:web", "Job"),
    ("7 Allocation/AllocationCreated prod:a1 [web, d1]", "Allocation"),
    ("7 Evaluation/EvaluationUpdated prod:e1 [web, d1]", "Evaluation"),
    ("7 Deployment/DeploymentStatusUpdate prod:d1 [web]", "Deployment"),
    ("7 Service/ServiceRegistration prod:s1 [web, http]", "Service"),
    ("7 ACLToken/ACLTokenUpserted t1", "ACLToken"),
    ("7 ACLPolicy/ACLPolicyUpserted readonly", "ACLPolicy"),
    ("7 ACLRole/ACLRoleUpserted r1 [ops]", "ACLRole"),
];

#[test]
fn each_is_what_the_page_says() {
    let samples = all();
    assert_eq!(samples.len(), TABLE.len());
    for (sample, (line, member)) in samples.into_iter().zip(TABLE) {
        let event = sample.clone().event();
        assert_eq!(topic::payload_member(event.topic()), Some(member), "{line}");
        assert!(event_type::ALL.contains(event.event_type()), "{line}");
        let members = event.payload().as_object().unwrap();
        assert_eq!(members.keys().collect::<Vec<_>>(), [member], "{line}");
        assert_eq!(Outline::of(&Batch::new(7, vec![event.clone()])).lines(), [line]);
        assert_eq!(Outline::of(&Batch::new(7, vec![sample.with_payload(())])).lines(), [line], "with any payload");
    }
    let covered: Vec<_> = all().into_iter().map(|sample| sample.with_payload(()).topic().clone()).collect();
    let missing: Vec<_> = topic::ALL.iter().filter(|topic| !covered.contains(topic)).collect();
    assert_eq!(missing, [&topic::ACL_ROLES], "the page spells it in two ways");
}

/// The payload has the ids that the event is found by, under the names of the page.
#[test]
fn payloads_have_their_ids() {
    for sample in all() {
        let event = sample.committed_at(7).event();
        let object = event.payload().as_object().unwrap().values().next().unwrap();
        let text = |name: &str| object.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let own = ["ID", "AccessorID", "Name"].map(text).into_iter().find(|id| !id.is_empty());
        assert_eq!(own, Some(event.key().as_str()));
        assert_eq!(text("Namespace"), event.namespace().as_str());
        let further = ["JobID", "DeploymentID", "ServiceName", "Name"].map(text);
        for key in event.filter_keys() {
            assert!(further.contains(&key.as_str()), "{key} is not in {object}");
        }
        assert_eq!((&object["CreateIndex"], &object["ModifyIndex"]), (&7.into(), &7.into()));
    }
}

/// What was not set is no filter key, and an empty id in the payload.
#[test]
fn what_is_not_set_is_no_filter_key() {
    let bare = [sample::allocation("a1"), sample::evaluation("e1"), sample::deployment("d1")];
    for event in bare.map(Sample::event) {
        assert!(event.filter_keys().is_empty());
        assert_eq!(event.namespace().as_str(), "default");
        assert_eq!(event.payload()[event.topic().as_str()]["JobID"], "");
    }
    assert_eq!(sample::service("s1", "http").event().filter_keys(), ["http"]);
    assert_eq!(sample::evaluation("e1").deployment("d1").event().filter_keys(), ["d1"]);
    assert_eq!(Event::from(sample::job("web")), sample::job("web").event());
}

#[test]
fn a_type_can_be_set() {
    let event = sample::job("web").event_type(event_type::JOB_DEREGISTERED).event();
    assert_eq!((event.topic(), event.event_type()), (&topic::JOB, &event_type::JOB_DEREGISTERED));
    let event = sample::allocation("a1").event_type("Kettle").event();
    assert_eq!((event.topic(), event.event_type().as_str()), (&topic::ALLOCATION, "Kettle"));
}

#[test]
fn what_a_kind_does_not_have_cannot_be_set() {
    let message = fails!(sample::node("n1").namespace("prod"));
    assert_eq!(message, "Node has no namespace; [Job, Allocation, Evaluation, Deployment, Service] have one");
    assert!(fails!(sample::job("web").of_job("db")).starts_with("Job has no job; "));
    assert!(fails!(sample::deployment("d1").on_node("n1")).starts_with("Deployment has no node; "));
    assert!(fails!(sample::service("s1", "http").deployment("d1")).starts_with("Service has no deployment; "));
    assert!(fails!(sample::allocation("a1").of_allocation("a1")).starts_with("Allocation has no allocation; "));
}

/// What is drawn from a seed: every topic, in every form that the table has, and nothing else.
#[test]
fn what_is_drawn_is_what_the_page_says() {
    let mut random = Random::new(1);
    let mut drawn = std::collections::BTreeMap::new();
    for _ in 0..2000 {
        let event = sample::any(&mut random).event();
        assert!(event_type::ALL.contains(event.event_type()), "{event:?}");
        let member = topic::payload_member(event.topic()).unwrap();
        assert!(event.payload().get(member).is_some(), "{event:?}");
        assert!(!event.key().is_empty() && event.filter_keys().iter().all(|key| !key.is_empty()), "{event:?}");
        *drawn.entry(event.topic().clone()).or_insert(0) += 1;
    }
    assert_eq!(drawn.len(), 11, "{drawn:?}");
    assert!(drawn.values().all(|count| *count > 20), "{drawn:?}");
}
