//! The plots: throughput and latency over the number of readers, and cost over selectivity, all contenders in one
//! picture.
//!
//! They are drawn from rows alone, so an old sheet can be plotted again.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::contenders::Contender;
use crate::point::Mode;
use crate::sheet::Row;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const PANEL: (u32, u32) = (440, 400);
const LEGEND: u32 = 230;
const TITLE: u32 = 62;
const FONT: &str = "sans-serif";

/// A number of three digits with its thousands as a letter.
pub(crate) fn short(value: f64) -> String {
    let (value, letter) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let digits = match value {
        value if value >= 100.0 || value.fract() == 0.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{letter}")
}

/// What a reader asks for, in words.
pub(crate) fn part(fraction: f64) -> String {
    if fraction < 1.0 { format!("{fraction} of the events") } else { "everything".to_owned() }
}

/// So many readers, in words.
pub(crate) fn crowd(number: String) -> String {
    if number == "1" { "1 reader".to_owned() } else { number + " readers" }
}

/// Nanoseconds with their unit.
pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        nanos if nanos >= 1e9 => format!("{} s", short(nanos / 1e9)),
        nanos if nanos >= 1e6 => format!("{} ms", short(nanos / 1e6)),
        nanos if nanos >= 1e3 => format!("{} µs", short(nanos / 1e3)),
        nanos => format!("{} ns", short(nanos)),
    }
}

/// One line of a panel.
struct Line {
    contender: Contender,
    points: Vec<(f64, f64)>,
    /// Whether it is the minor one of two lines of a contender.
    thin: bool,
}

struct Panel {
    caption: String,
    lines: Vec<Line>,
}

