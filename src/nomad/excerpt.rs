//! The beginning of a stranger's text, fit to stand in an error: short, quoted, without raw control characters.
//! What was wrong with the text is said elsewhere.

use std::fmt;

/// How many characters an excerpt keeps.
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
        // Escaped, because errors end up in logs, and a line break in one would begin a line of the stranger's making.
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
