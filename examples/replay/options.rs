//! The options of the command line and the help text.

use std::path::PathBuf;

use event_broker::Decoder;
use event_broker::nomad::Query;
use event_broker::nomad::rights::Rights;
use lexopt::{Arg, Parser, ValueExt};

pub(crate) const HELP: &str = "\
Plays a recorded stream of events through a broker, and prints the frames that one subscription gets.

usage: replay [--query Q] [--rights R] [--capacity N] [--backlog] [FILE|-]

FILE is newline-delimited JSON as the event stream of a server emits it; without it, or if it is -, standard input is
read. Each frame is published under its index. Heartbeats ({}) and blank lines are skipped, CRLF is accepted, and
progress ({\"Index\":7}) moves the latest index. Stdout gets the opening heartbeat {}, and one line for each batch that
has a match. There are no other heartbeats. Payloads are passed through byte for byte.

Live by default: the subscription is opened first, and what a line makes readable is printed before the next line is
read, so nothing is ever lost.

  --query Q         what to subscribe to, as in the API's URL: index=7&topic=Job:web&namespace=prod
                    default: the namespace default, all topics, from the oldest
  --rights R        management (default), anonymous, or a comma-separated list of namespace:NAME:read-job and node:read,
                    where NAME may be *; fixed for the run, whatever access events the input holds
  --capacity N      how many batches the broker buffers, at least 1; default 100
  --backlog         publish everything first, then subscribe; the verdict of the start goes to stderr
  --line-limit N    how many bytes a line may have without its newline; default 67108864 (64 MiB)
  --help            this text

A line is refused if it is malformed JSON, has wrong types, is over the limit, or if its index is lower than the last
accepted one. The reason goes to stderr, and the other lines are still processed.

exit status: 0  everything was accepted, or the reader of stdout has closed it
             1  a line was refused, or reading or printing failed
             2  bad query, bad rights, bad arguments, or a FILE that cannot be opened
             3  access denied: nothing was read, and nothing is on stdout
";

/// The buffer size of the HTTP API's server, in batches.
const DEFAULT_CAPACITY: u64 = 100;

pub(crate) struct Options {
    pub(crate) query: Query,
    pub(crate) rights: Rights,
    pub(crate) capacity: u64,
    pub(crate) backlog: bool,
    pub(crate) line_limit: usize,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

/// Returns the options, or `None` if only help was requested.
pub(crate) fn parse(mut parser: Parser) -> Result<Option<Options>, String> {
    let mut options = Options {
        query: Query::default(),
        rights: Rights::management(),
        capacity: DEFAULT_CAPACITY,
        backlog: false,
        line_limit: Decoder::<()>::DEFAULT_LIMIT,
        source: Source::Stdin,
    };
    let mut named = None;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("query") => {
                let query: String = value(&mut parser)?;
                options.query = query.parse().map_err(|error| format!("--query: {error}"))?;
            }
            Arg::Long("rights") => {
                let rights: String = value(&mut parser)?;
                options.rights = rights.parse().map_err(|error| format!("--rights: {error}"))?;
            }
            Arg::Long("capacity") => options.capacity = number("--capacity", &value(&mut parser)?)?,
            Arg::Long("line-limit") => options.line_limit = number("--line-limit", &value(&mut parser)?)?,
            Arg::Long("backlog") => options.backlog = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Value(path) if named.is_none() => named = Some(path),
            Arg::Value(path) => return Err(format!("{} is one input too many, expected one", path.display())),
            other => return Err(other.unexpected().to_string()),
        }
    }
    options.source = match named {
        Some(path) if path != "-" => Source::File(path.into()),
        _ => Source::Stdin,
    };
    Ok(Some(options))
}

fn value(parser: &mut Parser) -> Result<String, String> {
    parser.value().and_then(ValueExt::string).map_err(|error| error.to_string())
}

fn number<N: TryFrom<u64>>(name: &str, held: &str) -> Result<N, String> {
    let number = held.parse::<u64>().ok().filter(|number| *number > 0).and_then(|number| number.try_into().ok());
    number.ok_or_else(|| format!("{name} is {held:?}, expected a whole number, at least 1"))
}
