//! The links, test names and commands of the README and of CONTRIBUTING exist, and the front pages of the tests and
//! benchmarks link every group. The README's example is a doctest.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

fn contributing() -> String {
    fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap()
}

fn has_heading(text: &str, anchor: &str) -> bool {
    let is_it = |heading: &str| heading.to_lowercase().replace(' ', "-") == anchor;
    text.lines().filter_map(|line| line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')).any(is_it)
}

/// The links of a text: what is shown, and where it leads.
fn links(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("](").collect::<Vec<_>>();
    let pairs = parts.windows(2).filter_map(|pair| match pair {
        [before, after] => Some((before.rsplit_once('[')?.1, after.split_once(')')?.0)),
        _ => None,
    });
    pairs.collect()
}

#[test]
fn what_is_linked_exists_and_tests_are_where_it_says() {
    let readme = readme();
    let mut named = 0;
    for (shown, target) in links(&readme) {
        if target.starts_with("https://") {
            continue;
        }
        if let Some(anchor) = target.strip_prefix('#') {
            assert!(has_heading(&readme, anchor), "no heading is #{anchor}");
            continue;
        }
        let path = root().join(target);
        assert!(path.exists(), "{target} is linked and does not exist");
        if let Some(name) = shown.strip_prefix('`').and_then(|name| name.strip_suffix('`'))
            && !name.contains(['/', '.'])
        {
            named += 1;
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(&format!("fn {name}(")), "{target} has no function {name}");
        }
    }
    assert!(named >= 20, "only {named} tests were found in the table");
}

/// The front pages of the tests and benchmarks: all links lead somewhere, and every group has one.
#[test]
fn the_front_pages_link_every_group() {
    for folder in ["tests", "benches"] {
        let folder = root().join(folder);
        let page = fs::read_to_string(folder.join("README.md")).unwrap();
        let linked: Vec<_> = links(&page).into_iter().map(|(_, target)| target).collect();
        for target in &linked {
            let path = target.split_once('#').map_or(*target, |(path, _)| path);
            assert!(folder.join(path).exists(), "{target} is linked and does not exist");
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let group = if path.is_dir() { path.join("main.rs") } else { path };
            if group.exists() && group.extension().is_some_and(|extension| extension == "rs") {
                let group = group.strip_prefix(&folder).unwrap().to_string_lossy().replace('\\', "/");
                assert!(linked.contains(&group.as_str()), "{group} is not in the page of its folder");
            }
        }
    }
}

#[test]
fn what_contributing_links_exists() {
    let contributing = contributing();
    let links = links(&contributing);
    assert!(links.len() > 10);
    for (_, target) in links {
        if target.starts_with("https://") {
            continue;
        }
        match target.split_once('#') {
            Some(("", anchor)) => assert!(has_heading(&contributing, anchor), "no heading is #{anchor}"),
            Some((page, anchor)) => {
                let page = fs::read_to_string(root().join(page)).unwrap();
                assert!(has_heading(&page, anchor), "no heading is #{anchor}");
            }
            None => assert!(root().join(target).exists(), "{target} is linked and does not exist"),
        }
    }
}

#[test]
fn every_guarantee_has_a_test() {
    let readme = readme();
    let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| G")).collect();
    assert_eq!(rows.len(), 12);
    for (row, number) in rows.iter().zip(1..) {
        assert!(row.starts_with(&format!("| G{number} ")), "{row}");
        assert!(!links(row).is_empty(), "{row}");
    }
}

#[test]
fn commands_name_what_the_manifest_has() {
    let (readme, manifest) = (readme(), fs::read_to_string(root().join("Cargo.toml")).unwrap());
    let both = readme.clone() + &contributing();
    let manifest_has = |kind: &str, name: &str| {
        let sections = manifest.split("\n[[").filter(|section| section.starts_with(kind));
        sections.into_iter().any(|section| section.contains(&format!("\nname = \"{name}\"\n")))
    };
    for (option, kind) in [("--bench ", "bench]]"), ("--example ", "example]]")] {
        let names = both.split(option).skip(1);
        let names: Vec<_> = names.filter_map(|rest| rest.split([' ', '`', '\n']).next()).collect();
        assert!(!names.is_empty());
        for name in names {
            assert!(manifest_has(kind, name), "{option}{name} is not in the manifest");
        }
    }
    for line in ["cargo run --release --example scheduler", "cargo test --all-features"] {
        assert!(readme.lines().any(|found| found == line), "{line} has no line of its own");
    }
    for program in [".ci/run", "benches/guard", "benches/record/take", "tests/planted/prove"] {
        assert!(both.contains(&format!("`{program}`")) && Path::new(&root().join(program)).exists(), "{program}");
    }
}
