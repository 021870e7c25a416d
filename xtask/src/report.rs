//! What people and programs read: stdout is the result (text or JSON), stderr is progress.

mod clean;
pub mod page;
pub mod plot;
mod silence;
mod ticker;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::domain::timeline::Timing;
use crate::secret::scrub;
pub use clean::{clean, one_line, shortened};
pub use silence::{Question, Waiting, question, waiting_for, watch_silence};
pub use ticker::{Ticker, shown_bar};

/// The form of the result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
    /// One page without outside parts (`metrics` only)
    Html,
}

static VERBOSE: OnceLock<bool> = OnceLock::new();

/// `--verbose`: each command that is run is said on stderr.
pub fn set_verbose(verbose: bool) {
    VERBOSE.get_or_init(|| verbose);
}

/// One line of progress on stderr, scrubbed.
pub fn progress(line: &str) {
    silence::line_printed();
    // A closed stderr must not end an operation midway.
    ticker::beside_bars(|| writeln!(std::io::stderr(), "{}", clean(&scrub(line))).ok());
}

/// A detail on stderr, with `--verbose` only.
pub fn trace(line: &str) {
    if VERBOSE.get().copied().unwrap_or(false) {
        progress(line);
    }
}

/// A value together with the name of its schema, as every JSON that we write.
#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    schema: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// The one JSON writer: two spaces, `"schema"` first, a newline at the end.
pub fn to_json<T: Serialize>(schema: &str, body: &T) -> Result<String> {
    let mut text = serde_json::to_string_pretty(&Document { schema, body })
        .with_context(|| format!("cannot write {schema} as JSON"))?;
    text.push('\n');
    Ok(text)
}

/// The one-line form, for journals and records. Nothing is blanked out: a later process reads names and paths from it, and
/// one of them may have the same letters as a secret. No record is given a secret; texts that may name one (errors,
/// reasons) are scrubbed where they are made.
pub fn json_line<T: Serialize>(body: &T) -> Result<String> {
    let value = serde_json::to_value(body).context("cannot write a record as JSON")?;
    Ok(format!("{value}\n"))
}

/// The result of a command that only reads, on stdout: JSON of `body`, or the text for people. An error where it cannot be
/// written; not where the reader has ended, as `head` does.
pub fn emit<T: Serialize>(
    format: Format,
    schema: &str,
    body: &T,
    text: impl FnOnce() -> String,
) -> Result<()> {
    let shown = match format {
        Format::Json => clean::escape_in_json(&to_json(schema, body)?),
        Format::Text => clean(&text()).into_owned(),
        Format::Html => bail!("{schema} has no HTML form"),
    };
    print(&shown)
}

/// The result of a command that changed something. It is changed and recorded whether or not anybody can read the result,
/// and the exit code reports the change: a full disk or a closed pipe behind stdout is a warning.
pub fn emit_done<T: Serialize>(format: Format, schema: &str, body: &T, text: impl FnOnce() -> String) {
    if let Err(error) = emit(format, schema, body, text) {
        warn_done(&error);
    }
}

/// A result that could not be written after the change that it describes.
pub fn warn_done(error: &anyhow::Error) {
    progress(&format!(
        "warning: {error:#}; what the command changed is done and recorded"
    ));
}

/// Writes to stdout, whole. See [`emit`] for its errors.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the result to stdout"),
    }
}

/// Appends Markdown to the step summary, where GitHub Actions gives us one.
pub fn step_summary(markdown: &str) -> Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY") else {
        return Ok(());
    };
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .context("cannot open the step summary")?;
    file.write_all(scrub(markdown).as_bytes())
        .context("cannot write the step summary")
}

/// Gives later steps of a workflow job a value, where GitHub Actions asks for outputs. Not scrubbed: programs read it.
pub fn step_output(name: &str, value: &str) -> Result<()> {
    let Some(path) = std::env::var_os("GITHUB_OUTPUT") else {
        return Ok(());
    };
    // A value of several lines ends at a word that nobody can have put into it.
    let end = format!("end-{:032x}", rand::random::<u128>());
    let text = format!("{name}<<{end}\n{value}\n{end}\n");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .context("cannot open the file of the step's outputs")?;
    file.write_all(text.as_bytes())
        .context("cannot write the step's outputs")
}

/// Whether this is a job of a workflow on GitHub ("Variables reference": always `true` there).
pub fn is_workflow() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// A table for a terminal: columns padded with spaces, no lines. On a terminal the last column is wrapped at its edge.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    table_within(terminal_columns(), header, rows)
}

/// A table whose rows have a line of free text or a command each below them. No column is wrapped.
pub fn table_with_notes(header: &[&str], rows: impl Iterator<Item = (Vec<String>, Vec<String>)>) -> String {
    let (rows, notes): (Vec<_>, Vec<Vec<String>>) = rows.unzip();
    let table = table_within(None, header, &rows);
    let mut lines = table.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (line, notes) in lines.zip(notes) {
        writeln!(text, "{line}").expect("writing to a string");
        for note in notes {
            writeln!(text, "   {}", one_line(&note)).expect("writing to a string");
        }
    }
    text
}

/// A last column narrower than this is not worth wrapping.
const LEAST_LAST_COLUMN: usize = 20;

fn table_within(columns: Option<u16>, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(header.iter().copied());
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| one_line(cell))));
    if let Some(columns) = columns {
        let widths = table.column_max_content_widths();
        let fixed = &widths[..widths.len().saturating_sub(1)];
        // Each column has a space on both sides.
        let before = fixed.iter().map(|width| usize::from(*width) + 2).sum::<usize>() + 2;
        if usize::from(columns) >= before + LEAST_LAST_COLUMN {
            table
                .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
                .set_width(columns);
            for column in table.column_iter_mut().take(fixed.len()) {
                column.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
            }
        }
    }
    table.lines().fold(String::new(), |mut text, line| {
        writeln!(text, "{}", line.trim_end()).expect("writing to a string");
        text
    })
}

