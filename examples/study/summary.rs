//! The summary tables: each contender at the largest number of readers.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::plots::{count, crowd, part, short, time};
use crate::point::Mode;
use crate::sheet::Row;

/// Writes the tables to a file atomically.
pub(crate) fn write(rows: &[Row], directory: &Path) -> io::Result<()> {
    let unfinished = directory.join("summary.txt.new");
    fs::write(&unfinished, table(rows).trim_start())?;
    fs::rename(unfinished, directory.join("summary.txt"))
}

/// One table for each mode and fraction, at the first batch and payload.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let Some(first) = rows.first() else { return text };
    let mut fractions: Vec<f64> = rows.iter().map(|row| row.point.fraction).collect();
    fractions.sort_by(|a, b| b.total_cmp(a));
    fractions.dedup();
    for mode in Mode::ALL {
        for &fraction in &fractions {
            let rows: Vec<&Row> = rows
                .iter()
                .filter(|row| {
                    let (point, first) = (&row.point, &first.point);
                    point.mode == mode
                        && point.fraction.total_cmp(&fraction).is_eq()
                        && point.batch == first.batch
                        && point.payload == first.payload
                })
                .collect();
            if let Some(subscribers) = largest(&rows) {
                let rows: Vec<&Row> = rows.into_iter().filter(|row| row.point.subscribers == subscribers).collect();
                let title = format!("{}, each asking for {}", crowd(subscribers.to_string()), part(fraction));
                section(&mut text, mode, &title, &rows);
            }
        }
    }
    text
}

/// The largest number of readers at which the most contenders were measured: an interrupted run may not have reached
/// all of them at its last number.
fn largest(rows: &[&Row]) -> Option<usize> {
    let measured = |subscribers: usize| rows.iter().filter(|row| row.point.subscribers == subscribers).count();
    rows.iter().map(|row| row.point.subscribers).max_by_key(|&subscribers| (measured(subscribers), subscribers))
}

fn section(text: &mut String, mode: Mode, title: &str, rows: &[&Row]) {
    let mut line = |line: String| text.write_str(&line).expect("a string takes everything");
    line(format!("\n{}: {title}\n", mode.title()));
    line(format!(
        "{:<28} {:>13} {:>12} {:>12} {:>12} {:>12} {:>8}\n",
        "", "deliveries/s", "an event", "publish p50", "p99", "max", "bytes"
    ));
    for row in rows {
        let bytes = row.bytes_per_subscription.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        line(format!(
            "{:<28} {:>13} {:>12} {:>12} {:>12} {:>12} {bytes:>8}\n",
            row.point.contender.title(),
            short(row.deliveries_per_second),
            time(row.nanos_per_event),
            time(count(row.publish_p50)),
            time(count(row.publish_p99)),
            time(count(row.publish_max)),
        ));
    }
}
