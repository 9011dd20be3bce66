//! A store with a switch for each bug, and the same store without the names of its objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use event_broker::testing::Random;
use event_broker::testing::suite::{Object, Outcome, TestedStore};
use event_broker::{Broker, Builder, Epoch, Event};

/// The bugs, as numbers: a store of each is a type of its own.
pub(crate) const NONE: u32 = 0;
pub(crate) const PUBLISHES_BEFORE_COMMIT: u32 = 1;
pub(crate) const PUBLISHES_ON_ROLL_BACK: u32 = 2;
pub(crate) const KEEPS_WHAT_IS_ROLLED_BACK: u32 = 3;
pub(crate) const FORGETS_EVERY_FIFTH_COMMIT: u32 = 4;
pub(crate) const PUBLISHES_TWICE: u32 = 5;
pub(crate) const WRONG_INDEX: u32 = 6;
pub(crate) const SPLITS_A_COMMIT: u32 = 7;
pub(crate) const MERGES_TWO_COMMITS: u32 = 8;
pub(crate) const REVERSES_A_BATCH: u32 = 9;
pub(crate) const FORGETS_A_CASCADE: u32 = 10;
pub(crate) const FORGETS_DELETIONS: u32 = 11;
pub(crate) const WRONG_NAMESPACE: u32 = 12;
pub(crate) const FORGETS_A_FILTER_KEY: u32 = 13;
pub(crate) const WRONG_KEY: u32 = 14;
pub(crate) const STALE_PAYLOAD: u32 = 15;
pub(crate) const ORDER_OF_A_HASH_MAP: u32 = 16;
pub(crate) const TIME_IN_PAYLOAD: u32 = 17;
pub(crate) const PUBLISHES_WITHOUT_THE_LOCK: u32 = 18;
pub(crate) const LOSES_A_REFUSED_PUBLISH: u32 = 19;
pub(crate) const PANICS_IN_A_COMMIT: u32 = 20;
pub(crate) const INDEX_STANDS_STILL: u32 = 21;
pub(crate) const RESETS_NOW_AND_THEN: u32 = 22;
pub(crate) const RESETS_AFTER_EVICTION: u32 = 23;
pub(crate) const PUBLISHES_WHAT_IS_REFUSED: u32 = 24;
pub(crate) const LISTS_WITHOUT_THE_LOCK: u32 = 25;
pub(crate) const TOO_MANY_FILTER_KEYS: u32 = 26;

/// Jobs by namespace and name, and their tasks by id, each with its job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables {
    jobs: BTreeMap<(String, String), u32>,
    tasks: BTreeMap<String, Task>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    namespace: String,
    job: String,
    version: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Row {
    Job(String, String, u32),
    Task(String, Task),
}

/// A row, whether it is there, and a number that no state has.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    row: Row,
    is_there: bool,
    noted: u32,
}

