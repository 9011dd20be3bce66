//! A waiter: how one waiting reader is woken, and where it is registered.
//! The lists that it is registered in are in `list`, and who wakes it in `wake`.
//!
//! Invariants:
//! - A waker is cloned, called and dropped without a lock: all three are foreign code.
//! - A registration is set under the lock of its list. It is cleared when its entry is removed, or when the list was
//!   taken and the waiter is woken.
//! - A waiter need not be waiting: every open subscription has one. It waits while a signal is stored.
//!
//! Callers: the reader stores its signal without a lock; `wake` and `core` take it without the broker's lock.

use std::collections::VecDeque;
use std::fmt;
use std::sync::OnceLock;
use std::task::Waker;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::panics::ignore_panic;
use crate::steps::{Step, count};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, Thread};
use crate::types::small_list::SmallList;

/// How one waiting reader is woken.
#[derive(Debug)]
pub(crate) enum Signal {
    Thread(Thread),
    Task(Waker),
}

impl Signal {
    fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            // Foreign code. Its panic is caught, because other waiters are still to be woken.
            Self::Task(waker) => ignore_panic(|| waker.wake()),
        }
    }
}

/// A reader that can wait. `X` is what its owner shares with everybody who holds the waiter.
pub(crate) struct Waiter<X> {
    signal: Mutex<Option<Signal>>,
    /// The doorbell, if the reader has asked for one.
    bell: OnceLock<Box<(Sender<()>, Receiver<()>)>>,
    /// One for each list of the waiter, by the list's number.
    pub(super) registrations: SmallList<Registration>,
    /// The numbers of the lists that were hit. Only waiters that are registered in many lists have it.
    pub(super) hit_queue: Option<Box<Mutex<VecDeque<u32>>>>,
    pub(super) queued: Queued,
    wakeups: Wakeups,
    pub(crate) shared: X,
}

/// Whether the waiter is queued on its own, and not as a part of a list, in a [`WakeBatch`](super::WakeBatch) that was
/// not woken yet. Then it is not added to another one. Otherwise a stuck dispatcher would collect it again with each
/// hit.
#[derive(Debug)]
pub(super) struct Queued(AtomicBool);

