//! The results as rows of a CSV file. Each row is written as soon as it is measured.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::point::Point;

const FILE: &str = "points.csv";
const HEADER: &str = "mode,contender,subscribers,match,batch,payload,seconds,events,deliveries,\
deliveries_per_second,ns_per_event,publish_p50_ns,publish_p99_ns,publish_p999_ns,publish_max_ns,\
bytes_per_subscription,counts_checked";

/// One point and its result.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) point: Point,
    pub(crate) seconds: f64,
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    pub(crate) deliveries_per_second: f64,
    /// The time to publish an event and for all readers to read it.
    pub(crate) nanos_per_event: f64,
    pub(crate) publish_p50: u64,
    pub(crate) publish_p99: u64,
    pub(crate) publish_p999: u64,
    pub(crate) publish_max: u64,
    /// Where the system says how much memory a process has.
    pub(crate) bytes_per_subscription: Option<u64>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { mode, contender, subscribers, fraction, batch, payload } = self.point;
        write!(f, "{mode},{contender},{subscribers},{fraction},{batch},{payload},")?;
        let Self { seconds, events, deliveries, deliveries_per_second, nanos_per_event, .. } = self;
        write!(f, "{seconds:.6},{events},{deliveries},{deliveries_per_second:.1},{nanos_per_event:.2},")?;
        let Self { publish_p50, publish_p99, publish_p999, publish_max, .. } = self;
        write!(f, "{publish_p50},{publish_p99},{publish_p999},{publish_max},")?;
        // A point with a wrong count has no row.
        match self.bytes_per_subscription {
            Some(bytes) => write!(f, "{bytes},yes"),
            None => f.write_str(",yes"),
        }
    }
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        fn field<T: FromStr>(fields: &mut std::str::Split<'_, char>) -> Option<T> {
            fields.next()?.parse().ok()
        }
        let fields = &mut line.split(',');
        let point = Point {
            mode: field(fields)?,
            contender: field(fields)?,
            subscribers: field(fields)?,
            fraction: field(fields)?,
            batch: field(fields)?,
            payload: field(fields)?,
        };
        let row = Self {
            point,
            seconds: field(fields)?,
            events: field(fields)?,
            deliveries: field(fields)?,
            deliveries_per_second: field(fields)?,
            nanos_per_event: field(fields)?,
            publish_p50: field(fields)?,
            publish_p99: field(fields)?,
            publish_p999: field(fields)?,
            publish_max: field(fields)?,
            bytes_per_subscription: match fields.next()? {
                "" => None,
                bytes => Some(bytes.parse().ok()?),
            },
        };
        (fields.next()? == "yes").then_some(row)
    }
}

/// The file while the study runs.
#[derive(Debug)]
pub(crate) struct Sheet(File);

impl Sheet {
    /// Creates the file.
    pub(crate) fn create(directory: &Path) -> io::Result<Self> {
        let mut file = File::create(directory.join(FILE))?;
        writeln!(file, "{HEADER}")?;
        Ok(Self(file))
    }

    /// Adds a row, in one write.
    pub(crate) fn append(&mut self, row: &Row) -> io::Result<()> {
        self.0.write_all(format!("{row}\n").as_bytes())?;
        self.0.flush()
    }
}

/// Why a sheet cannot be read.
#[derive(Debug)]
pub(crate) enum SheetError {
    File(PathBuf, io::Error),
    Header(PathBuf),
    /// A line that is no row, counted from 1.
    Row(PathBuf, usize),
}

impl fmt::Display for SheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Header(path) => write!(f, "{} has another header, expected \"{HEADER}\"", path.display()),
            Self::Row(path, line) => write!(f, "line {line} of {} is no row of the study", path.display()),
        }
    }
}

impl std::error::Error for SheetError {}

/// Reads the rows in a directory. An incomplete last line, as an interruption leaves it, is ignored.
pub(crate) fn read(directory: &Path) -> Result<Vec<Row>, SheetError> {
    let path = directory.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Err(SheetError::File(path, error)),
    };
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    let mut lines = whole.lines().enumerate();
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(SheetError::Header(path));
    }
    lines.map(|(number, line)| Row::parse(line).ok_or_else(|| SheetError::Row(path.clone(), number + 1))).collect()
}