impl Tables {
    fn set(&mut self, row: &Row, is_there: bool) {
        match row.clone() {
            Row::Job(namespace, name, version) if is_there => _ = self.jobs.insert((namespace, name), version),
            Row::Job(namespace, name, _) => _ = self.jobs.remove(&(namespace, name)),
            // A task of a job that is not there cannot be.
            Row::Task(id, task) if is_there => {
                if self.jobs.contains_key(&(task.namespace.clone(), task.job.clone())) {
                    self.tasks.insert(id, task);
                }
            }
            Row::Task(id, _) => _ = self.tasks.remove(&id),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Writes a job and so many tasks.
    Register(&'static str, &'static str, u32),
    /// Removes a job and its tasks.
    Remove(&'static str, &'static str),
    /// Moves the index alone.
    Tick,
}

/// Commits under `writer`, and publishes under it what is then in the state.
pub(crate) struct Store<const BUG: u32> {
    writer: Mutex<Vec<Change>>,
    state: RwLock<(u64, Tables)>,
    broker: Broker<Change>,
}

fn event(bug: u32, Change { row, is_there, noted }: Change) -> Event<Change> {
    let (topic, namespace, key, job) = match &row {
        Row::Job(namespace, name, _) => ("Job", namespace.clone(), name.clone(), None),
        Row::Task(id, task) => ("Task", task.namespace.clone(), id.clone(), Some(task.job.clone())),
    };
    let namespace = if bug == WRONG_NAMESPACE && topic == "Task" { "default".to_owned() } else { namespace };
    let key = if bug == WRONG_KEY && topic == "Task" { "task".to_owned() } else { key };
    let job = job.filter(|_| bug != FORGETS_A_FILTER_KEY);
    let more = (bug == TOO_MANY_FILTER_KEYS && topic == "Task").then(|| "everything".to_owned());
    let happened = if is_there { "Written" } else { "Removed" };
    Event::new(topic, happened, key, Change { row, is_there, noted })
        .with_namespace(namespace)
        .with_filter_keys(job.into_iter().chain(more))
}

impl<const BUG: u32> Store<BUG> {
    /// What a command changes, or nothing if it is refused.
    fn plan(tables: &Tables, command: &Command) -> Option<Vec<Row>> {
        match command {
            Command::Tick => Some(Vec::new()),
            Command::Register(namespace, name, count) => {
                let (namespace, name) = ((*namespace).to_owned(), (*name).to_owned());
                let version = tables.jobs.get(&(namespace.clone(), name.clone())).unwrap_or(&0) + 1;
                let ids = (0..*count).map(|number| format!("{namespace}-{name}-{number}"));
                let task = Task { namespace: namespace.clone(), job: name.clone(), version };
                let tasks = ids.map(|id| Row::Task(id, task.clone()));
                Some([Row::Job(namespace.clone(), name.clone(), version)].into_iter().chain(tasks).collect())
            }
            Command::Remove(namespace, name) => {
                let (namespace, name) = ((*namespace).to_owned(), (*name).to_owned());
                let version = *tables.jobs.get(&(namespace.clone(), name.clone()))?;
                let of_job = |task: &Task| task.namespace == namespace && task.job == name;
                let tasks = tables.tasks.iter().filter(|(_, task)| of_job(task));
                let tasks: Vec<_> = tasks.map(|(id, task)| Row::Task(id.clone(), task.clone())).collect();
                Some(tasks.into_iter().chain([Row::Job(namespace.clone(), name.clone(), version)]).collect())
            }
        }
    }

    /// The events of a commit, from the state before it.
    fn changes(before: &Tables, rows: &[Row], is_there: bool) -> Vec<Change> {
        static NOTED: AtomicU32 = AtomicU32::new(0);
        let noted = if BUG == TIME_IN_PAYLOAD { NOTED.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut changes = Vec::new();
        for row in rows {
            let row = match row {
                Row::Job(namespace, name, version) if BUG == STALE_PAYLOAD => {
                    let stale = before.jobs.get(&(namespace.clone(), name.clone())).unwrap_or(version);
                    Row::Job(namespace.clone(), name.clone(), *stale)
                }
                row => row.clone(),
            };
            let is_forgotten = BUG == FORGETS_A_CASCADE && matches!(row, Row::Task(..)) || BUG == FORGETS_DELETIONS;
            if is_there || !is_forgotten {
                changes.push(Change { row, is_there, noted });
            }
        }
        if BUG == REVERSES_A_BATCH {
            changes.reverse();
        }
        if BUG == ORDER_OF_A_HASH_MAP && is_there {
            let map: HashMap<usize, Change> = changes.drain(1..).enumerate().collect();
            changes.extend(map.into_values());
        }
        changes
    }

    fn run(&self, command: &Command) -> Outcome {
        let mut held = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, before) = self.state.read().unwrap().clone();
        let index = if BUG == INDEX_STANDS_STILL { last.max(1) } else { last + 1 };
        let is_there = matches!(command, Command::Register(..));
        let Some(rows) = Self::plan(&before, command) else {
            if BUG == PUBLISHES_WHAT_IS_REFUSED {
                self.publish(index, vec![Change { row: Row::Job("prod".into(), "web".into(), 0), is_there, noted: 0 }]);
            }
            return Outcome::Refused;
        };
        assert!(BUG != PANICS_IN_A_COMMIT || rows.len() != 3, "no room for {} rows", rows.len());
        let changes = Self::changes(&before, &rows, is_there);
        if BUG == PUBLISHES_BEFORE_COMMIT {
            self.publish(index, changes.clone());
        }
        self.write(index, &rows, is_there);
        if matches!(command, Command::Tick) {
            return Outcome::Silent(index);
        }
        match BUG {
            PUBLISHES_BEFORE_COMMIT => {}
            PUBLISHES_WITHOUT_THE_LOCK | LOSES_A_REFUSED_PUBLISH => {
                drop(held);
                self.publish(index, changes);
            }
            FORGETS_EVERY_FIFTH_COMMIT if index.is_multiple_of(5) => {}
            MERGES_TWO_COMMITS if held.is_empty() => *held = changes,
            MERGES_TWO_COMMITS => {
                let first = std::mem::take(&mut *held);
                self.publish(index, first.into_iter().chain(changes).collect());
            }
            WRONG_INDEX => self.publish(index + 1, changes),
            SPLITS_A_COMMIT => changes.into_iter().for_each(|change| self.publish(index, vec![change])),
            _ => {
                if BUG == PUBLISHES_TWICE {
                    self.publish(index, changes.clone());
                }
                self.publish(index, changes);
            }
        }
        let is_old = self.broker.stats().evicted_batches > 0;
        if BUG == RESETS_NOW_AND_THEN && index.is_multiple_of(7) || BUG == RESETS_AFTER_EVICTION && is_old {
            self.broker.reset(index, Epoch::random());
        }
        Outcome::Committed(index)
    }

    fn write(&self, index: u64, rows: &[Row], is_there: bool) {
        let mut state = self.state.write().unwrap();
        state.0 = index;
        for row in rows {
            state.1.set(row, is_there);
        }
    }

    fn publish(&self, index: u64, changes: Vec<Change>) {
        let events: Vec<_> = changes.into_iter().map(|change| event(BUG, change)).collect();
        let published = self.broker.publish(index, events);
        if BUG != LOSES_A_REFUSED_PUBLISH {
            published.unwrap();
        }
    }
}

impl<const BUG: u32> TestedStore for Store<BUG> {
    type Payload = Change;
    type State = Tables;
    type Command = Command;

    fn make(broker: Builder<Change>) -> Self {
        Self { writer: Mutex::default(), state: RwLock::default(), broker: broker.build().unwrap() }
    }

    fn broker(&self) -> Broker<Change> {
        self.broker.clone()
    }

    fn draw(&self, random: &mut Random) -> Command {
        let (namespace, name) = (random.pick(&["prod", "dev"]), random.pick(&["web", "db"]));
        match random.below(8) {
            0..5 => Command::Register(namespace, name, random.pick(&[0, 1, 2, 3])),
            5 | 6 => Command::Remove(namespace, name),
            _ => Command::Tick,
        }
    }

    fn commit(&self, command: &Command) -> Outcome {
        self.run(command)
    }

    fn state(&self) -> (u64, Tables) {
        if BUG == LISTS_WITHOUT_THE_LOCK {
            let index = self.state.read().unwrap().0;
            std::thread::sleep(std::time::Duration::from_millis(1));
            return (index, self.state.read().unwrap().1.clone());
        }
        self.state.read().unwrap().clone()
    }

    fn apply(tables: &mut Tables, event: &Event<Change>) {
        tables.set(&event.payload().row, event.payload().is_there);
    }

    fn roll_back(&self, command: &Command) -> Outcome {
        let (index, before) = self.state();
        let Some(rows) = Self::plan(&before, command) else { return Outcome::Refused };
        let is_there = matches!(command, Command::Register(..));
        if BUG == PUBLISHES_ON_ROLL_BACK {
            self.publish(index + 1, Self::changes(&before, &rows, is_there));
        }
        if BUG == KEEPS_WHAT_IS_ROLLED_BACK {
            self.write(index, rows.get(1..).unwrap_or_default(), is_there);
        }
        Outcome::Refused
    }

    fn objects(tables: &Tables) -> Vec<Object> {
        let job = |((namespace, name), version): (&(String, String), &u32)| {
            Object::new("Job", name.as_str(), version).with_namespace(namespace.as_str())
        };
        let task = |(id, task): (&String, &Task)| {
            let object = Object::new("Task", id.as_str(), task).with_namespace(task.namespace.as_str());
            object.with_filter_key(task.job.as_str()).with_no_more_filter_keys()
        };
        tables.jobs.iter().map(job).chain(tables.tasks.iter().map(task)).collect()
    }

    fn smaller(command: &Command) -> Vec<Command> {
        match command {
            Command::Register(namespace, name, count) => {
                (0..*count).map(|count| Command::Register(namespace, name, count)).collect()
            }
            Command::Remove(..) | Command::Tick => Vec::new(),
        }
    }
}

/// The same without the names of its objects.
pub(crate) struct Unnamed<const BUG: u32>(Store<BUG>);

impl<const BUG: u32> TestedStore for Unnamed<BUG> {
    type Payload = Change;
    type State = Tables;
    type Command = Command;

    fn make(broker: Builder<Change>) -> Self {
        Self(Store::make(broker))
    }

    fn broker(&self) -> Broker<Change> {
        self.0.broker()
    }

    fn draw(&self, random: &mut Random) -> Command {
        self.0.draw(random)
    }

    fn commit(&self, command: &Command) -> Outcome {
        self.0.commit(command)
    }

    fn state(&self) -> (u64, Tables) {
        TestedStore::state(&self.0)
    }

    fn apply(tables: &mut Tables, event: &Event<Change>) {
        Store::<BUG>::apply(tables, event);
    }
}
