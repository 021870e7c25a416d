//! One side of a comparison as a process of its own, so that its costs can be told from ours.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use mongodb::bson::RawDocument;

use super::data::DATABASE;
use super::ground::URI_VARIABLE;
use xtask::archive::container::default_workers;
use xtask::archive::{
    self, ArchiveReader, Base, BaseArchive, BaseIndex, Check, ContainerOptions, ContainerReader,
    ContentDigest, Event, Identities, Recipients, scan, store, store_upon, verify,
};
use xtask::backup::BackupFile;
use xtask::context::Context;
use xtask::database::Live;
use xtask::domain::manifest::{Consistency, ConsistencyKind};
use xtask::report::Format;
use xtask::restore::{self, LossDetail};
use xtask::secret::Secret;

const ID: &str = "20250131-235959";

/// Options of `bench work`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Work,
}

#[derive(Debug, clap::Subcommand)]
enum Work {
    /// Stores and verifies a recorded archive, as `backup` does with what mongodump sends
    Store {
        archive: PathBuf,
        folder: PathBuf,
        /// Encrypt it to a new key
        #[arg(long)]
        encrypted: bool,
    },
    /// The same as a differential backup upon the full one in a folder
    StoreUpon {
        base: PathBuf,
        archive: PathBuf,
        folder: PathBuf,
    },
    /// Digests every collection of an archive, as backup and verification do
    Digest { archive: PathBuf },
    /// The same with one thread and one loop
    PlainDigest { archive: PathBuf },
    /// Compares a backup with what is live, as restores and rollbacks do before they ask
    Delta { backup: PathBuf },
    /// Compares a backup with what is live in the way that is written first: all of the backup in a hash map
    PlainDelta { backup: PathBuf },
}

pub(super) fn run(args: &Args) -> Result<()> {
    match &args.what {
        Work::Store {
            archive,
            folder,
            encrypted,
        } => store_and_verify(archive, folder, *encrypted),
        Work::StoreUpon {
            base,
            archive,
            folder,
        } => store_upon_base(base, archive, folder),
        Work::Digest { archive } => {
            let file = open_file(archive)?;
            let found = scan(file, Check::Outline, default_workers(), &mut |_| {})?;
            tell(found.namespaces.iter().map(|namespace| namespace.content_digest));
            Ok(())
        }
        Work::PlainDigest { archive } => plain_digest(archive),
        Work::Delta { backup } => delta(backup),
        Work::PlainDelta { backup } => plain_delta(backup),
    }
}

/// The form in which both sides tell digests.
pub(super) fn told(digests: impl IntoIterator<Item = ContentDigest>) -> String {
    digests.into_iter().map(|digest| format!("{digest}\n")).collect()
}

fn tell(digests: impl IntoIterator<Item = ContentDigest>) {
    print!("{}", told(digests));
}

fn open_file(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot open {}", path.display()))
}

fn store_and_verify(archive: &Path, folder: &Path, encrypted: bool) -> Result<()> {
    let key = age::x25519::Identity::generate();
    let recipients = encrypted
        .then(|| Recipients::parse(&[key.to_public().to_string()]))
        .transpose()?;
    let identities = Identities::parse(key.to_string().expose_secret())?;
    let options = ContainerOptions::new(folder, ID, recipients);
    let stored = store(open_file(archive)?, &options, Utc::now(), &mut |_| {})?;
    let metadata = stored.metadata(consistency());
    let path = stored.commit()?;
    let report = verify(
        &path,
        ContainerReader::open(&path, Some(&identities), default_workers()),
        Some(&metadata),
        Check::Outline,
        &mut |_| {},
    )?;
    ensure!(report.is_good(), "it is damaged: {}", report.problems.join("; "));
    tell(
        metadata
            .namespaces
            .iter()
            .map(|namespace| namespace.content_digest),
    );
    Ok(())
}

