//! Replays the corpora and regressions of the fuzz targets as ordinary tests (G11).
//!
//! The bodies of the targets are in `fuzz/src/`. Cargo leaves a folder with its own manifest out of the package, so the
//! links `fuzz_bodies`, `fuzz_corpus` and `fuzz_regressions` bring what is replayed into it.
#![cfg(feature = "json")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests")]

#[path = "fuzz_bodies/lib.rs"]
mod bodies;

use std::fs;
use std::path::{Path, PathBuf};

/// Prints the input on which a target panics.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

fn inputs(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

/// Runs a target over its corpus, which must exist, and its regressions.
fn replay(target: &str, run: fn(&[u8])) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let corpus = inputs(&tests.join("fuzz_corpus").join(target));
    assert!(!corpus.is_empty(), "fuzz/corpus/{target} is empty, expected what `cargo fuzz cmin` left of it");
    let regressions = inputs(&tests.join("fuzz_regressions").join(target));
    for path in corpus.into_iter().chain(regressions) {
        let input = Named(path);
        run(&fs::read(&input.0).unwrap());
    }
    // The empty input is an input too, and no corpus keeps it.
    run(&[]);
}

#[test]
fn queries() {
    replay("query", bodies::query::run);
}

#[test]
fn frames() {
    replay("frames", bodies::frames::run);
}

#[test]
fn scripts() {
    replay("ops", bodies::ops::run);
}

#[test]
fn matching() {
    replay("matcher", bodies::matcher::run);
}
