//! The rescue file: what only the previous collections have, as a backup that mongorestore reads. The previous collections
//! have it too, but they are dropped one day; and a writer may have reached them after the safety backup.

use std::collections::BTreeMap;
use std::io::{BufWriter, PipeWriter};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use chrono::Utc;

use super::context::Restore;
use super::delta_choice::ConflictOutcome;
use super::journal::{Rescue, RestoreRecord};
use super::names::Role;
use super::preview::{RowLoss, differing};
use super::scope::CompareScope;
use crate::archive::ContainerOptions;
use crate::archive::writer::{ArchiveWriter, CollectionShape, store_written};
use crate::backup::{self, BackupFile, off_machine};
use crate::context::Context;
use crate::database::Live;
use crate::domain::manifest::{BackupMetadata, Consistency, ConsistencyKind, METADATA_FILE};
use crate::operation::journal::operation_dir;
use crate::report;

/// What tells a rescue file from a backup, in every version.
const RESCUE_REASON: &str = "documents that were not in the backup which was restored";

impl Restore<'_> {
    /// Exports what the previous collections, and those that writers created during the swap, have and the backup has not.
    /// `None` where there is nothing of that kind.
    pub(super) fn rescue_after_swap(&mut self, backup: &BackupFile) -> Result<Option<Rescue>> {
        let history = &self.journal.history;
        if history.rescued && self.still_has(history.rescue.as_ref())? {
            return Ok(history.rescue.clone());
        }
        let rescue = self.all_rescued(backup).context("cannot write the rescue file")?;
        self.write_kept(&RestoreRecord::Rescued {
            rescue: rescue.clone(),
        })?;
        Ok(rescue)
    }

    /// One file that has all of it. What was put back in place was exported before.
    fn all_rescued(&self, backup: &BackupFile) -> Result<Option<Rescue>> {
        let before = self.journal.history.rescued_before.as_ref();
        let is_aside = |role| Ok::<_, anyhow::Error>(!self.with_role(role)?.is_empty());
        let newer = self.conflicts()?;
        let newer = newer
            .iter()
            .any(|conflict| conflict.outcome == ConflictOutcome::Restored);
        if let Some(before) = before
            && !newer
            && !is_aside(Role::Previous)?
            && !is_aside(Role::Late)?
            && self.still_has(Some(before))?
        {
            return Ok(Some(before.clone()));
        }
        let source = RescueSource {
            role: Some(Role::Previous),
            folder: "rescue",
            purpose: format!("rescue of restore {}", self.operation),
        };
        self.export(Some(backup), &source, &self.overwritten()?)
    }

    /// Exports what was written to the restored collections while they were live. `None` where nothing was.
    pub(super) fn rescue_after_undo(&self) -> Result<Option<Rescue>> {
        if self.with_role(Role::Shadow)?.is_empty() {
            return Ok(None);
        }
        let backup = self.planned_backup()?;
        let found = self.shadow_differences(&backup)?;
        if !found.iter().any(|difference| difference.aspect.is_data()) {
            return Ok(None);
        }
        let source = RescueSource {
            role: Some(Role::Shadow),
            folder: "rescue-of-undo",
            purpose: format!(
                "written after the swap of restore {}, which was undone",
                self.operation
            ),
        };
        self.export(Some(&backup), &source, &BTreeMap::new())
            .context("cannot write the rescue file")
    }

    /// `documents` are exported as well, by collection.
    pub(super) fn export(
        &self,
        backup: Option<&BackupFile>,
        source: &RescueSource,
        documents: &BTreeMap<String, Vec<Vec<u8>>>,
    ) -> Result<Option<Rescue>> {
        let role = |role: Option<Role>| role.map_or(Ok(Vec::new()), |role| self.with_role(role));
        let exported = Exported {
            aside: role(source.role)?,
            late: role(source.role.map(|_| Role::Late))?,
            documents,
        };
        if exported.names().is_empty() {
            return Ok(None);
        }
        let _ticker = report::Ticker::start("exporting what the backup has not");
        let folder = self.free_folder(source.folder)?;
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let recipients = crate::backup::encryption::recipients(self.ctx)?;
        let id = backup::free_id(self.ctx)?;
        let options = ContainerOptions::new(&folder, &id, recipients);
        let (collections, stored) = store_written(None, &options, Utc::now(), |writer| {
            write_archive(self.ctx, &self.live, backup, &exported, writer)
        })?;
        let documents = collections.values().sum();
        if documents == 0 {
            drop(stored);
            std::fs::remove_dir_all(&folder).ok();
            return Ok(None);
        }
        let mut metadata = stored.metadata(Consistency {
            kind: ConsistencyKind::PerCollection,
            reason: RESCUE_REASON.into(),
        });
        metadata.environment.clone_from(&self.ctx.env_name);
        self.live.host().clone_into(&mut metadata.host);
        metadata.purpose.clone_from(&source.purpose);
        let path = stored.commit()?;
        crate::backup::write_metadata(&folder, &metadata)?;
        let mut file = BackupFile { path, metadata };
        backup::keep(self.ctx, &mut file)?;
        let rescue = Rescue {
            documents,
            collections,
            stored: Some(file.reference()),
            path: file.path,
        };
        report::progress(&format!("  {}: {}", source.purpose, rescue.text()));
        // A workflow uploads it under the name that `fetch` looks for.
        report::step_output("rescue-id", &file.metadata.id)?;
        report::step_output("rescue-path", &folder.to_string_lossy())?;
        Ok(Some(rescue))
    }

    /// Another machine may have written it, and be gone with it: then a storage has it, or it is written again.
    fn still_has(&self, rescue: Option<&Rescue>) -> Result<bool> {
        let Some(rescue) = rescue.filter(|rescue| !rescue.path.exists()) else {
            return Ok(true);
        };
        let stored = rescue.stored.as_ref();
        stored.map_or(Ok(false), |stored| off_machine::is_kept(self.ctx, stored))
    }

    /// A folder for a rescue file. One that was written before stays: what it has may have expired since. What a killed attempt
    /// left is not complete.
    fn free_folder(&self, name: &str) -> Result<PathBuf> {
        let operation = operation_dir(self.ctx, &self.operation)?;
        let numbered = (2..).map(|number| operation.join(format!("{name}-{number}")));
        let mut folders = std::iter::once(operation.join(name)).chain(numbered);
        let folder = folders
            .find(|folder| !folder.join(METADATA_FILE).exists())
            .context("no folder for the rescue file is free")?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        Ok(folder)
    }
}