/// A picture: panels side by side on the same axes, and one legend.
struct Picture {
    title: &'static str,
    x: (&'static str, fn(f64) -> String),
    y: (&'static str, fn(f64) -> String),
    panels: Vec<Panel>,
}

/// Draws every picture for which there are enough rows, and returns the files.
pub(crate) fn draw(rows: &[Row], directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut drawn = Vec::new();
    let Some(first) = rows.first() else { return Ok(drawn) };
    let (batch, payload) = (first.point.batch, first.point.payload);
    for mode in Mode::ALL {
        let rows: Vec<&Row> = rows
            .iter()
            .filter(|row| row.point.mode == mode && row.point.batch == batch && row.point.payload == payload)
            .collect();
        if rows.is_empty() {
            continue;
        }
        let subtitle = format!("{}; batches of {batch}, payloads of {payload} bytes", mode.title());
        let readers = ("readers", short as fn(f64) -> String);
        let pictures = [
            (
                "throughput",
                Picture {
                    title: "Deliveries of events a second",
                    x: readers,
                    y: ("deliveries a second", short),
                    panels: by_fraction(&rows, |row| vec![(row.deliveries_per_second, false)]),
                },
            ),
            (
                "latency",
                Picture {
                    title: "Latency of publish: p50, and thin p99",
                    x: readers,
                    y: ("publish takes", time),
                    panels: by_fraction(&rows, |row| {
                        [(row.publish_p50, false), (row.publish_p99, true)].map(|(y, thin)| (count(y), thin)).to_vec()
                    }),
                },
            ),
            (
                "selectivity",
                Picture {
                    title: "Cost of an event, published and read by all",
                    x: ("fraction of the events that a reader asks for", short),
                    y: ("an event takes", time),
                    panels: by_readers(&rows),
                },
            ),
        ];
        for (name, picture) in pictures {
            let path = directory.join(format!("{name}-{mode}.svg"));
            if picture.draw(&path, &subtitle)? {
                drawn.push(path);
            }
        }
    }
    Ok(drawn)
}

#[expect(clippy::cast_precision_loss, reason = "for show")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "for show")]
fn readers(row: &Row) -> f64 {
    row.point.subscribers as f64
}

fn distinct(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(|a, b| b.total_cmp(a));
    values.dedup();
    values
}

/// Over the number of readers, a panel for each fraction.
fn by_fraction(rows: &[&Row], values: impl Fn(&Row) -> Vec<(f64, bool)>) -> Vec<Panel> {
    let panel = |fraction: f64| {
        let mut lines = Vec::<Line>::new();
        for row in rows.iter().filter(|row| row.point.fraction.total_cmp(&fraction).is_eq()) {
            for (y, thin) in values(row) {
                add(&mut lines, row.point.contender, thin, (readers(row), y));
            }
        }
        Panel { caption: format!("each reader asks for {}", part(fraction)), lines }
    };
    distinct(rows.iter().map(|row| row.point.fraction).collect()).into_iter().map(panel).collect()
}

/// Over the fraction, a panel for the three largest numbers of readers.
fn by_readers(rows: &[&Row]) -> Vec<Panel> {
    let panel = |subscribers: f64| {
        let mut lines = Vec::<Line>::new();
        for row in rows.iter().filter(|row| readers(row).total_cmp(&subscribers).is_eq()) {
            add(&mut lines, row.point.contender, false, (row.point.fraction, row.nanos_per_event));
        }
        Panel { caption: crowd(short(subscribers)), lines }
    };
    let mut largest: Vec<f64> = distinct(rows.iter().map(|row| readers(row)).collect());
    largest.truncate(3);
    largest.into_iter().rev().map(panel).collect()
}

fn add(lines: &mut Vec<Line>, contender: Contender, thin: bool, point: (f64, f64)) {
    // A logarithmic axis cannot show 0.
    if point.1 <= 0.0 {
        return;
    }
    match lines.iter_mut().find(|line| line.contender == contender && line.thin == thin) {
        Some(line) => line.points.push(point),
        None => lines.push(Line { contender, points: vec![point], thin }),
    }
}

/// Colours that most readers with colour blindness can distinguish.
fn colour(contender: Contender) -> RGBColor {
    match contender {
        Contender::Drain => RGBColor(200, 30, 30),
        Contender::Owned => RGBColor(235, 130, 60),
        Contender::Tokio => RGBColor(30, 90, 180),
        Contender::AsyncBroadcast => RGBColor(90, 180, 230),
        Contender::Crossbeam => RGBColor(20, 130, 80),
        Contender::Flume => RGBColor(130, 190, 70),
        Contender::Rtrb => RGBColor(140, 80, 170),
        Contender::Ring => RGBColor(110, 110, 110),
    }
}

/// A dot, or a ring for the second contender of a pair, whose points often coincide.
fn marker<At>(place: At, contender: Contender, thin: bool) -> Circle<At, i32> {
    let radius = if thin { 2 } else { 4 };
    let colour = colour(contender);
    match contender {
        Contender::Owned | Contender::AsyncBroadcast | Contender::Flume => {
            Circle::new(place, radius + 2, colour.stroke_width(if thin { 1 } else { 2 }))
        }
        _ => Circle::new(place, radius, colour.filled()),
    }
}

/// The whole decades that hold the values.
fn decades(values: impl Iterator<Item = f64>) -> Option<std::ops::Range<f64>> {
    let logs: Vec<f64> = values.map(f64::log10).collect();
    let low = logs.iter().copied().min_by(f64::total_cmp)?.floor();
    let high = logs.iter().copied().max_by(f64::total_cmp)?.ceil();
    let high = if high > low { high } else { low + 1.0 };
    // Slightly larger, so that markers do not touch the axes and rounding drops no label.
    Some(10_f64.powf(low) * 0.85..10_f64.powf(high) * 1.15)
}

impl Picture {
    /// Whether there was anything to draw.
    fn draw(&self, path: &Path, subtitle: &str) -> Result<bool, Box<dyn Error>> {
        let points = || self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let (Some(x), Some(y)) = (decades(points().map(|point| point.0)), decades(points().map(|point| point.1)))
        else {
            return Ok(false);
        };
        let panels = u32::try_from(self.panels.len())?;
        let size = (PANEL.0 * panels + LEGEND, PANEL.1 + TITLE);
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (title, body) = root.split_vertically(TITLE);
        title.draw(&Text::new(self.title, (14, 12), (FONT, 18).into_font()))?;
        title.draw(&Text::new(subtitle.to_owned(), (14, 37), (FONT, 13).into_font()))?;
        let (left, legend) = body.split_horizontally(PANEL.0 * panels);
        for (panel, area) in self.panels.iter().zip(left.split_evenly((1, self.panels.len()))) {
            self.draw_panel(panel, &area, x.clone(), y.clone())?;
        }
        self.draw_legend(&legend)?;
        root.present()?;
        Ok(true)
    }

    fn draw_panel(
        &self,
        panel: &Panel,
        area: &Area<'_>,
        x: std::ops::Range<f64>,
        y: std::ops::Range<f64>,
    ) -> Result<(), Box<dyn Error>> {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(20)
            .caption(&panel.caption, (FONT, 15))
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(x.log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .x_labels(6)
            .y_labels(8)
            .x_label_formatter(&|value| self.x.1(*value))
            .y_label_formatter(&|value| self.y.1(*value))
            .label_style((FONT, 12))
            .axis_desc_style((FONT, 13))
            .bold_line_style(BLACK.mix(0.18))
            .light_line_style(BLACK.mix(0.05))
            .draw()?;
        // The crate is drawn last, on top.
        for line in panel.lines.iter().rev() {
            let width = if line.thin { 1 } else { 2 + u32::from(line.contender.is_ours()) };
            let style = colour(line.contender).stroke_width(width);
            chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
            chart.draw_series(line.points.iter().map(|point| marker(*point, line.contender, line.thin)))?;
        }
        Ok(())
    }

    fn draw_legend(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let lines = self.panels.iter().flat_map(|panel| &panel.lines);
        let mut contenders: Vec<Contender> = lines.map(|line| line.contender).collect();
        contenders.sort_unstable();
        contenders.dedup();
        let mut y = 44;
        for contender in contenders {
            let colour = colour(contender);
            let width = 2 + u32::from(contender.is_ours());
            area.draw(&PathElement::new(vec![(6, y), (34, y)], colour.stroke_width(width)))?;
            area.draw(&marker((20, y), contender, false))?;
            area.draw(&Text::new(contender.title(), (42, y - 6), (FONT, 13).into_font()))?;
            y += 24;
        }
        Ok(())
    }
}
