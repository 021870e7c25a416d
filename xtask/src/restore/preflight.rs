//! Everything that can block a restore, found before anything is changed and reported all at once.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::context::connect;
use super::left_alone::dependent_views;
use super::leftovers::leftovers;
use super::preview::LossPreview;
use super::rescue::is_rescue;
use super::search_indexes::search_indexes;
use super::selection::Selection;
use crate::backup::{
    self, BackupFile, live_problem, missing_rights, needed_bytes, restorable, room_problem, sharded,
};
use crate::context::Context;
use crate::database::{Listed, Live, Space};
use crate::domain::inventory::is_application;
use crate::domain::ledger::LedgerState;
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::operation::new_operation_id;
use crate::storage::directory::free_bytes;
use crate::tools::mongorestore::MAX_EXCLUDED;

/// A renaming ends them (MongoDB manual, "Change Events": `invalidate`).
pub(super) const CHANGE_STREAMS: &str = "end where they watch a collection that is swapped, and so do triggers of Atlas: start them again afterwards";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestorePreflight {
    /// Each of them forbids the restore.
    pub problems: Vec<String>,
    /// What could not be determined, and what the operator should know.
    pub warnings: Vec<String>,
    pub storage: StorageNeed,
    /// Those of the warnings that are about the data, and the same whenever it is asked.
    #[serde(skip)]
    notes: Vec<String>,
}

/// What the plan of an operation has of the restore that is a part of it.
#[derive(Debug)]
pub struct RestorePart {
    /// Each of them forbids it.
    pub problems: Vec<String>,
    pub notes: Vec<String>,
}

/// Room for the second copy of what is swapped: both exist until the previous one is forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StorageNeed {
    /// None where everything is put back in place.
    pub needed_bytes: u64,
    /// `None` where the server does not report it (Atlas shared tiers), and where nothing is copied.
    pub free_bytes: Option<u64>,
}

/// Checks backup and server, except for [the room](RestorePreflight::room): how much is copied is known once it is chosen what is put
/// back in place. Changes nothing.
pub fn preflight(
    ctx: &Context,
    live: &Live,
    backup: &BackupFile,
    selection: &Selection,
    operation: &OperationId,
) -> Result<RestorePreflight> {
    let mut found = RestorePreflight::default();
    found.environment(ctx, backup);
    let listed = live.listed()?;
    found.backup(live, &listed, backup, selection);
    found.timeseries(&listed, live.name(), &backup.metadata.namespaces, selection);
    found.sharded(live, &listed, selection)?;
    found.dependent_views(&listed, selection);
    found.search_indexes(live, backup, selection)?;
    found.versions(live, backup)?;
    found.leftovers(live, operation)?;
    found.roles(live);
    found.index_builds(live.index_builds());
    Ok(found)
}

/// Everything that would block the restore of this backup now, and what it changes, for the plan of what it is a part of. An unfinished operation of
/// the ledger is named itself, not by what its restore has beside the live collections: that is resumed with the operation.
/// One that somebody holds is left to the lock, which says who and since when.
pub fn as_part(ctx: &Context, backup: &BackupFile, ledger: &LedgerState) -> Result<RestorePart> {
    let live = connect(ctx)?;
    let other = ledger.unfinished().map(|other| other.id.clone());
    let operation = other.unwrap_or_else(new_operation_id);
    let mut found = preflight(ctx, &live, backup, &Selection::default(), &operation)?;
    if ledger.held().is_none() {
        found.other_operations(ledger);
    }
    found.note(format!("change streams {CHANGE_STREAMS}"));
    Ok(RestorePart {
        problems: found.problems,
        notes: found.notes,
    })
}

impl RestorePreflight {
    /// Refuses where there is a problem.
    pub fn require_no_problem(&self) -> Result<()> {
        let listed = self.problems.iter().map(|problem| format!("\n    - {problem}"));
        ensure!(
            self.problems.is_empty(),
            errors::blocked(listed.collect::<String>())
        );
        Ok(())
    }

    /// An unfinished operation of this environment, as the ledger has it.
    pub fn other_operations(&mut self, ledger: &LedgerState) {
        if let Some(other) = ledger
            .unfinished()
            .filter(|o| o.ended.is_some() || ledger.left_midway(o).is_some())
        {
            let kind = &other.started.kind;
            self.problem(format!(
                "{kind} {0} is under way or stopped midway ({1}): wait, or `cargo xtask {kind} --resume {0}` or `--undo {0}`",
                other.id, other.started.reason
            ));
        }
    }

