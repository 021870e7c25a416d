//! The moment that a backup is of. mongodump reads one collection after the other, some minutes long: what is written meanwhile is
//! in some of them. So a change stream tells which documents changed during the dump, and the archive is written a second time with
//! these documents as they were at one moment after it. Stock tools restore that moment too.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use chrono::{DateTime, Utc};
use mongodb::bson::Timestamp;

use super::open::open_with;
use super::rewrite::{Edit, rewrite};
use super::room::require_room;
use super::source::{BackupSource, NamespaceList};
use super::{BackupFile, increment, is_capped};
use crate::archive::writer::store_written;
use crate::archive::{ContainerOptions, Identities, StoredBackup, split_documents};
use crate::config::Oplog;
use crate::context::Context;
use crate::database::{ChangesDuring, Following, Live, OplogAccess, PreImage, RawId, refusal};
use crate::domain::content_digest::ContentDigest;
use crate::domain::inventory::is_system_collection;
use crate::domain::manifest::{
    ChangeStart, Consistency, ConsistencyKind, NamespaceKind, NamespaceRecord, ServerTime, namespace_name,
};
use crate::error::CliError;
use crate::exec::check_interrupted;
use crate::report;
use crate::storage::directory::Partial;

/// So many bytes of documents are handed over at once.
const PORTION_BYTES: usize = 256 << 10;

/// How a backup gets to one moment; begun before the dump.
#[derive(Debug)]
pub(super) enum Watch {
    /// mongodump takes the oplog of this replica set.
    Oplog(String),
    Stream(Box<Following>),
    /// It does not, and why.
    Not(String),
}

/// Where the backup is written, and with which keys it is read again.
pub(super) struct Place<'a> {
    pub(super) partial: &'a Partial,
    pub(super) options: &'a ContainerOptions,
    pub(super) identities: &'a Identities,
}

impl Watch {
    /// `before` is what will be dumped, and `shadows` how the names of collections begin that will not.
    ///
    /// # Errors
    /// Usage (exit 2) where `backup.oplog` is `require`, and it cannot be had.
    pub(super) fn begin(
        ctx: &Context,
        source: &BackupSource,
        before: &NamespaceList,
        id: &str,
        shadows: Option<&str>,
    ) -> Result<Self> {
        let wanted = ctx.config.backup.oplog;
        let watch = if wanted == Oplog::Never {
            Self::Not("pipeline.toml has backup.oplog = \"never\"".to_owned())
        } else if source.is_everything() {
            match source.oplog()? {
                OplogAccess::Readable(set) => Self::Oplog(set),
                OplogAccess::No(why) => Self::Not(why),
            }
        } else if let Some(((database, name), _)) =
            before.iter().find(|((_, name), kind)| is_blind(name, **kind))
        {
            Self::Not(not_followed(&namespace_name(database, name)))
        } else {
            match source.live().follow(id, shadows) {
                Ok(following) => Self::Stream(Box::new(following)),
                Err(error) => {
                    check_interrupted()?;
                    let why = refusal(&error);
                    Self::Not(format!("what changes during the dump cannot be followed: {why}"))
                }
            }
        };
        match &watch {
            Self::Not(why) if wanted == Oplog::Require => Err(not_to_be_had(why)),
            _ => Ok(watch),
        }
    }

    pub(super) const fn takes_oplog(&self) -> bool {
        matches!(self, Self::Oplog(_))
    }

    /// The dump as of one moment, or as it is where that cannot be had; the moment, where it was read from the server.
    ///
    /// # Errors
    /// Usage (exit 2) as before; failed (exit 1) where the archive cannot be written again.
    pub(super) fn settle(
        self,
        ctx: &Context,
        source: &BackupSource,
        place: &Place<'_>,
        stored: StoredBackup,
    ) -> Result<(StoredBackup, Consistency, Option<ServerTime>)> {
        let (stored, settled) = match self {
            Self::Oplog(set) => {
                let how = format!(
                    "the oplog of the replica set `{set}` during the dump is in the archive: `mongorestore --oplogReplay` applies it"
                );
                (stored, Ok((how, None)))
            }
            Self::Not(why) => (stored, Err(why)),
            Self::Stream(following) => at_one_moment(ctx, source.live(), place, stored, *following)?,
        };
        let (kind, reason, at) = match settled {
            Ok((how, at)) => (ConsistencyKind::PointInTime, how, at),
            Err(why) if ctx.config.backup.oplog == Oplog::Require => return Err(not_to_be_had(&why)),
            Err(why) => (ConsistencyKind::PerCollection, why, None),
        };
        Ok((stored, Consistency { kind, reason }, at))
    }
}

