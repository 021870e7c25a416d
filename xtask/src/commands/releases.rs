//! `cargo xtask releases`: what was released, what is live, what a rollback can restore.

mod asked;

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::domain::release::Release;
use crate::domain::snapshot::SnapshotRef;
use crate::error::catalogue::release as errors;
use crate::release::releases::Releases;
use crate::report;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the releases are printed
  1  failed, or not all could be asked: what is known is printed
  2  wrong usage or configuration
  3  the remote has releases and no ledger: what is printed is not checked

Example:
  cargo xtask releases --last 5";

/// Options of `releases`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Show this many of the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
}

/// All releases with what matters for a rollback.
#[derive(Serialize)]
struct ReleaseList {
    /// What serves but is not what the newest release recorded.
    drift: Vec<String>,
    /// Tags whose record cannot be read.
    unreadable: Vec<String>,
    /// Records that no operation of the ledger made: none of them counts.
    unrecorded: Vec<String>,
    /// Platforms and storages that did not answer in time, and why: whether there is drift is not known then.
    unanswered: Vec<String>,
    /// Where ledger, records and tags differ.
    problems: Vec<String>,
    releases: Vec<ListedRelease>,
}

#[derive(Serialize)]
struct ListedRelease {
    release: Release,
    live: bool,
    known_good: bool,
    /// The backup that a rollback to it would restore.
    backup: Option<String>,
    /// Whole days until that backup may be pruned: so long a rollback with the data is possible.
    backup_days_left: Option<i64>,
    /// The snapshot on Atlas that has the data of it, which no rollback restores by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<SnapshotRef>,
    /// Whether the backend comes back with the image that the platform still has, or is built again; asked of the
    /// releases that a rollback offers.
    image_kept: Option<bool>,
}

/// Reads tags, platforms and backups, and prints drift first.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    let releases = Releases::read(ctx)?;
    let good: Vec<String> = releases
        .known_good(ctx)
        .iter()
        .map(|release| release.tag.clone())
        .collect();
    let is_offered = |release: &Release| good.contains(&release.tag);
    let backup_of = |release: &Release| {
        let backup = releases.backup_of(&release.tag).ok().flatten();
        backup.map(|backup| backup.id.clone())
    };
    let newest_first: Vec<&Release> = releases.all.iter().rev().take(args.last).collect();
    let offered = newest_first.iter().filter(|release| is_offered(release));
    let offered = offered.map(|release| (*release).clone()).collect();
    let backups = newest_first
        .iter()
        .filter_map(|release| backup_of(release))
        .collect();
    let asked = asked::ask(ctx, offered, backups);
    let drift = asked.serving.as_ref().zip(releases.expected_live());
    let drift = drift.map(|(serving, expected)| serving.drift_from(&expected));
    let is_as_recorded = drift.as_ref().is_some_and(Vec::is_empty);
    let newest = releases.newest().map(|release| release.tag.clone());
    let shown = newest_first.into_iter().map(|release| {
        let backup = backup_of(release);
        ListedRelease {
            image_kept: asked.images.get(&release.tag).copied(),
            live: newest.as_ref() == Some(&release.tag) && is_as_recorded,
            known_good: is_offered(release),
            backup_days_left: backup.as_ref().and_then(|id| asked.days_left.get(id).copied()),
            backup,
            snapshot: releases.snapshot_of(&release.tag).cloned(),
            release: release.clone(),
        }
    });
    let listing = ReleaseList {
        releases: shown.collect(),
        unreadable: releases
            .unreadable
            .iter()
            .map(|(tag, why)| format!("{tag}: {why}"))
            .collect(),
        unrecorded: releases
            .unrecorded
            .iter()
            .map(|release| release.tag.clone())
            .collect(),
        problems: releases
            .links
            .iter()
            .flat_map(|link| link.problems.clone())
            .collect(),
        drift: drift.unwrap_or_default(),
        unanswered: asked.unanswered.clone(),
    };
    report::emit(ctx.format, "releases/1", &listing, || text(&listing))?;
    releases.require_ledger(ctx)?;
    if asked.unanswered.is_empty() {
        return Ok(());
    }
    Err(errors::not_all_answered(asked.unanswered.join("; ")).into())
}

fn text(listing: &ReleaseList) -> String {
    let groups = [
        ("drift", &listing.drift),
        ("not known", &listing.unanswered),
        ("problem", &listing.problems),
        ("not in the ledger, does not count", &listing.unrecorded),
        ("unreadable", &listing.unreadable),
    ];
    // What cannot be read is the text of somebody else, of which a message may have a part: it makes no row of its own.
    let lines = groups.into_iter().flat_map(|(what, found)| {
        found
            .iter()
            .map(move |text| format!("{}\n", report::one_line(&format!("{what}: {text}"))))
    });
    let head: String = lines.collect();
    let header = ["", "release", "commit", "health", "backup", "days", "image"];
    let rows = listing
        .releases
        .iter()
        .map(|listed| (listed.row(), listed.notes()));
    head + &report::table_with_notes(&header, rows)
}

impl ListedRelease {
    fn row(&self) -> Vec<String> {
        let release = &self.release;
        let mark = match (self.live, self.known_good) {
            (true, _) => "live",
            (false, true) => "good",
            (false, false) => "",
        };
        vec![
            mark.into(),
            release.tag.clone(),
            release.short_commit().into(),
            format!("{:?}", release.health).to_lowercase(),
            self.backup.clone().unwrap_or_else(|| "-".into()),
            self.backup_days_left
                .map_or_else(|| "-".into(), |days| days.to_string()),
            match self.image_kept {
                Some(true) => "kept",
                Some(false) => "gone",
                None => "",
            }
            .into(),
        ]
    }

    fn notes(&self) -> Vec<String> {
        let snapshot = self.snapshot.iter();
        let snapshot = snapshot.map(|one| {
            format!(
                "data in the snapshot {} on Atlas until {}",
                one.id,
                one.expires.format("%F")
            )
        });
        std::iter::once(self.origin()).chain(snapshot).collect()
    }

    /// Who made it and, of a rollback, why: free text has a line of its own.
    fn origin(&self) -> String {
        let release = &self.release;
        let by = format!("by {}", release.actor);
        match (&release.restores, &release.reason) {
            (Some(restored), Some(reason)) => format!("{by}, restores {restored}: {reason}"),
            (Some(restored), None) => format!("{by}, restores {restored}"),
            _ => by,
        }
    }
}
