//! Drops what a restore kept beside the live collections, once every document of it is proved to be elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use super::admit::admit;
use super::context::{Restore, connect};
use super::journal::{Rescue, RestorePhase, RestoreRecord};
use super::known::{self, KnownRestore};
use super::names::{self, Role};
use super::preview::missing_elsewhere;
use super::request::Verb;
use super::rescue::RescueSource;
use crate::backup::{self, BackupFile, off_machine};
use crate::context::Context;
use crate::domain::ledger::{FORGET, OperationOutcome};
use crate::domain::manifest::METADATA_FILE;
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::operation::basis::DataBasis;
use crate::operation::journal::operation_dir;
use crate::operation::ledger::Ledger;
use crate::operation::run::{Operation, is_taken_over};
use crate::report;

/// What was dropped.
#[derive(Debug, Serialize)]
pub struct Forgotten {
    pub operation: OperationId,
    pub dropped: Vec<String>,
    /// Documents that were in no file on this machine, exported before anything was dropped.
    pub rescue: Option<Rescue>,
}

/// Drops what a restore has left. `basis` is what it was confirmed on. Refused while it is midway, younger than pipeline.toml says, or where a document of it is
/// not proved to be elsewhere.
///
/// # Errors
/// Refused (exit 3) with nothing dropped; failed (exit 1) where it stopped: the same command goes on. Exit 4 where only the ledger
/// does not have its end.
pub fn forget(ctx: &Context, id: &OperationId, reason: &str, basis: &DataBasis) -> Result<Forgotten> {
    let ledger = Ledger::open(ctx).state()?;
    let known = known::find(ctx, &connect(ctx)?, &ledger, id)?;
    let known = known.ok_or_else(|| errors::unknown_restore(id))?;
    admit(&known, Verb::Forget)?;
    refuse_young(ctx, &known)?;
    let operation = Operation::begin(ctx, FORGET, id.as_str(), reason, &json!({ "forget": id }))?;
    let unchanged = basis.require_unchanged(ctx, &operation.id);
    match unchanged.and_then(|()| drop_kept(ctx, &operation, &known)) {
        Ok(forgotten) => {
            let facts = json!({ "dropped": forgotten.dropped, "rescue": forgotten.rescue });
            operation.conclude_with(OperationOutcome::Done, facts, "cargo xtask restore --list".into())?;
            Ok(forgotten)
        }
        Err(error) => {
            operation.record_end(OperationOutcome::Failed, &error)?;
            Err(error)
        }
    }
}

fn refuse_young(ctx: &Context, known: &KnownRestore) -> Result<()> {
    let kept = TimeDelta::hours(i64::from(ctx.config.restore.keep_old_hours));
    let now = Utc::now();
    let age = (now - known.operation.began()).max(TimeDelta::zero());
    ensure!(
        known.forgettable_from(kept, now).is_none_or(|from| from <= now),
        errors::forget_too_young(&known.operation, age.num_hours(), kept.num_hours())
    );
    Ok(())
}

/// Under the lock: what was found before it was taken may have changed.
fn drop_kept(ctx: &Context, operation: &Operation, known: &KnownRestore) -> Result<Forgotten> {
    let id = &known.operation;
    let mut restore = Restore::earlier(ctx, id, operation)?;
    let phase = restore.journal.history.phase;
    ensure!(
        !phase.is_midway(),
        errors::forget_midway(id, "cargo xtask restore --list")
    );
    let begun_before = phase == RestorePhase::Forgetting || known.phase == Some(RestorePhase::Forgetting);
    let beside = !known.shadow.is_empty() || !known.old.is_empty();
    ensure!(
        restore.swap_begun() || known.phase < Some(RestorePhase::Swapping) || !beside,
        errors::plan_lost(id)
    );
    let rescue = if begun_before {
        None
    } else {
        restore.prove_elsewhere(&known.rescues)?
    };
    restore.claim()?;
    restore.write_kept(&RestoreRecord::ForgetBegun)?;
    let dropped = restore.drop_beside().map_err(|error| {
        if is_taken_over(&error) {
            return error;
        }
        errors::forget_stopped(id, format!("{error:#}")).into()
    })?;
    Ok(Forgotten {
        operation: id.clone(),
        dropped,
        rescue,
    })
}

