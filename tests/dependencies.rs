//! No dependency opens a socket, tests and benchmarks included, and the run-time dependencies are those decided on.
//!
//! The lock file lists every package that could be built. A user builds less: that is what cargo resolves without the
//! tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a file of the crate")
}

/// The manifest as it was written: a package keeps it beside the one that cargo writes for it.
fn manifest() -> String {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml.orig");
    text(if original.exists() { "Cargo.toml.orig" } else { "Cargo.toml" })
}

/// The names of all packages in the lock file.
fn packages() -> BTreeSet<String> {
    let lock = text("Cargo.lock");
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names.map(str::to_owned).collect()
}

/// Packages that open sockets, resolve names, or exist for those that do.
const NETWORK: &[&str] = &[
    "actix-web",
    "async-io",
    "async-net",
    "async-std",
    "attohttpc",
    "axum",
    "curl",
    "h2",
    "h3",
    "hickory-resolver",
    "hyper",
    "hyper-util",
    "isahc",
    "mio",
    "native-tls",
    "nats",
    "net2",
    "openssl",
    "polling",
    "quinn",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "surf",
    "tarpc",
    "tide",
    "tiny_http",
    "tokio-native-tls",
    "tokio-net",
    "tokio-rustls",
    "tokio-stream",
    "tokio-tungstenite",
    "tonic",
    "tungstenite",
    "ureq",
    "warp",
    "websocket",
];

#[test]
fn no_dependency_opens_a_socket() {
    let packages = packages();
    assert!(packages.contains("parking_lot") && packages.contains("tokio"), "the lock file is read");
    let network: Vec<_> = NETWORK.iter().filter(|name| packages.contains(**name)).collect();
    assert!(network.is_empty(), "{network:?}");
}

/// The run-time dependencies are those that were decided on, and no other.
#[test]
fn run_time_dependencies_are_few() {
    let manifest = manifest();
    let (_, rest) = manifest.split_once("\n[dependencies]\n").expect("a section");
    let section = rest.split("\n[").next().unwrap_or_default();
    let names: BTreeSet<_> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
        .collect();
    let decided = [
        "ahash",
        "bytes",
        "crossbeam-channel",
        "futures-core",
        "parking_lot",
        "percent-encoding",
        "proptest",
        "serde",
        "serde_json",
        "similar",
        "smallvec",
        "smol_str",
    ];
    assert_eq!(names, BTreeSet::from(decided));
}

/// The packages that a user builds on this platform, build scripts and their dependencies included: a line for each, with
/// its name and version, and `(proc-macro)` behind that of a macro. The tests' dependencies, and features that only they
/// ask for, are not among them.
fn built_by_users(options: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--edges=normal,build", "--prefix=none", "--no-dedupe", "--format={p}"]);
    let output = cargo.args(options).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("text");
    let packages = tree.lines().filter(|line| !line.is_empty() && !line.starts_with("event-broker v"));
    packages.map(str::to_owned).collect()
}

/// A procedural macro brings a parser of Rust with it, and what uses the macro waits until both are built.
#[test]
fn users_build_no_procedural_macro() {
    for features in ["--features=default", "--no-default-features", "--all-features"] {
        let packages = built_by_users(&[features]);
        let has = |name: &str| packages.iter().any(|package| package.split(' ').next() == Some(name));
        assert!(has("serde_core") && has("parking_lot_core") && !has("criterion"), "the tree is read: {packages:?}");
        let macros: Vec<_> = packages.iter().filter(|package| package.ends_with(" (proc-macro)")).collect();
        assert!(macros.is_empty(), "{features}: {macros:?}");
        let parsers: Vec<_> = ["proc-macro2", "quote", "syn"].into_iter().filter(|name| has(name)).collect();
        assert!(parsers.is_empty(), "{features}: {parsers:?}");
    }
}

#[test]
fn nine_direct_dependencies_by_default() {
    let direct = |features| built_by_users(&["--depth=1", features]);
    let by_default = direct("--features=default");
    assert!(by_default.len() <= 9, "{by_default:?}");
    let least = direct("--no-default-features");
    assert!(!least.is_empty() && least.is_subset(&by_default), "{least:?}");
}

/// The runtime of the tests is built without its `net`.
#[test]
fn tokio_is_without_net() {
    let manifest = manifest();
    let tokio = manifest.lines().find(|line| line.starts_with("tokio =")).expect("a dependency of tests");
    assert!(tokio.contains("default-features = false"), "{tokio}");
    for feature in ["\"net\"", "\"full\"", "\"process\""] {
        assert!(!tokio.contains(feature), "{tokio}");
    }
}
