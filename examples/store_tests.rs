//! A state store of some 70 lines that publishes what it commits, and its tests, each of 12 lines at most.
//!
//! The tests use the test kit of the crate (feature `testing`). Run them with
//! `cargo test --features testing --example store_tests`.

use std::collections::BTreeMap;
use std::sync::{Mutex, RwLock};

use event_broker::{Batch, BatchBuilder, Broker, Event};

/// A job: how many of it are to run, and where they run.
#[derive(Clone, Debug, PartialEq)]
struct Job {
    count: u32,
    node: String,
}

/// The jobs, by namespace and name.
type Jobs = BTreeMap<(String, String), Job>;

/// What a commit can change.
#[derive(Clone, Debug)]
enum Command {
    Register(String, String, Job),
    Deregister(String, String),
    Drain { from: String, to: String },
}

/// The store. A commit is published before the next one is made, under its index.
struct Store {
    writer: Mutex<()>,
    state: RwLock<(u64, Jobs)>,
    broker: Broker<Option<Job>>,
}

impl Store {
    fn new(broker: Broker<Option<Job>>) -> Self {
        Self { writer: Mutex::default(), state: RwLock::default(), broker }
    }

    /// The index of the last commit, and the jobs as of it.
    fn read(&self) -> (u64, Jobs) {
        self.state.read().expect("no commit panics").clone()
    }

    /// Commits a command and publishes it. Returns the index of the commit, or why it is refused.
    fn commit(&self, command: Command) -> Result<u64, String> {
        let _one_at_a_time = self.writer.lock().map_err(|_| "a commit panicked".to_owned())?;
        let (index, mut jobs) = self.read();
        let events = change(&mut jobs, command)?;
        *self.state.write().expect("no reader panics") = (index + 1, jobs); // committed; and only then:
        self.broker.publish(index + 1, events).map_err(|error| error.to_string())?;
        Ok(index + 1)
    }
}

/// Changes the jobs, and collects an event for each that has changed. A job that is gone has no payload.
fn change(jobs: &mut Jobs, command: Command) -> Result<BatchBuilder<Option<Job>>, String> {
    let mut events = Batch::builder();
    match command {
        Command::Register(_, name, Job { count: 0, .. }) => return Err(format!("{name} is to run nowhere")),
        Command::Register(namespace, name, job) => {
            events.push(event("JobRegistered", &namespace, &name, &job.node, Some(job.clone())));
            jobs.insert((namespace, name), job);
        }
        Command::Deregister(namespace, name) => {
            let id = (namespace, name);
            let job = jobs.remove(&id).ok_or_else(|| format!("there is no job {}", id.1))?;
            events.push(event("JobDeregistered", &id.0, &id.1, &job.node, None));
        }
        Command::Drain { from, to } => {
            for ((namespace, name), job) in jobs.iter_mut().filter(|(_, job)| job.node == from && from != to) {
                job.node.clone_from(&to);
                events.push(event("JobMoved", namespace, name, &to, Some(job.clone())));
            }
        }
    }
    if events.is_empty() { Err("nothing has changed".to_owned()) } else { Ok(events) }
}

/// An event of a job, which can be found by its node, too.
fn event(what: &str, namespace: &str, name: &str, node: &str, job: Option<Job>) -> Event<Option<Job>> {
    Event::new("Job", what, name, job).with_namespace(namespace).with_filter_key(node)
}

