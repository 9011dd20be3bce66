//! What varies beside readers and what they ask for: each with its name, and its values in a run.
//!
//! Tables and plots of one dimension hold all others at their base.

use crate::point::{Mode, Setting};
use crate::result::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    Window,
    Batch,
    Payload,
    Buffer,
    Workers,
    Keys,
    Publishers,
    Churn,
}

impl Dimension {
    const ALL: [Self; 8] = [
        Self::Window,
        Self::Batch,
        Self::Payload,
        Self::Buffer,
        Self::Workers,
        Self::Keys,
        Self::Publishers,
        Self::Churn,
    ];

    /// Those that a sweep varies one at a time.
    const SWEPT: [Self; 7] =
        [Self::Batch, Self::Payload, Self::Buffer, Self::Workers, Self::Keys, Self::Publishers, Self::Churn];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Batch => "batch",
            Self::Payload => "payload",
            Self::Buffer => "buffer",
            Self::Workers => "workers",
            Self::Keys => "keys",
            Self::Publishers => "publishers",
            Self::Churn => "churn",
        }
    }

    /// What an axis says.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Window => "batches that are published before all read them",
            Self::Batch => "events in a batch",
            Self::Payload => "bytes of a payload",
            Self::Buffer => "batches that the structure holds",
            Self::Workers => "threads of the runtime",
            Self::Keys => "keys",
            Self::Publishers => "threads that publish",
            Self::Churn => "readers that leave and join before each window",
        }
    }

    /// Whether its values are numbers.
    pub(crate) const fn is_number(self) -> bool {
        !matches!(self, Self::Keys)
    }

    /// The value in a setting. Keys are numbered.
    pub(crate) const fn of(self, setting: &Setting) -> usize {
        match self {
            Self::Window => setting.window,
            Self::Batch => setting.batch,
            Self::Payload => setting.payload,
            Self::Buffer if setting.buffer == 0 => 2 * setting.window,
            Self::Buffer => setting.buffer,
            Self::Workers => setting.workers,
            Self::Keys => setting.keys as usize,
            Self::Publishers => setting.publishers,
            Self::Churn => setting.churn,
        }
    }

    /// The value as text.
    pub(crate) fn text(self, setting: &Setting) -> String {
        match self {
            Self::Keys => setting.keys.to_string(),
            _ => self.of(setting).to_string(),
        }
    }

    /// The setting with the value that another has.
    const fn take(self, mut setting: Setting, from: &Setting) -> Setting {
        match self {
            Self::Window => setting.window = from.window,
            Self::Batch => setting.batch = from.batch,
            Self::Payload => setting.payload = from.payload,
            Self::Buffer => setting.buffer = from.buffer,
            Self::Workers => setting.workers = from.workers,
            Self::Keys => setting.keys = from.keys,
            Self::Publishers => setting.publishers = from.publishers,
            Self::Churn => setting.churn = from.churn,
        }
        setting
    }
}

/// The base of a mode and a window: of each dimension the value that most rows have, or the first of those. That is the
/// base of a sweep; where all is combined with all it is what came first.
pub(crate) fn base_of(rows: &[Row], mode: Mode, window: usize) -> Option<Setting> {
    let settings: Vec<Setting> = rows.iter().map(|row| row.point.setting).collect();
    let settings: Vec<&Setting> =
        settings.iter().filter(|setting| setting.mode == mode && setting.window == window).collect();
    let mut base = **settings.first()?;
    for dimension in Dimension::SWEPT {
        let share = |one: &Setting| settings.iter().filter(|other| dimension.of(other) == dimension.of(one)).count();
        // The last of equal ones is taken, so the order is reversed.
        if let Some(most) = settings.iter().rev().max_by_key(|setting| share(setting)) {
            base = dimension.take(base, most);
        }
    }
    Some(base)
}

/// The rows of one mode and one dimension, all else at its base, at the largest number of readers.
pub(crate) struct Sweep<'r> {
    pub(crate) mode: Mode,
    pub(crate) dimension: Dimension,
    pub(crate) window: usize,
    pub(crate) subscribers: usize,
    pub(crate) rows: Vec<&'r Row>,
}

impl<'r> Sweep<'r> {
    /// Of every mode, window and dimension with more than one value.
    pub(crate) fn all(rows: &'r [Row]) -> Vec<Self> {
        let mut sweeps = Vec::new();
        for mode in Mode::ALL {
            let mut windows = Vec::new();
            for setting in rows.iter().map(|row| row.point.setting).filter(|setting| setting.mode == mode) {
                if !windows.contains(&setting.window) {
                    windows.push(setting.window);
                }
            }
            let bases: Vec<Setting> = windows.iter().filter_map(|window| base_of(rows, mode, *window)).collect();
            for dimension in Dimension::ALL {
                let bases = if dimension == Dimension::Window { bases.get(..1) } else { Some(&*bases) };
                sweeps.extend(bases.unwrap_or_default().iter().filter_map(|base| Self::of(rows, *base, dimension)));
            }
        }
        sweeps
    }

    fn of(rows: &'r [Row], base: Setting, dimension: Dimension) -> Option<Self> {
        let like = |row: &&Row| {
            let Setting { subscribers, fraction, .. } = row.point.setting;
            row.point.setting == dimension.take(Setting { subscribers, fraction, ..base }, &row.point.setting)
        };
        let rows: Vec<&Row> = rows.iter().filter(like).collect();
        let subscribers = rows.iter().map(|row| row.point.setting.subscribers).max()?;
        let mut rows: Vec<&Row> = rows.into_iter().filter(|row| row.point.setting.subscribers == subscribers).collect();
        // Where all ask for everything, keys make no difference.
        rows.retain(|row| dimension != Dimension::Keys || row.point.setting.groups() > 1);
        let value = |row: &&Row| dimension.of(&row.point.setting);
        let varies = rows.iter().any(|row| rows.first().map(value) != Some(value(row)));
        varies.then_some(Self { mode: base.mode, dimension, window: base.window, subscribers, rows })
    }

    /// The values, from the least.
    pub(crate) fn values(&self) -> Vec<(usize, String)> {
        let settings = self.rows.iter().map(|row| row.point.setting);
        let mut values: Vec<_> =
            settings.map(|setting| (self.dimension.of(&setting), self.dimension.text(&setting))).collect();
        values.sort();
        values.dedup();
        values
    }

    /// The windows, in words, unless they vary.
    pub(crate) fn windows(&self) -> String {
        if self.dimension == Dimension::Window { String::new() } else { format!(", windows of {}", self.window) }
    }
}

/// Whether a setting differs from the base in one dimension at most.
pub(crate) fn is_swept(setting: &Setting, base: &Setting) -> bool {
    let counts = |each: &Dimension| *each != Dimension::Keys || setting.groups() > 1;
    let differs = |each: &Dimension| counts(each) && each.of(setting) != each.of(base);
    Dimension::SWEPT.into_iter().filter(differs).count() <= 1
}
