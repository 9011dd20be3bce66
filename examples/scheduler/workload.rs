//! The scheduler's work: jobs are registered and stopped, evaluations create plans, plans place allocations, and
//! clients report. Each step is one commit.

use std::collections::{BTreeMap, VecDeque};

use event_broker::nomad::event_type as happened;
use event_broker::{Key, Namespace, PublishError};

use crate::cluster;
use crate::model::{
    Allocation, Deployment, DeploymentState, Evaluation, Job, Object, Resources, Service, Task, TaskGroup, TaskState,
};
use crate::random::Random;
use crate::server::Server;

/// The result of a step: the index of its commit.
pub(crate) type Step = Result<u64, PublishError<Object>>;

/// Namespace, id and type. The first is listed more than once because it is worked on most.
const JOBS: &[(&str, &str, &str)] = &[
    ("default", "web", "service"),
    ("default", "web", "service"),
    ("default", "web", "service"),
    ("default", "redis", "service"),
    ("default", "api", "service"),
    ("default", "report", "batch"),
    ("prod", "web", "service"),
    ("prod", "redis", "service"),
    ("prod", "search", "service"),
    ("prod", "backup", "batch"),
];
const GROUP: &str = "main";

/// Pending work. Rows that it names may be gone by then; then the commit has no events.
#[derive(Debug)]
pub(crate) enum Todo {
    Pool(&'static str),
    Node,
    Undrain(Key),
    Plan(Key),
    Complete(Key),
    Start(Vec<Key>),
    Serve(Vec<Key>),
    Health(Key),
    Promote(Key),
    Finish(Key),
}

/// Decides the next commit, in the same way in every run.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) random: Random,
    pub(crate) todo: VecDeque<Todo>,
    pub(crate) nodes_named: u64,
}

impl Scheduler {
    pub(crate) fn new() -> Self {
        let pools = ["default", "gpu"].map(Todo::Pool);
        let nodes = std::iter::repeat_with(|| Todo::Node).take(6);
        Self { random: Random::new(42), todo: pools.into_iter().chain(nodes).collect(), nodes_named: 0 }
    }

    /// Makes one commit and publishes it.
    pub(crate) fn step(&mut self, server: &mut Server) -> Step {
        // Several jobs are in progress at a time, up to a limit.
        let goes_on = self.nodes_named < 6 || self.todo.len() > 6 || self.random.below(3) > 0;
        match if goes_on { self.todo.pop_front() } else { None } {
            Some(Todo::Pool(name)) => cluster::add_pool(name, server),
            Some(Todo::Node) => cluster::register(self, server),
            Some(Todo::Undrain(node)) => cluster::undrain(&node, server),
            Some(Todo::Plan(evaluation)) => self.plan(&evaluation, server),
            Some(Todo::Complete(evaluation)) => complete(&evaluation, server),
            Some(Todo::Start(allocations)) => self.start(allocations, server),
            Some(Todo::Serve(allocations)) => self.serve(&allocations, server),
            Some(Todo::Health(id)) => self.health(&id, server),
            Some(Todo::Promote(id)) => self.promote(id, server),
            Some(Todo::Finish(id)) => finish(&id, server),
            None => match self.random.below(100) {
                0..45 => self.register(server),
                45..53 => self.deregister(server),
                53..57 => deregister_batch(server),
                57..95 => cluster::disturb(self, server),
                _ => collect(server),
            },
        }
    }

    fn evaluation(&mut self, job: &Job, triggered_by: &'static str) -> Evaluation {
        let id = Key::from(self.random.uuid());
        self.todo.push_back(Todo::Plan(id.clone()));
        Evaluation {
            id,
            namespace: job.namespace.clone(),
            priority: job.priority,
            r#type: job.r#type,
            triggered_by,
            job_id: job.id.clone(),
            deployment_id: Key::default(),
            status: "pending",
            create_index: 0,
            modify_index: 0,
        }
    }

    fn register(&mut self, server: &mut Server) -> Step {
        let Some((namespace, id, kind)) = self.random.pick(JOBS).copied() else { return server.commit(|_| {}) };
        let known = server.store.read().jobs.get(&(namespace.into(), id.into())).cloned();
        let version = known.as_ref().map_or(0, |job| job.version + 1);
        let job = Job {
            id: id.into(),
            name: id.into(),
            namespace: namespace.into(),
            r#type: kind,
            priority: 50,
            datacenters: vec!["dc1"],
            node_pool: "default".into(),
            task_groups: vec![task_group(id, version, 1 + self.random.below(3))],
            status: "pending",
            stop: false,
            version,
            create_index: known.map_or(0, |job| job.create_index),
            modify_index: 0,
        };
        let evaluation = self.evaluation(&job, "job-register");
        server.commit(|commit| {
            commit.put(happened::JOB_REGISTERED, job);
            commit.put(happened::EVALUATION_UPDATED, evaluation);
        })
    }

