//! What a restore would do: the loss preview, the time and the storage that it needs, and everything that blocks it.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::capacity::DataCapacity;
use super::context::connect;
use super::delta_choice::{ConflictChoice, DeltaChoice};
use super::estimate::{MeasuredReading, RestoreEstimate, RestoreSizes, estimate};
use super::method::{self, CollectionMethod, RestoreMethod, in_place};
use super::preflight::{CHANGE_STREAMS, RestorePreflight, preflight};
use super::preview::{LossDetail, LossPreview, preview_of};
use super::selection::Selection;
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Digests, Live, backup_inventory};
use crate::domain::inventory::Inventory;
use crate::domain::manifest::NamespaceKind;
use crate::operation::basis::DataBasis;
use crate::operation::ledger::Ledger;
use crate::operation::new_operation_id;
use crate::wait::elapsed_ms;

const QUIESCED: &str = "kept away by the hooks of pipeline.toml during the swap; what they write before it is kept in __old_ \
                        collections and in the rescue file";
const WRITING_ON: &str = "continue; what they write before the swap is kept in __old_ collections and in the rescue file, \
                          what they write after it is live (--quiesce keeps them away during the swap)";
const QUIESCED_IN_PLACE: &str =
    "kept away by the hooks of pipeline.toml while documents are put back in place";
const WRITING_ON_IN_PLACE: &str =
    "continue; --conflicts decides about a document that they write before it is put back";
const CHANGE_STREAMS_LIVE_ON: &str = "live on: nothing is renamed";

/// How a plan is made.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions {
    pub detail: LossDetail,
    /// Whether examples show whole documents.
    pub show_values: bool,
    /// Whether the backup may be of another host.
    pub other_host: bool,
    pub quiesce: bool,
    pub method: RestoreMethod,
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
    /// How each collection is restored, and why.
    pub methods: Vec<CollectionMethod>,
    /// How long each phase will take.
    pub estimate: RestoreEstimate,
    /// How much data the time of `budgets.restore_s` holds.
    pub capacity: DataCapacity,
    /// What it stands on.
    #[serde(skip)]
    pub basis: DataBasis,
    /// What happens to writes during the restore.
    pub writers: String,
    pub change_streams: &'static str,
    #[serde(flatten)]
    pub preflight: RestorePreflight,
}

impl RestorePlan {
    /// Observes backup and server. Changes no data: it writes and drops the mark at which a change stream ends.
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
        let compared = now.collections.iter().filter(|(name, _)| selection.has(name));
        let compared_bytes: u64 = compared.map(|(_, facts)| facts.bytes).sum();
        let records = &backup.metadata.namespaces;
        let documents = selection.of(records, live.name()).map(|n| n.documents).sum();
        let bytes = selection.bytes(backup, live.name());
        let started = Instant::now();
        let loss = preview_of(ctx, backup, selection, options.detail, options.show_values)?;
        preflight.rescue_room(ctx, &loss)?;
        let methods = choose(&live, backup, selection, options.method, &loss)?;
        let reading = loss.is_all_read().then(|| MeasuredReading {
            bytes: backup.metadata.archive_bytes + compared_bytes,
            ms: elapsed_ms(started),
        });
        let sizes = sizes(backup, selection, live.name(), &methods, &now);
        preflight.room(&live, sizes.copied_bytes)?;
        Ok(Self {
            backup_id: backup.metadata.id.clone(),
            database: live.name().to_owned(),
            collections: selection.clone(),
            documents,
            bytes,
            loss,
            methods,
            capacity: DataCapacity::of(
                Some(&ledger),
                ctx.config.budgets.limits().restore_ms,
                bytes.max(compared_bytes),
            ),
            estimate: estimate(&live, &sizes, reading, &ledger)?,
            basis: DataBasis::of(Some(&ledger), now.schema_fingerprint().ok()),
            writers: writers(options.quiesce, &sizes),
            change_streams: if sizes.swaps {
                CHANGE_STREAMS
            } else {
                CHANGE_STREAMS_LIVE_ON
            },
            preflight,
        })
    }
}

