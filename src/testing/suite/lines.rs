//! Values and differences as lines: one line an entry of a state, and few enough lines to be seen at once.
//! How two lists of lines are compared is decided in `testing::diff`.
//!
//! Callers: `single`, `violation`.

use std::fmt;

use crate::testing::diff::diff;

/// The most characters of a line.
const MAX_WIDTH: usize = 150;

/// The most characters of an entry that is put on one line.
const MAX_ENTRY: usize = 100;

/// How much of two long lines is shown before they differ.
const HEAD: usize = 40;
const BEFORE: usize = 25;

/// Returns the lines of a value's long `Debug` form. An empty list has two, so that it differs from others by what they
/// hold alone.
pub(super) fn lines_of(value: &impl fmt::Debug) -> Vec<String> {
    let text = format!("{value:#?}").replace("{}", "{\n}").replace("[]", "[\n]");
    text.lines().map(|line| line.trim_start().to_owned()).collect()
}

/// Returns the lines of a value's long `Debug` form, with each entry of a list on one line, if it is not too long.
pub(super) fn entries_of(value: &impl fmt::Debug) -> Vec<String> {
    let text = format!("{value:#?}");
    let mut entries = Vec::new();
    compact(&text.lines().collect::<Vec<_>>(), 0, &mut entries);
    entries
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn opens(line: &str) -> bool {
    line.ends_with(['{', '[', '('])
}

/// Whether the line begins a list or a map, and not a struct or a tuple.
fn begins_list(line: &str) -> bool {
    let line = line.trim_start();
    line == "{" || line == "[" || line.ends_with(": {") || line.ends_with(": [")
}

fn compact(lines: &[&str], depth: usize, entries: &mut Vec<String>) {
    let mut rest = lines;
    while let Some((first, others)) = rest.split_first() {
        let is_end = |line: &&str| indent(line) <= indent(first) && !opens(line);
        let len = if opens(first) { others.iter().position(is_end).map_or(0, |at| at + 1) } else { 0 };
        let (entry, after) = rest.split_at(len + 1);
        rest = after;
        let joined = (depth > 0 && (depth > 1 || !begins_list(first))).then(|| join(entry));
        if let Some(joined) = joined.filter(|joined| joined.chars().count() <= MAX_ENTRY) {
            entries.push(format!("{:1$}{joined}", "", 2 * depth));
            continue;
        }
        // The lines of the entry's own depth stay, and what is between them is compacted.
        for part in entry.chunk_by(|one, other| (indent(one) > indent(first)) == (indent(other) > indent(first))) {
            if part.first().is_some_and(|line| indent(line) > indent(first)) {
                compact(part, depth + 1, entries);
            } else {
                entries.extend(part.iter().map(|line| format!("{:1$}{2}", "", 2 * depth, line.trim_start())));
            }
        }
    }
}

/// Joins lines to one, as the short `Debug` form would be.
fn join(lines: &[&str]) -> String {
    let mut joined = String::new();
    for line in lines.iter().map(|line| line.trim()) {
        if line.starts_with(['}', ']', ')']) && joined.ends_with(',') {
            joined.pop();
        }
        let is_tight = joined.is_empty() || joined.ends_with(['(', '[']) || line.starts_with([')', ']']);
        if !is_tight {
            joined.push(' ');
        }
        joined.push_str(line);
    }
    joined
}

/// Returns the difference of two lists of lines. If it is long, only the lines that differ are kept; and of two long
/// lines, the part around the first difference.
pub(super) fn difference(expected: &[String], found: &[String], most: usize) -> Vec<String> {
    let Some(text) = diff(expected, found) else {
        return vec!["  (their forms by Debug are equal)".to_owned()];
    };
    let mut lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    if lines.len() > most {
        lines.retain(|line| line.starts_with(['-', '+']));
    }
    align(&mut lines);
    lines
}

/// Cuts what long lines have in common with those that replace them.
fn align(lines: &mut [String]) {
    let runs: Vec<usize> = lines.chunk_by(|one, other| one.get(..1) == other.get(..1)).map(<[String]>::len).collect();
    let mut from = 0;
    for pair in runs.windows(2) {
        let (len, next) = (pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0));
        let (removed, added) = lines.get_mut(from..from + len + next).unwrap_or_default().split_at_mut(len);
        from += len;
        if removed.first().is_some_and(|line| line.starts_with('-'))
            && added.first().is_some_and(|line| line.starts_with('+'))
        {
            removed.iter_mut().zip(added).for_each(|(one, other)| cut_common(one, other));
        }
    }
}

