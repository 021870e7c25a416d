//! The swap: live → old, shadow → live, collection by collection. Each step is recorded before and after, and can be
//! repeated, because it asks the server what is there.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use super::estimate::Measured;
use super::mend::Mending;
use super::names::{self, Role};
use super::prepare::{self, Prepared, connect, elapsed_ms, split_written, told};
use super::preview::{self, Written};
use super::record::{Log, Mended, Phase, Record, Step, SwapPlan};
use super::rescue::{self, Rescue};
use super::steps;
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Digests, Live, Renamed};
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::manifest::NamespaceKind;
use crate::domain::operation::OperationId;
use crate::error::CliError;
use crate::report;

/// So many collections of one name may writers make in the moment of the swap before we give up.
const MAX_LATE: usize = 100;

/// A restored database.
#[derive(Debug, Serialize)]
pub struct Swapped {
    pub operation: OperationId,
    pub backup_id: String,
    pub collections: Vec<SwappedCollection>,
    /// From the first renaming to the last.
    pub total_ms: u64,
    /// Documents that the application wrote after the swap: they are live, and differ from the backup.
    pub written_since: Vec<Written>,
    /// What only the old state had, in a file of its own.
    pub rescue: Option<Rescue>,
    /// What the server had lost in a crash and was built anew.
    pub mended: Vec<Mended>,
    pub measured: Measured,
}

/// One collection's moment of absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwappedCollection {
    pub collection: String,
    pub unavailable_ms: u64,
}

/// Replaces the live collections by the restored ones and proves it from outside.
pub fn swap(mut prepared: Prepared) -> Result<Swapped> {
    let plan = steps::plan(&prepared)?;
    prepared.log.write(&Record::SwapBegun(plan))?;
    finish(
        &prepared.ctx,
        &prepared.live,
        &prepared.backup,
        &prepared.operation,
        &mut prepared.log,
    )
}

/// Restores from beginning to end, or goes on where an earlier process of the operation was stopped.
pub fn restore(ctx: &Context, backup: &BackupFile, operation: &OperationId) -> Result<Swapped> {
    let begun = existing(ctx, &connect(ctx)?, operation)?
        .history
        .planned
        .is_some();
    if begun {
        resume(ctx, operation)
    } else {
        swap(prepare::prepare(ctx, backup, operation)?)
    }
}

/// Goes on with an operation that was stopped, wherever it was.
pub fn resume(ctx: &Context, operation: &OperationId) -> Result<Swapped> {
    let live = connect(ctx)?;
    let mut log = existing(ctx, &live, operation)?;
    let planned = log.history.planned.clone();
    let Some(planned) = planned else {
        return Err(CliError::usage(format!(
            "no restore {operation} had begun, here or in `{}`",
            live.name()
        ))
        .live("nothing was changed")
        .next("cargo xtask restore --list")
        .into());
    };
    if log.history.phase >= Phase::Undoing {
        return Err(
            CliError::refused(format!("restore {operation} was taken back or forgotten"))
                .live("what was live before it")
                .next(format!("cargo xtask restore {}", planned.backup.display()))
                .into(),
        );
    }
    let backup = BackupFile::at(&planned.backup)?;
    if log.history.swap.is_none() {
        drop(log);
        return swap(prepare::prepare(ctx, &backup, operation)?);
    }
    same_target(&live, operation, &planned.database)?;
    if !log.history.compared {
        mend(ctx, &live, &backup, operation, &mut log).map_err(|error| midway(operation, &error))?;
    }
    finish(ctx, &live, &backup, operation, &mut log)
}

/// The process before us was killed, and perhaps the server too.
fn mend(
    ctx: &Context,
    live: &Live,
    backup: &BackupFile,
    operation: &OperationId,
    log: &mut Log,
) -> Result<()> {
    let plan = log.history.swap.clone().context("the swap has no plan")?;
    let mut mending = Mending {
        ctx,
        live,
        operation,
        log,
        plan: &plan,
    };
    mending.old()?;
    mending.restored(backup)
}

pub(super) fn same_target(live: &Live, operation: &OperationId, database: &str) -> Result<()> {
    ensure!(
        live.name() == database,
        CliError::refused(format!("restore {operation} was of the database `{database}`"))
            .live("nothing was changed")
            .next("choose the environment of that database with --env")
    );
    Ok(())
}

