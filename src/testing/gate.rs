//! A gate that stops threads of the code under test until the test opens it.
//! Where the code passes it is decided by its user, such as `rules`.
//!
//! Invariant: a thread waits at a gate for the time limit at most.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::step::TIME_LIMIT;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A gate at which threads wait until a test opens it. It is closed at first. It makes a hook slow, without a sleep.
///
/// Dropping it opens it, so that a test that fails leaves no thread behind.
///
/// ```
/// use event_broker::testing::{Gate, Rule, Rules};
/// use event_broker::{Broker, Request};
///
/// let (gate, rules) = (Gate::new(), Rules::new());
/// rules.set(Rule::allow().held_by(&gate));
/// let broker = Broker::<u32>::builder().authorizer(rules.clone()).build()?;
/// let subscribing = {
///     let broker = broker.clone();
///     std::thread::spawn(move || broker.subscribe(Request::new()).is_ok())
/// };
/// gate.wait_for(1);
/// assert!(broker.subscriptions().is_empty(), "the authorizer still decides");
/// gate.open();
/// assert!(subscribing.join().unwrap());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Gate(Arc<Shared>);

/// What the gate shares with those who pass it.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Somebody has come, or the gate was opened.
    changed: Condvar,
}

#[derive(Clone, Copy)]
struct State {
    is_open: bool,
    /// How often the gate was opened.
    openings: u64,
    /// Those who have come since the gate was opened last.
    waiting: usize,
}

impl Gate {
    /// Creates a closed gate.
    pub fn new() -> Self {
        let state = Mutex::new(State { is_open: false, openings: 0, waiting: 0 });
        Self(Arc::new(Shared { state, changed: Condvar::new() }))
    }

    /// Passes the gate: waits until it is open. It serves closures and other code of a test that must be slow.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use event_broker::testing::Gate;
    /// use event_broker::{Broker, Event, Request};
    ///
    /// let gate = Arc::new(Gate::new());
    /// let broker = Broker::<u32>::new();
    /// let held = Arc::clone(&gate);
    /// let mut slow = broker.subscribe(Request::new().filter(move |_| {
    ///     held.pass();
    ///     true
    /// }))?;
    /// broker.publish(1, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// let reading = std::thread::spawn(move || slow.recv().map(|delivery| delivery.index()));
    /// gate.wait_for(1);
    /// broker.publish(2, [Event::new("Job", "JobRegistered", "web", 2)])?; // it waits for no reader
    /// gate.open();
    /// assert_eq!(reading.join().unwrap(), Ok(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics after [`TIME_LIMIT`]. A thread that should open the gate and passes it first takes so long.
    #[track_caller]
    pub fn pass(&self) {
        self.0.pass();
    }

    /// Opens the gate. All that wait pass, also if it is closed again at once, and all that come later.
    pub fn open(&self) {
        self.0.open();
    }

    /// Closes the gate again for those who come from now on.
    pub fn close(&self) {
        self.0.state.lock().is_open = false;
    }

    /// Returns how many threads wait at the gate.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }

    /// Waits until at least this many threads wait at the closed gate.
    ///
    /// # Panics
    ///
    /// Panics after [`TIME_LIMIT`].
    #[track_caller]
    pub fn wait_for(&self, threads: usize) {
        let mut state = self.0.state.lock();
        let come = self.0.wait_while(&mut state, TIME_LIMIT, |state| state.waiting < threads);
        let State { is_open, waiting, .. } = *state;
        drop(state);
        let gate = if is_open { "gate, which is open" } else { "gate" };
        assert!(come, "expected {threads} to wait at the {gate}, found {waiting} after {TIME_LIMIT:?}");
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }
}

impl Shared {
    #[track_caller]
    pub(super) fn pass(&self) {
        self.pass_within(TIME_LIMIT);
    }

    #[track_caller]
    fn pass_within(&self, limit: Duration) {
        let mut state = self.state.lock();
        if state.is_open {
            return;
        }
        let openings = state.openings;
        state.waiting += 1;
        self.changed.notify_all();
        let passed = self.wait_while(&mut state, limit, |state| state.openings == openings);
        if !passed {
            state.waiting -= 1;
        }
        drop(state);
        assert!(passed, "expected the gate to be opened, it is still closed after {limit:?}");
    }

    fn open(&self) {
        {
            let mut state = self.state.lock();
            *state = State { is_open: true, openings: state.openings + 1, waiting: 0 };
        }
        self.changed.notify_all();
    }

    /// Waits while this holds. Returns whether it ceased to hold within the limit.
    fn wait_while(
        &self,
        state: &mut MutexGuard<'_, State>,
        limit: Duration,
        condition: impl Fn(&State) -> bool,
    ) -> bool {
        let deadline = Instant::now() + limit;
        while condition(state) {
            if self.changed.wait_until(state, deadline).timed_out() {
                return !condition(state);
            }
        }
        true
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { is_open, waiting, .. } = *self.0.state.lock();
        f.debug_struct("Gate").field("is_open", &is_open).field("waiting", &waiting).finish()
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread::scope;

    use super::super::run_error::panic_message;
    use super::*;

    #[test]
    fn those_who_wait_pass_though_it_is_closed_again_and_others_do_not() {
        let gate = Gate::new();
        for round in 0..50 {
            scope(|scope| {
                let passing = [(); 2].map(|()| scope.spawn(|| gate.pass()));
                gate.wait_for(2);
                assert_eq!(gate.waiting(), 2, "{round}");
                gate.open();
                gate.close();
                assert_eq!(gate.waiting(), 0, "{round}");
                for thread in passing {
                    thread.join().expect("it is let through");
                }
            });
        }
        gate.open();
        gate.pass();
    }

    #[test]
    fn a_gate_that_is_dropped_holds_nobody() {
        let gate = Gate::new();
        let shared = gate.shared();
        scope(|scope| {
            let passing = scope.spawn(|| shared.pass());
            gate.wait_for(1);
            drop(gate);
            passing.join().expect("it is let through");
        });
    }

    #[test]
    fn a_gate_that_nobody_opens_is_found() {
        let gate = Gate::new();
        let waiting = catch_unwind(AssertUnwindSafe(|| gate.shared().pass_within(Duration::from_millis(2))));
        let message = panic_message(waiting.expect_err("it is closed"));
        assert_eq!(message, "expected the gate to be opened, it is still closed after 2ms");
        assert_eq!(gate.waiting(), 0, "it has left");
    }
}
