//! A small scheduler that publishes its state changes to all readers who may see them. It uses the whole crate.
//!
//! This file parses the call and sets the exit code.
//!
//! | file | holds |
//! |---|---|
//! | `model` | the rows of the state store, and their events |
//! | `store` | the tables, changed by one commit at a time |
//! | `server` | commit first, then publish |
//! | `acl` | the authorizer, over the tables of tokens, policies and roles |
//! | `workload`, `cluster`, `random` | what is committed |
//! | `job` | the main job: its script, its table and its checks |
//! | `cast`, `readers`, `record` | the readers, their ways of reading, and what each records |
//! | `checks`, `table` | an independent check of the records, and how it is printed |
//! | `query` | `--query`: one stream on standard output |

mod acl;
mod cast;
mod checks;
mod cluster;
mod job;
mod model;
mod query;
mod random;
mod readers;
mod record;
mod server;
mod store;
mod table;
mod workload;

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::str::FromStr;

use event_broker::nomad::rights::Rights;
use lexopt::prelude::*;

use query::{Options, Outcome};

const HELP: &str = "\
A small scheduler and its readers.

scheduler
    Commits for a second or two while ten readers follow. Prints the request of
    each, the events received and lost and the reason of its end, and checks the
    totals.

scheduler --query QUERY [--rights RIGHTS] [--commits N]
    Prints the frames of one stream and nothing else, one JSON object a line.

    --query QUERY     as in the URL of the event stream, for example
                      'topic=Job:web&namespace=default'
    --rights RIGHTS   management (the default), anonymous, or a comma-separated list of
                      namespace:NAME:read-job and node:read
    --commits N       number of commits (default 200)

Exit status
    0  success, or the reader of the frames has closed the pipe
    1  a check failed, or another error occurred
    2  the arguments, the query or the rights are malformed
    3  the rights are not enough for the query; nothing was printed
";

const INVALID: u8 = 2;
const DENIED: u8 = 3;

/// What the arguments ask for.
enum Task {
    Help,
    Job,
    Query(Options),
}

fn main() -> ExitCode {
    match arguments() {
        Ok(Task::Help) => finish(print(HELP)),
        Ok(Task::Job) => run_job(),
        Ok(Task::Query(options)) => run_query(options),
        Err(error) => {
            say(format_args!("{error}; --help says more"));
            ExitCode::from(INVALID)
        }
    }
}

fn arguments() -> Result<Task, lexopt::Error> {
    let (mut query, mut rights, mut commits) = (None, None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Task::Help),
            Long("query") => query = Some(read("--query", &parser.value()?)?),
            Long("rights") => rights = Some(read("--rights", &parser.value()?)?),
            Long("commits") => commits = Some(read("--commits", &parser.value()?)?),
            other => return Err(other.unexpected()),
        }
    }
    match query {
        Some(query) => Ok(Task::Query(Options {
            query,
            rights: rights.unwrap_or_else(Rights::management),
            commits: commits.unwrap_or(200),
        })),
        None if rights.is_some() || commits.is_some() => Err("--rights and --commits need --query".into()),
        None => Ok(Task::Job),
    }
}

/// Reads the value of an option.
fn read<T: FromStr<Err: Display>>(option: &str, value: &OsStr) -> Result<T, lexopt::Error> {
    let text = value.to_str().ok_or_else(|| format!("{option} is not UTF-8"))?;
    text.parse().map_err(|error| format!("{option}: {error}").into())
}

fn run_query(options: Options) -> ExitCode {
    let (status, why) = match query::run(options) {
        Ok(Outcome::Done) => return ExitCode::SUCCESS,
        Ok(Outcome::Denied(why)) => (DENIED, format!("access denied: {why}")),
        Ok(Outcome::Invalid(why)) => (INVALID, why),
        Err(error) => return finish(Err(error)),
    };
    say(why);
    ExitCode::from(status)
}

fn run_job() -> ExitCode {
    let report = match job::run() {
        Ok(report) => report,
        Err(error) => return finish(Err(error)),
    };
    let job::Report { table, totals, checks } = report;
    let printed = print(&format!("{table}\n{totals}\nchecks: {} passed", checks.passed));
    for failed in &checks.failed {
        say(format_args!("check failed: {failed}"));
    }
    let failed = checks.failed.len();
    if failed > 0 { finish(Err(format!("{failed} checks failed").into())) } else { finish(printed) }
}

/// Prints to stdout. A closed stdout is no failure.
fn print(text: &str) -> Result<(), Box<dyn Error>> {
    let text = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes to stderr, ignoring errors.
fn say(what: impl Display) {
    let _ = writeln!(io::stderr(), "scheduler: {what}");
}

fn finish(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(error);
            ExitCode::FAILURE
        }
    }
}
