//! The plots, drawn from rows alone, so that an old run can be plotted again.
//!
//! A picture is a row of panels on the same axes. Intervals are drawn, each line has its label at its end, and a figure
//! that is noisy is a ring instead of a dot.

use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::contenders::Contender;
use crate::dimension::{Dimension, Sweep, base_of};
use crate::open_loop::Arrivals;
use crate::point::{Keys, Setting};
use crate::result::{FEWEST_PASSES, NOISY, Row};
use crate::stats::Estimate;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const PANEL: (u32, u32) = (400, 380);
/// Room for the labels of the lines, beside each panel.
const LABELS: u32 = 178;
const TITLE: u32 = 84;
/// A picture of one panel is made as wide as its title needs.
const LEAST_WIDTH: u32 = 700;
const FONT: &str = "sans-serif";
/// The distance of two labels.
const LABEL_HEIGHT: i32 = 15;

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

/// A ratio, with three digits where it is small.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio < 0.0995 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}

fn times(ratio: f64) -> String {
    format!("{}×", short(ratio))
}

/// A figure at a place on the horizontal axis.
#[derive(Clone, Copy, Debug)]
struct At {
    x: f64,
    y: Estimate,
    noisy: bool,
}

/// One line of a panel.
struct Line {
    contender: Contender,
    points: Vec<At>,
}

struct Panel {
    caption: String,
    lines: Vec<Line>,
}

/// What an axis shows, how its numbers are written, and a value that it must show, as a line across.
#[derive(Clone, Copy)]
struct Axis {
    name: &'static str,
    write: fn(f64) -> String,
    line_at: Option<f64>,
}

struct Picture {
    title: String,
    subtitle: String,
    x: Axis,
    y: Axis,
    panels: Vec<Panel>,
}

const READERS: Axis = Axis { name: "readers", write: short, line_at: None };