fn cut_common(one: &mut String, other: &mut String) {
    if one.chars().count().max(other.chars().count()) <= MAX_WIDTH {
        return;
    }
    // The first character is the sign.
    let same = one.chars().skip(1).zip(other.chars().skip(1)).take_while(|(one, other)| one == other).count() + 1;
    if same > HEAD + BEFORE + 1 {
        for line in [one, other] {
            let head = line.chars().take(HEAD);
            *line = head.chain(['…']).chain(line.chars().skip(same - BEFORE)).collect();
        }
    }
}

/// Writes lines: of too many, the first and the last.
pub(super) fn write_some(f: &mut fmt::Formatter<'_>, lines: &[String], most: usize) -> fmt::Result {
    let is_long = lines.len() > most;
    let head = if is_long { most.div_ceil(2) } else { lines.len() };
    let tail = if is_long { lines.len() - (most - head) + 1 } else { lines.len() };
    for line in lines.iter().take(head) {
        writeln!(f, "{}", short(line))?;
    }
    if is_long {
        writeln!(f, "  … {} more lines", tail - head)?;
    }
    for line in lines.iter().skip(tail) {
        writeln!(f, "{}", short(line))?;
    }
    Ok(())
}

/// A line of at most so many characters.
pub(super) fn short(line: &str) -> String {
    let line = line.replace('\n', "\\n");
    match line.char_indices().nth(MAX_WIDTH) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "shown by Debug")]
    struct State {
        jobs: BTreeMap<(&'static str, &'static str), Vec<u32>>,
        none: BTreeMap<u32, u32>,
        last: Option<(u32, u32)>,
    }

    #[test]
    fn an_entry_is_a_line() {
        let jobs = BTreeMap::from([(("prod", "web"), vec![1, 2]), (("prod", "db"), (100..130).collect())]);
        let entries = entries_of(&State { jobs, none: BTreeMap::new(), last: Some((1, 2)) });
        let expected = ["State {", "  jobs: {", "    (", "      \"prod\",", "      \"db\",", "    ): ["];
        assert_eq!(entries.get(..6).unwrap_or_default(), expected, "{entries:#?}");
        let (long, rest) = entries.split_at(6 + 30);
        assert!(long.last().is_some_and(|line| line == "      129,"), "{entries:#?}");
        let expected =
            ["    ],", "    (\"prod\", \"web\"): [1, 2],", "  },", "  none: {},", "  last: Some((1, 2)),", "}"];
        assert_eq!(rest, expected, "{entries:#?}");
    }

    #[test]
    fn of_long_lines_the_difference_is_shown() {
        let line = |end: &str| vec![format!("{}{end}", "x".repeat(400))];
        let shown = difference(&line("1 and more"), &line("2 and more"), 10);
        let expected = |sign: char, end: &str| format!("{sign} {}…{}{end}", "x".repeat(38), "x".repeat(25));
        assert_eq!(shown, [expected('-', "1 and more"), expected('+', "2 and more")]);
    }

    #[test]
    fn of_many_lines_some_are_shown() {
        struct Shown(usize);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_some(f, &(1..=self.0).map(|number| number.to_string()).collect::<Vec<_>>(), 5)
            }
        }
        assert_eq!(Shown(5).to_string(), "1\n2\n3\n4\n5\n");
        assert_eq!(Shown(9).to_string(), "1\n2\n3\n  … 5 more lines\n9\n");
    }
}
