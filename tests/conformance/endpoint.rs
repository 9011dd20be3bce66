//! `nomad/event_endpoint_test.go`: rights, expiry, and what ends a stream.
//!
//! Rights of volumes and variables are not on the API page; they come from an authorizer of this file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_broker::nomad::rights::{self, Rights};
use event_broker::nomad::{AclAuthorizer, Resolved, event_type, topic};
use event_broker::{
    AccessRequest, Authorizer, Broker, Denial, Event, Grant, Principal, RecvError, Request, SubscribeError, Term,
};

use crate::common::{
    ManualClock, Rules, asks, assert_end, assert_revoked, indexes_now, job, keys_now, publish_all, ruled_and_timed_by,
    ruled_by, term, who,
};

/// `TestEventStream`: one batch published before subscribing and two after; `*:*` receives all three.
#[test]
fn event_stream() {
    let broker = Broker::<u64>::new();
    publish_all(&broker, [1]);
    let mut reader = broker.subscribe(asks("*", "*")).expect("open");
    publish_all(&broker, [2, 3]);
    assert_eq!(indexes_now(&mut reader), [1, 2, 3]);
}

/// `TestEventStream_StreamErr`: the server closes all subscriptions after the first message, and each receives the end.
#[test]
fn event_stream_stream_err() {
    let broker = Broker::<u64>::new();
    let mut reader = broker.subscribe(asks("*", "*")).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    for handle in broker.subscriptions() {
        handle.cancel();
    }
    publish_all(&broker, [2]);
    assert_end(&mut reader, &RecvError::Cancelled);
    assert_eq!(RecvError::Cancelled.to_string(), "the subscription was cancelled");
}

/// Rights beyond the page's table, for the topics that the server's rows name: volumes, plugins and variables.
struct Volumes {
    rights: Rights,
    /// `namespace:capability` of the volumes and plugins, or `variables:list`.
    more: &'static [&'static str],
}

impl Volumes {
    fn holds(&self, right: &str) -> bool {
        self.more.contains(&right)
    }
}

impl Authorizer<u64> for Volumes {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let mut of_the_page = Vec::new();
        for term in request.terms() {
            let capability = match term.topic_name().map(event_broker::Topic::as_str) {
                Some("HostVolume") => "host-volume-read",
                Some("CSIVolume") => "csi-read-volume",
                Some("CSIPlugin") => "csi-list-plugin",
                Some("Variable") if self.holds("variables:list") => continue,
                _ => {
                    of_the_page.push(term.clone());
                    continue;
                }
            };
            let names = request.scope().named().unwrap_or_default();
            if names.is_empty() || !names.iter().all(|name| self.holds(&format!("{name}:{capability}"))) {
                of_the_page.push(term.clone());
            }
        }
        if of_the_page.is_empty() {
            return Ok(Grant::all());
        }
        rights::decide(&AccessRequest::new(request.principal(), &of_the_page, request.scope()), &self.rights)
    }
}

/// Whether a principal with these rights may subscribe to these topics, in one namespace.
fn may(rights: &str, more: &'static [&'static str], namespace: &str, topics: &[&str]) -> bool {
    let rights = rights.parse().expect("rights");
    let broker = Broker::<u64>::builder().authorizer(Volumes { rights, more }).build().expect("defaults");
    let terms = topics.iter().map(|topic| term(topic, "*"));
    match broker.subscribe(Request::new().terms(terms).namespace(namespace).principal(who("6f1c"))) {
        Ok(_) => true,
        Err(SubscribeError::Denied(_)) => false,
        Err(other) => panic!("expected access or its denial, got: {other}"),
    }
}

macro_rules! validate_ns_op {
    ($($(#[$doc:meta])* $name:ident: $rights:literal + $more:expr, $namespace:literal, $topics:expr => $allowed:literal;)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            assert_eq!(may($rights, &$more, $namespace, &$topics), $allowed);
        }
    )*};
}