/// Keeps what was planned in the database too: a runner is lost with its disk, and the next one must be able to go back.
fn keep_plan(live: &Live, operation: &OperationId, log: &Log) -> Result<()> {
    let planned = log.history.planned.clone().map(Record::Planned);
    let swap = log.history.swap.clone().map(Record::SwapBegun);
    let lines = [planned, swap].into_iter().flatten();
    let lines: Vec<String> = lines.map(|r| report::json_line(&r)).collect::<Result<_>>()?;
    live.keep_lines(&names::plan(operation), &lines)
}

/// The journal of an operation: here, or begun from what was kept in the database.
pub(super) fn existing(ctx: &Context, live: &Live, operation: &OperationId) -> Result<Log> {
    let mut log = Log::open(ctx, operation)?;
    if log.history.planned.is_none() {
        for line in live.kept_lines(&names::plan(operation))? {
            log.write(&serde_json::from_str(&line).context("the plan kept in the database is damaged")?)?;
        }
    }
    Ok(log)
}

/// Makes every step that is not made yet, compares, and says how to go on where it cannot.
fn finish(
    ctx: &Context,
    live: &Live,
    backup: &BackupFile,
    operation: &OperationId,
    log: &mut Log,
) -> Result<Swapped> {
    let plan = log.history.swap.clone().context("the swap has no plan")?;
    if !log.history.compared {
        keep_plan(live, operation, log).map_err(|error| midway(operation, &error))?;
    }
    let (collections, total_ms) =
        run(live, operation, log, &plan).map_err(|error| midway(operation, &error))?;
    let differing = compare(live, backup, log, &plan).map_err(|error| midway(operation, &error))?;
    let names = differing
        .into_iter()
        .map(|difference| difference.collection)
        .collect();
    let written_since =
        preview::written(ctx, backup, live, names).map_err(|error| midway(operation, &error))?;
    let rescue =
        rescue::after_swap(ctx, live, backup, operation, log).map_err(|error| midway(operation, &error))?;
    let swapped = collections.len() as u64;
    Ok(Swapped {
        operation: operation.clone(),
        backup_id: backup.metadata.id.clone(),
        collections,
        total_ms,
        written_since,
        rescue,
        mended: log.history.mended.clone(),
        measured: Measured {
            bytes: backup.metadata.archive_bytes,
            collections: swapped,
            restore_ms: log.history.restore_ms,
            compare_ms: log.history.compare_ms,
            swap_ms: total_ms,
        },
    })
}

fn run(
    live: &Live,
    operation: &OperationId,
    log: &mut Log,
    plan: &SwapPlan,
) -> Result<(Vec<SwappedCollection>, u64)> {
    let started = Instant::now();
    let mut collections = Vec::new();
    // Until the result was seen, a recorded step may be one that a killed server has forgotten: all are asked for again.
    if log.history.compared {
        return Ok((collections, 0));
    }
    let _ticker = report::Ticker::quietly("putting the restored collections in place");
    // The collection that went aside and waits for its successor.
    let mut gone: Option<(String, Instant)> = None;
    for step in &plan.steps {
        // A signal is heard before a collection goes, not between its going and its successor's coming.
        if !matches!(step, Step::Bring { .. }) {
            crate::exec::check_interrupted()?;
        }
        log.write(&Record::Before { step: step.clone() })?;
        let step_started = Instant::now();
        if !matches!(step, Step::Bring { collection } if gone.as_ref().is_some_and(|(c, _)| c == collection))
        {
            gone = None;
        }
        take(live, operation, step)?;
        if let Step::Aside { collection } = step {
            gone = Some((collection.clone(), step_started));
        }
        if let Step::Bring { collection } = step {
            let gone_since = gone.take().map_or(step_started, |(_, since)| since);
            collections.push(SwappedCollection {
                collection: collection.clone(),
                unavailable_ms: elapsed_ms(gone_since),
            });
        }
        log.write(&Record::After {
            step: step.clone(),
            ms: elapsed_ms(step_started),
        })?;
    }
    log.write(&Record::Swapped)?;
    Ok((collections, elapsed_ms(started)))
}

