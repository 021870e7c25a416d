//! Every restore, from all places that have something of it: the journals here, the plans and names in the database, and the
//! ledger.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::context::connect;
use super::journal::{Rescue, RestorePhase, RestoreState};
use super::kept::add_kept;
use super::names::{self, Role};
use super::recorded::{Recorded, recorded};
use super::request::KIND;
use crate::context::Context;
use crate::database::Live;
use crate::domain::ledger::{LedgerOperation, LedgerState};
use crate::domain::operation::OperationId;
use crate::operation::journal::operations;
use crate::operation::ledger::Ledger;
use crate::report;

/// One restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownRestore {
    pub operation: OperationId,
    /// `None` where only the names of its collections are known.
    pub phase: Option<RestorePhase>,
    /// The kind of its operation, where that, or an attempt to resume or undo it, is unfinished in the ledger.
    pub unfinished: Option<String>,
    pub backup_id: Option<String>,
    /// What of the backup it restored, where not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Collections beside the live ones.
    pub old: Vec<String>,
    pub shadow: Vec<String>,
    pub late: Vec<String>,
    /// Whether its plan is still kept in the database.
    pub plan: bool,
    /// Collections of which documents were put back in place, and not taken out again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_place: Vec<String>,
    /// Files of what it, its undo and its end took out of the live data; their machine may have been another one.
    pub rescues: Vec<Rescue>,
    /// A later restore whose data are live.
    pub newer: Option<OperationId>,
    /// What can be done about it; none where it has left nothing.
    pub next: Option<String>,
    #[serde(skip)]
    pub(super) swapped_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub(super) undone: bool,
}

/// Every restore that is known here, in the database or in the ledger, oldest first.
pub fn list(ctx: &Context) -> Result<Vec<KnownRestore>> {
    let ledger = Ledger::open(ctx).state().unwrap_or_else(|error| {
        report::progress(&format!("warning: the ledger cannot be read: {error:#}"));
        LedgerState::default()
    });
    list_in(ctx, &connect(ctx)?, &ledger)
}

/// The restore of this id; `None` where no place has anything of it.
pub(super) fn find(
    ctx: &Context,
    live: &Live,
    ledger: &LedgerState,
    operation: &OperationId,
) -> Result<Option<KnownRestore>> {
    let known = list_in(ctx, live, ledger)?;
    Ok(known.into_iter().find(|known| known.operation == *operation))
}

fn list_in(ctx: &Context, live: &Live, ledger: &LedgerState) -> Result<Vec<KnownRestore>> {
    let mut known: BTreeMap<OperationId, KnownRestore> = BTreeMap::new();
    for name in live.listed()?.into_keys() {
        let Some((operation, role, _)) = names::parse(&name) else {
            continue;
        };
        let entry = known
            .entry(operation.clone())
            .or_insert_with(|| KnownRestore::new(&operation));
        match role {
            Role::Previous => entry.old.push(name),
            Role::Shadow => entry.shadow.push(name),
            Role::Late => entry.late.push(name),
            Role::Plan => entry.plan = true,
        }
    }
    for operation in operations(ctx)? {
        if RestoreState::read(ctx, &operation)?.is_of(live.name()) {
            known
                .entry(operation.clone())
                .or_insert_with(|| KnownRestore::new(&operation));
        }
    }
    for entry in known.values_mut() {
        let mut history = RestoreState::read(ctx, &entry.operation)?;
        if entry.plan {
            add_kept(live, &entry.operation, &mut history)?;
        }
        entry.add_state(history);
    }
    for (operation, recorded) in recorded(ledger) {
        if let Some(entry) = known.get_mut(&operation) {
            entry.add_recorded(recorded);
        } else if recorded.phase.is_some()
            || !recorded.rescues.is_empty()
            || blocks_others(ledger, &operation)
        {
            let mut entry = KnownRestore::new(&operation);
            entry.add_recorded(recorded);
            known.insert(operation, entry);
        }
    }
    let mut known: Vec<KnownRestore> = known.into_values().collect();
    let kept = TimeDelta::hours(i64::from(ctx.config.restore.keep_old_hours));
    for at in 0..known.len() {
        known[at].newer = known[at].newer_in(&known);
        known[at].next = known[at].advice(kept);
    }
    Ok(known)
}

/// Whether it was cut off before it kept anything of its own, and the ledger refuses other restores for it.
fn blocks_others(ledger: &LedgerState, operation: &OperationId) -> bool {
    let own = |other: &&LedgerOperation| other.id == *operation && other.started.kind == KIND;
    let unfinished = ledger.unfinished().filter(own);
    unfinished.is_some_and(|other| other.ended.is_some() || ledger.left_midway(other).is_some())
}

impl RestoreState {
    /// Whether it is a restore into this database.
    fn is_of(&self, database: &str) -> bool {
        self.planned.as_ref().is_some_and(|p| p.database == database)
    }
}

impl KnownRestore {
    fn new(operation: &OperationId) -> Self {
        Self {
            operation: operation.clone(),
            phase: None,
            unfinished: None,
            backup_id: None,
            collections: None,
            old: Vec::new(),
            shadow: Vec::new(),
            late: Vec::new(),
            plan: false,
            in_place: Vec::new(),
            rescues: Vec::new(),
            newer: None,
            next: None,
            swapped_at: None,
            undone: false,
        }
    }

