//! The host's side of a test: payloads, a table of rules, a manual clock, an observer that counts. Both brokers ask the
//! same table.

#[path = "../common/clock.rs"]
mod clock;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use event_broker::{
    AccessChange, AccessRequest, Authorizer, Denial, Event, Grant, Lagged, Namespace, Observer, Principal, RecvError,
    SubscriptionId, Topic,
};

use serde::{Serialize, Serializer};

pub(crate) use clock::ManualClock;

use super::op::{Change, EventSpec, Rule};

/// The payload of every event: its unique number in the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub id: u64,
    pub weight: u64,
    pub change: Option<Change>,
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.id)
    }
}

impl EventSpec {
    /// Every other event has literal names, which a broker may know by their address.
    pub fn event(&self, id: u64, change: Option<Change>) -> Event<Load> {
        let (topic, namespace) = if id.is_multiple_of(2) {
            (Topic::from(self.topic), Namespace::from(self.namespace))
        } else {
            (Topic::from_static(self.topic), Namespace::from_static(self.namespace))
        };
        Event::new(topic, self.kind, self.key, Load { id, weight: self.weight, change })
            .with_namespace(namespace)
            .with_filter_keys(self.filter_keys.iter().copied())
    }
}

impl Change {
    pub fn announced(self) -> AccessChange {
        match self {
            Self::TokenDeleted(id) => AccessChange::TokenDeleted(id.into()),
            Self::Token(id) => AccessChange::Token(id.into()),
            Self::Policy(name) => AccessChange::Policy(name.into()),
            Self::Role(id) => AccessChange::Role(id.into()),
            Self::Everyone => AccessChange::Everyone,
        }
    }
}

/// The table of rules, shared by the authorizer of the real broker and the naive one.
#[derive(Clone, Debug)]
pub struct Rules {
    table: Arc<Mutex<BTreeMap<String, Rule>>>,
    clock: ManualClock,
}

impl Rules {
    pub fn new(clock: ManualClock) -> Self {
        Self { table: Arc::default(), clock }
    }

    pub fn set(&self, principal: &str, rule: Rule) {
        self.table.lock().unwrap().insert(principal.to_owned(), rule);
    }

    /// The rule of a principal, or the default, in which one principal's grants expire from the beginning.
    pub fn of(&self, principal: &str) -> Rule {
        let ttl = (principal == "bob").then_some(20);
        let rule = self.table.lock().unwrap().get(principal).cloned();
        rule.unwrap_or_else(|| Rule { ttl, ..Rule::default() })
    }
}

impl Authorizer<Load> for Rules {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        let rule = self.of(request.principal().id());
        if !rule.allowed {
            return Err(Denial::new("by the table"));
        }
        let mut grant = match rule.namespaces {
            Some(names) => Grant::namespaces(names),
            None => Grant::all(),
        };
        if let Some(ttl) = rule.ttl {
            grant = grant.expires_at(self.clock.at(self.clock.millis() + ttl));
        }
        if let Some(token) = rule.token {
            grant = grant.resting_on_token(token);
        }
        if let Some(policy) = rule.policy {
            grant = grant.resting_on_policy(policy);
        }
        if let Some(role) = rule.role {
            grant = grant.resting_on_role(role);
        }
        Ok(if rule.checks_events { grant } else { grant.without_event_checks() })
    }

    fn permits(&self, principal: &Principal, event: &Event<Load>) -> bool {
        self.of(principal.id()).forbidden_key.is_none_or(|forbidden| event.key() != forbidden)
    }

    fn changes(&self, event: &Event<Load>, changes: &mut Vec<AccessChange>) {
        changes.extend(event.payload().change.map(Change::announced));
    }
}

/// The sums of what an observer received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub published: u64,
    pub events: u64,
    pub evicted: u64,
    pub evicted_through: u64,
    pub subscribed: u64,
    pub missed: u64,
    pub ended: u64,
}

#[derive(Debug, Default)]
pub struct CountingObserver(Mutex<Observed>);

impl CountingObserver {
    pub fn observed(&self) -> Observed {
        *self.0.lock().unwrap()
    }
}

impl Observer for CountingObserver {
    fn on_publish(&self, _index: u64, events: usize) {
        let mut observed = self.0.lock().unwrap();
        observed.published += 1;
        observed.events += events as u64;
    }

    fn on_evict(&self, batches: u64, through: u64) {
        let mut observed = self.0.lock().unwrap();
        observed.evicted += batches;
        observed.evicted_through = through;
    }

    fn on_subscribe(&self, _id: SubscriptionId) {
        self.0.lock().unwrap().subscribed += 1;
    }

    fn on_lag(&self, _id: SubscriptionId, lagged: &Lagged) {
        self.0.lock().unwrap().missed += lagged.missed;
    }

    fn on_end(&self, _id: SubscriptionId, _end: Option<&RecvError>) {
        self.0.lock().unwrap().ended += 1;
    }
}
