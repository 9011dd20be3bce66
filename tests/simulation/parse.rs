//! Parses scripts; `text` describes the form and writes it.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Mutex;

use crate::script::{Dispatch, Fault, Script, Step, Way};
use crate::support::op::{Change, Config, EventSpec, Origin, RequestSpec, Rule, StartSpec};

/// The names of a script live as long as the program: the naive broker takes literals.
fn name(text: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap();
    if let Some(known) = names.get(text) {
        return known;
    }
    let new: &'static str = Box::leak(text.to_owned().into_boxed_str());
    names.insert(new);
    new
}

fn names(text: &str) -> Vec<&'static str> {
    if text == "-" { Vec::new() } else { text.split(',').map(name).collect() }
}

/// The words of a line, one after another.
struct Words<'t>(std::str::SplitWhitespace<'t>);

impl<'t> Words<'t> {
    fn next(&mut self) -> Result<&'t str, String> {
        self.0.next().ok_or_else(|| "the line ends early".to_owned())
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        number(self.next()?)
    }

    /// The rest, as `key=value` or as a single word, which has no value.
    fn rest(&mut self) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.0.by_ref().map(|word| word.split_once('=').unwrap_or((word, "")))
    }

    /// The rest as events, and the words that are none.
    fn events(&mut self) -> Result<(Vec<EventSpec>, Vec<&'t str>), String> {
        let (events, others): (Vec<_>, Vec<_>) = self.0.by_ref().partition(|word| word.contains('/'));
        Ok((events.into_iter().map(event).collect::<Result<_, _>>()?, others))
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number that fits here"))
}

fn unknown<T>(what: &str) -> Result<T, String> {
    Err(format!("{what} is not known here"))
}

fn event(text: &str) -> Result<EventSpec, String> {
    let (rest, weight) = text.split_once('*').map_or((text, Ok(1)), |(rest, weight)| (rest, number(weight)));
    let mut keys = rest.split('+');
    let (rest, namespace) = keys.next().map_or(("", ""), |rest| rest.split_once('@').unwrap_or((rest, "")));
    let parts: Vec<_> = rest.split('/').collect();
    let [topic, kind, key] = parts[..] else { return Err(format!("{text} is no event")) };
    let filter_keys = keys.map(name).collect();
    let (topic, kind, key, namespace) = (name(topic), name(kind), name(key), name(namespace));
    Ok(EventSpec { topic, kind, key, namespace, filter_keys, weight: weight? })
}

fn change(text: &str) -> Result<Change, String> {
    let (kind, id) = text.split_once(':').unwrap_or((text, ""));
    Ok(match kind {
        "deleted" => Change::TokenDeleted(name(id)),
        "token" => Change::Token(name(id)),
        "policy" => Change::Policy(name(id)),
        "role" => Change::Role(name(id)),
        "everyone" => Change::Everyone,
        other => return unknown(other),
    })
}

fn way(text: &str) -> Result<Way, String> {
    let (kind, take) = text.split_once(':').unwrap_or((text, "0"));
    Ok(match kind {
        "try" => Way::Try,
        "deadline" => Way::Deadline,
        "poll" => Way::Poll,
        "inline" => Way::Inline,
        "async" => Way::Async,
        "stream" => Way::Stream,
        "window" => Way::Window(number(take)?),
        "bell" => Way::Bell,
        "bell-window" => Way::BellWindow(number(take)?),
        "frame-stream" => Way::FrameStream,
        "frames" => Way::Frames,
        other => return unknown(other),
    })
}

fn start(text: &str) -> Result<StartSpec, String> {
    let (kind, step) = text.split_once(':').unwrap_or((text, "0"));
    Ok(match kind {
        "oldest" => StartSpec::Oldest,
        "latest" => StartSpec::Latest,
        "index" => StartSpec::Index(number(step)?),
        "near-oldest" => StartSpec::NearOldest(number(step)?),
        "exactly" => StartSpec::Exactly(number(step)?),
        "after" => StartSpec::After(number(step)?),
        other => return unknown(other),
    })
}

fn request(words: &mut Words<'_>) -> Result<RequestSpec, String> {
    let mut request = RequestSpec {
        start: StartSpec::Oldest,
        terms: Vec::new(),
        filler: 0,
        namespaces: Vec::new(),
        types: Vec::new(),
        refuses: None,
        principal: "anonymous",
        continues: false,
        bell: false,
    };
    for (key, value) in words.rest() {
        match key {
            "start" => request.start = start(value)?,
            "terms" => {
                let term = |term: &&'static str| term.split_once(':').ok_or_else(|| format!("{term} is no term"));
                request.terms = names(value).iter().map(term).collect::<Result<_, _>>()?;
            }
            "ns" => request.namespaces = names(value),
            "as" => request.principal = name(value),
            "types" => request.types = names(value),
            "filler" => request.filler = number(value)?,
            "refuses" => request.refuses = Some(number(value)?),
            "goes-on" => request.continues = true,
            other => return unknown(other),
        }
    }
    Ok(request)
}

