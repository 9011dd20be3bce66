//! Plays a recorded stream of events through a broker and prints the frames that one subscription receives.
//!
//! `options` parses the command line, and `input` reads the lines. `--help` describes the options and exit codes.

mod input;
mod options;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use event_broker::nomad::Query;
use event_broker::nomad::rights::{self, Rights};
use event_broker::{
    AccessRequest, Authorizer, Broker, Denial, FrameError, FrameOptions, Frames, Grant, SubscribeError, Subscription,
    Verdict,
};

use input::{Line, Lines, Payload};
use options::{Options, Source};

fn main() -> ExitCode {
    let code = match options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => run(options),
        Ok(None) => print(&mut io::stdout().lock(), options::HELP.as_bytes()).map(|()| Input::Clean),
        Err(problem) => Err(Stop::Misused(problem)),
    };
    match code {
        Ok(Input::Clean) | Err(Stop::OutputClosed) => ExitCode::SUCCESS,
        Ok(Input::Refused) => ExitCode::from(1),
        Err(Stop::Failed(problem)) => {
            say(problem);
            ExitCode::from(1)
        }
        Err(Stop::Misused(problem)) => {
            say(format_args!("{problem}; see --help"));
            ExitCode::from(2)
        }
        Err(Stop::Denied(denial)) => {
            say(format_args!("access denied: {denial}"));
            ExitCode::from(3)
        }
    }
}

/// Whether every line of the input was accepted.
#[derive(Clone, Copy)]
enum Input {
    Clean,
    Refused,
}

/// Why the program stops.
enum Stop {
    /// The reader of the output closed it. That is no failure of this program.
    OutputClosed,
    Failed(String),
    Misused(String),
    Denied(Denial),
}

/// The rights of the run. Events of the input change no access, so [`Authorizer::changes`] keeps its default.
struct Fixed(Rights);

impl Authorizer<Payload> for Fixed {
    fn authorize(&self, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
        rights::decide(request, &self.0).map(Grant::without_event_checks)
    }
}

fn run(options: Options) -> Result<Input, Stop> {
    let Options { query, rights, capacity, backlog, line_limit, source } = options;
    let broker = Broker::builder().max_batches(capacity).authorizer(Fixed(rights)).build();
    let broker = broker.map_err(|error| Stop::Misused(format!("--capacity: {error}")))?;
    // A denial is decided before any input is read, also with a backlog.
    let subscription = subscribe(&broker, query.clone())?;
    let mut lines = Lines::new(open(&source)?, line_limit);
    let stdout = &mut io::stdout().lock();
    if backlog {
        drop(subscription);
        let input = publish_all(&broker, &mut lines)?;
        let subscription = subscribe(&broker, query)?;
        let _ = writeln!(io::stderr(), "start: {}", verdict(subscription.verdict()));
        give(&mut frames(subscription)?, stdout)?;
        return Ok(input);
    }
    let mut frames = frames(subscription)?;
    give(&mut frames, stdout)?;
    let mut input = Input::Clean;
    while let Some(line) = next_line(&mut lines)? {
        match publish(&broker, line) {
            // Frames are printed before the next line is read, so the reader is at most one batch behind and nothing is
            // lost.
            Ok(()) => give(&mut frames, stdout)?,
            Err(problem) => {
                say(problem);
                input = Input::Refused;
            }
        }
    }
    Ok(input)
}

fn publish_all(broker: &Broker<Payload>, lines: &mut Lines<impl io::BufRead>) -> Result<Input, Stop> {
    let mut input = Input::Clean;
    while let Some(line) = next_line(lines)? {
        if let Err(problem) = publish(broker, line) {
            say(problem);
            input = Input::Refused;
        }
    }
    Ok(input)
}

fn next_line(lines: &mut Lines<impl io::BufRead>) -> Result<Option<Line>, Stop> {
    lines.next_line().map_err(|error| Stop::Failed(format!("cannot read the input: {error}")))
}

/// Publishes the content of a line, or returns why it is refused.
fn publish(broker: &Broker<Payload>, Line { number, frame }: Line) -> Result<(), String> {
    match frame?.into_batch() {
        None => Ok(()),
        Some(batch) => {
            broker.publish(batch.index(), batch).map_err(|refused| format!("line {number} refused: {refused}"))
        }
    }
}

fn subscribe(broker: &Broker<Payload>, query: Query) -> Result<Subscription<Payload>, Stop> {
    broker.subscribe(query.into_request()).map_err(|error| match error {
        SubscribeError::Denied(denial) => Stop::Denied(denial),
        error => Stop::Misused(format!("--query: {error}")),
    })
}

fn frames(subscription: Subscription<Payload>) -> Result<Frames<Payload>, Stop> {
    let silent = FrameOptions::new().heartbeat(Duration::MAX).map_err(|error| Stop::Failed(error.to_string()))?;
    Ok(subscription.into_frames(silent))
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Whole => "nothing lost".into(),
        Verdict::Lost { oldest: Some(oldest) } => format!("lost, the oldest buffered index is {oldest}"),
        Verdict::Lost { oldest: None } => "lost, nothing is buffered".into(),
        Verdict::Future { latest } => format!("in the future, the latest index is {latest}"),
        other => format!("{other:?}"),
    }
}

fn open(source: &Source) -> Result<BufReader<Box<dyn Read>>, Stop> {
    let input: Box<dyn Read> = match source {
        Source::Stdin => Box::new(io::stdin()),
        Source::File(path) => {
            let opened = File::open(path).and_then(|file| {
                let is_directory = file.metadata()?.is_dir();
                if is_directory { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
            });
            Box::new(opened.map_err(|error| Stop::Misused(format!("cannot open {}: {error}", path.display())))?)
        }
    };
    Ok(BufReader::with_capacity(64 << 10, input))
}

/// Prints the frames that are available now.
fn give(frames: &mut Frames<Payload>, stdout: &mut impl Write) -> Result<(), Stop> {
    loop {
        match frames.try_frame() {
            Ok(Some(frame)) => print(stdout, &frame)?,
            Ok(None) => return Ok(()),
            Err(FrameError::Recv(error)) => return Err(Stop::Failed(format!("the subscription ended: {error}"))),
            Err(error) => return Err(Stop::Failed(error.to_string())),
        }
    }
}

fn print(stdout: &mut impl Write, text: &[u8]) -> Result<(), Stop> {
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::OutputClosed,
        _ => Stop::Failed(format!("cannot print: {error}")),
    })
}

/// Writes to stderr. A closed stderr is no reason to panic.
fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "replay: {text}");
}