    fn add_state(&mut self, history: RestoreState) {
        self.swapped_at = history.swap_began(&self.operation);
        self.undone = history.undone.is_some();
        self.rescues.extend(history.rescue.or(history.rescued_before));
        self.rescues.extend(history.rescued_newer);
        let put_back = history
            .swap
            .filter(|_| !self.undone)
            .map(|swap| swap.delta.collections);
        self.in_place = put_back.into_iter().flat_map(BTreeMap::into_keys).collect();
        if let Some(planned) = history.planned {
            self.backup_id = Some(planned.backup_id);
            self.collections = planned.collections.names();
            self.phase = Some(history.phase);
        }
        // The plan is dropped last: another machine has dropped all that was kept.
        let dropped = !self.plan && !self.leaves_something();
        if self.phase == Some(RestorePhase::Swapped) && dropped {
            self.phase = Some(RestorePhase::Forgotten);
        }
    }

    fn add_recorded(&mut self, recorded: Recorded) {
        self.phase = self.phase.max(recorded.phase);
        if recorded.reverted {
            self.phase = self.phase.max(Some(RestorePhase::Undone));
            self.undone = true;
        }
        self.swapped_at = self.swapped_at.or(recorded.swapped_at);
        self.undone |= recorded.undone;
        let written = recorded.rescues.into_iter();
        for rescue in written {
            if !self.rescues.contains(&rescue) {
                self.rescues.push(rescue);
            }
        }
        self.unfinished = recorded.unfinished;
        self.collections = self.collections.take().or(recorded.collections);
    }

    /// A later restore that has made other data live, and was not undone.
    fn newer_in(&self, all: &[Self]) -> Option<OperationId> {
        let began = self.swapped_at.filter(|_| !self.undone)?;
        let live = |other: &&Self| {
            other.operation != self.operation
                && !other.undone
                && other.swapped_at.is_some_and(|at| at > began)
        };
        let newest = all.iter().filter(live).max_by_key(|other| other.swapped_at);
        newest.map(|other| other.operation.clone())
    }

    /// Whether its collections, or the ledger, show that it has neither ended nor been undone.
    pub(super) fn is_midway(&self) -> bool {
        let mixed = self.phase.is_none() && !self.old.is_empty() && !self.shadow.is_empty();
        mixed || self.phase.is_some_and(RestorePhase::is_midway)
    }

    /// Whether collections of it stand beside the live ones.
    pub(super) fn leaves_something(&self) -> bool {
        self.plan || self.beside().next().is_some()
    }

    /// All collections beside the live ones.
    pub(super) fn beside(&self) -> impl Iterator<Item = &String> {
        self.old.iter().chain(&self.shadow).chain(&self.late)
    }

    /// The command that resumes or undoes it is the one of the operation that it is a part of.
    pub(super) fn command(&self) -> String {
        let kind = self.unfinished.as_deref().unwrap_or(KIND);
        format!("cargo xtask {kind}")
    }

    /// Only what works: a command that would be refused is not advised.
    fn advice(&self, kept: TimeDelta) -> Option<String> {
        let (id, command) = (&self.operation, self.command());
        match self.phase {
            Some(RestorePhase::Undoing | RestorePhase::Undone) if self.unfinished.is_some() => {
                return Some(format!("{command} --undo {id}"));
            }
            Some(RestorePhase::Undoing) => return Some(format!("{command} --undo {id}")),
            _ if self.unfinished.is_some() || self.is_midway() => {
                return Some(format!("{command} --resume {id}   (or --undo {id})"));
            }
            _ => {}
        }
        if !self.leaves_something() {
            return None;
        }
        if self.phase.is_none() && !(self.old.is_empty() && self.late.is_empty()) {
            return Some("its plan is lost: see \"Lost plans\" in docs/RESTORE.md".to_owned());
        }
        let forget = format!("cargo xtask restore --forget {id}");
        let undo = if self.phase == Some(RestorePhase::Swapped) && self.newer.is_none() {
            format!("   (or --undo {id})")
        } else {
            String::new()
        };
        let now = Utc::now();
        Some(
            match self.forgettable_from(kept, now).filter(|from| *from > now) {
                None => format!("{forget}{undo}"),
                Some(from) if undo.is_empty() => format!("from {} UTC on: {forget}", from.format("%F %R")),
                Some(from) => format!(
                    "from {} UTC on: {forget}   (or now: cargo xtask restore --undo {id})",
                    from.format("%F %R")
                ),
            },
        )
    }

    /// When what it keeps may be dropped; `None` where that is not needed by anybody.
    pub(super) fn forgettable_from(&self, kept: TimeDelta, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // After an undo the shadow collections have what was written to them while they were live.
        let written = self.swapped_at.is_some() && !self.shadow.is_empty();
        let in_place = self.plan && !self.in_place.is_empty();
        let needed = written || in_place || !self.old.is_empty() || !self.late.is_empty();
        // Where the clock was set back since, it began just now.
        needed.then(|| self.operation.began().min(now) + kept)
    }
}
