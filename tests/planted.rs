//! The planted bugs: checks that each can still be planted, and is the program that plants one.
//! Does not run the tests that must catch them: `tests/planted/prove` does.
//!
//! A bug is a file `tests/planted/NAME.bug`. It gives the text that it replaces, and neither file nor line:
//!
//! ```text
//! Caught by: models::waiting
//!
//! Any prose, where the name is not enough.
//!
//! Replace:
//!     for waiter in waiters {
//!         waiter.wake();
//!     }
//! With:
//!     drop(waiters);
//! ```
//!
//! - A bug has one replacement or more. Texts are indented by four spaces. An empty `With:` deletes.
//! - The replaced text must occur exactly once in all files of `src/`, and begin and end at the boundary of a word.
//! - White space and `//` comments are not compared, so that a bug survives indenting, wrapping and commenting.
//! - Every text is looked up in the unchanged tree, so that two replacements can swap their texts.
//!
//! Cargo builds this file as a test. `prove` builds it with `rustc` as a program that does not use the crate: it
//! checks all bugs, or with the path of a bug as its argument plants that bug in `src/`.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

struct Replacement {
    old: String,
    new: String,
}

/// Returns the replacements of a bug.
fn parse(bug: &str) -> Result<Vec<Replacement>, String> {
    let test = bug.lines().next().and_then(|line| line.strip_prefix("Caught by: "));
    if test.is_none_or(|test| test.is_empty() || test.contains(char::is_whitespace)) {
        return Err("expected `Caught by: ` and one test in the first line".to_owned());
    }
    let pieces = bug.split("\nReplace:\n").skip(1);
    let replacements = pieces.map(|piece| {
        let (old, new) = piece.split_once("\nWith:\n").ok_or("expected a text and `With:` after `Replace:`")?;
        let replacement = Replacement { old: unindent(old)?, new: unindent(new)?.trim_end().to_owned() };
        let (old, new) = (Compared::of(&replacement.old), Compared::of(&replacement.new));
        if old.text.is_empty() {
            return Err("replaces nothing".to_owned());
        }
        if old.text == new.text {
            return Err(format!("replaces a text by itself: {}", first_line(&replacement.old)));
        }
        Ok(replacement)
    });
    let replacements = replacements.collect::<Result<Vec<_>, _>>()?;
    if replacements.is_empty() { Err("expected `Replace:`".to_owned()) } else { Ok(replacements) }
}

/// Removes the four spaces that a line of a text begins with.
fn unindent(text: &str) -> Result<String, String> {
    let lines = text.lines().map(|line| match line.strip_prefix("    ") {
        Some(line) => Ok(format!("{line}\n")),
        None if line.is_empty() => Ok("\n".to_owned()),
        None => Err(format!("expected four spaces before: {line}")),
    });
    lines.collect()
}

/// A text without white space and `//` comments.
struct Compared {
    text: String,
    /// The offset of each byte of `text` in the whole text.
    places: Vec<usize>,
}

impl Compared {
    fn of(whole: &str) -> Self {
        let mut compared = Self { text: String::new(), places: Vec::new() };
        let mut start = 0;
        for line in whole.split_inclusive('\n') {
            // Slashes behind a character, as in an address, begin no comment.
            let mut before_slashes = line.match_indices("//").map(|(place, _)| line.split_at(place).0);
            let is_code = |code: &&str| code.chars().next_back().is_none_or(char::is_whitespace);
            let code = before_slashes.find(is_code).unwrap_or(line);
            for (place, c) in code.char_indices().filter(|(_, c)| !c.is_whitespace()) {
                compared.text.push(c);
                compared.places.extend(start + place..start + place + c.len_utf8());
            }
            start += line.len();
        }
        compared
    }
}

struct Source {
    path: PathBuf,
    text: String,
    compared: Compared,
}

