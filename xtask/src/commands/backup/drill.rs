//! `backup drill`: proves that a backup can be restored, within the budget.

use anyhow::{Context as _, Result};

use crate::backup::drill::{self, DrillReport, DrilledBackup};
use crate::context::Context;
use crate::domain::status_record::StatusResult;
use crate::error::CliError;
use crate::operation::status_records;
use crate::report;

/// Options of `backup drill`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup (id, file or folder); the newest of the environment unless given. Of an id, a copy is fetched from another storage than
    /// the local one
    backup: Option<String>,
    /// Any backup of the environment instead of the newest
    #[arg(long, conflicts_with = "backup")]
    random: bool,
    /// Environment variable with the connection string of a server without the database, which is dropped again afterwards; the one of
    /// `backup.drill_uri` unless given, else a server is started here
    #[arg(long, value_name = "VARIABLE")]
    uri_env: Option<String>,
    /// Keep the result in the history on the git remote, for `metrics`
    #[arg(long)]
    record: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let named = match &args.backup {
        Some(named) => named.clone(),
        None => drill::choose(ctx, args.random)?,
    };
    // Before the download, which may take long.
    let server = args.uri_env.as_ref().or(ctx.config.backup.drill_uri.as_ref());
    let server = server
        .map(|variable| ctx.connection_string(variable))
        .transpose()?;
    let drilled = DrilledBackup::named(ctx, &named)?;
    let drill = match &server {
        Some(uri) => drill::drill_on_kept_server(ctx, &drilled, uri)?,
        None => drill::drill_on_scratch_server(ctx, &drilled)?,
    };
    report::step_summary(&markdown(&drill))?;
    report::emit(ctx.format, "backup-drill/1", &drill, || text(&drill))?;
    if args.record {
        let seen = StatusResult::Drill {
            backup: drill.backup.clone(),
            good: drill.good,
            total_ms: drill.total_ms,
            budget_ms: drill.budget_ms,
        };
        status_records::record(ctx, seen).context("the drill was not kept")?;
    }
    if drill.good && drill.within_budget {
        return Ok(());
    }
    let what = if drill.good {
        format!(
            "the restore took {} of the {} it may take",
            report::duration_ms(drill.total_ms),
            report::duration_ms(drill.budget_ms)
        )
    } else {
        format!("what was restored of {} is not what was backed up", drill.backup)
    };
    Err(CliError::failed(what)
        .live("nothing live was touched")
        .next("take a new backup and drill again; if it fails again, do not deploy")
        .into())
}

fn text(drill: &DrillReport) -> String {
    let mut lines = vec![format!(
        "drill of {} from {}: {} documents of {} collections restored into a scratch server ({}): {}\n",
        drill.backup,
        drill.from,
        drill.documents,
        drill.collections,
        drill.server,
        if drill.good {
            "everything equal"
        } else {
            "NOT EQUAL"
        }
    )];
    lines.extend(
        drill
            .differences
            .iter()
            .map(|what| format!("  differs: {what}\n")),
    );
    lines.push(format!(
        "  time: {} of {} (verify {}, restore {}, compare {})\n",
        report::duration_ms(drill.total_ms),
        report::duration_ms(drill.budget_ms),
        report::duration_ms(drill.verify_ms),
        report::duration_ms(drill.restore_ms),
        report::duration_ms(drill.compare_ms)
    ));
    lines.concat()
}

fn markdown(drill: &DrillReport) -> String {
    format!("### Backup drill\n\n```\n{}```\n", text(drill))
}
