//! `cargo xtask metrics`: figures about releases, from what the tags, the ledger and the history on the git remote say.

mod figures;
mod html;

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use super::Common;
use crate::backup;
use crate::context::Context;
use crate::domain::metrics::{Metrics, NewestBackup, Records};
use crate::domain::release::Release;
use crate::operation::ledger::Ledger;
use crate::release::releases::Releases;
use crate::report::{self, Format};
use crate::tools::git::Git;
use crate::{approval, operation::status_records};

const SCHEMA: &str = "metrics/1";
/// Commits of one release that count for its lead time; more say nothing more.
const COMMITS_PER_RELEASE: u32 = 1_000;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the figures are printed
  1  failed
  2  wrong usage or configuration

Example:
  cargo xtask metrics --since 30d";

/// Options of `metrics`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// From when on: 90d, 12h, 4w, or a day (2026-01-31)
    #[arg(long, value_name = "WHEN", default_value = "90d", value_parser = since)]
    since: DateTime<Utc>,
}

/// Reads the records and prints the figures.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    let metrics = gather(&ctx, args.since)?.measure();
    if ctx.format == Format::Html {
        return report::print(&html::page(&metrics));
    }
    report::emit(ctx.format, SCHEMA, &metrics, || text(&metrics))
}

fn gather(ctx: &Context, since: DateTime<Utc>) -> Result<Records> {
    let releases = Releases::read(ctx)?;
    for (tag, why) in &releases.unreadable {
        report::progress(&format!("warning: {tag} does not count: {why}"));
    }
    Ok(Records {
        environment: ctx.env_name.clone(),
        since,
        until: Utc::now(),
        commits: commits(&Git::open(ctx), &releases.all, since),
        newest_backup: newest_backup(ctx, &releases.all),
        releases: releases.all,
        operations: Ledger::open(ctx).state()?.operations,
        requests: approval::requests(ctx)?,
        status_records: status_records::read(ctx)?,
        budgets: ctx.config.budgets.limits(),
    })
}

/// When the commits that each deployment brought were made. A clone without them (a shallow one) leaves them out.
fn commits(git: &Git, releases: &[Release], since: DateTime<Utc>) -> BTreeMap<String, Vec<DateTime<Utc>>> {
    let deployed = releases.iter().filter(|release| release.restores.is_none());
    let mut before = None;
    let mut found = BTreeMap::new();
    for release in deployed {
        let Ok(commit) = release.commit.parse() else {
            continue;
        };
        if release.created >= since {
            match git.commit_times(before.as_ref(), &commit, COMMITS_PER_RELEASE) {
                Ok(times) => {
                    found.insert(release.tag.clone(), times);
                }
                Err(error) => report::trace(&format!("no commits of {}: {error:#}", release.tag)),
            }
        }
        before = Some(commit);
    }
    found
}

/// The newest verified backup of the places; where none can be read, the newest that a release was recorded with.
fn newest_backup(ctx: &Context, releases: &[Release]) -> Option<NewestBackup> {
    let listed = backup::list(ctx).unwrap_or_default();
    let kept = listed
        .into_iter()
        .filter(|backup| backup.environment == ctx.env_name && backup.verified.is_some())
        .max_by_key(|backup| backup.timestamp)
        .map(|backup| NewestBackup {
            id: backup.id,
            at: backup.timestamp,
        });
    let recorded = || {
        let newest = releases
            .iter()
            .filter_map(|release| release.backup.as_ref())
            .next_back()?;
        let at = NaiveDateTime::parse_from_str(newest.id.get(..15)?, "%Y%m%d-%H%M%S").ok()?;
        Some(NewestBackup {
            id: newest.id.clone(),
            at: at.and_utc(),
        })
    };
    kept.or_else(recorded)
}

fn text(metrics: &Metrics) -> String {
    let mut text = format!(
        "{} from {} to {}\n\n",
        metrics.environment,
        metrics.since.format("%F"),
        metrics.until.format("%F")
    );
    let rows: Vec<Vec<String>> = figures::all(metrics)
        .into_iter()
        .map(|figure| {
            let met = match figure.good {
                Some(true) => "ok",
                Some(false) => "MISSED",
                None => "",
            };
            let name = figure.name.to_owned();
            vec![name, figure.value, met.into(), figure.detail]
        })
        .collect();
    text += &report::table(&["figure", "value", "goal", "from"], &rows);
    if !metrics.steps.is_empty() {
        text.push('\n');
        text += &steps(metrics);
    }
    if !metrics.not_recorded.is_empty() {
        text += "\nnot recorded:\n";
        text += &report::lines(
            &metrics
                .not_recorded
                .iter()
                .map(|gap| format!("  {gap}"))
                .collect::<Vec<_>>(),
        );
    }
    text
}

fn steps(metrics: &Metrics) -> String {
    let rows: Vec<Vec<String>> = metrics
        .steps
        .iter()
        .map(|step| {
            vec![
                step.operation.clone(),
                step.step.clone(),
                step.times.count.to_string(),
                report::duration_ms(step.times.p50_ms),
                report::duration_ms(step.times.p95_ms),
                step.budget_ms.map(report::duration_ms).unwrap_or_default(),
                if step.over_budget > 0 {
                    format!("{} over", step.over_budget)
                } else {
                    String::new()
                },
            ]
        })
        .collect();
    report::table(&["of", "step", "n", "p50", "p95", "budget", ""], &rows)
}

/// `90d`, `12h`, `4w`, or a day.
fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let wrong = || "not a time like 90d, 12h, 4w or 2026-01-31".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let count: u32 = text
        .strip_suffix(unit)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(wrong)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return Err(wrong()),
    };
    let span = TimeDelta::try_hours(i64::from(count) * hours).ok_or_else(wrong)?;
    Utc::now().checked_sub_signed(span).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_a_span_or_as_a_day() {
        let ago = |text: &str| {
            let then = since(text).unwrap();
            (Utc::now() - then).num_hours()
        };
        assert_eq!((ago("12h"), ago("90d"), ago("4w")), (12, 90 * 24, 28 * 24));
        assert_eq!(
            since("2026-01-31").unwrap().to_rfc3339(),
            "2026-01-31T00:00:00+00:00"
        );
        for wrong in ["", "d", "90", "1y", "-1d", "90 d", "2026-13-01", "9999999999d"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
