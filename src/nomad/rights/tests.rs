//! Tests of the policy: every row of the API's table, and the rows of the server's own tests.
//! The text form of rights is tested beside it, in `set`.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own rights has failed")]

use std::cell::Cell;
use std::fmt::Write as _;

use super::*;
use crate::nomad::Query;
use crate::types::principal::Principal;
use crate::types::request::Request;

/// Decides `query` for a holder of `rights`, and returns the reason if it is denied.
fn answer(rights: &str, query: &str) -> Result<(), String> {
    let held: Rights = rights.parse().unwrap();
    answer_to(&held, query)
}

fn answer_to(held: &dyn Capabilities, query: &str) -> Result<(), String> {
    let request: Request<()> = Query::parse(query).unwrap().into_request();
    let principal = Principal::new("accessor").with_secret("hunter2");
    let scope = request.scope().unwrap();
    let terms = match request.requested_terms() {
        [] => &[crate::Term::ALL],
        terms => terms,
    };
    match decide(&AccessRequest::new(&principal, terms, &scope), held) {
        Ok(grant) => {
            assert_eq!(grant, Grant::all());
            Ok(())
        }
        Err(denial) => {
            assert!(!denial.reason().contains("hunter2"));
            Err(denial.reason().to_owned())
        }
    }
}

#[test]
fn every_row_of_the_page_needs_exactly_its_right() {
    let rows = [
        ("*", "management"),
        ("ACLToken", "management"),
        ("ACLPolicy", "management"),
        ("ACLRole", "management"),
        ("Job", "namespace:read-job"),
        ("Allocation", "namespace:read-job"),
        ("Deployment", "namespace:read-job"),
        ("Evaluation", "namespace:read-job"),
        ("Node", "node:read"),
        ("NodePool", "management"),
        ("Service", "namespace:read-job"),
        // Topics that the page lists without a right, and topics that it does not list.
        ("NodeDrain", "management"),
        ("ACLRoles", "management"),
        ("Variable", "management"),
        ("job", "management"),
    ];
    for (topic, needed) in rows {
        let query = format!("topic={topic}:some-key");
        assert_eq!(answer("management", &query), Ok(()));
        let shown = if topic == "*" { "*".to_owned() } else { format!("{topic:?}") };
        let place = if needed == "namespace:read-job" { " in the namespace \"default\"" } else { "" };
        let denied = Err(format!("topic {shown}{place} needs {needed}"));
        assert_eq!(answer("anonymous", &query), denied);
        let (with, without) = match needed {
            "management" => (None, vec!["namespace:*:read-job,node:read"]),
            "node:read" => (Some("node:read"), vec!["namespace:*:read-job"]),
            _ => (Some("namespace:default:read-job"), vec!["node:read"]),
        };
        if let Some(rights) = with {
            assert_eq!(answer(rights, &query), Ok(()), "{topic}");
        }
        for rights in without {
            assert_eq!(answer(rights, &query), denied, "{topic}");
        }
    }
}

// Conformance: _validateNsOp. Host volumes, CSI and variables are not topics of the page, so only management reads them
// here. The server's own finer rules for them belong to a per-event hook.
#[test]
fn validate_ns_op() {
    let jobs = "namespace:foo:read-job";
    let read_job = "topic=Evaluation&topic=Job&topic=Deployment&topic=Allocation&topic=Service";
    let rows = [
        ("read-job topics, right namespace", jobs, format!("{read_job}&namespace=foo"), true),
        ("read-job topics, wrong namespace", jobs, format!("{read_job}&namespace=bar"), false),
        ("all topics, management", "management", "topic=*".to_owned(), true),
        ("all topics, policy", jobs, "topic=*&namespace=foo".to_owned(), false),
        ("node, node policy", "node:read", "topic=Node&namespace=foo".to_owned(), true),
        ("evaluation and node, job policy", jobs, "topic=Evaluation&topic=Node&namespace=foo".to_owned(), false),
        ("node pool, management", "management", "topic=NodePool".to_owned(), true),
        ("node pool, policy", jobs, "topic=NodePool&namespace=foo".to_owned(), false),
        ("host volume, management", "management", "topic=HostVolume".to_owned(), true),
        ("host volume, policy", jobs, "topic=HostVolume&namespace=foo".to_owned(), false),
        ("csi volume, policy", jobs, "topic=CSIVolume&namespace=foo".to_owned(), false),
        ("csi plugin, policy", jobs, "topic=CSIPlugin&namespace=foo".to_owned(), false),
        ("variables, policy", jobs, "topic=Variable&namespace=foo".to_owned(), false),
        ("variables, management", "management", "topic=Variable&namespace=*".to_owned(), true),
    ];
    for (row, rights, query, allowed) in rows {
        assert_eq!(answer(rights, &query).is_ok(), allowed, "{row}");
    }
}