fn store_upon_base(base: &Path, archive: &Path, folder: &Path) -> Result<()> {
    let full = BackupFile::at(base)?;
    let open = || ContainerReader::open(&full.path, None, default_workers());
    let of_base = || open().map(|archive| BaseArchive::new(archive, full.reference()));
    let base = Base {
        index: BaseIndex::read(open()?, &full.metadata.namespaces, &full.metadata.hash)?,
        archive: of_base()?,
    };
    let options = ContainerOptions::new(folder, ID, None);
    let stored = store_upon(Some(base), open_file(archive)?, &options, Utc::now(), &mut |_| {})?;
    let metadata = stored.metadata(consistency());
    let path = stored.commit()?;
    let opened = ContainerReader::open(&path, None, default_workers())?.with_base(of_base()?);
    let report = verify(&path, Ok(opened), Some(&metadata), Check::Outline, &mut |_| {})?;
    ensure!(report.is_good(), "it is damaged: {}", report.problems.join("; "));
    tell(
        metadata
            .namespaces
            .iter()
            .map(|namespace| namespace.content_digest),
    );
    Ok(())
}

fn consistency() -> Consistency {
    Consistency {
        kind: ConsistencyKind::PerCollection,
        reason: "a recorded archive".to_owned(),
    }
}

fn plain_digest(archive: &Path) -> Result<()> {
    let mut reader = ArchiveReader::new(open_file(archive)?)?;
    let mut digests = vec![ContentDigest::default(); reader.prelude().namespaces.len()];
    each_document(&mut reader, |namespace, document| {
        digests[namespace].add(document);
        Ok(())
    })?;
    tell(digests);
    Ok(())
}

fn delta(backup: &Path) -> Result<()> {
    let ctx = Context::load(None, Format::Text, true)?;
    let loss = restore::preview(&ctx, &BackupFile::at(backup)?, LossDetail::Full, false)?;
    let [created, changed, deleted] = loss.totals().map(|count| count.documents);
    tell_loss(created, changed, deleted);
    Ok(())
}

/// How many documents were created, changed and deleted since the backup.
fn tell_loss(created: u64, changed: u64, deleted: u64) {
    println!("{created} created, {changed} changed, {deleted} deleted");
}

fn plain_delta(backup: &Path) -> Result<()> {
    let backup = BackupFile::at(backup)?;
    let mut reader = ArchiveReader::new(ContainerReader::open(&backup.path, None, default_workers())?)?;
    let names: Vec<String> = reader
        .prelude()
        .namespaces
        .iter()
        .map(|n| n.collection.clone())
        .collect();
    let mut known: HashMap<(usize, Vec<u8>), ContentDigest> = HashMap::new();
    each_document(&mut reader, |namespace, document| {
        known.insert((namespace, id(document)?), ContentDigest::of(document));
        Ok(())
    })?;
    let uri = Secret::new(std::env::var(URI_VARIABLE).with_context(|| format!("{URI_VARIABLE} is not set"))?);
    let live = Live::connect(&uri, DATABASE)?;
    let (mut created, mut changed) = (0_u64, 0_u64);
    for (number, name) in names.iter().enumerate() {
        live.scan(name, |document| {
            match known.remove(&(number, id(document)?)) {
                None => created += 1,
                Some(then) if then != ContentDigest::of(document) => changed += 1,
                Some(_) => {}
            }
            Ok(())
        })?;
    }
    tell_loss(created, changed, known.len() as u64);
    Ok(())
}

fn id(document: &[u8]) -> Result<Vec<u8>> {
    let id = RawDocument::from_bytes(document)?.get_str("_id")?;
    Ok(id.as_bytes().to_vec())
}

/// Every document with the number of its namespace.
fn each_document<R: std::io::Read>(
    reader: &mut ArchiveReader<R>,
    mut visit: impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<()> {
    while let Some(event) = reader.next_event()? {
        let Event::Documents {
            namespace, documents, ..
        } = event
        else {
            continue;
        };
        for document in archive::split_documents(documents) {
            visit(namespace, document?)?;
        }
    }
    Ok(())
}