/// Draws every picture for which there are enough rows, and returns the files.
pub(crate) fn draw(rows: &[Row], directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut drawn = Vec::new();
    let mut kinds: Vec<Setting> = Vec::new();
    for row in rows {
        let setting = row.point.setting;
        let Some(base) = base_of(rows, setting.mode, setting.window) else { continue };
        let Setting { workers, keys, .. } = setting;
        let kind = Setting { workers, keys, ..base };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    for kind in kinds {
        let like = |row: &&Row| {
            let Setting { subscribers, fraction, .. } = row.point.setting;
            row.point.setting == Setting { subscribers, fraction, ..kind }
        };
        let rows: Vec<&Row> = rows.iter().filter(like).collect();
        let Setting { mode, window, workers, keys, .. } = kind;
        let subtitle = subtitle_of(&kind, None);
        for (name, picture) in pictures(&rows, &subtitle) {
            let workers = if workers > 0 { format!("-{workers}-workers") } else { String::new() };
            let by_zipf = if keys == Keys::Zipf { "-zipf" } else { "" };
            let path = directory.join(format!("{name}-{mode}-window-{window}{workers}{by_zipf}.svg"));
            if picture.draw(&path)? {
                drawn.push(path);
            }
        }
    }
    for sweep in Sweep::all(rows).iter().filter(|sweep| sweep.dimension.is_number()) {
        let name = match sweep.dimension {
            Dimension::Window => format!("over-window-{}.svg", sweep.mode),
            dimension => format!("over-{}-{}-window-{}.svg", dimension.name(), sweep.mode, sweep.window),
        };
        let path = directory.join(name);
        if over(sweep).is_some_and(|picture| picture.draw(&path).unwrap_or_default()) {
            drawn.push(path);
        }
    }
    Ok(drawn)
}

/// What the rows of a picture have in common, but for what varies, and how to read it.
fn subtitle_of(setting: &Setting, varies: Option<Dimension>) -> String {
    let Setting { mode, batch, payload, window, workers, keys, publishers, churn, .. } = setting;
    let facts = [
        (Dimension::Buffer, setting.buffer > 0, format!("a buffer of {}", setting.buffer)),
        (Dimension::Workers, *workers > 0, format!("{workers} workers")),
        (Dimension::Publishers, *publishers > 1, format!("{publishers} publishers")),
        (Dimension::Churn, *churn > 0, format!("{churn} readers replaced before each window")),
        (Dimension::Keys, true, format!("{keys} keys")),
        (Dimension::Window, true, format!("windows of {window}")),
        (Dimension::Batch, true, format!("batches of {batch}")),
        (Dimension::Payload, true, format!("payloads of {payload} bytes")),
    ];
    let facts = facts.into_iter().filter(|(dimension, said, _)| *said && varies != Some(*dimension));
    let facts: Vec<String> = facts.map(|(_, _, text)| text).collect();
    format!("{}; {}\nbars are 95 % intervals, a ring is a noisy figure", mode.title(), facts.join(", "))
}

/// The time of an event over one dimension, a panel for each fraction.
fn over(sweep: &Sweep<'_>) -> Option<Picture> {
    let first = sweep.rows.first()?.point.setting;
    let dimension = sweep.dimension;
    let panels = by_fraction(
        &sweep.rows,
        |row| count(dimension.of(&row.point.setting) as u64).max(NOTHING),
        |row| Some(row.nanos_per_event),
    );
    Some(Picture {
        title: format!("Time of an event, published and read by {}", crowd(short(count(sweep.subscribers as u64)))),
        subtitle: subtitle_of(&first, Some(dimension)),
        x: Axis { name: dimension.title(), write: whole, line_at: None },
        y: Axis { name: "an event takes", write: time, line_at: None },
        panels,
    })
}

/// Where a logarithmic axis has 0.
const NOTHING: f64 = 0.5;

/// A number as it was given, if it is not large.
fn whole(value: f64) -> String {
    match value {
        value if value <= NOTHING => "0".to_owned(),
        value if value < 10_000.0 => format!("{value:.0}"),
        value => short(value),
    }
}

fn pictures(rows: &[&Row], subtitle: &str) -> Vec<(&'static str, Picture)> {
    let deliveries = |row: &Row| {
        let Estimate { low, value, high } = row.nanos_per_event;
        let each = row.deliveries_per_second;
        Some(Estimate { low: each * value / high, value: each, high: each * value / low })
    };
    let picture =
        |title: String, y: Axis, panels| Picture { title, subtitle: subtitle.to_owned(), x: READERS, y, panels };
    let axis = |name, write, line_at| Axis { name, write, line_at };
    let many =
        rows.iter().any(|row| row.point.setting.groups() != rows.first().map_or(0, |row| row.point.setting.groups()));
    let mut pictures = vec![
        (
            "throughput",
            picture(
                "Deliveries of events a second".to_owned(),
                axis("deliveries a second", short, None),
                by_fraction(rows, readers, deliveries),
            ),
        ),
        (
            "ratio",
            picture(
                "Time of an event, published and read by all, as a multiple of another".to_owned(),
                axis("ratio, turn by turn", times, Some(1.0)),
                ratio_panels(rows),
            ),
        ),
        (
            "publish",
            picture(
                "Time of a publish, median".to_owned(),
                axis("a publish takes", time, None),
                by_fraction(rows, readers, |row| Some(row.publish_p50)),
            ),
        ),
    ];
    if many {
        pictures.push((
            "selectivity",
            Picture {
                x: Axis { name: "fraction of the events that a reader asks for", write: short, line_at: None },
                ..picture(
                    "Time of an event, published and read by all".to_owned(),
                    axis("an event takes", time, None),
                    by_readers(rows),
                )
            },
        ));
    }
    pictures
}

#[expect(clippy::cast_precision_loss, reason = "for show")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

fn readers(row: &Row) -> f64 {
    count(row.point.setting.subscribers as u64)
}

/// The values once each, from the largest.
pub(crate) fn distinct(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(|a, b| b.total_cmp(a));
    values.dedup();
    values
}

/// Ratios over the number of readers. A panel says what they are to.
fn ratio_panels(rows: &[&Row]) -> Vec<Panel> {
    let mut panels = by_fraction(rows, readers, |row| row.ratio.map(|(_, ratio)| ratio));
    for (panel, fraction) in panels.iter_mut().zip(fractions(rows)) {
        let of_panel = |row: &&&Row| row.point.setting.fraction.total_cmp(&fraction).is_eq();
        if let Some((base, _)) = rows.iter().filter(of_panel).find_map(|row| row.ratio) {
            panel.caption = format!("{}; of {base}", part(fraction));
        }
    }
    panels
}

fn fractions(rows: &[&Row]) -> Vec<f64> {
    distinct(rows.iter().map(|row| row.point.setting.fraction).collect())
}

/// A panel for each fraction.
fn by_fraction(rows: &[&Row], x: impl Fn(&Row) -> f64, value: impl Fn(&Row) -> Option<Estimate>) -> Vec<Panel> {
    let panel = |fraction: f64| {
        let mut lines = Vec::<Line>::new();
        for row in rows.iter().filter(|row| row.point.setting.fraction.total_cmp(&fraction).is_eq()) {
            if let Some(y) = value(row) {
                add(
                    &mut lines,
                    row.point.contender,
                    At { x: x(row), y, noisy: y.uncertainty() > NOISY || row.passes < FEWEST_PASSES },
                );
            }
        }
        Panel { caption: format!("each reader asks for {}", part(fraction)), lines }
    };
    fractions(rows).into_iter().map(panel).collect()
}

/// Over the fraction, a panel for the three largest numbers of readers.
fn by_readers(rows: &[&Row]) -> Vec<Panel> {
    let panel = |subscribers: f64| {
        let mut lines = Vec::<Line>::new();
        for row in rows.iter().filter(|row| readers(row).total_cmp(&subscribers).is_eq()) {
            let at = At { x: row.point.setting.fraction, y: row.nanos_per_event, noisy: row.noisy };
            add(&mut lines, row.point.contender, at);
        }
        Panel { caption: crowd(short(subscribers)), lines }
    };
    let mut largest: Vec<f64> = distinct(rows.iter().map(|row| readers(row)).collect());
    largest.truncate(3);
    largest.into_iter().rev().map(panel).collect()
}

fn add(lines: &mut Vec<Line>, contender: Contender, at: At) {
    // A logarithmic axis cannot show 0.
    if at.y.low <= 0.0 || !at.y.high.is_finite() {
        return;
    }
    match lines.iter_mut().find(|line| line.contender == contender) {
        Some(line) => {
            let place = line.points.partition_point(|other| other.x <= at.x);
            line.points.insert(place, at);
        }
        None => lines.push(Line { contender, points: vec![at] }),
    }
}

/// Latencies under load, of one contender at one rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Curve {
    pub(crate) contender: Contender,
    pub(crate) arrivals: Arrivals,
    pub(crate) subscribers: f64,
    pub(crate) rate: f64,
    /// The quantile of all, and the least and the most of the rounds.
    pub(crate) p50: [f64; 3],
    pub(crate) p99: [f64; 3],
    /// Of each of the two.
    pub(crate) noisy: [bool; 2],
}

