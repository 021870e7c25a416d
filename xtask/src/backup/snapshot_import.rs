//! Makes a verified backup of a snapshot of Atlas. Atlas restores its collections beside the live ones, under names of this
//! operation; every document of them is read, and they are dropped again. That proves that the snapshot can be restored.

use std::collections::BTreeMap;
use std::io::{BufWriter, PipeWriter};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use serde_json::{Value, json};

use super::create::{Keys, not_restorable, seal};
use super::find::first_directory;
use super::snapshot::{SnapshotSource, check};
use super::{BackupFile, copies, encryption};
use crate::archive::writer::{ArchiveWriter, DumpedCollection, store_written};
use crate::archive::{ContainerOptions, StoredBackup};
use crate::context::Context;
use crate::database::Live;
use crate::domain::ledger::{LedgerState, OperationOutcome, SNAPSHOT_READ};
use crate::domain::manifest::{Consistency, ConsistencyKind};
use crate::domain::restore_name::{SHADOW_PREFIX, shadow_prefix};
use crate::domain::snapshot::SnapshotRef;
use crate::domain::step::Step;
use crate::error::catalogue::atlas as errors;
use crate::operation::ledger::Ledger;
use crate::operation::run::Operation;
use crate::report;
use crate::storage::directory::Partial;
use crate::tools::atlas::{COLLECTIONS, CollectionPair, CollectionRestore, RestoreEnd, may_pass};
use crate::tools::railway::database_uri;
use crate::wait;

/// The Terraform provider waits so long for one (its default timeout for a collection restore).
const DEADLINE: Duration = Duration::from_hours(3);

/// Takes the lock and makes the backup of a snapshot that an operation of ours took.
///
/// # Errors
/// Usage (exit 2) for a snapshot that is none of ours; exit 1 where Atlas cannot restore it, or not all of it. Nothing live is
/// changed, and what was restored beside it is dropped.
pub fn import_snapshot(ctx: &Context, id: &str, purpose: &str) -> Result<BackupFile> {
    let wanted = recorded(&Ledger::open(ctx).state()?, id)?;
    check(ctx)?;
    let source = SnapshotSource::open(ctx)?;
    ensure!(
        wanted.cluster == source.place.cluster && wanted.project == source.place.project,
        errors::snapshot_unknown(id)
    );
    encryption::check(ctx)?;
    let live = Live::connect(&database_uri(ctx)?, &ctx.mongodb()?.database)?;
    let operation = Operation::begin(ctx, SNAPSHOT_READ, id, purpose, &wanted)?;
    let import = Import {
        ctx,
        source: &source,
        live: &live,
        operation: &operation,
        snapshot: &wanted,
    };
    let made = import
        .restored()
        .and_then(|restored| import.stored(&restored, purpose));
    let dropped = import.drop_restored();
    match made.and_then(|made| dropped.map(|()| made)) {
        Ok(made) => {
            let facts = json!({ "snapshot": id, "backup": made.metadata.id });
            operation.finish(OperationOutcome::Done, facts)?;
            Ok(made)
        }
        Err(error) => {
            operation.record_end(OperationOutcome::Failed, &error)?;
            Err(error)
        }
    }
}

/// What was recorded of the snapshot when it was taken: Atlas lists no collections of one.
fn recorded(ledger: &LedgerState, id: &str) -> Result<SnapshotRef> {
    let steps = ledger.operations.iter().flat_map(|operation| &operation.steps);
    let taken = steps.filter(|step| step.name == Step::Snapshot.name());
    let mut taken = taken.filter_map(|step| serde_json::from_value::<SnapshotRef>(step.facts.clone()).ok());
    let found = taken.find(|snapshot| snapshot.id == id);
    found.ok_or_else(|| errors::snapshot_unknown(id).into())
}

struct Import<'a> {
    ctx: &'a Context,
    source: &'a SnapshotSource<'a>,
    live: &'a Live,
    operation: &'a Operation,
    snapshot: &'a SnapshotRef,
}

/// A collection beside the live ones.
struct Restored {
    name: String,
    beside: String,
    /// As Atlas has counted them.
    documents: u64,
}

