//! The broker against the naive one, over scripts of operations: semantics 1 to 23 and 27, guarantees G1 to G5, G8
//! and, as far as one thread can tell, G10.
//! What only threads can show is in `concurrent.rs`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

mod support;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use support::driver::run_script;
use support::op::{CONFIG_BYTES, Config, OP_BYTES, Op, from_bytes};

/// Scripts by way of bytes, one run of them a step: taking a step out is taking its bytes out.
fn scripts(longest: usize) -> impl Strategy<Value = (Config, Vec<Op>)> {
    let config = proptest::collection::vec(any::<u8>(), CONFIG_BYTES).prop_map(|bytes| Config::from_bytes(&bytes));
    let op = proptest::collection::vec(any::<u8>(), OP_BYTES).prop_map(|bytes| Op::from_bytes(&bytes));
    (config, proptest::collection::vec(op, 1..longest))
}

fn config(cases: u32) -> ProptestConfig {
    let persistence = FileFailurePersistence::Direct("proptest-regressions/oracle.txt");
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: Some(Box::new(persistence)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(512))]

    /// G1 order, G2 no duplicates, G3 no silent loss, G4 atomic, G5 resumable, G8 fence, G10 liveness.
    #[test]
    fn g1_to_g5_g8_g10_the_broker_does_what_the_naive_one_does((config, script) in scripts(120)) {
        run_script(&config, &script);
    }

    /// The way of the fuzz targets.
    #[test]
    fn any_bytes_are_a_script(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (config, script) = from_bytes(&bytes);
        run_script(&config, &script);
    }
}
