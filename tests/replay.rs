//! The `replay` example as a program: over files and pipes, with every exit status.
//!
//! Cargo builds the examples with all tests; for this binary alone, build them first.
#![cfg(all(feature = "json", not(broker_loom)))]
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "common/program.rs"]
mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use program::{example, stderr_of};

/// How long a test waits. A run takes far less.
const TIME_LIMIT: Duration = Duration::from_secs(60);

fn start(arguments: &[&str]) -> Child {
    let mut command = example("replay");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs it over this input. Reading and writing happen at the same time, so no pipe fills up.
fn replay(arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
    let mut child = start(arguments);
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.into());
    // It may have ended before it has read everything.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

#[track_caller]
fn assert_run(output: &Output, code: i32, stdout: &str) {
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(shown, stdout, "{}", stderr_of(output));
    assert_eq!(output.status.code(), Some(code), "{}", stderr_of(output));
}

fn event(topic: &str, key: &str, index: u64, payload: &str) -> String {
    let names = format!(r#""Topic":"{topic}","Type":"Changed","Key":"{key}","Namespace":"""#);
    format!(r#"{{{names},"FilterKeys":null,"Index":{index},"Payload":{payload}}}"#)
}

fn batch(index: u64, events: &[String]) -> String {
    format!("{{\"Index\":{index},\"Events\":[{}]}}\n", events.join(","))
}

fn job(index: u64) -> String {
    batch(index, &[event("Job", "web", index, "null")])
}

#[test]
fn what_goes_in_comes_out_behind_one_heartbeat() {
    let frames = job(1) + &job(7) + &job(7) + &job(100);
    let input = format!("{{}}\n\n{}{{}}\n  \n\r\n{{}}\n", frames.replace('\n', "\r\n{}\n"));
    let output = replay(&[], input);
    assert_run(&output, 0, &format!("{{}}\n{frames}"));
    assert_eq!(stderr_of(&output), "");
}

#[test]
fn nothing_in_is_a_heartbeat_out() {
    assert_run(&replay(&[], ""), 0, "{}\n");
    assert_run(&replay(&["--backlog"], ""), 0, "{}\n");
}

/// If it were taken for progress, the latest index would move beyond everything that follows.
#[test]
fn events_without_a_frame_around_them_are_refused() {
    let events: String = (1..=3).map(|index| event("Job", "web", index, "null") + "\n").collect();
    let output = replay(&[], &*events);
    assert_run(&output, 1, "{}\n");
    assert_eq!(stderr_of(&output).matches("refused: an event by itself").count(), 3);
}

#[test]
fn a_byte_order_mark_and_tokens_of_another_server_are_passed_over() {
    let input = format!("\u{feff}{{\"Token\":17}}\n{}", job(7).replace("]}", "],\"Token\":\"theirs\"}"));
    assert_run(&replay(&[], input), 0, &format!("{{}}\n{}", job(7)));
}

#[test]
fn payloads_pass_through_byte_for_byte_and_fields_in_the_order_of_the_reference() {
    let payload = r#"{ "z":1.000,"a":12345678901234567890123, "a":1e-400,"é":"\u00e9\n<\/>", "n":[ null,-0 , {} ] }"#;
    let keys = r#""FilterKeys":["f","g"]"#;
    let input = format!(
        r#"{{"Extra":[1],"Events":[{{"Payload":{payload},"Key":"k","Extra":{{}},{keys},"Topic":"T","Index":7,"Namespace":"default","Type":"X"}}],"Index":7}}"#
    );
    let frame = format!(
        r#"{{"Index":7,"Events":[{{"Topic":"T","Type":"X","Key":"k","Namespace":"default",{keys},"Index":7,"Payload":{payload}}}]}}"#
    );
    // The last line has no newline in the input, and one in the output.
    assert_run(&replay(&[], input), 0, &format!("{{}}\n{frame}\n"));
}

#[test]
fn a_batch_is_published_under_the_index_of_its_frame() {
    let input = batch(7, &[event("Job", "web", 3, "1")]);
    assert_run(&replay(&[], input), 0, &format!("{{}}\n{}", batch(7, &[event("Job", "web", 7, "1")])));
}

#[test]
fn the_query_selects() {
    let both = batch(1, &[event("Job", "web", 1, "1"), event("Node", "n", 1, "2")]);
    let input = both + &job(2) + &job(3);
    let web = batch(1, &[event("Job", "web", 1, "1")]);
    let all = format!("{{}}\n{web}{}{}", job(2), job(3));
    assert_run(&replay(&["--query", "?topic=Job:web&index=0"], &*input), 0, &all);
    assert_run(&replay(&["--query=index=2&topic=Job"], &*input), 0, &format!("{{}}\n{}{}", job(2), job(3)));
    assert_run(&replay(&["--query", "topic=Service"], &*input), 0, "{}\n");
    assert_run(&replay(&["--query", "index=4"], &*input), 0, "{}\n");

    let scoped = job(1).replace(r#""Namespace":"""#, r#""Namespace":"prod""#);
    assert_run(&replay(&[], &*scoped), 0, "{}\n");
    assert_run(&replay(&["--query", "namespace=prod"], &*scoped), 0, &format!("{{}}\n{scoped}"));
    assert_run(&replay(&["--query", "namespace=*"], &*scoped), 0, &format!("{{}}\n{scoped}"));
}

#[test]
fn live_nothing_is_lost_whatever_the_capacity() {
    let frames: String = (1..=500).map(job).collect();
    for capacity in ["1", "2", "18446744073709551615"] {
        assert_run(&replay(&["--capacity", capacity], &*frames), 0, &format!("{{}}\n{frames}"));
    }
    let late: String = (400..=500).map(job).collect();
    assert_run(&replay(&["--capacity", "1", "--query", "index=400"], &*frames), 0, &format!("{{}}\n{late}"));
}

#[test]
fn a_backlog_holds_as_many_batches_as_said_and_reports_what_the_start_found() {
    let frames: String = (1..=6).map(|n| job(2 * n)).collect();
    let last: String = (4..=6).map(|n| job(2 * n)).collect();
    for (query, stdout, verdict) in [
        ("", &*last, "start: nothing lost\n"),
        ("index=6", &last, "start: lost, the oldest buffered index is 8\n"),
        ("index=7", &last, "start: nothing lost\n"),
        ("index=11", &job(12), "start: nothing lost\n"),
        ("index=13", "", "start: nothing lost\n"),
        ("index=14", "", "start: in the future, the latest index is 12\n"),
    ] {
        let output = replay(&["--backlog", "--capacity", "3", "--query", query], &*frames);
        assert_run(&output, 0, &format!("{{}}\n{stdout}"));
        assert_eq!(stderr_of(&output), verdict, "{query}");
    }
    let hundred: String = (51..=150).map(job).collect();
    let output = replay(&["--backlog"], (1..=150).map(job).collect::<String>());
    assert_run(&output, 0, &format!("{{}}\n{hundred}"));
}

#[test]
fn progress_moves_the_latest_index_and_prints_nothing() {
    let input = format!("{}{{\"Index\":9}}\n{{\"Index\":9,\"Events\":null}}\n{}{}", job(7), job(8), job(9));
    let output = replay(&[], &*input);
    assert_run(&output, 1, &format!("{{}}\n{}{}", job(7), job(9)));
    assert_eq!(
        stderr_of(&output),
        "replay: line 4 refused: index 8 is lower than the last published, expected 9 or more\n"
    );

    let output = replay(&["--backlog", "--query", "index=20"], format!("{}{{\"Index\":15,\"Events\":[]}}\n", job(7)));
    assert_eq!(stderr_of(&output), "start: in the future, the latest index is 15\n");
}

#[test]
fn a_refused_line_is_reported_and_the_others_are_processed() {
    for (line, wrong, expected) in [
        (r#"{"Index":8,"#, "line 3 refused at column 11: malformed JSON: ", "expected one JSON object on the line"),
        ("what", "line 3 refused at column 1: malformed JSON: ", "expected one JSON object on the line"),
        ("[]", "line 3 refused", "expected {} or an object with Index"),
        (r#"{"Index":8}}"#, "line 3 refused at column 12: malformed JSON: ", "expected one JSON object on the line"),
        (r#"{"Index":"8"}"#, "line 3 refused at column 12: field Index: invalid type: string \"8\"", "expected u64"),
        (r#"{"Index":-1}"#, "line 3 refused at column 11: field Index: invalid value: integer `-1`", "expected u64"),
        (
            r#"{"Events":null}"#,
            "line 3 refused at column 15: field Index: missing field `Index`",
            "expected {\"Index\"",
        ),
        (r#"{"Index":8,"Events":{}}"#, "field Events: invalid type: map", "expected a list of events or null"),
        (
            r#"{"FilterKeys":["e"],"Index":118,"Key":"d1","Payload":{},"Topic":"Deployment","Type":"PlanResult"}"#,
            "line 3 refused: an event by itself",
            "expected a frame with Events",
        ),
        (r#"{"Index":8,"Events":[{"Topic":"T"}]}"#, "event 0 of Events: missing field `Type`", "expected {\"Index\""),
        (r#"{"Index":8,"Events":[{"Topic":7}]}"#, "event 0 of Events: invalid type: integer `7`", "expected a string"),
        (r#"{"Index":6}"#, "line 3 refused: index 6 is lower than the last published", "expected 7 or more"),
    ] {
        for backlog in [&[][..], &["--backlog"]] {
            let output = replay(backlog, format!("{}\n{line}\n{}", job(7), job(8)));
            assert_run(&output, 1, &format!("{{}}\n{}{}", job(7), job(8)));
            let said = stderr_of(&output);
            assert!(said.contains(wrong) && said.contains(expected), "{line}: {said}");
        }
    }
    let output = replay(&[], [b"{\"Index\":\xff}\n".as_slice(), job(8).as_bytes()].concat());
    assert_run(&output, 1, &format!("{{}}\n{}", job(8)));
    assert!(stderr_of(&output).contains("line 1 refused at column 10: not UTF-8"), "{}", stderr_of(&output));
}

#[test]
fn falling_is_against_the_last_line_that_was_accepted() {
    let output = replay(&[], job(7) + &job(5) + &job(6) + &job(7) + &job(8));
    assert_run(&output, 1, &format!("{{}}\n{}{}{}", job(7), job(7), job(8)));
    let said = stderr_of(&output);
    assert!(said.contains("line 2 refused: index 5 ") && said.contains("line 3 refused: index 6 "), "{said}");
    assert_eq!(said.matches("expected 7 or more").count(), 2);
}

#[test]
fn a_line_over_the_limit_is_refused_and_skipped_to_its_newline() {
    let long = batch(8, &[event("Job", "web", 8, &format!("{:?}", "x".repeat(200_000)))]);
    let input = job(7) + &long + &job(9);
    let output = replay(&["--line-limit", "1000"], &*input);
    assert_run(&output, 1, &format!("{{}}\n{}{}", job(7), job(9)));
    assert_eq!(stderr_of(&output), "replay: line 2 refused: too long, expected at most 1000 bytes\n");
    assert_run(&replay(&[], &*input), 0, &format!("{{}}\n{input}"));
    // The input ends within the line that is too long.
    let output = replay(&["--line-limit", "1000"], job(7) + long.trim_end());
    assert_run(&output, 1, &format!("{{}}\n{}", job(7)));
}

#[test]
fn denial_comes_before_any_input_and_leaves_stdout_empty() {
    for (rights, query, denied) in [
        ("anonymous", "", "topic * needs management"),
        ("node:read", "topic=Job", "read-job"),
        ("namespace:prod:read-job", "topic=Job&namespace=prod&namespace=dev", "dev"),
        ("namespace:prod:read-job", "topic=Job&namespace=*", "*"),
        ("namespace:*:read-job,node:read", "topic=Job&topic=NodePool", "management"),
    ] {
        for backlog in [&[][..], &["--backlog"]] {
            // Nothing is written to stdin and it stays open: reading any of it would block for ever.
            let mut child = start(&[&["--rights", rights, "--query", query], backlog].concat());
            let stdin = child.stdin.take().unwrap();
            let output = child.wait_with_output().unwrap();
            drop(stdin);
            assert_run(&output, 3, "");
            let said = stderr_of(&output);
            assert!(said.contains("access denied: ") && said.contains(denied), "{said}");
        }
    }
    assert_run(&replay(&["--rights", "anonymous", "no such file"], ""), 3, "");
}

#[test]
fn rights_that_suffice_are_kept_whatever_the_input_says() {
    let token = batch(2, &[event("ACLToken", "anonymous", 2, "null").replace("Changed", "ACLTokenDeleted")]);
    let input = job(1) + &token + &job(3);
    for (rights, query) in [
        ("management", "topic=Job"),
        ("namespace:default:read-job", "topic=Job"),
        ("namespace:*:read-job", "topic=Job&namespace=*"),
    ] {
        let output = replay(&["--rights", rights, "--query", query], &*input);
        assert_run(&output, 0, &format!("{{}}\n{}{}", job(1), job(3)));
    }
    let node = batch(1, &[event("Node", "n", 1, "1")]);
    assert_run(&replay(&["--rights=node:read", "--query=topic=Node"], &*node), 0, &format!("{{}}\n{node}"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_2() {
    for (arguments, expected) in [
        (&["--query", "index=-1"][..], "--query: index holds \"-1\", expected digits"),
        (&["--query", "topic=Job:a:b"], "expected at most one colon"),
        (&["--query", "namespace="], "--query: namespace holds"),
        (&["--query", "topic=Job:web-*"], "--query: topic holds \"Job:web-*\", expected * by itself"),
        (&["--rights", "root"], "--rights: unknown right \"root\", expected"),
        (&["--rights", ""], "--rights"),
        (&["--capacity", "0"], "--capacity is \"0\", expected a whole number, at least 1"),
        (&["--capacity", "many"], "--capacity is \"many\", expected"),
        (&["--capacity", "-1"], "--capacity"),
        (&["--capacity"], "--capacity"),
        (&["--line-limit", "0"], "--line-limit is \"0\""),
        (&["--backlog=yes"], "--backlog"),
        (&["--verbose"], "--verbose"),
        (&["-", "-"], "expected one"),
        (&["no such file"], "cannot open no such file"),
        (&["."], "cannot open ."),
    ] {
        let output = replay(arguments, "");
        assert_run(&output, 2, "");
        assert!(stderr_of(&output).contains(expected), "{arguments:?}: {}", stderr_of(&output));
        assert!(stderr_of(&output).contains("--help"));
    }
}

#[test]
fn help_is_no_error() {
    let output = replay(&["--help"], "");
    assert_eq!((output.status.code(), stderr_of(&output).as_str()), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    for option in ["--query", "--rights", "--capacity", "--backlog", "--line-limit", "exit status"] {
        assert!(text.contains(option), "{option}");
    }
    assert!(text.lines().all(|line| line.len() <= 120));
}

#[test]
fn a_file_is_read_like_a_pipe() {
    let path = std::env::temp_dir().join(format!("replay-{}.ndjson", std::process::id()));
    std::fs::write(&path, job(1) + &job(2)).unwrap();
    let output = replay(&[path.to_str().unwrap()], "");
    std::fs::remove_file(&path).unwrap();
    assert_run(&output, 0, &format!("{{}}\n{}{}", job(1), job(2)));
    assert_run(&replay(&["-"], job(1)), 0, &format!("{{}}\n{}", job(1)));
}

/// Reads lines on another thread, so that a missing line fails a test instead of hanging it.
fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if send.send(line.unwrap() + "\n").is_err() {
                break;
            }
        }
    });
    receive
}

#[test]
fn a_pipe_that_stays_open_gets_each_answer_before_the_next_line() {
    let mut child = start(&["--capacity", "1"]);
    let mut stdin = child.stdin.take().unwrap();
    let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
    assert_eq!(stdout.recv_timeout(TIME_LIMIT).unwrap(), "{}\n");
    for index in 1..=20 {
        stdin.write_all(job(index).as_bytes()).unwrap();
        assert_eq!(stdout.recv_timeout(TIME_LIMIT).unwrap(), job(index));
    }
    stdin.write_all(job(3).as_bytes()).unwrap();
    assert!(stderr.recv_timeout(TIME_LIMIT).unwrap().contains("line 21 refused"));
    // A line in two pieces.
    let line = job(21);
    let (head, tail) = line.split_at(30);
    stdin.write_all(head.as_bytes()).unwrap();
    stdin.write_all(tail.as_bytes()).unwrap();
    assert_eq!(stdout.recv_timeout(TIME_LIMIT).unwrap(), line);
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(stdout.recv_timeout(TIME_LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_closed_stdout_ends_it_quietly() {
    for backlog in [&[][..], &["--backlog"]] {
        let mut child = start(backlog);
        let mut stdin = child.stdin.take().unwrap();
        if backlog.is_empty() {
            // Live, the opening heartbeat is printed before anything is read.
            let mut opening = [0; 3];
            child.stdout.as_mut().unwrap().read_exact(&mut opening).unwrap();
        }
        drop(child.stdout.take());
        if backlog.is_empty() {
            // It ends by itself, although the pipe stays open: then the next line is not read. One is not enough,
            // because a process that another test is just starting may hold a copy of the closed pipe for a moment.
            (1..1_000_000).find(|index| stdin.write_all(job(*index).as_bytes()).is_err()).unwrap();
        } else {
            stdin.write_all(job(1).as_bytes()).unwrap();
        }
        let stdin = Some(stdin).filter(|_| backlog.is_empty());
        let status = child.wait().unwrap();
        drop(stdin);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains("replay:"), "{said}");
    }
}
