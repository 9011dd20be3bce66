//! Scripts as text, one step a line: what a failing run prints, and what is kept in `scripts/`.
//! What a step means is not decided here.
//!
//! An event is `topic/type/key@namespace+filter+key*weight`, where all but the first three may be missing. A list is
//! joined by commas; `-` is an empty one. Lines that begin with `#` are comments.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write as _};
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

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
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

struct Shown<'a, T>(&'a T);

impl Display for Shown<'_, EventSpec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventSpec { topic, kind, key, namespace, filter_keys, weight } = self.0;
        write!(f, "{topic}/{kind}/{key}")?;
        if !namespace.is_empty() {
            write!(f, "@{namespace}")?;
        }
        filter_keys.iter().try_for_each(|key| write!(f, "+{key}"))?;
        if *weight != 1 {
            write!(f, "*{weight}")?;
        }
        Ok(())
    }
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

impl Display for Shown<'_, Change> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Change::TokenDeleted(id) => write!(f, "deleted:{id}"),
            Change::Token(id) => write!(f, "token:{id}"),
            Change::Policy(id) => write!(f, "policy:{id}"),
            Change::Role(id) => write!(f, "role:{id}"),
            Change::Everyone => f.write_str("everyone"),
        }
    }
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

impl Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Try => f.write_str("try"),
            Self::Deadline => f.write_str("deadline"),
            Self::Poll => f.write_str("poll"),
            Self::Inline => f.write_str("inline"),
            Self::Async => f.write_str("async"),
            Self::Stream => f.write_str("stream"),
            Self::Window(take) => write!(f, "window:{take}"),
            Self::Bell => f.write_str("bell"),
            Self::BellWindow(take) => write!(f, "bell-window:{take}"),
            Self::FrameStream => f.write_str("frame-stream"),
            Self::Frames => f.write_str("frames"),
        }
    }
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

impl Display for Shown<'_, StartSpec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StartSpec::Oldest => f.write_str("oldest"),
            StartSpec::Latest => f.write_str("latest"),
            StartSpec::Index(step) => write!(f, "index:{step}"),
            StartSpec::NearOldest(step) => write!(f, "near-oldest:{step}"),
            StartSpec::Exactly(step) => write!(f, "exactly:{step}"),
            StartSpec::After(back) => write!(f, "after:{back}"),
        }
    }
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

impl Display for Shown<'_, RequestSpec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestSpec { start, terms, filler, namespaces, types, refuses, principal, goes_on, bell: _ } = self.0;
        let terms = list(terms.iter().map(|(topic, key)| format!("{topic}:{key}")));
        write!(f, "start={} terms={terms} ns={} as={principal}", Shown(start), list(namespaces))?;
        if !types.is_empty() {
            write!(f, " types={}", list(types))?;
        }
        if *filler > 0 {
            write!(f, " filler={filler}")?;
        }
        if let Some(rest) = refuses {
            write!(f, " refuses={rest}")?;
        }
        f.write_str(if *goes_on { " goes-on" } else { "" })
    }
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
        goes_on: false,
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
            "goes-on" => request.goes_on = true,
            other => return unknown(other),
        }
    }
    Ok(request)
}

impl Display for Shown<'_, Rule> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { allowed, namespaces, ttl, forbidden_key, checks_events, token, policy, role } = self.0;
        f.write_str(if *allowed { "allow" } else { "deny" })?;
        if let Some(names) = namespaces {
            write!(f, " ns={}", list(names))?;
        }
        if let Some(ttl) = ttl {
            write!(f, " ttl={ttl}")?;
        }
        for (key, value) in [("forbid", forbidden_key), ("token", token), ("policy", policy), ("role", role)] {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        f.write_str(if *checks_events { "" } else { " unchecked" })
    }
}

