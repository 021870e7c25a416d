//! Going back: what was live before the swap takes its names again, from any point that the swap or an earlier undo
//! stopped at. The restored collections return to their shadow names and stay until they are forgotten.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::mend::Mending;
use super::names::{self, Role};
use super::prepare::{connect, split_written, told};
use super::record::{Log, Mended, Phase, Record, Step, SwapPlan};
use super::rescue::{self, Rescue};
use super::swap::{existing, move_late, same_target, with_role};
use crate::context::Context;
use crate::database::{Digests, Live, Renamed};
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::manifest::NamespaceKind;
use crate::domain::operation::OperationId;
use crate::error::CliError;
use crate::report;

/// So many collections may writers make in the way of one renaming.
const MAX_LATE: usize = 100;

/// An operation that was taken back.
#[derive(Debug, Serialize)]
pub struct Undone {
    pub operation: OperationId,
    /// Collections that are live again.
    pub collections: Vec<String>,
    /// What the application wrote after they were.
    pub written_since: Vec<Difference>,
    /// What was written to the restored collections while they were live, in a file of its own.
    pub rescue: Option<Rescue>,
    /// What the server had lost in a crash and was built anew.
    pub mended: Vec<Mended>,
}

/// Puts back what was live before. Where an operation has restored nothing, there is nothing to put back.
pub fn undo(ctx: &Context, operation: &OperationId) -> Result<Undone> {
    let live = connect(ctx)?;
    let mut log = existing(ctx, &live, operation)?;
    ensure!(
        log.history.phase != Phase::Forgotten,
        CliError::refused(format!("the old collections of restore {operation} were dropped"))
            .live("what restore made live")
            .next("restore the safety backup that was taken before it: `cargo xtask backup list`")
    );
    if let Some(planned) = &log.history.planned {
        same_target(&live, operation, &planned.database)?;
    }
    let Some(plan) = log.history.swap.clone() else {
        // Nothing live was touched: only the unfinished copies are in the way.
        for (name, _) in with_role(&live, operation, Role::Shadow)? {
            live.drop_own(&name)?;
        }
        log.write(&Record::Undone {
            written_since: Vec::new(),
        })?;
        return Ok(Undone {
            operation: operation.clone(),
            collections: Vec::new(),
            written_since: Vec::new(),
            rescue: None,
            mended: Vec::new(),
        });
    };
    let undone = mend(ctx, &live, operation, &mut log, &plan)
        .and_then(|()| go_back(&live, operation, &mut log, &plan));
    let mut undone = undone.map_err(|error| {
        CliError::midway(format!("the undo stopped: {error:#}"))
            .live("collections of the backup and of before may be mixed; nothing is lost")
            .next(format!("cargo xtask restore --undo {operation}"))
    })?;
    match rescue::after_undo(ctx, &live, operation, &log) {
        Ok(rescue) => undone.rescue = rescue,
        // They stay where they are until they are forgotten.
        Err(error) => report::progress(&format!(
            "warning: what was written after the swap is only in the `__new_{operation}_` collections: {error:#}"
        )),
    }
    Ok(undone)
}

fn mend(ctx: &Context, live: &Live, operation: &OperationId, log: &mut Log, plan: &SwapPlan) -> Result<()> {
    let mut mending = Mending {
        ctx,
        live,
        operation,
        log,
        plan,
    };
    mending.old()
}

fn go_back(live: &Live, operation: &OperationId, log: &mut Log, plan: &SwapPlan) -> Result<Undone> {
    let before = if let Some(before) = log.history.undo_before.clone() {
        before
    } else {
        let _ticker = report::Ticker::start("reading the old collections");
        let before = old_inventory(live, operation)?;
        log.write(&Record::UndoBegun {
            before: before.clone(),
        })?;
        before
    };
    for step in plan.steps.iter().rev() {
        log.write(&Record::Undoing { step: step.clone() })?;
        take_back(live, operation, plan, step)?;
    }
    let collections: Vec<String> = before.collections.keys().cloned().collect();
    let found = live.inventory_of(Digests::Full, |name| {
        before.collections.contains_key(name).then(|| name.to_owned())
    })?;
    let (written_since, wrong) = split_written(before.compare(&found));
    ensure!(
        wrong.is_empty(),
        "the collections put back are not what they were: {}",
        told(&wrong)
    );
    log.write(&Record::Undone {
        written_since: written_since.clone(),
    })?;
    Ok(Undone {
        operation: operation.clone(),
        collections,
        written_since,
        rescue: None,
        mended: log.history.mended.clone(),
    })
}

/// What stands aside, under its live names.
fn old_inventory(live: &Live, operation: &OperationId) -> Result<Inventory> {
    live.inventory_of(Digests::Full, |name| match names::parse(name) {
        Some((id, Role::Old, collection)) if id == *operation => Some(collection.to_owned()),
        _ => None,
    })
}

fn take_back(live: &Live, operation: &OperationId, plan: &SwapPlan, step: &Step) -> Result<()> {
    match step {
        // Belongs to the restored collection, which goes back with it.
        Step::ArmExpiry { .. } => Ok(()),
        Step::MakeView { view, .. } => {
            let listed = live.listed()?;
            let is_view = listed.get(view).is_some_and(|l| l.kind == NamespaceKind::View);
            // Where an older view was put back already, the one that is there is not ours to drop.
            let replaced = plan.steps.iter().find_map(|other| match other {
                Step::DropView {
                    view: old,
                    definition,
                } if old == view => Some(definition),
                _ => None,
            });
            if is_view && live.view(view)?.as_ref() != replaced {
                live.drop_view(view)?;
            }
            Ok(())
        }
        Step::DropView { view, definition } => {
            if live
                .listed()?
                .get(view)
                .is_some_and(|l| l.kind != NamespaceKind::View)
            {
                move_late(live, operation, view)?;
            }
            live.create_view(view, definition)
        }
        Step::Bring { collection } => unbring(live, operation, plan, collection),
        Step::Aside { collection } => put_back(live, operation, collection),
    }
}

/// The restored collection gives up the live name, unless it never had it or has given it up already.
fn unbring(live: &Live, operation: &OperationId, plan: &SwapPlan, collection: &str) -> Result<()> {
    let listed = live.listed()?;
    let had_predecessor = plan
        .steps
        .iter()
        .any(|step| matches!(step, Step::Aside { collection: c } if c == collection));
    let old_stands_aside = listed.contains_key(&names::old(operation, collection));
    let shadow = names::shadow(operation, collection);
    if listed.contains_key(&shadow) || (had_predecessor && !old_stands_aside) {
        return Ok(());
    }
    match live.rename(collection, &shadow)? {
        Renamed::Done | Renamed::NotThere => Ok(()),
        Renamed::Taken => anyhow::bail!("`{shadow}` appeared while `{collection}` was being taken back"),
    }
}

/// The old collection takes its name again; what a writer made under it meanwhile is kept aside.
fn put_back(live: &Live, operation: &OperationId, collection: &str) -> Result<()> {
    let old = names::old(operation, collection);
    for _ in 0..MAX_LATE {
        match live.rename(&old, collection)? {
            // Not there: never went aside, or is back already.
            Renamed::Done | Renamed::NotThere => return Ok(()),
            Renamed::Taken => move_late(live, operation, collection)?,
        }
    }
    anyhow::bail!("writers make `{collection}` anew faster than it can be put back: stop them")
}
