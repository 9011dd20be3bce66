//! The builder of a plausible event: its topic, type, key, namespace and filter keys.
//! What its payload holds is decided in `payload`, or by the caller.

use crate::nomad::{event_type, topic};
use crate::types::event::Event;
use crate::types::name::{EventType, Key, Namespace, Topic};

/// What kind of object an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Node,
    NodePool,
    Job,
    Allocation,
    Evaluation,
    Deployment,
    Service,
    AclToken,
    AclPolicy,
    AclRole,
}

/// A plausible event in the making. See the [module](crate::testing::sample) for what each kind has.
///
/// ```
/// use event_broker::testing::{Outline, sample};
/// use event_broker::{Batch, nomad::event_type};
///
/// let batch = Batch::new(7, vec![
///     sample::job("web").namespace("prod").with_payload(1),
///     sample::allocation("a1").namespace("prod").of_job("web").on_node("ccc4").deployment("d1").with_payload(2),
///     sample::node("ccc4").event_type(event_type::NODE_ELIGIBILITY).with_payload(3),
/// ]);
/// assert_eq!(Outline::of(&batch).lines(), [
///     "7 Job/JobRegistered prod:web",
///     "7 Allocation/AllocationCreated prod:a1 [web, d1]",
///     "7 Node/NodeEligibility ccc4",
/// ]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub(super) kind: Kind,
    pub(super) key: Key,
    /// The name of a service or a role.
    pub(super) name: Key,
    pub(super) namespace: Namespace,
    pub(super) event_type: EventType,
    pub(super) job: Key,
    pub(super) node: Key,
    pub(super) deployment: Key,
    pub(super) allocation: Key,
    pub(super) index: u64,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $function:ident($($name:ident),+) = $kind:ident, $type:ident, $namespace:ident;)*) => {$(
        $(#[$doc])*
        pub fn $function($($name: impl Into<Key>),+) -> Sample {
            Sample::of(Kind::$kind, event_type::$type, Namespace::$namespace, &[$($name.into()),+])
        }
    )*};
}

kinds! {
    /// Begins an event of a node.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::node("ccc4ce56-7f0a-4124-b8b1-a4015aa82c40").with_payload(());
    /// assert_eq!((event.topic().as_str(), event.event_type().as_str()), ("Node", "NodeRegistration"));
    /// assert!(event.namespace().is_empty() && event.filter_keys().is_empty());
    /// ```
    node(id) = Node, NODE_REGISTRATION, NONE;
    /// Begins an event of a node pool.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::node_pool("gpu").with_payload(());
    /// assert_eq!((event.topic().as_str(), event.event_type().as_str()), ("NodePool", "NodePoolUpserted"));
    /// ```
    node_pool(name) = NodePool, NODE_POOL_UPSERTED, NONE;
    /// Begins an event of a job.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::job("web").with_payload(());
    /// assert_eq!((event.topic().as_str(), event.event_type().as_str()), ("Job", "JobRegistered"));
    /// assert_eq!(event.namespace().as_str(), "default");
    /// ```
    job(id) = Job, JOB_REGISTERED, DEFAULT;
    /// Begins an event of an allocation.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::allocation("a1").of_job("web").on_node("ccc4").deployment("d1").with_payload(());
    /// assert_eq!(event.filter_keys(), ["web", "d1"], "the HTTP API finds no allocation by its node");
    /// assert!(sample::allocation("a1").with_payload(()).filter_keys().is_empty());
    /// ```
    allocation(id) = Allocation, ALLOCATION_CREATED, DEFAULT;
    /// Begins an event of an evaluation.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::evaluation("e1").of_job("web").with_payload(());
    /// assert_eq!((event.event_type().as_str(), event.filter_keys()), ("EvaluationUpdated", &["web".into()][..]));
    /// ```
    evaluation(id) = Evaluation, EVALUATION_UPDATED, DEFAULT;
    /// Begins an event of a deployment.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::deployment("d1").of_job("web").with_payload(());
    /// assert_eq!((event.event_type().as_str(), event.filter_keys()), ("DeploymentStatusUpdate", &["web".into()][..]));
    /// ```
    deployment(id) = Deployment, DEPLOYMENT_STATUS_UPDATE, DEFAULT;
    /// Begins an event of the registration of a service of this name.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::service("s1", "web-http").of_job("web").with_payload(());
    /// assert_eq!((event.key().as_str(), event.filter_keys()), ("s1", &["web".into(), "web-http".into()][..]));
    /// ```
    service(id, name) = Service, SERVICE_REGISTRATION, DEFAULT;
    /// Begins an event of an ACL token with this public id.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::acl_token("b780").with_payload(());
    /// assert_eq!((event.topic().as_str(), event.event_type().as_str()), ("ACLToken", "ACLTokenUpserted"));
    /// ```
    acl_token(accessor_id) = AclToken, ACL_TOKEN_UPSERTED, NONE;
    /// Begins an event of an ACL policy.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::acl_policy("readonly").with_payload(());
    /// assert_eq!((event.topic().as_str(), event.event_type().as_str()), ("ACLPolicy", "ACLPolicyUpserted"));
    /// ```
    acl_policy(name) = AclPolicy, ACL_POLICY_UPSERTED, NONE;
    /// Begins an event of an ACL role of this name.
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::acl_role("r1", "operators").with_payload(());
    /// assert_eq!((event.topic().as_str(), event.filter_keys()), ("ACLRole", &["operators".into()][..]));
    /// ```
    acl_role(id, name) = AclRole, ACL_ROLE_UPSERTED, NONE;
}

