//! The oracle that the broker is compared with, and the scripts that both are put through.
//! Nothing here knows how the broker does what it does: only what it promises, by the numbers of the design.
//!
//! Files: `op` is the script, `bytes` makes one of any bytes, `hooks` is the host's side of a test (rules, clock,
//! observer), `naive` the broker as one `Vec`, `matching` whom an event is for, `reader` its readers, `translate` puts the
//! real broker's words into those of the naive one, and `driver` runs a script on both brokers and compares.
//! `history` stands apart: validators of what readers saw in a run that no oracle can foretell.

pub mod bytes;
pub mod driver;
pub mod hooks;
pub mod matching;
pub mod naive;
pub mod op;
pub mod reader;
pub mod translate;
#[path = "../common/wakes.rs"]
mod wakes;
