//! What operations cost, counted in steps: semantics 5, 7, 27 and 33, guarantees G7 and G12.
//!
//! | file | holds |
//! |---|---|
//! | `growth` | one operation at three sizes, and how its steps may grow |
//! | `oracle` | scripts of operations, each charged with what it may cost |
//! | `model` | what the charges depend on |
//! | `script` | how operations are drawn from a seed |
//! | `shared` | what readers on two threads write that both can reach |
//!
//! The steps exist only under the private cfg `broker_steps`; without it this binary is empty: `RUSTFLAGS="--cfg
//! broker_steps" CARGO_TARGET_DIR=target/steps cargo test --test cost`.
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
mod shared;
#[path = "../common/wakes.rs"]
mod wakes;
