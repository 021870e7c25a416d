//! Everything before the swap: the backup is restored beside the live collections and proved equal. Nothing live changes.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::backup_file;
use super::compare::format_differences;
use super::context::Restore;
use super::copy::{Copying, Expiry};
use super::delta::Delta;
use super::journal::{PlannedRestore, RestoreRecord};
use super::names::{self, Role};
use super::preflight::preflight;
use super::search_indexes::search_indexes;
use crate::archive::Nobody;
use crate::backup::BackupFile;
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::error::catalogue::restore as errors;
use crate::error::{CliError, ExitKind};
use crate::report;
use crate::wait::elapsed_ms;

/// A backup that stands beside the live collections, proved equal.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(super) restore: Restore<'a>,
    pub(super) backup: BackupFile,
    /// What is put back in place, and needs no shadow.
    pub(super) delta: Delta,
    restore_ms: u64,
}

/// What an operation records of a shadow.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShadowFacts {
    /// The time of mongorestore and of the building of indexes.
    pub mongorestore_ms: u64,
}

impl<'a> Restore<'a> {
    /// Checks the server and the whole backup, restores beside the live collections, compares. Where the server has kept everything
    /// that is put back, the file is proved to be the right one, and not unpacked.
    ///
    /// # Errors
    /// Refused (exit 3) by the preflight; failed (exit 1) otherwise. Nothing live was changed.
    pub fn prepare(mut self, backup: &BackupFile) -> Result<Prepared<'a>> {
        ensure!(
            self.journal.history.swap.is_none(),
            errors::swap_has_begun(&self.operation)
        );
        self.journal.write(&RestoreRecord::Planned(PlannedRestore {
            backup: std::path::absolute(&backup.path).context("cannot determine the current folder")?,
            backup_id: backup.metadata.id.clone(),
            backup_sha256: Some(backup.metadata.hash.clone()),
            environment: self.ctx.env_name.clone(),
            database: self.live.name().to_owned(),
            host: self.live.host().to_owned(),
            collections: self.selection.clone(),
            delta: self.delta.clone(),
        }))?;
        let mut found = preflight(self.ctx, &self.live, backup, &self.selection, &self.operation)?;
        found.require_no_problem()?;
        let delta = self.read_delta(backup)?;
        let database = self.live.name();
        let copied_bytes = self.selection.copied_bytes(backup, database, &delta.collections);
        found.room(&self.live, copied_bytes)?;
        found.require_no_problem()?;
        let mut prepared = Prepared {
            restore: self,
            backup: backup.clone(),
            delta,
            restore_ms: 0,
        };
        if prepared.restore.delta.is_none() || prepared.collections().next().is_some() {
            prepared.restore.require_undamaged(backup)?;
        }
        prepared
            .fill_shadow()
            .map_err(|error| prepared.abandoned(&error))?;
        Ok(prepared)
    }

    /// Unpacks all of the backup's file and compares it, before anything of it is used; once.
    pub(super) fn require_undamaged(&mut self, backup: &BackupFile) -> Result<()> {
        if self.is_checked {
            return Ok(());
        }
        let ctx = self.ctx;
        self.check_file(backup, || {
            backup_file::require_undamaged(ctx, backup, &mut Nobody)
        })
    }

    /// Runs a check of all of the backup's file, and records that it is undamaged.
    pub(super) fn check_file(
        &mut self,
        backup: &BackupFile,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        report::progress(&format!("checking backup {}", backup.metadata.id));
        check()?;
        self.is_checked = true;
        self.journal.write(&RestoreRecord::Verified)
    }

    fn drop_shadow(&self) -> Result<()> {
        for (name, _) in self.with_role(Role::Shadow)? {
            self.live.drop_own(&name)?;
        }
        Ok(())
    }
}

