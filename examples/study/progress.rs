//! Progress on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use std::fmt::Display;

#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    done: usize,
    start: Instant,
    /// When a plain line was last written.
    printed: Option<Instant>,
}

/// How often there is a plain line.
const PLAIN: Duration = Duration::from_secs(2);

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            let style =
                ProgressStyle::with_template("{bar:30} {pos}/{len}, {wide_msg}").expect("a template that is fixed");
            bar.set_style(style);
            bar
        });
        Self { bar, total, done: 0, start: Instant::now(), printed: None }
    }

    /// Shows what is measured next.
    pub(crate) fn begin(&mut self, what: &impl Display) {
        let message = format!("{} left, {what}", self.left());
        if let Some(bar) = &self.bar {
            bar.set_message(message);
        } else if self.printed.is_none_or(|printed| printed.elapsed() >= PLAIN) {
            self.printed = Some(Instant::now());
            eprintln!("{}/{}, {message}", self.done, self.total);
        }
    }

    pub(crate) fn done(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
        }
    }

    pub(crate) fn finish(self) {
        match self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => eprintln!("{} settings and passes in {} s", self.done, self.start.elapsed().as_secs()),
        }
    }

    /// The remaining time, if the remaining points take as long as those before.
    fn left(&self) -> String {
        if self.done == 0 {
            return "unknown time".to_owned();
        }
        let each = self.start.elapsed() / u32::try_from(self.done).unwrap_or(u32::MAX);
        let seconds = (each * u32::try_from(self.total - self.done).unwrap_or(u32::MAX)).as_secs();
        if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
    }
}
