//! The readers of the main job: what each asks for, with which token, by which way of reading, and how it must end.
//!
//! The checks need each request a second time, as a plain function; it is written beside the request.

use std::time::Instant;

use event_broker::nomad::event_type as happened;
use event_broker::{Event, Principal};

use crate::acl::{policy, role, token};
use crate::checks::Wants;
use crate::cluster::SAMPLE_NODE;
use crate::model::{Object, Token};
use crate::store::Commit;

/// How a reader reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Blocking,
    Streaming,
    Idling,
    Ringing,
    Stalling,
    Resuming,
}

/// How a reader must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Closed,
    Revoked,
    Expired,
}

/// The request of a reader and how it reads and ends.
#[derive(Debug)]
pub(crate) struct ReaderPlan {
    pub(crate) name: &'static str,
    pub(crate) query: String,
    pub(crate) token: &'static str,
    pub(crate) wants: Wants,
    /// The index in its query.
    pub(crate) from: u64,
    pub(crate) way: Way,
    pub(crate) ending: Ending,
}

/// The token that loses its policy.
pub(crate) const TEMPORARY: &str = "temporary";
/// The token that expires.
pub(crate) const GUEST: &str = "guest";
const DEFAULT: &str = "namespace:default:read-job";

/// Tokens: name, type, policies, roles.
const TOKENS: &[(&str, &str, &[&str], &[&str])] = &[
    ("operator", "management", &[], &[]),
    ("watcher", "client", &[], &["role-watchers"]),
    ("planner", "client", &["read-default", "read-nodes"], &[]),
    ("roamer", "client", &["read-all"], &[]),
    (TEMPORARY, "client", &["read-temporarily"], &[]),
    (GUEST, "client", &["read-default"], &[]),
];
const POLICIES: &[(&str, &str)] = &[
    ("read-default", DEFAULT),
    ("read-nodes", "node:read"),
    ("read-all", "namespace:*:read-job"),
    ("read-temporarily", DEFAULT),
];

/// A token by its name.
pub(crate) fn member(name: &str) -> Option<(Token, Principal)> {
    let (name, kind, policies, roles) = TOKENS.iter().find(|(known, ..)| *known == name)?;
    Some(token(name, kind, policies, roles))
}

/// The principal of a token.
pub(crate) fn principal(name: &str) -> Principal {
    member(name).map_or(Principal::anonymous(), |(_, principal)| principal)
}

/// All secrets.
pub(crate) fn secrets() -> Vec<String> {
    TOKENS.iter().filter_map(|(name, ..)| Some(member(name)?.0.secret)).collect()
}

/// Writes all tokens except the guest's, whose time must not run yet.
pub(crate) fn admit(commit: &mut Commit<'_>) {
    for (name, rules) in POLICIES {
        commit.put(happened::ACL_POLICY_UPSERTED, policy(name, *rules));
    }
    commit.put(happened::ACL_ROLE_UPSERTED, role("watchers", &["read-default"]));
    for (token, _) in TOKENS.iter().filter(|(name, ..)| *name != GUEST).filter_map(|(name, ..)| member(name)) {
        commit.put(happened::ACL_TOKEN_UPSERTED, token);
    }
}

/// Gives the guest a token that expires at this time.
pub(crate) fn admit_guest(commit: &mut Commit<'_>, expiry: Instant) {
    if let Some((token, _)) = member(GUEST) {
        commit.put(happened::ACL_TOKEN_UPSERTED, Token { expires_at: Some(expiry), ..token });
    }
}

/// Removes the policy from the token; the token itself remains.
pub(crate) fn strip(commit: &mut Commit<'_>, token: Token) {
    commit.put(happened::ACL_TOKEN_UPSERTED, Token { policies: Vec::new(), ..token });
}

/// Changes a policy of several readers without removing what they need.
pub(crate) fn widen(commit: &mut Commit<'_>) {
    commit.put(happened::ACL_POLICY_UPSERTED, policy("read-default", format!("{DEFAULT},namespace:prod:read-job")));
}

fn is_default(event: &Event<Object>) -> bool {
    matches!(event.namespace().as_str(), "" | "default")
}

fn is(event: &Event<Object>, topic: &str) -> bool {
    event.topic() == topic
}

fn has_key(event: &Event<Object>, wanted: &str) -> bool {
    event.key() == wanted || event.filter_keys().iter().any(|key| key == wanted)
}

/// The readers, in the order of the table.
pub(crate) fn reader_plans() -> Vec<ReaderPlan> {
    let plan = |name, query: &str, token, wants: Wants| ReaderPlan {
        name,
        query: query.to_owned(),
        token,
        wants,
        from: 0,
        way: Way::Blocking,
        ending: Ending::Closed,
    };
    let node = format!("topic=Node:{SAMPLE_NODE}&topic=Deployment&topic=Job:web");
    vec![
        plan("everything", "", "operator", is_default),
        plan("all namespaces", "namespace=*", "operator", |_| true),
        ReaderPlan {
            from: 100,
            ..plan("evaluations", "index=100&topic=Evaluation", "watcher", |event| {
                is(event, "Evaluation") && is_default(event)
            })
        },
        plan("mixed topics", &node, "planner", |event| {
            let is_topic = is(event, "Node") && has_key(event, SAMPLE_NODE)
                || is(event, "Deployment")
                || is(event, "Job") && has_key(event, "web");
            is_topic && is_default(event)
        }),
        ReaderPlan {
            ending: Ending::Revoked,
            ..plan("loses its policy", "topic=Job&topic=Allocation", TEMPORARY, |event| {
                (is(event, "Job") || is(event, "Allocation")) && is_default(event)
            })
        },
        ReaderPlan {
            way: Way::Idling,
            ending: Ending::Expired,
            ..plan("idle guest (task)", "topic=Job:nothing", GUEST, |event| {
                is(event, "Job") && has_key(event, "nothing") && is_default(event)
            })
        },
        ReaderPlan {
            way: Way::Stalling,
            ..plan("stalls", "topic=Allocation&namespace=*", "roamer", |event| is(event, "Allocation"))
        },
        ReaderPlan {
            way: Way::Resuming,
            ..plan("goes and resumes", "topic=Evaluation&namespace=prod", "roamer", |event| {
                is(event, "Evaluation") && event.namespace() == "prod"
            })
        },
        ReaderPlan {
            way: Way::Streaming,
            ..plan("stream (task)", "topic=Service&topic=Job:redis", "watcher", |event| {
                (is(event, "Service") || is(event, "Job") && has_key(event, "redis")) && is_default(event)
            })
        },
        ReaderPlan {
            way: Way::Ringing,
            ..plan("doorbell", "topic=*:redis&namespace=default&namespace=prod", "operator", |event| {
                has_key(event, "redis")
            })
        },
    ]
}
