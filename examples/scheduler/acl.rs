//! The authorizer: who may read what, by the tokens, policies and roles in the store.
//!
//! The rights that a topic needs come from the crate's own table.

use std::sync::{Arc, Weak};

use event_broker::nomad::rights::Rights;
use event_broker::nomad::{AclAuthorizer, Resolved, Resolver};
use event_broker::{Denial, Key, Principal};

use crate::model::{Policy, Role, Token};
use crate::store::{Store, Tables};

/// The policy for requests without a token.
const ANONYMOUS: Key = Key::from_static("anonymous");

/// Looks tokens up in the committed state whenever the broker asks.
///
/// It does not keep the store alive: the store's server holds the broker, and the broker holds this.
#[derive(Debug)]
pub(crate) struct Acl {
    store: Weak<Store>,
}

impl Acl {
    pub(crate) fn authorizer(store: &Arc<Store>) -> AclAuthorizer<Self> {
        AclAuthorizer::new(Self { store: Arc::downgrade(store) })
    }
}

impl Resolver for Acl {
    type Capabilities = Rights;

    fn resolve(&self, principal: &Principal) -> Result<Resolved<Rights>, Denial> {
        let store = self.store.upgrade().ok_or_else(|| Denial::new("the server is gone"))?;
        lookup(&store.read(), principal)
    }
}

fn lookup(tables: &Tables, principal: &Principal) -> Result<Resolved<Rights>, Denial> {
    let Some(secret) = principal.secret() else {
        let rights = union(tables, [&ANONYMOUS])?;
        return Ok(Resolved::new(rights).resting_on_policy(ANONYMOUS.as_str()));
    };
    let token = tables
        .tokens
        .get(principal.id())
        .filter(|token| token.secret == secret)
        .ok_or_else(|| Denial::new("token not found"))?;
    let roles = token.roles.iter().filter_map(|id| tables.roles.get(id));
    let policies: Vec<&Key> = token.policies.iter().chain(roles.flat_map(|role| &role.policies)).collect();
    let rights = match token.r#type {
        "management" => Rights::management(),
        _ => union(tables, policies.iter().copied())?,
    };
    // Missing policies and roles are named too: when they are created, the answer changes.
    let resolved = policies.iter().fold(Resolved::new(rights), |found, name| found.resting_on_policy(name.as_str()));
    let resolved = token.roles.iter().fold(resolved, |found, id| found.resting_on_role(id.as_str()));
    Ok(match token.expires_at {
        Some(expiry) => resolved.expires_at(expiry),
        None => resolved,
    })
}

/// What the policies of these names allow together. A policy that is not in the store allows nothing.
fn union<'a>(tables: &Tables, policies: impl IntoIterator<Item = &'a Key>) -> Result<Rights, Denial> {
    let rules = policies.into_iter().filter_map(|name| tables.policies.get(name)).map(|policy| policy.rules.as_str());
    match rules.collect::<Vec<_>>().join(",") {
        none if none.is_empty() => Ok(Rights::anonymous()),
        rules => rules.parse().map_err(|error| Denial::new(format!("a policy cannot be read: {error}"))),
    }
}

/// A token and its principal.
pub(crate) fn token(name: &'static str, kind: &'static str, policies: &[&str], roles: &[&str]) -> (Token, Principal) {
    let keys = |names: &[&str]| names.iter().copied().map(Key::from).collect();
    let token = Token {
        accessor_id: Key::from(format!("accessor-of-{name}")),
        secret: format!("secret-of-{name}"),
        name,
        r#type: kind,
        policies: keys(policies),
        roles: keys(roles),
        expires_at: None,
        create_index: 0,
        modify_index: 0,
    };
    let principal = Principal::new(token.accessor_id.as_str()).with_secret(token.secret.as_str());
    (token, principal)
}

pub(crate) fn policy(name: &str, rules: impl Into<String>) -> Policy {
    let description = "what its readers need";
    Policy { name: name.into(), description, rules: rules.into(), create_index: 0, modify_index: 0 }
}

pub(crate) fn role(name: &str, policies: &[&str]) -> Role {
    let policies = policies.iter().copied().map(Key::from).collect();
    Role { id: Key::from(format!("role-{name}")), name: name.into(), policies, create_index: 0, modify_index: 0 }
}