impl Curve {
    /// What contenders at the same point have in common.
    pub(crate) fn setting(&self) -> String {
        let Self { arrivals, subscribers, rate, .. } = self;
        format!("open, {arrivals}, subscribers {subscribers}, rate {rate}")
    }

    pub(crate) fn is_same_point(&self, other: &Self) -> bool {
        let of = |curve: &Self| (curve.contender, curve.arrivals);
        let same = |a: f64, b: f64| a.total_cmp(&b).is_eq();
        of(self) == of(other) && same(self.subscribers, other.subscribers) && same(self.rate, other.rate)
    }
}

/// Draws latency over rate: a picture for each number of readers and quantile, a panel for each kind of arrivals.
pub(crate) fn draw_latency(curves: &[Curve], directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut drawn = Vec::new();
    for subscribers in distinct(curves.iter().map(|curve| curve.subscribers).collect()) {
        type Of = fn(&Curve) -> ([f64; 3], bool);
        let of_quantile: [(&str, Of); 2] =
            [("p50", |curve| (curve.p50, curve.noisy[0])), ("p99", |curve| (curve.p99, curve.noisy[1]))];
        for (name, of) in of_quantile {
            let panel = |arrivals: Arrivals| {
                let mut lines = Vec::new();
                let like =
                    |curve: &&Curve| curve.subscribers.total_cmp(&subscribers).is_eq() && curve.arrivals == arrivals;
                for curve in curves.iter().filter(like) {
                    let ([value, low, high], noisy) = of(curve);
                    add(&mut lines, curve.contender, At { x: curve.rate, y: Estimate { low, value, high }, noisy });
                }
                Panel { caption: format!("arrivals: {arrivals}"), lines }
            };
            let picture = Picture {
                title: format!("Latency under load, {name}, from when a batch was due to its delivery"),
                subtitle: format!(
                    "{}, as tasks on one thread, the publisher on another\n\
                     bars go from the least to the most of the rounds, a ring is a noisy figure",
                    crowd(short(subscribers))
                ),
                x: Axis { name: "batches a second", write: short, line_at: None },
                y: Axis { name: "latency", write: time, line_at: None },
                panels: Arrivals::ALL.map(panel).into_iter().filter(|panel| !panel.lines.is_empty()).collect(),
            };
            let path = directory.join(format!("latency-{name}-{}-readers.svg", short(subscribers)));
            if picture.draw(&path)? {
                drawn.push(path);
            }
        }
    }
    Ok(drawn)
}