/// Whether a file is the rescue file of a restore, and no backup.
pub(super) fn is_rescue(metadata: &BackupMetadata) -> bool {
    metadata.consistency.reason == RESCUE_REASON
}

/// The collections that are exported, and where to.
pub(super) struct RescueSource {
    /// Those beside the live ones; none where single documents are exported.
    pub(super) role: Option<Role>,
    pub(super) folder: &'static str,
    pub(super) purpose: String,
}

/// What is exported: of collections that stand aside what the backup has not, all of late ones, and single documents.
struct Exported<'a> {
    aside: Vec<(String, String)>,
    late: Vec<(String, String)>,
    documents: &'a BTreeMap<String, Vec<Vec<u8>>>,
}

impl Exported<'_> {
    fn names(&self) -> Vec<String> {
        let beside = self.aside.iter().chain(&self.late).map(|(_, name)| name);
        let names: std::collections::BTreeSet<&String> = beside.chain(self.documents.keys()).collect();
        names.into_iter().cloned().collect()
    }

    /// The collection whose options and indexes are those of this name.
    fn full_name<'a>(&'a self, name: &'a str) -> &'a str {
        let full = self.aside.iter().chain(&self.late).find(|(_, of)| of == name);
        full.map_or(name, |(full, _)| full)
    }
}

fn write_archive(
    ctx: &Context,
    live: &Live,
    backup: Option<&BackupFile>,
    exported: &Exported<'_>,
    pipe: PipeWriter,
) -> Result<BTreeMap<String, u64>> {
    let names = exported.names();
    let backup = backup.filter(|_| !exported.aside.is_empty());
    let all = CompareScope::everything();
    let differing = backup.map(|backup| differing(ctx, backup, live, &names, &all, &exported.aside));
    let mut differing = differing.transpose()?.into_iter().flatten().peekable();
    let version = live.server()?.version;
    let shapes = shapes(live, &names, exported)?;
    let mut archive = ArchiveWriter::with_shapes(BufWriter::new(pipe), &version, live.name(), &shapes)?;
    let mut written = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        archive.collection(name)?;
        let full_name = exported.aside.iter().find(|(_, n)| n == name);
        let mut documents = 0;
        let mut own = std::iter::from_fn(|| {
            differing.next_if(|next| next.as_ref().map_or(true, |found| found.collection == number))
        });
        if let Some((full_name, _)) = full_name {
            let kept = own.filter(|next| next.as_ref().map_or(true, |found| found.loss != RowLoss::Deleted));
            let ids = kept.map(|next| next.map(|found| found.id));
            live.scan_ids(full_name, ids, |raw| {
                documents += 1;
                archive.document(raw)
            })?;
        } else {
            // What only the backup has.
            own.try_for_each(|next| next.map(drop))?;
        }
        for (full, _) in exported.late.iter().filter(|(_, n)| n == name) {
            live.scan(full, |raw| {
                documents += 1;
                archive.document(raw)
            })?;
        }
        for raw in exported.documents.get(name).into_iter().flatten() {
            documents += 1;
            archive.document(raw)?;
        }
        if documents > 0 {
            written.insert(name.clone(), documents);
        }
    }
    archive.finish()?;
    Ok(written)
}

/// Options and indexes of each collection: one that is gone when its documents are put back is made with them.
fn shapes(live: &Live, names: &[String], exported: &Exported<'_>) -> Result<Vec<(String, CollectionShape)>> {
    let mut listed = live.listed()?;
    let mut shapes = Vec::new();
    for name in names {
        let full = exported.full_name(name);
        let options = listed.remove(full).map(|listed| listed.options);
        let shape = CollectionShape {
            options: options.unwrap_or_default(),
            indexes: live.indexes(full)?,
        };
        shapes.push((name.clone(), shape));
    }
    Ok(shapes)
}
