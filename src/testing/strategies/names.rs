//! Strategies of names: those that hosts use, and those that break what was not made for them.
//! Which names an event has is decided in `events`.

use proptest::prelude::*;
use proptest::sample::select;

/// Names that hosts use.
pub(super) const PLAUSIBLE: [&str; 6] =
    ["web", "db", "cache", "ccc4ce56-7f0a-4124-b8b1-a4015aa82c40", "nightly/report-17", "default"];

/// Draws names that hosts use: names of jobs, and an id in the form of a UUID.
///
/// ```
/// use event_broker::testing::strategies;
/// use proptest::prelude::*;
///
/// proptest!(|(name in strategies::plausible_name())| {
///     prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.is_empty());
/// });
/// ```
pub fn plausible_name() -> impl Strategy<Value = String> {
    select(&PLAUSIBLE[..]).prop_map(str::to_owned)
}

/// Draws names that break what was not made for them: empty ones, wildcards, quotes, line breaks, other scripts, names
/// that are longer than what is stored in place, and any text of up to 24 characters.
///
/// ```
/// use event_broker::Key;
/// use event_broker::testing::strategies;
/// use proptest::prelude::*;
///
/// proptest!(|(name in strategies::hostile_name())| {
///     let key = Key::from(name.as_str());
///     prop_assert_eq!(key.as_str(), name);
/// });
/// ```
pub fn hostile_name() -> impl Strategy<Value = String> {
    let known = select(
        &[
            "",
            "*",
            " ",
            "a b",
            "a:b",
            "a, b]",
            "#2",
            "\"",
            "\\",
            "'",
            "\n",
            "a\r\nb",
            "\t",
            "\0",
            "{}",
            "%2F",
            "\u{e9}",
            "e\u{301}",
            "\u{65e5}\u{672c}",
            "\u{1f980}",
            "\u{202e}x",
            "\u{2028}",
            "\u{feff}",
            "twenty-three bytes long",
            "twenty-four bytes long..",
        ][..],
    );
    let long = (24_usize..400).prop_map(|length| "n".repeat(length));
    prop_oneof![4 => known.prop_map(str::to_owned), 2 => "(?s).{0,24}", 1 => long]
}

/// Draws [plausible](plausible_name) and [hostile](hostile_name) names, half and half. They shrink to plausible ones.
///
/// ```
/// use event_broker::testing::strategies;
/// use proptest::prelude::*;
///
/// proptest!(|(name in strategies::name())| {
///     let json = serde_json::to_string(&name).unwrap();
///     prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
/// });
/// ```
pub fn name() -> impl Strategy<Value = String> {
    prop_oneof![plausible_name(), hostile_name()]
}
