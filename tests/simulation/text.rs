//! Scripts as text, one step a line: what a failing run prints, and what is kept in `scripts/`.
//!
//! An event is `topic/type/key@namespace+filter+key*weight`, where all but the first three may be missing. A list is
//! joined by commas; `-` is an empty one. Lines that begin with `#` are comments. `parse` reads the form.

use std::fmt::{self, Display, Write as _};

use crate::script::{Dispatch, Fault, Script, Step, Way};
use crate::support::op::{Change, Config, EventSpec, Origin, RequestSpec, Rule, StartSpec};

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
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

impl Display for Shown<'_, RequestSpec> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestSpec { start, terms, filler, namespaces, types, refuses, principal, continues, bell: _ } = self.0;
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
        f.write_str(if *continues { " goes-on" } else { "" })
    }
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

impl Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Shown(&self.config))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
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
