//! The topics of the HTTP API whose event stream [`nomad`](super) describes, and the one field of each payload.
//! Which right a topic needs is decided in `rights`. An unknown topic is never an error.

use crate::types::name::Topic;

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident = $text:literal holds $member:literal;)*) => {
        $($(#[$doc])* pub const $name: Topic = Topic::from_static($text);)*

        /// Every topic, in the order of the page of the HTTP API whose event stream [`nomad`](super) describes. Roles
        /// are listed twice, because the page spells them in two ways.
        ///
        /// ```
        /// use event_broker::nomad::topic;
        ///
        /// assert!(topic::ALL.contains(&topic::JOB));
        /// assert!(!topic::ALL.iter().any(|topic| topic == "*"), "the wildcard is no topic");
        /// ```
        pub const ALL: &[Topic] = &[$($name),*];

        /// Returns the name of the one field that a payload of this topic holds. Returns `None` for a topic that is not
        /// in the HTTP API whose event stream [`nomad`](super) describes.
        ///
        /// ```
        /// use event_broker::nomad::topic;
        ///
        /// assert_eq!(topic::payload_member(&topic::NODE_DRAIN), Some("Node"));
        /// assert_eq!(topic::payload_member(&"Kettle".into()), None);
        /// ```
        pub fn payload_member(topic: &Topic) -> Option<&'static str> {
            match topic.as_str() {
                $($text => Some($member),)*
                _ => None,
            }
        }
    };
}

topics! {
    /// ACL tokens. Their keys are public accessor ids.
    ACL_TOKEN = "ACLToken" holds "ACLToken";
    /// ACL policies.
    ACL_POLICY = "ACLPolicy" holds "ACLPolicy";
    /// ACL roles, as the table of rights spells them.
    ACL_ROLE = "ACLRole" holds "ACLRole";
    /// ACL roles, as the table of topics spells them.
    ACL_ROLES = "ACLRoles" holds "ACLRole";
    /// Allocations. The payload omits the job.
    ALLOCATION = "Allocation" holds "Allocation";
    /// Jobs.
    JOB = "Job" holds "Job";
    /// Evaluations.
    EVALUATION = "Evaluation" holds "Evaluation";
    /// Deployments.
    DEPLOYMENT = "Deployment" holds "Deployment";
    /// Nodes.
    NODE = "Node" holds "Node";
    /// Drains of nodes.
    NODE_DRAIN = "NodeDrain" holds "Node";
    /// Pools of nodes.
    NODE_POOL = "NodePool" holds "NodePool";
    /// Service registrations.
    SERVICE = "Service" holds "Service";
}

#[cfg(test)]
mod tests {
    use super::*;

    // Conformance: TestTopic_String, the seven topics that it names. The wildcard belongs to terms, not to topics.
    #[test]
    fn topic_string() {
        for (topic, text) in [
            (DEPLOYMENT, "Deployment"),
            (EVALUATION, "Evaluation"),
            (ALLOCATION, "Allocation"),
            (JOB, "Job"),
            (NODE, "Node"),
            (NODE_POOL, "NodePool"),
            (SERVICE, "Service"),
        ] {
            assert_eq!(topic.to_string(), text);
            assert_eq!(Topic::from(text), topic);
        }
    }

    #[test]
    fn every_topic_is_listed_once_with_its_payload_member() {
        let mut names: Vec<_> = ALL.iter().map(Topic::as_str).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 12);
        for topic in ALL {
            let member = payload_member(topic);
            match topic.as_str() {
                "ACLRoles" => assert_eq!(member, Some("ACLRole")),
                "NodeDrain" => assert_eq!(member, Some("Node")),
                own => assert_eq!(member, Some(own)),
            }
        }
        for other in ["", "*", "job", "Variable"] {
            assert_eq!(payload_member(&other.into()), None);
        }
    }
}
