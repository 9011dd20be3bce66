//! Work with a time limit, so that a deadlock fails instead of hanging, and work that panics.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long a test waits for what must come. Only a deadlock or a lost wake-up takes so long.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Runs the work on a thread of its own and returns its result. Panics if it takes longer than [`TIME_LIMIT`].
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let worker = thread::spawn(move || drop(done.send(work())));
    match result.recv_timeout(TIME_LIMIT) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("still at it after {TIME_LIMIT:?}: a deadlock, or a lost wake-up"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().expect_err("it ended without a value"))
        }
    }
}

/// Whether the work panics.
pub(crate) fn panics<T>(work: impl FnOnce() -> T) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
}

/// Runs work that must panic, with the same limit, and returns the panic's message.
pub(crate) fn panics_in_time(work: impl FnOnce() + Send + 'static) -> String {
    let caught = in_time(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)));
    let payload = caught.expect_err("it must panic");
    match payload.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}
