//! The order of the files: none imports upwards, none are in a circle, and each says what it is.
//! What a file does is not looked at, but for the few words that only one file may use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The top-level modules, from the bottom up: a module may import those of the rows before its own.
///
/// `nomad` stands beside the broker: it is made of words and access alone, and only a host knows it.
const LAYERS: &[(&str, &[&str])] = &[
    ("value types, and what tests count", &["panics", "steps", "types", "writes"]),
    ("primitives", &["sync"]),
    ("what threads keep apart", &["stripes"]),
    ("mechanisms", &["access", "frame", "log", "wait"]),
    ("term index", &["interest"]),
    ("shared state", &["core"]),
    ("reader", &["subscription"]),
    ("host", &["broker", "frames"]),
    ("the reference's world", &["nomad"]),
    ("for tests of stores", &["testing"]),
];

/// What a module may not import although it stands in a row below, and why.
const APART: &[(&str, &[&str], &str)] = &[
    ("types", &["sync"], "value types take no lock"),
    ("interest", &["access", "frame", "wait"], "it walks the log, and knows no waiter"),
    ("nomad", &["log", "wait", "interest", "core", "subscription", "broker", "frame", "frames"], "a host's own world"),
    ("frames", &["log", "wait", "interest", "access"], "it reads by the subscription"),
];

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every source file: its path below `src`, and its text.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_below(&src, &mut files);
    files.sort();
    assert!(files.len() > 30, "the sources are found");
    let name = |path: &Path| path.strip_prefix(&src).expect("below src").to_string_lossy().replace('\\', "/");
    files.into_iter().map(|path| (name(&path), fs::read_to_string(&path).expect("text"))).collect()
}

/// Whether only tests build the file, or it is prose alone.
fn is_apart(file: &str) -> bool {
    file == "lib.rs"
        || ["models/", "guide/"].iter().any(|folder| file.starts_with(folder))
        || file.contains("/tests/")
        || file.ends_with("/tests.rs")
}

/// The top-level module of a file, or nothing for what is [apart](is_apart).
fn module(file: &str) -> Option<&str> {
    let top = file.split('/').next()?;
    Some(top.strip_suffix(".rs").unwrap_or(top)).filter(|_| !is_apart(file))
}

/// The code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let tests = |line: &str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,");
    let lines: Vec<_> = text.lines().collect();
    let inline_tests = (0..lines.len()).find(|place| {
        lines.get(*place).is_some_and(|line| tests(line))
            && lines.get(place + 1).is_some_and(|line| line.starts_with("mod tests {"))
    });
    let lines = lines.iter().take(inline_tests.unwrap_or(lines.len()));
    lines.filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// The paths that a piece of code names below `crate::` and `super::`, and those that a module uses of its children, but