fn rule(words: &mut Words<'_>) -> Result<(Rule, Option<Change>), String> {
    let allowed = words.next()? == "allow";
    let (namespaces, ttl, forbidden_key, token, policy, role) = (None, None, None, None, None, None);
    let mut rule = Rule { allowed, namespaces, ttl, forbidden_key, checks_events: true, token, policy, role };
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

impl Display for Shown<'_, Config> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { max_batches, max_events, max_bytes, origin, rising, guarded, observed } = self.0;
        write!(f, "config batches={max_batches}")?;
        for (key, value) in [("events", max_events), ("bytes", max_bytes)] {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        match origin {
            Origin::Whole => {}
            Origin::Above(index) => write!(f, " above={index}")?,
            Origin::After(index, count) => write!(f, " after={index}:{count}")?,
        }
        for (word, set) in [("rising", rising), ("guarded", guarded), ("observed", observed)] {
            f.write_str(if *set { " " } else { "" })?;
            f.write_str(if *set { word } else { "" })?;
        }
        Ok(())
    }
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

impl Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Shown(&self.config))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
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

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = |events: &[EventSpec]| {
            events.iter().fold(String::new(), |mut all, event| {
                let _ = write!(all, " {}", Shown(event));
                all
            })
        };
        let bombed = |bomb: bool| if bomb { " bomb" } else { "" };
        match self {
            Self::Publish { step, back, events: all, change, bomb } => {
                write!(f, "publish {step}{}", events(all))?;
                if *back > 0 {
                    write!(f, " back={back}")?;
                }
                if let Some(change) = change {
                    write!(f, " change={}", Shown(change))?;
                }
                f.write_str(bombed(*bomb))
            }
            Self::Burst { batches, event } => write!(f, "burst {batches} {}", Shown(event)),
            Self::Large { events, event } => write!(f, "large {events} {}", Shown(event)),
            Self::Collect { pen, events: all } => write!(f, "collect {pen}{}", events(all)),
            Self::Commit { pen, step } => write!(f, "commit {pen} {step}"),
            Self::Abandon { pen } => write!(f, "abandon {pen}"),
            Self::Subscribe { slot, way, request } => write!(f, "subscribe {slot} {way} {}", Shown(request)),
            Self::Resume { slot, way } => write!(f, "resume {slot} {way}"),
            Self::Run { slot, turns } => write!(f, "run {slot} {turns}"),
            Self::Poke { slot } => write!(f, "poke {slot}"),
            Self::Forget { slot } => write!(f, "forget {slot}"),
            Self::Drop { slot } => write!(f, "drop {slot}"),
            Self::Cancel { slot } => write!(f, "cancel {slot}"),
            Self::Across { slot, take, batches, event } => {
                write!(f, "across {slot} {take} {batches} {}", Shown(event))
            }
            Self::Rule { principal, rule, announced } => {
                write!(f, "rule {principal} {}", Shown(rule))?;
                announced.as_ref().map_or(Ok(()), |change| write!(f, " announce={}", Shown(change)))
            }
            Self::Change { change } => write!(f, "change {}", Shown(change)),
            Self::Advance { millis } => write!(f, "advance {millis}"),
            Self::Tick => f.write_str("tick"),
            Self::Reset { step, bomb } => write!(f, "reset {step}{}", bombed(*bomb)),
            Self::Skip { step, count, bomb } => write!(f, "skip {step} {count}{}", bombed(*bomb)),
            Self::Dispatch { what, bomb } => {
                let what = match what {
                    Dispatch::Start => "start",
                    Dispatch::Step => "step",
                    Dispatch::End => "end",
                };
                write!(f, "dispatch {what}{}", bombed(*bomb))
            }
            Self::Arm { fault, times } => match fault {
                Fault::Predicate { slot } => write!(f, "arm predicate:{slot} {times}"),
                Fault::Waker { slot } => write!(f, "arm waker:{slot} {times}"),
                Fault::Authorize => write!(f, "arm authorize {times}"),
                Fault::Permits => write!(f, "arm permits {times}"),
                Fault::Changes => write!(f, "arm changes {times}"),
                Fault::Weigher => write!(f, "arm weigher {times}"),
                Fault::Observer => write!(f, "arm observer {times}"),
            },
            Self::Heal => f.write_str("heal"),
            Self::Close => f.write_str("close"),
        }
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
