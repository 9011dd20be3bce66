//! Any text as a query string (G11): parsing never panics, agrees with the naive parser, and reads back what is
//! written.

mod naive;

use event_broker::nomad::{Limits, Query};
use event_broker::{Key, Request, Start, Topic};

/// What the crate allows if nothing is set.
const DEFAULT: naive::Limits = naive::Limits { query: 64 * 1024, terms: 4096, namespaces: 1024, name: 4 * 1024 };
/// So little that short inputs reach every limit.
const TIGHT: naive::Limits = naive::Limits { query: 80, terms: 3, namespaces: 2, name: 7 };

/// Reads these bytes as a query, within two sets of limits.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    compare(&text, DEFAULT);
    compare(&text, TIGHT);
    assert_eq!(Query::parse(&text), text.parse());
}

fn compare(text: &str, limits: naive::Limits) {
    match (Query::parse_with(text, &real(limits)), naive::parse(text, limits)) {
        (Ok(query), Ok(expected)) => {
            assert_eq!(visible(&query), expected);
            reads_back(query);
        }
        (Err(error), Err((parameter, held, kind))) => {
            let held: String = held.chars().take(64).collect();
            assert_eq!((error.parameter(), error.held(), error.kind()), (parameter, held.as_str(), kind));
            let message = error.to_string();
            assert!(!message.contains(char::is_control), "{message:?} is fit for a log");
        }
        (actual, expected) => panic!("read as {actual:?}, expected {expected:?}"),
    }
}

fn real(limits: naive::Limits) -> Limits {
    let naive::Limits { query, terms, namespaces, name } = limits;
    Limits::new().query_bytes(query).terms(terms).namespaces(namespaces).name_bytes(name)
}

/// What a query says of itself.
fn visible(query: &Query) -> naive::Parsed {
    naive::Parsed {
        index: query.index(),
        namespaces: query.namespaces().iter().map(ToString::to_string).collect(),
        terms: query
            .terms()
            .iter()
            .map(|term| {
                let topic = term.topic_name().map_or("*", Topic::as_str);
                let key = term.key_name().map_or("*", Key::as_str);
                (topic.into(), key.into())
            })
            .collect(),
    }
}

/// The text form is a query, and the request is one that a broker takes.
fn reads_back(query: Query) {
    let text = query.to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?} is valid in a URL");
    // Escapes make it longer than what was sent.
    let limits = Limits::new().query_bytes(usize::MAX);
    assert_eq!(Query::parse_with(&text, &limits).as_ref(), Ok(&query), "by way of {text:?}");
    let begins = query.index().filter(|index| *index > 0).map_or(Start::Oldest, Start::Index);
    let request: Request<()> = query.into_request();
    assert_eq!(request.requested_start(), begins);
    assert!(request.scope().is_ok());
}
