//! What restores have left in the database: listed, and dropped when nobody needs it any more.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use serde::Serialize;

use super::names::{self, Role};
use super::prepare::connect;
use super::record::{FILE_NAME, Log, Phase, Record};
use crate::context::Context;
use crate::database::Live;
use crate::domain::operation::OperationId;
use crate::engine::journal::{operation_dir, operations};
use crate::error::Stop;

/// One restore, as the journals here and the names in the database tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Known {
    pub operation: OperationId,
    /// `None` where the journal is on another machine or lost.
    pub phase: Option<Phase>,
    pub backup_id: Option<String>,
    /// Collections beside the live ones.
    pub old: Vec<String>,
    pub shadow: Vec<String>,
    pub late: Vec<String>,
}

/// Every restore that is known here or has left something in the database, oldest first.
pub fn list(ctx: &Context) -> Result<Vec<Known>> {
    list_in(ctx, &connect(ctx)?)
}

fn list_in(ctx: &Context, live: &Live) -> Result<Vec<Known>> {
    let mut known: BTreeMap<OperationId, Known> = BTreeMap::new();
    let fresh = |operation: &OperationId| Known {
        operation: operation.clone(),
        phase: None,
        backup_id: None,
        old: Vec::new(),
        shadow: Vec::new(),
        late: Vec::new(),
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
            Role::Plan => {}
        }
    }
    Ok(known.into_values().collect())
}

/// Drops what a restore has left. Refused while it is midway or younger than pipeline.toml says.
pub fn forget(ctx: &Context, operation: &OperationId) -> Result<Vec<String>> {
    let live = connect(ctx)?;
    let known = list_in(ctx, &live)?
        .into_iter()
        .find(|k| k.operation == *operation);
    let Some(known) = known else {
        return Err(Stop::usage(format!("there is no restore {operation}"))
            .live("nothing was changed")
            .next("`cargo xtask restore --list` shows them")
            .into());
    };
    let mixed = matches!(known.phase, Some(Phase::Swapping | Phase::Undoing))
        || (known.phase.is_none() && !known.old.is_empty() && !known.shadow.is_empty());
    ensure!(
        !mixed,
        Stop::refused(format!("restore {operation} stopped midway"))
            .live("collections of the backup and of before may be mixed")
            .next(format!(
                "cargo xtask restore --resume {operation}   (or --undo {operation})"
            ))
    );
    let age = Utc::now() - operation.began();
    let kept = TimeDelta::hours(i64::from(ctx.config.restore.keep_old_hours));
    let needed = !known.old.is_empty() || !known.late.is_empty();
    ensure!(
        !needed || age >= kept,
        Stop::refused(format!(
            "restore {operation} is {} h old; its old collections are kept for {} h",
            age.num_hours(),
            kept.num_hours()
        ))
        .live("nothing was dropped")
        .next("wait, or lower `keep_old_hours` in pipeline.toml")
    );
    // Held while dropping: a resume at the same time would need what goes.
    let mut log = if known.phase.is_some() {
        Some(Log::open(ctx, operation)?)
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
        log.write(&Record::Forgotten)?;
    }
    Ok(dropped)
}
