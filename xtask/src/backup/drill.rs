//! Restores a backup into a scratch server and compares everything, against the clock.
//!
//! A backup that was read back is whole; one that was restored is known to be of use. Meant for a weekly workflow.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rand::seq::IndexedRandom as _;
use serde::Serialize;

use super::list::verified;
use super::{
    BackupFile, clustered_expiry, compare, copy_archive, create_beforehand, fetch, find, is_capped, recorded,
    resolve, secondary_indexes, verify,
};
use crate::archive::container::default_workers;
use crate::context::Context;
use crate::database::{Digests, Live};
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord, check_backup_id};
use crate::error::CliError;
use crate::report;
use crate::secret::Secret;
use crate::tools::{mongo_server, mongorestore};
use crate::wait::elapsed_ms;

const MAX_PARALLEL: usize = 4;

/// What a drill found.
#[derive(Debug, Serialize)]
pub struct DrillReport {
    pub backup: String,
    /// The storage that delivered it, or the path of the file that was named.
    pub from: String,
    pub good: bool,
    pub documents: u64,
    pub collections: usize,
    /// Everything in which the restored database is not as recorded.
    pub differences: Vec<String>,
    pub server: String,
    pub verify_ms: u64,
    pub restore_ms: u64,
    pub compare_ms: u64,
    /// Verify, restore and compare together.
    pub total_ms: u64,
    pub budget_ms: u64,
    pub within_budget: bool,
}

/// What a drill restores.
#[derive(Debug)]
pub struct DrilledBackup {
    pub backup: BackupFile,
    from: String,
    /// Holds the copy.
    _folder: Option<tempfile::TempDir>,
}

impl DrilledBackup {
    /// A file on this machine, as it is.
    pub fn local(backup: BackupFile) -> Self {
        Self {
            from: backup.path.display().to_string(),
            backup,
            _folder: None,
        }
    }

    /// The backup of this id as it comes back where this machine is gone: a copy that another storage than the local one delivers. Where
    /// none has it, that is reported, and the local one is restored. The path of a file or folder is taken as it is.
    pub fn named(ctx: &Context, named: &str) -> Result<Self> {
        if check_backup_id(named).is_err() {
            return resolve(ctx, named).map(Self::local);
        }
        let folder =
            tempfile::tempdir_in(ctx.state_dir("tmp")?).context("cannot make a folder for the copy")?;
        let recorded = recorded::hash(ctx, named);
        let first = find::first_directory(ctx)?;
        let copy = fetch::fresh_copy(ctx, named, recorded.as_deref(), first.path(), folder.path())?;
        if let Some((from, backup)) = copy {
            return Ok(Self {
                backup,
                from,
                _folder: Some(folder),
            });
        }
        report::progress(&format!(
            "warning: only the local storage has {named}: nothing shows that a copy can be fetched where this machine is gone"
        ));
        find(ctx, named).map(Self::local)
    }
}

/// The id of a verified backup of this environment: the newest, or any where `random` is set. Ends with exit 1 where there is none.
pub fn choose(ctx: &Context, random: bool) -> Result<String> {
    let mut backups = verified(ctx)?;
    if random {
        backups = backups.choose(&mut rand::rng()).cloned().into_iter().collect();
    }
    let backup = backups.pop().ok_or_else(|| {
        CliError::failed(format!("there is no verified backup of {}", ctx.env_name))
            .live("nothing was changed")
            .next("cargo xtask backup create")
    })?;
    Ok(backup.id)
}

/// The drill on a server that is started for it and gone afterwards.
pub fn drill_on_scratch_server(ctx: &Context, drilled: &DrilledBackup) -> Result<DrillReport> {
    mongo_server::with_scratch(ctx, |uri| drill_on(ctx, drilled, uri))
}

/// The drill on a server that stays: what was restored is dropped again.
///
/// # Errors
/// Refused (exit 3) where the server has one of the databases of the backup.
pub fn drill_on_kept_server(ctx: &Context, drilled: &DrilledBackup, uri: &Secret) -> Result<DrillReport> {
    let drill = drill_on(ctx, drilled, uri)?;
    for name in databases_of(&drilled.backup)? {
        let part = Part::of(&drilled.backup, Live::connect(uri, &name)?);
        part.empty()?;
    }
    Ok(drill)
}