impl Restore<'_> {
    fn drop_beside(&mut self) -> Result<Vec<String>> {
        let mut dropped = Vec::new();
        for role in [Role::Previous, Role::Shadow, Role::Late] {
            for (name, _) in self.with_role(role)? {
                // Whoever took over has the names of this restore in hand now.
                self.still_ours()?;
                self.live.drop_own(&name)?;
                dropped.push(name);
            }
        }
        // Last: as long as it is there, every machine can continue.
        self.live.drop_own(&names::plan(&self.operation))?;
        self.journal.write(&RestoreRecord::Forgotten)?;
        Ok(dropped)
    }

    /// Proves that each document which would be dropped is in the restored backup or in a rescue file on this machine. Those
    /// that are in neither are exported first.
    fn prove_elsewhere(&self, recorded: &[Rescue]) -> Result<Option<Rescue>> {
        // Until the swap has begun nobody but the restore wrote to the shadow collections.
        if !self.swap_begun() {
            return Ok(None);
        }
        let undone = self.journal.history.undone.is_some();
        let role = if undone { Role::Shadow } else { Role::Previous };
        let mut aside = self.with_role(role)?;
        aside.extend(self.with_role(Role::Late)?);
        // After an undo they are live again.
        let overwritten = if undone {
            BTreeMap::new()
        } else {
            self.overwritten()?
        };
        if aside.is_empty() && overwritten.is_empty() {
            return Ok(None);
        }
        let _ticker = report::Ticker::start("proving that each document is elsewhere");
        let backup = self.planned_backup()?;
        let mut files = self.rescue_files()?;
        self.add_recorded(&mut files, recorded);
        if self.missing(&backup, &files, &aside, &overwritten)? == 0 {
            self.require_kept(&mut files)?;
            return Ok(None);
        }
        let source = RescueSource {
            role: Some(role),
            folder: if undone { "rescue-of-undo" } else { "rescue" },
            purpose: format!("kept by restore {} until it was forgotten", self.operation),
        };
        let rescue = self.export(Some(&backup), &source, &overwritten)?;
        let mut files = self.rescue_files()?;
        let missing = self.missing(&backup, &files, &aside, &overwritten)?;
        ensure!(missing == 0, errors::not_elsewhere(&self.operation, missing));
        self.require_kept(&mut files)?;
        Ok(rescue)
    }

    /// How many documents are neither in the backup nor in a rescue file.
    fn missing(
        &self,
        backup: &BackupFile,
        rescues: &[BackupFile],
        aside: &[(String, String)],
        overwritten: &BTreeMap<String, Vec<Vec<u8>>>,
    ) -> Result<u64> {
        let files = [std::slice::from_ref(backup), rescues].concat();
        missing_elsewhere(self.ctx, &self.live, &files, aside, overwritten)
    }

    /// Adds the rescue files that another machine wrote, from the storages that have them. One that cannot be had does not
    /// count: what it has is exported again.
    fn add_recorded(&self, files: &mut Vec<BackupFile>, recorded: &[Rescue]) {
        for rescue in recorded.iter().filter_map(|rescue| rescue.stored.as_ref()) {
            if files.iter().any(|file| file.reference() == *rescue) {
                continue;
            }
            match backup::find(self.ctx, &rescue.id) {
                Ok(file) if file.reference() == *rescue => files.push(file),
                Ok(_) => report::progress(&format!("warning: the rescue file {} was replaced", rescue.id)),
                Err(error) => report::progress(&format!("warning: the rescue file {}: {error:#}", rescue.id)),
            }
        }
    }

    /// What is dropped must not be on this machine alone.
    fn require_kept(&self, files: &mut [BackupFile]) -> Result<()> {
        for file in files {
            let stored = file.reference();
            if off_machine::is_kept(self.ctx, &stored)? {
                continue;
            }
            backup::keep(self.ctx, file)?;
            ensure!(
                off_machine::is_kept(self.ctx, &stored)?,
                errors::rescue_not_kept(&self.operation, file.path.display())
            );
        }
        Ok(())
    }

    /// The rescue files of this restore on this machine that are as they were written.
    fn rescue_files(&self) -> Result<Vec<BackupFile>> {
        let folder = operation_dir(self.ctx, &self.operation)?;
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        let mut folders: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot list {}", folder.display()))?
                .path();
            if path.join(METADATA_FILE).is_file() {
                folders.push(path);
            }
        }
        let whole = |folder: &PathBuf| {
            let file = BackupFile::in_folder(folder)?;
            file.check_digest()?;
            Ok(file)
        };
        let files = folders.iter().filter_map(|folder| match whole(folder) {
            Ok(file) => Some(file),
            Err::<_, anyhow::Error>(error) => {
                report::progress(&format!("warning: {}: {error:#}", folder.display()));
                None
            }
        });
        Ok(files.collect())
    }
}
