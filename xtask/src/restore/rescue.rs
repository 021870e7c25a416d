//! The rescue file: what only the old collections have, as a backup of its own that mongorestore reads. The old
//! collections hold it too, but they are dropped one day; and a writer may have reached them after the safety backup.

use std::io::{BufWriter, PipeWriter};
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use chrono::Utc;
use mongodb::bson::{Bson, doc};
use serde::{Deserialize, Serialize};

use super::names::Role;
use super::prepare::shadow_differences;
use super::preview::{Fate, differing};
use super::record::{Log, Record};
use super::swap::with_role;
use crate::archive::writer::ArchiveWriter;
use crate::archive::{ContainerOptions, Recipients, store};
use crate::backup::{self, BackupFile};
use crate::context::Context;
use crate::database::Live;
use crate::domain::manifest::{Consistency, ConsistencyKind};
use crate::domain::operation::OperationId;
use crate::operation::journal::operation_dir;
use crate::report;

/// Documents asked for at once.
const BATCH: usize = 500;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescue {
    pub path: PathBuf,
    pub documents: u64,
}

/// Exports what the old collections, and those that writers made during the swap, have and the backup has not.
/// `None` where there is nothing of that kind.
pub(super) fn after_swap(
    ctx: &Context,
    live: &Live,
    file: &BackupFile,
    operation: &OperationId,
    log: &mut Log,
) -> Result<Option<Rescue>> {
    if log.history.rescued {
        return Ok(log.history.rescue.clone());
    }
    let aside = Aside {
        role: Role::Old,
        folder: "rescue",
        purpose: format!("rescue of restore {operation}"),
    };
    let rescue = export(ctx, live, file, operation, &aside).context("cannot write the rescue file")?;
    log.write(&Record::Rescued {
        rescue: rescue.clone(),
    })?;
    Ok(rescue)
}

/// Exports what was written to the restored collections while they were live. `None` where nothing was.
pub(super) fn after_undo(
    ctx: &Context,
    live: &Live,
    operation: &OperationId,
    log: &Log,
) -> Result<Option<Rescue>> {
    let planned = log
        .history
        .planned
        .as_ref()
        .context("the journal names no backup")?;
    let file = BackupFile::at(&planned.backup)?;
    let found = shadow_differences(live, &file, operation)?;
    if !found.iter().any(|difference| difference.aspect.is_data()) {
        return Ok(None);
    }
    let aside = Aside {
        role: Role::Shadow,
        folder: "rescue-of-undo",
        purpose: format!("written after the swap of restore {operation}, which was taken back"),
    };
    export(ctx, live, &file, operation, &aside).context("cannot write the rescue file")
}

/// The collections that are looked through, and where what they alone have goes.
struct Aside {
    role: Role,
    folder: &'static str,
    purpose: String,
}

fn export(
    ctx: &Context,
    live: &Live,
    file: &BackupFile,
    operation: &OperationId,
    aside: &Aside,
) -> Result<Option<Rescue>> {
    let old = with_role(live, operation, aside.role)?;
    let late = with_role(live, operation, Role::Late)?;
    if old.is_empty() && late.is_empty() {
        return Ok(None);
    }
    let _ticker = report::Ticker::start("exporting what the backup has not");
    let folder = operation_dir(ctx, operation)?.join(aside.folder);
    // What a killed attempt left is not complete.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let keys = &ctx.config.backup.recipients;
    let recipients = (!keys.is_empty()).then(|| Recipients::parse(keys)).transpose()?;
    let id = operation.began().format("%Y%m%d-%H%M%S").to_string();
    let options = ContainerOptions::new(&folder, &id, recipients);
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let (written, stored) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_archive(ctx, live, file, &old, &late, writer));
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
    metadata.environment.clone_from(&ctx.env_name);
    metadata.purpose.clone_from(&aside.purpose);
    let path = stored.commit()?;
    backup::write_metadata(&folder, &metadata)?;
    Ok(Some(Rescue { path, documents }))
}

fn write_archive(
    ctx: &Context,
    live: &Live,
    file: &BackupFile,
    old: &[(String, String)],
    late: &[(String, String)],
    pipe: PipeWriter,
) -> Result<u64> {
    let names: std::collections::BTreeSet<&String> = old.iter().chain(late).map(|(_, name)| name).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let mut differing = differing(ctx, file, live, &names, old)?.peekable();
    let version = live.server()?.version;
    let mut archive = ArchiveWriter::new(BufWriter::new(pipe), &version, live.name(), &names)?;
    let mut documents = 0;
    for (number, name) in names.iter().enumerate() {
        archive.collection(name)?;
        let stands_as = old.iter().find(|(_, n)| n == name).map(|(full, _)| full.as_str());
        let mut ids: Vec<Bson> = Vec::new();
        while let Some(next) =
            differing.next_if(|next| next.as_ref().map_or(true, |d| d.collection == number))
        {
            let next = next?;
            if next.fate != Fate::Deleted {
                ids.push(next.id);
            }
            if ids.len() == BATCH {
                documents += fetch(live, stands_as, &mut ids, &mut archive)?;
            }
        }
        documents += fetch(live, stands_as, &mut ids, &mut archive)?;
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
