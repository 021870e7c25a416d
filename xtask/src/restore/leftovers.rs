//! What restores have left in the database: listed, and dropped when nobody needs it any more.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use serde::Serialize;

use super::names::{self, Role};
use super::prepare::connect;
use super::record::{FILE_NAME, RestoreJournal, RestorePhase, RestoreRecord};
use crate::context::Context;
use crate::database::Live;
use crate::domain::operation::OperationId;
use crate::error::CliError;
use crate::operation::journal::{operation_dir, operations};

/// One restore, as the journals here and the names in the database tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownRestore {
    pub operation: OperationId,
    /// `None` where the journal is on another machine or lost.
    pub phase: Option<RestorePhase>,
    pub backup_id: Option<String>,
    /// Collections beside the live ones.
    pub old: Vec<String>,
    pub shadow: Vec<String>,
    pub late: Vec<String>,
    /// Whether its plan is still kept in the database.
    pub plan: bool,
    /// What can be done about it; none where it has left nothing.
    pub next: Option<String>,
}

/// What one restore has left in a database, as the names of its collections tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    pub operation: OperationId,
    pub collections: usize,
    /// Old and restored collections stand beside the live ones: its swap or undo has not ended.
    pub midway: bool,
    /// What ends it, or removes it.
    pub next: String,
}

/// What restores have left in this database, without asking for journals: for `doctor`.
pub fn leftovers(live: &Live) -> Result<Vec<Leftover>> {
    let mut roles: BTreeMap<OperationId, Vec<Role>> = BTreeMap::new();
    for name in live.listed()?.into_keys() {
        if let Some((operation, role, _)) = names::parse(&name) {
            roles.entry(operation).or_default().push(role);
        }
    }
    let leftover = |(operation, roles): (OperationId, Vec<Role>)| {
        let midway = roles.contains(&Role::Old) && roles.contains(&Role::Shadow);
        Leftover {
            collections: roles.len(),
            midway,
            next: next(&operation, midway),
            operation,
        }
    };
    Ok(roles.into_iter().map(leftover).collect())
}

fn next(operation: &OperationId, midway: bool) -> String {
    if midway {
        format!("cargo xtask restore --resume {operation}   (or --undo {operation})")
    } else {
        format!("cargo xtask restore --forget {operation}")
    }
}

/// Every restore that is known here or has left something in the database, oldest first.
pub fn list(ctx: &Context) -> Result<Vec<KnownRestore>> {
    list_in(ctx, &connect(ctx)?)
}

fn list_in(ctx: &Context, live: &Live) -> Result<Vec<KnownRestore>> {
    let mut known: BTreeMap<OperationId, KnownRestore> = BTreeMap::new();
    let fresh = |operation: &OperationId| KnownRestore {
        operation: operation.clone(),
        phase: None,
        backup_id: None,
        old: Vec::new(),
        shadow: Vec::new(),
        late: Vec::new(),
        plan: false,
        next: None,
    };
    for operation in operations(ctx)? {
        if !operation_dir(ctx, &operation)?.join(FILE_NAME).is_file() {
            continue;
        }
        let history = super::record::read(ctx, &operation)?;
        let Some(planned) = history.planned.filter(|p| p.database == live.name()) else {
            continue;
        };
        let entry = known
            .entry(operation.clone())
            .or_insert_with(|| fresh(&operation));
        entry.phase = Some(history.phase);
        entry.backup_id = Some(planned.backup_id);
    }
    for name in live.listed()?.into_keys() {
        let Some((operation, role, _)) = names::parse(&name) else {
            continue;
        };
        let entry = known
            .entry(operation.clone())
            .or_insert_with(|| fresh(&operation));
        match role {
            Role::Old => entry.old.push(name),
            Role::Shadow => entry.shadow.push(name),
            Role::Late => entry.late.push(name),
            Role::Plan => entry.plan = true,
        }
    }
    let mut known: Vec<KnownRestore> = known.into_values().collect();
    for one in &mut known {
        let midway = one.is_midway();
        if midway || one.plan || !one.beside().is_empty() {
            one.next = Some(next(&one.operation, midway));
        }
    }
    Ok(known)
}

impl KnownRestore {
    fn is_midway(&self) -> bool {
        matches!(self.phase, Some(RestorePhase::Swapping | RestorePhase::Undoing))
            || (self.phase.is_none() && !self.old.is_empty() && !self.shadow.is_empty())
    }

    /// All collections beside the live ones.
    fn beside(&self) -> Vec<&String> {
        self.old.iter().chain(&self.shadow).chain(&self.late).collect()
    }
}

/// Drops what a restore has left. Refused while it is midway or younger than pipeline.toml says.
pub fn forget(ctx: &Context, operation: &OperationId) -> Result<Vec<String>> {
    let live = connect(ctx)?;
    let known = list_in(ctx, &live)?
        .into_iter()
        .find(|k| k.operation == *operation);
    let Some(known) = known else {
        return Err(CliError::usage(format!("there is no restore {operation}"))
            .live("nothing was changed")
            .next("`cargo xtask restore --list` shows them")
            .into());
    };
    let history = super::record::read(ctx, operation)?;
    // The rescue file is what will be left of the old collections.
    let unrescued = known.phase == Some(RestorePhase::Swapped) && !history.rescued && !known.old.is_empty();
    let mixed = known.is_midway() || unrescued;
    ensure!(
        !mixed,
        CliError::refused(format!("restore {operation} stopped midway"))
            .live("collections of the backup and of before may be mixed")
            .next(format!(
                "cargo xtask restore --resume {operation}   (or --undo {operation})"
            ))
    );
    // Where the clock was set back meanwhile, it began just now.
    let age = (Utc::now() - operation.began()).max(TimeDelta::zero());
    let kept = TimeDelta::hours(i64::from(ctx.config.restore.keep_old_hours));
    // After an undo the shadow collections have what was written to them while they were live.
    let needed = !known.old.is_empty()
        || !known.late.is_empty()
        || (history.swap.is_some() && !known.shadow.is_empty());
    ensure!(
        !needed || age >= kept,
        CliError::refused(format!(
            "restore {operation} is {} h old; its old collections are kept for {} h",
            age.num_hours(),
            kept.num_hours()
        ))
        .live("nothing was dropped")
        .next("wait, or lower `keep_old_hours` in pipeline.toml")
    );
    // Held while dropping: a resume at the same time would need what goes.
    let mut log = if known.phase.is_some() {
        Some(RestoreJournal::open(ctx, operation)?)
    } else {
        None
    };
    let mut dropped = Vec::new();
    for name in known.old.into_iter().chain(known.shadow).chain(known.late) {
        live.drop_own(&name)?;
        dropped.push(name);
    }
    live.drop_own(&names::plan(operation))?;
    if let Some(log) = &mut log {
        log.write(&RestoreRecord::Forgotten)?;
    }
    Ok(dropped)
}