fn not_to_be_had(why: &str) -> anyhow::Error {
    CliError::usage(format!("backup.oplog = \"require\" cannot be had: {why}"))
        .next("run the command again at a quieter time; or set backup.oplog to \"auto\" in pipeline.toml, and stop the writers during the backup where one moment is needed")
        .into()
}

/// What it is as of, in words and where a change stream has that moment; or why not.
type Settled = Result<(String, Option<ServerTime>), String>;

fn at_one_moment(
    ctx: &Context,
    live: &Live,
    place: &Place<'_>,
    stored: StoredBackup,
    following: Following,
) -> Result<(StoredBackup, Settled)> {
    let changes = match changes(&stored.manifest.namespaces, following) {
        Ok(changes) => changes,
        Err(why) => {
            check_interrupted()?;
            return Ok((stored, Err(why)));
        }
    };
    let at = shown(changes.at);
    let moment = ServerTime::from(changes.at);
    let count: usize = changes.documents.values().map(HashSet::len).sum();
    if count == 0 {
        let how = format!("as of {at}: nothing changed during the dump");
        return Ok((stored, Ok((how, Some(moment)))));
    }
    if let Err(error) = require_room(place.partial.path(), stored.manifest.archive_bytes) {
        return Ok((stored, Err(format!("{error:#}"))));
    }
    let _ticker = report::Ticker::start(format!(
        "{count} documents changed during the dump: writing the backup a second time, as of {at}"
    ));
    let mut put = Put {
        live,
        at: changes.at,
        documents: changes.documents,
        given: BTreeMap::new(),
        unread: None,
    };
    match with_changes(ctx, live.name(), place, &stored, &mut put) {
        Ok(stored) => {
            let how = format!("as of {at}: {count} documents that changed during the dump are as of then");
            let is_exact = is_exact(live, moment, changes.mark, &put.given);
            check_interrupted()?;
            let as_of = is_exact.unwrap_or(false).then_some(moment);
            Ok((stored, Ok((how, as_of))))
        }
        Err(error) => {
            check_interrupted()?;
            let why = put.unread.ok_or(error)?;
            Ok((stored, Err(why)))
        }
    }
}

/// Whether a change stream has not all that happens in it.
fn is_blind(collection: &str, kind: NamespaceKind) -> bool {
    kind == NamespaceKind::Timeseries
        || (kind == NamespaceKind::Collection && is_system_collection(collection))
}

fn not_followed(name: &str) -> String {
    format!("changes of `{name}` cannot be followed")
}

/// What changed during the dump, where that is known of all that is in it.
fn changes(namespaces: &[NamespaceRecord], following: Following) -> Result<ChangesDuring, String> {
    if let Some(blind) = namespaces.iter().find(|n| is_blind(&n.collection, n.kind)) {
        return Err(not_followed(&blind.name()));
    }
    let any = namespaces.iter().find(|n| n.kind == NamespaceKind::Collection);
    let any = any.ok_or_else(|| "it has no collection with documents".to_owned())?;
    let changes = following
        .until_now(&any.collection)
        .map_err(|error| format!("what changed during the dump is not known: {}", refusal(&error)))?;
    for collection in changes.documents.keys() {
        let record = namespaces.iter().find(|n| n.collection == *collection);
        match record {
            None => return Err(format!("`{collection}` was created during the dump")),
            // What it loses at its other end makes no event.
            Some(record) if is_capped(record) => {
                return Err(format!(
                    "`{}` is capped and was written to during the dump",
                    record.name()
                ));
            }
            Some(_) => {}
        }
    }
    Ok(changes)
}

/// The dump with the documents that changed as they were at the moment.
fn with_changes(
    ctx: &Context,
    database: &str,
    place: &Place<'_>,
    dump: &StoredBackup,
    put: &mut Put<'_>,
) -> Result<StoredBackup> {
    let metadata = dump.metadata(Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: String::new(),
    });
    let base = metadata.base.as_ref();
    let base = base.map(|base| increment::again(ctx, base)).transpose()?;
    let file = BackupFile {
        path: dump.partial_path().to_owned(),
        metadata,
    };
    let opened = open_with(ctx, &file, Some(place.identities))?;
    let records: Vec<&NamespaceRecord> = dump.manifest.namespaces.iter().collect();
    let written = store_written(base, place.options, place.partial.created, |pipe| {
        rewrite(&file, opened, &records, database, put, pipe)
    });
    written.map(|((), stored)| stored)
}

