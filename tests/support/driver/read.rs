//! Reads of every kind, each compared with the read of the naive reader.

use std::future::Future;
use std::pin::Pin;

use super::super::naive::NaiveBroker;
use super::super::op::Rung;
use super::super::reader::{Cursor, Reader, Window};
use super::*;

impl Driver {
    pub(super) fn read(&mut self, slot: usize, kind: Kind) {
        let Some(mut taken) = self.slots[slot].take() else { return };
        let Self { naive, tokens, .. } = self;
        let reader = &mut Pair { slot: &mut taken, naive, tokens };
        match kind {
            Kind::Try => {
                reader.one(try_recv);
            }
            Kind::TryAll => while reader.one(try_recv) {},
            Kind::Timeout => {
                let timeout = reader.long_enough();
                reader.timed(|real| real.recv_timeout(timeout));
            }
            Kind::Deadline => {
                let timeout = reader.long_enough();
                reader.timed(|real| real.recv_deadline(Instant::now() + timeout));
            }
            Kind::Thread(_) => unreachable!("it is sent away"),
            Kind::Frames => reader.frames(),
            Kind::FrameStream => reader.frame_stream(),
            Kind::Block => {
                reader.one_unless_empty(|real| outcome(real.recv()));
            }
            Kind::Poll => {
                let waker = reader.waker();
                let context = &mut Context::from_waker(&waker);
                let expected = reader.naive.read(reader.slot.naive);
                reader.compare(|real| poll_again(context, |context| real.poll_recv(context)), &expected);
                reader.slot.parked |= expected == Outcome::Empty;
            }
            Kind::Async => {
                let waker = reader.waker();
                let context = &mut Context::from_waker(&waker);
                let expected = reader.naive.read(reader.slot.naive);
                let poll = |real: &mut Subscription<Load>| {
                    let mut receive = real.recv_async();
                    poll_again(context, |context| Pin::new(&mut receive).poll(context))
                };
                reader.compare(poll, &expected);
                // A waiting future removes its waker when it is dropped.
                reader.slot.parked &= expected != Outcome::Empty;
            }
            Kind::Readable => reader.readable(),
            Kind::Iter => (0..3).for_each(|_| reader.next_of_iterator()),
            Kind::Stream => (0..3).for_each(|_| reader.next_of_stream()),
            Kind::DrainAll => {
                reader.drain(usize::MAX);
            }
            Kind::DrainTake(count) => {
                reader.drain(count);
            }
            Kind::Ring(rung) => reader.ring(rung),
        }
        self.slots[slot] = Some(taken);
        self.note_token(slot);
    }
}

impl Driver {
    /// Publishes while a window is open. The window still returns what it showed at opening, evicted or not; it may
    /// only end early, where the reader had not examined what is evicted now. [20]
    pub(super) fn drain_across(&mut self, slot: usize, take: usize, batches: usize, events: &[EventSpec]) {
        let Some(mut taken) = self.slots[slot].take() else { return };
        let number = taken.naive;
        let reader = &self.naive.readers[number];
        let refuses = self.naive.config.guarded || reader.request.refuses.is_some() || !reader.request.types.is_empty();
        let ended = reader.skipped
            || reader.ended.is_some()
            || reader.reset
            || reader.token_deleted
            || reader.must_ask
            || reader.cancelled;
        let waits = matches!(reader.cursor, Cursor::Waiting(_) | Cursor::Elastic(_));
        let mut pair = Pair { slot: &mut taken, naive: &mut self.naive, tokens: &mut self.tokens };
        if refuses || ended || waits || pair.naive.closed || pair.naive.readiness(number) != Readiness::Ready {
            // Where a window ends early decides whether refused batches have been passed.
            pair.one(try_recv);
            self.slots[slot] = Some(taken);
            return;
        }
        if let Window::End(end) = pair.naive.open_window(number) {
            agree(&outcome(Err(taken.real.drain().unwrap_err())).outcome, &Outcome::End(end));
            self.slots[slot] = Some(taken);
            return;
        }
        let (end, finished) = (self.naive.log.len(), self.naive.earliest_next_place().index);
        let mut window = taken.real.drain().unwrap();
        let mut items = window.iter();
        let mut early = false;
        let mut over = false;
        for taken in 0.. {
            if taken == take {
                self.burst(batches, events);
                if number % 2 == 1 {
                    items = window.iter();
                }
            }
            let Reader { cursor, token: before, delivered, .. } = self.naive.readers[number];
            let expected = self.naive.next_below(number, end);
            let actual = items.next().map_or(Outcome::Empty, |item| seen_ref(&item));
            if actual == Outcome::Empty {
                over = expected == Outcome::Empty;
                early = matches!(cursor, Cursor::At(cursor) if cursor < self.naive.oldest);
                if early {
                    self.naive.untake(number, cursor, before, delivered, &expected);
                }
                assert!(early || expected == Outcome::Empty, "the window ended before {expected:?}");
                assert!(items.next().is_none(), "a window that is over stays over");
                assert!(window.iter().next().is_none(), "for another iterator, too");
                break;
            }
            assert_eq!(actual, expected);
        }
        drop(window);
        if over && !early {
            // It has passed everything that was there at opening, as its token shows.
            let (place, passed) = (translate::place(taken.real.token()), self.naive.readers[number].token.place);
            assert!(place >= Place::before(finished).max(passed), "{} has not passed it all", taken.real.token());
        }
        if early {
            // The batches ahead show its position; without any, a read does.
            let lag = usize::try_from(taken.real.stats().lag).unwrap();
            if lag > 0 {
                self.naive.move_within_window(number, self.naive.log.len() - lag, end);
            }
        }
        let pair = &mut Pair { slot: &mut taken, naive: &mut self.naive, tokens: &mut self.tokens };
        pair.one(try_recv);
        self.slots[slot] = Some(taken);
        self.note_token(slot);
    }
}

