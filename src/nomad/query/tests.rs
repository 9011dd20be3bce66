//! Tests of the query parser: the server's own rows, every kind of error, the limits, and a naive parser.
//! How a request is matched is tested in `tests/`.

#![expect(clippy::unwrap_used, reason = "a query that a test expects to be read has to be")]

use super::*;

fn shown(query: &str) -> Result<String, QueryErrorKind> {
    Query::parse(query).map(|query| query.to_string()).map_err(|error| error.kind())
}

fn shows(query: &str, text: &str) {
    assert_eq!(shown(query), Ok(text.to_owned()), "{query}");
}

fn refuses(query: &str, parameter: Parameter, held: &str, kind: QueryErrorKind) {
    let error = Query::parse(query).unwrap_err();
    assert_eq!((error.parameter(), error.held(), error.kind()), (parameter, held, kind), "{query}");
}

// Conformance: QueryParse, 7 rows. A query without topics has no term, which a request takes as everything.
#[test]
fn query_parse() {
    shows("topic=*:*", "topic=*:*");
    shows("", "");
    refuses("topic=NodeDrain:*:*", Parameter::Topic, "NodeDrain:*:*", QueryErrorKind::SeveralColons);
    shows("topic=NodeDrain", "topic=NodeDrain:*");
    shows("topic=NodeDrain:*", "topic=NodeDrain:*");
    let uuid = "97a3b1e4-5f0c-4d26-8d3b-0d1c2e4f6a7b";
    shows(&format!("topic=NodeDrain:*&topic=NodeDrain:{uuid}"), &format!("topic=NodeDrain:*&topic=NodeDrain:{uuid}"));
    shows("topic=NodeDrain&topic=Job:web", "topic=NodeDrain:*&topic=Job:web");
}

// Conformance: Err_InvalidQueryParam.
#[test]
fn err_invalid_query_param() {
    refuses("topic=::*", Parameter::Topic, "::*", QueryErrorKind::SeveralColons);
}

// Conformance: TopicsFromString, the rows that a query can express. Its words `all` and `none` belong to that command.
#[test]
fn topics_from_string() {
    shows("topic=Deployment&topic=Job", "topic=Deployment:*&topic=Job:*");
    shows("topic=Deployment&topic=Job:web", "topic=Deployment:*&topic=Job:web");
    shows("topic=*:example", "topic=*:example");
}

// Conformance: TestTopic_String, 8 rows, as the names appear in a query.
#[test]
fn topic_string() {
    for name in ["Deployment", "Evaluation", "Allocation", "Job", "Node", "NodePool", "Service", "*"] {
        let query = Query::parse(&format!("topic={name}")).unwrap();
        assert_eq!(query.terms(), [Term::topic(name).unwrap()]);
        assert_eq!(query.to_string(), format!("topic={name}:*"));
    }
}

#[test]
fn the_parts_become_a_request() {
    let query = Query::parse("?namespace=b&topic=Job:web&index=7&namespace=*&namespace=b&&topic=Job:web").unwrap();
    assert_eq!(query.index(), Some(7));
    assert_eq!(query.namespaces(), ["b", "*", "b"]);
    assert_eq!(query.terms(), [Term::new("Job", "web").unwrap(), Term::new("Job", "web").unwrap()]);
    let request: Request<()> = query.clone().into();
    assert_eq!(request.requested_start(), Start::Index(7));
    assert_eq!(request.requested_namespaces(), query.namespaces());
    assert_eq!(request.requested_terms(), query.terms());
    let zero: Request<()> = Query::parse("index=0").unwrap().into_request();
    assert_eq!(zero.requested_start(), Start::Oldest);
    let bare: Request<()> = "".parse::<Query>().unwrap().into_request();
    assert_eq!(bare.requested_start(), Start::Oldest);
    assert!(bare.requested_terms().is_empty() && bare.requested_namespaces().is_empty());
}

