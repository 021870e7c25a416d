//! The one form of all measurements: rows, how costs grow with data, and the table of both.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::machine::Machine;
use xtask::context::Context;
use xtask::report;

/// Name of the JSON form.
pub(super) const SCHEMA: &str = "bench/1";

/// Figures that only one bench has, by names with units.
pub(super) type Facts = BTreeMap<&'static str, f64>;

/// What one side of a comparison cost.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) bench: &'static str,
    pub(super) data: String,
    /// Multiple of the smallest data; `None` where nothing grows.
    pub(super) scale: Option<u32>,
    pub(super) side: &'static str,
    pub(super) runs: usize,
    /// Of the quickest run.
    pub(super) elapsed_s: f64,
    pub(super) median_s: f64,
    pub(super) p95_s: f64,
    /// User and system time of all its processes, the mean of the runs.
    pub(super) cpu_s: f64,
    /// The largest of its processes, and all of them together at one time.
    pub(super) rss_largest_bytes: u64,
    pub(super) rss_together_bytes: u64,
    /// Of the first side's in the same comparison: below 1 is less than the peer takes.
    pub(super) elapsed_ratio: f64,
    /// `None` where the peer's was not measured.
    pub(super) cpu_ratio: Option<f64>,
    /// What the machine did besides when the comparison began.
    pub(super) load_1m: f64,
    /// What all sides agreed in.
    pub(super) outcome: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) facts: Facts,
}

impl Row {
    /// With its share of the peer's costs; the peer itself is beside nobody.
    pub(super) fn beside(mut self, peer: Option<&Self>) -> Self {
        if let Some(peer) = peer {
            self.elapsed_ratio = self.elapsed_s / peer.elapsed_s;
            self.cpu_ratio = (peer.cpu_s > 0.0).then(|| self.cpu_s / peer.cpu_s);
        }
        self
    }
}

/// From the smallest data to the largest.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Growth {
    bench: &'static str,
    side: &'static str,
    data_factor: f64,
    elapsed_factor: f64,
    /// `None` where processor and memory were not measured.
    cpu_factor: Option<f64>,
    rss_factor: Option<f64>,
}