/// A subscription and its naive counterpart.
struct Pair<'a> {
    slot: &'a mut Slot,
    naive: &'a mut NaiveBroker,
    tokens: &'a mut Vec<(Token, naive::Token)>,
}

impl Pair<'_> {
    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.slot.waker))
    }

    /// One read. Returns whether there may be more.
    fn one(&mut self, read: impl FnOnce(&mut Subscription<Load>) -> Seen) -> bool {
        let expected = self.naive.read(self.slot.naive);
        self.compare(read, &expected)
    }

    fn compare(&mut self, read: impl FnOnce(&mut Subscription<Load>) -> Seen, expected: &Outcome) -> bool {
        let actual = read(&mut self.slot.real);
        let token = self.naive.readers[self.slot.naive].token;
        if let Some(delivered) = actual.token {
            assert!(
                translate::place(delivered) <= translate::place(self.slot.real.token()),
                "{delivered} is ahead of its reader"
            );
            self.tokens.push((delivered, token));
        }
        agree(&actual.outcome, expected);
        continues(expected)
    }

    /// One read of a kind that would wait for ever if nothing was there.
    fn one_unless_empty(&mut self, read: impl FnOnce(&mut Subscription<Load>) -> Seen) -> bool {
        match self.naive.read(self.slot.naive) {
            Outcome::Empty => self.compare(try_recv, &Outcome::Empty),
            expected => self.compare(read, &expected),
        }
    }

    fn timed(&mut self, read: impl FnOnce(&mut Subscription<Load>) -> Result<Delivery<Load>, RecvTimeoutError>) {
        let expected = self.naive.read(self.slot.naive);
        self.compare(
            |real| match read(real) {
                Err(RecvTimeoutError::Timeout) => Seen::EMPTY,
                Err(RecvTimeoutError::Recv(error)) => outcome(Err(error)),
                Ok(delivery) => outcome(Ok(delivery)),
            },
            &expected,
        );
        if expected == Outcome::Empty {
            // With an expired deadline it may not have passed everything that it refuses.
            self.compare(try_recv, &expected);
        }
        // It has waited and removed its registration.
        self.slot.parked &= expected != Outcome::Empty;
    }

    /// A timeout that is never reached while something can be read.
    fn long_enough(&mut self) -> Duration {
        if self.naive.peek(self.slot.naive) == Outcome::Empty { Duration::ZERO } else { Duration::from_secs(20) }
    }

    #[cfg(not(feature = "json"))]
    fn frames(&mut self) {
        self.one(try_recv);
    }

    #[cfg(feature = "json")]
    fn frames(&mut self) {
        let expected = self.naive.read(self.slot.naive);
        let mut frames = self.slot.real.0.take().unwrap().into_frames(silent());
        let mut frame = frames.try_frame();
        if frame.as_ref().is_ok_and(|frame| frame.as_ref().is_some_and(|frame| frame.as_str() == "{}\n")) {
            frame = frames.try_frame();
        }
        let seen = frame.transpose().map(|frame| framed(Some(frame)));
        self.slot.real.0 = Some(frames.into_subscription());
        compare_frame(seen, &expected);
    }

    #[cfg(not(all(feature = "json", feature = "stream")))]
    fn frame_stream(&mut self) {
        self.next_of_stream();
    }

    /// The stream is dropped; its subscription stays, with the registered waker.
    #[cfg(all(feature = "json", feature = "stream"))]
    fn frame_stream(&mut self) {
        use futures_core::Stream as _;

        let (waker, timer) = (self.waker(), |_| std::future::pending::<()>());
        let context = &mut Context::from_waker(&waker);
        let expected = self.naive.next_item(self.slot.naive);
        let mut frames = self.slot.real.0.take().unwrap().into_frame_stream(silent(), timer);
        let mut item = None;
        for _ in 0..3 {
            match Pin::new(&mut frames).poll_next(context) {
                Poll::Ready(Some(Ok(frame))) if frame.as_str() == "{}\n" => {}
                Poll::Ready(ready) => {
                    item = Some(ready);
                    break;
                }
                // The first poll may have yielded.
                Poll::Pending => {}
            }
        }
        self.slot.real.0 = Some(frames.into_subscription());
        match (item, expected) {
            (Some(None), None) => {}
            (Some(item @ Some(_)), Some(expected)) => compare_frame(Some(framed(item)), &expected),
            (None, Some(expected)) => {
                compare_frame(None, &expected);
                self.slot.parked = true;
            }
            (item, expected) => panic!("the stream gave {item:?}, expected {expected:?}"),
        }
    }

    fn readable(&mut self) {
        let expected = self.naive.readiness(self.slot.naive);
        let waker = self.waker();
        let context = &mut Context::from_waker(&waker);
        let mut actual = self.slot.real.poll_readable(context);
        if actual.is_pending() {
            // It may have yielded to other tasks; then it returns something now.
            actual = self.slot.real.poll_readable(context);
        }
        match (actual, expected) {
            (Poll::Ready(()), Readiness::Ready | Readiness::Either) => {}
            (Poll::Pending, Readiness::Pending) => self.slot.parked = true,
            (Poll::Pending, Readiness::Either) => {
                self.naive.pass_all(self.slot.naive);
                self.slot.parked = true;
            }
            _ => panic!("readable gave {actual:?}, expected {expected:?}"),
        }
    }

    fn next_of_iterator(&mut self) {
        match self.naive.next_item(self.slot.naive) {
            Some(Outcome::Empty) => {
                self.compare(try_recv, &Outcome::Empty);
            }
            Some(expected) => {
                self.compare(|real| outcome(real.iter().next().expect("an item")), &expected);
            }
            None => assert!(self.slot.real.iter().next().is_none(), "an iterator that is over stays over"),
        }
    }

    #[cfg(not(feature = "stream"))]
    fn next_of_stream(&mut self) {
        self.next_of_iterator();
    }

    #[cfg(feature = "stream")]
    fn next_of_stream(&mut self) {
        use futures_core::Stream as _;

        let waker = self.waker();
        let context = &mut Context::from_waker(&waker);
        let Some(expected) = self.naive.next_item(self.slot.naive) else {
            let actual = Pin::new(&mut *self.slot.real).poll_next(context);
            assert!(matches!(actual, Poll::Ready(None)), "a stream that is over stays over");
            return;
        };
        let read = |real: &mut Subscription<Load>| {
            poll_again(context, |context| Pin::new(&mut *real).poll_next(context).map(|item| item.expect("an item")))
        };
        self.compare(read, &expected);
        self.slot.parked |= expected == Outcome::Empty;
    }

    /// Reads up to this many from one window. Returns whether there may be more.
    fn drain(&mut self, count: usize) -> bool {
        let number = self.slot.naive;
        let expected = self.naive.open_window(number);
        // What cannot be predicted of a window is known after reading it.
        let count = if expected == Window::Either { count.max(1) } else { count };
        let mut window = match (self.slot.real.drain(), expected) {
            (Err(error), Window::End(end)) => {
                let end = Outcome::End(end);
                agree(&outcome(Err(error)).outcome, &end);
                return continues(&end);
            }
            (Err(RecvError::Closed), Window::Either) if self.naive.closed => {
                assert_eq!(self.naive.read(number), Outcome::End(End::Closed));
                return false;
            }
            (Ok(window), Window::Open | Window::Either) => window,
            (actual, expected) => panic!("a window gave {actual:?}, expected {expected:?}"),
        };
        // Three of four readers continue with another iterator from time to time.
        let most = if number.is_multiple_of(4) { usize::MAX } else { number % 4 };
        let mut left = count;
        while left > 0 {
            let mut items = window.iter();
            for _ in 0..most.min(left) {
                left -= 1;
                let expected = self.naive.next_in_window(number);
                let item = items.next();
                if let Some(item) = &item {
                    self.tokens.push((item.token(), self.naive.readers[number].token));
                    assert_eq!(seen_ref(item), seen(&item.to_delivery()));
                }
                agree(&item.as_ref().map_or(Outcome::Empty, seen_ref), &expected);
                if item.is_none() {
                    assert!(items.next().is_none(), "a window that is over stays over");
                    assert!(window.iter().next().is_none(), "for another iterator, too");
                    return false;
                }
            }
        }
        false
    }

    /// The protocol of the doorbell: on a ring, read until nothing is left; without one, nothing is there. [20], G10
    fn ring(&mut self, how: Rung) {
        let rung = self.slot.bell.as_ref().is_none_or(|bell| bell.try_recv().is_ok());
        let number = self.slot.naive;
        let ended = self.naive.readers[number].ended.is_some();
        if !rung && !ended {
            match self.naive.read(number) {
                // Time alone rings nothing.
                expected @ (Outcome::Empty | Outcome::End(End::Expired)) => {
                    self.compare(try_recv, &expected);
                }
                missed => panic!("no ring for {missed:?} of {:?}", self.naive.readers[number].request),
            }
            return;
        }
        match how {
            Rung::One => while self.one(try_recv) {},
            Rung::Windows => while self.drain(usize::MAX) {},
            Rung::Part(count) => while self.drain(count) {},
        }
    }
}

