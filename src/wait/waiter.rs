//! Waiting: threads, tasks and doorbells as one kind of waiter, and the lists they are found in.
//! What is waited for is not known here: a list belongs to whatever can be hit.
//!
//! A reader that finds nothing leaves its [`Signal`] in its [`Seat`], makes sure that the seat is enrolled in the
//! [`WaitList`] of everything it waits for, looks once more, and only then sleeps. A publisher makes its batch visible,
//! takes the lists that were hit, and wakes their seats after its lock is gone.
//!
//! No wake-up is lost, in two steps:
//! 1. The reader enrols, fences, and looks again; the publisher makes visible, fences, and looks at the list's flag.
//!    One of the two sees the other: all four are sequentially consistent, the publisher's store and fence in one
//!    exchange ([`store_and_fence`](crate::sync::store_and_fence)), the reader's as a fence ([`look_again`]).
//! 2. An enrolment outlives the wait it was made for, until a hit takes it. So a reader may find itself enrolled in a
//!    list that was taken but whose seats have not been woken yet. That is as good as an enrolment: the taker clears
//!    the mark before it locks the seat, and the reader locked the seat before it looked at the mark.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crossbeam_channel::{Receiver, Sender, bounded};
use smallvec::SmallVec;

use crate::panics::quietly;
use crate::steps::{Step, count};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, Thread, fence};
use crate::types::few::Few;

/// How one waiting reader is woken.
#[derive(Debug)]
pub(crate) enum Signal {
    Thread(Thread),
    Task(Waker),
}

impl Signal {
    fn send(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            // Foreign code: its panic is its own affair, the others are still to be woken.
            Self::Task(waker) => quietly(|| waker.wake()),
        }
    }
}

/// Where one reader waits. `X` is what else its owner shares with whoever holds the seat.
pub(crate) struct Seat<X> {
    signal: Mutex<Option<Signal>>,
    bell: OnceLock<Box<(Sender<()>, Receiver<()>)>>,
    marks: Few<Mark>,
    /// Lists that were hit and named the hit; only for seats that are enrolled in many.
    news: Option<Box<Mutex<VecDeque<u32>>>>,
    queued: Queued,
    wakeups: Wakeups,
    pub(crate) owner: X,
}

/// Whether the seat, apart from its lists, stands in a [`Taken`] that has not been woken yet: then it need not be added to
/// another one. Otherwise a dispatcher that is stuck would gather it again with each hit.
#[derive(Debug)]
struct Queued(AtomicBool);

