//! The codec of frames: newline-delimited JSON out and in, over events, tokens and bytes.
//! No broker and no subscription is known here, and nothing here waits.

mod bytes;
mod cache;
mod decode;
mod encode;
mod error;
mod line;
mod read;
#[cfg(all(test, not(broker_loom)))]
mod tests;

pub use bytes::Frame;
pub(crate) use cache::{Account, FrameCache};
pub use decode::Decoder;
pub(crate) use encode::encoded_len;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use line::Incoming;
pub use read::{FrameReader, ReadError};