/// The result of a real read, and the delivery's token.
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    token: Option<Token>,
}

impl Seen {
    pub(super) const EMPTY: Self = Self { outcome: Outcome::Empty, token: None };
}

fn try_recv(real: &mut Subscription<Load>) -> Seen {
    match real.try_recv() {
        Err(TryRecvError::Empty) => Seen::EMPTY,
        Err(TryRecvError::Recv(error)) => outcome(Err(error)),
        Ok(delivery) => outcome(Ok(delivery)),
    }
}

/// Polls, and again if that was pending: the first poll may have yielded to other tasks.
fn poll_again(
    context: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<Delivery<Load>, RecvError>>,
) -> Seen {
    for _ in 0..2 {
        if let Poll::Ready(result) = poll(context) {
            return outcome(result);
        }
    }
    Seen::EMPTY
}

/// Frames without heartbeats except the opening one.
#[cfg(feature = "json")]
pub(super) fn silent() -> event_broker::FrameOptions {
    event_broker::FrameOptions::new().heartbeat(Duration::MAX).unwrap()
}

/// The next item of a stream of frames after the opening, as an outcome of a read.
#[cfg(feature = "json")]
fn compare_frame(seen: Option<Seen>, expected: &Outcome) {
    let seen = seen.map_or(Outcome::Empty, |seen| seen.outcome.with_len_of(expected));
    agree(&seen, expected);
}

