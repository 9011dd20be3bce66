//! Golden files: made, compared, normalised, missing, refused, and rewritten by the environment.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use event_broker::testing::{Golden, Recorder, sample};
use event_broker::{Batch, Broker, Event, Frame, FrameOptions, FrameReader, Request, golden};
use serde_json::{Value, json};

use crate::failing::{alone, fails, is_alone};

/// A path in a folder of this test, which is emptied first.
fn path_of(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kit").join(test);
    _ = fs::remove_dir_all(&folder);
    folder.join("deep/frames.ndjson")
}

fn text_of(batches: &[Batch<Value>]) -> String {
    batches.iter().map(|batch| Frame::encode(batch).unwrap().as_str().to_owned()).collect()
}

fn job(index: u64, payload: Value) -> Batch<Value> {
    Batch::new(index, vec![Event::new("Job", "JobRegistered", "web", payload).with_namespace("prod")])
}

/// Three batches, the last two under one index.
fn batches() -> Vec<Batch<Value>> {
    let allocation = sample::allocation("a1").of_job("web").on_node("ccc4").event();
    vec![
        Batch::new(7, vec![sample::node("ccc4").event(), sample::job("web").event()]),
        Batch::new(9, vec![allocation]),
        job(9, json!({"Version": 3})),
    ]
}

fn publish(broker: &Broker<Value>) {
    for batch in batches() {
        broker.publish(batch.index(), batch).unwrap();
    }
}

#[test]
fn what_is_written_is_what_a_server_sends_and_a_reader_accepts() {
    let (path, batches) = (path_of("written"), batches());
    Golden::file(&path).rewrite(true).assert(&batches);
    let written = fs::read(&path).unwrap();
    assert_eq!(written, text_of(&batches).into_bytes());
    let read: Vec<_> = FrameReader::<_, Value>::new(&written[..]).map(|frame| frame.unwrap().into_batch()).collect();
    assert_eq!(read, batches.iter().cloned().map(Some).collect::<Vec<_>>());
    Golden::file(&path).assert(&batches);
}

/// A recorder, deliveries, frames, and bytes that were sent are one and the same.
#[test]
fn all_that_is_published_or_sent_can_be_compared() {
    let path = path_of("sources");
    Golden::file(&path).rewrite(true).assert(&batches());
    let broker = Broker::<Value>::new();
    let recorder = Recorder::of(&broker);
    let open = || broker.subscribe(Request::new().namespace("*")).unwrap();
    let (frames, written, windows) = (open(), open(), open());
    publish(&broker);
    drop(broker);

    let golden = Golden::file(&path);
    golden.assert(&recorder.recorded());
    golden.assert(&recorder.recorded()[..]);
    golden.assert(&recorder);
    assert!(recorder.is_empty(), "it is taken from, as by every assertion");
    let options = FrameOptions::new();
    golden.assert(&frames.into_frames(options).collect::<Result<Vec<_>, _>>().unwrap());
    let mut sent = Vec::new();
    written.into_frames(options).write_to(&mut sent).unwrap();
    golden.assert(&sent);
    golden.assert(std::str::from_utf8(&sent).unwrap());
    Golden::file(&path).heartbeats(true).rewrite(true).assert(b"{}\n{\"Index\":7}\n");
    assert_eq!(fs::read(&path).unwrap(), b"{}\n{\"Index\":7}\n");
    golden.rewrite(true).assert(&sent);
    let golden = Golden::file(&path);
    let mut windows = windows;
    let borrowed: Vec<_> = windows.drain().unwrap().iter().map(|delivery| delivery.to_delivery()).collect();
    golden.assert(&borrowed);
}

#[test]
fn a_missing_file_says_how_to_make_it() {
    let path = path_of("missing");
    let golden = Golden::file(&path);
    let message = fails!(golden.assert(&job(7, json!(1))));
    assert_eq!(
        message,
        format!(
            "{} does not exist; EVENT_BROKER_GOLDEN=write makes it of what was found:\n+ 7 Job/JobRegistered prod:web",
            path.display()
        )
    );
    assert!(!path.exists());
}

