//! The declared Rust version is one that the run-time dependencies, as locked, can be built with.
//! What the crate itself uses is watched by `clippy::incompatible_msrv`; dependencies of tests may ask for more.
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

/// The packages of this platform, with all features: those of others may not have been downloaded.
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

/// Whether what builds or runs the crate needs it, and not its tests alone.
fn is_run_time(dependency: &Value) -> bool {
    list(dependency, "dep_kinds").iter().any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev"))
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
    for package in needed.values() {
        // A package that declares nothing is held by nothing.
        if let Some(asks) = package.get("rust_version").and_then(Value::as_str) {
            let (name, found) = (text(package, "name"), text(package, "version"));
            assert!(version(asks) <= version(declared), "{name} {found} asks for {asks}, {declared} is declared");
        }
    }
}