impl Queued {
    /// Sets it. Returns whether it was clear before.
    ///
    /// Both this and [`clear`](Self::clear) are exchanges, Acquire and Release. A publisher that finds it set has made
    /// something visible before. The thread that clears it later sees that, and then takes the signal.
    pub(super) fn set(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    pub(super) fn clear(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

/// Where in a list a waiter is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the part, below 64.
    pub(super) part: u32,
    pub(super) slot: usize,
}

/// Whether a waiter is registered in one of its lists, and where. It is set under the lock of that part of the list.
#[derive(Debug)]
pub(crate) struct Registration(AtomicU32);

impl Registration {
    pub(super) const NONE: u32 = u32::MAX;
    const SLOT_BITS: u32 = 26;

    /// Returns one registration for each of so many lists.
    pub(crate) fn for_lists(lists: usize) -> SmallList<Self> {
        (0..lists).map(|_| Self(AtomicU32::new(Self::NONE))).collect::<Vec<_>>().into()
    }

    /// Returns the place in the list. Acquire, with the Release of [`clear`](Self::clear): a reader that sees the
    /// registration cleared registers again, and that is ordered after the taking.
    pub(super) fn get(&self) -> Option<Place> {
        match self.0.load(Ordering::Acquire) {
            Self::NONE => None,
            word => {
                let slot = usize::try_from(word & ((1 << Self::SLOT_BITS) - 1)).ok()?;
                Some(Place { part: word >> Self::SLOT_BITS, slot })
            }
        }
    }

    /// Sets the place. A slot that does not fit would leave the waiter unregistered, but 2^26 waiters take some 20 GB.
    pub(super) fn set(&self, Place { part, slot }: Place) {
        let slot = u32::try_from(slot).ok().filter(|slot| slot >> Self::SLOT_BITS == 0);
        let word = slot.map_or(Self::NONE, |slot| part << Self::SLOT_BITS | slot);
        self.0.store(word, Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.0.store(Self::NONE, Ordering::Release);
    }
}

/// A count that is only read for statistics. It is changed under the lock of the signal.
#[derive(Debug)]
struct Wakeups(AtomicU64);

impl Wakeups {
    fn add_one(&self) {
        // Relaxed: a statistic. One thread at a time adds to it, so a load and a store make an addition.
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl<X> Waiter<X> {
    /// Returns a waiter of a reader that has one list for each registration. If it `queues_hits`, it has a queue for
    /// the numbers of the lists that were hit.
    pub(crate) fn new(registrations: SmallList<Registration>, queues_hits: bool, shared: X) -> Self {
        Self {
            signal: Mutex::new(None),
            bell: OnceLock::new(),
            registrations,
            hit_queue: queues_hits.then(|| Box::new(Mutex::new(VecDeque::new()))),
            queued: Queued(AtomicBool::new(false)),
            wakeups: Wakeups(AtomicU64::new(0)),
            shared,
        }
    }

    /// Stores how to wake the reader. It does not wait. The signal before is dropped outside the lock.
    pub(crate) fn set_signal(&self, signal: Signal) {
        let before = self.signal.lock().replace(signal);
        ignore_panic(|| drop(before));
    }

    /// Stores a task's waker, unless it is stored already.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        // A waiter that is registered nowhere has mostly been woken, and then nothing is stored.
        let may_be_stored = self.registrations.first().is_none_or(|first| first.get().is_some());
        let is_stored = || matches!(&*self.signal.lock(), Some(Signal::Task(stored)) if stored.will_wake(waker));
        if !may_be_stored || !is_stored() {
            // Cloned and dropped outside the lock: both are foreign code.
            self.set_signal(Signal::Task(waker.clone()));
        }
    }

    /// Removes the signal, if there is one.
    pub(crate) fn clear_signal(&self) {
        let before = self.signal.lock().take();
        ignore_panic(|| drop(before));
    }

    /// Wakes the reader if it waits, and rings its doorbell if it has one. Never call it under a lock.
    pub(crate) fn wake(&self) {
        count(Step::Wake, 1);
        let bell = self.bell.get();
        let signal = {
            let mut signal = self.signal.lock();
            if signal.is_some() || bell.is_some() {
                self.wakeups.add_one();
            }
            signal.take()
        };
        if let Some(signal) = signal {
            signal.wake();
        }
        if let Some((bell, _)) = bell.map(|bell| &**bell) {
            // If the channel is full, the doorbell rings already.
            let _ = bell.try_send(());
        }
    }

    /// Returns the doorbell, which is made on first use.
    pub(crate) fn doorbell(&self) -> Receiver<()> {
        self.bell.get_or_init(|| Box::new(bounded(1))).1.clone()
    }

    #[inline]
    pub(crate) fn has_doorbell(&self) -> bool {
        self.bell.get().is_some()
    }

    /// Returns whether a signal is stored.
    pub(crate) fn is_waiting(&self) -> bool {
        self.signal.lock().is_some()
    }

    /// Returns how often the reader was woken or rung for.
    pub(crate) fn wakeups(&self) -> u64 {
        self.wakeups.0.load(Ordering::Relaxed)
    }

    /// Moves the numbers of the lists that were hit since the last call to `into`.
    pub(crate) fn take_hits(&self, into: &mut Vec<u32>) {
        if let Some(hit_queue) = &self.hit_queue {
            into.extend(hit_queue.lock().drain(..));
        }
    }

    #[inline]
    pub(crate) fn has_hit_queue(&self) -> bool {
        self.hit_queue.is_some()
    }
}

impl<X: fmt::Debug> fmt::Debug for Waiter<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("lists", &self.registrations.len())
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
