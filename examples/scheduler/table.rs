//! A text table whose columns are as wide as their widest cell.

use std::fmt;

/// Rows of as many cells as there are columns.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    /// The heads, and whether a column is of numbers.
    columns: [(&'static str, bool); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(columns: [(&'static str, bool); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = self.columns.map(|(head, _)| head.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut line = |cells: &[String; N]| {
            let mut text = String::new();
            for ((cell, width), (_, is_number)) in cells.iter().zip(widths).zip(self.columns) {
                let cell = if is_number { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
                text.push_str(&cell);
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(&self.columns.map(|(head, _)| head.to_owned()))?;
        line(&widths.map(|width| "-".repeat(width)))?;
        self.rows.iter().try_for_each(&mut line)
    }
}