// Conformance: _validateACL.
#[test]
fn validate_acl() {
    let denied = Err("namespace * needs management, or namespace:read-job that covers *".to_owned());
    assert_eq!(answer("namespace:foo:read-job", "topic=Job&namespace=*"), denied);
    assert_eq!(answer("namespace:*:read-job", "topic=Job&namespace=*"), Ok(()));
    assert_eq!(answer("namespace:foo:read-job", "topic=Job&namespace=foo"), Ok(()));
    // Whatever the topics are, including those whose objects have no namespace.
    assert_eq!(answer("node:read", "topic=Node&namespace=*"), denied);
    assert_eq!(answer("node:read,namespace:*:read-job", "topic=Node&namespace=*&namespace=foo"), Ok(()));
    assert_eq!(answer("management", "topic=Node&namespace=*"), Ok(()));
}

#[test]
fn one_uncovered_namespace_or_topic_denies_the_whole_request() {
    let held = "namespace:a:read-job,namespace:c:read-job";
    assert_eq!(answer(held, "topic=Job&namespace=a&namespace=c"), Ok(()));
    let b = Err(r#"topic "Service" in the namespace "b" needs namespace:read-job"#.to_owned());
    assert_eq!(answer(held, "topic=Service&topic=Job&namespace=a&namespace=b&namespace=c"), b);
    let node = Err(r#"topic "Node" needs node:read"#.to_owned());
    assert_eq!(answer(held, "topic=Job&topic=Node:n1&namespace=a"), node);
    assert_eq!(answer(held, "topic=Job&topic=*:web&namespace=a"), Err("topic * needs management".to_owned()));
}

#[test]
fn a_question_without_terms_is_one_for_everything() {
    let (principal, scope) = (Principal::anonymous(), Scope::default());
    let asked = AccessRequest::new(&principal, &[], &scope);
    let held: Rights = "namespace:*:read-job,node:read".parse().unwrap();
    assert_eq!(decide(&asked, &held).unwrap_err().reason(), "topic * needs management");
    assert_eq!(decide(&asked, &Rights::management()), Ok(Grant::all()));
}

#[test]
fn a_denial_shows_no_more_of_a_name_than_an_excerpt() {
    let reason = answer("anonymous", &format!("topic={}%0A", "x".repeat(4000))).unwrap_err();
    assert_eq!(reason, format!("topic \"{}…\" needs management", "x".repeat(64)));
}

#[test]
fn many_topics_in_many_namespaces_cost_their_sum() {
    struct Counting(Cell<usize>);
    impl Capabilities for Counting {
        fn is_management(&self) -> bool {
            false
        }
        fn allows_namespace(&self, _: &Namespace, _: NamespaceRight) -> bool {
            self.0.set(self.0.get() + 1);
            true
        }
        fn allows_node_read(&self) -> bool {
            true
        }
    }
    let mut query = String::from("topic=Job:web&topic=Node");
    for n in 0..100 {
        write!(query, "&topic=Job:{n}&namespace={n}").unwrap();
    }
    let counting = Counting(Cell::new(0));
    assert_eq!(answer_to(&counting, &query), Ok(()));
    assert_eq!(counting.0.get(), 100);
}
