//! A memory oracle (G6, semantics 7 and 27): `stats()` explain the live heap of a broker whatever its users do, and
//! once they have left, it is that of a new broker.
//!
//! The formula and its constants are in `heap/explained.rs`. Three groups of cases use it or a bound of their own:
//! - `scripts`: operations drawn from a seed, compared with the formula at checkpoints and with a new broker at the
//!   end;
//! - `bursts`: many subscriptions of one kind, of which one stays, and churn of waiting readers;
//! - `stuck`: a dispatcher, an authorizer or a reader that does not return, and links and encoded forms.
//!
//! The cases run one after another in `main` without the usual harness, whose threads would be counted. Every exceeded
//! bound is reported before the process fails. `cargo test --test heap -- NAME` runs the cases whose names contain
//! `NAME`.

#[path = "common/clock.rs"]
mod clock;
#[path = "common/heap.rs"]
mod heap;
#[path = "common/random.rs"]
mod random;

#[path = "heap/bursts.rs"]
mod bursts;
#[path = "heap/explained.rs"]
mod explained;
#[path = "heap/measure.rs"]
mod measure;
#[path = "heap/scripts.rs"]
mod scripts;
#[path = "heap/stuck.rs"]
mod stuck;

use std::process::ExitCode;
use std::time::Instant;

use measure::Checks;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

type Case = (&'static str, fn(&mut Checks));

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let cases: Vec<Case> = [scripts::CASES, bursts::CASES, stuck::CASES].concat();
    let wanted: Vec<_> = cases.iter().filter(|(name, _)| is_wanted(name)).collect();
    println!("running {} tests", wanted.len());
    let mut failed = 0;
    for (name, case) in &wanted {
        let started = Instant::now();
        let failures = heap::profiled(|| {
            let mut checks = Checks::default();
            case(&mut checks);
            checks.failures()
        });
        println!(
            "test {name} ... {} ({:.1} s)",
            if failures == 0 { "ok" } else { "FAILED" },
            started.elapsed().as_secs_f32()
        );
        failed += usize::from(failures > 0);
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; {} filtered out",
        wanted.len() - failed,
        cases.len() - wanted.len()
    );
    ExitCode::from(u8::from(failed > 0))
}
