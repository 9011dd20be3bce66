//! Cuts an excerpt of an untrusted text for an error: short, quoted, without raw control characters.
//! What is wrong with the text is reported by the error that holds the excerpt.
//!
//! Callers: `query::error`, `rights` and `rights::set`.

use std::fmt;

/// The number of characters that an excerpt keeps, at most.
const CHARACTERS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    text: Box<str>,
    is_cut: bool,
}

impl Excerpt {
    pub(super) fn of(text: &str) -> Self {
        let end = text.char_indices().nth(CHARACTERS).map(|(end, _)| end);
        let kept = end.and_then(|end| text.get(..end));
        Self { text: kept.unwrap_or(text).into(), is_cut: kept.is_some() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped, because errors end up in logs, where a line break in one would let a client forge a log line.
        write!(f, "\"{}{}\"", self.text.escape_debug(), if self.is_cut { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(Excerpt::of("").to_string(), "\"\"");
        assert_eq!(Excerpt::of("a\n\"").to_string(), r#""a\n\"""#);
        let exact = "é".repeat(CHARACTERS);
        assert_eq!(Excerpt::of(&exact).to_string(), format!("\"{exact}\""));
        assert_eq!(Excerpt::of(&format!("{exact}é")).to_string(), format!("\"{exact}…\""));
        assert_eq!(Excerpt::of(&format!("{exact}é")).as_str(), exact);
    }
}
