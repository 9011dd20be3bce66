//! The summary tables: each contender at the largest number of readers, and over each dimension that varies.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::contenders::Contender;
use crate::dimension::{Sweep, base_of};
use crate::plots::{count, crowd, distinct, part, ratio as ratio_of, short, time};
use crate::point::{Keys, Setting};
use crate::result::Row;
use crate::sheet::replace;
use crate::stats::Estimate;

/// Writes the tables to a file atomically.
pub(crate) fn write(rows: &[Row], directory: &Path) -> io::Result<()> {
    replace(&directory.join("summary.txt"), table(rows).trim_start())
}

/// The rows of one table: those of a mode, a window and a fraction, at one number of readers, the base of what else
/// varies.
pub(crate) struct Section<'r> {
    pub(crate) title: String,
    /// What ratios are to.
    pub(crate) base: Option<Contender>,
    pub(crate) rows: Vec<&'r Row>,
}

/// The tables of a run.
pub(crate) fn sections(rows: &[Row]) -> Vec<Section<'_>> {
    let mut kinds: Vec<Setting> = Vec::new();
    for row in rows {
        let setting = row.point.setting;
        let Some(base) = base_of(rows, setting.mode, setting.window) else { continue };
        let Setting { batch, payload, buffer, publishers, churn, .. } = base;
        let kind = Setting { subscribers: 0, batch, payload, buffer, publishers, churn, ..setting };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let section = |kind: &Setting| {
        let like = |row: &&Row| {
            let setting = row.point.setting;
            setting == Setting { subscribers: setting.subscribers, ..*kind }
        };
        let rows: Vec<&Row> = rows.iter().filter(like).collect();
        let subscribers = largest(&rows)?;
        let rows: Vec<&Row> = rows.into_iter().filter(|row| row.point.setting.subscribers == subscribers).collect();
        let title = format!(
            "{}, windows of {}: {}, each asking for {}{}",
            kind.mode.title(),
            kind.window,
            crowd(subscribers.to_string()),
            part(kind.fraction),
            match (kind.keys, kind.workers) {
                (Keys::Zipf, 0) => ", keys by Zipf".to_owned(),
                (Keys::Uniform, 0) => String::new(),
                (Keys::Zipf, workers) => format!(", keys by Zipf, {workers} workers"),
                (Keys::Uniform, workers) => format!(", {workers} workers"),
            }
        );
        let base = rows.iter().find_map(|row| row.ratio).map(|(base, _)| base);
        Some(Section { title, base, rows })
    };
    kinds.iter().filter_map(section).collect()
}

/// What ratios are to, in words.
pub(crate) fn ratios_to(base: Option<Contender>) -> String {
    base.map_or_else(String::new, |base| format!("; ratios to {base}"))
}

/// A table of one dimension: contenders by its values.
pub(crate) struct Over {
    pub(crate) title: String,
    pub(crate) values: Vec<String>,
    /// A contender with its cells.
    pub(crate) rows: Vec<(Contender, Vec<String>)>,
}

/// The time of an event and its ratio, or nothing where it was not measured.
fn cell(row: Option<&&Row>) -> String {
    let Some(row) = row else { return "-".to_owned() };
    let ratio = row.ratio.map_or_else(String::new, |(_, ratio)| format!(" ({}x)", ratio_of(ratio.value)));
    let noisy = if row.noisy { " noisy" } else { "" };
    time(row.nanos_per_event.value) + &ratio + noisy
}

/// By what factor the time of an event differs, with an interval that has both of theirs in it.
fn change(first: Option<Estimate>, last: Option<Estimate>) -> String {
    let (Some(first), Some(last)) = (first, last) else { return "-".to_owned() };
    let factors = [last.value / first.value, last.low / first.high, last.high / first.low].map(ratio_of);
    format!("{}x [{}, {}]", factors[0], factors[1], factors[2])
}