/// What a reader refuses, in the file, in what was found, and after normalising, with the number of the line.
#[test]
fn what_a_reader_refuses_is_refused() {
    let path = path_of("refused");
    let shown = path.display().to_string();
    let golden = Golden::file(&path);
    let good = job(7, json!(1));
    golden_text(&path, &format!("{}\n\nwhat?\n", text_of(slice::from_ref(&good))));
    let message = fails!(golden.assert(&good));
    assert_eq!(message, format!("{shown} is no stream of frames: line 4, column 1: malformed JSON: expected value"));
    golden_text(&path, r#"{"Topic":"Job","Type":"JobRegistered","Key":"web","Index":7}"#);
    assert!(fails!(golden.assert(&good)).contains("line 1: an event by itself, expected a frame"));
    golden_text(&path, r#"{"Index":7,"Events":[{"Topic":"Job","Type":"#);
    assert!(fails!(golden.assert(&good)).contains("line 1"), "a file that breaks off");

    golden_text(&path, &text_of(slice::from_ref(&good)));
    let torn = format!("{{}}\n{}", text_of(slice::from_ref(&good)).trim_end_matches(['}', '\n']));
    let message = fails!(golden.assert(&torn));
    assert!(message.starts_with("what was found is no stream of frames: line 2, column "), "{message}");

    let broken = Golden::file(&path).normalize(|frame| frame["Index"] = "seven".into());
    let message = fails!(broken.assert(&format!("{{}}\n{}", text_of(&[good]))));
    assert!(message.starts_with("what was found, normalised, is refused: line 2, column "), "{message}");
    assert!(message.contains("field Index: "), "{message}");
}

fn golden_text(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_file_that_is_refused_can_be_rewritten() {
    let path = path_of("rewritten");
    golden_text(&path, "what?\n");
    Golden::file(&path).rewrite(true).assert(&batches());
    Golden::file(&path).assert(&batches());
}

/// A payload that is no JSON is told with its event.
#[test]
fn a_payload_that_cannot_be_encoded_is_told() {
    let batch = Batch::new(7, vec![Event::new("Job", "JobRegistered", "web", HashMap::from([((1, 2), 3)]))]);
    let golden = Golden::file(path_of("unencodable")).rewrite(true);
    let message = fails!(golden.assert(&batch));
    assert_eq!(message, "event Job:web of index 7 cannot be encoded: key must be a string");
}

#[test]
fn events_that_are_missing_or_differ_are_a_difference_of_outlines() {
    let path = path_of("outlines");
    Golden::file(&path).rewrite(true).assert(&batches());
    let golden = Golden::file(&path);
    let mut found = batches();
    found.remove(1);
    found.push(job(10, json!(1)));
    let message = fails!(golden.assert(&found));
    assert_eq!(
        message,
        format!(
            "{} differs from what was found.\n\
             from line 2 of the file on (- expected, + found):\n  \
             7 Node/NodeRegistration ccc4\n  \
             7 Job/JobRegistered default:web\n\
             - 9 Allocation/AllocationCreated default:a1 [web]\n\
             - 9#2 Job/JobRegistered prod:web\n\
             + 9 Job/JobRegistered prod:web\n\
             + 10 Job/JobRegistered prod:web\n\
             EVENT_BROKER_GOLDEN=write accepts what was found",
            path.display()
        )
    );
    let mut found = batches();
    found.push(job(10, json!(1)));
    let message = fails!(golden.assert(&found));
    assert!(message.contains("\nafter the last line of the file (- expected, + found):\n"), "{message}");
    assert!(message.contains("\n+ 10 Job/JobRegistered prod:web\n"), "{message}");
}

/// The events of one batch in two frames are not the same, although they are the same events.
#[test]
fn where_a_frame_begins_is_compared() {
    let path = path_of("frames");
    let (one, other) = (sample::job("a").event(), sample::job("b").event());
    Golden::file(&path).rewrite(true).assert(&Batch::new(7, vec![one.clone(), other.clone()]));
    let golden = Golden::file(&path);
    let message = fails!(golden.assert(&[Batch::new(7, vec![one]), Batch::new(7, vec![other])]));
    assert!(message.contains("\n- 7 Job/JobRegistered default:b\n+ 7#2 Job/JobRegistered default:b\n"), "{message}");
}

#[test]
fn values_that_differ_are_told_with_line_event_and_pointer() {
    let path = path_of("values");
    let line = "line 2, `9 Job/JobRegistered prod:web` differs at /Events/0/Payload";
    let long = "x".repeat(5000);
    let with = |payload: Value| vec![job(7, json!(0)), job(9, payload)];
    for (expected, found, told) in [
        (json!({"V": {"a/b": 3}}), json!({"V": {"a/b": 4}}), format!("{line}/V/a~1b (- expected, + found):\n- 3\n+ 4")),
        (json!({"V": 3}), json!({"W": null}), {
            let first = format!("{line}/V (- expected, + found):\n- 3\n+ (absent)");
            format!("{first}\n{line}/W (- expected, + found):\n- (absent)\n+ null")
        }),
        (json!([1, 2]), json!([1]), format!("{line}/1 (- expected, + found):\n- 2\n+ (absent)")),
        (json!({}), json!([]), format!("{line} (- expected, + found):\n- {{}}\n+ []")),
        (json!(format!("{long}a{long}")), json!(format!("{long}b{long}")), {
            let (before, after) = ("x".repeat(30), "x".repeat(79));
            format!("{line} (- expected, + found):\n- …{before}a{after}…\n+ …{before}b{after}…")
        }),
    ] {
        Golden::file(&path).rewrite(true).assert(&with(expected));
        let golden = Golden::file(&path);
        let message = fails!(golden.assert(&with(found)));
        let (first, rest) = message.split_once('\n').unwrap();
        let (rest, last) = rest.rsplit_once('\n').unwrap();
        assert_eq!(first, format!("{} differs from what was found.", path.display()));
        assert_eq!((rest, last), (told.as_str(), "EVENT_BROKER_GOLDEN=write accepts what was found"));
    }
}

/// A list of events does not become a list of everything that a change touches.
#[test]
fn only_the_first_differences_are_shown() {
    let path = path_of("many");
    let with = |first: u32| (0..10).map(|at| job(u64::from(at) + 1, json!(at + first))).collect::<Vec<_>>();
    Golden::file(&path).rewrite(true).assert(&with(0));
    let golden = Golden::file(&path);
    let message = fails!(golden.assert(&with(1)));
    assert!(message.contains("\n… 5 more differences\n"), "{message}");
    assert_eq!(message.lines().count(), 2 + 1 + 3 * 5);
}

/// The bytes are compared: a file that was formatted by hand is not what a server sends.
#[test]
fn equal_json_in_other_bytes_differs() {
    let path = path_of("bytes");
    golden_text(&path, &text_of(&[job(7, json!({"a": 1}))]).replace("{\"a\":1}", "{ \"a\":1}"));
    let golden = Golden::file(&path);
    let message = fails!(golden.assert(&job(7, json!({"a": 1}))));
    assert!(message.contains("\nline 1 has equal JSON in other bytes (- expected, + found):\n- …"), "{message}");
    assert!(message.contains("\"Payload\":{ \"a\":1}") && message.contains("\"Payload\":{\"a\":1}"), "{message}");
}

/// What a reader does not mind is not compared: line ends, blank lines, a byte order mark, the last newline.
#[test]
fn what_a_reader_skips_is_not_compared() {
    let path = path_of("skipped");
    let text = text_of(&batches()).replace('\n', "\r\n\r\n \t\n");
    golden_text(&path, &format!("\u{feff}{}", text.trim_end()));
    Golden::file(&path).assert(&batches());
}

#[test]
fn heartbeats_are_compared_if_asked_for() {
    let path = path_of("heartbeats");
    let (silent, alive) = (text_of(&batches()), format!("{{}}\n{}{}", text_of(&batches()), Frame::progress(9)));
    Golden::file(&path).rewrite(true).assert(&alive);
    assert_eq!(fs::read_to_string(&path).unwrap(), silent);
    Golden::file(&path).assert(&alive);
    let golden = Golden::file(&path).heartbeats(true);
    let message = fails!(golden.assert(&alive));
    assert!(message.contains("from line 1 of the file on") && message.contains("\n+ {}\n"), "{message}");
    assert!(message.contains("\n+ 9 without events\n"), "{message}");

    Golden::file(&path).heartbeats(true).rewrite(true).assert(&alive);
    assert_eq!(fs::read_to_string(&path).unwrap(), alive);
    Golden::file(&path).heartbeats(true).assert(&alive);
    Golden::file(&path).assert(&silent);
    assert!(fails!(golden.assert(&silent)).contains("\n- {}\n"));
}

/// Tokens name an epoch that is drawn at random.
#[test]
fn frames_with_tokens_can_be_compared() {
    let path = path_of("tokens");
    let send = || {
        let broker = Broker::<Value>::new();
        let reader = broker.subscribe(Request::new().namespace("*")).unwrap();
        publish(&broker);
        drop(broker);
        let options = FrameOptions::new().tokens(true).progress(true).heartbeat(Duration::MAX).unwrap();
        reader.into_frames(options).collect::<Result<Vec<_>, _>>().unwrap()
    };
    Golden::file(&path).volatile("Token").rewrite(true).assert(&send());
    Golden::file(&path).volatile("Token").assert(&send());
    let golden = Golden::file(&path).heartbeats(true);
    assert!(fails!(golden.assert(&send())).contains("{} with a token"));
    let golden = Golden::file(&path);
    assert!(
        fails!(golden.assert(&send())).contains(" differs at /Token (- expected, + found):\n- \"<volatile>\"\n+ \"")
    );
}

/// Indexes and ids that differ in every run, and relations that do not.
#[test]
fn relations_of_normalised_values_are_compared() {
    let path = path_of("relations");
    let uuid = |n: u8| format!("ccc4ce56-7f0a-4124-b8b1-a4015aa82c{n:02x}");
    let run = |index: u64, deployment: u8, of: u8| {
        vec![
            Batch::new(index, vec![sample::deployment(uuid(deployment)).of_job("web").committed_at(index).event()]),
            Batch::new(index + 4, vec![sample::allocation(uuid(9)).of_job("web").deployment(uuid(of)).event()]),
        ]
    };
    let golden =
        || Golden::file(&path).indexes_from_one().number_uuids().volatile("CreateIndex").volatile("ModifyIndex");
    golden().rewrite(true).assert(&run(100, 1, 1));
    golden().assert(&run(2000, 5, 5));
    let file = golden();
    let message = fails!(file.assert(&run(2000, 5, 6)));
    assert!(message.contains("\n- 2 Allocation/AllocationCreated default:00000000-0000-0000-0000-000000000002 ["));
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.starts_with(concat!(
        r#"{"Index":1,"Events":[{"Topic":"Deployment","Type":"DeploymentStatusUpdate","#,
        r#""Key":"00000000-0000-0000-0000-000000000001","Namespace":"default","FilterKeys":["web"],"Index":1,"Payload""#
    )));
    // A file that was recorded and not normalised is normalised when it is read.
    golden_text(&path, &text_of(&run(7, 8, 8)));
    golden().assert(&run(100, 1, 1));
}

/// The file of the repository: one of each sample. It is found from any working directory.
#[test]
fn samples_are_as_the_repository_has_them() {
    let batch = |index, samples: Vec<sample::Sample>| {
        Batch::new(index, samples.into_iter().map(|sample| sample.committed_at(index).event()).collect::<Vec<_>>())
    };
    let ops = sample::acl_role("4b3a", "operators");
    let deployed = [sample::deployment("d1").of_job("web"), sample::evaluation("e1").of_job("web").deployment("d1")];
    let placed = sample::allocation("a1").of_job("web").on_node("ccc4").deployment("d1");
    let served = sample::service("s1", "web-http").of_job("web").on_node("ccc4").of_allocation("a1");
    golden!("tests/kit/samples.ndjson").assert(&[
        batch(7, vec![sample::node("ccc4"), sample::node_pool("gpu")]),
        batch(8, vec![sample::acl_policy("readonly"), ops, sample::acl_token("b780")]),
        batch(12, [vec![sample::job("web")], deployed.to_vec(), vec![placed]].concat()),
        batch(13, vec![served, sample::node("ccc4").event_type("NodeDrain")]),
    ]);
}

/// The variable of the environment: it writes, it does not accept what it does not know, and unset it compares.
#[test]
fn the_environment_decides() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kit").join("environment");
    let path = folder.join("deep/frames.ndjson");
    if is_alone() {
        return Golden::file(&path).assert(&batches());
    }
    _ = fs::remove_dir_all(&folder);
    let run = |variables: &[(&str, &str)]| {
        let output = alone("golden::the_environment_decides", variables);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (passed, told) = run(&[]);
    assert!(!passed && told.contains("does not exist; EVENT_BROKER_GOLDEN=write makes it"), "{told}");
    let (passed, told) = run(&[("EVENT_BROKER_GOLDEN", "wrtie")]);
    assert!(!passed && told.contains("EVENT_BROKER_GOLDEN is wrtie, expected write or nothing"), "{told}");
    assert!(!path.exists());
    assert!(run(&[("EVENT_BROKER_GOLDEN", "write")]).0);
    assert_eq!(fs::read_to_string(&path).unwrap(), text_of(&batches()));
    assert!(run(&[]).0 && run(&[("EVENT_BROKER_GOLDEN", "")]).0);
    golden_text(&path, &text_of(&[job(7, json!(1))]));
    assert!(!run(&[]).0);
    assert_eq!(fs::read_to_string(&path).unwrap(), text_of(&[job(7, json!(1))]), "comparing changes nothing");
    assert!(run(&[("EVENT_BROKER_GOLDEN", "write")]).0 && run(&[]).0);
}

/// An empty file would be equal to a stream that nobody looked at.
#[test]
fn nothing_is_no_golden_file() {
    let path = path_of("nothing");
    let message = fails!(Golden::file(&path).rewrite(true).assert(&Vec::<Batch<Value>>::new()));
    assert_eq!(message, format!("{} is not written: nothing was found that it could have", path.display()));
    assert!(!path.exists());
}

/// Members of one name are compared each, whatever is normalised beside them.
#[test]
fn members_of_one_name_are_not_mixed_up() {
    let path = path_of("twice");
    let frame = |payload: &str| {
        let event = format!(
            r#"{{"Topic":"Job","Type":"t","Key":"web","Namespace":"","FilterKeys":null,"Index":7,"Payload":{payload}}}"#
        );
        format!("{{\"Index\":7,\"Events\":[{event}]}}\n")
    };
    for (one, other) in
        [(r#"{"x":{"a":1},"x":{"At":1}}"#, r#"{"x":{"a":2},"x":{"At":1}}"#), (r#"{"x":5,"x":1}"#, r#"{"x":6,"x":1}"#)]
    {
        let golden = || Golden::file(&path).volatile("At");
        golden().rewrite(true).assert(&frame(one));
        golden().assert(&frame(one));
        let message = fails!(golden().assert(&frame(other)));
        assert!(message.contains("differs"), "{message}");
    }
}
