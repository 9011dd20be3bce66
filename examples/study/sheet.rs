//! The results as files: `turns.csv` has every turn as it was measured, and `points.csv` and `points.json` what follows
//! from them. A turn is written as soon as it is measured, and an interrupted study is read again from the turns.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::contenders::Contender;
use crate::point::{Point, Setting};
use crate::result::Row;
use crate::turns::Taken;
use crate::watch::Disturbance;

const TURNS: &str = "turns.csv";
const SETTING: &str = "mode,contender,subscribers,match,batch,payload,window,buffer,workers,keys,publishers,churn";
const TURN: &str = "pass,round,seconds,events,deliveries,ns_per_event,\
publishes,publish_p50_ns,publish_p99_ns,publish_p999_ns,publish_max_ns,steal_ticks,switches,disturbed,counts";
const POINT: &str = "turns,repeated,disturbed,events,deliveries,deliveries_per_second,\
ns_per_event_quartile,ns_per_event,ns_per_event_low,ns_per_event_high,noisy,\
base,ratio,ratio_low,ratio_high,publish_p50_ns,publish_p50_low,publish_p50_high,\
publish_p99_ns,publish_p999_ns,publish_max_ns,bytes_per_subscription,bytes_per_batch,counts_checked";

/// The columns that name a point.
struct Columns<'p>(&'p Point);

impl fmt::Display for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { contender, setting } = self.0;
        let Setting { mode, subscribers, fraction, batch, payload, window, .. } = setting;
        let Setting { buffer, workers, keys, publishers, churn, .. } = setting;
        write!(f, "{mode},{contender},{subscribers},{fraction},{batch},{payload},{window},")?;
        write!(f, "{buffer},{workers},{keys},{publishers},{churn}")
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, pass, round, seconds, events, deliveries, nanos_per_event, .. } = self;
        let Self { publishes, publish: [p50, p99, p999, max], .. } = self;
        let Disturbance { steal, switches } = self.disturbance;
        let [p99, p999] = [p99, p999].map(|each| each.map_or_else(String::new, |nanos| nanos.to_string()));
        write!(f, "{},{pass},{round},{seconds:.6},{events},{deliveries},{nanos_per_event:.3},", Columns(point))?;
        write!(f, "{publishes},{},{p99},{p999},{},", p50.unwrap_or_default(), max.unwrap_or_default())?;
        write!(f, "{steal},{switches},{},{}", self.spoiled, self.counts)
    }
}

type Fields<'l> = std::str::Split<'l, char>;

fn field<T: FromStr>(fields: &mut Fields<'_>) -> Option<T> {
    fields.next()?.parse().ok()
}

/// Fields that may be empty.
fn optional<T: FromStr, const N: usize>(fields: &mut Fields<'_>) -> Option<[Option<T>; N]> {
    let mut values = [const { None }; N];
    for value in &mut values {
        let text = fields.next()?;
        *value = if text.is_empty() { None } else { Some(text.parse().ok()?) };
    }
    Some(values)
}

fn point(fields: &mut Fields<'_>) -> Option<Point> {
    let (mode, contender): (_, Contender) = (field(fields)?, field(fields)?);
    let setting = Setting {
        mode,
        subscribers: field(fields)?,
        fraction: field(fields)?,
        batch: field(fields)?,
        payload: field(fields)?,
        window: field(fields)?,
        buffer: field(fields)?,
        workers: field(fields)?,
        keys: field(fields)?,
        publishers: field(fields)?,
        churn: field(fields)?,
    };
    Some(Point { setting, contender })
}

/// A turn after its run id.
fn turn(line: &str) -> Option<Taken> {
    let fields = &mut line.split(',');
    fields.next()?;
    let taken = Taken {
        point: point(fields)?,
        pass: field(fields)?,
        round: field(fields)?,
        seconds: field(fields)?,
        events: field(fields)?,
        deliveries: field(fields)?,
        nanos_per_event: field(fields)?,
        publishes: field(fields)?,
        publish: optional(fields)?,
        disturbance: Disturbance { steal: field(fields)?, switches: field(fields)? },
        spoiled: field(fields)?,
        counts: field(fields)?,
    };
    fields.next().is_none().then_some(taken)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, turns, repeated, disturbed, events, deliveries, .. } = self;
        write!(f, "{},{turns},{repeated},{disturbed},{events},{deliveries},", Columns(point))?;
        let (event, publish) = (self.nanos_per_event, self.publish_p50);
        write!(f, "{:.1},{:.3},", self.deliveries_per_second, self.quartile)?;
        write!(f, "{:.3},{:.3},{:.3},{},", event.value, event.low, event.high, self.noisy)?;
        match self.ratio {
            Some((base, ratio)) => write!(f, "{base},{:.4},{:.4},{:.4},", ratio.value, ratio.low, ratio.high)?,
            None => f.write_str(",,,,")?,
        }
        write!(f, "{:.0},{:.0},{:.0},", publish.value, publish.low, publish.high)?;
        let high = self.publish_high.map(|each| each.map_or_else(String::new, |nanos| format!("{nanos:.0}")));
        write!(f, "{},", high.join(","))?;
        // A point with a wrong count has no row.
        let [subscription, batch] = [self.bytes_per_subscription, self.bytes_per_batch]
            .map(|bytes| bytes.map_or_else(String::new, |bytes| bytes.to_string()));
        write!(f, "{subscription},{batch},yes")
    }
}