validate_ns_op! {
    /// `validateNsOp` 1: topics that read-job covers, in the right namespace.
    validate_ns_op_read_job_topics_right_namespace:
        "namespace:foo:read-job" + [], "foo", ["Job", "Evaluation", "Allocation", "Deployment", "Service"] => true;
    /// `validateNsOp` 2: the same in another namespace.
    validate_ns_op_read_job_topics_wrong_namespace:
        "namespace:foo:read-job" + [], "bar", ["Job", "Evaluation", "Allocation", "Deployment", "Service"] => false;
    /// `validateNsOp` 3: all topics by management.
    validate_ns_op_all_topics_management: "management" + [], "default", ["*"] => true;
    /// `validateNsOp` 4: all topics by a policy.
    validate_ns_op_all_topics_policy: "namespace:default:read-job,node:read" + [], "default", ["*"] => false;
    /// `validateNsOp` 5: nodes by a node policy.
    validate_ns_op_node_node_policy: "node:read" + [], "default", ["Node"] => true;
    /// `validateNsOp` 6: evaluations and nodes by a job policy: one denied topic denies the whole request.
    validate_ns_op_evaluation_and_node_job_policy:
        "namespace:default:read-job" + [], "default", ["Evaluation", "Node"] => false;
    /// `validateNsOp` 7: node pools by management.
    validate_ns_op_node_pool_management: "management" + [], "default", ["NodePool"] => true;
    /// `validateNsOp` 8: node pools by a policy.
    validate_ns_op_node_pool_policy: "node:read,namespace:*:read-job" + [], "default", ["NodePool"] => false;
    /// `validateNsOp` 9: host volumes by the right capability.
    validate_ns_op_host_volumes_right_capability:
        "anonymous" + ["default:host-volume-read"], "default", ["HostVolume"] => true;
    /// `validateNsOp` 10: host volumes by another capability.
    validate_ns_op_host_volumes_wrong_capability:
        "namespace:default:read-job" + ["default:csi-read-volume"], "default", ["HostVolume"] => false;
    /// `validateNsOp` 11: CSI volumes by the right capability.
    validate_ns_op_csi_volumes_right_capability:
        "anonymous" + ["default:csi-read-volume"], "default", ["CSIVolume"] => true;
    /// `validateNsOp` 12: CSI volumes by another capability.
    validate_ns_op_csi_volumes_wrong_capability:
        "namespace:default:read-job" + ["default:host-volume-read"], "default", ["CSIVolume"] => false;
    /// `validateNsOp` 13: CSI plugins in the right namespace.
    validate_ns_op_csi_plugin_right_namespace: "anonymous" + ["foo:csi-list-plugin"], "foo", ["CSIPlugin"] => true;
    /// `validateNsOp` 14: CSI plugins in another namespace.
    validate_ns_op_csi_plugin_wrong_namespace: "anonymous" + ["foo:csi-list-plugin"], "bar", ["CSIPlugin"] => false;
    /// `validateNsOp` 15: variables by a right to list all of them.
    validate_ns_op_variables_wildcard_list: "anonymous" + ["variables:list"], "default", ["Variable"] => true;
    /// `validateNsOp` 16: variables without such a right: a topic that is not on the page needs the strongest.
    validate_ns_op_variables_no_policy: "namespace:default:read-job,node:read" + [], "default", ["Variable"] => false;
    /// `validateNsOp` 17: variables by management.
    validate_ns_op_variables_management: "management" + [], "default", ["Variable"] => true;
}

/// A broker whose every principal has these rights.
fn ruled_by_rights(text: &str) -> Broker<u64> {
    let rights: Rights = text.parse().expect("rights");
    let authorizer = AclAuthorizer::new(move |_: &Principal| Ok(Resolved::new(rights.clone())));
    Broker::builder().authorizer(authorizer).build().expect("defaults")
}

/// `validateACL` 1: rights in one namespace are not enough for `namespace=*`.
#[test]
fn validate_acl_one_namespace_for_all_is_denied() {
    let broker = ruled_by_rights("namespace:foo:read-job");
    let denied = broker.subscribe(asks("Job", "*").namespace("*"));
    assert!(matches!(denied, Err(SubscribeError::Denied(_))));
}

/// `validateACL` 2: rights in all namespaces are enough for `namespace=*`.
///
/// The server takes the namespaces there are at that moment. `*` stays what it says here (semantics 12): one that
/// comes into being later arrives.
#[test]
fn validate_acl_all_namespaces_for_all_passes() {
    let broker = ruled_by_rights("namespace:*:read-job");
    let mut reader = broker.subscribe(asks("Job", "*").namespace("*")).expect("allowed");
    broker.publish(1, [job("a").with_namespace("made-later")]).expect("the first");
    assert_eq!(keys_now(&mut reader), [["a"]]);
}