impl Queued {
    /// Whether it is now, and was not before.
    ///
    /// Both are exchanges, Acquire and Release: who finds it set has made something visible before, and who clears it
    /// later sees that, and then takes the signal.
    fn set(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    fn clear(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

/// Whether a seat is enrolled in one of its lists, and where: set under the list's lock, cleared by whoever takes it.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU32);

impl Mark {
    const NONE: u32 = u32::MAX;

    /// One for each of so many lists.
    pub(crate) fn for_lists(lists: usize) -> Few<Self> {
        (0..lists).map(|_| Self(AtomicU32::new(Self::NONE))).collect::<Vec<_>>().into()
    }

    /// Acquire and Release: a reader that sees the mark cleared enrols anew, and that is ordered after the taking.
    fn get(&self) -> Option<usize> {
        match self.0.load(Ordering::Acquire) {
            Self::NONE => None,
            place => usize::try_from(place).ok(),
        }
    }

    fn set(&self, place: usize) {
        self.0.store(u32::try_from(place).unwrap_or(Self::NONE), Ordering::Release);
    }

    fn clear(&self) {
        self.0.store(Self::NONE, Ordering::Release);
    }
}

/// A count that is only read for statistics.
#[derive(Debug)]
struct Wakeups(AtomicU64);

impl<X> Seat<X> {
    /// A seat for a reader of as many lists as there are marks. If it is `named`, it is told which of them were hit.
    pub(crate) fn new(marks: Few<Mark>, named: bool, owner: X) -> Self {
        Self {
            signal: Mutex::new(None),
            bell: OnceLock::new(),
            marks,
            news: named.then(|| Box::new(Mutex::new(VecDeque::new()))),
            queued: Queued(AtomicBool::new(false)),
            wakeups: Wakeups(AtomicU64::new(0)),
            owner,
        }
    }

    /// Leaves word how to wake the reader. What was there before is dropped outside the lock.
    pub(crate) fn wait(&self, signal: Signal) {
        let before = self.signal.lock().replace(signal);
        quietly(|| drop(before));
    }

    /// Leaves a task's waker, unless it is there already.
    pub(crate) fn wait_task(&self, waker: &Waker) {
        let known = matches!(&*self.signal.lock(), Some(Signal::Task(known)) if known.will_wake(waker));
        if !known {
            // Cloned and dropped outside the lock: both are foreign code.
            self.wait(Signal::Task(waker.clone()));
        }
    }

    /// Takes the word back.
    pub(crate) fn stop_waiting(&self) {
        let before = self.signal.lock().take();
        quietly(|| drop(before));
    }

    /// Wakes the reader if it waits, and rings its doorbell if it has one. Never call it under a lock.
    pub(crate) fn wake(&self) {
        count(Step::Wake, 1);
        let signal = self.signal.lock().take();
        let bell = self.bell.get();
        if signal.is_some() || bell.is_some() {
            // Relaxed: a statistic.
            self.wakeups.0.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(signal) = signal {
            signal.send();
        }
        if let Some((bell, _)) = bell.map(|bell| &**bell) {
            // Full means that it rings already.
            let _ = bell.try_send(());
        }
    }

    /// The doorbell, made on first use.
    pub(crate) fn doorbell(&self) -> Receiver<()> {
        self.bell.get_or_init(|| Box::new(bounded(1))).1.clone()
    }

    #[inline]
    pub(crate) fn has_doorbell(&self) -> bool {
        self.bell.get().is_some()
    }

    /// Whether the reader has left word how to wake it.
    pub(crate) fn is_waiting(&self) -> bool {
        self.signal.lock().is_some()
    }

    /// How often the reader was woken or rung for.
    pub(crate) fn wakeups(&self) -> u64 {
        self.wakeups.0.load(Ordering::Relaxed)
    }

    /// Moves the numbers of the lists that were hit since the last call to `into`.
    pub(crate) fn take_news(&self, into: &mut Vec<u32>) {
        if let Some(news) = &self.news {
            into.extend(news.lock().drain(..));
        }
    }

    #[inline]
    pub(crate) fn is_named(&self) -> bool {
        self.news.is_some()
    }
}

impl<X: fmt::Debug> fmt::Debug for Seat<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("lists", &self.marks.len()).field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A seat's place in a list, and the number that the seat knows the list by.
pub(crate) struct Enrolment<X> {
    seat: Arc<Seat<X>>,
    list: u32,
}

impl<X> Enrolment<X> {
    /// Where the seat notes this enrolment.
    fn mark(&self) -> Option<&Mark> {
        self.seat.marks.get(usize::try_from(self.list).ok()?)
    }
}

/// The seats that wait for one thing.
pub(crate) struct WaitList<X> {
    occupied: AtomicBool,
    enrolled: Mutex<Enrolled<X>>,
}

/// Enrolments, each at a place. It grows and shrinks in small steps.
struct Enrolled<X> {
    /// Whole chunks before the last one.
    #[expect(clippy::box_collection, reason = "most lists have none, and a node has a list")]
    chunks: Option<Box<Vec<Chunk<X>>>>,
    /// At most a chunk.
    last: Chunk<X>,
}

type Chunk<X> = SmallVec<[Enrolment<X>; 1]>;

/// So many enrolments lie together: adding one copies at most as many.
const CHUNK: usize = 256;

impl<X> Enrolled<X> {
    fn new() -> Self {
        Self { chunks: None, last: SmallVec::new() }
    }

    fn chunks(&self) -> &[Chunk<X>] {
        self.chunks.as_ref().map_or(&[], |chunks| chunks)
    }

    fn len(&self) -> usize {
        self.chunks().len() * CHUNK + self.last.len()
    }

    fn get(&self, place: usize) -> Option<&Enrolment<X>> {
        self.chunks().get(place / CHUNK).unwrap_or(&self.last).get(place % CHUNK)
    }

    fn push(&mut self, enrolment: Enrolment<X>) {
        if self.last.len() == CHUNK {
            self.chunks.get_or_insert_default().push(mem::take(&mut self.last));
        }
        self.last.push(enrolment);
    }

    /// Takes the one at a place out, and moves the last one there.
    fn swap_remove(&mut self, place: usize) -> Option<Enrolment<X>> {
        let last = self.last.pop()?;
        let removed = if place == self.len() {
            last
        } else {
            let chunk = self.chunks.as_mut().and_then(|chunks| chunks.get_mut(place / CHUNK)).unwrap_or(&mut self.last);
            mem::replace(chunk.get_mut(place % CHUNK)?, last)
        };
        if let Some(moved) = self.get(place)
            && let Some(mark) = moved.mark()
        {
            mark.set(place);
        }
        self.tighten();
        Some(removed)
    }

    /// Gives back what will hardly be needed again, and has the last chunk hold something if any does.
    fn tighten(&mut self) {
        if self.last.is_empty() {
            let chunks = self.chunks.as_mut();
            self.last = chunks.and_then(|chunks| chunks.pop()).unwrap_or_default();
            if self.chunks().is_empty() {
                self.chunks = None;
            }
        } else if self.last.spilled() && self.last.len() * 4 <= self.last.capacity() {
            self.last.shrink_to_fit();
        }
    }
}

impl<X> IntoIterator for Enrolled<X> {
    type Item = Enrolment<X>;
    type IntoIter = std::iter::Chain<
        std::iter::Flatten<std::iter::Flatten<std::option::IntoIter<Vec<Chunk<X>>>>>,
        smallvec::IntoIter<[Enrolment<X>; 1]>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.map(|chunks| *chunks).into_iter().flatten().flatten().chain(self.last)
    }
}

impl<X> Default for WaitList<X> {
    fn default() -> Self {
        Self { occupied: AtomicBool::new(false), enrolled: Mutex::new(Enrolled::new()) }
    }
}

impl<X> fmt::Debug for WaitList<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").field("occupied", &self.is_occupied()).finish_non_exhaustive()
    }
}

/// The seats taken from lists that were hit, to be woken.
pub(crate) struct Taken<X> {
    lists: SmallVec<[Enrolled<X>; 1]>,
    seats: Vec<Arc<Seat<X>>>,
}

impl<X> Default for Taken<X> {
    fn default() -> Self {
        Self { lists: SmallVec::new(), seats: Vec::new() }
    }
}

impl<X> WaitList<X> {
    /// Enrols a seat that knows this list as number `list`, unless it is enrolled. [`look_again`] must follow.
    #[expect(clippy::significant_drop_tightening, reason = "mark, place and flag change together")]
    pub(crate) fn enrol(&self, seat: &Arc<Seat<X>>, list: usize) {
        count(Step::Wake, 1);
        let Some(mark) = seat.marks.get(list) else { return };
        if mark.get().is_some() {
            return;
        }
        let mut enrolled = self.enrolled.lock();
        mark.set(enrolled.len());
        enrolled.push(Enrolment { seat: Arc::clone(seat), list: u32::try_from(list).unwrap_or(Mark::NONE) });
        // Relaxed: the fence of `look_again` orders it against what the taker made visible.
        self.occupied.store(true, Ordering::Relaxed);
    }