/// The drill on an empty server. Ends with exit 3 where the server has one of the databases of the backup.
fn drill_on(ctx: &Context, drilled: &DrilledBackup, uri: &Secret) -> Result<DrillReport> {
    let backup = &drilled.backup;
    let databases = databases_of(backup)?;
    let first = databases.first().context("the backup holds no database")?;
    let live = Live::connect(uri, first)?;
    let parts: Vec<Part> = databases
        .iter()
        .map(|name| Part::of(backup, live.with_database(name)))
        .collect();
    for part in &parts {
        part.require_empty()?;
    }
    let started = Instant::now();
    let whole = verify(ctx, backup)?;
    ensure!(
        whole.is_good(),
        "the backup is damaged: {}",
        whole.problems.join("; ")
    );
    let verify_ms = elapsed_ms(started);

    let step = Instant::now();
    for part in &parts {
        part.fill(ctx, backup, uri)?;
    }
    let restore_data_ms = elapsed_ms(step);

    // The documents before the indexes: one that lets documents expire must not do so before they are compared.
    let step = Instant::now();
    report::progress("comparing what was restored with what was backed up");
    let mut differences = Vec::new();
    for part in &parts {
        part.compare(Digests::Full, &mut differences)?;
    }
    let compare_data_ms = elapsed_ms(step);

    let step = Instant::now();
    for part in &parts {
        part.build_indexes(backup)?;
    }
    let restore_ms = restore_data_ms + elapsed_ms(step);
    let step = Instant::now();
    for part in &parts {
        part.compare(Digests::None, &mut differences)?;
    }
    let budget_ms = ctx.config.budgets.restore_s * 1_000;
    let total_ms = elapsed_ms(started);
    Ok(DrillReport {
        backup: backup.metadata.id.clone(),
        from: drilled.from.clone(),
        good: differences.is_empty(),
        documents: backup.metadata.documents,
        collections: parts.iter().map(|part| part.expected.collections.len()).sum(),
        differences,
        server: live.server()?.version,
        verify_ms,
        restore_ms,
        compare_ms: compare_data_ms + elapsed_ms(step),
        total_ms,
        budget_ms,
        within_budget: total_ms <= budget_ms,
    })
}

/// The databases of applications in the backup. Those of the server are left out: a scratch server has its own.
fn databases_of(backup: &BackupFile) -> Result<Vec<String>> {
    let own = backup.metadata.namespaces.iter().filter(|n| compare::is_own(n));
    let databases: BTreeSet<&String> = own.map(|n| &n.database).collect();
    ensure!(
        !databases.is_empty(),
        "the backup holds no collection that could be restored"
    );
    Ok(databases.into_iter().cloned().collect())
}

/// One database of the backup, and where it is restored.
struct Part {
    live: Live,
    expected: Inventory,
}

impl Part {
    fn of(backup: &BackupFile, live: Live) -> Self {
        let expected = crate::database::backup_inventory(&backup.metadata.namespaces, live.name());
        Self { live, expected }
    }

    fn require_empty(&self) -> Result<()> {
        if self.live.listed()?.is_empty() {
            return Ok(());
        }
        let (database, host) = (self.live.name(), self.live.host());
        Err(CliError::refused(format!("`{database}` on {host} is not empty"))
            .live("nothing was changed")
            .next("name a server without this database: a drill must never meet live data; what a drill that was cut off has left there is dropped by hand")
            .into())
    }

    /// Drops what the drill restored; the database was empty before it.
    fn empty(&self) -> Result<()> {
        let mut names = self.expected.collections.keys();
        names.try_for_each(|name| self.live.drop_of_drill(name))
    }

    fn fill(&self, ctx: &Context, backup: &BackupFile, uri: &Secret) -> Result<()> {
        let facts = || self.expected.collections.iter();
        let collections = facts().filter(|(_, facts)| facts.kind == NamespaceKind::Collection);
        let names: Vec<String> = collections.map(|(name, _)| name.clone()).collect();
        let own = |n: &&NamespaceRecord| n.database == self.live.name();
        let in_archive = backup.metadata.namespaces.iter().filter(own);
        let left_out: Vec<String> = in_archive
            .filter(|n| !compare::is_own(n))
            .map(|n| n.collection.clone())
            .collect();
        let request = mongorestore::Request {
            uri,
            from_database: self.live.name(),
            to_database: self.live.name(),
            prefix: "",
            collections: &names,
            excluded: &left_out,
            bypass_validation: true,
            parallel: default_workers().min(MAX_PARALLEL),
            in_order: self.collections(backup).any(is_capped),
        };
        let documents: u64 = facts().map(|(_, facts)| facts.documents).sum();
        let _ticker = report::Ticker::start(format!(
            "restoring {documents} documents of `{}` into the scratch server",
            self.live.name()
        ));
        create_beforehand(&self.live, "", self.collections(backup))?;
        mongorestore::restore(&ctx.shell()?, &request, |pipe| copy_archive(ctx, backup, pipe))?;
        Ok(())
    }

    fn build_indexes(&self, backup: &BackupFile) -> Result<()> {
        let _ticker = report::Ticker::start("building indexes");
        for namespace in self.collections(backup) {
            let collection = &namespace.collection;
            self.live
                .create_indexes(collection, &secondary_indexes(namespace)?)?;
            if let Some((index, expire_after_s)) = clustered_expiry(namespace)? {
                self.live.set_expiry(collection, &index, expire_after_s)?;
            }
        }
        Ok(())
    }

    fn collections<'a>(&'a self, backup: &'a BackupFile) -> impl Iterator<Item = &'a NamespaceRecord> {
        let records = backup.metadata.namespaces.iter();
        records.filter(|n| {
            n.database == self.live.name() && n.kind == NamespaceKind::Collection && compare::is_own(n)
        })
    }

    /// Adds what differs: in documents where they are read, else in everything but documents.
    fn compare(&self, digests: Digests, differences: &mut Vec<String>) -> Result<()> {
        let found = self.expected.compare(&self.live.inventory(digests)?);
        let wanted = |difference: &&Difference| difference.aspect.is_data() == (digests == Digests::Full);
        let told = found.iter().filter(wanted);
        differences.extend(told.map(|difference| format!("{}: {difference}", self.live.name())));
        Ok(())
    }
}
