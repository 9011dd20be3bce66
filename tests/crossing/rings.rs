//! Readers that do not wait: they read when the test says so, or when a doorbell rings.
//!
//! A lost wake-up of a bell is a bell that stays silent although a batch was published after everything had been read.

use std::collections::VecDeque;

use crossbeam_channel::Receiver;
use event_broker::{Subscription, TryRecvError};

use crate::way::{Ends, Outcome, Way, window};

/// How often a bell may ring for nothing before it counts as one that never falls silent.
const RINGS_FOR_NOTHING: usize = 8;

/// A way of reading that does not wait.
pub(crate) trait ReadNow: Sized + Send + 'static {
    fn open(subscription: Subscription<u64>) -> Self;

    /// Everything that a host reads before it returns to its other channels.
    fn read_now(&mut self) -> VecDeque<Outcome>;
}

/// Reads whenever the test says so. No wake-up is needed: what was published before must be found.
pub(crate) struct AtOnce<L> {
    reader: L,
    /// What the last read found and was not returned yet.
    unread: VecDeque<Outcome>,
}

impl<L: ReadNow> Way for AtOnce<L> {
    const ENDS: Ends = Ends::Repeat;
    const BLOCKS: bool = false;

    fn open(subscription: Subscription<u64>) -> Self {
        Self { reader: L::open(subscription), unread: VecDeque::new() }
    }

    fn wait(&mut self) {
        assert_eq!(self.unread, [], "there is more to read");
        assert_eq!(self.reader.read_now(), [], "there is something to read");
    }

    fn stays_asleep(&mut self) {
        self.wait();
    }

    fn settle(&mut self) {
        self.wait();
    }

    fn woken(&mut self) -> Outcome {
        self.read()
    }

    fn read(&mut self) -> Outcome {
        if self.unread.is_empty() {
            self.unread = self.reader.read_now();
        }
        self.unread.pop_front().expect("it finds nothing")
    }
}

/// Reads when the bell rings, and only then.
pub(crate) struct Doorbell<L> {
    reader: L,
    bell: Receiver<()>,
    unread: VecDeque<Outcome>,
    /// Whether the end was returned, after which the bell is not used.
    ended: bool,
}

impl<L: ReadNow> Doorbell<L> {
    /// Answers the bell until it is silent. There is nothing to read.
    fn fall_silent(&mut self) {
        assert_eq!(self.unread, [], "there is more to read");
        for _ in 0..RINGS_FOR_NOTHING {
            if self.bell.try_recv().is_err() {
                return;
            }
            assert_eq!(self.reader.read_now(), [], "there is something to read");
        }
        panic!("the bell rings on, and there is nothing to read");
    }
}

impl<L: ReadNow> Way for Doorbell<L> {
    const ENDS: Ends = Ends::Repeat;
    const BLOCKS: bool = false;

    fn open(mut subscription: Subscription<u64>) -> Self {
        let bell = subscription.doorbell();
        assert_eq!(bell.len(), 1, "the first ring comes at once");
        Self { reader: L::open(subscription), bell, unread: VecDeque::new(), ended: false }
    }

    fn wait(&mut self) {
        self.fall_silent();
    }

    fn stays_asleep(&mut self) {
        assert!(self.bell.is_empty(), "it rings");
    }

    fn settle(&mut self) {
        self.fall_silent();
    }

    fn woken(&mut self) -> Outcome {
        assert_eq!(self.bell.len(), 1, "the bell does not ring");
        self.read()
    }

    fn read(&mut self) -> Outcome {
        while self.unread.is_empty() {
            if !self.ended {
                self.bell.try_recv().expect("the bell does not ring, and there is more to read");
            }
            self.unread = self.reader.read_now();
        }
        let outcome = self.unread.pop_front().expect("it is not empty");
        self.ended |= outcome.is_last();
        outcome
    }
}

/// Reads until nothing more is found, or an error.
pub(crate) struct TryRecv(Subscription<u64>);

impl ReadNow for TryRecv {
    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    fn read_now(&mut self) -> VecDeque<Outcome> {
        let mut outcomes = VecDeque::new();
        loop {
            match self.0.try_recv() {
                Ok(delivery) => outcomes.push_back(Ok(delivery).into()),
                Err(TryRecvError::Empty) => return outcomes,
                Err(TryRecvError::Recv(error)) => {
                    outcomes.push_back(Outcome::Error(error));
                    return outcomes;
                }
            }
        }
    }
}

/// Reads one window.
pub(crate) struct Drain(Subscription<u64>);

impl ReadNow for Drain {
    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    fn read_now(&mut self) -> VecDeque<Outcome> {
        window(&mut self.0)
    }
}

#[cfg(feature = "json")]
pub(crate) use frames::TryFrame;

#[cfg(feature = "json")]
mod frames {
    use std::collections::VecDeque;

    use event_broker::{FrameOptions, Frames, Subscription};

    use super::ReadNow;
    use crate::way::Outcome;

    /// Reads until a call returns no frame. The opening heartbeat is read on opening.
    pub(crate) struct TryFrame(Frames<u64>);

    impl ReadNow for TryFrame {
        fn open(subscription: Subscription<u64>) -> Self {
            let mut frames = subscription.into_frames(FrameOptions::new());
            assert!(frames.try_frame().is_ok_and(|opening| opening.is_some_and(|frame| frame.is_heartbeat())));
            Self(frames)
        }

        fn read_now(&mut self) -> VecDeque<Outcome> {
            let mut outcomes = VecDeque::new();
            while let Some(read) = self.0.try_frame().transpose() {
                let is_error = read.is_err();
                outcomes.push_back(read.into());
                if is_error {
                    break;
                }
            }
            outcomes
        }
    }
}