impl Import<'_> {
    /// Lets Atlas restore every collection beside the live ones.
    fn restored(&self) -> Result<Vec<Restored>> {
        let (database, prefix) = (self.live.name(), shadow_prefix(&self.operation.id));
        let pairs = self.snapshot.collections.iter().map(|name| CollectionPair {
            source: format!("{database}.{name}"),
            target: format!("{database}.{prefix}{name}"),
        });
        let pairs: Vec<CollectionPair> = pairs.collect();
        let mut restored = Vec::new();
        // One job at a time is all that a cluster takes.
        for pairs in pairs.chunks(COLLECTIONS) {
            self.operation.check()?;
            restored.extend(self.job(pairs)?);
        }
        Ok(restored)
    }

    fn job(&self, pairs: &[CollectionPair]) -> Result<Vec<Restored>> {
        let (atlas, id) = (&self.source.atlas, &self.snapshot.id);
        let begun = atlas.restore_collections(id, pairs)?;
        let text = format!("Atlas restores {} collections of the snapshot {id}", pairs.len());
        let ticker = report::Ticker::start(text);
        let ended: CollectionRestore = wait::until(
            &format!("restore {} of Atlas", begun.id),
            DEADLINE,
            may_pass,
            || {
                let job = atlas.collection_restore(&begun.id)?;
                Ok(job.end().is_some().then_some(job))
            },
        )?;
        drop(ticker);
        ensure!(
            ended.end() == Some(RestoreEnd::Successful),
            errors::snapshot_not_restored(id, &ended.id, ended.error_message.unwrap_or(ended.state))
        );
        let mut made = BTreeMap::new();
        for one in atlas.restored_collections(&ended.id)? {
            made.insert(one.source_namespace.clone(), one);
        }
        pairs
            .iter()
            .map(|pair| {
                let lacks = |what: &str| {
                    errors::snapshot_not_restored(id, &ended.id, format!("{}: {what}", pair.source))
                };
                let one = made.get(&pair.source).ok_or_else(|| lacks("not restored"))?;
                // Where a name was taken, Atlas takes another one.
                let beside = one.effective_target_namespace.as_deref();
                let beside = beside.and_then(|full| full.strip_prefix(self.live.name())?.strip_prefix('.'));
                let name = pair
                    .source
                    .strip_prefix(self.live.name())
                    .and_then(|name| name.strip_prefix('.'));
                Ok(Restored {
                    name: name.unwrap_or_default().to_owned(),
                    beside: beside.ok_or_else(|| lacks("restored without a name"))?.to_owned(),
                    documents: one.restored_documents,
                })
            })
            .collect()
    }

    /// Reads all of it into a backup, which is read back whole as every backup is.
    fn stored(&self, restored: &[Restored], purpose: &str) -> Result<BackupFile> {
        let ctx = self.ctx;
        let first = first_directory(ctx)?;
        let partial = first.reserve(Utc::now())?;
        let keys = Keys::of(ctx)?;
        let options = ContainerOptions::new(partial.path(), partial.id.as_str(), keys.recipients);
        let stored = self.read(restored, &options, &partial)?;
        let mut metadata = stored.metadata(Consistency {
            kind: ConsistencyKind::PerCollection,
            reason: format!(
                "read from the snapshot {} of Atlas: of one moment, unless it is a fallback snapshot, which nothing marks",
                self.snapshot.id
            ),
        });
        metadata.environment.clone_from(&ctx.env_name);
        self.live.host().clone_into(&mut metadata.host);
        purpose.clone_into(&mut metadata.purpose);
        metadata.recipients = keys.configured;
        metadata
            .warnings
            .extend(not_restorable(&stored.manifest.namespaces, self.live.name()));
        let left_out = self.snapshot.left_out.iter();
        metadata.warnings.extend(left_out.map(|name| {
            format!("`{name}` is not in it: it is a time-series collection, which Atlas restores no copy of, or changed while the snapshot was taken")
        }));
        let mut backup = seal(ctx, &first, partial, stored, metadata, &keys.identities)?;
        copies::copy_to_other_storages(ctx, &first, &mut backup)?;
        Ok(backup)
    }

    fn read(
        &self,
        restored: &[Restored],
        options: &ContainerOptions,
        partial: &Partial,
    ) -> Result<StoredBackup> {
        let _ticker = report::Ticker::start("reading what Atlas restored");
        let (live, snapshot) = (self.live, self.snapshot);
        let (counts, stored) = store_written(None, options, partial.created, |pipe| {
            write_archive(live, snapshot, restored, pipe)
        })?;
        for (one, (count, expires)) in restored.iter().zip(counts) {
            // The server deletes what has expired as soon as it is there: nobody proved another index strategy than all of them.
            ensure!(
                count == one.documents || (expires && count < one.documents),
                errors::snapshot_not_restored(
                    &self.snapshot.id,
                    &one.name,
                    format!("{count} documents are there, and Atlas reports {}", one.documents)
                )
            );
        }
        Ok(stored)
    }

    /// All that this operation has beside the live collections, under whichever name Atlas chose.
    fn drop_restored(&self) -> Result<()> {
        let prefix = format!("{SHADOW_PREFIX}{}", self.operation.id);
        for name in self
            .live
            .listed()?
            .into_keys()
            .filter(|name| name.starts_with(&prefix))
        {
            self.live
                .drop_own(&name)
                .with_context(|| format!("`{name}` stays beside the live collections"))?;
        }
        Ok(())
    }
}

/// Gives how many documents each collection has, and whether they expire.
fn write_archive(
    live: &Live,
    snapshot: &SnapshotRef,
    restored: &[Restored],
    pipe: PipeWriter,
) -> Result<Vec<(u64, bool)>> {
    let mut listed = live.listed()?;
    let mut dumped = Vec::new();
    let mut expire = Vec::new();
    for one in restored {
        let found = listed.remove(&one.beside);
        let found =
            found.with_context(|| format!("Atlas reports that `{}` is there, and it is not", one.beside))?;
        let indexes = live.indexes(&one.beside)?;
        expire.push(
            indexes
                .iter()
                .any(|index| index.contains_key("expireAfterSeconds")),
        );
        dumped.push(DumpedCollection::of(
            &one.name,
            "collection",
            &found.options,
            &indexes,
        ));
    }
    for (name, definition) in &snapshot.views {
        let none: [Value; 0] = [];
        dumped.push(DumpedCollection::of(name, "view", definition, &none));
    }
    let version = live.server()?.version;
    let mut archive = ArchiveWriter::of_dump(BufWriter::new(pipe), &version, live.name(), &dumped)?;
    let mut counts = Vec::new();
    for (one, expires) in restored.iter().zip(expire) {
        archive.collection(&one.name)?;
        let mut count = 0;
        live.scan(&one.beside, |document| {
            count += 1;
            archive.document(document)
        })?;
        counts.push((count, expires));
    }
    for name in snapshot.views.keys() {
        archive.collection(name)?;
    }
    archive.finish()?;
    Ok(counts)
}