    /// Whether there is anybody to take. What they wait for must have been made visible with a
    /// [fence](crate::sync::store_and_fence), whose partner this load is.
    #[inline]
    pub(crate) fn is_occupied(&self) -> bool {
        self.occupied.load(Ordering::SeqCst)
    }

    /// All who are enrolled, in O(1).
    fn take_all(&self) -> Enrolled<X> {
        let mut enrolled = self.enrolled.lock();
        self.occupied.store(false, Ordering::Relaxed);
        mem::replace(&mut *enrolled, Enrolled::new())
    }

    /// Takes all seats, in O(1): their marks are cleared when they are woken.
    pub(crate) fn take(&self, taken: &mut Taken<X>) {
        count(Step::Wake, 1);
        let all = self.take_all();
        // Whoever was here may have left.
        if all.len() > 0 {
            taken.lists.push(all);
        }
    }

    /// Takes all seats and names the hit to each, so that its next read looks here. In O(seats).
    pub(crate) fn name(&self, taken: &mut Taken<X>) {
        for enrolment in self.take_all() {
            count(Step::Wake, 1);
            if let Some(mark) = enrolment.mark() {
                mark.clear();
            }
            let Enrolment { seat, list } = enrolment;
            if let Some(news) = &seat.news {
                news.lock().push_back(list);
            }
            taken.push(&seat);
        }
    }

