//! What `restore` prints for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report;
use crate::restore::{
    CollectionMethod, CollectionScope, Compared, DocumentCount, Forgotten, KnownRestore, LossDetail,
    LossExample, LossPreview, Reinserted, Repaired, Rescue, RestorePhase, RestorePlan, RestoreUndone,
    RowLoss, StorageNeed, Swapped,
};

const CAPACITY_HELP: &str = "restore only what is needed (--collection), on a machine near the server";

/// What a restore would do.
pub(super) fn plan(plan: &RestorePlan) -> String {
    let mut text = format!(
        "{}backup {}: {} documents, {}, into `{}`\n",
        plan.collections.text(),
        plan.backup_id,
        plan.documents,
        report::bytes(plan.bytes),
        plan.database
    );
    loss_text(&plan.loss, &mut text);
    methods_text(&plan.methods, &mut text);
    writeln!(text, "  writers: {}", plan.writers).expect("writing to a string");
    writeln!(text, "  change streams: {}", plan.change_streams).expect("writing to a string");
    writeln!(text, "  storage: {}", storage_text(plan.preflight.storage)).expect("writing to a string");
    writeln!(
        text,
        "  time: about {}",
        report::duration_ms(plan.estimate.total_ms)
    )
    .expect("writing to a string");
    let rows = plan.estimate.phases.iter();
    let rows = rows.map(|p| vec![p.phase.to_owned(), report::duration_ms(p.ms), p.from.to_owned()]);
    text.push_str(&report::table(
        &["phase", "about", "estimated from"],
        &rows.collect::<Vec<_>>(),
    ));
    let capacity = plan.capacity.text(CAPACITY_HELP);
    writeln!(text, "  capacity: {capacity}").expect("writing to a string");
    for warning in &plan.preflight.warnings {
        writeln!(text, "  warning: {warning}").expect("writing to a string");
    }
    for problem in &plan.preflight.problems {
        writeln!(text, "  problem: {problem}").expect("writing to a string");
    }
    text
}

fn storage_text(storage: StorageNeed) -> String {
    if storage.needed_bytes == 0 {
        return "no second copy is made".to_owned();
    }
    let free = storage.free_bytes.map_or_else(
        || "does not report its free space".into(),
        |free| format!("has {}", report::bytes(free)),
    );
    let needed = report::bytes(storage.needed_bytes);
    format!("about {needed} for the second copy until --forget; the server {free}")
}

/// How each collection is restored; nothing where all are swapped, as the operator wanted.
pub fn methods_text(methods: &[CollectionMethod], text: &mut String) {
    let how = |method: &CollectionMethod| match method.method {
        "delta" if method.documents == 0 => "stays as it is",
        "delta" => "put back in place",
        _ => "whole, swapped",
    };
    let rows = methods.iter();
    let rows: Vec<Vec<String>> = rows
        .map(|m| vec![m.collection.clone(), how(m).to_owned(), m.reason.clone()])
        .collect();
    if !rows.is_empty() {
        text.push_str(&report::table(&["collection", "method", "because"], &rows));
    }
}

/// What a restore did.
pub(super) fn swapped(done: &Swapped) -> String {
    let documents: u64 = done.in_place.values().map(|counts| counts.documents()).sum();
    let in_place = if done.in_place.is_empty() {
        String::new()
    } else {
        format!(
            "{documents} documents of {} collections put back in place, ",
            done.in_place.len()
        )
    };
    let mut text = format!(
        "restored backup {}: {in_place}{} collections swapped in {}; documents, indexes and options are the backup's\n",
        done.backup_id,
        done.collections.len(),
        report::duration_ms(done.total_ms)
    );
    for conflict in &done.conflicts {
        writeln!(text, "changed before it was put back: {}", conflict.text()).expect("writing to a string");
    }
    if let Some(longest) = done.collections.iter().max_by_key(|c| c.unavailable_ms) {
        writeln!(
            text,
            "longest absence: `{}`, {}",
            longest.collection,
            report::duration_ms(longest.unavailable_ms)
        )
        .expect("writing to a string");
    }
    for series in &done.time_series {
        writeln!(text, "{series}").expect("writing to a string");
    }
    if let Some(alone) = &done.left_alone {
        writeln!(text, "{}", alone.text()).expect("writing to a string");
    }
    newer(&done.newer, &mut text);
    for written in &done.written_since {
        writeln!(text, "written since the swap, and live: {}", written.text()).expect("writing to a string");
    }
    repaired(&done.repaired, &mut text);
    if let Some(rescue) = &done.rescue {
        writeln!(text, "the backup has not {}", rescue.text()).expect("writing to a string");
    }
    writeln!(
        text,
        "to undo it: cargo xtask restore --undo {0}\nto drop what was live before: cargo xtask restore --forget {0}",
        done.operation
    )
    .expect("writing to a string");
    text
}

/// What an undo did.
pub(super) fn undone(done: &RestoreUndone) -> String {
    let mut text = format!(
        "restore {} was undone: {} collections are as they were\n",
        done.operation,
        done.collections.len()
    );
    newer(&done.newer, &mut text);
    for difference in &done.written_since {
        writeln!(text, "written since: {difference}").expect("writing to a string");
    }
    repaired(&done.repaired, &mut text);
    if let Some(rescue) = &done.rescue {
        writeln!(text, "only the restored collections had {}", rescue.text()).expect("writing to a string");
    }
    text
}

