//! `backup list`: every backup, and the storages that have it; and the snapshots that Atlas keeps for operations of ours.

use anyhow::Result;
use serde::Serialize;

use crate::backup::list::{AllBackups, BackupListing, list_all};
use crate::backup::snapshot::{self, SnapshotListing};
use crate::context::Context;
use crate::operation::ledger::Ledger;
use crate::report;

#[derive(Serialize)]
struct Listing {
    #[serde(flatten)]
    all: AllBackups,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snapshots: Vec<SnapshotListing>,
}

pub(super) fn run(ctx: &Context) -> Result<()> {
    let mut all = list_all(ctx)?;
    // Without a ledger it is not known which of them was restored.
    let ledger = Ledger::open(ctx).state().ok();
    let snapshots = snapshot::list(ctx, ledger.as_ref()).unwrap_or_else(|error| {
        all.problems.push(format!("snapshots on Atlas: {error:#}"));
        Vec::new()
    });
    let listing = Listing { all, snapshots };
    report::emit(ctx.format, "backup-list/1", &listing, || text(&listing))
}

fn text(listing: &Listing) -> String {
    let rows = listing.all.backups.iter().map(row);
    let header = ["id", "environment", "size", "documents", "encrypted", "verified"];
    let mut text = report::table_with_notes(&header, rows);
    if !listing.snapshots.is_empty() {
        let header = [
            "snapshot on Atlas",
            "cluster",
            "status",
            "size",
            "until",
            "proved",
        ];
        text += "\n";
        text += &report::table_with_notes(&header, listing.snapshots.iter().map(snapshot_row));
    }
    let problems = listing.all.problems.iter();
    text + &problems
        .map(|problem| format!("problem: {problem}\n"))
        .collect::<String>()
}

/// A row of the table, and the note below it.
fn row(backup: &BackupListing) -> (Vec<String>, Vec<String>) {
    let verified = backup.verified.map(|at| at.format("%F %R").to_string());
    let row = vec![
        backup.id.clone(),
        backup.environment.clone(),
        report::bytes(backup.size_bytes),
        backup.documents.to_string(),
        if backup.encrypted { "yes" } else { "no" }.into(),
        verified.unwrap_or_else(|| "never".into()),
    ];
    let storages = backup.storages.join(", ");
    let base = backup
        .base
        .iter()
        .map(|base| format!("; differential, on {base}"));
    let base: String = base.collect();
    (row, vec![format!("{}{base}; in {storages}", backup.purpose)])
}

fn snapshot_row(snapshot: &SnapshotListing) -> (Vec<String>, Vec<String>) {
    let day = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(|| "-".to_owned(), |at| at.format("%F").to_string())
    };
    let row = vec![
        snapshot.id.clone(),
        snapshot.cluster.clone(),
        snapshot.status.clone(),
        report::bytes(snapshot.size_bytes),
        day(snapshot.expires),
        snapshot.proof(),
    ];
    (row, vec![format!("taken by operation {}", snapshot.operation)])
}
