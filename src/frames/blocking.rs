//! Frames for a thread: an iterator that waits, a look that does not, and a loop over any writer.
//! The writer is the caller's, and so is what happens when it fails.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::iter::FusedIterator;
use std::mem;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::frame::Frame;
use crate::frames::error::{FrameError, WriteError};
use crate::frames::options::FrameOptions;
use crate::subscription::Delivery;
use crate::subscription::Subscription;
use crate::types::error::{RecvError, RecvTimeoutError, TryRecvError};

impl<P> Subscription<P> {
    /// Reads on as frames, on a thread of the reader's own.
    ///
    /// NaN and infinite numbers in payloads become `null`, as JSON has no such numbers; see [`Delivery::frame`].
    ///
    /// ```
    /// use event_broker::{Broker, Event, FrameOptions, Request};
    ///
    /// let broker = Broker::<u32>::new();
    /// let reader = broker.subscribe(Request::new())?;
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// drop(broker);
    ///
    /// let frames: Vec<_> = reader.into_frames(FrameOptions::new().tokens(true)).collect::<Result<_, _>>()?;
    /// let [opening, batch] = &frames[..] else { panic!("all that was published, and the end") };
    /// assert!(opening.line().starts_with(r#"{"Token":""#) && opening.is_heartbeat());
    /// assert!(batch.as_str().contains(r#"],"Token":""#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_frames(self, options: FrameOptions) -> Frames<P> {
        Frames { subscription: self, options, state: State::Unopened }
    }
}

/// A subscription as frames: the opening heartbeat `{}`, then a frame for each delivery, and a heartbeat whenever the
/// interval passes without a frame.
///
/// Iterating waits. The interval counts from the last frame that was given, by the broker's [`Clock`](crate::Clock), so
/// whoever stalls gathers no heartbeats. Waiting takes real time; when that has passed, the clock is read again, and
/// decides.
///
/// No error goes in-band, and no verdict either: look at [`Subscription::verdict`] before the first frame, and tell a
/// client that comes back of a loss or of another epoch in the head of the response. The end is the last item, as an error; for [`RecvError::Closed`] there is none. A loss that
/// is no end, and a payload that refuses to be JSON, are items like any other; of the latter the delivery has been
/// passed, and the stream goes on.
///
/// Frames obey the fence: once access was taken back, nothing more is given, also of what was readable before.
///
/// # Panics
///
/// As [`Subscription::recv`], and if a payload's `Serialize` does; then the delivery has been passed.
pub struct Frames<P> {
    subscription: Subscription<P>,
    options: FrameOptions,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Unopened,
    /// The last frame was given then, by the broker's clock.
    Given(Instant),
    /// A writer failed: what it was given may have been written in part, and must not be continued.
    Torn,
}

impl<P> Frames<P> {
    /// The subscription: where it stands, its numbers, its handle.
    pub fn subscription(&self) -> &Subscription<P> {
        &self.subscription
    }

    /// The options.
    pub fn options(&self) -> FrameOptions {
        self.options
    }

    /// Gives the subscription back, at the place where the frames got to.
    pub fn into_subscription(self) -> Subscription<P> {
        self.subscription
    }

    fn give(&mut self, frame: Frame) -> Frame {
        if !matches!(self.state, State::Torn) {
            self.state = State::Given(self.subscription.now());
        }
        frame
    }

    fn beat(&mut self) -> Frame {
        let frame = self.options.beat(&self.subscription);
        self.give(frame)
    }

    /// The opening heartbeat, unless it was given. Whoever has lost access already is not told "still here".
    fn open(&mut self) -> Result<Option<Frame>, RecvError> {
        match self.state {
            State::Given(_) | State::Torn => Ok(None),
            State::Unopened => {
                self.subscription.check_gate()?;
                let opening = self.options.opening(&self.subscription);
                Ok(Some(self.give(opening)))
            }
        }
    }

    fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= self.subscription.now())
    }

    /// Returns when the next heartbeat is due, by the broker's clock; never, if the clock cannot say it.
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Unopened | State::Torn => None,
            State::Given(last) => last.checked_add(self.options.heartbeat_interval()),
        }
    }
}