/// The file of turns while the study runs.
#[derive(Debug)]
pub(crate) struct Sheet {
    file: File,
    run: String,
}

impl Sheet {
    /// Creates the file.
    pub(crate) fn create(directory: &Path, run: &str) -> io::Result<Self> {
        let mut file = File::create(directory.join(TURNS))?;
        writeln!(file, "run,{SETTING},{TURN}")?;
        Ok(Self { file, run: run.to_owned() })
    }

    /// Adds a turn, in one write.
    pub(crate) fn append(&mut self, taken: &Taken) -> io::Result<()> {
        self.file.write_all(format!("{},{taken}\n", self.run).as_bytes())
    }
}

/// Writes a file so that it is whole at any moment.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    fs::write(&unfinished, text)?;
    fs::rename(unfinished, path)
}

/// Writes the points, as CSV and as JSON.
pub(crate) fn write_points(rows: &[Row], run: &str, directory: &Path) -> io::Result<()> {
    let mut text = format!("run,{SETTING},{POINT}\n");
    for row in rows {
        _ = writeln!(text, "{run},{row}");
    }
    replace(&directory.join("points.csv"), &text)?;
    let rows: Vec<_> = rows.iter().map(|row| row.json(run)).collect();
    let text = serde_json::to_string_pretty(&rows).map_err(io::Error::other)?;
    replace(&directory.join("points.json"), &(text + "\n"))
}

/// Takes the bytes, which do not follow from turns, from the points that the run has written.
pub(crate) fn keep_weights(rows: &mut [Row], directory: &Path) {
    let Ok(text) = fs::read_to_string(directory.join("points.csv")) else { return };
    let named = |row: &Row| format!(",{},", Columns(&row.point));
    for row in rows {
        let line = text.lines().find(|line| line.contains(&named(row)));
        let mut last = line.into_iter().flat_map(|line| line.rsplit(',').skip(1));
        row.bytes_per_batch = last.next().and_then(|bytes| bytes.parse().ok());
        row.bytes_per_subscription = last.next().and_then(|bytes| bytes.parse().ok());
    }
}

/// The columns that sheets of 2026-11-26 do not have: the place before which they belong, and what they would have held.
const NEWER: [(&str, &str, &str); 2] = [("pass", "publishers,churn", "1,0"), ("publish_p50_ns", "publishes", "0")];

/// The header of sheets without them.
fn older_header(header: &str) -> String {
    NEWER.iter().fold(header.to_owned(), |header, (_, names, _)| header.replacen(&format!("{names},"), "", 1))
}

/// A row of such a sheet with them.
fn upgraded(line: &str, older_header: &str) -> String {
    let fields = line.split(',').zip(older_header.split(','));
    let upgraded = fields.map(|(field, column)| match NEWER.iter().find(|(before, ..)| *before == column) {
        Some((_, _, values)) => format!("{values},{field}"),
        None => field.to_owned(),
    });
    upgraded.collect::<Vec<_>>().join(",")
}

/// Why a sheet cannot be read.
#[derive(Debug)]
pub(crate) enum SheetError {
    File(PathBuf, io::Error),
    Header(PathBuf),
    /// A line that is no turn, counted from 1.
    Row(PathBuf, usize),
}

impl fmt::Display for SheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Header(path) => {
                write!(f, "{} has another header, expected \"run,{SETTING},{TURN}\"", path.display())
            }
            Self::Row(path, line) => write!(f, "line {line} of {} is no turn of the study", path.display()),
        }
    }
}

impl std::error::Error for SheetError {}

/// Whether the turns in a directory are those of a study, of whatever version.
pub(crate) fn is_ours(directory: &Path) -> bool {
    fs::read_to_string(directory.join(TURNS))
        .is_ok_and(|text| text.is_empty() || text.starts_with("run,mode,contender,"))
}

/// Reads the turns in a directory, and the id of their run. An incomplete last line, as an interruption leaves it, is
/// ignored.
pub(crate) fn read(directory: &Path) -> Result<(String, Vec<Taken>), SheetError> {
    let path = directory.join(TURNS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Err(SheetError::File(path, error)),
    };
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    let mut lines = whole.lines().enumerate();
    let expected = format!("run,{SETTING},{TURN}");
    let older = older_header(&expected);
    let is_older = match lines.next() {
        Some((_, header)) if header == expected => false,
        Some((_, header)) if header == older => true,
        _ => return Err(SheetError::Header(path)),
    };
    let run = whole.lines().nth(1).and_then(|line| line.split(',').next()).unwrap_or_default().to_owned();
    let read = |line: &str| if is_older { turn(&upgraded(line, &older)) } else { turn(line) };
    let turns = lines.map(|(number, line)| read(line).ok_or_else(|| SheetError::Row(path.clone(), number + 1)));
    Ok((run, turns.collect::<Result<_, _>>()?))
}