    fn deregister(&mut self, server: &mut Server) -> Step {
        let running: Vec<Job> = server.store.read().jobs.values().filter(|job| !job.stop).cloned().collect();
        let Some(mut job) = self.random.pick(&running).cloned() else { return server.commit(|_| {}) };
        (job.stop, job.status) = (true, "dead");
        let evaluation = self.evaluation(&job, "job-deregister");
        server.commit(|commit| {
            commit.put(happened::JOB_DEREGISTERED, job);
            commit.put(happened::EVALUATION_UPDATED, evaluation);
        })
    }

    /// Replaces the allocations of an evaluation's job, in one commit.
    fn plan(&mut self, evaluation: &Key, server: &mut Server) -> Step {
        let tables = server.store.read();
        let Some(evaluation) = tables.evaluations.get(evaluation).cloned() else {
            drop(tables);
            return server.commit(|_| {});
        };
        let found = tables.jobs.get(&(evaluation.namespace.clone(), evaluation.job_id.clone()));
        let job = found.filter(|job| !job.stop).cloned();
        let is_of_job =
            |namespace: &Namespace, id: &Key| *namespace == evaluation.namespace && *id == evaluation.job_id;
        let runs = tables.allocations.values().filter(|row| row.desired_status == "run");
        let old: Vec<Allocation> = runs
            .filter(|row| is_of_job(&row.namespace, &row.job_id))
            .map(|row| Allocation { desired_status: "stop", ..row.clone() })
            .collect();
        let services = tables.services.values().filter(|row| is_of_job(&row.namespace, &row.job_id));
        let services: Vec<Service> = services.cloned().collect();
        let nodes = tables.nodes.values().filter(|node| node.scheduling_eligibility == "eligible");
        let nodes: Vec<(Key, String)> = nodes.map(|node| (node.id.clone(), node.name.clone())).collect();
        drop(tables);

        let deployment = job.as_ref().filter(|job| job.r#type == "service").map(|job| self.deployment(job));
        let deployment_id = deployment.as_ref().map_or_else(Key::default, |row| row.id.clone());
        let new = job.as_ref().map_or_else(Vec::new, |job| self.place(job, &evaluation.id, &deployment_id, &nodes));
        self.todo.push_back(Todo::Complete(evaluation.id));
        if !new.is_empty() {
            self.todo.push_back(Todo::Start(new.iter().map(|row| row.id.clone()).collect()));
        }
        let (stopped, placed) = match job {
            None => (happened::ALLOCATION_UPDATE_DESIRED_STATUS, happened::PLAN_RESULT),
            Some(job) if job.r#type == "batch" => (happened::PLAN_RESULT, happened::ALLOCATION_CREATED),
            Some(_) => (happened::PLAN_RESULT, happened::PLAN_RESULT),
        };
        server.commit(|commit| {
            commit.delete_all(&happened::SERVICE_DEREGISTRATION, services);
            commit.put_all(&stopped, old);
            commit.put_all(&happened::PLAN_RESULT, deployment);
            commit.put_all(&placed, new);
        })
    }

    /// Allocations for all that a job wants to run, if there are nodes.
    fn place(&mut self, job: &Job, evaluation: &Key, deployment: &Key, nodes: &[(Key, String)]) -> Vec<Allocation> {
        let places = job.task_groups.iter().flat_map(|group| (0..group.count).map(move |number| (group.name, number)));
        let on_a_node = |(group, number)| {
            let (node_id, node_name) = self.random.pick(nodes).cloned()?;
            Some(Allocation {
                id: Key::from(self.random.uuid()),
                namespace: job.namespace.clone(),
                eval_id: evaluation.clone(),
                name: format!("{}.{group}[{number}]", job.id),
                node_id,
                node_name,
                job_id: job.id.clone(),
                task_group: group,
                deployment_id: deployment.clone(),
                desired_status: "run",
                client_status: "pending",
                task_states: BTreeMap::new(),
                resources: Resources { cpu: 500, memory_mb: 256, disk_mb: 300 },
                create_index: 0,
                modify_index: 0,
            })
        };
        places.filter_map(on_a_node).collect()
    }

    fn deployment(&mut self, job: &Job) -> Deployment {
        let placed = job.task_groups.iter().map(|group| group.count).sum();
        let state = DeploymentState {
            desired_total: placed,
            desired_canaries: u64::from(self.random.below(3) == 0),
            placed_allocs: placed,
            healthy_allocs: 0,
            promoted: false,
        };
        Deployment {
            id: Key::from(self.random.uuid()),
            namespace: job.namespace.clone(),
            job_id: job.id.clone(),
            job_version: job.version,
            task_groups: BTreeMap::from([(GROUP, state)]),
            status: "running",
            status_description: "Deployment is running",
            create_index: 0,
            modify_index: 0,
        }
    }

    /// The client says that the tasks run.
    fn start(&mut self, ids: Vec<Key>, server: &mut Server) -> Step {
        let mut rows = allocations(&ids, server);
        if let Some(row) = rows.first().filter(|row| !row.deployment_id.is_empty()) {
            self.todo.push_back(Todo::Health(row.deployment_id.clone()));
            self.todo.push_back(Todo::Serve(ids));
        }
        for row in &mut rows {
            let restarts = self.random.below(2);
            row.client_status = "running";
            row.task_states.insert("server", TaskState { state: "running", failed: false, restarts });
        }
        server.commit(|commit| commit.put_all(&happened::ALLOCATION_UPDATED, rows))
    }

    fn serve(&mut self, ids: &[Key], server: &mut Server) -> Step {
        let rows = allocations(ids, server).into_iter().filter(|row| row.desired_status == "run");
        let services: Vec<Service> = rows
            .map(|row| Service {
                id: Key::from(format!("_task-{}", row.id)),
                service_name: Key::from(format!("{}-http", row.job_id)),
                namespace: row.namespace,
                node_id: row.node_id,
                datacenter: "dc1",
                job_id: row.job_id,
                alloc_id: row.id,
                tags: vec!["http"],
                address: "127.0.0.1".to_owned(),
                port: 20_000 + self.random.below(12_000),
                create_index: 0,
                modify_index: 0,
            })
            .collect();
        server.commit(|commit| commit.put_all(&happened::SERVICE_REGISTRATION, services))
    }

    fn health(&mut self, id: &Key, server: &mut Server) -> Step {
        let mut row = server.store.read().deployments.get(id).cloned();
        let groups = row.iter_mut().flat_map(|row| row.task_groups.values_mut());
        let canaries: u64 = groups
            .map(|group| {
                group.healthy_allocs = group.placed_allocs;
                group.desired_canaries
            })
            .sum();
        self.todo.push_back(if canaries > 0 { Todo::Promote(id.clone()) } else { Todo::Finish(id.clone()) });
        server.commit(|commit| commit.put_all(&happened::DEPLOYMENT_ALLOC_HEALTH, row))
    }

    fn promote(&mut self, id: Key, server: &mut Server) -> Step {
        let mut row = server.store.read().deployments.get(&id).cloned();
        row.iter_mut().flat_map(|row| row.task_groups.values_mut()).for_each(|group| group.promoted = true);
        self.todo.push_back(Todo::Finish(id));
        server.commit(|commit| commit.put_all(&happened::DEPLOYMENT_PROMOTION, row))
    }
}

fn deregister_batch(server: &mut Server) -> Step {
    let batch: Vec<Job> = server.store.read().jobs.values().filter(|job| job.r#type == "batch").cloned().collect();
    server.commit(|commit| commit.delete_all(&happened::JOB_BATCH_DEREGISTERED, batch))
}

fn task_group(job: &str, version: u64, count: u64) -> TaskGroup {
    let config =
        BTreeMap::from([("image", format!("registry.internal/{job}:1.{version}")), ("ports", "http".to_owned())]);
    let resources = Resources { cpu: 500, memory_mb: 256, disk_mb: 300 };
    TaskGroup { name: GROUP, count, tasks: vec![Task { name: "server", driver: "docker", config, resources }] }
}

fn allocations(ids: &[Key], server: &Server) -> Vec<Allocation> {
    let tables = server.store.read();
    ids.iter().filter_map(|id| tables.allocations.get(id).cloned()).collect()
}

fn complete(id: &Key, server: &mut Server) -> Step {
    let row = server.store.read().evaluations.get(id).map(|row| Evaluation { status: "complete", ..row.clone() });
    server.commit(|commit| commit.put_all(&happened::EVALUATION_UPDATED, row))
}

fn finish(id: &Key, server: &mut Server) -> Step {
    let (status, status_description) = ("successful", "Deployment completed successfully");
    let found = server.store.read().deployments.get(id).cloned();
    let row = found.map(|row| Deployment { status, status_description, ..row });
    server.commit(|commit| commit.put_all(&happened::DEPLOYMENT_STATUS_UPDATE, row))
}

/// Deletes finished rows. The state changes without an event.
fn collect(server: &mut Server) -> Step {
    let tables = server.store.read();
    let stopped = tables.allocations.values().filter(|row| row.desired_status == "stop").cloned().map(Object::from);
    let complete = tables.evaluations.values().filter(|row| row.status == "complete").cloned().map(Object::from);
    let finished = tables.deployments.values().filter(|row| row.status != "running").cloned().map(Object::from);
    let rows: Vec<Object> = stopped.chain(complete).chain(finished).collect();
    drop(tables);
    server.commit(|commit| commit.forget(rows))
}