/// Colours that most readers with colour blindness can distinguish.
fn colour(contender: Contender) -> RGBColor {
    match contender {
        Contender::Drain => RGBColor(200, 30, 30),
        Contender::Owned => RGBColor(225, 115, 40),
        Contender::Tokio => RGBColor(30, 90, 180),
        Contender::TokioByValue => RGBColor(20, 40, 90),
        Contender::TokioEncoded => RGBColor(90, 60, 170),
        Contender::AsyncBroadcast => RGBColor(60, 160, 215),
        Contender::Crossbeam => RGBColor(20, 130, 80),
        Contender::CrossbeamEncoded => RGBColor(120, 150, 20),
        Contender::Flume => RGBColor(110, 170, 50),
        Contender::Rtrb => RGBColor(140, 80, 170),
        Contender::Ring => RGBColor(95, 95, 95),
        Contender::Empty => RGBColor(165, 165, 165),
    }
}

/// A range that holds the values on a logarithmic axis, somewhat larger on both sides. It spans a factor of three at
/// least, so that small differences look small.
fn span(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let (low, high) = values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    (high > 0.0).then(|| {
        let missing = (3.0 / (high / low)).max(1.0).sqrt();
        low / missing / 1.15..high * missing * 1.15
    })
}

/// The numbers that an axis shows: powers of ten, and 2 and 5 times them where there are few.
fn key_points(span: &Range<f64>) -> Vec<f64> {
    let decades = (span.end / span.start).log10();
    let steps: &[f64] = if decades < 1.0 {
        &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]
    } else if decades < 3.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let first = span.start.log10().floor();
    let count = decades.ceil() + 1.0;
    let powers = std::iter::successors(Some(0.0), |step| Some(step + 1.0)).take_while(|step| *step <= count);
    let points = powers.flat_map(|step| steps.iter().map(move |each| each * 10_f64.powf(first + step)));
    points.filter(|point| span.contains(point)).collect()
}

/// Moves labels apart, in the order of their places, so that none covers another: each group of labels that would is
/// centred at the mean of its places.
fn spread_labels(places: &mut [(i32, usize)], within: &Range<i32>) {
    places.sort_unstable();
    // Sums and sizes of groups. A place counts without the height of the labels before it, so that those of a group are
    // equal.
    let mut groups: Vec<(i32, i32)> = Vec::new();
    let mut above = 0;
    for (place, _) in places.iter() {
        groups.push((*place - above, 1));
        above += LABEL_HEIGHT;
        while let [.., (sum, size), (last_sum, last_size)] = groups.as_slice() {
            if sum * last_size <= last_sum * size {
                break;
            }
            let joined = (sum + last_sum, size + last_size);
            groups.truncate(groups.len() - 2);
            groups.push(joined);
        }
    }
    let centred = groups.iter().flat_map(|(sum, size)| (0..*size).map(move |_| sum / size));
    let mut above = 0;
    for ((place, _), centre) in places.iter_mut().zip(centred) {
        *place = centre + above;
        above += LABEL_HEIGHT;
    }
    let over = places.last().map_or(0, |(last, _)| (last - within.end).max(0));
    let under = places.first().map_or(0, |(first, _)| (within.start - first).max(0));
    for (place, _) in places.iter_mut() {
        *place += under - over;
    }
}