/// The content of an item of a stream of frames; no item means that the broker is closed.
#[cfg(feature = "json")]
pub(super) fn framed(item: Option<Result<event_broker::Frame, event_broker::FrameError>>) -> Seen {
    use event_broker::{Decoder, FrameError, Incoming};

    let frame = match item {
        None => return outcome(Err(RecvError::Closed)),
        Some(Err(FrameError::Recv(error))) => return outcome(Err(error)),
        Some(frame) => frame.unwrap(),
    };
    let Some(Ok(Incoming::Batch { batch, token: None })) = Decoder::<u64>::new().decode(&mut &*frame) else {
        panic!("{} is no batch", frame.as_str())
    };
    let ids = batch.events().iter().map(|event| *event.payload()).collect();
    Seen { outcome: Outcome::Delivery { index: batch.index(), ids, batch_len: 0 }, token: None }
}

pub(super) fn outcome(result: Result<Delivery<Load>, RecvError>) -> Seen {
    match result {
        Ok(delivery) => Seen { token: Some(delivery.token()), outcome: seen(&delivery) },
        Err(error) => Seen { token: None, outcome: Outcome::End(translate::end(&error)) },
    }
}

fn seen(delivery: &Delivery<Load>) -> Outcome {
    let ids: Vec<u64> = delivery.events().map(|event| event.payload().id).collect();
    assert!(delivery.events().all(|event| event.index() == delivery.index()), "every event is stamped");
    assert_eq!((ids.len(), delivery.is_empty()), (delivery.len(), false));
    Outcome::Delivery { index: delivery.index(), ids, batch_len: delivery.batch_len() }
}

fn seen_ref(delivery: &DeliveryRef<'_, Load>) -> Outcome {
    let ids: Vec<u64> = delivery.events().map(|event| event.payload().id).collect();
    assert_eq!((ids.len(), delivery.is_empty()), (delivery.len(), false));
    Outcome::Delivery { index: delivery.index(), ids, batch_len: delivery.batch_len() }
}

/// Whether there may be more to read after this.
fn continues(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Delivery { .. } | Outcome::End(End::Lagged { continues: true, .. }))
}

/// Equal, but for the lower bound of a lost range, which need not be tight.
pub(super) fn agree(actual: &Outcome, expected: &Outcome) {
    let mut actual = actual.clone();
    if let (Outcome::End(End::Lagged { first: bound, .. }), Outcome::End(End::Lagged { first, .. })) =
        (&mut actual, expected)
    {
        assert!(*bound <= *first, "lost from {first} on, reported from {bound} on");
        *bound = *first;
    }
    assert_eq!(actual, *expected);
}
