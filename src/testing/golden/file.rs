//! Golden files: NDJSON that a test compares with what it found, and that a variable of the environment rewrites.
//! What may be compared is decided in `framed`, and how a difference is shown in `compare`.
//!
//! Invariant: what is written is read by a `Decoder` first, so a golden file is a stream that a reader accepts.

use std::env;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::compare::{difference, outlines};
use super::framed::Framed;
use super::lines::{self, Line};
use super::normal::{self, Numbers, Step};
use crate::frame::DecodeError;

/// The variable of the environment by which golden files are rewritten: `EVENT_BROKER_GOLDEN=write cargo test`.
///
/// Unset or empty, golden files are compared. Any other value is an error, so that a typing error does not pass for a
/// comparison.
pub const GOLDEN_VARIABLE: &str = "EVENT_BROKER_GOLDEN";

/// Returns the [`Golden`](crate::testing::Golden) file at this path below the folder of the crate under test.
///
/// ```
/// use event_broker::{Batch, Event, golden};
///
/// # let folder = format!("target/golden-{}", std::process::id());
/// # let path = format!("{folder}/register.ndjson");
/// # /*
/// let path = "tests/golden/register.ndjson";
/// # */
/// let batch = Batch::new(7, vec![Event::new("Job", "JobRegistered", "web", 1)]);
/// # golden!(&path).rewrite(true).assert(&batch);
/// golden!(&path).assert(&batch);
/// # std::fs::remove_dir_all(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! golden {
    ($path:expr $(,)?) => {
        $crate::testing::Golden::below(::core::env!("CARGO_MANIFEST_DIR"), $path)
    };
}

/// A golden file: newline-delimited JSON that a test compares with what it found, byte by byte.
///
/// The file has exactly what a server would send, one frame a line. Only what is
/// [normalised](Self::normalize) differs from that. The file and what is found are read by the crate's own
/// [`Decoder`](crate::Decoder), so a line that a reader would refuse fails the test with its number. Blank lines,
/// carriage returns before a newline and the last newline are not compared.
///
/// To make the file, and to accept a change, run the test with `EVENT_BROKER_GOLDEN=write`: see [`GOLDEN_VARIABLE`].
/// Review what it writes as you would review code. Do not let two tests use one file.
///
/// # What a failure shows
///
/// A line may have thousands of bytes, so lines are not shown. If events are missing, unexpected or in another order,
/// the difference of the [outlines](super::super::Outline) is shown. If all events are there, each value that differs
/// is shown by itself, with the number of its line, its event, and the JSON pointer that leads to it.
///
/// ```
/// use event_broker::testing::{Golden, Recorder};
/// use event_broker::{Broker, Event};
///
/// # let path = std::env::temp_dir().join(format!("golden-{}/register.ndjson", std::process::id()));
/// # /*
/// let path = "tests/golden/register.ndjson";
/// # */
/// let broker = Broker::<serde_json::Value>::new();
/// let recorder = Recorder::of(&broker);
/// # broker.publish(7, [Event::new("Job", "JobRegistered", "web", serde_json::json!({"Version": 3, "At": 1}))])?;
/// # Golden::file(&path).volatile("At").rewrite(true).assert(&recorder);
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", serde_json::json!({"Version": 3, "At": 17}))])?;
/// Golden::file(&path).volatile("At").assert(&recorder);
///
/// broker.publish(7, [Event::new("Job", "JobRegistered", "web", serde_json::json!({"Version": 4, "At": 18}))])?;
/// let found = recorder.recorded();
/// let failed = std::panic::catch_unwind(|| Golden::file(&path).volatile("At").assert(&found)).unwrap_err();
/// let message = failed.downcast_ref::<String>().unwrap();
/// assert!(message.contains(
///     "line 1, `7 Job/JobRegistered web` differs at /Events/0/Payload/Version (- expected, + found):\n- 3\n+ 4\n"
/// ));
/// # std::fs::remove_dir_all(path.parent().unwrap())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Golden {
    path: PathBuf,
    /// The path as the caller named it.
    shown: String,
    steps: Vec<Step>,
    heartbeats: bool,
    rewrite: bool,
}

