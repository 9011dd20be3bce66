//! The oracle that the broker is compared with, and the scripts that both are put through.
//! Nothing here knows how the broker does what it does: only what it promises, by the numbers of the design.
//!
//! Files: `op` is the script and how bytes become one, `hooks` the host's side of a test (rules, clock, wakers),
//! `naive` the broker as one `Vec`, `reader` its readers, `driver` runs a script on both and compares.
//! `history` stands apart: validators of what readers saw in a run that no oracle can foretell.

pub mod driver;
pub mod hooks;
pub mod naive;
pub mod op;
pub mod reader;
