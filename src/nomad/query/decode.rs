//! Decodes the form encoding of one name or value: percent escapes, `+` for a space, text in UTF-8.
//! What the text means is decided in `query`.
//!
//! Callers: `query`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::error::QueryErrorKind;

/// Decodes a name or a value. Text without escapes and plus signs is not copied.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, QueryErrorKind> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    // The decoder passes malformed escapes through unchanged. Here they are errors.
    if text.split('%').skip(1).any(|after| !begins_with_two_digits(after)) {
        return Err(QueryErrorKind::MalformedEscape);
    }
    // Replaced before decoding, because an escaped plus sign is a plus sign.
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| QueryErrorKind::NotUtf8)?;
    Ok(Cow::Owned(decoded.into_owned()))
}

fn begins_with_two_digits(text: &str) -> bool {
    text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_plus_signs_are_decoded_once() {
        for (text, decoded) in [
            ("", ""),
            ("plain é", "plain é"),
            ("a+b%20c", "a b c"),
            ("%2B%2b", "++"),
            ("%2525", "%25"),
            ("%C3%a9", "é"),
            ("%00%0A", "\0\n"),
        ] {
            assert_eq!(decode(text), Ok(decoded.into()), "{text}");
        }
    }

    #[test]
    fn invalid_escapes_and_invalid_utf8_are_refused() {
        for text in ["%", "%2", "a%", "%zz", "%2z", "%%41", "%é", "%+1", "%-1", "%41%+", "%41%4"] {
            assert_eq!(decode(text), Err(QueryErrorKind::MalformedEscape), "{text}");
        }
        for text in ["%FF", "%C3", "%C3x", "é%A9", "%ED%A0%80", "%C0%80"] {
            assert_eq!(decode(text), Err(QueryErrorKind::NotUtf8), "{text}");
        }
    }
}
