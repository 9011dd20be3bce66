//! A naive parser of the query string, byte by byte, as one function that is obviously right (semantics 14). It is slow
//! and copies everything.

use event_broker::nomad::{Parameter, QueryErrorKind};

/// How large a query may be: what the crate's own limits hold, which cannot be asked.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) query: usize,
    pub(super) terms: usize,
    pub(super) namespaces: usize,
    pub(super) name: usize,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    pub(super) index: Option<u64>,
    pub(super) namespaces: Vec<String>,
    pub(super) terms: Vec<(String, String)>,
}

/// The query, or which parameter is wrong, what it held and how it is wrong.
pub(super) fn parse(query: &str, limits: Limits) -> Result<Parsed, (Parameter, String, QueryErrorKind)> {
    let mut parsed = Parsed::default();
    if query.len() > limits.query {
        let kind = QueryErrorKind::QueryTooLong { bytes: query.len(), limit: limits.query };
        return Err((Parameter::Query, query.into(), kind));
    }
    let query = query.strip_prefix('?').unwrap_or(query);
    for pair in query.split('&') {
        if pair.is_empty() {
            continue;
        }
        let equals = pair.find('=').unwrap_or(pair.len());
        let (name, value) = (&pair[..equals], pair.get(equals + 1..).unwrap_or(""));
        let known = decode(name).map_err(|kind| (Parameter::Name, name.into(), kind))?;
        let (parameter, mistake) = match known.as_str() {
            "index" => (Parameter::Index, index(value, &mut parsed).err()),
            "namespace" => (Parameter::Namespace, namespace(value, limits, &mut parsed).err()),
            "topic" => (Parameter::Topic, topic(value, limits, &mut parsed).err()),
            _ => continue,
        };
        if let Some(kind) = mistake {
            return Err((parameter, value.into(), kind));
        }
    }
    Ok(parsed)
}

fn index(value: &str, parsed: &mut Parsed) -> Result<(), QueryErrorKind> {
    if parsed.index.is_some() {
        return Err(QueryErrorKind::Repeated);
    }
    let digits = filled(value)?;
    let mut number: u128 = 0;
    for digit in digits.chars() {
        let digit = "0123456789".find(digit).ok_or(QueryErrorKind::NotDigits)?;
        // Beyond this it is too large already, and only has to be digits.
        number = if number > u128::from(u64::MAX) { number } else { number * 10 + digit as u128 };
    }
    parsed.index = Some(u64::try_from(number).map_err(|_| QueryErrorKind::TooLarge)?);
    Ok(())
}

fn namespace(value: &str, limits: Limits, parsed: &mut Parsed) -> Result<(), QueryErrorKind> {
    if parsed.namespaces.len() == limits.namespaces {
        return Err(QueryErrorKind::TooManyNamespaces { limit: limits.namespaces });
    }
    let name = filled(value)?;
    short(&name, limits)?;
    whole(&name)?;
    parsed.namespaces.push(name);
    Ok(())
}

fn topic(value: &str, limits: Limits, parsed: &mut Parsed) -> Result<(), QueryErrorKind> {
    if parsed.terms.len() == limits.terms {
        return Err(QueryErrorKind::TooManyTerms { limit: limits.terms });
    }
    let term = filled(value)?;
    let sides: Vec<&str> = term.split(':').collect();
    let (topic, key) = match sides[..] {
        [topic] => (topic, "*"),
        [topic, key] => (topic, key),
        _ => return Err(QueryErrorKind::SeveralColons),
    };
    short(topic, limits)?;
    if sides.len() == 2 {
        short(key, limits)?;
    }
    whole(topic)?;
    if topic.is_empty() {
        return Err(QueryErrorKind::EmptyTopic);
    }
    if key.is_empty() {
        return Err(QueryErrorKind::EmptyKey);
    }
    whole(key)?;
    parsed.terms.push((topic.into(), key.into()));
    Ok(())
}

/// `*` alone is the wildcard; within a name it is an error.
fn whole(name: &str) -> Result<(), QueryErrorKind> {
    match name.matches('*').count() {
        0 => Ok(()),
        1 if name.len() == 1 => Ok(()),
        _ => Err(QueryErrorKind::PartialWildcard),
    }
}

fn short(name: &str, limits: Limits) -> Result<(), QueryErrorKind> {
    let (bytes, limit) = (name.len(), limits.name);
    if bytes > limit { Err(QueryErrorKind::NameTooLong { bytes, limit }) } else { Ok(()) }
}

fn filled(value: &str) -> Result<String, QueryErrorKind> {
    let text = decode(value)?;
    if text.is_empty() { Err(QueryErrorKind::Empty) } else { Ok(text) }
}

fn decode(text: &str) -> Result<String, QueryErrorKind> {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
            let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                return Err(QueryErrorKind::MalformedEscape);
            };
            decoded.extend(u8::try_from(high * 16 + low));
            at += 3;
        } else {
            decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
            at += 1;
        }
    }
    String::from_utf8(decoded).map_err(|_| QueryErrorKind::NotUtf8)
}