    /// A backup of another server is restored only where the operator asks for it.
    pub fn other_host(&mut self, live: &Live, backup: &BackupFile) {
        let host = &backup.metadata.host;
        if !host.is_empty() && !live.is_at(host) {
            self.problem(format!(
                "the backup was taken on {host}, and this is {}: add --other-host if that is intended",
                live.host()
            ));
        }
    }

    /// Room on this machine for the rescue file: what was written since the backup, compressed as a backup is. Found after
    /// the swap, a full disk would leave the operation midway.
    pub fn rescue_room(&mut self, ctx: &Context, loss: &LossPreview) -> Result<()> {
        let [created, changed, _] = loss.totals();
        let folder = ctx.state_dir("operations")?;
        if loss.exact {
            let needed_bytes = backup::room_bytes(created.bytes + changed.bytes);
            self.rescue_file(&folder, free_bytes(&folder)?, needed_bytes);
        }
        Ok(())
    }

    fn rescue_file(&mut self, folder: &Path, free_bytes: u64, needed_bytes: u64) {
        if free_bytes < needed_bytes {
            self.problem(format!(
                "{} has {} free, and the rescue file of what was written since the backup needs about {}",
                folder.display(),
                crate::report::bytes(free_bytes),
                crate::report::bytes(needed_bytes)
            ));
        }
    }

