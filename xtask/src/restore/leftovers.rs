//! What restores have left in the database: listed, and dropped when nobody needs it any more.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use serde::Serialize;

use super::context::connect;
use super::journal::{RestoreJournal, RestorePhase, RestoreRecord, RestoreState};
use super::names::{self, Role};
use crate::context::Context;
use crate::database::Live;
use crate::domain::operation::OperationId;
use crate::error::catalogue::restore as errors;
use crate::operation::journal::operations;

/// One restore, from the journals on this machine and the names in the database.
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

/// What one restore has left in a database, from the names of its collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    pub operation: OperationId,
    pub collections: usize,
    /// Previous and restored collections exist beside the live ones: its swap or undo has not ended.
    pub midway: bool,
    /// What ends it, or removes it.
    pub next: String,
}

/// What restores have left in this database, without reading journals.
pub fn leftovers(live: &Live) -> Result<Vec<Leftover>> {
    let mut roles: BTreeMap<OperationId, Vec<Role>> = BTreeMap::new();
    for name in live.listed()?.into_keys() {
        if let Some((operation, role, _)) = names::parse(&name) {
            roles.entry(operation).or_default().push(role);
        }
    }
    let leftover = |(operation, roles): (OperationId, Vec<Role>)| {
        let midway = roles.contains(&Role::Previous) && roles.contains(&Role::Shadow);
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
        let history = RestoreState::read(ctx, &operation)?;
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
            Role::Previous => entry.old.push(name),
            Role::Shadow => entry.shadow.push(name),
            Role::Late => entry.late.push(name),
            Role::Plan => entry.plan = true,
        }
    }
    let mut known: Vec<KnownRestore> = known.into_values().collect();
    for restore in &mut known {
        let midway = restore.is_midway();
        if midway || restore.plan || !restore.beside().is_empty() {
            restore.next = Some(next(&restore.operation, midway));
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
        return Err(errors::unknown_restore(operation).into());
    };
    let history = RestoreState::read(ctx, operation)?;
    // The rescue file is what will be left of the previous collections.
    let unrescued = known.phase == Some(RestorePhase::Swapped) && !history.rescued && !known.old.is_empty();
    let mixed = known.is_midway() || unrescued;
    ensure!(!mixed, errors::forget_midway(operation));
    // Where the clock was set back since, it began just now.
    let age = (Utc::now() - operation.began()).max(TimeDelta::zero());
    let kept = TimeDelta::hours(i64::from(ctx.config.restore.keep_old_hours));
    // After an undo the shadow collections have what was written to them while they were live.
    let needed = !known.old.is_empty()
        || !known.late.is_empty()
        || (history.swap.is_some() && !known.shadow.is_empty());
    ensure!(
        !needed || age >= kept,
        errors::forget_too_young(operation, age.num_hours(), kept.num_hours())
    );
    // Locked while dropping: a resume at the same time would need what is dropped.
    let mut journal = if known.phase.is_some() {
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
    if let Some(journal) = &mut journal {
        journal.write(&RestoreRecord::Forgotten)?;
    }
    Ok(dropped)
}