/// How wide the terminal is that the result goes to; a file has no edge.
fn terminal_columns() -> Option<u16> {
    let stdout = std::io::stdout();
    let size = stdout
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stdout))?
        .ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Each row as a line.
pub fn lines(rows: &[String]) -> String {
    rows.iter().fold(String::new(), |text, row| text + row + "\n")
}

/// The steps of an operation with their times beside their budgets; `*` marks the chain that decided.
pub fn timeline(timings: &[Timing]) -> String {
    let rows: Vec<Vec<String>> = timings
        .iter()
        .map(|timing| {
            let budget = timing
                .budget_ms
                .map(|budget_ms| budget_cell(timing.duration_ms, budget_ms));
            let budget = budget.unwrap_or_default();
            let mark = if timing.critical { "*" } else { "" };
            let start = format!("+{}", duration_ms(timing.start_ms));
            vec![
                mark.into(),
                timing.step.clone(),
                start,
                duration_ms(timing.duration_ms),
                budget,
            ]
        })
        .collect();
    table(&["", "step", "start", "took", "budget"], &rows)
}

fn budget_cell(took_ms: u64, budget_ms: u64) -> String {
    let budget = duration_ms(budget_ms);
    if took_ms <= budget_ms {
        return budget;
    }
    format!("{budget}, missed by {}", duration_ms(took_ms - budget_ms))
}

/// Bytes for people, in decimal units.
pub fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}

/// How long the recovery took, and what of it was not the platforms' or mongorestore's.
pub fn recovered(recovery_ms: u64, unavoidable_ms: u64, budget_ms: u64) -> String {
    let of = if recovery_ms > budget_ms {
        format!(
            "{} over the budget of",
            duration_ms(recovery_ms.saturating_sub(budget_ms))
        )
    } else {
        "of".to_owned()
    };
    format!(
        "recovered in {}, {of} {}: mongorestore and then the slower platform took {}, all else {} ({:.1} % of the whole)",
        duration_ms(recovery_ms),
        duration_ms(budget_ms),
        duration_ms(unavoidable_ms),
        duration_ms(recovery_ms.saturating_sub(unavoidable_ms)),
        overhead_percent(recovery_ms, unavoidable_ms)
    )
}

/// What a recovery took beside what was unavoidable, in percent of the whole: what a platform or a database took in no time at
/// all makes no number without meaning.
pub fn overhead_percent(recovery_ms: u64, unavoidable_ms: u64) -> f64 {
    recovery_ms.saturating_sub(unavoidable_ms) as f64 * 100.0 / recovery_ms.max(1) as f64
}

/// A duration for people: `850 ms`, `12.3 s`, `4 min 05 s`.
pub fn duration_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{duration_ms, recovered, table_within, timeline};
    use crate::domain::timeline::Timing;

    #[test]
    fn no_part_of_a_recovery_is_more_than_the_whole() {
        let told = recovered(10_000, 190, 900_000);
        assert!(
            told.starts_with("recovered in 10.0 s, of 15 min 00 s: mongorestore"),
            "{told}"
        );
        assert!(told.ends_with("all else 9.8 s (98.1 % of the whole)"), "{told}");
        // A database that was kept, beside platforms that served already.
        assert!(recovered(53_730, 0, 1).ends_with("(100.0 % of the whole)"));
        assert!(recovered(0, 0, 1).ends_with("(0.0 % of the whole)"));
    }

    #[test]
    fn a_budget_that_was_missed_is_told_with_by_how_much() {
        let told = recovered(1_200_000, 600_000, 900_000);
        assert!(
            told.contains("recovered in 20 min 00 s, 5 min 00 s over the budget of 15 min 00 s: "),
            "{told}"
        );
        let timing = |duration_ms| Timing {
            step: "backend back".into(),
            start_ms: 0,
            duration_ms,
            budget_ms: Some(420_000),
            critical: false,
        };
        let told = timeline(&[timing(420_000), timing(480_000)]);
        let rows: Vec<&str> = told.lines().skip(1).collect();
        assert!(rows[0].ends_with("7 min 00 s"), "{told}");
        assert!(rows[1].ends_with("7 min 00 s, missed by 1 min 00 s"), "{told}");
    }

    #[test]
    fn durations_are_told_in_the_units_that_people_use() {
        let told = [0, 999, 1_000, 59_949, 60_000, 3_599_999, 3_600_000, 90_000_000].map(duration_ms);
        let expected = [
            "0 ms",
            "999 ms",
            "1.0 s",
            "59.9 s",
            "1 min 00 s",
            "59 min 59 s",
            "1 h 00 min",
            "25 h 00 min",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_table_keeps_within_the_terminal_where_its_last_column_can_be_wrapped() {
        let why = "what follows is a reason that nobody kept short ".repeat(3);
        let rows = [vec!["prod-20260102-030405".to_owned(), "ann".into(), why.clone()]];
        let header = ["release", "by", "why"];
        let narrow = table_within(Some(80), &header, &rows);
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert!(
            narrow.lines().count() > 2 && narrow.contains(" prod-20260102-030405  ann "),
            "{narrow}"
        );
        assert!(
            narrow
                .lines()
                .skip(2)
                .all(|line| line.starts_with(&" ".repeat(28))),
            "{narrow}"
        );
        // Nothing to gain on a strip, and nothing to keep within in a file.
        for columns in [Some(40), None] {
            let whole = table_within(columns, &header, &rows);
            assert!(whole.contains(why.trim_end()), "{whole}");
        }
    }
}