impl Prepared<'_> {
    /// What an operation records of the shadow.
    pub fn facts(&self) -> ShadowFacts {
        ShadowFacts {
            mongorestore_ms: self.restore_ms,
        }
    }

    fn fill_shadow(&mut self) -> Result<()> {
        self.restore.journal.write(&RestoreRecord::ShadowBegun)?;
        if self.stands()? {
            return self.make_search_indexes();
        }
        self.restore
            .drop_shadow()
            .context("cannot clear the shadow collections of an earlier attempt")?;
        let started = Instant::now();
        let prefix = names::shadow_prefix(&self.restore.operation);
        let collections: Vec<String> = self.collections().collect();
        let copying = Copying {
            backup: &self.backup,
            prefix: &prefix,
            collections: &collections,
            expiry: Expiry::Never,
        };
        let documents = copying.run(self.restore.ctx, &self.restore.live)?;
        self.restore_ms = elapsed_ms(started);
        self.restore.journal.write(&RestoreRecord::ShadowFilled {
            documents,
            ms: self.restore_ms,
        })?;
        let started = Instant::now();
        let _ticker = report::Ticker::start("comparing the restored collections with the backup");
        let found = self.restore.shadow_differences(&self.backup)?;
        ensure!(
            found.is_empty(),
            "the shadow collections differ from the backup: {}",
            format_differences(&found)
        );
        self.restore.journal.write(&RestoreRecord::ShadowCompared {
            ms: elapsed_ms(started),
        })?;
        self.make_search_indexes()
    }

    /// Search indexes hang on the collection and not on its name: the restored ones get theirs before they are live, and each can
    /// be queried by then.
    fn make_search_indexes(&self) -> Result<()> {
        let restore = &self.restore;
        let names: Vec<String> = self.collections().collect();
        for (collection, indexes) in search_indexes(&restore.live, &self.backup, &names)?.built {
            let _ticker = report::Ticker::start(format!("building the search indexes of `{collection}`"));
            let shadow = names::shadow(&restore.operation, &collection);
            restore.live.make_search_indexes(&shadow, &indexes)?;
        }
        Ok(())
    }

    /// Whether an earlier process of the operation, on whichever machine, has filled the shadow collections: where they are
    /// the backup's in every document, index and option, nothing is restored again.
    fn stands(&mut self) -> Result<bool> {
        let started = Instant::now();
        if self.restore.with_role(Role::Shadow)?.is_empty() {
            return Ok(false);
        }
        if !self.restore.shadow_differences(&self.backup)?.is_empty() {
            return Ok(false);
        }
        report::progress("  the shadow collections of an earlier process are the backup's");
        let ms = elapsed_ms(started);
        self.restore
            .journal
            .write(&RestoreRecord::ShadowCompared { ms })?;
        Ok(true)
    }

    /// The shadow collections are dropped after a refusal: the next attempt takes other ones.
    pub(super) fn refused(&self, error: anyhow::Error) -> anyhow::Error {
        let is_refusal = |error: &CliError| error.exit == ExitKind::Refused;
        if error.downcast_ref::<CliError>().is_some_and(is_refusal) {
            self.restore.drop_shadow().ok();
        }
        error
    }

    /// The shadow collections are of no use after an error; they are dropped where the server still answers.
    fn abandoned(&self, error: &anyhow::Error) -> anyhow::Error {
        match self.restore.drop_shadow() {
            Ok(()) => errors::not_prepared(format!("{error:#}")).into(),
            Err(_) => {
                errors::not_prepared_and_not_cleared(format!("{error:#}"), &self.restore.operation).into()
            }
        }
    }

    /// What is restored of the backup.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &NamespaceRecord> {
        let records = &self.backup.metadata.namespaces;
        self.restore.selection.of(records, self.restore.live.name())
    }

    fn collections(&self) -> impl Iterator<Item = String> {
        let collections = self.namespaces().filter(|n| n.kind == NamespaceKind::Collection);
        let whole = collections.filter(|n| !self.delta.collections.contains(&n.collection));
        whole.map(|n| n.collection.clone())
    }
}
