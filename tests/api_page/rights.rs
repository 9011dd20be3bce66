//! The table of required rights, row by row, and the text beside it. Rights are given in the library's own text form.

use event_broker::nomad::rights::{NamespaceRight, Required, Rights, required};
use event_broker::nomad::{AclAuthorizer, Query, Resolved, topic};
use event_broker::{Broker, Principal, SubscribeError, Topic};

/// Whether a principal with these rights may send this query.
fn may(rights: &str, query: &str) -> bool {
    let rights: Rights = rights.parse().expect("rights");
    let authorizer = AclAuthorizer::new(move |_: &Principal| Ok(Resolved::new(rights.clone())));
    let broker = Broker::<()>::builder().authorizer(authorizer).build().expect("defaults");
    match broker.subscribe(Query::parse(query).expect("a query").into_request()) {
        Ok(_) => true,
        Err(SubscribeError::Denied(_)) => false,
        Err(other) => panic!("expected access or its denial, got: {other}"),
    }
}

const READ_JOB: Required = Required::Namespace(NamespaceRight::ReadJob);

/// The page's table, in its order; `None` is `*`.
const TABLE: [(Option<Topic>, Required, &str); 11] = [
    (None, Required::Management, "management"),
    (Some(topic::ACL_TOKEN), Required::Management, "management"),
    (Some(topic::ACL_POLICY), Required::Management, "management"),
    (Some(topic::ACL_ROLE), Required::Management, "management"),
    (Some(topic::JOB), READ_JOB, "namespace:read-job"),
    (Some(topic::ALLOCATION), READ_JOB, "namespace:read-job"),
    (Some(topic::DEPLOYMENT), READ_JOB, "namespace:read-job"),
    (Some(topic::EVALUATION), READ_JOB, "namespace:read-job"),
    (Some(topic::NODE), Required::NodeRead, "node:read"),
    (Some(topic::NODE_POOL), Required::Management, "management"),
    (Some(topic::SERVICE), READ_JOB, "namespace:read-job"),
];

/// Every row: what it needs is enough, and anything less is not.
#[test]
fn every_row_of_the_table() {
    for (topic, needed, text) in &TABLE {
        assert_eq!((required(topic.as_ref()), required(topic.as_ref()).to_string()), (*needed, (*text).to_owned()));
        let query = format!("topic={}", topic.as_ref().map_or("*", Topic::as_str));
        assert!(may("management", &query), "{query}");
        assert!(!may("anonymous", &query), "{query}");
        assert_eq!(may("namespace:default:read-job", &query), *needed == READ_JOB, "{query}");
        assert!(!may("namespace:other:read-job", &query), "{query}");
        assert_eq!(may("node:read", &query), *needed == Required::NodeRead, "{query}");
    }
}

/// "If you do not include a `topic` parameter all topics will be included by default, requiring a management token."
#[test]
fn no_topic_needs_management() {
    assert!(may("management", ""));
    assert!(!may("namespace:*:read-job,node:read", ""));
}

/// "If you specify all namespaces (`*`) you'll either need a management token, or an ACL Policy that explicitly applies
/// to all namespaces (`*`)."
#[test]
fn all_namespaces_need_management_or_a_policy_for_all() {
    let query = "topic=Job&namespace=*";
    assert!(may("management", query));
    assert!(may("namespace:*:read-job", query));
    assert!(!may("namespace:default:read-job,namespace:prod:read-job", query));
}

/// "Individual topics require specific policies": each that is asked for, and in each namespace.
#[test]
fn every_topic_and_namespace_must_be_covered() {
    assert!(may("namespace:default:read-job,node:read", "topic=Job&topic=Node"));
    assert!(!may("namespace:default:read-job", "topic=Job&topic=Node"));
    assert!(!may("namespace:default:read-job", "topic=Job&namespace=default&namespace=prod"));
    assert!(may("namespace:default:read-job,namespace:prod:read-job", "topic=Job&namespace=default&namespace=prod"));
}

/// Topics that the page lists without a right, and topics that it does not list, need the strongest.
#[test]
fn topics_without_a_row_need_management() {
    for topic in ["NodeDrain", "ACLRoles", "Variable", "job"] {
        let query = format!("topic={topic}");
        assert!(may("management", &query) && !may("namespace:*:read-job,node:read", &query), "{topic}");
    }
}

/// A key does not lower the right that its topic needs.
#[test]
fn a_key_lowers_nothing() {
    assert!(!may("namespace:default:read-job", "topic=Node:n1"));
    assert!(!may("namespace:default:read-job", "topic=*:web"));
}
