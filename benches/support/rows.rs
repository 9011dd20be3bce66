//! Figures as CSV, in the form of the dated records: for benchmarks that criterion does not run.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// The variable that names a file to append rows to. `benches/record/take` sets it.
const VARIABLE: &str = "BENCH_ROWS";

const HEADER: &str = "group,variant,parameter,unit,median,low,high,per_iteration,of,ns_each";

/// One figure.
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) variant: String,
    pub(crate) parameter: String,
    /// Deliveries, or what else is in an iteration.
    pub(crate) elements: usize,
    /// Nanoseconds of an element: lower quartile, median and upper quartile.
    pub(crate) quartiles: [f64; 3],
}

/// Where rows are written, which may be nowhere.
pub(crate) struct Rows(Vec<File>);

impl Rows {
    /// Begins this file, if there is one, and appends to the one that the environment names.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let mut files = Vec::new();
        if let Some(path) = path {
            let mut file = File::create(path)?;
            writeln!(file, "{HEADER}")?;
            files.push(file);
        }
        if let Some(path) = std::env::var_os(VARIABLE) {
            files.push(OpenOptions::new().append(true).create(true).open(path)?);
        }
        Ok(Self(files))
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn write(&mut self, row: &Row) -> io::Result<()> {
        let Row { group, variant, parameter, elements, quartiles } = row;
        let [low, median, high] = quartiles.map(|each| each * *elements as f64);
        let each = median / *elements as f64;
        let (group, variant) = (quoted(group), quoted(variant));
        for file in &mut self.0 {
            writeln!(
                file,
                "{group},{variant},{parameter},ns/iteration,{median:.2},{low:.2},{high:.2},{elements},elements,{each:.3}"
            )?;
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