/// not what it re-exports of them: each as a list of names. A pair of braces gives as many paths as it holds.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate", "super"] {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            let before = code.get(..at).unwrap_or_default();
            // Of `super::super::x` the first is the root.
            if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                expand(code.get(at..).unwrap_or_default(), &mut Vec::new(), &mut found);
            }
        }
    }
    for child in code.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')) {
        for (at, _) in code.match_indices(&format!("\nuse {child}::")) {
            expand(code.get(at + "\nuse ".len()..).unwrap_or_default(), &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Adds the paths that `text` begins with to `found`, each behind `prefix`, and returns what is left of the text.
fn expand<'t>(text: &'t str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(rest, &mut prefix.clone(), found).trim_start();
            match (rest.strip_prefix(','), rest.strip_prefix('}')) {
                (Some(more), _) if !more.trim_start().starts_with('}') => rest = more,
                (Some(more), _) => return more.trim_start().get(1..).unwrap_or_default(),
                (None, Some(more)) => return more,
                (None, None) => return rest,
            }
        }
    }
    let len = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(len);
    prefix.push(word.to_owned());
    if let Some(rest) = rest.strip_prefix("::") {
        return expand(rest, prefix, found);
    }
    found.push(prefix.clone());
    // A name that is imported as another.
    match rest.strip_prefix(" as ") {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

/// The file that a path named in `file` leads to: the longest part of it that is a file.
///
/// A table of contents, which only re-exports, is entered through the name: `crate::log::Log` leads to `log/mod.rs`, and
/// `super::shared::Log` to `log/shared.rs`.
fn resolve(file: &str, path: &[String], files: &BTreeSet<&str>) -> Option<String> {
    let mut folder: Vec<&str> = file.split('/').collect();
    let last = folder.pop()?;
    if last != "mod.rs" {
        folder.push(last.strip_suffix(".rs")?);
    }
    let mut names = path.iter().map(String::as_str).peekable();
    if names.next_if_eq(&"crate").is_some() {
        folder.clear();
    }
    while names.next_if_eq(&"super").is_some() {
        folder.pop();
    }
    let mut reached = None;
    for name in std::iter::once(None).chain(names.map(Some)) {
        folder.extend(name);
        let base = folder.join("/");
        let candidates = [format!("{base}.rs"), format!("{base}/mod.rs")];
        match candidates.into_iter().find(|candidate| files.contains(&**candidate)) {
            Some(candidate) => reached = Some(candidate),
            // Of the crate's root nothing but modules is named.
            None if base.is_empty() => {}
            None => break,
        }
    }
    reached
}

/// What each file imports.
fn imports(sources: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeSet<&str> = sources.iter().map(|(file, _)| &**file).filter(|file| !is_apart(file)).collect();
    let of = |file: &str, text: &str| {
        let paths = paths(&code(text));
        let found = paths.iter().filter_map(|path| resolve(file, path, &files));
        found.filter(|found| found != file).collect::<BTreeSet<_>>()
    };
    let inside = sources.iter().filter(|(file, _)| !is_apart(file));
    inside.map(|(file, text)| (file.clone(), of(file, text))).collect()
}

fn row_of(module: &str) -> usize {
    let found = LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    found.unwrap_or_else(|| panic!("the module {module} is in no layer: decide on one"))
}

/// Why a module may not import another, if it may not.
fn refusal(from: &str, to: &str) -> Option<String> {
    let below = row_of(to) < row_of(from);
    let apart = APART.iter().find(|(module, others, _)| *module == from && others.contains(&to));
    match apart {
        _ if from == to => None,
        Some((.., why)) => Some(format!("{from} imports {to}: {why}")),
        None => (!below).then(|| format!("{from} imports {to}, which does not stand below it")),
    }
}

/// A circle of imports, if there is one: each of its files imports the next, and the last the first.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk<'i>(
        file: &'i str,
        imports: &'i BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<&'i str>,
        done: &mut BTreeSet<&'i str>,
    ) -> Option<Vec<String>> {
        if let Some(at) = way.iter().position(|other| *other == file) {
            return Some(way.iter().skip(at).map(|file| (*file).to_owned()).collect());
        }
        if !done.insert(file) {
            return None;
        }
        way.push(file);
        let found = imports.get(file).into_iter().flatten().find_map(|next| walk(next, imports, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|file| walk(file, imports, &mut Vec::new(), &mut done))
}

#[test]
fn no_module_imports_upwards() {
    let mut refused = Vec::new();
    for (file, imported) in imports(&sources()) {
        let Some(from) = module(&file) else { continue };
        for to in imported.iter().filter_map(|file| module(file)) {
            refused.extend(refusal(from, to).map(|refusal| format!("{file}: {refusal}")));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// No two files import each other, nor do more of them in a circle.
#[test]
fn no_files_import_each_other() {
    let imports = imports(&sources());
    let arrows: usize = imports.values().map(BTreeSet::len).sum();
    assert!(arrows > 300, "{arrows} imports were found");
    assert_eq!(circle(&imports), None);
}

#[test]
fn what_may_not_be_would_be_found() {
    let source = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    let of = |sources: &[(String, String)]| imports(sources);
    let tree = [
        source("types/mod.rs", "pub(crate) mod name;"),
        source("types/name.rs", ""),
        source("log/mod.rs", "mod shared;\npub(crate) use shared::Log;"),
        source("log/shared.rs", "use crate::types::{name::{Key, Topic as T}, other};\nuse std::fmt;"),
        source("log/writer.rs", "use super::shared::Log;\nfn f() -> crate::types::name::Key {}\n// crate::core::State"),
        source("wait/mod.rs", "mod list;\npub use list::List;\nuse list::Entry;"),
        source("wait/list.rs", "use super::other;"),
        source("core/state.rs", "use crate::{log::{self, Log}, types::name::Key};\nuse super::super::log::shared;"),
    ];
    let found = of(&tree);
    let files = |file: &str| found.get(file).into_iter().flatten().map(|file| &**file).collect::<Vec<_>>();
    assert_eq!(files("log/shared.rs"), ["types/mod.rs", "types/name.rs"]);
    assert_eq!(files("log/writer.rs"), ["log/shared.rs", "types/name.rs"]);
    assert_eq!(files("core/state.rs"), ["log/mod.rs", "log/shared.rs", "types/name.rs"]);
    assert_eq!((files("wait/mod.rs"), files("wait/list.rs")), (vec!["wait/list.rs"], vec!["wait/mod.rs"]));
    let (last, before) = tree.split_last().expect("some");
    let tree = [before.get(..5).expect("five"), std::slice::from_ref(last)].concat();
    assert_eq!(circle(&of(&tree)), None);

    let mut tree = tree;
    tree.push(source("types/name.rs", "use crate::log::shared::Log;"));
    tree.remove(1);
    assert_eq!(circle(&of(&tree)).map(|circle| circle.len()), Some(2), "log/shared.rs and types/name.rs");

    for (from, to) in
        [("log", "broker"), ("log", "wait"), ("types", "sync"), ("subscription", "nomad"), ("nomad", "core")]
    {
        assert!(refusal(from, to).is_some(), "{from} {to}");
    }
    for (from, to) in [("interest", "log"), ("broker", "subscription"), ("subscription", "core"), ("nomad", "access")] {
        assert!(refusal(from, to).is_none(), "{from} {to}");
    }
}

/// The first line says what lives in a file, the second what must not.
#[test]
fn every_file_says_what_it_is() {
    for (file, text) in sources() {
        let mut lines = text.lines();
        for line in [lines.next(), lines.next()] {
            let sentence = line.and_then(|line| line.strip_prefix("//! ")).unwrap_or_default();
            assert!(sentence.len() > 10, "{file} begins with {line:?}, expected two lines of //!");
        }
    }
}

#[test]
fn no_file_is_too_long() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{file} has {lines} lines, expected at most 600");
    }
}

/// Locks, atomics and parked threads come through one door.
#[test]
fn one_file_is_the_door_to_primitives() {
    for (file, text) in sources() {
        if file == "sync.rs" || file.starts_with("models/") {
            continue;
        }
        for word in ["parking_lot", "loom::", "std::sync::atomic", "std::sync::Mutex", "std::sync::RwLock"] {
            assert!(!code(&text).contains(word), "{file} names {word}, expected it to come from sync");
        }
    }
}

/// No thread is started, no output is written, and models have a private cfg of their own.
#[test]
fn the_crate_starts_no_thread() {
    for (file, text) in sources() {
        let code = code(&text);
        assert!(!code.contains("cfg(loom)"), "{file}");
        if module(&file).is_none() {
            continue;
        }
        for word in ["thread::spawn", "thread::Builder", "thread::sleep", "println!", "dbg!", "unsafe {"] {
            assert!(!code.contains(word), "{file} has {word}");
        }
    }
}