impl<P: Serialize> Frames<P> {
    /// The next frame, if there is one now: for hosts that poll, or that have a doorbell.
    ///
    /// `None` means that everything published before the call has been given, and that no heartbeat is due. For a
    /// [doorbell](Subscription::doorbell) call it on every ring until it gives no frame: after an error that is no end,
    /// too, the bell rings again if there may be more.
    ///
    /// ```
    /// use event_broker::{Broker, Event, FrameError, FrameOptions, RecvError, Request};
    ///
    /// let broker = Broker::<u32>::new();
    /// let mut frames = broker.subscribe(Request::new())?.into_frames(FrameOptions::new());
    /// assert_eq!(frames.try_frame()?.unwrap().as_str(), "{}\n");
    /// assert_eq!(frames.try_frame()?, None);
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// assert!(frames.try_frame()?.unwrap().as_str().starts_with(r#"{"Index":7,"#));
    /// drop(broker);
    /// assert_eq!(frames.try_frame(), Err(FrameError::Recv(RecvError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As the items of the iterator, but an end repeats on every further call, also [`RecvError::Closed`].
    ///
    /// # Panics
    ///
    /// As the iterator.
    pub fn try_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(opening) = self.open()? {
            return Ok(Some(opening));
        }
        match self.subscription.try_recv() {
            Ok(delivery) => {
                // Until there is a frame of it: whoever waits for the bell, and reads until a call gives no frame, has to
                // be called again, because more may be there to read.
                let unframed = Ring(&self.subscription);
                let frame = self.options.frame(&delivery)?;
                mem::forget(unframed);
                Ok(Some(self.give(frame)))
            }
            Err(TryRecvError::Empty) => Ok(self.is_due().then(|| self.beat())),
            Err(TryRecvError::Recv(error)) => Err(error.into()),
        }
    }

    /// Writes frames until the subscription has something else to say, and returns that: its end, or a loss after
    /// which calling again goes on.
    ///
    /// A frame is one `write_all`, newline included, and the writer is flushed before every wait and at the end. It
    /// should not keep frames for itself beyond that: what it holds back is outside the fence.
    ///
    /// ```
    /// use event_broker::{Broker, Event, FrameOptions, RecvError, Request};
    ///
    /// let broker = Broker::<u32>::new();
    /// let mut frames = broker.subscribe(Request::new())?.into_frames(FrameOptions::new());
    /// broker.publish(7, [Event::new("Job", "JobRegistered", "web", 1)])?;
    /// drop(broker);
    ///
    /// let mut written = Vec::new(); // or whatever the server has: a socket, a pipe
    /// assert_eq!(frames.write_to(&mut written)?, RecvError::Closed);
    /// assert!(written.starts_with(b"{}\n{\"Index\":7,"));
    /// assert!(written.ends_with(b"]}\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the writer fails, which leaves the frame it was given half-written at worst, and read in any case. If an
    /// event refuses to be JSON: then nothing of its delivery was written, and calling again goes on behind it.
    ///
    /// After a failed write nothing more is written: calling again fails as well. The reader comes back by its token, on
    /// another connection.
    ///
    /// # Panics
    ///
    /// As the iterator, and if the writer panics; then nothing more is written either.
    pub fn write_to(&mut self, mut writer: impl Write) -> Result<RecvError, WriteError> {
        self.write(|| Ok(()))?;
        let error = loop {
            let frame = match self.try_frame() {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => {
                    self.write(|| writer.flush())?;
                    self.wait()
                }
                Err(error) => Err(error),
            };
            match frame {
                Ok(frame) => self.write(|| writer.write_all(&frame))?,
                Err(error) => break error,
            }
        };
        self.write(|| writer.flush())?;
        match error {
            FrameError::Recv(error) => Ok(error),
            FrameError::Encode(error) => Err(WriteError::Encode(error)),
        }
    }

    /// Has something written, unless an earlier write failed.
    fn write(&mut self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let before = mem::replace(&mut self.state, State::Torn);
        if let State::Torn = before {
            return Err(io::Error::new(ErrorKind::BrokenPipe, "an earlier write failed, nothing can follow it"));
        }
        write()?;
        self.state = before;
        Ok(())
    }

    /// Waits for the next frame after the opening one.
    fn wait(&mut self) -> Result<Frame, FrameError> {
        let mut shortest = Duration::ZERO;
        loop {
            let Some(due) = self.due() else {
                let delivery = self.subscription.recv()?;
                return self.frame(&delivery);
            };
            let remaining = due.saturating_duration_since(self.subscription.now());
            match self.subscription.recv_timeout(remaining.max(shortest)) {
                Ok(delivery) => return self.frame(&delivery),
                Err(RecvTimeoutError::Timeout) if self.is_due() => return Ok(self.beat()),
                // The clock is behind real time. It may stand still just before the heartbeat is due, so from now on a
                // wait takes some time, however little remains.
                Err(RecvTimeoutError::Timeout) => shortest = FrameOptions::MIN_HEARTBEAT,
                Err(RecvTimeoutError::Recv(error)) => return Err(error.into()),
            }
        }
    }

    fn frame(&mut self, delivery: &Delivery<P>) -> Result<Frame, FrameError> {
        let frame = self.options.frame(delivery)?;
        Ok(self.give(frame))
    }
}

/// Rings the doorbell of a subscription when it is dropped, as a panic or an early return does.
struct Ring<'s, P>(&'s Subscription<P>);

impl<P> Drop for Ring<'_, P> {
    fn drop(&mut self) {
        self.0.ring();
    }
}

impl<P: Serialize> Iterator for Frames<P> {
    type Item = Result<Frame, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = match self.open() {
            Ok(Some(opening)) => return Some(Ok(opening)),
            Ok(None) => self.wait(),
            Err(error) => Err(error.into()),
        };
        match frame {
            Err(FrameError::Recv(error)) => self.subscription.last_error(error).map(|error| Err(error.into())),
            frame => Some(frame),
        }
    }
}

impl<P: Serialize> FusedIterator for Frames<P> {}

impl<P> fmt::Debug for Frames<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("subscription", &self.subscription)
            .field("options", &self.options)
            .field("state", &self.state)
            .finish()
    }
}
