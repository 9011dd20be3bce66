//! The command line of the soak.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

pub(crate) const USAGE: &str = "\
usage: cargo bench --bench soak -- [OPTION …]
  --seconds N   how long, default 5
  --readers N   readers at a time, default 500
  --rate N      batches a second, default 200
  --seed N      default 1
  --threads N   workers of the runtime, default 2
  --out FILE    where the report goes, default standard output";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) duration: Duration,
    pub(crate) readers: usize,
    pub(crate) rate: f64,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) out: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        let mut options =
            Self { duration: Duration::from_secs(5), readers: 500, rate: 200.0, seed: 1, threads: 2, out: None };
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("seconds") => options.duration = Duration::from_secs(at_least_one(&mut parser)?),
                Arg::Long("readers") => {
                    options.readers = usize::try_from(at_least_one(&mut parser)?).map_err(|error| error.to_string())?;
                }
                Arg::Long("rate") => {
                    options.rate = f64::from(u32::try_from(at_least_one(&mut parser)?).map_err(|e| e.to_string())?);
                }
                Arg::Long("seed") => options.seed = parser.value()?.parse()?,
                Arg::Long("threads") => {
                    options.threads = usize::try_from(at_least_one(&mut parser)?).map_err(|error| error.to_string())?;
                }
                Arg::Long("out") => options.out = Some(parser.value()?.into()),
                // What cargo adds.
                Arg::Long("bench" | "test") => {}
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    /// The command that repeats the run.
    pub(crate) fn command(&self) -> String {
        let Self { duration, readers, rate, seed, threads, .. } = self;
        let seconds = duration.as_secs();
        format!(
            "cargo bench --bench soak -- --seconds {seconds} --readers {readers} --rate {rate} --seed {seed} --threads {threads}"
        )
    }
}

fn at_least_one(parser: &mut Parser) -> Result<u64, lexopt::Error> {
    match parser.value()?.parse()? {
        0 => Err("0 is too few, expected at least 1".into()),
        number => Ok(number),
    }
}