/// Whether what was given as of the moment is what the documents were before the first write after it, or still are. A server whose
/// snapshot is a moment later than it states, as that of the local server, gives another state of those that were written in between.
///
/// # Errors
/// Where that cannot be told, also because the server keeps of no collection what documents were.
fn is_exact(live: &Live, moment: ServerTime, mark: String, given: &BTreeMap<String, Given>) -> Result<bool> {
    if !live.keeps_pre_images()? {
        return Ok(false);
    }
    // Read before the stream: it has what is written meanwhile.
    let mut now: BTreeMap<&str, Given> = BTreeMap::new();
    for (collection, given) in given {
        let mut found: Given = given.keys().map(|id| (id.clone(), None)).collect();
        live.scan_ids(collection, given.keys().cloned().map(Ok), |raw| {
            found.insert(RawId::of_document(raw)?, Some(ContentDigest::of(raw)));
            Ok(())
        })?;
        now.insert(collection, found);
    }
    let after = ChangeStart {
        time: moment.time,
        increment: moment.increment,
        mark,
        as_of: Some(moment),
    };
    let mut written = live.changes_since(&after, true)?.documents;
    for (collection, given) in given {
        let images = written.remove(collection).unwrap_or_default();
        for (id, given) in given {
            let is_it = match images.get(id) {
                None => now.get(&**collection).and_then(|now| now.get(id)) == Some(given),
                Some(PreImage::Absent) => given.is_none(),
                Some(PreImage::Document(document)) => *given == Some(ContentDigest::of(document)),
                // A collection of which the server keeps none: what the backup has of it is read from the backup.
                Some(PreImage::Unknown) => true,
            };
            if !is_it {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The documents that the server gave as of the moment, and those that it had not.
type Given = HashMap<RawId, Option<ContentDigest>>;

/// Leaves the documents that changed out of the dump, and adds what they were at the moment.
struct Put<'a> {
    live: &'a Live,
    at: Timestamp,
    documents: BTreeMap<String, HashSet<RawId>>,
    given: BTreeMap<String, Given>,
    /// Why the server did not give them.
    unread: Option<String>,
}

impl Edit for Put<'_> {
    fn documents(&mut self, collection: &str, documents: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let Some(changed) = self.documents.get(collection) else {
            out.extend_from_slice(documents);
            return Ok(());
        };
        for document in split_documents(documents) {
            let document = document?;
            if !changed.contains(&RawId::of_document(document)?) {
                out.extend_from_slice(document);
            }
        }
        Ok(())
    }

    fn more(&mut self, collection: &str, add: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Some(mut missing) = self.documents.remove(collection) else {
            return Ok(());
        };
        let ids = missing.clone().into_iter().map(Ok);
        let mut given: Given = missing.iter().map(|id| (id.clone(), None)).collect();
        let (mut portion, mut is_read) = (Vec::new(), true);
        let read = self.live.scan_ids_at(collection, ids, self.at, |raw| {
            // One document may be found by two ids: 1 and 1.0 are the same to the server.
            let id = RawId::of_document(raw)?;
            if missing.remove(&id) {
                portion.extend_from_slice(raw);
                given.insert(id, Some(ContentDigest::of(raw)));
            }
            if portion.len() >= PORTION_BYTES {
                is_read = false;
                add(&std::mem::take(&mut portion))?;
                is_read = true;
            }
            Ok(())
        });
        if let Err(error) = read {
            let why = || {
                format!(
                    "the server does not give `{collection}` as of then: {}",
                    refusal(&error)
                )
            };
            self.unread = is_read.then(why);
            return Err(error);
        }
        self.given.insert(collection.to_owned(), given);
        add(&portion)
    }
}

/// A moment of the server, for people.
fn shown(at: Timestamp) -> String {
    let time = DateTime::<Utc>::from_timestamp_secs(i64::from(at.time)).unwrap_or_default();
    format!("{} UTC ({}.{})", time.format("%F %T"), at.time, at.increment)
}
