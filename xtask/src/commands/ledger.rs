//! `cargo xtask ledger`: who did what to this environment, why, and how it ended.

use std::fmt::Write as _;

use anyhow::Result;
use chrono::Utc;
use serde::Serialize;

use super::Common;
use crate::commands::confirm::confirm;
use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, Void};
use crate::domain::operation::OperationId;
use crate::error::catalogue::release as errors;
use crate::operation::ledger::Ledger;
use crate::operation::run::find;
use crate::release::break_glass::{self, Appended};
use crate::release::ledger_repair::{self, RepairPlan};
use crate::report;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the operations are printed, or everything is repaired
  1  failed
  2  wrong usage, or no such operation
  3  refused: there is no ledger where there must be one, or something must be repaired by hand

Example:
  cargo xtask ledger 20260101-120000-ab12";

/// Options of `ledger`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Only this operation, with its steps
    operation: Option<OperationId>,
    /// Begin a ledger that is gone again from the release records; push records and tags that are gone again from the ledger
    #[arg(long, conflicts_with = "operation")]
    repair: bool,
    /// How many operations to show, counted from the last one
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
}

#[derive(Serialize)]
struct Shown<'a> {
    environment: &'a str,
    /// Oldest first.
    operations: &'a [LedgerOperation],
    /// Events that were not allowed when they were written, and have no effect.
    void: &'a [Void],
}

/// Reads the ledger from the remote and shows it.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    if args.repair {
        return repair(&ctx);
    }
    let state = Ledger::open(&ctx).state()?;
    let operations: Vec<LedgerOperation> = match &args.operation {
        Some(id) => vec![find(&state, &ctx.env_name, id)?.clone()],
        None => state.operations[state.operations.len().saturating_sub(args.last)..].to_vec(),
    };
    let shown = Shown {
        environment: &ctx.env_name,
        operations: &operations,
        void: &state.void,
    };
    report::emit(common.format, "ledger/1", &shown, || match &args.operation {
        Some(_) => operations.iter().map(details).collect(),
        None if operations.is_empty() => format!("the ledger of {} is empty\n", ctx.env_name),
        None => overview(&operations),
    })
}

fn repair(ctx: &Context) -> Result<()> {
    if let Some(appended) = break_glass::append(ctx)? {
        report::progress(&appended_text(&appended));
    }
    let plan = ledger_repair::plan(ctx)?;
    report::progress(&repair_text(&plan));
    if !plan.adopt.is_empty() || !plan.push.is_empty() {
        confirm(ctx, "the repair", &ctx.env_name)?;
        ledger_repair::carry_out(ctx, &plan)?;
    }
    report::emit_done(ctx.format, "ledger-repair/1", &plan, || repaired(&plan));
    match plan.left.len() {
        0 => Ok(()),
        left => Err(errors::not_all_repaired(left).into()),
    }
}

fn appended_text(appended: &Appended) -> String {
    let made = appended
        .releases
        .iter()
        .map(|tag| format!("made without the ledger, and in it now: {tag}\n"));
    let meanwhile = appended.meanwhile.iter();
    let meanwhile = meanwhile.map(|other| {
        format!("warning: while the remote did not answer, the ledger got {other}; compare what serves: cargo xtask releases\n")
    });
    made.chain(meanwhile).collect()
}

fn repair_text(plan: &RepairPlan) -> String {
    let adopt = plan
        .adopt
        .iter()
        .map(|release| format!("new ledger: {}\n", release.tag));
    let push = plan.push.iter().map(|tag| format!("push again: {tag}\n"));
    let left = plan.left.iter().map(|left| format!("problem: {left}\n"));
    adopt.chain(push).chain(left).collect()
}

fn repaired(plan: &RepairPlan) -> String {
    if plan.adopt.is_empty() && plan.push.is_empty() {
        return "nothing to repair\n".to_owned();
    }
    format!(
        "{} releases are in a new ledger, {} were pushed again\n",
        plan.adopt.len(),
        plan.push.len()
    )
}

fn overview(operations: &[LedgerOperation]) -> String {
    let rows = operations.iter().map(|operation| {
        let started = &operation.started;
        let row = vec![
            operation.id.to_string(),
            started.kind.clone(),
            short(&started.target).to_owned(),
            state(operation),
        ];
        let note = format!(
            "by {}: {}",
            operation.holder.user,
            report::one_line(&started.reason)
        );
        (row, vec![note])
    });
    report::table_with_notes(&["operation", "kind", "target", "state"], rows)
}

/// A commit by its first digits; a tag is short enough.
fn short(target: &str) -> &str {
    let is_commit = target.len() == 40 && target.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit { &target[..9] } else { target }
}

fn details(operation: &LedgerOperation) -> String {
    let mut text = format!(
        "{} {} of {}: {}\n  who   {}\n  why   {}\n  plan  {}\n  began {}\n",
        operation.started.kind,
        operation.id,
        operation.started.target,
        state(operation),
        operation.holder,
        report::one_line(&operation.started.reason),
        operation.started.plan_sha256,
        operation.started_at.format("%F %T UTC"),
    );
    for step in &operation.steps {
        writeln!(
            text,
            "  {:>7}  {}  {}",
            elapsed(operation, step.at),
            step.name,
            step.facts
        )
        .expect("writing to a string");
    }
    if let Some(end) = &operation.ended {
        writeln!(
            text,
            "  {:>7}  {}  {}",
            elapsed(operation, end.at),
            end.outcome,
            end.facts
        )
        .expect("writing to a string");
    }
    text
}

fn elapsed(operation: &LedgerOperation, at: chrono::DateTime<Utc>) -> String {
    let ms = (at - operation.started_at).num_milliseconds();
    format!("+{}", report::duration_ms(u64::try_from(ms).unwrap_or(0)))
}

fn state(operation: &LedgerOperation) -> String {
    match (&operation.superseded_by, &operation.ended) {
        (Some(by), _) => format!("replaced by {by}"),
        (None, Some(_)) if operation.is_prepared() => "prepared, nothing live".to_owned(),
        (None, Some(end)) => end.outcome.to_string(),
        (None, None) => {
            let seen_s = (Utc::now() - operation.last_seen).num_seconds().max(0);
            format!("unfinished, last heartbeat {seen_s} s ago")
        }
    }
}
