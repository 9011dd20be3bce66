//! The order of the files: none imports upwards, and each says what it is.
//! What a file does is not looked at, but for the few words that only one file may use.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a top-level module may import, beside itself and its own layer's exceptions.
struct Layer {
    name: &'static str,
    modules: &'static [&'static str],
    /// The layers below that it knows.
    knows: &'static [&'static str],
    /// Whether its modules know each other.
    together: bool,
}

/// From the bottom up. `nomad` is a world of its own beside the broker: it is made of words, and nothing but a host
/// knows it.
const LAYERS: &[Layer] = &[
    Layer {
        name: "words",
        modules: &["access", "clock", "error", "event", "few", "name", "panics", "position", "request", "token"],
        knows: &[],
        together: true,
    },
    Layer { name: "sync", modules: &["steps", "sync"], knows: &[], together: false },
    Layer {
        name: "mechanisms",
        modules: &["dispatch", "filter", "frame", "gate", "interest", "log", "wait"],
        knows: &["words", "sync"],
        together: false,
    },
    Layer {
        name: "composition",
        modules: &["broker", "delivery", "frames", "observer", "record", "registry", "shared", "stats", "subscription"],
        knows: &["words", "sync", "mechanisms"],
        together: true,
    },
    Layer { name: "nomad", modules: &["nomad"], knows: &["words"], together: false },
    Layer {
        name: "adapters",
        modules: &["stream"],
        knows: &["words", "sync", "mechanisms", "composition"],
        together: false,
    },
];

/// Mechanisms that know another, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("interest", "filter", "the nodes of a request are derived from its filter"),
    ("interest", "log", "the chains that it walks lie in the log's slots"),
    ("dispatch", "wait", "it wakes what waits"),
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

/// The top-level module of a file, or nothing for the root and for what only tests build.
fn module(file: &str) -> Option<&str> {
    let top = file.split('/').next()?;
    let is_test = file.contains("/tests/") || file.ends_with("/tests.rs");
    Some(top.strip_suffix(".rs").unwrap_or(top)).filter(|top| *top != "lib" && *top != "models" && !is_test)
}

/// The code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let tests = |line: &str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,");
    let lines: Vec<_> = text.lines().collect();
    let inline_tests = lines
        .iter()
        .position(|line| tests(line))
        .filter(|place| lines.get(place + 1).is_some_and(|line| line.starts_with("mod tests {")));
    let lines = lines.iter().take(inline_tests.unwrap_or(lines.len()));
    lines.filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// The top-level modules that a piece of code names, in imports and in paths; also several in one pair of braces.
fn imports(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => _ = named.insert(word(after)),
            Some(group) => {
                let mut depth = 0;
                for part in group.split(',') {
                    if depth == 0 {
                        named.insert(word(part.trim_start()));
                    }
                    depth += part.matches('{').count();
                    match (depth, part.matches('}').count()) {
                        (open, close) if close > open => break,
                        (_, close) => depth -= close,
                    }
                }
            }
        }
    }
    named.remove("");
    named
}

fn layer_of(module: &str) -> &'static Layer {
    let found = LAYERS.iter().find(|layer| layer.modules.contains(&module));
    found.unwrap_or_else(|| panic!("the module {module} is in no layer: decide on one"))
}

/// Why a module may not import another, if it may not.
fn refusal(from: &str, to: &str) -> Option<String> {
    let (above, below) = (layer_of(from), layer_of(to));
    let same = above.name == below.name && above.together;
    let known = above.knows.contains(&below.name);
    let excepted = EXCEPTIONS.iter().any(|(module, other, _)| (*module, *other) == (from, to));
    let allowed = from == to || same || known || excepted;
    (!allowed).then(|| format!("{from} ({}) imports {to} ({})", above.name, below.name))
}

#[test]
fn no_module_imports_upwards() {
    let mut refused = Vec::new();
    let mut used = BTreeSet::new();
    for (file, text) in sources() {
        let Some(from) = module(&file) else { continue };
        for to in imports(&code(&text)) {
            refused.extend(refusal(from, &to).map(|refusal| format!("{file}: {refusal}")));
            used.insert((from.to_owned(), to));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    for (from, to, _) in EXCEPTIONS {
        assert!(used.contains(&((*from).to_owned(), (*to).to_owned())), "{from} no longer imports {to}");
    }
}

#[test]
fn upward_imports_would_be_found() {
    let names = |code: &str| imports(code).into_iter().collect::<Vec<_>>();
    assert_eq!(names("use crate::log::Log;\nfn f() -> crate::event::Event {}"), ["event", "log"]);
    assert_eq!(names("use crate::{broker::{Core, Opened}, name::Key};\nuse std::fmt;"), ["broker", "name"]);
    assert!(refusal("log", "broker").is_some());
    assert!(refusal("log", "wait").is_some());
    assert!(refusal("event", "sync").is_some());
    assert!(refusal("subscription", "nomad").is_some());
    assert!(refusal("nomad", "broker").is_some());
    assert!(refusal("interest", "log").is_none());
    assert!(refusal("broker", "subscription").is_none());
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
