//! The comparison of two outlines, as the message of a failed assertion.
//! What an outline says is decided in `outline`.
//!
//! Callers: the assertions of this module.

use std::fmt::Write as _;

use similar::{Algorithm, ChangeTag, capture_diff_slices, group_diff_ops};

/// The number of equal lines that are shown before and after each difference.
const CONTEXT: usize = 3;

/// Returns the difference of two lists of lines: those that are missing with `-`, those that were not expected with
/// `+`, and a few around them. Returns nothing if they are equal.
pub(super) fn diff(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    let mut text = String::new();
    let mut shown = 0;
    for group in group_diff_ops(capture_diff_slices(Algorithm::Myers, expected, found), CONTEXT) {
        let from = group.first().map_or(shown, |op| op.old_range().start);
        gap(&mut text, from - shown);
        for op in &group {
            shown = op.old_range().end;
            for change in op.iter_changes(expected, found) {
                let sign = match change.tag() {
                    ChangeTag::Equal => ' ',
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                };
                _ = write!(text, "\n{sign} {}", change.value_ref());
            }
        }
    }
    gap(&mut text, expected.len() - shown);
    Some(text)
}

fn gap(text: &mut String, lines: usize) {
    match lines {
        0 => {}
        1 => text.push_str("\n  … 1 equal line"),
        lines => _ = write!(text, "\n  … {lines} equal lines"),
    }
}

#[cfg(all(test, not(broker_loom)))]
mod tests {
    use super::*;

    fn lines(names: &str) -> Vec<String> {
        names.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn what_differs_is_shown_with_a_few_lines_around_it() {
        let shown = |expected, found| diff(&lines(expected), &lines(found));
        assert_eq!(shown("a b", "a b"), None);
        assert_eq!(shown("a b c", "a x c").as_deref(), Some("\n  a\n- b\n+ x\n  c"));
        assert_eq!(shown("", "x").as_deref(), Some("\n+ x"));
        assert_eq!(shown("a", "").as_deref(), Some("\n- a"));
        assert_eq!(
            shown("1 2 3 4 5 6 7 8 9 a b", "1 2 3 4 5 x 7 8 9 a b").as_deref(),
            Some("\n  … 2 equal lines\n  3\n  4\n  5\n- 6\n+ x\n  7\n  8\n  9\n  … 2 equal lines")
        );
        assert_eq!(
            shown("0 1 2 3 4 5 6 7 8", "1 2 3 4 5 6 7").as_deref(),
            Some("\n- 0\n  1\n  2\n  3\n  … 1 equal line\n  5\n  6\n  7\n- 8")
        );
    }
}
