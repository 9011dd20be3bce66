//! The `scheduler` example as a program: its main job, and one stream with every exit status.
//!
//! Cargo builds the examples with all tests; for this binary alone, build them first.
#![cfg(all(feature = "json", feature = "stream", not(broker_loom)))]
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "common/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use program::{example, stderr_of};

use event_broker::nomad::topic;
use event_broker::{Batch, Decoder, Event, Incoming};
use serde_json::Value;

fn scheduler(arguments: &[&str]) -> Output {
    example("scheduler").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The batches of a stream that begins with its one heartbeat and has nothing else in it.
#[track_caller]
fn batches(arguments: &[&str]) -> Vec<Batch<Value>> {
    let output = scheduler(arguments);
    assert_eq!((output.status.code(), stderr_of(&output).as_str()), (Some(0), ""));
    assert_eq!(output.stdout.last(), Some(&b'\n'));
    let (mut decoder, mut input) = (Decoder::<Value>::new(), output.stdout.as_slice());
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut input) {
        frames.push(frame.unwrap());
    }
    assert_eq!(decoder.finish(), None);
    assert_eq!(frames.first(), Some(&Incoming::Heartbeat));
    frames
        .into_iter()
        .skip(1)
        .map(|frame| match frame {
            Incoming::Batch { batch, token: None } => batch,
            other => panic!("unexpected {other:?}"),
        })
        .collect()
}

fn events(batches: &[Batch<Value>]) -> impl Iterator<Item = &Event<Value>> {
    batches.iter().flat_map(Batch::events)
}

#[test]
fn the_main_job_passes_its_own_checks_in_time() {
    let begun = Instant::now();
    let output = scheduler(&[]);
    assert_eq!((output.status.code(), stderr_of(&output).as_str()), (Some(0), ""));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let text = String::from_utf8(output.stdout).unwrap();
    for column in ["reader", "asked for", "start", "batches", "events", "lost", "ended because"] {
        assert!(text.lines().next().unwrap().contains(column), "{column}:\n{text}");
    }
    for end in ["the broker is closed", "access expired", "access revoked: "] {
        assert!(text.contains(end), "{end}:\n{text}");
    }
    let passed = text.lines().last().and_then(|line| line.strip_prefix("checks: ")?.strip_suffix(" passed"));
    assert!(passed.unwrap().parse::<u32>().unwrap() > 100, "{text}");
}

#[test]
fn a_stream_of_everything_is_whole_and_as_the_page_says() {
    let all = batches(&["--query", "namespace=*", "--commits", "600"]);
    assert!(all.windows(2).all(|pair| matches!(pair, [a, b] if a.index() < b.index())), "indexes rise");
    assert!(all.iter().any(|batch| batch.events().len() > 3), "a commit of several events is one batch");
    let topics: BTreeSet<&str> = events(&all).map(|event| event.topic().as_str()).collect();
    let expected: BTreeSet<&str> =
        topic::ALL.iter().filter(|topic| **topic != topic::ACL_ROLES).map(event_broker::Topic::as_str).collect();
    assert_eq!(topics, expected);
    for event in events(&all) {
        let members: Vec<_> = event.payload().as_object().unwrap().iter().collect();
        let [(name, object)] = members[..] else { panic!("{event:?}") };
        assert_eq!(Some(name.as_str()), topic::payload_member(event.topic()));
        let modified = object.get("ModifyIndex").and_then(Value::as_u64);
        assert_eq!(modified, Some(event.index()), "the row is as the commit wrote it");
        assert!(!event.payload().to_string().contains("secret"), "{event:?}");
    }
}

#[test]
fn what_a_query_selects_is_what_all_holds_of_it() {
    let all = batches(&["--query", "namespace=*"]);
    let web = batches(&["--query", "topic=Job:web&namespace=default", "--rights", "namespace:default:read-job"]);
    assert!(web.len() >= 3, "{}", web.len());
    let is_web = |event: &&Event<Value>| {
        (event.topic().as_str(), event.key().as_str(), event.namespace().as_str()) == ("Job", "web", "default")
    };
    assert!(events(&all).filter(is_web).eq(events(&web)));

    // By filter keys, and from an index that is in the future when the stream is opened.
    let late = batches(&["--query", "index=200&topic=Allocation:redis&namespace=prod", "--commits=300"]);
    assert!(!late.is_empty());
    for event in events(&late) {
        assert!(event.index() >= 200 && event.namespace() == "prod", "{event:?}");
        assert!(event.key() != "redis" && event.filter_keys().iter().any(|key| key == "redis"), "{event:?}");
    }
    let nodes = batches(&["--query", "topic=Node", "--rights", "node:read", "--commits", "300"]);
    assert!(!nodes.is_empty() && events(&nodes).all(|event| event.namespace().is_empty()));
    assert_eq!(batches(&["--query", "topic=Job:nothing"]).len(), 0);
    assert_eq!(batches(&["--query=", "--commits=0"]).len(), 0);
}

#[test]
fn every_run_is_the_same() {
    let run = || scheduler(&["--query", "namespace=*", "--commits", "300"]).stdout;
    assert!(run() == run());
}

#[test]
fn a_denied_reader_sees_nothing() {
    for (rights, query, needed) in [
        ("anonymous", "topic=Job:web&namespace=default", "namespace:read-job"),
        ("anonymous", "", "management"),
        ("node:read", "topic=Node&topic=Job", "namespace:read-job"),
        ("namespace:prod:read-job", "topic=Job", "namespace:read-job"),
        ("namespace:prod:read-job,node:read", "topic=NodePool&namespace=prod", "management"),
        ("namespace:prod:read-job", "topic=Job&namespace=*", "namespace *"),
    ] {
        let output = scheduler(&["--query", query, "--rights", rights]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{rights} {query}");
        let said = stderr_of(&output);
        assert!(said.contains("access denied: ") && said.contains(needed), "{said}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (arguments, expected) in [
        (&["--query", "index=-1"][..], "--query: index holds \"-1\", expected digits"),
        (&["--query", "topic=Job:a:b"], "expected at most one colon"),
        (&["--query", "namespace="], "--query: namespace holds"),
        (&["--query", "", "--rights", "root"], "--rights: unknown right \"root\""),
        (&["--query", "", "--rights", ""], "--rights"),
        (&["--query", "", "--commits", "many"], "--commits"),
        (&["--query", "", "--commits", "-1"], "--commits"),
        (&["--query"], "--query"),
        (&["--rights", "management"], "need --query"),
        (&["--commits", "7"], "need --query"),
        (&["--verbose"], "--verbose"),
        (&["topic=Job"], "topic=Job"),
    ] {
        let output = scheduler(arguments);
        let said = stderr_of(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {said}");
        assert!(said.contains(expected) && said.contains("--help"), "{arguments:?}: {said}");
    }
}

#[test]
fn help_is_no_error() {
    let output = scheduler(&["--help"]);
    assert_eq!((output.status.code(), stderr_of(&output).as_str()), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    for option in ["--query", "--rights", "--commits", "Exit status"] {
        assert!(text.contains(option), "{option}");
    }
}

#[test]
fn a_closed_stdout_ends_it_quietly() {
    let mut command = example("scheduler");
    // More than the pipe holds: it ends because the reader closes it.
    command.args(["--query", "namespace=*", "--commits", "18446744073709551615"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut opening = [0; 3];
    child.stdout.take().unwrap().read_exact(&mut opening).unwrap();
    assert_eq!(&opening, b"{}\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr_of(&output).as_str()), (Some(0), ""));
}
