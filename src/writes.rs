//! Records which memory an operation writes that other threads can reach, so that tests can compare two threads.
//! Nothing is decided by what is recorded: without the private cfg `broker_steps` none of this is in the crate.
//!
//! Two readers on two cores do not slow each other down if neither writes what the other one reads. So a test records
//! the writes of an operation on each of two threads, and the addresses that are in both lists are what they share.
//! Recorded are stores and read-modify-writes of the atomics of `sync`, its locks, and the references that are counted
//! where a reader takes a batch or a directory. A lock counts once for taking and releasing it, and a reference once for
//! taking and dropping it: each is two read-modify-writes.
//!
//! Invariant: a record belongs to one thread, and is changed by that thread alone.
//!
//! Callers: `sync` records, and so does whoever counts a reference; `tests/cost` takes the records.

#[cfg(broker_steps)]
mod recording {
    use std::cell::RefCell;
    use std::panic::Location;
    use std::ptr;

    /// How memory was written.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Kind {
        Store,
        Modify,
        Lock,
        Reference,
    }

    /// A write, and the file in which it was made.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Write {
        pub kind: Kind,
        pub file: &'static str,
        pub line: u32,
        pub address: usize,
    }

    thread_local! {
        static WRITES: RefCell<Option<Vec<Write>>> = const { RefCell::new(None) };
    }

    /// Returns what `operation` writes on this thread.
    pub fn record<R>(operation: impl FnOnce() -> R) -> (R, Vec<Write>) {
        WRITES.set(Some(Vec::new()));
        let result = operation();
        (result, WRITES.take().unwrap_or_default())
    }

    #[track_caller]
    pub(crate) fn write<T: ?Sized>(kind: Kind, written: *const T) {
        let (file, line) = (Location::caller().file(), Location::caller().line());
        WRITES.with_borrow_mut(|writes| {
            if let Some(writes) = writes {
                writes.push(Write { kind, file, line, address: written.cast::<u8>().addr() });
            }
        });
    }

    /// Records that a reference to this value was counted.
    #[track_caller]
    pub(crate) fn reference<T>(value: &T) {
        write(Kind::Reference, ptr::from_ref(value));
    }
}

#[cfg(broker_steps)]
pub use recording::{Kind, Write, record};
#[cfg(broker_steps)]
pub(crate) use recording::{reference, write};

#[cfg(not(broker_steps))]
#[inline]
pub(crate) const fn reference<T>(_: &T) {}