    /// Takes one seat out, if it is here.
    pub(crate) fn leave(&self, seat: &Arc<Seat<X>>, list: usize) {
        count(Step::Wake, 1);
        let Some(mark) = seat.marks.get(list) else { return };
        let mut enrolled = self.enrolled.lock();
        let Some(place) = mark.get() else { return };
        // The mark outlives a taking: then somebody else stands at that place, or nobody.
        if !enrolled.get(place).is_some_and(|here| Arc::ptr_eq(&here.seat, seat)) {
            return;
        }
        let left = enrolled.swap_remove(place);
        mark.clear();
        drop(enrolled);
        drop(left);
    }
}

impl<X> Taken<X> {
    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.lists.is_empty()
    }

    /// How many seats there are to wake.
    pub(crate) fn len(&self) -> u64 {
        (self.seats.len() + self.lists.iter().map(Enrolled::len).sum::<usize>()) as u64
    }

    /// Adds a seat that is woken for a reason of its own, unless it will be woken anyway. What it is woken for must be
    /// there to be found.
    pub(crate) fn push(&mut self, seat: &Arc<Seat<X>>) {
        if seat.queued.set() {
            self.seats.push(Arc::clone(seat));
        }
    }

    /// Wakes everybody. Never call it under a lock.
    pub(crate) fn wake(self) {
        for seat in self.seats {
            // Before the signal is taken, as for a mark.
            seat.queued.clear();
            seat.wake();
        }
        for enrolment in self.lists.into_iter().flatten() {
            // Before the seat's lock, which `wake` takes: see the second step at the top.
            if let Some(mark) = enrolment.mark() {
                mark.clear();
            }
            enrolment.seat.wake();
        }
    }
}

/// The reader's fence of the first step at the top: after enrolling and before looking again.
#[inline]
pub(crate) fn look_again() {
    fence(Ordering::SeqCst);
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    fn seats(count: usize) -> Vec<Arc<Seat<usize>>> {
        (0..count).map(|number| Arc::new(Seat::new(Mark::for_lists(1), false, number))).collect()
    }

    fn enrol(list: &WaitList<usize>, seats: &[Arc<Seat<usize>>]) {
        for seat in seats {
            list.enrol(seat, 0);
        }
    }

    /// A seat is found where its mark says, in a list of any length, whoever leaves before it; and what left keeps nothing.
    #[test]
    fn seats_leave_a_long_list_in_any_order() {
        for step in [1, 7, 500, 997] {
            let list = WaitList::default();
            let mut seats = seats(1_000);
            enrol(&list, &seats);
            let mut place = 0;
            while !seats.is_empty() {
                place = (place + step) % seats.len();
                let gone = seats.swap_remove(place);
                list.leave(&gone, 0);
                assert_eq!(Arc::strong_count(&gone), 1, "it was in the list");
                assert_eq!(list.enrolled.lock().len(), seats.len());
                // Whoever is enrolled stays enrolled.
                enrol(&list, seats.get(..3).unwrap_or_default());
                assert_eq!(list.enrolled.lock().len(), seats.len());
            }
            let Enrolled { chunks, last } = list.enrolled.into_inner();
            assert!(chunks.is_none() && !last.spilled());
        }
    }

    #[test]
    fn all_of_a_long_list_are_taken_at_once() {
        let list = WaitList::default();
        let seats = seats(3 * CHUNK + 1);
        enrol(&list, &seats);
        let mut taken = Taken::default();
        list.take(&mut taken);
        assert_eq!((taken.len(), list.is_occupied()), (seats.len() as u64, false));
        assert!(taken.lists.into_iter().flatten().map(|enrolment| enrolment.seat.owner).eq(0..seats.len()));
    }
}
