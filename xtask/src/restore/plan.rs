//! What a restore would do: the loss preview, the time and the storage that it needs, and everything that blocks it.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::context::connect;
use super::estimate::{MeasuredReading, RestoreEstimate, estimate};
use super::preflight::{RestorePreflight, preflight};
use super::preview::{LossDetail, LossPreview, preview};
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::Digests;
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
    pub documents: u64,
    pub bytes: u64,
    /// What is live and would be lost.
    pub loss: LossPreview,
    /// How long each phase will take.
    pub estimate: RestoreEstimate,
    /// What happens to writes during the restore.
    pub writers: &'static str,
    #[serde(flatten)]
    pub preflight: RestorePreflight,
}

impl RestorePlan {
    /// Observes backup and server. Changes nothing.
    pub fn make(ctx: &Context, backup: &BackupFile, options: PlanOptions) -> Result<Self> {
        let live = connect(ctx)?;
        let mut preflight = preflight(ctx, &live, backup, &new_operation_id())?;
        if !options.other_host {
            preflight.other_host(&live, backup);
        }
        let ledger = Ledger::open(ctx).state()?;
        preflight.other_operations(&ledger);
        let now = live.inventory(Digests::None)?;
        let live_bytes: u64 = now.collections.values().map(|facts| facts.bytes).sum();
        let started = Instant::now();
        let loss = preview(ctx, backup, options.detail, options.show_values)?;
        preflight.rescue_room(ctx, &loss)?;
        let reading = loss.exact.then(|| MeasuredReading {
            bytes: backup.metadata.archive_bytes + live_bytes,
            ms: elapsed_ms(started),
        });
        Ok(Self {
            backup_id: backup.metadata.id.clone(),
            database: live.name().to_owned(),
            documents: backup.metadata.documents,
            bytes: backup.metadata.archive_bytes,
            loss,
            estimate: estimate(&live, backup, reading, live_bytes, &ledger)?,
            writers: if options.quiesce { QUIESCED } else { WRITING_ON },
            preflight,
        })
    }
}
