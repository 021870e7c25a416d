//! The rescue file: what only the previous collections have, as a backup that mongorestore reads. The previous collections
//! have it too, but they are dropped one day; and a writer may have reached them after the safety backup.

use std::collections::BTreeMap;
use std::io::{BufWriter, PipeWriter};
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use chrono::Utc;

use super::context::Restore;
use super::journal::{Rescue, RestoreRecord};
use super::names::Role;
use super::preview::{RowLoss, differing};
use crate::archive::writer::{ArchiveWriter, CollectionShape};
use crate::archive::{ContainerOptions, store};
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Live, RawId};
use crate::domain::manifest::{Consistency, ConsistencyKind, METADATA_FILE};
use crate::operation::journal::operation_dir;
use crate::report;
use crate::tools::mongorestore::is_broken_pipe;

/// Documents asked for at once, and the bytes of their ids: an `_id` may have megabytes, a command may not.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

impl Restore<'_> {
    /// Exports what the previous collections, and those that writers created during the swap, have and the backup has not.
    /// `None` where there is nothing of that kind.
    pub(super) fn rescue_after_swap(&mut self, backup: &BackupFile) -> Result<Option<Rescue>> {
        let history = &self.journal.history;
        // Another machine may have written it, and be gone with it.
        let is_here = history.rescue.as_ref().is_none_or(|rescue| rescue.path.exists());
        if history.rescued && is_here {
            return Ok(history.rescue.clone());
        }
        let source = RescueSource {
            role: Role::Previous,
            folder: "rescue",
            purpose: format!("rescue of restore {}", self.operation),
        };
        let rescue = self
            .export(backup, &source)
            .context("cannot write the rescue file")?;
        self.write_kept(&RestoreRecord::Rescued {
            rescue: rescue.clone(),
        })?;
        Ok(rescue)
    }

    /// Exports what was written to the restored collections while they were live. `None` where nothing was.
    pub(super) fn rescue_after_undo(&self) -> Result<Option<Rescue>> {
        let backup = self.planned_backup()?;
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

    pub(super) fn export(&self, backup: &BackupFile, source: &RescueSource) -> Result<Option<Rescue>> {
        let aside = self.with_role(source.role)?;
        let late = self.with_role(Role::Late)?;
        if aside.is_empty() && late.is_empty() {
            return Ok(None);
        }
        let _ticker = report::Ticker::start("exporting what the backup has not");
        let folder = self.free_folder(source.folder)?;
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
        let (collections, stored) = outcome(written, stored)?;
        let documents = collections.values().sum();
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
        self.live.host().clone_into(&mut metadata.host);
        metadata.purpose.clone_from(&source.purpose);
        let path = stored.commit()?;
        crate::backup::write_metadata(&folder, &metadata)?;
        let rescue = Rescue {
            path,
            documents,
            collections,
        };
        report::progress(&format!("  {}: {}", source.purpose, rescue.text()));
        Ok(Some(rescue))
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

/// Whichever failed first: an export that failed ends its archive early, and a file that cannot be written breaks the pipe.
fn outcome<W, T>(written: Result<W>, stored: Result<T>) -> Result<(W, T)> {
    match (written, stored) {
        (Ok(written), Ok(stored)) => Ok((written, stored)),
        (Err(broken), Err(error)) if is_broken_pipe(&broken) => Err(error),
        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
    }
}

/// The collections that are exported, and where to.
pub(super) struct RescueSource {
    pub(super) role: Role,
    pub(super) folder: &'static str,
    pub(super) purpose: String,
}

fn write_archive(
    ctx: &Context,
    live: &Live,
    backup: &BackupFile,
    aside: &[(String, String)],
    late: &[(String, String)],
    pipe: PipeWriter,
) -> Result<BTreeMap<String, u64>> {
    let names: std::collections::BTreeSet<&String> = aside.iter().chain(late).map(|(_, name)| name).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let mut differing = differing(ctx, backup, live, &names, aside)?.peekable();
    let version = live.server()?.version;
    let shapes = shapes(live, &names, aside, late)?;
    let mut archive = ArchiveWriter::with_shapes(BufWriter::new(pipe), &version, live.name(), &shapes)?;
    let mut written = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        archive.collection(name)?;
        let full_name = aside
            .iter()
            .find(|(_, n)| n == name)
            .map(|(full, _)| full.as_str());
        let mut documents = 0;
        let mut ids: Vec<RawId> = Vec::new();
        let mut id_bytes = 0;
        while let Some(next) =
            differing.next_if(|next| next.as_ref().map_or(true, |d| d.collection == number))
        {
            let next = next?;
            if next.loss == RowLoss::Deleted {
                continue;
            }
            id_bytes += next.id.len_bytes();
            if ids.len() == BATCH || id_bytes > BATCH_BYTES {
                documents += fetch(live, full_name, &mut ids, &mut archive)?;
                id_bytes = next.id.len_bytes();
            }
            ids.push(next.id);
        }
        documents += fetch(live, full_name, &mut ids, &mut archive)?;
        for (full, _) in late.iter().filter(|(_, n)| n == name) {
            live.scan(full, |raw| {
                documents += 1;
                archive.document(raw)
            })?;
        }
        if documents > 0 {
            written.insert(name.clone(), documents);
        }
    }
    archive.finish()?;
    Ok(written)
}

/// Options and indexes of each collection: one that is gone when its documents are put back is made with them.
fn shapes(
    live: &Live,
    names: &[String],
    aside: &[(String, String)],
    late: &[(String, String)],
) -> Result<Vec<(String, CollectionShape)>> {
    let mut listed = live.listed()?;
    let mut shapes = Vec::new();
    for name in names {
        let full = aside.iter().chain(late).find(|(_, of)| of == name);
        let (full, _) = full.context("a collection that is neither aside nor late")?;
        let options = listed.remove(full).map(|listed| listed.options);
        let shape = CollectionShape {
            options: options.unwrap_or_default(),
            indexes: live.indexes(full)?,
        };
        shapes.push((name.clone(), shape));
    }
    Ok(shapes)
}

/// Exports the documents with these ids, and empties the list.
fn fetch(
    live: &Live,
    collection: Option<&str>,
    ids: &mut Vec<RawId>,
    archive: &mut ArchiveWriter<BufWriter<PipeWriter>>,
) -> Result<u64> {
    let mut count = 0;
    if let Some(collection) = collection.filter(|_| !ids.is_empty()) {
        live.scan_ids(collection, ids, |raw| {
            count += 1;
            archive.document(raw)
        })?;
    }
    ids.clear();
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_full_disk_is_the_error_and_not_the_pipe_that_it_breaks() {
        let broken = || {
            Err::<u64, _>(anyhow::Error::from(Error::from(ErrorKind::BrokenPipe)).context("cannot export"))
        };
        let full = || Err::<(), _>(Error::from(ErrorKind::StorageFull).into());
        let error = outcome(broken(), full()).unwrap_err();
        assert_eq!(error.to_string(), Error::from(ErrorKind::StorageFull).to_string());
        let ended_early = Err::<(), _>(anyhow!("the archive ends early"));
        let error = outcome(Err::<u64, _>(anyhow!("no server")), ended_early).unwrap_err();
        assert_eq!(error.to_string(), "no server");
        assert_eq!(outcome(Ok(7), Ok(())).unwrap(), (7, ()));
    }
}