#[test]
fn names_and_values_are_decoded() {
    shows("%74opic=%4Aob%3Aa+b%26", "topic=Job:a%20b%26");
    shows("topic=%2A:%2a", "topic=*:*");
    shows("name%73pace=%C3%A9+%2B", "namespace=%C3%A9%20%2B");
    shows("namespace=é=", "namespace=%C3%A9%3D");
    shows("index=%37", "index=7");
    shows("index=00000000000000000000000000007", "index=7");
    shows("index=0", "index=0");
    shows("index=18446744073709551615", "index=18446744073709551615");
}

#[test]
fn other_parameters_are_ignored_whatever_they_hold() {
    for query in
        ["pretty", "pretty=", "pretty=%zz&x=%FF", "=", "=%", "Topic=:", "INDEX=x", "+index=x", "topic+", "&&", "?"]
    {
        shows(query, "");
    }
    shows("wait=%&index=7&index%5B%5D=x", "index=7");
    // Only one question mark is skipped, and a name that cannot be decoded might be any parameter.
    shows("??index=7", "");
    refuses("%zz=1", Parameter::Name, "%zz", QueryErrorKind::MalformedEscape);
    refuses("a=1&top%FFic=1", Parameter::Name, "top%FFic", QueryErrorKind::NotUtf8);
    refuses("%", Parameter::Name, "%", QueryErrorKind::MalformedEscape);
}

