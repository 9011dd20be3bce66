//! The clauses about the names of events: namespaces, keys and filter keys, by the objects that the author names.
//! What an object is called is decided in `store`.
//!
//! Callers: `config` and `single`.

use super::run::{Done, denied};
use super::store::{Object, Outcome, TestedStore};
use super::violation::Violation;
use crate::subscription::Delivery;
use crate::types::event::Event;
use crate::types::name::Key;
use crate::types::term::{Scope, Term};

/// The objects before and after a command.
pub(super) struct Objects {
    before: Vec<Object>,
    after: Vec<Object>,
}

impl Objects {
    pub(super) fn of<S: TestedStore>(done: &Done<S>) -> Self {
        Self { before: S::objects(&done.before.1), after: S::objects(&done.after.1) }
    }

    /// Whether the author names them.
    pub(super) fn are_known(&self) -> bool {
        !self.before.is_empty() || !self.after.is_empty()
    }

    /// Those that were there and are not.
    pub(super) fn removed(&self) -> impl Iterator<Item = &Object> {
        self.before.iter().filter(|object| !self.after.iter().any(|other| other.is(object)))
    }

    /// Those that are new or have changed, as they are now.
    fn written(&self) -> impl Iterator<Item = &Object> {
        self.after.iter().filter(|object| !self.before.contains(object))
    }

    pub(super) fn only_removed(&self) -> bool {
        self.written().next().is_none()
    }

    /// All that have changed. One that has moved is there in both forms.
    fn changed(&self) -> Vec<&Object> {
        let earlier = self.before.iter().filter(|object| !self.after.contains(object));
        earlier.chain(self.written()).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.before.iter().chain(&self.after)
    }
}

/// The events of a commit, or nothing.
fn events<S: TestedStore>(done: &Done<S>) -> impl Iterator<Item = &Event<S::Payload>> {
    let batches = if matches!(done.outcome, Outcome::Committed(_)) { &*done.batches } else { &[] };
    batches.iter().flat_map(Delivery::events)
}

/// The objects that an event can be about are those of its key that have changed, or, if none has, all of its key. The
/// topic does not count: a change can be announced under a second one.
pub(super) fn namespaces<S: TestedStore>(done: &Done<S>) -> Result<(), Violation> {
    let objects = Objects::of(done);
    let changed = objects.changed();
    for event in events(done) {
        let of_key = |object: &&Object| object.key == *event.key();
        let mut subjects: Vec<_> = changed.iter().copied().filter(of_key).collect();
        if subjects.is_empty() {
            subjects = objects.all().filter(of_key).collect();
        }
        if let Some(object) = subjects.first()
            && !subjects.iter().any(|object| object.namespace == *event.namespace())
        {
            let in_namespace = |object: &&Object| object.namespace == *event.namespace();
            if let Some(unchanged) = objects.all().filter(of_key).find(in_namespace) {
                return Err(done.violation(of_unchanged(done, &objects, &subjects, unchanged)));
            }
            let found = event.namespace();
            return Err(done.violation(format!(
                "{object} has changed, but its event {} has the namespace {found:?}",
                event.event_type()
            )));
        }
    }
    Ok(())
}

/// Why there is an event of an object that has not changed, if others of its key have.
fn of_unchanged<S: TestedStore>(done: &Done<S>, objects: &Objects, changed: &[&Object], unchanged: &Object) -> String {
    let is_announced =
        |object: &Object| events(done).any(|it| *it.key() == object.key && *it.namespace() == object.namespace);
    let what = format!("an event of {unchanged}, which has not changed, is published");
    match changed.iter().find(|object| !is_announced(object)) {
        None => what,
        Some(gone) if !objects.after.iter().any(|object| object.is(gone)) => {
            format!("{gone} has left the state, but no event has its key and namespace; {what}")
        }
        Some(object) => format!("{object} has changed, but no event has its key and namespace; {what}"),
    }
}

pub(super) fn keys<S: TestedStore>(done: &Done<S>) -> Result<(), Violation> {
    let objects = Objects::of(done);
    let changed = objects.changed();
    for event in events(done) {
        let of_topic = |object: &&Object| object.topic == *event.topic();
        let is_known = objects.all().any(|object| of_topic(&object) && object.key == *event.key());
        let changed_in_topic: Vec<_> = changed.iter().copied().filter(of_topic).collect();
        if !is_known || !changed_in_topic.is_empty() && changed_in_topic.iter().all(|it| it.key != *event.key()) {
            // A topic of which there are no objects is not the author's matter.
            let is_found = |object: &&Object| events(done).any(|other| *other.key() == object.key);
            if let Some(object) = changed_in_topic.iter().find(|object| !is_found(object)) {
                let key = event.key();
                return Err(done.violation(format!("{object} has changed, but an event of {key:?} is published")));
            }
        }
    }
    further_keys(done, &objects)?;
    // A batch that is missing, and an event that is missing of what was removed, are the matter of other clauses.
    let is_announced =
        |object: &&Object| objects.after.contains(object) || events(done).any(|event| object.key == *event.key());
    if events(done).next().is_none() {
        return Ok(());
    }
    for object in changed.into_iter().filter(is_announced).filter(|object| !was_moved(object, &objects)) {
        for key in std::iter::once(&object.key).chain(&object.filter_keys) {
            if !key.is_empty() && *key != "*" && !finds(done, object, key)? {
                let kind = if *key == object.key { "key" } else { "filter key" };
                let what =
                    format!("{object} has changed, but a subscription to its {kind} {key:?} does not receive it");
                return Err(done.violation(what));
            }
        }
    }
    Ok(())
}

/// An event has no filter key that its object does not have, if the author names all of them.
fn further_keys<S: TestedStore>(done: &Done<S>, objects: &Objects) -> Result<(), Violation> {
    for event in events(done) {
        let is_subject = |object: &&Object| {
            object.topic == *event.topic() && object.namespace == *event.namespace() && object.key == *event.key()
        };
        let forms: Vec<_> = objects.all().filter(is_subject).collect();
        let Some(object) = forms.last().filter(|_| forms.iter().all(|form| !form.has_more_keys)) else { continue };
        let is_known = |key: &&Key| *key == event.key() || forms.iter().any(|form| form.filter_keys.contains(key));
        if let Some(key) = event.filter_keys().iter().find(|key| !is_known(key)) {
            return Err(
                done.violation(format!("an event of {object} has the filter key {key:?}, which is not the object's"))
            );
        }
    }
    Ok(())
}

/// Whether this is the earlier form of an object that is still there: it is looked for by its new names.
fn was_moved(object: &Object, objects: &Objects) -> bool {
    !objects.after.contains(object) && objects.after.iter().any(|other| other.is(object))
}

/// Whether a subscription to this key, in the object's topic and namespace, receives an event of the object.
fn finds<S: TestedStore>(done: &Done<S>, object: &Object, key: &Key) -> Result<bool, Violation> {
    let term = Term::new(object.topic.clone(), key.clone()).map_err(denied)?;
    let scope = if object.namespace.is_empty() { "*".into() } else { object.namespace.clone() };
    let scope = Scope::of(&[scope]).map_err(denied)?;
    let receives = |event: &Event<S::Payload>| term.matches(event) && scope.admits(event.namespace());
    Ok(events(done).any(|event| *event.key() == object.key && receives(event)))
}
