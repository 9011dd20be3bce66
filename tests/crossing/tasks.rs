//! Readers that are tasks, polled by the test without a runtime.
//!
//! A task waits if its last poll was pending, and is woken if its waker has counted.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use event_broker::Subscription;

use crate::common::WakeCount;
use crate::way::{Ends, Outcome, Way, window};

/// A way that is a future.
pub(crate) trait Reading: Sized + Send + 'static {
    const ENDS: Ends = Ends::Repeat;

    fn open(subscription: Subscription<u64>) -> Self;

    fn read(&mut self) -> impl Future<Output = Outcome> + Send;
}

/// One read, which owns its reader.
type Read<R> = Pin<Box<dyn Future<Output = (Outcome, R)> + Send>>;

enum State<R> {
    Idle(R),
    Waiting(Read<R>),
    Polled,
}

/// A task that reads as `R` does.
pub(crate) struct Task<R> {
    state: State<R>,
    waker: Waker,
    wakes: Arc<WakeCount>,
    /// The count of its waker at its last poll.
    polled_at: usize,
}

impl<R: Reading> Task<R> {
    /// Polls the pending read, or a new one.
    fn poll(&mut self) -> Poll<Outcome> {
        let mut read = match std::mem::replace(&mut self.state, State::Polled) {
            State::Waiting(read) => read,
            State::Idle(mut reader) => Box::pin(async move {
                let outcome = reader.read().await;
                (outcome, reader)
            }),
            State::Polled => unreachable!("a poll that panicked has failed the test"),
        };
        self.polled_at = self.wakes.get();
        match read.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready((outcome, reader)) => {
                self.state = State::Idle(reader);
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                self.state = State::Waiting(read);
                Poll::Pending
            }
        }
    }

    fn was_woken(&self) -> bool {
        self.wakes.get() > self.polled_at
    }

    /// Polls as a runtime does: again when it was woken.
    fn poll_while_woken(&mut self) -> Poll<Outcome> {
        let mut polled = self.poll();
        while polled.is_pending() && self.was_woken() {
            polled = self.poll();
        }
        polled
    }
}

impl<R: Reading> Way for Task<R> {
    const ENDS: Ends = R::ENDS;
    const BLOCKS: bool = false;

    fn open(subscription: Subscription<u64>) -> Self {
        let (count, waker) = WakeCount::new();
        Self { state: State::Idle(R::open(subscription)), waker, wakes: count, polled_at: 0 }
    }

    fn wait(&mut self) {
        assert_eq!(self.poll_while_woken(), Poll::Pending, "it does not wait");
    }

    fn stays_asleep(&mut self) {
        assert!(!self.was_woken(), "it was woken");
    }

    fn settle(&mut self) {
        if self.was_woken() {
            assert_eq!(self.poll_while_woken(), Poll::Pending, "it does not wait");
        }
    }

    fn woken(&mut self) -> Outcome {
        assert!(self.was_woken(), "it sleeps through it");
        self.read()
    }

    fn read(&mut self) -> Outcome {
        match self.poll_while_woken() {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("it finds nothing"),
        }
    }
}

pub(crate) struct RecvAsync(Subscription<u64>);

impl Reading for RecvAsync {
    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    async fn read(&mut self) -> Outcome {
        self.0.recv_async().await.into()
    }
}

pub(crate) struct PollRecv(Subscription<u64>);

impl Reading for PollRecv {
    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    async fn read(&mut self) -> Outcome {
        poll_fn(|context| self.0.poll_recv(context)).await.into()
    }
}

/// A window whenever something can be read.
pub(crate) struct ReadableThenDrain {
    subscription: Subscription<u64>,
    unread: VecDeque<Outcome>,
}

impl Reading for ReadableThenDrain {
    fn open(subscription: Subscription<u64>) -> Self {
        Self { subscription, unread: VecDeque::new() }
    }

    async fn read(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.unread.pop_front() {
                return outcome;
            }
            self.subscription.readable().await;
            self.unread = window(&mut self.subscription);
        }
    }
}

#[cfg(feature = "stream")]
pub(crate) struct Stream(Subscription<u64>);

#[cfg(feature = "stream")]
impl Reading for Stream {
    const ENDS: Ends = Ends::OnceThenOver;

    fn open(subscription: Subscription<u64>) -> Self {
        Self(subscription)
    }

    async fn read(&mut self) -> Outcome {
        poll_fn(|context| futures_core::Stream::poll_next(Pin::new(&mut self.0), context)).await.into()
    }
}

#[cfg(all(feature = "json", feature = "stream"))]
pub(crate) use frames::FrameStream;

#[cfg(all(feature = "json", feature = "stream"))]
mod frames {
    use std::future::{Pending, pending, poll_fn};
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use event_broker::{FrameOptions, Subscription};
    use futures_core::Stream;

    use super::Reading;
    use crate::way::{Ends, Outcome};

    /// The opening heartbeat is read on opening. Its timer never ends a sleep.
    pub(crate) struct FrameStream(event_broker::FrameStream<u64, fn(Duration) -> Pending<()>>);

    impl Reading for FrameStream {
        const ENDS: Ends = Ends::OnceThenOver;

        fn open(subscription: Subscription<u64>) -> Self {
            let timer: fn(Duration) -> Pending<()> = |_| pending();
            let mut frames = subscription.into_frame_stream(FrameOptions::new(), timer);
            match Pin::new(&mut frames).poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(opening))) => assert!(opening.is_heartbeat()),
                other => panic!("expected the opening heartbeat, got {other:?}"),
            }
            Self(frames)
        }

        async fn read(&mut self) -> Outcome {
            poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await.into()
        }
    }
}