fn main() -> Result<(), String> {
    let (store, name) = (Store::new(Broker::new()), || ("prod".to_owned(), "web".to_owned()));
    let job = Job { count: 3, node: "n1".to_owned() };
    store.commit(Command::Register(name().0, name().1, job))?;
    store.commit(Command::Drain { from: "n1".to_owned(), to: "n2".to_owned() })?;
    store.commit(Command::Deregister(name().0, name().1))?;
    println!("{} commits; the tests in the source of this example are what it shows", store.read().0);
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use event_broker::testing::suite::{Object, Outcome, TestedStore};
    use event_broker::testing::{Random, Recorder};
    use event_broker::{Builder, LagPolicy, RecvError, Request, Term};
    use event_broker::{
        assert_empty, assert_ended, assert_lagged, assert_nothing_published, assert_published, assert_recv, store_tests,
    };

    use super::*;

    fn register(namespace: &str, name: &str, count: u32, node: &str) -> Command {
        Command::Register(namespace.into(), name.into(), Job { count, node: node.into() })
    }

    fn drain(from: &str, to: &str) -> Command {
        Command::Drain { from: from.into(), to: to.into() }
    }

    /// A store with a job on each of two nodes, and what it publishes from now on.
    fn two_jobs() -> (Store, Recorder<Option<Job>>) {
        let store = Store::new(Broker::new());
        store.commit(register("prod", "web", 3, "n1")).unwrap();
        store.commit(register("dev", "db", 1, "n2")).unwrap();
        let recorder = Recorder::of(&store.broker);
        recorder.take();
        (store, recorder)
    }

    #[test]
    fn a_registration_is_published_with_the_job() {
        let (store, recorder) = two_jobs();
        store.commit(register("prod", "api", 2, "n1")).unwrap();
        assert_published!(
            recorder.by_debug(),
            r#"3 Job/JobRegistered prod:api [n1] = Some(Job { count: 2, node: "n1" })"#
        );
    }

    #[test]
    fn a_drain_is_one_batch() {
        let (store, recorder) = two_jobs();
        store.commit(register("prod", "api", 2, "n1")).unwrap();
        recorder.take();
        store.commit(drain("n1", "n3")).unwrap();
        assert_published!(recorder, "4 Job/JobMoved prod:api [n3]", "4 Job/JobMoved prod:web [n3]");
    }

    #[test]
    fn what_is_refused_is_not_published() {
        let (store, recorder) = two_jobs();
        assert_eq!(store.commit(register("prod", "web", 0, "n1")).unwrap_err(), "web is to run nowhere");
        assert_eq!(store.commit(drain("n9", "n1")).unwrap_err(), "nothing has changed");
        assert_nothing_published!(recorder);
        assert_eq!(store.read().0, 2);
    }

    #[test]
    fn a_job_that_is_gone_has_no_payload() {
        let (store, recorder) = two_jobs();
        store.commit(Command::Deregister("prod".into(), "web".into())).unwrap();
        assert_published!(recorder.by_debug(), "3 Job/JobDeregistered prod:web [n1] = None");
    }

    #[test]
    fn a_job_is_found_by_its_node() {
        let (store, _) = two_jobs();
        let on_n3 = Request::new().term(Term::new("Job", "n3").unwrap()).namespace("*");
        let mut on_n3 = store.broker.subscribe(on_n3).unwrap();
        store.commit(drain("n1", "n3")).unwrap();
        assert_recv!(on_n3, "3 Job/JobMoved prod:web [n3]");
        store.commit(register("prod", "api", 2, "n1")).unwrap();
        assert_empty!(on_n3);
    }

    #[test]
    fn a_reader_that_is_overtaken_is_told() {
        let store = Store::new(Broker::builder().max_batches(2).build().unwrap());
        let request = Request::new().namespace("*").lag_policy(LagPolicy::Continue);
        let mut reader = store.broker.subscribe(request).unwrap();
        for count in 1..=5 {
            store.commit(register("prod", "web", count, "n1")).unwrap();
        }
        assert_lagged!(reader, 3);
        assert_recv!(reader, "4 Job/JobRegistered prod:web [n1]");
    }

    #[test]
    fn readers_end_with_the_store() {
        let (store, _) = two_jobs();
        let mut reader = store.broker.subscribe(Request::new()).unwrap();
        drop(store);
        assert_ended!(reader, RecvError::Closed);
    }

    impl TestedStore for Store {
        type Payload = Option<Job>;
        type State = Jobs;
        type Command = Command;

        fn make(broker: Builder<Option<Job>>) -> Self {
            Self::new(broker.build().unwrap())
        }

        fn broker(&self) -> Broker<Option<Job>> {
            self.broker.clone()
        }

        fn draw(&self, random: &mut Random) -> Command {
            let (namespace, name) = (random.pick(&["prod", "dev"]), random.pick(&["web", "db"]));
            match random.below(4) {
                0 | 1 => register(namespace, name, random.pick(&[0, 1, 2]), random.pick(&["n1", "n2"])),
                2 => Command::Deregister(namespace.into(), name.into()),
                _ => drain(random.pick(&["n1", "n2"]), random.pick(&["n1", "n2"])),
            }
        }

        fn commit(&self, command: &Command) -> Outcome {
            Store::commit(self, command.clone()).into()
        }

        fn state(&self) -> (u64, Jobs) {
            self.read()
        }

        fn apply(jobs: &mut Jobs, event: &Event<Option<Job>>) {
            let id = (event.namespace().to_string(), event.key().to_string());
            match event.payload() {
                Some(job) => _ = jobs.insert(id, job.clone()),
                None => _ = jobs.remove(&id),
            }
        }

        fn objects(jobs: &Jobs) -> Vec<Object> {
            let object = |((namespace, name), job): (&(String, String), &Job)| {
                Object::new("Job", name.as_str(), job).with_namespace(namespace.as_str()).with_filter_key(&*job.node)
            };
            jobs.iter().map(object).collect()
        }
    }

    // A test of each clause of the suite for stores.
    store_tests!(Store);
}
