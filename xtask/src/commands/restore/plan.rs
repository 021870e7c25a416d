//! What a restore would do: the loss preview, the time and the storage that it needs, and everything that stands in the way.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::Args;
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::database::Digests;
use crate::domain::release::{backup_of, tag_time};
use crate::error::CliError;
use crate::operation::ledger::Ledger;
use crate::release::releases::Releases;
use crate::report;
use crate::restore::{self, Count, Estimate, Example, Fate, LossPreview, Preflight, Reading};

const QUIESCED: &str = "kept away by the hooks of pipeline.toml during the swap; what they write before it is kept in __old_ \
                        collections and in the rescue file";
const WRITING_ON: &str = "go on; what they write before the swap is kept in __old_ collections and in the rescue file, \
                          what they write after it is live (--quiesce keeps them away during the swap)";

/// What a restore would do.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) backup_id: String,
    pub(super) database: String,
    documents: u64,
    bytes: u64,
    /// What live has and would lose.
    pub(super) loss: LossPreview,
    /// How long each phase will take.
    estimate: Estimate,
    /// What happens to writes meanwhile.
    writers: &'static str,
    #[serde(flatten)]
    pub(super) preflight: Preflight,
}

/// Observes backup and server. Changes nothing.
pub(super) fn make(ctx: &Context, args: &Args, backup: &BackupFile) -> Result<Plan> {
    let live = restore::connect(ctx)?;
    let mut preflight = restore::preflight(ctx, &live, backup, &crate::operation::new_operation_id())?;
    if !args.other_host {
        preflight.other_host(&live, backup);
    }
    let ledger = Ledger::open(ctx).state()?;
    preflight.other_operations(&ledger);
    let now = live.inventory(Digests::None)?;
    let live_bytes: u64 = now.collections.values().map(|facts| facts.bytes).sum();
    let started = Instant::now();
    let loss = restore::preview(ctx, backup, args.delta, args.show_values)?;
    let reading = loss.exact.then(|| Reading {
        bytes: backup.metadata.archive_bytes + live_bytes,
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    Ok(Plan {
        backup_id: backup.metadata.id.clone(),
        database: live.name().to_owned(),
        documents: backup.metadata.documents,
        bytes: backup.metadata.archive_bytes,
        loss,
        estimate: restore::estimate(&live, backup, reading, live_bytes, &ledger)?,
        writers: if args.quiesce { QUIESCED } else { WRITING_ON },
        preflight,
    })
}

/// The backup that is named; for a release's tag the one taken just before the next release replaced it.
pub(super) fn named(ctx: &Context, name: &str) -> Result<BackupFile> {
    if tag_time(&ctx.env().tag_prefix, name).is_err() {
        return backup::resolve(ctx, name);
    }
    let releases = Releases::read(ctx)?;
    let why = match (releases.find(name), backup_of(&releases.all, name)) {
        (Some(_), Some(wanted)) => {
            let found = backup::find(ctx, &wanted.id)?;
            ensure!(
                found.metadata.hash == wanted.hash,
                "the backup {} has another hash than the release records",
                wanted.id
            );
            return Ok(found);
        }
        (None, _) => format!("there is no release {name}"),
        (Some(_), None) => format!("no release after {name} has recorded a backup: its data are live"),
    };
    Err(CliError::usage(why)
        .live("nothing was changed")
        .next("cargo xtask releases   (or name a backup of `cargo xtask backup list`)")
        .into())
}

impl Plan {
    /// For people.
    pub(super) fn text(&self) -> String {
        let plan = self;
        let mut text = format!(
            "backup {}: {} documents, {}, into `{}`\n",
            plan.backup_id,
            plan.documents,
            report::bytes(plan.bytes),
            plan.database
        );
        loss_text(&plan.loss, &mut text);
        writeln!(text, "  writers: {}", plan.writers).expect("writing to a string");
        let storage = plan.preflight.storage;
        let free = storage.free_bytes.map_or_else(
            || "does not tell what it has".into(),
            |free| format!("has {}", report::bytes(free)),
        );
        writeln!(
            text,
            "  storage: about {} for the second copy until --forget; the server {free}",
            report::bytes(storage.needed_bytes)
        )
        .expect("writing to a string");
        writeln!(
            text,
            "  time: about {}",
            report::duration_ms(plan.estimate.total_ms)
        )
        .expect("writing to a string");
        let rows = plan.estimate.phases.iter();
        let rows = rows.map(|p| vec![p.phase.to_owned(), report::duration_ms(p.ms), p.from.to_owned()]);
        text.push_str(&report::table(
            &["phase", "about", "reckoned from"],
            &rows.collect::<Vec<_>>(),
        ));
        for warning in &plan.preflight.warnings {
            writeln!(text, "  warning: {warning}").expect("writing to a string");
        }
        for problem in &plan.preflight.problems {
            writeln!(text, "  problem: {problem}").expect("writing to a string");
        }
        text
    }
}

/// What would be lost, for people.
pub fn loss_text(loss: &LossPreview, text: &mut String) {
    let count = |count: Count| format!("{} ({})", count.documents, report::bytes(count.bytes));
    if !loss.collections.is_empty() {
        let rows = loss.collections.iter().map(|c| {
            let name = c.collection.clone();
            vec![name, count(c.created), count(c.changed), count(c.deleted)]
        });
        let header = [
            "collection",
            "created since: lost",
            "changed since: as before",
            "deleted since: back",
        ];
        text.push_str(&report::table(&header, &rows.collect::<Vec<_>>()));
    } else if loss.exact {
        text.push_str("  every document is live as it is in the backup\n");
    }
    for collection in &loss.collections {
        for example in &collection.examples {
            example_text(&collection.collection, example, text);
        }
    }
    for difference in &loss.structure {
        writeln!(text, "  live now: {difference}").expect("writing to a string");
    }
}

fn example_text(collection: &str, example: &Example, text: &mut String) {
    let fate = match example.fate {
        Fate::Created => "created",
        Fate::Changed => "changed",
        Fate::Deleted => "deleted",
    };
    let fields = if example.fields.is_empty() {
        String::new()
    } else {
        format!(": {}", example.fields.join(", "))
    };
    writeln!(text, "  {fate} `{collection}` _id {}{fields}", example.id).expect("writing to a string");
    for (side, document) in [("live", &example.live), ("backup", &example.backup)] {
        if let Some(document) = document {
            writeln!(text, "    {side}: {document}").expect("writing to a string");
        }
    }
}