#[test]
fn errors_name_the_parameter_and_what_was_expected() {
    use Parameter::{Index, Namespace, Topic};
    use QueryErrorKind::{
        Empty, EmptyKey, EmptyTopic, MalformedEscape, NotDigits, NotUtf8, PartialWildcard, Repeated, SeveralColons,
        TooLarge,
    };
    for (query, parameter, held, kind) in [
        ("index", Index, "", Empty),
        ("index=", Index, "", Empty),
        ("index=-1", Index, "-1", NotDigits),
        ("index=+1", Index, "+1", NotDigits),
        ("index=%2B1", Index, "%2B1", NotDigits),
        ("index=1e3", Index, "1e3", NotDigits),
        ("index=1%00", Index, "1%00", NotDigits),
        ("index=٣", Index, "٣", NotDigits),
        ("index=18446744073709551616", Index, "18446744073709551616", TooLarge),
        ("index=1%", Index, "1%", MalformedEscape),
        ("index=7&index=7", Index, "7", Repeated),
        ("index=0&index=%", Index, "%", Repeated),
        ("namespace", Namespace, "", Empty),
        ("namespace=&index=x", Namespace, "", Empty),
        ("namespace=%2", Namespace, "%2", MalformedEscape),
        ("namespace=%C3", Namespace, "%C3", NotUtf8),
        ("topic", Topic, "", Empty),
        ("topic=", Topic, "", Empty),
        ("topic=:web", Topic, ":web", EmptyTopic),
        ("topic=Job:", Topic, "Job:", EmptyKey),
        ("topic=:", Topic, ":", EmptyTopic),
        ("topic=Job:a:b", Topic, "Job:a:b", SeveralColons),
        ("topic=Job%3Aa:b", Topic, "Job%3Aa:b", SeveralColons),
        ("topic=Job:web-*", Topic, "Job:web-*", PartialWildcard),
        ("topic=Job:*-web", Topic, "Job:*-web", PartialWildcard),
        ("topic=Job:**", Topic, "Job:**", PartialWildcard),
        ("topic=Job:web%2A", Topic, "Job:web%2A", PartialWildcard),
        ("topic=*:web-*", Topic, "*:web-*", PartialWildcard),
        ("topic=Jo*", Topic, "Jo*", PartialWildcard),
        ("topic=Jo*:web", Topic, "Jo*:web", PartialWildcard),
        ("topic=*b:*", Topic, "*b:*", PartialWildcard),
        ("namespace=prod-*", Namespace, "prod-*", PartialWildcard),
        ("namespace=+*", Namespace, "+*", PartialWildcard),
        ("topic=Jo*:a:b", Topic, "Jo*:a:b", SeveralColons),
        ("topic=Jo*:", Topic, "Jo*:", PartialWildcard),
        ("topic=:web-*", Topic, ":web-*", EmptyTopic),
        ("topic=Job:%zz", Topic, "Job:%zz", MalformedEscape),
        ("topic=Job:%FF", Topic, "Job:%FF", NotUtf8),
    ] {
        refuses(query, parameter, held, kind);
    }
    for (query, text) in [
        ("index=", r#"index holds "", expected digits"#),
        ("namespace=", r#"namespace holds "", expected a name or *"#),
        ("topic=", r#"topic holds "", expected topic or topic:key"#),
        (
            "topic=Job:web-*",
            r#"topic holds "Job:web-*", expected * by itself: it stands for every name, and a prefix is not supported in a query"#,
        ),
        ("index=1&index=2", r#"index holds "2", expected it at most once"#),
        ("to%pic=1", r#"parameter name holds "to%pic", expected two hexadecimal digits after every percent sign"#),
        ("namespace=\n%", r#"namespace holds "\n%", expected two hexadecimal digits after every percent sign"#),
    ] {
        assert_eq!(Query::parse(query).unwrap_err().to_string(), text);
    }
}

/// A term made by the program is taken literally. Only text from a query may be meant as a pattern.
#[test]
fn a_term_made_in_the_program_takes_a_star_among_other_characters() {
    let term = Term::new("Jo*", "web-*").unwrap();
    assert_eq!((term.topic_name().unwrap().as_str(), term.key_name().unwrap().as_str()), ("Jo*", "web-*"));
    let request: Request<()> = Request::new().namespace("prod-*").term(term);
    assert!(request.scope().is_ok());
}

#[test]
fn the_default_limits_hold_exactly() {
    let padded = |bytes: usize| format!("x={}", "a".repeat(bytes - 2));
    assert!(Query::parse(&padded(65_536)).is_ok());
    let long = Query::parse(&padded(65_537)).unwrap_err();
    assert_eq!(
        (long.parameter(), long.kind()),
        (Parameter::Query, QueryErrorKind::QueryTooLong { bytes: 65_537, limit: 65_536 })
    );
    assert_eq!(long.held().len(), 64);

    let many = |parameter: &str, count: usize| vec![format!("{parameter}=a"); count].join("&");
    assert_eq!(Query::parse(&many("topic", 4096)).unwrap().terms().len(), 4096);
    refuses(&many("topic", 4097), Parameter::Topic, "a", QueryErrorKind::TooManyTerms { limit: 4096 });
    assert_eq!(Query::parse(&many("namespace", 1024)).unwrap().namespaces().len(), 1024);
    refuses(&many("namespace", 1025), Parameter::Namespace, "a", QueryErrorKind::TooManyNamespaces { limit: 1024 });

    let name = "n".repeat(4096);
    let escaped = "%6e".repeat(4096);
    assert!(Query::parse(&format!("topic={name}:{escaped}&namespace={escaped}")).is_ok());
    for query in [format!("topic={name}n"), format!("topic=a:{escaped}n"), format!("namespace=n{escaped}")] {
        let error = Query::parse(&query).unwrap_err();
        assert_eq!(error.kind(), QueryErrorKind::NameTooLong { bytes: 4097, limit: 4096 });
    }
}

#[cfg(not(broker_loom))]
mod against_a_naive_parser {
    use proptest::prelude::*;

    use super::*;

    type Naive = (Option<u64>, Vec<String>, Vec<(String, String)>);

    fn naive_decode(text: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let high = char::from(rest.next()?).to_digit(16)?;
                    let low = char::from(rest.next()?).to_digit(16)?;
                    u8::try_from(high * 16 + low).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).ok()
    }

    /// Parses the same grammar in the plainest way. Returns `None` for whatever is refused.
    fn naive(query: &str) -> Option<Naive> {
        let (mut index, mut namespaces, mut terms) = (None, Vec::new(), Vec::new());
        if query.len() > 48 {
            return None;
        }
        let query = if let Some(rest) = query.strip_prefix('?') { rest } else { query };
        for pair in query.split('&') {
            if pair.is_empty() {
                continue;
            }
            let mut halves = pair.splitn(2, '=');
            let name = naive_decode(halves.next().unwrap())?;
            let value = halves.next().unwrap_or("");
            if name == "index" {
                let value = naive_decode(value)?;
                if index.is_some() || value.is_empty() || value.chars().any(|c| !"0123456789".contains(c)) {
                    return None;
                }
                index = Some(value.parse().ok()?);
            } else if name == "namespace" {
                namespaces.push(naive_decode(value)?);
            } else if name == "topic" {
                let value = naive_decode(value)?;
                let parts: Vec<&str> = value.split(':').collect();
                terms.push(match parts.as_slice() {
                    [topic] => ((*topic).to_owned(), "*".to_owned()),
                    [topic, key] => ((*topic).to_owned(), (*key).to_owned()),
                    _ => return None,
                });
            }
        }
        let names = || namespaces.iter().chain(terms.iter().flat_map(|(topic, key)| [topic, key]));
        let fits = names().all(|name| (1..=6).contains(&name.len())) && namespaces.len() <= 2 && terms.len() <= 3;
        let whole = names().all(|name| name == "*" || !name.contains('*'));
        (fits && whole).then_some((index, namespaces, terms))
    }

    fn parts(query: &Query) -> Naive {
        let star = |name: Option<&str>| name.unwrap_or("*").to_owned();
        let terms = query
            .terms()
            .iter()
            .map(|term| (star(term.topic_name().map(Topic::as_str)), star(term.key_name().map(Key::as_str))))
            .collect();
        (query.index(), query.namespaces().iter().map(Namespace::to_string).collect(), terms)
    }

    const NAMES: &[&str] = &["index", "namespace", "topic", "topic", "top%69c", "other", "%6eamespace", "%", "?", ""];
    const WORDS: &[&str] = &[
        "",
        "=",
        "&",
        ":",
        "*",
        "?",
        "+",
        "%",
        "%2",
        "%3A",
        "%26",
        "%FF",
        "%C3%A9",
        "é",
        "a",
        "Job",
        "Job:web",
        "0",
        "7",
        "-1",
        "18446744073709551616",
        "%31",
    ];

    fn word() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(WORDS)
    }

    fn pair() -> impl Strategy<Value = String> {
        let words = proptest::collection::vec(word(), 0..3).prop_map(|words| words.concat());
        (proptest::sample::select(NAMES), words).prop_map(|(name, value)| format!("{name}={value}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_parser_agrees(first in word(), pairs in proptest::collection::vec(pair(), 0..5)) {
            let query = first.to_owned() + &pairs.join("&");
            let limits = Limits::new().query_bytes(48).terms(3).namespaces(2).name_bytes(6);
            let read = Query::parse_with(&query, &limits);
            prop_assert_eq!(read.as_ref().ok().map(parts), naive(&query), "{:?}: {:?}", query, read);
        }

        #[test]
        fn what_was_read_reads_back(
            index in proptest::option::of(any::<u64>()),
            namespaces in proptest::collection::vec("[^*]+|[*]", 0..4),
            terms in proptest::collection::vec(("[^:*]+|[*]", "[^:*]+|[*]"), 0..4),
        ) {
            let query = Query {
                index,
                namespaces: namespaces.iter().map(|name| Namespace::from(name.as_str())).collect(),
                terms: terms.iter().map(|(topic, key)| Term::new(topic.as_str(), key.as_str()).unwrap()).collect(),
            };
            prop_assert!(query.to_string().is_ascii());
            prop_assert_eq!(query.to_string().parse(), Ok(query));
        }

        #[test]
        fn no_text_makes_it_panic(query in "(?s).*") {
            if let Err(error) = Query::parse(&query) {
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }
}
