//! The oracle: a naive broker of obvious code, and the scripts that both brokers execute. A behaviour enters here
//! first.
//!
//! The oracle follows the semantics alone, whose numbers are in `tests/README.md`, and shares no code with the
//! implementation.
//!
//! | file | holds |
//! |---|---|
//! | `op`, `bytes` | a script of operations, and how it is made of arbitrary bytes |
//! | `naive`, `matching`, `reader` | the naive broker: its log, whom an event is for, its readers |
//! | `hooks` | the host's side of a test: payloads, rules, observer |
//! | `translate` | the real broker's types as those of the naive one |
//! | `driver` | runs a script on both brokers and compares |
//! | `history` | validators of what readers saw in a run that no oracle can predict |

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
