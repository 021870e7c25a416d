//! What a restore would do: the loss preview, the time and the storage that it needs, and everything that blocks it.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::capacity::DataCapacity;
use super::context::connect;
use super::estimate::{MeasuredReading, RestoreEstimate, RestoreSizes, estimate};
use super::preflight::{CHANGE_STREAMS, RestorePreflight, preflight};
use super::preview::{LossDetail, LossPreview, preview_of};
use super::selection::Selection;
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::Digests;
use crate::domain::manifest::NamespaceKind;
use crate::operation::basis::DataBasis;
use crate::operation::ledger::Ledger;
use crate::operation::new_operation_id;
use crate::wait::elapsed_ms;

const QUIESCED: &str = "kept away by the hooks of pipeline.toml during the swap; what they write before it is kept in __old_ \
                        collections and in the rescue file";
const WRITING_ON: &str = "continue; what they write before the swap is kept in __old_ collections and in the rescue file, \
                          what they write after it is live (--quiesce keeps them away during the swap)";

/// How a plan is made.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions {
    pub detail: LossDetail,
    /// Whether examples show whole documents.
    pub show_values: bool,
    /// Whether the backup may be of another host.
    pub other_host: bool,
    pub quiesce: bool,
}

/// What a restore would do.
#[derive(Debug, Serialize)]
pub struct RestorePlan {
    pub backup_id: String,
    pub database: String,
    /// What of the backup is restored; all of it where none are named.
    #[serde(skip_serializing_if = "Selection::is_all")]
    pub collections: Selection,
    pub documents: u64,
    pub bytes: u64,
    /// What is live and would be lost.
    pub loss: LossPreview,
    /// How long each phase will take.
    pub estimate: RestoreEstimate,
    /// How much data the time of `budgets.restore_s` holds.
    pub capacity: DataCapacity,
    /// What it stands on.
    #[serde(skip)]
    pub basis: DataBasis,
    /// What happens to writes during the restore.
    pub writers: &'static str,
    pub change_streams: &'static str,
    #[serde(flatten)]
    pub preflight: RestorePreflight,
}

impl RestorePlan {
    /// Observes backup and server. Changes nothing.
    pub fn make(
        ctx: &Context,
        backup: &BackupFile,
        selection: &Selection,
        options: PlanOptions,
    ) -> Result<Self> {
        let live = connect(ctx)?;
        let mut preflight = preflight(ctx, &live, backup, selection, &new_operation_id())?;
        if !options.other_host {
            preflight.other_host(&live, backup);
        }
        let ledger = Ledger::open(ctx).state()?;
        preflight.other_operations(&ledger);
        let now = live.inventory(Digests::None)?;
        let live_bytes: u64 = now.collections.values().map(|facts| facts.bytes).sum();
        let restored = now.collections.iter().filter(|(name, _)| selection.has(name));
        let replaced_bytes: u64 = restored.map(|(_, facts)| facts.bytes).sum();
        let records = &backup.metadata.namespaces;
        let documents = selection.of(records, live.name()).map(|n| n.documents).sum();
        let bytes = selection.bytes(backup, live.name());
        let started = Instant::now();
        let loss = preview_of(ctx, backup, selection, options.detail, options.show_values)?;
        preflight.rescue_room(ctx, &loss)?;
        let reading = loss.exact.then(|| MeasuredReading {
            bytes: backup.metadata.archive_bytes + replaced_bytes,
            ms: elapsed_ms(started),
        });
        let collections = selection.of(records, live.name());
        let sizes = RestoreSizes {
            backup_bytes: backup.metadata.archive_bytes,
            restored_bytes: bytes,
            collections: collections
                .filter(|n| n.kind == NamespaceKind::Collection)
                .count() as u64,
            live_bytes,
            replaced_bytes,
        };
        Ok(Self {
            backup_id: backup.metadata.id.clone(),
            database: live.name().to_owned(),
            collections: selection.clone(),
            documents,
            bytes,
            loss,
            capacity: DataCapacity::of(
                Some(&ledger),
                ctx.config.budgets.limits().restore_ms,
                bytes.max(replaced_bytes),
            ),
            estimate: estimate(&live, &sizes, reading, &ledger)?,
            basis: DataBasis::of(Some(&ledger), now.schema_fingerprint().ok()),
            writers: if options.quiesce { QUIESCED } else { WRITING_ON },
            change_streams: CHANGE_STREAMS,
            preflight,
        })
    }
}
