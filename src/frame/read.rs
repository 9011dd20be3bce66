//! Frames from whatever can be read: a decoder over a buffered reader.
//! No reader is opened here, and no lost one is opened again.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, ErrorKind};
use std::iter::FusedIterator;

use serde::de::DeserializeOwned;

use super::decode::Decoder;
use super::error::DecodeError;
use super::line::Incoming;

/// The frames of a reader, one after another, until it ends.
///
/// A line that is no frame is an error between two frames. An error of the reader is the last item, unless it only
/// says that nothing has come yet (`WouldBlock`, `TimedOut`): then the next call reads on where this one stopped.
/// A panic in the payload's `Deserialize` reaches the caller and ends the frames.
///
/// ```
/// use event_broker::{Batch, Event, Frame, FrameReader};
///
/// let batch = Batch::new(7, vec![Event::new("Job", "JobRegistered", "web", 1_u32)]);
/// let frames = [Frame::heartbeat(), Frame::encode(&batch)?, Frame::progress(9)];
/// let recorded: String = frames.iter().map(Frame::as_str).collect();
///
/// let mut replayed = Vec::new();
/// for frame in FrameReader::<_, u32>::new(recorded.as_bytes()) {
///     replayed.extend(frame?.into_batch()); // … to be published, under the same indexes
/// }
/// assert_eq!(replayed, [batch, Batch::new(9, [])]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrameReader<R, P> {
    reader: R,
    decoder: Decoder<P>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Reading,
    Ended,
}

impl<R: BufRead, P: DeserializeOwned> FrameReader<R, P> {
    /// The frames of this reader, by a [`Decoder::new`].
    pub const fn new(reader: R) -> Self {
        Self::with_decoder(reader, Decoder::new())
    }

    /// The frames of this reader, by a decoder of the caller's, such as one with another limit.
    pub const fn with_decoder(reader: R, decoder: Decoder<P>) -> Self {
        Self { reader, decoder, state: State::Reading }
    }

    /// Gives the reader up. What it held of a line that was under way is lost.
    pub fn into_inner(self) -> R {
        self.reader
    }

    fn read(&mut self) -> Result<Option<Incoming<P>>, ReadError> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                        self.state = State::Ended;
                    }
                    return Err(ReadError::Io(error));
                }
            };
            if buffer.is_empty() {
                self.state = State::Ended;
                return Ok(self.decoder.finish().transpose()?);
            }
            // If a payload panics, its line stays in the reader: reading on would meet it again, for ever.
            self.state = State::Ended;
            let mut input = buffer;
            let frame = self.decoder.decode(&mut input);
            self.state = State::Reading;
            let used = buffer.len() - input.len();
            self.reader.consume(used);
            if let Some(frame) = frame {
                return Ok(Some(frame?));
            }
        }
    }
}

impl<R: BufRead, P: DeserializeOwned> Iterator for FrameReader<R, P> {
    type Item = Result<Incoming<P>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.state {
            State::Reading => self.read().transpose(),
            State::Ended => None,
        }
    }
}

impl<R: BufRead, P: DeserializeOwned> FusedIterator for FrameReader<R, P> {}

impl<R, P> fmt::Debug for FrameReader<R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("decoder", &self.decoder)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Why a read gave no frame.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The reader failed. Unless it was only not ready, this is the last item.
    Io(io::Error),
    /// A line was no frame. Reading goes on behind it.
    Decode(DecodeError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read frames: {error}"),
            Self::Decode(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            // It already says all that this says.
            Self::Decode(_) => None,
        }
    }
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}
