//! The rescue file: what only the previous collections have, as a backup that mongorestore reads. The previous collections
//! have it too, but they are dropped one day; and a writer may have reached them after the safety backup.

use std::io::{BufWriter, PipeWriter};

use anyhow::{Context as _, Result, anyhow};
use chrono::Utc;
use mongodb::bson::{Bson, doc};

use super::context::Restore;
use super::journal::{Rescue, RestoreRecord};
use super::names::Role;
use super::preview::{RowLoss, differing};
use crate::archive::writer::ArchiveWriter;
use crate::archive::{ContainerOptions, store};
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::Live;
use crate::domain::manifest::{Consistency, ConsistencyKind};
use crate::operation::journal::operation_dir;
use crate::report;

/// Documents asked for at once.
const BATCH: usize = 500;

impl Restore<'_> {
    /// Exports what the previous collections, and those that writers created during the swap, have and the backup has not.
    /// `None` where there is nothing of that kind.
    pub(super) fn rescue_after_swap(&mut self, backup: &BackupFile) -> Result<Option<Rescue>> {
        if self.journal.history.rescued {
            return Ok(self.journal.history.rescue.clone());
        }
        let source = RescueSource {
            role: Role::Previous,
            folder: "rescue",
            purpose: format!("rescue of restore {}", self.operation),
        };
        let rescue = self
            .export(backup, &source)
            .context("cannot write the rescue file")?;
        self.journal.write(&RestoreRecord::Rescued {
            rescue: rescue.clone(),
        })?;
        Ok(rescue)
    }

    /// Exports what was written to the restored collections while they were live. `None` where nothing was.
    pub(super) fn rescue_after_undo(&self) -> Result<Option<Rescue>> {
        let planned = self.journal.history.planned.as_ref();
        let planned = planned.context("the journal names no backup")?;
        let backup = BackupFile::at(&planned.backup)?;
        let found = self.shadow_differences(&backup)?;
        if !found.iter().any(|difference| difference.aspect.is_data()) {
            return Ok(None);
        }
        let source = RescueSource {
            role: Role::Shadow,
            folder: "rescue-of-undo",
            purpose: format!(
                "written after the swap of restore {}, which was undone",
                self.operation
            ),
        };
        self.export(&backup, &source)
            .context("cannot write the rescue file")
    }

    fn export(&self, backup: &BackupFile, source: &RescueSource) -> Result<Option<Rescue>> {
        let aside = self.with_role(source.role)?;
        let late = self.with_role(Role::Late)?;
        if aside.is_empty() && late.is_empty() {
            return Ok(None);
        }
        let _ticker = report::Ticker::start("exporting what the backup has not");
        let folder = operation_dir(self.ctx, &self.operation)?.join(source.folder);
        // What a killed attempt left is not complete.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let recipients = crate::backup::encryption::recipients(self.ctx)?;
        let id = self.operation.began().format("%Y%m%d-%H%M%S").to_string();
        let options = ContainerOptions::new(&folder, &id, recipients);
        let (reader, writer) = std::io::pipe().context("cannot create a pipe")?;
        let (written, stored) = std::thread::scope(|scope| {
            let writing = scope.spawn(|| write_archive(self.ctx, &self.live, backup, &aside, &late, writer));
            let stored = store(reader, &options, Utc::now(), &mut |_| ());
            let written = writing
                .join()
                .map_err(|_| anyhow!("the thread that exports panicked"));
            (written.flatten(), stored)
        });
        // An export that failed ends its archive early: its own error says why.
        let documents = written?;
        let stored = stored?;
        if documents == 0 {
            drop(stored);
            std::fs::remove_dir_all(&folder).ok();
            return Ok(None);
        }
        let mut metadata = stored.metadata(Consistency {
            kind: ConsistencyKind::PerCollection,
            reason: "documents that were not in the backup which was restored".into(),
        });
        metadata.environment.clone_from(&self.ctx.env_name);
        metadata.purpose.clone_from(&source.purpose);
        let path = stored.commit()?;
        crate::backup::write_metadata(&folder, &metadata)?;
        Ok(Some(Rescue { path, documents }))
    }
}

/// The collections that are exported, and where to.
struct RescueSource {
    role: Role,
    folder: &'static str,
    purpose: String,
}

fn write_archive(
    ctx: &Context,
    live: &Live,
    backup: &BackupFile,
    aside: &[(String, String)],
    late: &[(String, String)],
    pipe: PipeWriter,
) -> Result<u64> {
    let names: std::collections::BTreeSet<&String> = aside.iter().chain(late).map(|(_, name)| name).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let mut differing = differing(ctx, backup, live, &names, aside)?.peekable();
    let version = live.server()?.version;
    let mut archive = ArchiveWriter::new(BufWriter::new(pipe), &version, live.name(), &names)?;
    let mut documents = 0;
    for (number, name) in names.iter().enumerate() {
        archive.collection(name)?;
        let full_name = aside
            .iter()
            .find(|(_, n)| n == name)
            .map(|(full, _)| full.as_str());
        let mut ids: Vec<Bson> = Vec::new();
        while let Some(next) =
            differing.next_if(|next| next.as_ref().map_or(true, |d| d.collection == number))
        {
            let next = next?;
            if next.loss != RowLoss::Deleted {
                ids.push(next.id);
            }
            if ids.len() == BATCH {
                documents += fetch(live, full_name, &mut ids, &mut archive)?;
            }
        }
        documents += fetch(live, full_name, &mut ids, &mut archive)?;
        for (full, _) in late.iter().filter(|(_, n)| n == name) {
            live.scan(full, |raw| {
                documents += 1;
                archive.document(raw)
            })?;
        }
    }
    archive.finish()?;
    Ok(documents)
}

/// Exports the documents with these ids, and empties the list.
fn fetch(
    live: &Live,
    collection: Option<&str>,
    ids: &mut Vec<Bson>,
    archive: &mut ArchiveWriter<BufWriter<PipeWriter>>,
) -> Result<u64> {
    let mut count = 0;
    if let Some(collection) = collection.filter(|_| !ids.is_empty()) {
        let filter = doc! { "_id": { "$in": std::mem::take(ids) } };
        live.scan_where(collection, filter, |raw| {
            count += 1;
            archive.document(raw)
        })?;
    }
    ids.clear();
    Ok(count)
}