fn rule(words: &mut Words<'_>) -> Result<(Rule, Option<Change>), String> {
    let allowed = words.next()? == "allow";
    let mut rule =
        Rule { allowed, namespaces: None, ttl: None, token: None, policy: None, role: None, ..Rule::default() };
    let mut announced = None;
    for (key, value) in words.rest() {
        match key {
            "ns" => rule.namespaces = Some(names(value)),
            "ttl" => rule.ttl = Some(number(value)?),
            "forbid" => rule.forbidden_key = Some(name(value)),
            "token" => rule.token = Some(name(value)),
            "policy" => rule.policy = Some(name(value)),
            "role" => rule.role = Some(name(value)),
            "unchecked" => rule.checks_events = false,
            "announce" => announced = Some(change(value)?),
            other => return unknown(other),
        }
    }
    Ok((rule, announced))
}

fn config(words: &mut Words<'_>) -> Result<Config, String> {
    let (origin, rising, guarded, observed) = (Origin::Whole, false, false, false);
    let mut config = Config { max_batches: 100, max_events: None, max_bytes: None, origin, rising, guarded, observed };
    for (key, value) in words.rest() {
        match key {
            "batches" => config.max_batches = number(value)?,
            "events" => config.max_events = Some(number(value)?),
            "bytes" => config.max_bytes = Some(number(value)?),
            "above" => config.origin = Origin::Above(number(value)?),
            "after" => {
                let (index, count) = value.split_once(':').ok_or("a place is an index and a count")?;
                config.origin = Origin::After(number(index)?, number(count)?);
            }
            "rising" => config.rising = true,
            "guarded" => config.guarded = true,
            "observed" => config.observed = true,
            other => return unknown(other),
        }
    }
    Ok(config)
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let mut first = Words(lines.next().ok_or("a script begins with its configuration")?.split_whitespace());
        if first.next()? != "config" {
            return Err("a script begins with its configuration".to_owned());
        }
        let steps = lines.map(|line| line.parse().map_err(|error| format!("{line}: {error}")));
        Ok(Self { config: config(&mut first)?, steps: steps.collect::<Result<_, _>>()? })
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = Words(line.split_whitespace());
        let verb = words.next()?;
        let bomb = |words: &mut Words<'_>| words.rest().any(|(word, _)| word == "bomb");
        Ok(match verb {
            "publish" => {
                let step = words.number()?;
                let (events, others) = words.events()?;
                let (mut back, mut carried, mut bomb) = (0, None, false);
                for word in others {
                    match word.split_once('=').unwrap_or((word, "")) {
                        ("back", value) => back = number(value)?,
                        ("change", value) => carried = Some(change(value)?),
                        ("bomb", _) => bomb = true,
                        (other, _) => return unknown(other),
                    }
                }
                Self::Publish { step, back, events, change: carried, bomb }
            }
            "burst" => Self::Burst { batches: words.number()?, event: event(words.next()?)? },
            "large" => Self::Large { events: words.number()?, event: event(words.next()?)? },
            "collect" => Self::Collect { pen: words.number()?, events: words.events()?.0 },
            "commit" => Self::Commit { pen: words.number()?, step: words.number()? },
            "abandon" => Self::Abandon { pen: words.number()? },
            "subscribe" => {
                Self::Subscribe { slot: words.number()?, way: way(words.next()?)?, request: request(&mut words)? }
            }
            "resume" => Self::Resume { slot: words.number()?, way: way(words.next()?)? },
            "run" => Self::Run { slot: words.number()?, turns: words.number()? },
            "poke" => Self::Poke { slot: words.number()? },
            "forget" => Self::Forget { slot: words.number()? },
            "drop" => Self::Drop { slot: words.number()? },
            "cancel" => Self::Cancel { slot: words.number()? },
            "across" => Self::Across {
                slot: words.number()?,
                take: words.number()?,
                batches: words.number()?,
                event: event(words.next()?)?,
            },
            "rule" => {
                let principal = name(words.next()?);
                let (rule, announced) = rule(&mut words)?;
                Self::Rule { principal, rule, announced }
            }
            "change" => Self::Change { change: change(words.next()?)? },
            "advance" => Self::Advance { millis: words.number()? },
            "tick" => Self::Tick,
            "reset" => Self::Reset { step: words.number()?, bomb: bomb(&mut words) },
            "skip" => Self::Skip { step: words.number()?, count: words.number()?, bomb: bomb(&mut words) },
            "dispatch" => {
                let what = match words.next()? {
                    "start" => Dispatch::Start,
                    "step" => Dispatch::Step,
                    "end" => Dispatch::End,
                    other => return unknown(other),
                };
                Self::Dispatch { what, bomb: bomb(&mut words) }
            }
            "arm" => {
                let (kind, slot) = words.next().map(|word| word.split_once(':').unwrap_or((word, "0")))?;
                let slot = number(slot)?;
                let fault = match kind {
                    "predicate" => Fault::Predicate { slot },
                    "waker" => Fault::Waker { slot },
                    "authorize" => Fault::Authorize,
                    "permits" => Fault::Permits,
                    "changes" => Fault::Changes,
                    "weigher" => Fault::Weigher,
                    "observer" => Fault::Observer,
                    other => return unknown(other),
                };
                Self::Arm { fault, times: words.number()? }
            }
            "heal" => Self::Heal,
            "close" => Self::Close,
            other => return unknown(other),
        })
    }
}