impl Source {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).expect("a source file is text");
        Self { path, compared: Compared::of(&text), text }
    }

    /// Returns the places in the text, in bytes, where a compared text occurs.
    fn find(&self, old: &str) -> impl Iterator<Item = Range<usize>> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let goes_on = move |(left, right): (&str, &str)| left.ends_with(is_word) && right.starts_with(is_word);
        let hits = self.compared.text.match_indices(old).map(|(place, hit)| place..place + hit.len());
        let ranges = hits.filter_map(|hit| match self.compared.places.get(hit)? {
            [first, .., last] => Some(*first..last + 1),
            [only] => Some(*only..only + 1),
            [] => None,
        });
        ranges.filter(move |range| [range.start, range.end].iter().all(|place| !goes_on(self.text.split_at(*place))))
    }

    /// Returns the range to overwrite, and the new text with the indentation of the old.
    fn edit(&self, found: Range<usize>, replacement: &Replacement) -> (Range<usize>, String) {
        let (before, rest) = self.text.split_at(found.start);
        let lead = before.rsplit('\n').next().unwrap_or_default();
        let begins_line = lead.trim().is_empty();
        let old = replacement.old.lines().find(|line| !Compared::of(line).text.is_empty()).unwrap_or_default();
        let new = replacement.new.lines().map(|line| {
            let width = (indent(line) + indent(lead)).saturating_sub(indent(old));
            if line.is_empty() { "\n".to_owned() } else { format!("{:width$}{}\n", "", line.trim_start()) }
        });
        let new = new.collect::<String>();
        if !begins_line {
            return (found, new.trim().to_owned());
        }
        let after = rest.split_at(found.len()).1.split_inclusive('\n').next().unwrap_or_default();
        let ends_line = after.trim().is_empty();
        let end = found.end + if ends_line { after.len() } else { 0 };
        (found.start - lead.len()..end, if ends_line { new } else { new.trim_end().to_owned() })
    }
}

/// Returns the width of the white space that a line begins with.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// Reads every source file below `src/`.
fn sources() -> Vec<Source> {
    fn read_below(folder: &Path, sources: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("a folder of the crate") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read_below(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::read(path));
            }
        }
    }
    let mut sources = Vec::new();
    read_below(Path::new("src"), &mut sources);
    sources
}

/// Plants a bug, and returns the files that it changes with their new text.
fn plant(bug: &str, sources: &[Source]) -> Result<Vec<(PathBuf, String)>, String> {
    let mut edits = Vec::new();
    for replacement in parse(bug)? {
        let old = Compared::of(&replacement.old).text;
        let found = sources.iter().enumerate().flat_map(|(file, source)| source.find(&old).map(move |at| (file, at)));
        match found.collect::<Vec<_>>().as_slice() {
            [(file, at)] => {
                let source = sources.get(*file).expect("it was found there");
                edits.push((*file, source.edit(at.clone(), &replacement)));
            }
            [] => return Err(format!("not found: {}", first_line(&replacement.old))),
            found => return Err(format!("found {} times: {}", found.len(), first_line(&replacement.old))),
        }
    }
    edits.sort_by_key(|(file, (at, _))| (*file, at.start));
    let overlap = |pair: &[(usize, (Range<usize>, String))]| match pair {
        [(file, (at, _)), (next_file, (next, _))] => file == next_file && at.end > next.start,
        _ => false,
    };
    if edits.windows(2).any(overlap) {
        return Err("replaces a text twice".to_owned());
    }
    let mut planted = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        // From the end of the file, because an edit moves what follows it.
        let here = edits.iter().rev().filter(|edit| edit.0 == file);
        let mut text = source.text.clone();
        here.for_each(|(_, (at, new))| text.replace_range(at.clone(), new));
        if text != source.text {
            planted.push((source.path.clone(), text));
        }
    }
    Ok(planted)
}

/// Returns the reasons why bugs can no longer be planted, and the number of all bugs.
fn stale() -> (Vec<String>, usize) {
    let sources = sources();
    let entries = fs::read_dir("tests/planted").expect("the folder of bugs");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "bug")).collect::<Vec<_>>();
    paths.sort();
    let wrong = paths.iter().filter_map(|path| {
        let text = fs::read_to_string(path).expect("a bug is text");
        plant(&text, &sources).err().map(|reason| format!("{}: {reason}", path.display()))
    });
    (wrong.collect(), paths.len())
}