impl RestorePlan {
    /// What is put back in place, with what becomes of documents that are changed before it is.
    pub fn delta(&self, conflicts: ConflictChoice) -> DeltaChoice {
        delta_of(&self.methods, conflicts)
    }
}

/// What of these is put back in place.
pub fn delta_of(methods: &[CollectionMethod], conflicts: ConflictChoice) -> DeltaChoice {
    DeltaChoice {
        collections: in_place(methods),
        conflicts,
    }
}

/// How each collection of a whole backup is restored.
#[derive(Debug)]
pub struct ChosenMethods {
    pub methods: Vec<CollectionMethod>,
    /// Why the server has no room for what they copy.
    pub problems: Vec<String>,
}

/// Chooses them; `loss` is the comparison with what is live.
pub fn methods(
    ctx: &Context,
    backup: &BackupFile,
    wanted: RestoreMethod,
    loss: &LossPreview,
) -> Result<ChosenMethods> {
    let (live, selection) = (connect(ctx)?, Selection::default());
    let methods = choose(&live, backup, &selection, wanted, loss)?;
    let copied_bytes = selection.copied_bytes(backup, live.name(), &in_place(&methods));
    let mut preflight = RestorePreflight::default();
    preflight.room(&live, copied_bytes)?;
    Ok(ChosenMethods {
        methods,
        problems: preflight.problems,
    })
}

/// How each collection of the backup is restored.
fn choose(
    live: &Live,
    backup: &BackupFile,
    selection: &Selection,
    wanted: RestoreMethod,
    loss: &LossPreview,
) -> Result<Vec<CollectionMethod>> {
    let mut expected = backup_inventory(&backup.metadata.namespaces, live.name());
    expected.collections.retain(|name, _| selection.has(name));
    let own = |name: &str| expected.collections.contains_key(name).then(|| name.to_owned());
    let found = live.inventory_of(Digests::Structure, own)?;
    Ok(method::choose(
        wanted,
        &expected,
        &found,
        loss,
        live.has_transactions()?,
    ))
}

/// How much each phase has to do. `now` is what is live.
fn sizes(
    backup: &BackupFile,
    selection: &Selection,
    database: &str,
    methods: &[CollectionMethod],
    now: &Inventory,
) -> RestoreSizes {
    let in_place = in_place(methods);
    let replaced = now.collections.iter();
    let replaced = replaced.filter(|(name, _)| selection.has(name) && !in_place.contains(*name));
    let collections = methods.iter().filter(|m| !m.is_delta()).count() as u64;
    RestoreSizes {
        backup_bytes: backup.metadata.archive_bytes,
        copied_bytes: selection.copied_bytes(backup, database, &in_place),
        collections,
        // What the backup has not is renamed too.
        swaps: collections > 0
            || replaced
                .clone()
                .any(|(_, facts)| facts.kind == NamespaceKind::Collection),
        puts_back: !in_place.is_empty(),
        in_place_documents: methods.iter().filter(|m| m.is_delta()).map(|m| m.documents).sum(),
        live_bytes: now.collections.values().map(|facts| facts.bytes).sum(),
        replaced_bytes: replaced.map(|(_, facts)| facts.bytes).sum(),
    }
}

/// What becomes of writes meanwhile.
fn writers(quiesces: bool, sizes: &RestoreSizes) -> String {
    let (swap, place) = if quiesces {
        (QUIESCED, QUIESCED_IN_PLACE)
    } else {
        (WRITING_ON, WRITING_ON_IN_PLACE)
    };
    match (sizes.swaps, sizes.puts_back) {
        (true, true) => {
            format!("where a collection is swapped: {swap}; where documents are put back in place: {place}")
        }
        (false, true) => place.to_owned(),
        (_, false) => swap.to_owned(),
    }
}
