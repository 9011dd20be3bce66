//! A store under test and its recorder: what each command of a script does to it.
//! Whether that is right is decided in the files of the clauses.
//!
//! Callers: the files of the clauses.

use std::sync::Arc;

use super::script::{Step, make};
use super::store::{Outcome, TestedStore};
use super::violation::{Violation, guarded};
use crate::broker::Builder;
use crate::subscription::{Delivery, Subscription};
use crate::testing::outline::{Name, Outline};
use crate::testing::recorder::Recorder;
use crate::types::error::{RecvError, TryRecvError};
use crate::types::event::Event;
use crate::types::request::Request;
use crate::types::start::Start;

/// A state and its index, shared by those that begin with it.
pub(super) type At<S> = (u64, Arc<<S as TestedStore>::State>);

/// A store, and what it has published.
pub(super) struct Run<S: TestedStore> {
    pub(super) store: S,
    pub(super) recorder: Recorder<S::Payload>,
    pub(super) now: At<S>,
}

/// What a command has done.
pub(super) struct Done<S: TestedStore> {
    /// The number of the command.
    pub(super) step: usize,
    pub(super) outcome: Outcome,
    pub(super) before: At<S>,
    pub(super) after: At<S>,
    pub(super) batches: Vec<Delivery<S::Payload>>,
    /// The latest index of the broker, before and after.
    pub(super) latest: (u64, u64),
}

/// Reads a store's state.
pub(super) fn state_of<S: TestedStore>(store: &S) -> Result<At<S>, Violation> {
    guarded("the read of the state", || store.state()).map(|(index, state)| (index, Arc::new(state)))
}

impl<S: TestedStore> Run<S> {
    pub(super) fn new(broker: Builder<S::Payload>) -> Result<Self, Violation> {
        let store = make::<S>(broker)?;
        let recorder = Recorder::of(&store.broker());
        recorder.take();
        let now = state_of(&store)?;
        Ok(Self { store, recorder, now })
    }

    /// Runs a command, and returns what it has done.
    pub(super) fn step(&mut self, number: usize, step: &Step<S::Command>) -> Result<Done<S>, Violation> {
        let broker = self.store.broker();
        let latest = broker.latest_index();
        let outcome = perform(&self.store, step).map_err(|violation| violation.after(number))?;
        let after = state_of(&self.store).map_err(|violation| violation.after(number))?;
        let before = std::mem::replace(&mut self.now, after.clone());
        let latest = (latest, broker.latest_index());
        Ok(Done { step: number, outcome, before, after, batches: self.recorder.take(), latest })
    }
}

/// Runs a command.
pub(super) fn perform<S: TestedStore>(store: &S, step: &Step<S::Command>) -> Result<Outcome, Violation> {
    match step {
        Step::Commit(command) => guarded("the commit", || store.commit(command)),
        Step::RollBack(command) => guarded("the roll-back", || store.roll_back(command)),
    }
}

impl<S: TestedStore> Done<S> {
    /// Whether the command has changed the state.
    pub(super) fn changed(&self) -> bool {
        self.before.1 != self.after.1
    }

    /// Returns the violation that was seen after this command, and shows what the command has published, without
    /// payloads.
    pub(super) fn violation(&self, what: impl Into<String>) -> Violation {
        Violation::new(what).after(self.step).showing(&Outline::of(&self.batches))
    }

    /// Returns the outline of what the command has published, with payloads.
    pub(super) fn outline(&self) -> Outline {
        Outline::by(&self.batches, S::show as fn(&S::Payload) -> String)
    }
}

/// Applies the events of batches to a state.
pub(super) fn apply<S: TestedStore>(state: &mut S::State, batches: &[Delivery<S::Payload>]) -> Result<(), Violation> {
    batches.iter().flat_map(Delivery::events).try_for_each(|event| apply_event::<S>(state, event))
}

/// Applies an event to a state.
pub(super) fn apply_event<S: TestedStore>(state: &mut S::State, event: &Event<S::Payload>) -> Result<(), Violation> {
    guarded("`apply`", || S::apply(state, event)).map_err(|violation| {
        let event = format!("{}/{} {}", event.topic(), event.event_type(), Name(event.key().as_str()));
        Violation { what: format!("{} (at {event})", violation.what), ..violation }
    })
}

/// A copy of the state, and a reader of all that comes after it.
pub(super) struct Mirror<S: TestedStore> {
    /// The index at which the state was listed.
    pub(super) listed: u64,
    pub(super) state: S::State,
    pub(super) reader: Subscription<S::Payload>,
}

impl<S: TestedStore> Mirror<S> {
    /// Follows from a state that was listed at its index.
    pub(super) fn follow(store: &S, (index, state): &At<S>) -> Result<Self, Violation> {
        let start = Start::Index(index.saturating_add(1));
        let request = Request::new().namespace("*").start(start).principal(store.principal());
        let reader = store.broker().subscribe(request).map_err(denied)?;
        Ok(Self { listed: *index, state: S::State::clone(state), reader })
    }

    /// Reads and applies what there is. Returns whether everything was received: otherwise the reader was overtaken,
    /// and must list again.
    pub(super) fn read(&mut self) -> Result<bool, Violation> {
        loop {
            match self.reader.try_recv() {
                Ok(delivery) => apply::<S>(&mut self.state, &[delivery])?,
                Err(TryRecvError::Empty) => return Ok(true),
                Err(TryRecvError::Recv(RecvError::Lagged(_))) => return Ok(false),
                Err(TryRecvError::Recv(end)) => {
                    let what = format!("the reader that began after index {} has ended: {end}", self.listed);
                    return Err(Violation::new(what));
                }
            }
        }
    }

    /// Checks that the copy equals the store's state.
    pub(super) fn check(&self, now: &At<S>) -> Result<(), Violation> {
        if self.state == *now.1 {
            return Ok(());
        }
        let what = format!("the state listed at index {} and the events after it make another state", self.listed);
        Err(Violation::new(what).differing(DIFFERENCE, &*now.1, &self.state))
    }
}

/// What the lines of two states are.
pub(super) const DIFFERENCE: &str = "the state by events against the store's (- store, + events)";

/// The suite could not subscribe.
pub(super) fn denied(error: impl std::fmt::Display) -> Violation {
    Violation::new(format!(
        "a subscription to everything failed ({error}); `TestedStore::principal` must be allowed it"
    ))
}
