//! Yields frames to a thread: an iterator that waits, a call that does not, and a loop that writes to any writer.
//! The host opens the writer, and handles its errors.
//!
//! Invariants:
//! - Access is checked before the opening heartbeat as before every other frame.
//! - After a failed or panicked write nothing more is written, because a part of a frame may have been.
//!
//! Callers: hosts.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::iter::FusedIterator;
use std::mem;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::frame::Frame;
use crate::frames::error::{FrameError, WriteError};
use crate::frames::options::FrameOptions;
use crate::subscription::{Delivery, Subscription};
use crate::types::error::{RecvError, RecvTimeoutError, TryRecvError};

impl<P> Subscription<P> {
    /// Turns the subscription into frames that are read on a thread.
    ///
    /// NaN and infinite numbers in payloads become `null`, as JSON has no such numbers. See [`Delivery::frame`].
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
/// Iterating waits. The interval counts from the last frame that was returned, by the broker's [`Clock`](crate::Clock),
/// so heartbeats do not accumulate for a stalled consumer. A wait takes real time. After it the clock is read again and
/// decides whether a heartbeat is due.
///
/// The stream carries neither errors nor the verdict. Check [`Subscription::verdict`] before the first frame, and
/// report a loss or another epoch to a returning client in the head of the response. The last item is the end, as an
/// error. For [`RecvError::Closed`] there is no such item. A loss that is not an end and a payload that cannot be
/// encoded are items like any other. In the latter case the delivery has been consumed, and the stream continues.
///
/// Frames obey the fence: once access is revoked, no frame is returned, even for events that were readable before.
///
/// # Panics
///
/// Panics where [`Subscription::recv`] does, and if a payload's `Serialize` does. In the latter case the delivery has
/// been consumed.
pub struct Frames<P> {
    subscription: Subscription<P>,
    options: FrameOptions,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Unopened,
    /// The time of the last frame, by the broker's clock.
    LastFrameAt(Instant),
    /// A write failed. A part of its frame may have been written, and nothing may follow it.
    WriteFailed,
}

impl<P> Frames<P> {
    /// Returns the subscription: its place, its statistics, its handle.
    pub fn subscription(&self) -> &Subscription<P> {
        &self.subscription
    }

    /// Returns the options.
    pub fn options(&self) -> FrameOptions {
        self.options
    }

    /// Returns the subscription, at the place that the frames have reached.
    pub fn into_subscription(self) -> Subscription<P> {
        self.subscription
    }

    /// Records the time of a frame, and returns the frame.
    fn emit(&mut self, frame: Frame) -> Frame {
        if !matches!(self.state, State::WriteFailed) {
            self.state = State::LastFrameAt(self.subscription.now());
        }
        frame
    }

    fn heartbeat(&mut self) -> Frame {
        let frame = self.options.heartbeat_frame(&self.subscription);
        self.emit(frame)
    }

    /// Returns the opening heartbeat, unless it was returned before. A reader whose access is revoked already gets
    /// none.
    fn open(&mut self) -> Result<Option<Frame>, RecvError> {
        match self.state {
            State::LastFrameAt(_) | State::WriteFailed => Ok(None),
            State::Unopened => {
                self.subscription.check_gate()?;
                let opening = self.options.opening(&self.subscription);
                Ok(Some(self.emit(opening)))
            }
        }
    }

    fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= self.subscription.now())
    }

    /// Returns when the next heartbeat is due, by the broker's clock. Returns `None` if the clock cannot represent that
    /// time, if the stream is not open yet, or after a failed write.
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Unopened | State::WriteFailed => None,
            State::LastFrameAt(last) => last.checked_add(self.options.heartbeat_interval()),
        }
    }
}

impl<P: Serialize> Frames<P> {
    /// Returns the next frame if there is one now. It serves hosts that poll or use a doorbell.
    ///
    /// `None` means that everything published before the call has been returned, and that no heartbeat is due. With a
    /// [doorbell](Subscription::doorbell), call it on every ring until it returns no frame. After an error that is not
    /// an end the doorbell rings again if there may be more to read.
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
    /// Returns the errors that the iterator yields. An end repeats on every further call, [`RecvError::Closed`]
    /// included.
    ///
    /// # Panics
    ///
    /// Panics where the iterator does.
    pub fn try_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(opening) = self.open()? {
            return Ok(Some(opening));
        }
        match self.subscription.try_recv() {
            Ok(delivery) => {
                // Held until there is a frame of the delivery. If encoding fails or panics, a host that waits for the
                // doorbell and reads until a call returns no frame must be called again, because there may be more to
                // read.
                let unframed = RingOnDrop(&self.subscription);
                let frame = self.options.frame(&delivery)?;
                mem::forget(unframed);
                Ok(Some(self.emit(frame)))
            }
            Err(TryRecvError::Empty) => Ok(self.is_due().then(|| self.heartbeat())),
            Err(TryRecvError::Recv(error)) => Err(error.into()),
        }
    }

    /// Writes frames until a read reports something other than a delivery, and returns that: the end of the
    /// subscription, or a loss after which calling again continues.
    ///
    /// A frame is one `write_all`, newline included, and the writer is flushed before every wait and at the end. The
    /// writer should not buffer frames beyond that: a frame in its buffer is written even after access is revoked.
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
    /// Returns an error if the writer fails. A part of its frame may then have been written, and the delivery counts as
    /// read. Also returns an error if an event cannot be encoded as JSON. Nothing of its delivery was then written, and
    /// calling again continues after it.
    ///
    /// After a failed write nothing more is written, and calling again fails as well. The reader resumes by its token,
    /// on another connection.
    ///
    /// # Panics
    ///
    /// Panics where the iterator does, and if the writer panics. After a panic of the writer nothing more is written
    /// either.
    pub fn write_to(&mut self, mut writer: impl Write) -> Result<RecvError, WriteError> {
        self.write_unless_failed(|| Ok(()))?;
        let error = loop {
            let frame = match self.try_frame() {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => {
                    self.write_unless_failed(|| writer.flush())?;
                    self.wait()
                }
                Err(error) => Err(error),
            };
            match frame {
                Ok(frame) => self.write_unless_failed(|| writer.write_all(&frame))?,
                Err(error) => break error,
            }
        };
        self.write_unless_failed(|| writer.flush())?;
        match error {
            FrameError::Recv(error) => Ok(error),
            FrameError::Encode(error) => Err(WriteError::Encode(error)),
        }
    }

    /// Calls `write`, unless an earlier write failed.
    fn write_unless_failed(&mut self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let before = mem::replace(&mut self.state, State::WriteFailed);
        if let State::WriteFailed = before {
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
                Err(RecvTimeoutError::Timeout) if self.is_due() => return Ok(self.heartbeat()),
                // The clock is behind real time. It may stop just before the heartbeat is due, so from here on a wait
                // takes at least this long, however little remains.
                Err(RecvTimeoutError::Timeout) => shortest = FrameOptions::MIN_HEARTBEAT,
                Err(RecvTimeoutError::Recv(error)) => return Err(error.into()),
            }
        }
    }

    fn frame(&mut self, delivery: &Delivery<P>) -> Result<Frame, FrameError> {
        let frame = self.options.frame(delivery)?;
        Ok(self.emit(frame))
    }
}

/// Rings the doorbell of a subscription when it is dropped, by a panic or an early return.
struct RingOnDrop<'s, P>(&'s Subscription<P>);

impl<P> Drop for RingOnDrop<'_, P> {
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
            Err(FrameError::Recv(error)) => self.subscription.yield_error(error).map(|error| Err(error.into())),
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
