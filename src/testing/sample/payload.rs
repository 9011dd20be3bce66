//! The payloads of sample events: JSON objects with the members that the page of the HTTP API shows.
//! Which topic has which payload is decided in `nomad::topic`.

use serde_json::{Value, json};

use super::builder::{Kind, Sample};
use crate::nomad::topic::payload_member;
use crate::types::event::Event;

impl Sample {
    /// Returns the event with a payload as the HTTP API shows it: an object with one member, which has the ids that
    /// were set. An id that was not set is empty. Change it with [`Event::map`].
    ///
    /// ```
    /// use event_broker::testing::sample;
    ///
    /// let event = sample::allocation("a1").of_job("web").on_node("ccc4").committed_at(7).event();
    /// let allocation = &event.payload()["Allocation"];
    /// assert_eq!((&allocation["ID"], &allocation["JobID"]), (&"a1".into(), &"web".into()));
    /// assert_eq!((&allocation["NodeID"], &allocation["ModifyIndex"]), (&"ccc4".into(), &7.into()));
    ///
    /// let event = sample::job("web").event().map(|mut payload| {
    ///     payload["Job"]["Version"] = 3.into();
    ///     payload
    /// });
    /// assert_eq!(event.payload()["Job"]["Version"], 3);
    /// ```
    pub fn event(self) -> Event<Value> {
        let payload = self.payload();
        self.with_payload(payload)
    }

    fn payload(&self) -> Value {
        let mut object = self.object();
        if let Value::Object(members) = &mut object {
            let namespace = self.namespace.as_str();
            if !namespace.is_empty() {
                members.insert("Namespace".into(), namespace.into());
            }
            members.insert("CreateIndex".into(), self.index.into());
            members.insert("ModifyIndex".into(), self.index.into());
        }
        json!({ payload_member(&self.topic()).unwrap_or_default(): object })
    }

    fn object(&self) -> Value {
        let (key, name) = (self.key.as_str(), self.name.as_str());
        let (job, node, deployment) = (self.job.as_str(), self.node.as_str(), self.deployment.as_str());
        match self.kind {
            Kind::Node => node_object(key),
            Kind::NodePool => json!({ "Name": key, "Description": "", "Meta": null }),
            Kind::Job => job_object(key),
            Kind::Allocation => json!({
                "ID": key,
                "EvalID": "",
                "Name": format!("{job}.{job}[0]"),
                "NodeID": node,
                "JobID": job,
                "TaskGroup": job,
                "DeploymentID": deployment,
                "DesiredStatus": "run",
                "ClientStatus": "pending",
                "TaskStates": null,
            }),
            Kind::Evaluation => json!({
                "ID": key,
                "Priority": 50,
                "Type": "service",
                "TriggeredBy": "job-register",
                "JobID": job,
                "NodeID": node,
                "DeploymentID": deployment,
                "Status": "pending",
            }),
            Kind::Deployment => json!({
                "ID": key,
                "JobID": job,
                "JobVersion": 0,
                "TaskGroups": { job: { "DesiredTotal": 1, "PlacedAllocs": 0, "HealthyAllocs": 0, "Promoted": false } },
                "Status": "running",
                "StatusDescription": "Deployment is running",
            }),
            Kind::Service => json!({
                "ID": key,
                "ServiceName": name,
                "NodeID": node,
                "Datacenter": "dc1",
                "JobID": job,
                "AllocID": self.allocation.as_str(),
                "Tags": [],
                "Address": "127.0.0.1",
                "Port": 8080,
            }),
            Kind::AclToken => json!({
                "AccessorID": key,
                "Name": "ops",
                "Type": "client",
                "Policies": ["readonly"],
                "Roles": null,
                "Global": false,
                "ExpirationTime": null,
            }),
            Kind::AclPolicy => json!({ "Name": key, "Description": "", "Rules": "" }),
            Kind::AclRole => {
                json!({ "ID": key, "Name": name, "Description": "", "Policies": [{ "Name": "readonly" }] })
            }
        }
    }
}

/// The members of the page's sample response that tests look at.
fn node_object(id: &str) -> Value {
    json!({
        "ID": id,
        "Datacenter": "dc1",
        "Name": "nomad-4",
        "HTTPAddr": "127.0.0.1:4646",
        "TLSEnabled": false,
        "Attributes": {
            "cpu.arch": "amd64",
            "cpu.numcores": "8",
            "driver.docker": "1",
            "kernel.name": "linux",
            "os.name": "ubuntu",
            "os.version": "20.04",
        },
        "Resources": { "CPU": 33600, "MemoryMB": 15760, "DiskMB": 285_614 },
        "Links": null,
        "Meta": { "connect.log_level": "info" },
        "NodeClass": "",
        "Drain": false,
        "DrainStrategy": null,
        "SchedulingEligibility": "eligible",
        "Status": "initializing",
        "StatusDescription": "",
        "StatusUpdatedAt": 1_602_770_857,
        "Events": [{ "Message": "Node registered", "Subsystem": "Cluster", "Timestamp": "2020-10-15T10:07:37-04:00" }],
    })
}

fn job_object(id: &str) -> Value {
    json!({
        "ID": id,
        "Name": id,
        "Type": "service",
        "Priority": 50,
        "Datacenters": ["dc1"],
        "NodePool": "default",
        "TaskGroups": [{ "Name": id, "Count": 1, "Tasks": [{ "Name": id, "Driver": "docker" }] }],
        "Status": "pending",
        "Stop": false,
        "Version": 0,
    })
}

impl From<Sample> for Event<Value> {
    fn from(sample: Sample) -> Self {
        sample.event()
    }
}