/// `validateACL` 3: rights in one namespace for that one.
#[test]
fn validate_acl_single_namespace_passes() {
    let broker = ruled_by_rights("namespace:foo:read-job");
    let mut reader = broker.subscribe(asks("Job", "*").namespace("foo")).expect("allowed");
    broker.publish(1, [job("a").with_namespace("foo"), job("b").with_namespace("bar")]).expect("the first");
    assert_eq!(keys_now(&mut reader), [["a"]]);
}

/// `TestEventStream_ACL_Update_Close_Stream`: deleting the token ends a live stream. The server returns the end of a
/// closed stream; a revocation is distinguished here (semantics 23).
#[test]
fn event_stream_acl_update_close_stream() {
    let rules = Rules::new(|_| Ok(Grant::all()));
    let broker = ruled_by(&rules);
    let mut reader = broker.subscribe(asks("Job", "*").principal(who("6f1c"))).expect("open");
    publish_all(&broker, [1]);
    assert_eq!(indexes_now(&mut reader), [1]);
    let deleted = Event::new(topic::ACL_TOKEN, event_type::ACL_TOKEN_DELETED, "6f1c", 0);
    broker.publish(2, [deleted, job("web")]).expect("rising");
    assert_revoked(&mut reader);
}

/// `TestEventStream_ACLTokenExpiry`: what comes after the token has expired is not delivered; the end is. Renumbered:
/// the server's indexes 1, 2, 1 are 1, 2, 2 here.
#[test]
fn event_stream_acl_token_expiry() {
    let clock = ManualClock::new();
    let expiry = clock.after(60);
    let rules = Rules::new(move |_| Ok(Grant::all().expires_at(expiry)));
    let broker = ruled_and_timed_by(&rules, &clock);
    let mut reader = broker.subscribe(asks("*", "*").principal(who("6f1c"))).expect("open");
    publish_all(&broker, [1, 2]);
    assert_eq!(indexes_now(&mut reader), [1, 2]);
    clock.advance(std::time::Duration::from_secs(60));
    publish_all(&broker, [2]);
    assert_end(&mut reader, &RecvError::Expired);
    assert_eq!(RecvError::Expired.to_string(), "access expired");
}

/// Paths that may be read, event by event.
struct Paths;

impl Authorizer<u64> for Paths {
    fn permits(&self, principal: &Principal, event: &Event<u64>) -> bool {
        principal.id() == "6f1c" && event.key().as_str().starts_with("allowed/")
    }
}

/// `TestEventStream_VariableFilter`: four publishes under one index, of which the two with an allowed path arrive.
#[test]
fn event_stream_variable_filter() {
    let broker = Broker::<u64>::builder().authorizer(Paths).build().expect("defaults");
    let asked = |id: &str| broker.subscribe(asks("Variable", "*").principal(who(id))).expect("open");
    let (mut allowed, mut stranger) = (asked("6f1c"), asked("stranger"));
    for path in ["allowed/a", "other/b", "allowed/c", "otherwise/d"] {
        let event = Event::new("Variable", "VariableUpserted", path, 0).with_namespace("default");
        broker.publish(1, [event]).expect("an equal index is a further batch");
    }
    assert_eq!(keys_now(&mut allowed), [["allowed/a"], ["allowed/c"]]);
    assert!(keys_now(&mut stranger).is_empty());
}

/// The strongest right is needed for unlisted topics, and `*` is such a topic.
#[test]
fn a_request_without_terms_needs_what_the_wildcard_needs() {
    let may_everything = Arc::new(AtomicBool::new(false));
    let rights = Arc::clone(&may_everything);
    let rules = Rules::new(move |request| {
        assert_eq!(request.terms(), [Term::ALL]);
        let held = if rights.load(Ordering::SeqCst) { Rights::management() } else { Rights::anonymous() };
        rights::decide(request, &held)
    });
    let broker = ruled_by(&rules);
    assert!(matches!(broker.subscribe(Request::new()), Err(SubscribeError::Denied(_))));
    may_everything.store(true, Ordering::SeqCst);
    assert!(broker.subscribe(Request::new()).is_ok());
}