/// Writes the lines below a title.
fn subtitle(title: &Area<'_>, lines: &str) -> Result<(), Box<dyn Error>> {
    let mut y = 38;
    for line in lines.lines() {
        title.draw(&Text::new(line.to_owned(), (14, y), (FONT, 12).into_font()))?;
        y += LABEL_HEIGHT + 1;
    }
    Ok(())
}

impl Picture {
    /// Returns whether there was anything to draw.
    fn draw(&self, path: &Path) -> Result<bool, Box<dyn Error>> {
        let points = || self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let ends = points().flat_map(|at| [at.y.low, at.y.high]).chain(self.y.line_at);
        let (Some(x), Some(y)) = (span(points().map(|at| at.x)), span(ends)) else { return Ok(false) };
        let width = PANEL.0 + LABELS;
        let size = ((width * u32::try_from(self.panels.len())?).max(LEAST_WIDTH), PANEL.1 + TITLE);
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (title, body) = root.split_vertically(TITLE);
        title.draw(&Text::new(self.title.clone(), (14, 12), (FONT, 18).into_font()))?;
        subtitle(&title, &self.subtitle)?;
        let body = body.margin(0, 0, 0, size.0 - width * u32::try_from(self.panels.len())?);
        for (panel, area) in self.panels.iter().zip(body.split_evenly((1, self.panels.len()))) {
            self.draw_panel(panel, &area, x.clone(), y.clone())?;
        }
        root.present()?;
        Ok(true)
    }

    /// The numbers on the horizontal axis: those that were measured, or if these are many, round ones.
    fn places(&self, x: &Range<f64>) -> Vec<f64> {
        let points = self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let mut measured = distinct(points.map(|at| at.x).collect());
        measured.reverse();
        // As wide as a label.
        let apart = |pair: &[f64]| matches!(pair, [a, b] if b / a >= (x.end / x.start).powf(0.08));
        if measured.len() <= 8 && measured.windows(2).all(apart) { measured } else { key_points(x) }
    }

    fn draw_panel(&self, panel: &Panel, area: &Area<'_>, x: Range<f64>, y: Range<f64>) -> Result<(), Box<dyn Error>> {
        let (plot, _) = area.split_horizontally(PANEL.0);
        let mut chart = ChartBuilder::on(&plot)
            .margin(10)
            .margin_right(4)
            .caption(&panel.caption, (FONT, 15))
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(
                x.clone().log_scale().with_key_points(self.places(&x)),
                y.clone().log_scale().with_key_points(key_points(&y)),
            )?;
        chart
            .configure_mesh()
            .x_desc(self.x.name)
            .y_desc(self.y.name)
            .x_labels(8)
            .y_labels(8)
            .x_label_formatter(&|value| (self.x.write)(*value))
            .y_label_formatter(&|value| (self.y.write)(*value))
            .label_style((FONT, 12))
            .axis_desc_style((FONT, 13))
            .bold_line_style(BLACK.mix(0.18))
            .light_line_style(BLACK.mix(0.05))
            .draw()?;
        if let Some(at) = self.y.line_at {
            chart.draw_series(LineSeries::new([(x.start, at), (x.end, at)], BLACK.mix(0.6)))?;
        }
        let mut labels = Vec::new();
        // The crate is drawn last, on top.
        for (number, line) in panel.lines.iter().enumerate().rev() {
            let colour = colour(line.contender);
            let width = 1 + u32::from(line.contender.is_ours());
            chart.draw_series(LineSeries::new(
                line.points.iter().map(|at| (at.x, at.y.value)),
                colour.stroke_width(width),
            ))?;
            chart.draw_series(line.points.iter().map(|at| {
                PathElement::new(vec![(at.x, at.y.low), (at.x, at.y.high)], colour.mix(0.6).stroke_width(2))
            }))?;
            chart.draw_series(line.points.iter().map(|at| {
                let style = if at.noisy { colour.stroke_width(2) } else { colour.filled() };
                Circle::new((at.x, at.y.value), 4, style)
            }))?;
            if let Some(last) = line.points.iter().max_by(|a, b| a.x.total_cmp(&b.x)) {
                let (x, y) = chart.backend_coord(&(last.x, last.y.value));
                labels.push((y, number, x));
            }
        }
        let (top, bottom) = (chart.backend_coord(&(x.start, y.end)).1, chart.backend_coord(&(x.start, y.start)).1);
        let mut places: Vec<(i32, usize)> = labels.iter().map(|(y, number, _)| (*y, *number)).collect();
        spread_labels(&mut places, &(top..bottom));
        let origin = area.get_base_pixel();
        for (place, number) in places {
            let (Some(line), Some((y, _, x))) =
                (panel.lines.get(number), labels.iter().find(|label| label.1 == number))
            else {
                continue;
            };
            let colour = colour(line.contender);
            let inside = |(x, y): (i32, i32)| (x - origin.0, y - origin.1);
            let right = i32::try_from(PANEL.0)?;
            let (_, place) = inside((0, place));
            let lead = vec![inside((x + 6, *y)), (right, place), (right + 6, place)];
            area.draw(&PathElement::new(lead, colour.mix(0.5)))?;
            let text = (FONT, 12).into_font().color(&colour);
            area.draw(&Text::new(line.contender.title(), (right + 10, place - 6), text))?;
        }
        Ok(())
    }
}