fn take(live: &Live, operation: &OperationId, step: &Step) -> Result<()> {
    match step {
        Step::Aside { collection } => aside(live, operation, collection),
        Step::Bring { collection } => bring(live, operation, collection),
        Step::DropView { view, .. } => match live.listed()?.get(view).map(|l| l.kind) {
            Some(NamespaceKind::View) => live.drop_view(view),
            // Already dropped, and perhaps replaced by the collection of that name.
            _ => Ok(()),
        },
        Step::MakeView { view, definition } => live.create_view(view, definition),
        Step::ArmExpiry {
            collection,
            index,
            expire_after_s,
        } => live.set_expiry(collection, index, *expire_after_s),
    }
}

/// Done before where the old name is there: what has the live name then came later.
fn aside(live: &Live, operation: &OperationId, collection: &str) -> Result<()> {
    let old = names::old(operation, collection);
    match live.rename(collection, &old)? {
        Renamed::Done | Renamed::Taken => Ok(()),
        Renamed::NotThere => {
            ensure!(
                live.listed()?.contains_key(&old),
                "the live collection `{collection}` has gone, and not through this restore"
            );
            Ok(())
        }
    }
}

fn bring(live: &Live, operation: &OperationId, collection: &str) -> Result<()> {
    let shadow = names::shadow(operation, collection);
    for _ in 0..MAX_LATE {
        match live.rename(&shadow, collection)? {
            Renamed::Done => return Ok(()),
            Renamed::NotThere => {
                let there = live.listed()?.contains_key(collection);
                ensure!(there, "the restored collection `{shadow}` has gone");
                return Ok(());
            }
            Renamed::Taken => move_late(live, operation, collection)?,
        }
    }
    bail!("writers make `{collection}` anew faster than it can be replaced: stop them")
}

/// Gives way to what a writer made under the live name: it is kept, under a name of its own.
pub(super) fn move_late(live: &Live, operation: &OperationId, collection: &str) -> Result<()> {
    let listed = live.listed()?;
    let free = (0..MAX_LATE)
        .map(|number| names::late(operation, number, collection))
        .find(|name| !listed.contains_key(name));
    let free = free.with_context(|| format!("writers made `{collection}` too often"))?;
    live.rename(collection, &free).map(drop)
}

/// Reads the live database as any client would. Documents may have been written since; all else must be the backup's.
fn compare(live: &Live, backup: &BackupFile, log: &mut Log, plan: &SwapPlan) -> Result<Vec<Difference>> {
    if log.history.compared {
        return Ok(Vec::new());
    }
    let _ticker = report::Ticker::start("reading the restored database again");
    let mut expected = Inventory::of_backup(&backup.metadata.namespaces, live.name());
    let mut found = live.inventory(Digests::Full)?;
    // What the swap leaves alone is not compared either.
    let stays = |facts: &crate::domain::inventory::CollectionFacts| facts.kind == NamespaceKind::Timeseries;
    expected.collections.retain(|_, facts| !stays(facts));
    found.collections.retain(|_, facts| !stays(facts));
    let (written_since, wrong) = split_written(expected.compare(&found));
    ensure!(
        wrong.is_empty(),
        "after {} steps the database is not as the backup says: {}",
        plan.steps.len(),
        told(&wrong)
    );
    log.write(&Record::Compared {
        written_since: written_since.clone(),
    })?;
    Ok(written_since)
}

fn midway(operation: &OperationId, error: &anyhow::Error) -> anyhow::Error {
    CliError::midway(format!("the swap stopped: {error:#}"))
        .live("collections of the backup and of before may be mixed; nothing is lost")
        .next(format!(
            "cargo xtask restore --resume {operation}   (or --undo {operation})"
        ))
        .into()
}

/// Whether an operation has collections of this role.
pub(super) fn with_role(live: &Live, operation: &OperationId, wanted: Role) -> Result<Vec<(String, String)>> {
    let listed = live.listed()?;
    let own = listed.keys().filter_map(|name| match names::parse(name) {
        Some((id, role, collection)) if id == *operation && role == wanted => {
            Some((name.clone(), collection.to_owned()))
        }
        _ => None,
    });
    Ok(own.collect())
}
