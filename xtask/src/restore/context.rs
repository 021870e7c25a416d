//! What every part of a restore works with: the live database, the operation and its journal.

use anyhow::{Context as _, Result, ensure};

use super::journal::{RestoreJournal, RestorePhase, RestoreRecord};
use super::names::{self, Role};
use crate::context::Context;
use crate::database::Live;
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::operation::run::Operation;
use crate::report;

/// One restore: `prepare` fills the shadow, `swap` makes it live, `resume` and `undo` start wherever an earlier process
/// stopped.
#[derive(Debug)]
pub struct Restore<'a> {
    pub(super) ctx: &'a Context,
    pub(super) live: Live,
    pub(super) operation: OperationId,
    pub(super) journal: RestoreJournal,
}

/// Connects to the environment's database.
pub fn connect(ctx: &Context) -> Result<Live> {
    let mongodb = &ctx.env().mongodb;
    Live::connect(&ctx.connection_string(&mongodb.uri)?, &mongodb.database)
}

impl<'a> Restore<'a> {
    /// The restore that an operation under way makes; both write to one journal.
    pub fn of(ctx: &'a Context, operation: &Operation) -> Result<Self> {
        let journal = RestoreJournal::of(ctx, &operation.id, operation.journal())?;
        Self::with(ctx, operation.id.clone(), journal)
    }

    /// An earlier restore, which another operation resumes or undoes.
    pub fn earlier(ctx: &'a Context, operation: &OperationId) -> Result<Self> {
        let journal = RestoreJournal::open(ctx, operation)?;
        Self::with(ctx, operation.clone(), journal)
    }

    fn with(ctx: &'a Context, operation: OperationId, journal: RestoreJournal) -> Result<Self> {
        let live = connect(ctx)?;
        let mut restore = Self {
            ctx,
            live,
            operation,
            journal,
        };
        restore.adopt_kept_plan()?;
        Ok(restore)
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

    /// Keeps the plan in the database as well: a runner is lost with its disk, and another machine must be able to undo.
    pub(super) fn keep_plan(&self) -> Result<()> {
        let history = &self.journal.history;
        let planned = history.planned.clone().map(RestoreRecord::Planned);
        let swap = history.swap.clone().map(RestoreRecord::SwapBegun);
        let lines = [planned, swap].into_iter().flatten();
        let lines: Vec<String> = lines
            .map(|record| report::json_line(&record))
            .collect::<Result<_>>()?;
        self.live.keep_lines(&names::plan(&self.operation), &lines)
    }

    /// Where the journal was lost, it begins with the plan that was kept in the database.
    fn adopt_kept_plan(&mut self) -> Result<()> {
        if self.journal.history.swap.is_some() {
            return Ok(());
        }
        for line in self.live.kept_lines(&names::plan(&self.operation))? {
            let record = serde_json::from_str(&line).context("the plan kept in the database is damaged")?;
            self.journal.write(&record)?;
        }
        Ok(())
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