    fn problem(&mut self, text: String) {
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    fn note(&mut self, text: String) {
        self.notes.push(text.clone());
        self.warn(text);
    }

    fn environment(&mut self, ctx: &Context, backup: &BackupFile) {
        let from = &backup.metadata.environment;
        if from.is_empty() {
            self.warn("the backup does not name its environment".into());
        } else if *from != ctx.env_name {
            self.problem(format!(
                "the backup was taken of the environment `{from}`, and this is `{}`",
                ctx.env_name
            ));
        }
    }

    /// The same check as after the backup was taken, and the names that are live now: they are kept beside others too.
    fn backup(
        &mut self,
        live: &Live,
        listed: &BTreeMap<String, Listed>,
        backup: &BackupFile,
        selection: &Selection,
    ) {
        if is_rescue(&backup.metadata) {
            self.problem(errors::rescue_is_no_backup(&backup.metadata.id).to_string());
        }
        let of_all = selection.is_all();
        let taken = |n: &&NamespaceRecord| {
            of_all || n.database.is_empty() || (n.database == live.name() && selection.has(&n.collection))
        };
        let records: Vec<NamespaceRecord> =
            backup.metadata.namespaces.iter().filter(taken).cloned().collect();
        let found = restorable(&records, live.name());
        found.problems.into_iter().for_each(|why| self.problem(why));
        let own = backup
            .metadata
            .namespaces
            .iter()
            .filter(|n| n.database == live.name());
        let left_out = own.filter(|n| !selection.has(&n.collection)).count();
        if left_out > MAX_EXCLUDED {
            self.problem(format!(
                "{left_out} other collections and views are more than one run of mongorestore can leave out ({MAX_EXCLUDED}): \
                 restore all of the backup"
            ));
        }
        let notes = found.left_alone.into_iter().chain(found.altered);
        notes.for_each(|what| self.note(what));
        for (name, listed) in listed.iter().filter(|(name, _)| selection.has(name)) {
            if listed.kind == NamespaceKind::Collection
                && let Some(why) = live_problem(live.name(), name)
            {
                self.problem(why);
            }
        }
    }

    /// Views that show what is restored and are not restored themselves.
    fn dependent_views(&mut self, listed: &BTreeMap<String, Listed>, selection: &Selection) {
        if selection.is_all() {
            return;
        }
        for (view, collection) in dependent_views(listed, selection) {
            self.warn(format!(
                "the view `{view}` reads `{collection}`: it stays as it is, and shows what is restored"
            ));
        }
    }

    /// What Atlas builds beside the collections, and what ends with a collection that is replaced.
    fn search_indexes(&mut self, live: &Live, backup: &BackupFile, selection: &Selection) -> Result<()> {
        let own = selection.of(&backup.metadata.namespaces, live.name());
        let names: Vec<String> = own
            .filter(|n| n.kind == NamespaceKind::Collection)
            .map(|n| n.collection.clone())
            .collect();
        let search = search_indexes(live, backup, &names)?;
        search.problems.into_iter().for_each(|why| self.problem(why));
        search.warnings.into_iter().for_each(|what| self.note(what));
        Ok(())
    }

    /// The server can rename no time-series collection: one that has the name of a collection of the backup cannot make room.
    fn timeseries(
        &mut self,
        listed: &BTreeMap<String, Listed>,
        database: &str,
        backup: &[NamespaceRecord],
        selection: &Selection,
    ) {
        for name in blocking_timeseries(listed, database, backup, selection) {
            self.problem(format!(
                "`{name}` is a time-series collection now and was none in the backup: it can neither be renamed nor replaced, \
                 see \"Time-series collections\" in docs/RESTORE.md"
            ));
        }
    }

    fn versions(&mut self, live: &Live, backup: &BackupFile) -> Result<()> {
        let server = live.server()?.version;
        let dumped = &backup.metadata.server_version;
        match (major_minor(&server), major_minor(dumped)) {
            (Some(server_is), Some(dumped_is)) if server_is < dumped_is => self.problem(format!(
                "the server ({server}) is older than the one that was dumped ({dumped})"
            )),
            (Some(_), Some(_)) => {}
            _ => self.warn(format!("cannot compare the versions {server:?} and {dumped:?}")),
        }
        Ok(())
    }

    fn leftovers(&mut self, live: &Live, operation: &OperationId) -> Result<()> {
        for left in leftovers(live)?
            .iter()
            .filter(|left| left.operation != *operation)
        {
            let id = &left.operation;
            if left.midway {
                self.problem(format!("restore {id} stopped midway: first {}", left.next));
            } else {
                self.warn(format!(
                    "restore {id} left {} collections: `cargo xtask restore --forget {id}` drops them",
                    left.collections
                ));
            }
        }
        Ok(())
    }

    fn roles(&mut self, live: &Live) {
        if let Some(why) = missing_rights(live) {
            self.problem(why);
        }
    }

    fn index_builds(&mut self, builds: Option<Vec<String>>) {
        match builds {
            None => self.warn("this user may not ask whether an index is being built".into()),
            Some(builds) => builds.iter().for_each(|namespace| {
                self.problem(format!(
                    "an index of `{namespace}` is being built: renaming would fail"
                ));
            }),
        }
    }

    /// Whether the server has room for a second copy of so much. A server that counts for the answer is not asked for nothing.
    pub(super) fn room(&mut self, live: &Live, copied_bytes: u64) -> Result<()> {
        if copied_bytes > 0 {
            self.space(live.space()?, needed_bytes(copied_bytes));
        }
        Ok(())
    }

    fn space(&mut self, space: Option<Space>, needed_bytes: u64) {
        let free_bytes = space.map(|space| space.free_bytes);
        self.storage = StorageNeed {
            needed_bytes,
            free_bytes,
        };
        if free_bytes.is_none() {
            self.warn("the server does not report its free space for the second copy".into());
        }
        if let Some(why) = room_problem(space, needed_bytes) {
            self.problem(why);
        }
    }

    /// A restored collection would be on one shard.
    fn sharded(
        &mut self,
        live: &Live,
        listed: &BTreeMap<String, Listed>,
        selection: &Selection,
    ) -> Result<()> {
        let own = listed.iter().filter(|(name, listed)| {
            listed.kind == NamespaceKind::Collection && is_application(name) && selection.has(name)
        });
        for why in sharded(live, own.map(|(name, _)| name.as_str()))? {
            self.problem(why);
        }
        Ok(())
    }
}

/// The names of the backup's collections and views that a time-series collection has taken since.
pub(super) fn blocking_timeseries<'a>(
    listed: &BTreeMap<String, Listed>,
    database: &str,
    backup: &'a [NamespaceRecord],
    selection: &Selection,
) -> Vec<&'a str> {
    let own = backup.iter();
    own.filter(|n| n.database == database && n.kind != NamespaceKind::Timeseries)
        .map(|n| n.collection.as_str())
        .filter(|name| selection.has(name) && is_timeseries(listed, name))
        .collect()
}

/// Whether there is a time-series collection of this name.
pub(super) fn is_timeseries(listed: &BTreeMap<String, Listed>, name: &str) -> bool {
    listed
        .get(name)
        .is_some_and(|found| found.kind == NamespaceKind::Timeseries)
}

/// `8.0.4-rc1` → (8, 0).
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
