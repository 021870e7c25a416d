//! `backup drill`: proves that a backup can be restored, within the budget.

use anyhow::{Context as _, Result, ensure};

use crate::backup::drill::{self, DrillReport, DrilledBackup};
use crate::context::Context;
use crate::domain::status_record::StatusResult;
use crate::error::catalogue::backup as errors;
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
    if !drill.good {
        return Err(errors::drill_not_equal(&drill.backup).into());
    }
    let [took, budget] = [drill.total_ms, drill.budget_ms].map(report::duration_ms);
    ensure!(drill.within_budget, errors::drill_too_slow(took, budget));
    Ok(())
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
