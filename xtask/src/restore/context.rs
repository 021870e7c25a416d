//! What every part of a restore works with: the live database, the operation and its journal.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};

use super::backup_file;
use super::delta_choice::DeltaChoice;
use super::journal::{RestoreJournal, RestorePhase};
use super::names::{self, Role};
use super::selection::Selection;
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Live, RawId};
use crate::domain::content_digest::ContentDigest;
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::lock_proof::LockProof;
use crate::operation::run::{Operation, is_taken_over};
use crate::tools::railway::database_uri;

/// One restore: `prepare` fills the shadow, `swap` makes it live, `resume` and `undo` start wherever an earlier process
/// stopped.
#[derive(Debug)]
pub struct Restore<'a> {
    pub(super) ctx: &'a Context,
    pub(super) live: Live,
    pub(super) operation: OperationId,
    pub(super) journal: RestoreJournal,
    /// What of the backup is restored.
    pub(super) selection: Selection,
    /// What of it is put back in place.
    pub(super) delta: DeltaChoice,
    /// Whether the process before this one was killed, and perhaps the server too: what a change stream shows is not enough then.
    pub(super) after_crash: bool,
    /// What the backup has of the documents that were written since, as it was read before they were put back.
    pub(super) of_backup: BackupReadings,
    /// Whether all of the backup's file was compared with what is recorded of it.
    pub(super) is_checked: bool,
    lock: LockProof,
}

/// By collection and `_id`: digest and bytes of the document, or that there is none.
pub(super) type BackupReadings = HashMap<String, HashMap<RawId, Option<(ContentDigest, u64)>>>;

/// Connects to the environment's database.
pub fn connect(ctx: &Context) -> Result<Live> {
    let mongodb = ctx.mongodb()?;
    Live::connect(&database_uri(ctx)?, &mongodb.database)
}

impl<'a> Restore<'a> {
    /// The restore that an operation under way makes; both write to one journal.
    pub fn of(ctx: &'a Context, operation: &Operation) -> Result<Self> {
        let journal = RestoreJournal::of(ctx, &operation.id, operation.journal())?;
        Self::with(ctx, operation.id.clone(), journal, operation)
    }

    /// An earlier restore, which the operation `under_way` resumes or undoes.
    pub fn earlier(ctx: &'a Context, restore: &OperationId, under_way: &Operation) -> Result<Self> {
        let journal = RestoreJournal::open(ctx, restore)?;
        Self::with(ctx, restore.clone(), journal, under_way)
    }

    fn with(
        ctx: &'a Context,
        operation: OperationId,
        journal: RestoreJournal,
        under_way: &Operation,
    ) -> Result<Self> {
        let live = connect(ctx)?.fenced(under_way.fence());
        let mut restore = Self {
            ctx,
            live,
            operation,
            journal,
            selection: Selection::default(),
            delta: DeltaChoice::default(),
            after_crash: false,
            of_backup: BackupReadings::new(),
            is_checked: false,
            lock: under_way.lock_proof(),
        };
        restore.adopt_kept()?;
        if let Some(planned) = &restore.journal.history.planned {
            restore.selection.clone_from(&planned.collections);
            restore.delta.clone_from(&planned.delta);
        }
        // Some of it may have been left to the swap.
        if let Some(swap) = &restore.journal.history.swap {
            restore.delta.collections = swap.delta.collections.keys().cloned().collect();
        }
        Ok(restore)
    }

    /// Restores only these; what an earlier process has recorded stays.
    #[must_use]
    pub(super) fn only(mut self, selection: &Selection) -> Self {
        if !self.begun() {
            self.selection.clone_from(selection);
        }
        self
    }

    /// Puts these back in place, where that is still safe; what an earlier process has recorded stays.
    #[must_use]
    pub fn in_place(mut self, delta: &DeltaChoice) -> Self {
        if !self.begun() {
            self.delta.clone_from(delta);
        }
        self
    }

    /// Whether the restore has begun.
    pub(super) fn begun(&self) -> bool {
        self.journal.history.planned.is_some()
    }

    /// Whether the swap has begun: live collections may have been renamed.
    pub(super) fn swap_begun(&self) -> bool {
        self.journal.history.swap.is_some()
    }

    /// Whether it was undone or forgotten, or an undo has begun: it cannot be resumed any more.
    pub(super) fn reverted(&self) -> bool {
        self.journal.history.phase >= RestorePhase::Undoing
    }

    /// From here on an earlier holder of this restore can change nothing any more. The ledger is asked first: a holder that
    /// was stopped, on a machine whose clocks stood still with it, must not take the place of the one that replaced it.
    pub(super) fn claim(&mut self) -> Result<()> {
        self.still_ours()?;
        self.live.claim(&names::plan(&self.operation))
    }

    /// Asks the ledger. Where somebody took the operation over and undid it, what is live is not what this process made so.
    ///
    /// # Errors
    /// The lock was taken over (exit 4).
    pub(super) fn still_ours(&self) -> Result<()> {
        self.lock.check()
    }

    /// What stopped it: whoever took it over, where somebody did, however the error looks that followed from it.
    pub(super) fn taken_over_or(&self, error: anyhow::Error) -> anyhow::Error {
        if is_taken_over(&error) {
            return error;
        }
        match self.still_ours() {
            Err(lost) if is_taken_over(&lost) => lost,
            _ => error,
        }
    }

    /// The backup that it restores: where its plan names it, else the copy that a storage has.
    pub(super) fn planned_backup(&self) -> Result<BackupFile> {
        let planned = self.journal.history.planned.as_ref();
        let planned = planned.context("the journal names no backup")?;
        backup_file::named(
            self.ctx,
            Some(&planned.backup),
            &planned.backup_id,
            planned.backup_sha256.as_deref(),
        )
    }

    /// Refuses to work on another database than the restore did.
    pub(super) fn require_same_database(&self, database: &str) -> Result<()> {
        ensure!(
            self.live.name() == database,
            errors::other_database(&self.operation, database)
        );
        Ok(())
    }

    /// The operation's collections of this role, with the live names that they belong to.
    pub(super) fn with_role(&self, wanted: Role) -> Result<Vec<(String, String)>> {
        let listed = self.live.listed()?;
        let own = listed.keys().filter_map(|name| match names::parse(name) {
            Some((id, role, collection)) if id == self.operation && role == wanted => {
                Some((name.clone(), collection.to_owned()))
            }
            _ => None,
        });
        Ok(own.collect())
    }
}