/// A change of a contender from one run to another.
pub(crate) struct Change {
    pub(crate) label: String,
    pub(crate) factor: Estimate,
    /// The factor of each point.
    pub(crate) points: Vec<f64>,
    /// How far from 1 a factor may be by noise.
    pub(crate) limit: f64,
    pub(crate) contender: Contender,
}

const CHANGE_HEIGHT: u32 = 24;

/// What has changed by more than this is drawn at the edge.
const LEAST_SHOWN: f64 = 0.1;

/// Draws changes as a row each: the factors of the points, their mean with its interval, and the limit of noise.
pub(crate) fn draw_changes(changes: &[Change], subtitle: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    let values =
        changes.iter().flat_map(|change| change.points.iter().copied().chain([change.factor.low, change.factor.high]));
    let (low, high) = values.fold((0.9_f64, 1.1_f64), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = (low.max(LEAST_SHOWN) * 0.98, high.min(1.0 / LEAST_SHOWN) * 1.02);
    let height = CHANGE_HEIGHT * u32::try_from(changes.len())? + 70;
    let root = SVGBackend::new(path, (900, height + TITLE)).into_drawing_area();
    root.fill(&WHITE)?;
    let (title, body) = root.split_vertically(TITLE);
    title.draw(&Text::new(
        "Change of the time of an event or of latency: after, as a multiple of before",
        (14, 12),
        (FONT, 18).into_font(),
    ))?;
    self::subtitle(&title, subtitle)?;
    let (names, plot) = body.split_horizontally(270);
    let rows = count(changes.len() as u64);
    let mut chart = ChartBuilder::on(&plot)
        .margin(6)
        .margin_right(30)
        .x_label_area_size(44)
        .build_cartesian_2d(low..high, 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(9)
        .x_label_formatter(&|value| format!("{value:.2}×"))
        .x_desc(
            "dots are points, bars the geometric mean with its interval; grey is noise, by what cannot have changed",
        )
        .label_style((FONT, 12))
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(BLACK.mix(0.04))
        .draw()?;
    for (number, change) in changes.iter().enumerate() {
        let y = rows - count(number as u64) - 0.5;
        let colour = colour(change.contender);
        let (from, to) = ((1.0 / change.limit).max(low), change.limit.min(high));
        chart.draw_series([Rectangle::new([(from, y - 0.45), (to, y + 0.45)], BLACK.mix(0.08).filled())])?;
        let points = change.points.iter().map(|factor| factor.clamp(low, high));
        chart.draw_series(points.map(|factor| Circle::new((factor, y), 2, colour.mix(0.35).filled())))?;
        let Estimate { low: from, value, high: to } = change.factor;
        let bar = vec![(from.max(low), y), (to.min(high), y)];
        chart.draw_series([PathElement::new(bar, colour.stroke_width(3))])?;
        chart.draw_series([Circle::new((value.clamp(low, high), y), 5, colour.filled())])?;
        let (_, place) = chart.backend_coord(&(low, y));
        let place = place - names.get_base_pixel().1;
        names.draw(&Text::new(change.label.clone(), (14, place - 7), (FONT, 13).into_font().color(&colour)))?;
    }
    chart.draw_series([PathElement::new(vec![(1.0, 0.0), (1.0, rows)], BLACK.mix(0.7))])?;
    root.present()?;
    Ok(())
}
