//! Deals a *stripe* to each thread: a number by which threads keep apart what they write when they read.
//! What is kept once for each stripe is decided in `log` and `wait`.
//!
//! A thread keeps its stripe until it ends, and then the stripe is dealt again, the lowest first. So a thread shares its
//! stripe only if [`STRIPES`] others that have read lived when it read first. They take turns then, as they would without
//! stripes.
//!
//! Invariant: a number that is dealt is dealt to one thread, until the destructors of its thread-local values run.
//!
//! Callers: `log` and `wait`, for whatever a reader locks or counts.

#[cfg(not(all(broker_loom, test)))]
mod dealt {
    use std::cell::Cell;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use crate::sync::Mutex;

    /// The number of stripes. A set of stripes is one word.
    pub(crate) const STRIPES: u32 = 64;

    /// The numbers to deal: those that were returned, and the first that was never dealt.
    struct Numbers {
        returned: BinaryHeap<Reverse<u32>>,
        next: u32,
    }

    static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { returned: BinaryHeap::new(), next: 0 });

    /// The number of a thread, which is returned when the thread ends.
    struct Lease(u32);

    impl Drop for Lease {
        fn drop(&mut self) {
            NUMBERS.lock().returned.push(Reverse(self.0));
        }
    }

    const NONE: u32 = u32::MAX;

    thread_local! {
        /// A copy of the lease's number: a cell without a destructor is read in one instruction.
        static STRIPE: Cell<u32> = const { Cell::new(NONE) };
        static LEASE: Lease = {
            let mut numbers = NUMBERS.lock();
            Lease(if let Some(Reverse(number)) = numbers.returned.pop() {
                number
            } else {
                numbers.next += 1;
                numbers.next - 1
            })
        };
    }

    /// Returns the stripe of this thread.
    #[inline]
    pub(crate) fn current() -> u32 {
        match STRIPE.get() {
            NONE => deal(),
            stripe => stripe,
        }
    }

    #[cold]
    fn deal() -> u32 {
        // A thread that is ending has no lease any more. It shares the first stripe.
        let stripe = LEASE.try_with(|lease| lease.0 % STRIPES).unwrap_or_default();
        STRIPE.set(stripe);
        stripe
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeSet;
        use std::sync::Barrier;
        use std::thread;

        use super::*;

        /// Other tests have threads with stripes, too.
        #[test]
        fn living_threads_have_a_stripe_each_and_the_stripe_of_one_that_ended_is_dealt_again() {
            const THREADS: u32 = 8;
            for _ in 0..200 {
                let barrier = Barrier::new(8);
                let stripes: BTreeSet<_> = thread::scope(|scope| {
                    let threads: Vec<_> = (0..THREADS)
                        .map(|_| {
                            scope.spawn(|| {
                                let lease = LEASE.with(|lease| lease.0);
                                barrier.wait();
                                assert_eq!(current(), current());
                                assert_eq!(current(), lease % STRIPES);
                                lease
                            })
                        })
                        .collect();
                    threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
                });
                assert_eq!(stripes.len(), 8);
            }
            assert!(NUMBERS.lock().next < 200 * THREADS, "numbers are dealt again");
        }
    }
}

#[cfg(all(broker_loom, test))]
mod dealt {
    /// Enough for two threads that have a stripe each.
    pub(crate) const STRIPES: u32 = 2;

    pub(crate) use crate::sync::model_stripe as current;
}

pub(crate) use dealt::{STRIPES, current};
