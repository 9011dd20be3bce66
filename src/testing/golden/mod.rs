//! Golden frames: what a test publishes or sends, compared byte by byte with a file in the repository.
//! How outlines are compared is decided in `testing::diff`, and what a line means in `frame`.
//!
//! Files, in the order in which to read them:
//! - `file`: [`Golden`], which compares with a file or rewrites it;
//! - `framed`: what can be compared;
//! - `lines`: bytes as lines that a reader accepts;
//! - `normal`: what is replaced because it differs in every run;
//! - `compare`: the message that shows a difference.

mod compare;
mod file;
mod framed;
mod lines;
mod normal;

pub use file::{GOLDEN_VARIABLE, Golden};
pub use framed::Framed;
