//! Readers that wait on their own threads while the script continues.
//!
//! After each step the driver asks the naive broker what a read would return now. While that is nothing, the thread
//! must wait; once it is something, the thread must return it. So a lost wake-up is detected at its step, by a wait
//! that times out.

use std::sync::mpsc;
use std::thread;

use event_broker::SubscriptionHandle;

use super::super::op::Way;
use super::read::{Seen, agree, outcome};
use super::*;

/// How long to wait for a thread that must return, and for one that must wait.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A reader whose thread waits.
pub(super) struct Away {
    handle: SubscriptionHandle<Load>,
    way: Way,
    back: mpsc::Receiver<(Subscription<Load>, Seen)>,
    /// Without its subscription.
    slot: Slot,
}

impl Driver {
    /// Makes a reader that has nothing to read wait on its own thread.
    pub(super) fn send_away(&mut self, number: usize, way: Way) {
        let Some(slot) = &self.slots[number] else { return };
        // Batches that it refuses, or asks about, are passed when the thread gets to them, and no step waits for that.
        let request = &self.naive.readers[slot.naive].request;
        let refuses = self.naive.config.guarded || request.refuses.is_some() || !request.types.is_empty();
        if refuses || self.naive.peek(slot.naive) != Outcome::Empty {
            return self.read(number, Kind::Try);
        }
        let mut slot = self.slots[number].take().unwrap();
        assert_eq!(self.naive.read(slot.naive), Outcome::Empty);
        let (send, back) = mpsc::channel();
        let mut real = slot.real.0.take().unwrap();
        // It removes the registration of an earlier task, which would look like the thread's.
        assert_eq!(real.recv_timeout(Duration::ZERO).unwrap_err(), RecvTimeoutError::Timeout);
        let handle = real.handle();
        thread::spawn(move || {
            let seen = match way {
                Way::Recv => outcome(real.recv()),
                Way::Timeout => match real.recv_timeout(2 * TIME_LIMIT) {
                    Err(RecvTimeoutError::Timeout) => Seen::EMPTY,
                    Err(RecvTimeoutError::Recv(error)) => outcome(Err(error)),
                    Ok(delivery) => outcome(Ok(delivery)),
                },
                Way::Iter => real.iter().next().map_or_else(|| outcome(Err(RecvError::Closed)), outcome),
                Way::Frames => return send.send(next_frame(real)).unwrap_or_default(),
            };
            // No receiver is left if the script has failed.
            let _ = send.send((real, seen));
        });
        let asleep = Instant::now();
        while !handle.is_waiting() {
            assert!(asleep.elapsed() < TIME_LIMIT, "it does not wait");
            thread::yield_now();
        }
        // It has removed the registration of the task.
        slot.parked = false;
        self.away[number] = Some(Away { handle, way, back, slot });
    }

    /// Takes back the readers that the last step gave something, and checks that no other returns.
    pub(super) fn take_back(&mut self) {
        for number in 0..SLOTS {
            let Some(away) = &self.away[number] else { continue };
            if self.naive.peek(away.slot.naive) == Outcome::Empty {
                assert!(matches!(away.back.try_recv(), Err(mpsc::TryRecvError::Empty)), "it came back for nothing");
                continue;
            }
            let Away { way, back, mut slot, .. } = self.away[number].take().unwrap();
            let expected = match way {
                Way::Iter | Way::Frames => self.naive.next_item(slot.naive).unwrap_or(Outcome::End(End::Closed)),
                Way::Recv | Way::Timeout => self.naive.read(slot.naive),
            };
            let request = &self.naive.readers[slot.naive].request;
            let (real, seen) = back.recv_timeout(TIME_LIMIT).unwrap_or_else(|_| {
                panic!("a thread by {way:?} sleeps through {expected:?} of {request:?}");
            });
            let expected = self.naive.forgive(slot.naive, expected, &seen.outcome);
            agree(&seen.outcome.with_len_of(&expected), &expected);
            slot.real = Real(Some(real));
            slot.woken = slot.waker.get();
            self.slots[number] = Some(slot);
            self.note_token(number);
        }
    }

    pub(super) fn cancel_away(&mut self, number: usize) {
        if let Some(away) = &self.away[number] {
            away.handle.cancel();
            self.naive.cancel(away.slot.naive);
            self.take_back();
        }
    }
}

impl NaiveBroker {
    /// A thread that has just begun to wait may have examined what the next step published, and passed what does not
    /// match: it loses less than a reader that has not.
    fn forgive(&mut self, number: usize, expected: Outcome, seen: &Outcome) -> Outcome {
        let Outcome::End(mut end) = expected else { return expected };
        if let (End::Lagged { missed, first, .. }, Outcome::End(End::Lagged { missed: less, first: from, .. })) =
            (&mut end, seen)
            && less <= missed
        {
            self.readers[number].missed -= *missed - less;
            self.observed.missed -= *missed - less;
            (*missed, *first) = (*less, *from.max(first));
        }
        if self.readers[number].ended.is_some() {
            self.readers[number].ended = Some(end.clone());
        }
        Outcome::End(end)
    }
}

/// The next frame after the opening one.
#[cfg(feature = "json")]
fn next_frame(real: Subscription<Load>) -> (Subscription<Load>, Seen) {
    let mut frames = real.into_frames(read::silent());
    let opening = frames.next().unwrap().unwrap();
    assert_eq!(opening.as_str(), "{}\n");
    let seen = read::framed(frames.next());
    (frames.into_subscription(), seen)
}

#[cfg(not(feature = "json"))]
fn next_frame(mut real: Subscription<Load>) -> (Subscription<Load>, Seen) {
    let seen = real.iter().next().map_or_else(|| outcome(Err(RecvError::Closed)), outcome);
    (real, seen)
}
