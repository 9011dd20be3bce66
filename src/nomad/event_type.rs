//! The event types of the HTTP API whose event stream [`nomad`](super) describes.
//! Which topic has which type is decided by the publisher. An unknown type is never an error.

use crate::types::name::EventType;

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: EventType = EventType::from_static($text);)*

        /// Every event type, in the order of the page of the HTTP API whose event stream [`nomad`](super) describes.
        ///
        /// ```
        /// use event_broker::nomad::event_type;
        ///
        /// assert!(event_type::ALL.contains(&"PlanResult".into()));
        /// assert!(!event_type::ALL.contains(&"planresult".into()), "names are case-sensitive");
        /// ```
        pub const ALL: &[EventType] = &[$($name),*];
    };
}

event_types! {
    /// A token was created or changed.
    ACL_TOKEN_UPSERTED = "ACLTokenUpserted";
    /// A token was deleted. What rests on it ends.
    ACL_TOKEN_DELETED = "ACLTokenDeleted";
    /// A policy was created or changed.
    ACL_POLICY_UPSERTED = "ACLPolicyUpserted";
    /// A policy was deleted.
    ACL_POLICY_DELETED = "ACLPolicyDeleted";
    /// A role was created or changed.
    ACL_ROLE_UPSERTED = "ACLRoleUpserted";
    /// A role was deleted.
    ACL_ROLE_DELETED = "ACLRoleDeleted";
    /// An allocation was placed.
    ALLOCATION_CREATED = "AllocationCreated";
    /// A client reported the state of an allocation.
    ALLOCATION_UPDATED = "AllocationUpdated";
    /// The desired state of an allocation changed.
    ALLOCATION_UPDATE_DESIRED_STATUS = "AllocationUpdateDesiredStatus";
    /// A deployment changed its status.
    DEPLOYMENT_STATUS_UPDATE = "DeploymentStatusUpdate";
    /// The canaries of a deployment were promoted.
    DEPLOYMENT_PROMOTION = "DeploymentPromotion";
    /// The health of a deployment's allocations was set.
    DEPLOYMENT_ALLOC_HEALTH = "DeploymentAllocHealth";
    /// An evaluation was created or changed.
    EVALUATION_UPDATED = "EvaluationUpdated";
    /// A job was registered or updated.
    JOB_REGISTERED = "JobRegistered";
    /// A job was stopped.
    JOB_DEREGISTERED = "JobDeregistered";
    /// Several jobs were stopped at once.
    JOB_BATCH_DEREGISTERED = "JobBatchDeregistered";
    /// A node joined.
    NODE_REGISTRATION = "NodeRegistration";
    /// A node left.
    NODE_DEREGISTRATION = "NodeDeregistration";
    /// The eligibility of a node for work changed.
    NODE_ELIGIBILITY = "NodeEligibility";
    /// The drain of a node began, changed or ended.
    NODE_DRAIN = "NodeDrain";
    /// A node reported an event of its own.
    NODE_EVENT = "NodeEvent";
    /// A node pool was created or changed.
    NODE_POOL_UPSERTED = "NodePoolUpserted";
    /// A node pool was deleted.
    NODE_POOL_DELETED = "NodePoolDeleted";
    /// The scheduler's plan was applied.
    PLAN_RESULT = "PlanResult";
    /// A service was registered.
    SERVICE_REGISTRATION = "ServiceRegistration";
    /// A service registration was deleted.
    SERVICE_DEREGISTRATION = "ServiceDeregistration";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_page_is_listed_once() {
        let mut names: Vec<_> = ALL.iter().map(EventType::as_str).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 26);
    }

    #[test]
    fn constants_are_the_names_they_are_named_after() {
        for (constant, text) in [
            (ACL_TOKEN_DELETED, "ACLTokenDeleted"),
            (ALLOCATION_UPDATE_DESIRED_STATUS, "AllocationUpdateDesiredStatus"),
            (NODE_POOL_UPSERTED, "NodePoolUpserted"),
            (SERVICE_DEREGISTRATION, "ServiceDeregistration"),
        ] {
            assert_eq!(constant, text);
        }
    }
}
