//! The only module that names the crates of locks, atomics and parked threads: real ones, or those of loom in models.
//! No algorithm lives here, and what an ordering is for is decided where it is used.
//!
//! A value that is written once and read by other threads is a [`Slot`] where the models explore it. Three files use
//! `OnceLock` itself: the doorbell in `wait::waiter`, the frames cached in `frame::cache`, and the ordinals of a window
//! in `subscription::drain`. The models do not explore the orderings of those.
//!
//! Invariants:
//! - A slot is set once, and its value is read only after that.
//! - The stand-in for [`store_and_fence`] orders more than the real exchange. The variable `BROKER_LOOM_EXCHANGE`
//!   selects one that orders less.
//!
//! Callers: every layer. The models build with the private cfg `broker_loom`.

#[cfg(not(all(broker_loom, test)))]
mod real {
    use std::sync::{PoisonError, TryLockError};

    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{Ordering, fence};
    pub(crate) use std::thread::{Thread, ThreadId, current, park, park_timeout, sleep, yield_now};

    pub(crate) use parking_lot::MutexGuard;

    /// Of the test kit, which the models do not build.
    #[cfg(feature = "testing")]
    pub(crate) use parking_lot::Condvar;

    #[cfg(not(broker_steps))]
    pub(crate) use {
        parking_lot::Mutex,
        std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64},
    };

    #[cfg(broker_steps)]
    pub(crate) use super::recorded::{AtomicBool, AtomicU32, AtomicU64, Mutex};

    /// Whether threads that do not publish may be made to sleep, so that publishers find the lock free.
    pub(crate) const PACED: bool = true;

    /// A mutex whose waiters sleep, after a moment of spinning. Waiters of a [`Mutex`] yield to other threads first. A
    /// thread that has just preempted the holder may then not run again for some milliseconds.
    #[derive(Debug)]
    pub(crate) struct SleepMutex<T>(std::sync::Mutex<T>);

    /// The guard of a [`SleepMutex`].
    pub(crate) type SleepGuard<'a, T> = std::sync::MutexGuard<'a, T>;

    impl<T> SleepMutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        #[cfg_attr(broker_steps, track_caller)]
        pub(crate) fn lock(&self) -> SleepGuard<'_, T> {
            #[cfg(broker_steps)]
            crate::writes::write(crate::writes::Kind::Lock, self);
            // No foreign code runs under the lock, so what a panic leaves is consistent.
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        #[inline]
        #[cfg_attr(broker_steps, track_caller)]
        pub(crate) fn try_lock(&self) -> Option<SleepGuard<'_, T>> {
            #[cfg(broker_steps)]
            crate::writes::write(crate::writes::Kind::Lock, self);
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }
    }

    /// A condition that threads wait for beside a [`SleepMutex`].
    #[cfg(feature = "testing")]
    pub(crate) use std::sync::Condvar as SleepCondvar;

    /// Waits until `is_met` returns true, or until this moment.
    #[cfg(feature = "testing")]
    pub(crate) fn wait_until<'a, T>(
        condvar: &SleepCondvar,
        mut guard: SleepGuard<'a, T>,
        until: std::time::Instant,
        mut is_met: impl FnMut(&T) -> bool,
    ) -> SleepGuard<'a, T> {
        while !is_met(&guard) {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                break;
            }
            guard = condvar.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        guard
    }

    /// Returns the id of this thread.
    pub(crate) fn thread_id() -> ThreadId {
        current().id()
    }

    /// How often an idle dispatcher polls its queue before it sleeps until it is woken.
    pub(crate) const DISPATCH_SPIN_LIMIT: u32 = 200;

    /// How often a reader reads again before its thread sleeps: half of the times after spinning, twice as long each
    /// time, and half after yielding to other threads.
    pub(crate) const RECV_SPIN_LIMIT: u32 = 12;

    /// Stores with Release, and orders the store before all later sequentially consistent loads. This is a store and a
    /// fence, for half the price on x86, where an exchange is both. The partners are in [`wait`](crate::wait).
    #[inline]
    #[cfg_attr(broker_steps, track_caller)]
    pub(crate) fn store_and_fence(place: &AtomicU64, value: u64) {
        place.swap(value, Ordering::SeqCst);
    }

    /// A place that is written once and read by any thread. [`set`](Self::set) stores with Release, and
    /// [`get`](Self::get) loads with Acquire.
    #[derive(Debug)]
    pub(crate) struct Slot<T>(std::sync::OnceLock<T>);

    impl<T> Slot<T> {
        pub(crate) const fn new() -> Self {
            Self(std::sync::OnceLock::new())
        }

        #[inline]
        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            self.0.set(value)
        }

        /// Sets the value, where no other thread can do so, in fewer instructions.
        #[inline]
        pub(crate) fn set_first(&self, value: T) {
            debug_assert!(self.0.get().is_none(), "a place is written once");
            self.0.get_or_init(|| value);
        }

        #[inline]
        pub(crate) fn get(&self) -> Option<&T> {
            self.0.get()
        }

        /// Empties the slot, which no other thread can read.
        #[inline]
        pub(crate) fn take(&mut self) -> Option<T> {
            self.0.take()
        }
    }
}

/// The same primitives, which record what they write.
#[cfg(all(broker_steps, not(all(broker_loom, test))))]
mod recorded {
    use std::sync::atomic::Ordering;

    use parking_lot::MutexGuard;

