//! `restore BACKUP --to …`: a backup into another environment, with masks.

use std::fmt::Write as _;

use anyhow::Result;

use super::Args;
use crate::backup::BackupFile;
use crate::commands::confirm::confirm_always;
use crate::context::Context;
use crate::operation::basis::DataBasis;
use crate::report;
use crate::restore::{self, CopiedInto, CopyPlan, RestoreTarget, Selection};

/// The target that the options name.
pub(super) fn of(args: &Args) -> Option<RestoreTarget<'_>> {
    if let Some(name) = &args.to {
        return Some(RestoreTarget::Environment(name));
    }
    let variable = args.to_uri_env.as_deref()?;
    Some(RestoreTarget::Variable {
        variable,
        database: args.to_database.as_deref(),
    })
}

/// Plans, asks where something is there, and copies.
pub(super) fn copy(
    args: &Args,
    ctx: &Context,
    backup: &BackupFile,
    selection: &Selection,
    target: RestoreTarget<'_>,
) -> Result<()> {
    let of_target = restore::target_context(ctx, target)?;
    let basis = DataBasis::read(&of_target)?;
    let plan = restore::plan_copy(ctx, &of_target, backup, selection)?;
    if args.plan {
        return report::emit(ctx.format, "restore-copy-plan/1", &plan, || plan_text(&plan));
    }
    report::progress(&plan_text(&plan));
    if !plan.is_empty {
        let what = format!("replacing what `{}` on {} has", plan.database, plan.host);
        confirm_always(ctx, &what, &plan.database)?;
    }
    let done = restore::copy_into(ctx, &of_target, backup, selection, args.options(&basis))?;
    report::emit_done(ctx.format, "restore-copy/1", &done, || {
        copied(&done, &address(args, &of_target))
    });
    Ok(())
}

/// What the commands for the target are called with.
fn address(args: &Args, of_target: &Context) -> String {
    let Some(variable) = &args.to_uri_env else {
        return format!("--env {}", of_target.env_name);
    };
    let database = args.to_database.iter();
    let database: String = database.map(|name| format!(" --to-database {name}")).collect();
    format!("--to-uri-env {variable}{database}")
}

fn plan_text(plan: &CopyPlan) -> String {
    let mut text = format!(
        "copy of backup {}: {} documents, {}, into `{}` on {} ({})\n",
        plan.backup_id,
        plan.copied.documents,
        report::bytes(plan.copied.bytes),
        plan.database,
        plan.host,
        plan.environment
    );
    let there = if plan.is_empty {
        "it is empty".to_owned()
    } else {
        format!(
            "replaced there, and kept until --forget: {} documents, {}",
            plan.replaced.documents,
            report::bytes(plan.replaced.bytes)
        )
    };
    writeln!(text, "  {there}").expect("writing to a string");
    if plan.masks.is_empty() {
        text.push_str("  warning: [mask] of pipeline.toml is empty: every value is copied as it is\n");
    }
    for mask in &plan.masks {
        writeln!(text, "  mask {mask}").expect("writing to a string");
    }
    text
}

fn copied(done: &CopiedInto, address: &str) -> String {
    let mut text = super::text::swapped(&done.restored);
    for (mask, values) in &done.masked {
        let warning = if *values == 0 { "warning: " } else { "" };
        writeln!(text, "{warning}mask {mask}: {values} values replaced").expect("writing to a string");
    }
    writeln!(
        text,
        "the masked copy is backup {} of {}; its commands need {address}",
        done.copy, done.environment
    )
    .expect("writing to a string");
    text
}