/// A table for each dimension that varies, and for each part of the events that readers ask for.
pub(crate) fn overs(rows: &[Row]) -> Vec<Over> {
    let mut overs = Vec::new();
    for sweep in Sweep::all(rows) {
        let values = sweep.values();
        let parts = distinct(sweep.rows.iter().map(|row| row.point.setting.fraction).collect());
        for fraction in parts {
            let of_part = |row: &&&Row| row.point.setting.fraction.total_cmp(&fraction).is_eq();
            let mut contenders: Vec<Contender> = Vec::new();
            for row in sweep.rows.iter().filter(of_part) {
                if !contenders.contains(&row.point.contender) {
                    contenders.push(row.point.contender);
                }
            }
            let at = |contender: Contender, value: usize| {
                let same =
                    |row: &&&Row| row.point.contender == contender && sweep.dimension.of(&row.point.setting) == value;
                cell(sweep.rows.iter().filter(of_part).find(same))
            };
            let time_at = |contender: Contender, value: usize| {
                let same =
                    |row: &&&Row| row.point.contender == contender && sweep.dimension.of(&row.point.setting) == value;
                sweep.rows.iter().filter(of_part).find(same).map(|row| row.nanos_per_event)
            };
            let change = |contender| match (values.first(), values.last()) {
                (Some((first, _)), Some((last, _))) => change(time_at(contender, *first), time_at(contender, *last)),
                _ => String::new(),
            };
            let cells =
                |contender| values.iter().map(|(value, _)| at(contender, *value)).chain([change(contender)]).collect();
            let names = values.iter().map(|(_, text)| text.clone()).chain(["last / first".to_owned()]);
            let base = sweep.rows.iter().filter(of_part).find_map(|row| row.ratio).map(|(base, _)| base);
            overs.push(Over {
                title: format!(
                    "Over {}: {}{}: {}, each asking for {}; the time of an event{}",
                    sweep.dimension.name(),
                    sweep.mode.title(),
                    sweep.windows(),
                    crowd(sweep.subscribers.to_string()),
                    part(fraction),
                    ratios_to(base),
                ),
                values: names.collect(),
                rows: contenders.into_iter().map(|contender| (contender, cells(contender))).collect(),
            });
        }
    }
    overs
}

/// The tables as text.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for Section { title, base, rows } in sections(rows) {
        let mut line = |line: String| text.write_str(&(line + "\n")).expect("a string takes everything");
        line(format!("\n{title}{}", ratios_to(base)));
        line(format!(
            "{:<28} {:>13} {:>10} {:>22} {:>9} {:>16} {:>11} {:>11} {:>8}",
            "", "deliveries/s", "an event", "interval", "ratio", "interval", "publish p50", "p99", "bytes"
        ));
        for row in rows {
            let bytes = row.bytes_per_subscription.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
            let event = row.nanos_per_event;
            let (ratio, interval) = row.ratio.map_or_else(Default::default, |(_, ratio)| {
                (ratio_of(ratio.value) + "x", format!("{} to {}", ratio_of(ratio.low), ratio_of(ratio.high)))
            });
            line(format!(
                "{:<28} {:>13} {:>10} {:>22} {ratio:>9} {interval:>16} {:>11} {:>11} {bytes:>8}{}",
                row.point.contender.title(),
                short(row.deliveries_per_second),
                time(event.value),
                format!("{} to {}", time(event.low), time(event.high)),
                time(row.publish_p50.value),
                row.publish_high[0].map_or_else(|| "-".to_owned(), time),
                if row.noisy { "  noisy" } else { "" },
            ));
        }
    }
    for Over { title, values, rows } in overs(rows) {
        let mut line = |line: String| text.write_str(&(line + "\n")).expect("a string takes everything");
        line(format!("\n{title}"));
        let row = |name: &str, cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>24}")).collect();
            format!("{name:<28}{}", cells.concat())
        };
        line(row("", &values));
        for (contender, cells) in rows {
            line(row(contender.title(), &cells));
        }
    }
    let repeated: usize = rows.iter().map(|row| row.repeated).sum();
    let turns: usize = rows.iter().map(|row| row.turns).sum();
    let noisy = rows.iter().filter(|row| row.noisy).count();
    if !rows.is_empty() {
        _ = write!(
            text,
            "\n{} points, {turns} turns, {repeated} repeated ({:.0} %), {noisy} points noisy\n",
            rows.len(),
            100.0 * count(repeated as u64) / count((turns + repeated) as u64),
        );
    }
    text
}

/// The largest number of readers at which the most contenders were measured: an interrupted run may not have reached
/// all of them at its last number.
fn largest(rows: &[&Row]) -> Option<usize> {
    let subscribers = |row: &Row| row.point.setting.subscribers;
    let measured = |number: usize| rows.iter().filter(|row| subscribers(row) == number).count();
    rows.iter().map(|row| subscribers(row)).max_by_key(|&number| (measured(number), number))
}