impl Growth {
    fn text(&self) -> String {
        let mut text = format!(
            "{}, {}: {:.0}× the data, {:.1}× the time",
            self.bench, self.side, self.data_factor, self.elapsed_factor
        );
        for (factor, what) in [(self.cpu_factor, "CPU"), (self.rss_factor, "memory")] {
            if let Some(factor) = factor {
                write!(text, ", {factor:.2}× the {what}").expect("writing to a string");
            }
        }
        text
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    rows: Vec<Row>,
    growth: Vec<Growth>,
}

impl Report {
    pub(super) fn new(ctx: &Context, rows: Vec<Row>) -> Self {
        Self {
            machine: Machine::look(ctx),
            growth: growth(&rows),
            rows,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // The sides of one comparison follow each other.
        for sides in self
            .rows
            .chunk_by(|a, b| (a.bench, &a.data) == (b.bench, &b.data))
        {
            text.push_str(&comparison(sides));
        }
        for g in &self.growth {
            writeln!(text, "{}", g.text()).expect("writing to a string");
        }
        text + &self.machine.text()
    }
}

/// One comparison within 80 columns: what else a side says stands below the table.
fn comparison(sides: &[Row]) -> String {
    let Some(first) = sides.first() else {
        return String::new();
    };
    let rows: Vec<Vec<String>> = sides.iter().map(cells).collect();
    let header = ["side", "elapsed", "CPU", "RSS MB", "×time", "×CPU"];
    let mut text = format!(
        "{}: {} (load {:.1})\n{}",
        first.bench,
        first.data,
        first.load_1m,
        report::table(&header, &rows)
    );
    for row in sides {
        let mut besides: Vec<String> = row.facts.iter().map(|(name, value)| fact(name, *value)).collect();
        if row.runs >= PERCENTILES_FROM {
            besides.push(format!("median {}", seconds(row.median_s)));
            besides.push(format!("p95 {}", seconds(row.p95_s)));
        }
        if !besides.is_empty() {
            writeln!(text, "   {}: {}", row.side, besides.join(", ")).expect("writing to a string");
        }
    }
    text + "\n"
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.side.to_owned(),
        seconds(row.elapsed_s),
        measured(row.cpu_s, seconds),
        measured(row.rss_together_bytes as f64 / 1e6, |megabytes| {
            format!("{megabytes:.0}")
        }),
        format!("{:.2}", row.elapsed_ratio),
        row.cpu_ratio
            .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
    ]
}

/// Nothing where there is no figure.
fn measured(value: f64, shown: impl Fn(f64) -> String) -> String {
    if value > 0.0 { shown(value) } else { String::new() }
}

/// Of fewer runs a percentile says nothing.
const PERCENTILES_FROM: usize = 20;

fn fact(name: &str, value: f64) -> String {
    let (what, unit) = name.rsplit_once('_').unwrap_or((name, ""));
    let what = what.replace('_', " ");
    match unit {
        "bytes" => format!("{what} {:.0} MB", value / 1e6),
        "s" => format!("{what} {}", seconds(value)),
        _ => format!("{what} {value:.0} {unit}"),
    }
}

fn seconds(s: f64) -> String {
    if s < 1.0 {
        format!("{:.1} ms", s * 1e3)
    } else {
        format!("{s:.2} s")
    }
}

fn factor(from: f64, to: f64) -> Option<f64> {
    (from > 0.0).then(|| to / from)
}

/// For each side that ran with more than one size.
fn growth(rows: &[Row]) -> Vec<Growth> {
    let mut sides: BTreeMap<(&str, &str), Vec<(u32, &Row)>> = BTreeMap::new();
    for row in rows {
        if let Some(scale) = row.scale {
            sides.entry((row.bench, row.side)).or_default().push((scale, row));
        }
    }
    let grown = sides.into_values().filter_map(|rows| {
        let (small, from) = rows.iter().min_by_key(|(scale, _)| *scale)?;
        let (large, to) = rows.iter().max_by_key(|(scale, _)| *scale)?;
        (small < large).then(|| Growth {
            bench: from.bench,
            side: from.side,
            data_factor: f64::from(*large) / f64::from(*small),
            elapsed_factor: to.elapsed_s / from.elapsed_s,
            cpu_factor: factor(from.cpu_s, to.cpu_s),
            rss_factor: factor(from.rss_together_bytes as f64, to.rss_together_bytes as f64),
        })
    });
    grown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(side: &'static str, scale: Option<u32>, elapsed_s: f64) -> Row {
        Row {
            bench: "test",
            data: "some".into(),
            scale,
            side,
            runs: 1,
            elapsed_s,
            median_s: elapsed_s,
            p95_s: elapsed_s,
            cpu_s: elapsed_s / 2.0,
            rss_largest_bytes: 1,
            rss_together_bytes: 10,
            elapsed_ratio: 1.0,
            cpu_ratio: Some(1.0),
            load_1m: 0.0,
            outcome: String::new(),
            facts: Facts::new(),
        }
    }

    #[test]
    fn growth_is_from_the_smallest_to_the_largest_of_each_side() {
        let rows = [
            row("ours", Some(4), 2.0),
            row("ours", Some(16), 8.0),
            row("ours", Some(1), 1.0),
            row("peer", Some(1), 1.0),
            row("other", None, 1.0),
        ];
        let expected = Growth {
            bench: "test",
            side: "ours",
            data_factor: 16.0,
            elapsed_factor: 8.0,
            cpu_factor: Some(8.0),
            rss_factor: Some(1.0),
        };
        assert_eq!(growth(&rows), [expected]);
    }

    #[test]
    fn units_are_shown_as_people_read_them() {
        assert_eq!(fact("stored_bytes", 2.5e6), "stored 2 MB");
        assert_eq!(fact("missing_or_mixed_s", 0.25), "missing or mixed 250.0 ms");
        assert_eq!(fact("requests_sent", 7.0), "requests 7 sent");
    }
}
