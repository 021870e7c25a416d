//! `backup list`: every backup, and the storages that have it.

use anyhow::Result;

use crate::backup::list::{BackupListing, list_all};
use crate::context::Context;
use crate::report;

pub(super) fn run(ctx: &Context) -> Result<()> {
    let list = list_all(ctx)?;
    report::emit(ctx.format, "backup-list/1", &list, || {
        let rows = list.backups.iter().map(row);
        let header = ["id", "environment", "size", "documents", "encrypted", "verified"];
        let problems = list
            .problems
            .iter()
            .map(|problem| format!("problem: {problem}\n"));
        report::table_with_notes(&header, rows) + &problems.collect::<String>()
    })
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