/// What was dropped, and what was exported before.
pub(super) fn forgotten(done: &Forgotten) -> String {
    let mut text = String::new();
    if let Some(rescue) = &done.rescue {
        writeln!(text, "no file here had {}", rescue.text()).expect("writing to a string");
    }
    writeln!(
        text,
        "dropped {} collections of restore {}",
        done.dropped.len(),
        done.operation
    )
    .expect("writing to a string");
    text
}

fn newer(newer: &[Rescue], text: &mut String) {
    for rescue in newer {
        writeln!(
            text,
            "written before it was overwritten in place: {}",
            rescue.text()
        )
        .expect("writing to a string");
    }
}

fn repaired(repaired: &[Repaired], text: &mut String) {
    for repaired in repaired {
        writeln!(text, "warning: `{}`: {}", repaired.collection, repaired.what).expect("writing to a string");
    }
}

/// What became of the documents of a rescue file.
pub(super) fn reinserted(done: &Reinserted) -> String {
    let mut text = String::new();
    for collection in &done.created {
        writeln!(text, "`{collection}` was not there: made, with its indexes").expect("writing to a string");
    }
    for (collection, count) in &done.inserted {
        writeln!(text, "{count} documents inserted into `{collection}`").expect("writing to a string");
    }
    for conflict in &done.listed {
        writeln!(
            text,
            "not inserted: `{}` _id {}: {}",
            conflict.collection, conflict.id, conflict.why
        )
        .expect("writing to a string");
    }
    writeln!(
        text,
        "{} conflicts; a document that exists is never changed",
        done.conflicts
    )
    .expect("writing to a string");
    text
}

/// One restore of the list, and what to do about it.
pub(super) fn row(known: &KnownRestore) -> (Vec<String>, Vec<String>) {
    let state = known.phase.map_or("unknown here", RestorePhase::name);
    let row = vec![
        known.operation.to_string(),
        state.to_owned(),
        known.backup_id.clone().unwrap_or_default(),
        known.old.len().to_string(),
        known.shadow.len().to_string(),
        known.late.len().to_string(),
    ];
    let next = known.next.as_ref().map_or_else(
        || "nothing is left to do".to_owned(),
        |next| format!("next: {next}"),
    );
    let rescues = known.rescues.iter().map(|rescue| {
        let elsewhere = if rescue.path.exists() {
            ""
        } else {
            " (not on this machine)"
        };
        format!("rescue file{elsewhere}: {}", rescue.text())
    });
    let only = known.collections.iter();
    let only = only.map(|names| format!("only: `{}`", names.join("`, `")));
    let in_place = Some(&known.in_place).filter(|names| !names.is_empty());
    let in_place = in_place.map(|names| format!("put back in place: `{}`", names.join("`, `")));
    (row, only.chain(in_place).chain(rescues).chain([next]).collect())
}

/// What would be lost, for people.
pub fn loss_text(loss: &LossPreview, text: &mut String) {
    let count = |count: DocumentCount| format!("{} ({})", count.documents, report::bytes(count.bytes));
    if !loss.collections.is_empty() {
        let rows = loss.collections.iter().map(|c| {
            let name = c.collection.clone();
            vec![name, count(c.created), count(c.changed), count(c.deleted)]
        });
        let header = [
            "collection",
            "created since: lost",
            "changed since: as before",
            "deleted since: back",
        ];
        text.push_str(&report::table(&header, &rows.collect::<Vec<_>>()));
    } else if loss.exact && loss.time_series.is_empty() {
        text.push_str("  every document is live as it is in the backup\n");
    }
    scope_text(&loss.scope, text);
    if loss.delta == LossDetail::None {
        text.push_str("  not compared with what is live: what would be lost is counted when it is kept in the rescue file\n");
    }
    for collection in &loss.collections {
        for example in &collection.examples {
            example_text(&collection.collection, example, text);
        }
    }
    for series in &loss.time_series {
        writeln!(text, "  {series}").expect("writing to a string");
    }
    for difference in &loss.structure {
        writeln!(text, "  live now: {difference}").expect("writing to a string");
    }
}

/// Which documents were compared; nothing where there was none to compare.
fn scope_text(scope: &[CollectionScope], text: &mut String) {
    let (whole, known): (Vec<_>, Vec<_>) = scope.iter().partition(|own| own.compared == Compared::All);
    if !known.is_empty() {
        let documents: u64 = known.iter().map(|own| own.documents).sum();
        writeln!(
            text,
            "  compared: {documents} documents of {} collections that were written since the backup, no others",
            known.len()
        )
        .expect("writing to a string");
    }
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for own in whole {
        let names = reasons.entry(&own.reason).or_default();
        names.push(format!("`{}`", own.collection));
    }
    for (reason, names) in reasons {
        writeln!(text, "  compared whole: {}: {reason}", names.join(", ")).expect("writing to a string");
    }
}

fn example_text(collection: &str, example: &LossExample, text: &mut String) {
    let loss = match example.loss {
        RowLoss::Created => "created",
        RowLoss::Changed => "changed",
        RowLoss::Deleted => "deleted",
    };
    let fields = if example.fields.is_empty() {
        String::new()
    } else {
        format!(": {}", example.fields.join(", "))
    };
    writeln!(text, "  {loss} `{collection}` _id {}{fields}", example.id).expect("writing to a string");
    for (side, document) in [("live", &example.live), ("backup", &example.backup)] {
        if let Some(document) = document {
            writeln!(text, "    {side}: {document}").expect("writing to a string");
        }
    }
}
