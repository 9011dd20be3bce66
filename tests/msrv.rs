//! The run-time dependencies, in the versions of the committed lock file, build with the declared Rust version.
//!
//! Another resolution may choose later versions that need a later compiler; then the test is skipped. What the crate
//! itself uses is checked by `clippy::incompatible_msrv`. Dependencies of tests may need a later compiler.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

fn output(arguments: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The packages of this platform, with all features; those of others may not be downloaded.
fn metadata() -> Value {
    let version = output(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo says its host");
    let options = ["metadata", "--format-version=1", "--offline", "--all-features", "--filter-platform", host];
    serde_json::from_str(&output(&options)).expect("JSON")
}

/// `1.71` and `1.71.0` are the same.
fn version(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().expect("a number"));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("{field} in {value}"))
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).unwrap_or_else(|| panic!("{field} in {value}"))
}

/// Whether it is needed to build or run the crate, and not only by its tests.
fn is_run_time(dependency: &Value) -> bool {
    list(dependency, "dep_kinds").iter().any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev"))
}

/// Whether the lock file is the committed one of this folder. Unknown without git or a repository, as in an unpacked
/// package; then `false`.
fn lock_is_committed() -> bool {
    let mut git = Command::new("git");
    git.args(["diff", "--quiet", "HEAD", "--", "Cargo.lock"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let unchanged = git.output().is_ok_and(|output| output.status.success());
    let mut git = Command::new("git");
    git.args(["ls-files", "--error-unmatch", "Cargo.lock"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    unchanged && git.output().is_ok_and(|output| output.status.success())
}

#[test]
fn run_time_dependencies_build_with_the_declared_version() {
    let metadata = metadata();
    let packages: BTreeMap<_, _> =
        list(&metadata, "packages").iter().map(|package| (text(package, "id"), package)).collect();
    let resolve = metadata.get("resolve").expect("a graph");
    let nodes: BTreeMap<_, _> = list(resolve, "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let root = text(resolve, "root");

    let mut needed = BTreeMap::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if needed.insert(id, packages[id]).is_none() {
            let dependencies = list(nodes[id], "deps").iter().filter(|dependency| is_run_time(dependency));
            open.extend(dependencies.map(|dependency| text(dependency, "pkg")));
        }
    }
    let names: Vec<_> = needed.values().map(|package| text(package, "name")).collect();
    assert!(names.contains(&"parking_lot") && !names.contains(&"criterion"), "{names:?}");

    let declared = text(packages[root], "rust_version");
    // A package without a declared version is not checked.
    let too_new: Vec<_> = needed
        .values()
        .filter_map(|package| Some((package, package.get("rust_version")?.as_str()?)))
        .filter(|(_, asks)| version(asks) > version(declared))
        .map(|(package, asks)| format!("{} {} asks for {asks}", text(package, "name"), text(package, "version")))
        .collect();
    if !too_new.is_empty() && !lock_is_committed() {
        eprintln!(
            "left out: the lock file is not the committed one, and was resolved for a later compiler: {too_new:?}"
        );
        return;
    }
    assert!(too_new.is_empty(), "Rust {declared} is declared: {too_new:?}");
}
