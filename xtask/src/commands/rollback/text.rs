//! What `rollback`, and the undo of one, print.

use anyhow::Result;

use crate::context::Context;
use crate::domain::release::Health;
use crate::error::catalogue::release as errors;
use crate::release::rollback::{PlannedRollback, RollbackEstimate, RolledBack};
use crate::report;
use crate::restore::WrittenSince;

const CAPACITY_HELP: &str =
    "roll back from a machine near the server; where the data need not change, --database keep";

/// Prints the plan and what would be lost to stderr.
pub(in crate::commands) fn print_plan(planned: &PlannedRollback) {
    report::progress(&plan_text(planned));
}

pub(in crate::commands) fn plan_text(planned: &PlannedRollback) -> String {
    let mut text = planned.plan.text();
    match &planned.loss {
        Some(loss) => {
            crate::commands::restore::loss_text(loss, &mut text);
            crate::commands::restore::methods_text(&planned.methods, &mut text);
        }
        None => text.push_str("no data is touched\n"),
    }
    text.push_str(&estimate_text(&planned.estimate));
    if let Some(capacity) = &planned.capacity {
        text.push_str("capacity: ");
        text.push_str(&capacity.text(CAPACITY_HELP));
        text.push('\n');
    }
    text
}

/// How long it will take, phase by phase.
fn estimate_text(estimate: &RollbackEstimate) -> String {
    let about = if estimate.is_partial() {
        "more than"
    } else {
        "about"
    };
    let rows = estimate.phases.iter().map(|phase| {
        let ms = phase.ms.map_or_else(|| "unknown".to_owned(), report::duration_ms);
        vec![phase.phase.to_owned(), ms, phase.from.clone()]
    });
    let table = report::table(&["phase", "about", "estimated from"], &rows.collect::<Vec<_>>());
    format!(
        "time: {about} {} of {}\n{table}",
        report::duration_ms(estimate.total_ms),
        report::duration_ms(estimate.budget_ms)
    )
}

/// Prints the result; a release that is still unhealthy is an error.
pub(in crate::commands) fn print_result(ctx: &Context, done: &RolledBack) -> Result<()> {
    report::emit_done(ctx.format, "rollback/1", done, || rollback_text(done));
    if done.release.health == Health::Healthy {
        return Ok(());
    }
    let tag = &done.release.tag;
    if let Some(backup) = done.data.backup.as_ref().filter(|_| !done.migrated.is_empty()) {
        return Err(errors::rollback_data_migrated(tag, done.migrated.join("; "), backup).into());
    }
    if let Some(backup) = done
        .data
        .backup
        .as_ref()
        .filter(|_| !done.data.written_since.is_empty())
    {
        let written: Vec<String> = done.data.written_since.iter().map(WrittenSince::text).collect();
        return Err(errors::rollback_data_written(tag, written.join("; "), backup).into());
    }
    let from = done.release.rollback_of.as_deref().unwrap_or_default();
    Err(errors::rollback_unhealthy(tag, from).into())
}

/// The report for people.
pub(in crate::commands) fn rollback_text(done: &RolledBack) -> String {
    let written = done.data.written_since.iter();
    let written = written.map(|written| format!("written since the swap, and live: {}\n", written.text()));
    let rescue = done.data.rescue.iter();
    let rescue = rescue.map(|rescue| format!("the backup has not {}\n", rescue.text()));
    let in_place = done.data.in_place.iter();
    let in_place = in_place.map(|(name, counts)| {
        format!(
            "put back in place: {} documents of `{name}`\n",
            counts.documents()
        )
    });
    let conflicts = done.data.conflicts.iter();
    let conflicts =
        conflicts.map(|conflict| format!("changed before it was put back: {}\n", conflict.text()));
    let series = done.data.time_series.iter().map(|line| format!("{line}\n"));
    let external = done.external.iter().map(|system| format!("{}\n", system.text()));
    let data: String = in_place
        .chain(conflicts)
        .chain(written)
        .chain(rescue)
        .chain(series)
        .chain(external)
        .collect();
    format!(
        "{} restores {} ({}); {}\n{data}{}",
        done.release.tag,
        done.restored(),
        done.release.health.word(),
        report::recovered(done.recovery_ms, done.unavoidable_ms, done.budget_ms),
        report::timeline(&done.timeline)
    )
}
