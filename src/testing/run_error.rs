//! Why a run of an executor failed, and in which order its tasks were polled.
//! When a run fails is decided in `executor`.

use std::any::Any;
use std::fmt;

use crate::panics::ignore_panic;

/// Why a run of an [`Executor`](super::Executor) failed. The message has all of it.
///
/// ```
/// use event_broker::testing::{Executor, yield_now};
///
/// let mut executor = Executor::new(7);
/// executor.spawn("publisher", async {
///     yield_now().await;
///     yield_now().await;
///     panic!("the store is gone");
/// });
/// assert_eq!(
///     executor.try_run().unwrap_err().to_string(),
///     "seed 7: task \"publisher\" panicked in step 3: the store is gone\norder of steps: publisher ×3",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunError {
    /// The seed, which replays the run.
    pub seed: u64,
    /// What happened.
    pub kind: RunErrorKind,
    /// The names of the tasks that were polled, in their order.
    pub steps: Vec<String>,
}

/// What happened in a run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunErrorKind {
    /// A task panicked, which was that of the last step, or the test itself.
    Panicked {
        /// The task, or `None` if the test panicked outside of its tasks.
        task: Option<String>,
        /// The message of the panic.
        message: String,
    },
    /// No task is woken, and these wait.
    Deadlock {
        /// Their names, in the order of spawning.
        tasks: Vec<String>,
    },
    /// The run took as many steps as it may, and tasks are still woken.
    TooManySteps {
        /// The number of steps.
        steps: usize,
    },
}

/// How many runs of steps of one task a message lists at most: the last ones.
const MAX_LISTED: usize = 40;

impl RunError {
    /// Writes the order of steps, with those of one task in a row as one.
    fn write_order(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: Vec<_> = self.steps.chunk_by(|step, next| step == next).collect();
        let (left_out, listed) = runs.split_at(runs.len().saturating_sub(MAX_LISTED));
        f.write_str("order of steps: ")?;
        if !left_out.is_empty() {
            write!(f, "… (after {} others) ", left_out.iter().map(|run| run.len()).sum::<usize>())?;
        }
        for (place, run) in listed.iter().enumerate() {
            let Some(name) = run.first() else { continue };
            f.write_str(if place == 0 { "" } else { ", " })?;
            match run.len() {
                1 => f.write_str(name)?,
                count => write!(f, "{name} ×{count}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.steps.len();
        write!(f, "seed {}: ", self.seed)?;
        match &self.kind {
            RunErrorKind::Panicked { task: Some(task), message } => {
                write!(f, "task {task:?} panicked in step {step}: {message}")?;
            }
            RunErrorKind::Panicked { task: None, message } => {
                write!(f, "the test panicked after step {step}: {message}")?;
            }
            RunErrorKind::Deadlock { tasks } => {
                write!(f, "deadlock after step {step}: nothing will wake ")?;
                for (place, task) in tasks.iter().enumerate() {
                    write!(f, "{}{task:?}", if place == 0 { "" } else { ", " })?;
                }
            }
            RunErrorKind::TooManySteps { steps } => write!(f, "no end after {steps} steps")?,
        }
        if self.steps.is_empty() {
            return Ok(());
        }
        f.write_str("\n")?;
        self.write_order(f)
    }
}

impl std::error::Error for RunError {}

/// Returns the text of a panic, and drops its payload, which may panic as well.
pub(super) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    ignore_panic(|| drop(payload));
    text.unwrap_or_else(|| "a payload that is no text".to_owned())
}