    use crate::writes::{Kind, write};

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        #[track_caller]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            write(Kind::Lock, self);
            self.0.lock()
        }
    }

    macro_rules! atomics {
        ($($name:ident: $value:ty, $($modify:ident)*;)*) => { $(
            #[derive(Debug)]
            pub(crate) struct $name(std::sync::atomic::$name);

            impl $name {
                pub(crate) const fn new(value: $value) -> Self {
                    Self(std::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, ordering: Ordering) -> $value {
                    self.0.load(ordering)
                }

                #[track_caller]
                pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                    write(Kind::Store, self);
                    self.0.store(value, ordering);
                }

                $(
                    #[track_caller]
                    pub(crate) fn $modify(&self, value: $value, ordering: Ordering) -> $value {
                        write(Kind::Modify, self);
                        self.0.$modify(value, ordering)
                    }
                )*
            }
        )* };
    }

    atomics! {
        AtomicBool: bool, swap;
        AtomicU32: u32, fetch_add fetch_sub;
        AtomicU64: u64, swap fetch_add fetch_sub fetch_or fetch_and;
    }

    impl AtomicU64 {
        #[track_caller]
        pub(crate) fn fetch_update(
            &self,
            set: Ordering,
            fetch: Ordering,
            update: impl FnMut(u64) -> Option<u64>,
        ) -> Result<u64, u64> {
            write(Kind::Modify, self);
            self.0.fetch_update(set, fetch, update)
        }
    }
}

#[cfg(all(broker_loom, test))]
mod real {
    use std::cell::Cell;
    use std::fmt;
    use std::sync::LazyLock;
    use std::time::Duration;

    use loom::sync::{Arc, Condvar};

    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use loom::thread::{ThreadId, yield_now};

    /// A model has no time.
    pub(crate) const PACED: bool = false;

    pub(crate) fn sleep(_: Duration) {}

    // A model has no time to spin.
    pub(crate) const DISPATCH_SPIN_LIMIT: u32 = 0;
    pub(crate) const RECV_SPIN_LIMIT: u32 = 0;

    /// A variable, so that the models are built once.
    static PLAIN_EXCHANGE: LazyLock<bool> = LazyLock::new(|| std::env::var_os("BROKER_LOOM_EXCHANGE").is_some());

    /// Loom knows sequentially consistent fences, but no such stores. A fence is stronger than the real exchange: it
    /// also orders accesses that have nothing to do with the place. So the models that do not wait are explored with a
    /// plain exchange as well, which is weaker than the real one (the environment variable `BROKER_LOOM_EXCHANGE`).
    pub(crate) fn store_and_fence(place: &AtomicU64, value: u64) {
        if *PLAIN_EXCHANGE {
            place.swap(value, Ordering::AcqRel);
        } else {
            place.store(value, Ordering::Release);
            fence(Ordering::SeqCst);
        }
    }

    /// Loom's mutex with the signature of the real one.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model does not panic while it holds a lock")
        }
    }

    /// A model has one kind of mutex.
    pub(crate) type SleepMutex<T> = Mutex<T>;
    pub(crate) type SleepGuard<'a, T> = MutexGuard<'a, T>;

    /// A thread, as the thread that unparks it holds it.
    ///
    /// Loom's own `unpark` is forgotten if the thread blocks at a lock before it parks. A real one is not.
    #[derive(Clone)]
    pub(crate) struct Thread(Arc<Parker>);

    struct Parker {
        token: loom::sync::Mutex<bool>,
        unparked: Condvar,
    }

    loom::thread_local! {
        static CURRENT: Thread = Thread(Arc::new(Parker {
            token: loom::sync::Mutex::new(false),
            unparked: Condvar::new(),
        }));
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            *self.0.token.lock().expect("no thread panics while it holds the token") = true;
            self.0.unparked.notify_one();
        }
    }

    impl fmt::Debug for Thread {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Thread")
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Clone::clone)
    }

    pub(crate) fn park() {
        let Thread(parker) = current();
        let mut token = parker.token.lock().expect("no thread panics while it holds the token");
        while !std::mem::take(&mut *token) {
            token = parker.unparked.wait(token).expect("no thread panics while it holds the token");
        }
    }

    pub(crate) fn thread_id() -> ThreadId {
        loom::thread::current().id()
    }

    loom::thread_local! {
        static STRIPE: Cell<u32> = Cell::new(0);
    }

    /// Returns the stripe of this thread. The threads of a model share the first one, unless they choose another.
    pub(crate) fn model_stripe() -> u32 {
        STRIPE.with(Cell::get)
    }

    /// Chooses the stripe of this thread.
    pub(crate) fn choose_stripe(stripe: u32) {
        STRIPE.with(|here| here.set(stripe));
    }

    /// Parks: a model has no time, so the timeout never ends a park.
    pub(crate) fn park_timeout(_: Duration) {
        park();
    }

    /// What `OnceLock` guarantees, in terms that the model can see.
    #[derive(Debug)]
    pub(crate) struct Slot<T> {
        value: std::sync::OnceLock<T>,
        written: AtomicBool,
    }

    impl<T> Slot<T> {
        pub(crate) fn new() -> Self {
            Self { value: std::sync::OnceLock::new(), written: AtomicBool::new(false) }
        }

        #[inline]
        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            self.value.set(value)?;
            self.written.store(true, Ordering::Release);
            Ok(())
        }

        pub(crate) fn set_first(&self, value: T) {
            assert!(self.set(value).is_ok(), "a place is written once");
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.written.load(Ordering::Acquire) { self.value.get() } else { None }
        }

        #[inline]
        pub(crate) fn take(&mut self) -> Option<T> {
            self.written = AtomicBool::new(false);
            self.value.take()
        }
    }
}

pub(crate) use real::*;
