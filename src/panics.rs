//! Running foreign code whose panic must not get any further, or only when everything else is done.
//! What the code is for is not known here.
//!
//! A panic carries a payload, which is foreign code as well: its drop may panic in turn. So payloads are dropped where
//! that is caught, and one that panics out of its drop even then is leaked rather than looked at again.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::panicking;

/// Runs foreign code, whose panic is its own affair.
pub(crate) fn ignore_panic(run: impl FnOnce()) {
    let _ = catch_panic(run);
}

/// Runs foreign code; `None` if it panicked.
pub(crate) fn catch_panic<R>(run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(panic) => {
            discard(panic);
            None
        }
    }
}

/// Drops the payload of a panic, whatever its drop does.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(another);
    }
}

/// Panics of several pieces of foreign code that must all run, such as the drops of values: the first goes on when all
/// have run.
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

    /// Lets the first panic go on, unless the thread is unwinding already: a second one would abort the process.
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
    fn all_run_and_the_first_panic_goes_on() {
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
