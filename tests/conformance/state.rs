//! `nomad/fsm_test.go` and `nomad/state/events_test.go`, as far as they concern events and not tables.
//!
//! The host derives events from a commit; these tests cover what the broker does with them.

use event_broker::nomad::{access_changes, event_type, topic};
use event_broker::{AccessChange, Batch, Broker, Event, Principal, Request};

use crate::common::{Rules, asks, event, keys_now, publish_all, read_now, ruled_by};

/// `TestFSM_ACLEvents`, 4 rows: tokens and policies upserted and deleted are one event each, of the right topic and
/// type, and one change of access each.
#[test]
fn fsm_acl_events() {
    for (topic, event_type, change) in [
        (topic::ACL_TOKEN, event_type::ACL_TOKEN_UPSERTED, AccessChange::Token("id".into())),
        (topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, AccessChange::TokenDeleted("id".into())),
        (topic::ACL_POLICY, event_type::ACL_POLICY_UPSERTED, AccessChange::Policy("id".into())),
        (topic::ACL_POLICY, event_type::ACL_POLICY_DELETED, AccessChange::Policy("id".into())),
    ] {
        let broker = Broker::<u64>::new();
        let mut reader = broker.subscribe(Request::new()).expect("open");
        broker.publish(1, [Event::new(topic.clone(), event_type.clone(), "id", 0)]).expect("the first");
        let deliveries = read_now(&mut reader);
        let events: Vec<_> = deliveries.iter().flat_map(|delivery| delivery.events()).collect();
        let [event] = events[..] else { panic!("expected one event") };
        assert_eq!((event.topic(), event.event_type()), (&topic, &event_type));
        let mut changes = Vec::new();
        access_changes(event, &mut changes);
        assert_eq!(changes, [change]);
    }
}

/// `EventBroker_JobRegisterFSMEvents`: a registration is exactly one event for who asked for jobs.
#[test]
fn event_broker_job_register_fsm_events() {
    let broker = Broker::<u64>::new();
    let mut jobs = broker.subscribe(asks("Job", "*")).expect("open");
    broker.publish(1000, [event("Job", "web"), event("Evaluation", "e1").with_filter_key("web")]).expect("the first");
    assert_eq!(keys_now(&mut jobs), [["web"]]);
}

/// `TestEventsFromChanges_SingleEventPerTable`: objects of two tables in one commit are one event each, in its order.
#[test]
fn events_from_changes_single_event_per_table() {
    let mut commit = Batch::builder();
    commit.push(event("Job", "web")).push(event("Allocation", "a1"));
    assert_eq!(commit.len(), 2);
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    broker.publish(100, commit).expect("the first");
    assert_eq!(keys_now(&mut reader), [["web", "a1"]]);
}

/// `TestEventsFromChanges_ACLTokenSecretID`: the payload is redacted, the original is not, and the id serves for the
/// revocation: the secret is nowhere in the stream.
#[test]
fn events_from_changes_acl_token_secret_id() {
    let rules = Rules::new(|request| match request.principal().secret() {
        Some("hunter2") => Ok(event_broker::Grant::all()),
        _ => Err(event_broker::Denial::new("token not found")),
    });
    let broker = ruled_by(&rules);
    let principal = Principal::new("accessor").with_secret("hunter2");
    let mut holder = broker.subscribe(asks("Job", "*").principal(principal.clone())).expect("open");
    let mut watcher = broker.subscribe(asks("ACLToken", "*").principal(principal)).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(read_now(&mut holder).len(), 1);
    let redacted = Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_UPSERTED, "accessor", 0);
    broker.publish(2, [redacted]).expect("rising");
    let deliveries = read_now(&mut watcher);
    assert!(!format!("{:?}", deliveries.first().map(|d| d.events().collect::<Vec<_>>())).contains("hunter2"));
    assert_eq!(rules.asked(), 3, "two when opened, one since: the secret still serves");
    assert!(read_now(&mut holder).is_empty());
    assert_eq!(rules.asked(), 4);
}

/// `TestEventsFromChanges_DeploymentUpdate` and `TestDeploymentEventFromChanges`: found by its own id and by its job's.
#[test]
fn deployment_events_are_found_by_id_and_by_job() {
    let broker = Broker::<u64>::new();
    let mut readers = ["d1", "web"].map(|key| broker.subscribe(asks("Deployment", key)).expect("open"));
    let mut other = broker.subscribe(asks("Deployment", "db")).expect("open");
    broker.publish(10, [event("Deployment", "d1").with_filter_key("web")]).expect("the first");
    for reader in &mut readers {
        assert_eq!(keys_now(reader), [["d1"]]);
    }
    assert!(keys_now(&mut other).is_empty());
}

/// `TestEventsFromChanges_EvalUpdate`: an evaluation is found by its job and by its deployment.
#[test]
fn eval_update_has_two_filter_keys() {
    let broker = Broker::<u64>::new();
    let mut readers = ["e1", "web", "d1"].map(|key| broker.subscribe(asks("Evaluation", key)).expect("open"));
    broker.publish(10, [event("Evaluation", "e1").with_filter_keys(["web", "d1"])]).expect("the first");
    for reader in &mut readers {
        let deliveries = read_now(reader);
        let event = deliveries.first().and_then(|delivery| delivery.events().next()).expect("one");
        assert_eq!(event.filter_keys(), ["web", "d1"]);
    }
}

/// `TestEventsFromChanges_ApplyPlanResults`: five events of four topics under one index arrive together.
#[test]
fn apply_plan_results_arrive_together() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    let events = ["Job", "Allocation", "Allocation", "Evaluation", "Deployment"];
    let events: Vec<_> = events.iter().zip(["web", "a1", "a2", "e1", "d1"]).map(|(t, k)| event(t, k)).collect();
    broker.publish(1002, events).expect("the first");
    let deliveries = read_now(&mut reader);
    let [delivery] = &deliveries[..] else { panic!("expected one batch") };
    assert_eq!((delivery.index(), delivery.len()), (1002, 5));
    assert!(delivery.events().all(|event| event.index() == 1002));
}

/// `TestEventsFromChanges_WithDeletion`: what was changed and what was deleted come in the order of the commit; the
/// type says which is which.
#[test]
fn a_commit_with_a_deletion_keeps_its_order() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(Request::new()).expect("open");
    let event = |event_type, key: &str| Event::new(topic::JOB, event_type, key, 0).with_namespace("default");
    let commit = [event(event_type::JOB_REGISTERED, "web"), event(event_type::JOB_DEREGISTERED, "web")];
    broker.publish(1, commit).expect("the first");
    let deliveries = read_now(&mut reader);
    let types: Vec<_> = deliveries.iter().flat_map(|d| d.events()).map(Event::event_type).collect();
    assert_eq!(types, [&event_type::JOB_REGISTERED, &event_type::JOB_DEREGISTERED]);
}

/// `TestEventsFromChanges_Variables`: upserted at 10, deleted at 20. A topic that the API does not list is like any.
#[test]
fn variables_upserted_and_deleted() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(asks("Variable", "nomad/jobs/web")).expect("open");
    for (index, event_type) in [(10, "VariableUpserted"), (20, "VariableDeleted")] {
        let event = Event::new("Variable", event_type, "nomad/jobs/web", 0).with_namespace("default");
        broker.publish(index, [event]).expect("rising");
    }
    let deliveries = read_now(&mut reader);
    let seen: Vec<_> =
        deliveries.iter().flat_map(|d| d.events()).map(|e| (e.index(), e.event_type().as_str())).collect();
    assert_eq!(seen, [(10, "VariableUpserted"), (20, "VariableDeleted")]);
}
