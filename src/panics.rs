//! Catches panics of foreign code: to stop them, or to resume them when all other work is done.
//! Which panics are stopped is decided by the callers.
//!
//! The payload of a panic is foreign code as well, because its drop may panic as well.
//!
//! Invariants:
//! - No panic leaves [`ignore_panic`] and [`catch_panic`].
//! - A payload is dropped only where a panic of its drop is caught. The payload of that second panic is leaked.
//!
//! Callers: `log`, `wait`, `core` and `subscription`, without any lock, around wakers, observers, authorizers and drops
//! of payloads.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::panicking;

/// Runs foreign code and discards its panic.
pub(crate) fn ignore_panic(run: impl FnOnce()) {
    let _ = catch_panic(run);
}

/// Runs foreign code and returns its result, or `None` if it panicked.
pub(crate) fn catch_panic<R>(run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(panic) => {
            discard(panic);
            None
        }
    }
}

/// Drops the payload of a panic. If that panics as well, leaks the payload of the second panic.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(another);
    }
}

/// Collects the panics of several pieces of foreign code that must all run, such as the drops of values. The first
/// panic is resumed when all have run.
#[derive(Default)]
pub(crate) struct Panics(Option<Box<dyn Any + Send>>);

impl Panics {
    pub(crate) fn catch(&mut self, run: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            match &self.0 {
                None => self.0 = Some(panic),
                Some(_) => discard(panic),
            }
        }
    }

    /// Resumes the first panic, unless the thread is unwinding already: a second panic would abort the process.
    pub(crate) fn resume(self) {
        match self.0 {
            None => {}
            Some(panic) if panicking() => discard(panic),
            Some(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;
    use std::panic::panic_any;

    /// A value, or a payload of a panic, whose drop panics with another of its kind.
    struct Bomb(u8);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                panic_any(Bomb(self.0 - 1));
            }
        }
    }

    #[test]
    fn a_panic_whose_payload_panics_gets_no_further() {
        for fuse in 0..4 {
            ignore_panic(|| panic_any(Bomb(fuse)));
            assert_eq!(catch_panic(|| 7), Some(7));
        }
    }

    #[test]
    fn all_run_and_the_first_panic_resumes() {
        let mut ran = 0;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut panics = Panics::default();
            for number in 0..3_u8 {
                panics.catch(|| {
                    ran += 1;
                    if number > 0 {
                        panic_any(number);
                    }
                });
            }
            panics.catch(|| drop(Bomb(3)));
            panics.resume();
        }));
        let first = caught.err().and_then(|panic| panic.downcast_ref::<u8>().copied());
        assert_eq!((ran, first), (3, Some(1)));
    }
}
