//! The summary as tables for a paper: Markdown and LaTeX. A noisy figure is marked.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::plots::{ratio as ratio_of, short, time};
use crate::result::Row;
use crate::sheet::replace;
use crate::summary::{Over, Section, overs, ratios_to, sections};

/// Writes both.
pub(crate) fn write(rows: &[Row], run: &str, directory: &Path) -> io::Result<()> {
    let (sections, overs) = (sections(rows), overs(rows));
    replace(&directory.join("table.md"), &markdown(&sections, &overs, run))?;
    replace(&directory.join("table.tex"), &latex(&sections, &overs, run))
}

/// The cells of a row: contender, deliveries a second, an event with its interval, the ratio with its interval.
fn cells(row: &Row) -> [String; 4] {
    let event = row.nanos_per_event;
    let ratio = row.ratio.map_or_else(String::new, |(_, ratio)| {
        format!("{} [{}, {}]", ratio_of(ratio.value), ratio_of(ratio.low), ratio_of(ratio.high))
    });
    let noisy = if row.noisy { " (noisy)" } else { "" };
    [
        row.point.contender.title().to_owned(),
        short(row.deliveries_per_second),
        format!("{} [{}, {}]{noisy}", time(event.value), time(event.low), time(event.high)),
        ratio,
    ]
}

fn markdown(sections: &[Section<'_>], overs: &[Over], run: &str) -> String {
    let mut text = format!("Run {run}. Medians with 95 % intervals by bootstrap; ratios turn by turn.\n");
    for Section { title, base, rows } in sections {
        let title = format!("{title}{}", ratios_to(*base));
        _ = write!(text, "\n**{title}**\n\n| | deliveries/s | an event | ratio | lacks |\n|---|---|---|---|---|\n");
        for row in rows {
            let [contender, deliveries, event, ratio] = cells(row);
            _ = writeln!(text, "| {contender} | {deliveries} | {event} | {ratio} | {} |", row.point.contender.lacks());
        }
    }
    for Over { title, values, rows } in overs {
        let rule = "|---".repeat(values.len());
        _ = write!(text, "\n**{title}**\n\n| | {} |\n|---{rule}|\n", values.join(" | "));
        for (contender, cells) in rows {
            _ = writeln!(text, "| {} | {} |", contender.title(), cells.join(" | "));
        }
    }
    text
}

fn latex(sections: &[Section<'_>], overs: &[Over], run: &str) -> String {
    let mut text = format!("% Run {run}. Medians with 95 % intervals by bootstrap; ratios turn by turn.\n");
    let escaped = |text: &str| text.replace('%', r"\%").replace('_', r"\_").replace('µ', r"$\mu$");
    for Section { title, base, rows } in sections {
        let title = format!("{title}{}", ratios_to(*base));
        _ = write!(
            text,
            "\\begin{{table}}\n\\caption{{{}}}\n\\begin{{tabular}}{{lrll}}\n\\hline\n\
             & deliveries/s & an event & ratio \\\\\n\\hline\n",
            escaped(&title)
        );
        for row in rows {
            _ = writeln!(text, "{} \\\\", cells(row).map(|cell| escaped(&cell)).join(" & "));
        }
        text += "\\hline\n\\end{tabular}\n\\end{table}\n";
    }
    for Over { title, values, rows } in overs {
        let columns = "l".repeat(values.len() + 1);
        _ = write!(
            text,
            "\\begin{{table}}\n\\caption{{{}}}\n\\begin{{tabular}}{{{columns}}}\n\\hline\n& {} \\\\\n\\hline\n",
            escaped(title),
            values.join(" & ")
        );
        for (contender, cells) in rows {
            _ = writeln!(text, "{} & {} \\\\", contender.title(), escaped(&cells.join(" & ")));
        }
        text += "\\hline\n\\end{tabular}\n\\end{table}\n";
    }
    text
}