impl Sample {
    /// The last of the names is the object's name, the first its id.
    fn of<const N: usize>(kind: Kind, event_type: EventType, namespace: Namespace, names: &[Key; N]) -> Self {
        let none = Key::default;
        Self {
            kind,
            key: names.first().cloned().unwrap_or_default(),
            name: names.last().cloned().unwrap_or_default(),
            namespace,
            event_type,
            job: none(),
            node: none(),
            deployment: none(),
            allocation: none(),
            index: 0,
        }
    }

    /// Sets the namespace.
    ///
    /// # Panics
    ///
    /// Panics if the kind has none: nodes, node pools, and what belongs to access.
    #[must_use]
    #[track_caller]
    pub fn namespace(self, namespace: impl Into<Namespace>) -> Self {
        use Kind::{Allocation, Deployment, Evaluation, Job, Service};

        self.expect("namespace", &[Job, Allocation, Evaluation, Deployment, Service]);
        Self { namespace: namespace.into(), ..self }
    }

    /// Sets what happened to the object.
    #[must_use]
    pub fn event_type(self, event_type: impl Into<EventType>) -> Self {
        Self { event_type: event_type.into(), ..self }
    }

    /// Sets the job, by which the event can then be found.
    ///
    /// # Panics
    ///
    /// Panics if this is no allocation, evaluation, deployment or service.
    #[must_use]
    #[track_caller]
    pub fn of_job(self, id: impl Into<Key>) -> Self {
        self.expect("job", &[Kind::Allocation, Kind::Evaluation, Kind::Deployment, Kind::Service]);
        Self { job: id.into(), ..self }
    }

    /// Sets the node, which is in the payload and no filter key.
    ///
    /// # Panics
    ///
    /// Panics if this is no allocation, evaluation or service.
    #[must_use]
    #[track_caller]
    pub fn on_node(self, id: impl Into<Key>) -> Self {
        self.expect("node", &[Kind::Allocation, Kind::Evaluation, Kind::Service]);
        Self { node: id.into(), ..self }
    }

    /// Sets the deployment, by which the event can then be found.
    ///
    /// # Panics
    ///
    /// Panics if this is no allocation or evaluation.
    #[must_use]
    #[track_caller]
    pub fn deployment(self, id: impl Into<Key>) -> Self {
        self.expect("deployment", &[Kind::Allocation, Kind::Evaluation]);
        Self { deployment: id.into(), ..self }
    }

    /// Sets the allocation that provides a service. It is in the payload and no filter key.
    ///
    /// # Panics
    ///
    /// Panics if this is no service.
    #[must_use]
    #[track_caller]
    pub fn of_allocation(self, id: impl Into<Key>) -> Self {
        self.expect("allocation", &[Kind::Service]);
        Self { allocation: id.into(), ..self }
    }

    /// Sets the commit that the payload names as the one that created and changed the object. Publishing stamps the
    /// event itself, and does not look into payloads.
    #[must_use]
    pub fn committed_at(self, index: u64) -> Self {
        Self { index, ..self }
    }

    #[track_caller]
    fn expect(&self, what: &str, kinds: &[Kind]) {
        assert!(kinds.contains(&self.kind), "{:?} has no {what}; {kinds:?} have one", self.kind);
    }

    /// Returns the event with this payload.
    pub fn with_payload<P>(self, payload: P) -> Event<P> {
        let keys = self.filter_keys();
        Event::new(self.topic(), self.event_type, self.key, payload)
            .with_namespace(self.namespace)
            .with_filter_keys(keys)
    }

    pub(super) fn topic(&self) -> Topic {
        match self.kind {
            Kind::Node if self.event_type == event_type::NODE_DRAIN => topic::NODE_DRAIN,
            Kind::Node => topic::NODE,
            Kind::NodePool => topic::NODE_POOL,
            Kind::Job => topic::JOB,
            Kind::Allocation => topic::ALLOCATION,
            Kind::Evaluation => topic::EVALUATION,
            Kind::Deployment => topic::DEPLOYMENT,
            Kind::Service => topic::SERVICE,
            Kind::AclToken => topic::ACL_TOKEN,
            Kind::AclPolicy => topic::ACL_POLICY,
            Kind::AclRole => topic::ACL_ROLE,
        }
    }

    fn filter_keys(&self) -> Vec<Key> {
        let keys: &[&Key] = match self.kind {
            Kind::Allocation | Kind::Evaluation => &[&self.job, &self.deployment],
            Kind::Deployment => &[&self.job],
            Kind::Service => &[&self.job, &self.name],
            Kind::AclRole => &[&self.name],
            Kind::Node | Kind::NodePool | Kind::Job | Kind::AclToken | Kind::AclPolicy => &[],
        };
        keys.iter().filter(|key| !key.is_empty()).map(|key| Key::clone(key)).collect()
    }
}
