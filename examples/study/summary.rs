//! The table that ends a run: where there were most readers, and what each contender made of it.
//! Everything else is in the sheet and the plots.

use std::fmt::Write;

use crate::plots::{count, part, short, time};
use crate::point::Mode;
use crate::sheet::Row;

/// One table for each mode and fraction, at the largest number of readers and the first batch and payload.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let Some(first) = rows.first() else { return text };
    let subscribers = rows.iter().map(|row| row.point.subscribers).max().unwrap_or(0);
    let chosen: Vec<&Row> = rows
        .iter()
        .filter(|row| {
            let (point, first) = (&row.point, &first.point);
            point.subscribers == subscribers && point.batch == first.batch && point.payload == first.payload
        })
        .collect();
    let mut fractions: Vec<f64> = chosen.iter().map(|row| row.point.fraction).collect();
    fractions.sort_by(|a, b| b.total_cmp(a));
    fractions.dedup();
    for mode in Mode::ALL {
        for &fraction in &fractions {
            let rows: Vec<_> = chosen
                .iter()
                .filter(|row| row.point.mode == mode && row.point.fraction.total_cmp(&fraction).is_eq())
                .collect();
            if rows.is_empty() {
                continue;
            }
            section(&mut text, mode, &format!("{subscribers} readers, each asking for {}", part(fraction)), &rows);
        }
    }
    text
}

fn section(text: &mut String, mode: Mode, title: &str, rows: &[&&Row]) {
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
