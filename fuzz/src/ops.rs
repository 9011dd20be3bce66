//! Scripts of operations on the broker and on the naive one: semantics 1 to 23 and 27.
//!
//! The oracle in `tests/support/` turns bytes into a script and compares the brokers.

use super::support::bytes::{CONFIG_BYTES, OP_BYTES, from_bytes};
use super::support::driver::run_script;

/// Longer scripts find nothing that shorter ones do not, and are slow.
const LONGEST: usize = CONFIG_BYTES + 120 * OP_BYTES;

/// Runs the script that these bytes are.
pub fn run(data: &[u8]) {
    let (config, script) = from_bytes(data.get(..LONGEST).unwrap_or(data));
    run_script(&config, &script);
}