fn main() -> ExitCode {
    let (wrong, done) = match std::env::args().nth(1) {
        None => {
            let (wrong, all) = stale();
            (wrong, format!("{all} bugs can be planted"))
        }
        Some(path) => {
            let bug = fs::read_to_string(&path).expect("the file of a bug");
            let planted = plant(&bug, &sources());
            let wrong = planted.as_ref().err().map(|reason| format!("{path}: {reason}"));
            for (file, text) in planted.unwrap_or_default() {
                fs::write(file, text).expect("the tree can be written to");
            }
            (wrong.into_iter().collect(), format!("{path}: planted"))
        }
    };
    if wrong.is_empty() {
        println!("{done}");
        ExitCode::SUCCESS
    } else {
        for reason in wrong {
            eprintln!("{reason}");
        }
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn every_bug_can_be_planted() {
        let (wrong, all) = stale();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(all > 50, "the bugs are found");
    }

    fn planted(source: &str, bug: &str) -> Result<String, String> {
        let compared = Compared::of(source);
        let source = Source { path: PathBuf::new(), text: source.to_owned(), compared };
        let files = plant(&format!("Caught by: oracle\n{bug}"), &[source])?;
        Ok(files.into_iter().map(|(_, text)| text).collect())
    }

    #[test]
    fn indenting_wrapping_and_comments_are_not_compared() {
        let bug = "\nReplace:\n    let x = a.b();\n    c(x);\nWith:\n    c(a);\n";
        assert_eq!(
            planted("{\n  let x = a\n    .b(); // Why.\n  // So.\n  c(x);\n}\n", bug).unwrap(),
            "{\n  c(a);\n}\n"
        );
        assert_eq!(planted("{ let x = a.b(); c(x); }\n", bug).unwrap(), "{ c(a); }\n");
        assert!(planted("{\n    let x = a.c();\n    c(x);\n}\n", bug).unwrap_err().contains("not found"));
    }

    #[test]
    fn what_is_added_is_indented_and_what_is_deleted_takes_its_line() {
        let wraps = "\nReplace:\n    wake();\nWith:\n    if late {\n        wake();\n    }\n";
        assert_eq!(planted("  a;\n  wake();\n", wraps).unwrap(), "  a;\n  if late {\n      wake();\n  }\n");
        let deletes = "\nReplace:\n    wake();\nWith:\n";
        assert_eq!(planted("a;\n    wake();\nb;\n", deletes).unwrap(), "a;\nb;\n");
    }

    #[test]
    fn what_is_replaced_occurs_once_and_as_whole_words() {
        let bug = "\nReplace:\n    end\nWith:\n    oldest\n";
        assert_eq!(planted("append(end, ends)", bug).unwrap(), "append(oldest, ends)");
        assert!(planted("end + end", bug).unwrap_err().contains("2 times"));
        assert!(planted("pending", bug).unwrap_err().contains("not found"));
    }

    #[test]
    fn replacements_are_found_in_the_tree_as_it_was() {
        let swaps = "\nReplace:\n    a;\nWith:\n    b;\n\nReplace:\n    b;\nWith:\n    a;\n";
        assert_eq!(planted("a;\nb;\n", swaps).unwrap(), "b;\na;\n");
        let twice = "\nReplace:\n    a; b;\nWith:\n\nReplace:\n    b;\nWith:\n    a;\n";
        assert!(planted("a;\nb;\n", twice).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_bug_that_says_too_little_is_refused() {
        assert!(parse("Replace:\n    a\nWith:\n    b\n").is_err());
        for bug in
            ["", "\nReplace:\n    a\n", "\nReplace:\nWith:\n    b\n", "\nReplace:\n    a\nWith:\n    a // Why.\n"]
        {
            assert!(planted("a", bug).is_err(), "{bug}");
        }
        assert!(planted("a", "\nReplace:\n    a\nWith:\nb\n").is_err());
    }
}