impl Golden {
    /// Returns the golden file at this path. A relative path begins in the working directory, which `cargo test` sets
    /// to the folder of the package. The macro [`golden!`](crate::golden) does not depend on that.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            shown: path.as_ref().display().to_string(),
            steps: Vec::new(),
            heartbeats: false,
            rewrite: false,
        }
    }

    #[doc(hidden)]
    pub fn below(folder: &str, path: impl AsRef<Path>) -> Self {
        Self { path: Path::new(folder).join(&path), ..Self::file(path) }
    }

    /// Changes each frame before it is compared or written, as the JSON value of its line. The closure is called with
    /// the frames of the file, too, so a file may be recorded from a server and not be normalised.
    ///
    /// What the closure leaves as it is keeps its bytes and the order of its members. A frame must remain a frame: an
    /// `Index` is a number, for example. Steps are applied in the order in which they were added, but indexes and UUIDs
    /// are numbered last.
    ///
    /// ```
    /// use event_broker::testing::Golden;
    /// use event_broker::{Batch, Event};
    ///
    /// # let path = std::env::temp_dir().join(format!("golden-{}-normal.ndjson", std::process::id()));
    /// let batch = |port| Batch::new(7, vec![Event::new("Service", "ServiceRegistration", "s1", port)]);
    /// let golden = || Golden::file(&path).normalize(|frame| {
    ///     for event in frame["Events"].as_array_mut().into_iter().flatten() {
    ///         event["Payload"] = 8080.into();
    ///     }
    /// });
    /// golden().rewrite(true).assert(&batch(31_337));
    /// golden().assert(&batch(20_011));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn normalize(self, change: impl Fn(&mut Value) + 'static) -> Self {
        self.step(Step::By(Box::new(change)))
    }

    /// Replaces what differs in every run, such as a time. A name that begins with `/` is a JSON pointer into a frame,
    /// such as `/Events/0/Payload/Node/StatusUpdatedAt`. Any other is the name of a member, wherever it is.
    ///
    /// A text becomes `"<volatile>"`, a number 0, a boolean `false`, and an array or object empty, so that a reader of
    /// typed payloads accepts the file. A null remains: whether there is a value is compared. With `Token`, frames with
    /// resume tokens can be compared.
    ///
    /// ```
    /// use event_broker::testing::Golden;
    /// use event_broker::{Batch, Event};
    ///
    /// # let path = std::env::temp_dir().join(format!("golden-{}-volatile.ndjson", std::process::id()));
    /// let payload = serde_json::json!({"At": "12:00", "ModifyIndex": 7, "Status": "ready"});
    /// let batch = Batch::new(7, vec![Event::new("Node", "NodeEvent", "ccc4", payload)]);
    /// Golden::file(&path).volatile("At").volatile("/Events/0/Payload/ModifyIndex").rewrite(true).assert(&batch);
    /// let written = std::fs::read_to_string(&path)?;
    /// assert!(written.contains(r#""Index":7,"Payload":{"At":"<volatile>","ModifyIndex":0,"Status":"ready"}"#));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn volatile(self, name: impl Into<String>) -> Self {
        self.step(Step::Volatile(name.into()))
    }

    /// Replaces the indexes of frames and of their events by 1, 2, 3, in the order in which they come. Equal ones
    /// remain equal, so it is still compared which batches are of one commit. Indexes in payloads stay. What is numbered
    /// hides whether indexes rise.
    ///
    /// ```
    /// use event_broker::testing::Golden;
    /// use event_broker::{Batch, Event};
    ///
    /// # let path = std::env::temp_dir().join(format!("golden-{}-indexes.ndjson", std::process::id()));
    /// let batches = |first| [first, first + 3].map(|at| Batch::new(at, vec![Event::new("Job", "Changed", "web", ())]));
    /// Golden::file(&path).indexes_from_one().rewrite(true).assert(&batches(40));
    /// Golden::file(&path).indexes_from_one().assert(&batches(70));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn indexes_from_one(self) -> Self {
        self.step(Step::Indexes)
    }

    /// Replaces each different UUID by a numbered one, such as `00000000-0000-0000-0000-000000000001`, wherever it is a
    /// whole text: a key, a filter key, or an id in a payload. Equal ones remain equal, so it is still compared which
    /// allocation is of which deployment.
    ///
    /// ```
    /// use event_broker::testing::Golden;
    /// use event_broker::{Batch, Event};
    ///
    /// # let path = std::env::temp_dir().join(format!("golden-{}-uuids.ndjson", std::process::id()));
    /// let batch = |id: &str| Batch::new(7, vec![Event::new("Node", "NodeEvent", id, serde_json::json!({"ID": id}))]);
    /// Golden::file(&path).number_uuids().rewrite(true).assert(&batch("ccc4ce56-7f0a-4124-b8b1-a4015aa82c40"));
    /// Golden::file(&path).number_uuids().assert(&batch("8c88f29b-ff08-4972-8e33-b0cc73af8749"));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn number_uuids(self) -> Self {
        self.step(Step::Uuids)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Sets whether frames without events are compared: heartbeats, and progress of any form. They are left out unless
    /// this says otherwise, in the file as well.
    #[must_use]
    pub fn heartbeats(mut self, compared: bool) -> Self {
        self.heartbeats = compared;
        self
    }

    /// Sets that the file is written and not compared, whatever the environment says.
    #[must_use]
    pub fn rewrite(mut self, rewrite: bool) -> Self {
        self.rewrite = rewrite;
        self
    }

    /// Asserts that what was found is what the file has, or writes the file if [`GOLDEN_VARIABLE`] says so. Folders are
    /// created. What a recorder has recorded is taken.
    ///
    /// # Panics
    ///
    /// Panics with the difference. Also panics if there is nothing to write, if the file is missing, if it cannot be read or written, if the file or
    /// what was found has a line that is not a frame, and if a payload cannot be encoded as JSON.
    #[track_caller]
    pub fn assert(&self, found: &(impl Framed + ?Sized)) {
        if let Err(message) = self.check(found) {
            panic!("{message}");
        }
    }

    fn check(&self, found: &(impl Framed + ?Sized)) -> Result<(), String> {
        let mut stream = Vec::new();
        found.write_frames(&mut stream).map_err(|error| error.to_string())?;
        let found = self.read(&stream).map_err(|error| format!("what was found is no stream of frames: {error}"))?;
        let normal =
            self.normalise(found).map_err(|error| format!("what was found, normalised, is refused: {error}"))?;
        if self.rewrite || is_rewritten()? { self.write(&normal) } else { self.compare(&normal) }
    }

    /// Reads a stream, without the frames that are not compared.
    fn read(&self, stream: &[u8]) -> Result<Vec<Line>, DecodeError> {
        let mut lines = lines::read(stream)?;
        lines.retain(|line| self.heartbeats || line.has_events());
        Ok(lines)
    }

    fn normalise(&self, mut lines: Vec<Line>) -> Result<Vec<Line>, DecodeError> {
        if self.steps.is_empty() {
            return Ok(lines);
        }
        let mut numbers = Numbers::default();
        for line in &mut lines {
            let text = normal::normalise(&line.text, &self.steps, &mut numbers);
            // A frame by itself is the first line of its stream; an error names the line that it was.
            let own = lines::read(text.as_bytes()).map_err(|error| DecodeError { line: line.number, ..error })?;
            *line = own.into_iter().next().map_or_else(
                || Line { number: line.number, text, frame: line.frame.clone() },
                |own| Line { number: line.number, ..own },
            );
        }
        Ok(lines)
    }

    fn write(&self, found: &[Line]) -> Result<(), String> {
        if found.is_empty() {
            return Err(format!("{} is not written: nothing was found that it could have", self.shown));
        }
        let failed = |error| format!("{} cannot be written: {error}", self.shown);
        let text: String = found.iter().flat_map(|line| [&line.text, "\n"]).collect();
        if fs::read(&self.path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        self.path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        fs::write(&self.path, text).map_err(failed)
    }

    fn compare(&self, found: &[Line]) -> Result<(), String> {
        let shown = &self.shown;
        let file = fs::read(&self.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let outline = outlines(found).concat().iter().fold(String::new(), |all, line| all + "\n+ " + line);
                format!("{shown} does not exist; {GOLDEN_VARIABLE}=write makes it of what was found:{outline}")
            }
            _ => format!("{shown} cannot be read: {error}"),
        })?;
        let expected = self.read(&file).map_err(|error| format!("{shown} is no stream of frames: {error}"))?;
        let expected = self.normalise(expected).map_err(|error| format!("{shown}, normalised, is refused: {error}"))?;
        difference(&expected, found).map_or(Ok(()), |difference| {
            Err(format!(
                "{shown} differs from what was found.\n{difference}\n{GOLDEN_VARIABLE}=write accepts what was found"
            ))
        })
    }
}

/// Returns whether the environment asks for golden files to be written.
fn is_rewritten() -> Result<bool, String> {
    match env::var_os(GOLDEN_VARIABLE) {
        None => Ok(false),
        Some(value) if value.is_empty() => Ok(false),
        Some(value) if value == "write" => Ok(true),
        Some(value) => Err(format!("{GOLDEN_VARIABLE} is {}, expected write or nothing", value.display())),
    }
}

impl fmt::Debug for Golden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Golden")
            .field("path", &self.path)
            .field("steps", &self.steps.len())
            .field("heartbeats", &self.heartbeats)
            .field("rewrite", &self.rewrite)
            .finish_non_exhaustive()
    }
}
