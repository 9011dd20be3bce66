//! The codec of frames: newline-delimited JSON out and in, over events, tokens and bytes.
//! No broker and no subscription is known here, and nothing here waits.

mod bytes;
mod decode;
mod encode;
mod line;
mod read;
#[cfg(all(test, not(broker_loom)))]
mod tests;

pub use bytes::Frame;
pub use decode::{DecodeError, DecodeErrorKind, Decoder};
pub use encode::EncodeError;
pub(crate) use encode::{Account, FrameCache, encoded_len};
pub use line::Incoming;
pub use read::{FrameReader, ReadError};
