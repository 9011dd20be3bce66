//! What operations cost, counted in steps: semantics 5, 7, 27 and 33, guarantees G7 and G12.
//! Built under the private cfg `broker_steps` alone; without it there is nothing here.
//!
//! Files: `growth` measures one operation at three sizes and says how its steps may grow, `oracle` puts scripts of
//! operations through a broker and charges each what it may cost, `model` knows what that depends on, and `script` draws
//! the operations.
#![cfg(broker_steps)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

#[path = "../common/clock.rs"]
mod clock;
mod growth;
mod model;
mod oracle;
#[path = "../common/random.rs"]
mod random;
mod script;
#[path = "../common/wakes.rs"]
mod wakes;
