//! The hash that a backup must have, from the records on the git remote: what lies beside a file in a storage, or comes with
//! it, proves nothing to somebody who may have replaced both.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::domain::ledger::LedgerState;
use crate::domain::manifest::{BackupMetadata, check_backup_id};
use crate::domain::release::Release;
use crate::domain::release_chain::RecordedRelease;
use crate::operation::ledger::Ledger;
use crate::report;
use crate::sync::lock;
use crate::tools::git::Git;

/// Hashes by id, as far as they were read: a record is never changed.
static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// The recorded SHA-256 of a backup; `None` where no release and no operation recorded it, or the remote cannot be read, which
/// is reported.
pub(super) fn hash(ctx: &Context, id: &str) -> Option<String> {
    let known = |id: &str| lock(&KNOWN).get(id).cloned();
    if let Some(hash) = known(id) {
        return Some(hash);
    }
    if let Err(error) = read(ctx) {
        report::progress(&format!(
            "warning: no record to compare the backup {id} with: {error:#}"
        ));
    }
    known(id)
}

/// Refuses a backup that is not the recorded one.
///
/// # Errors
/// The hash in its metadata, which the file is compared with, is another one.
pub(super) fn check(metadata: &BackupMetadata, recorded: Option<&str>) -> Result<()> {
    ensure!(
        recorded.is_none_or(|recorded| recorded == metadata.hash),
        "the backup {} has another hash than its record: it was replaced",
        metadata.id
    );
    Ok(())
}

fn read(ctx: &Context) -> Result<()> {
    let releases = Git::open(ctx).recorded_releases(&ctx.env().tag_prefix)?;
    remember(&releases, &Ledger::open(ctx).state()?);
    Ok(())
}

/// Keeps what was read of the remote for another reason: the same command asks for it once only. What the ledger has stands over
/// what tags have: a tag can be made by hand.
pub fn remember(releases: &[RecordedRelease], ledger: &LedgerState) {
    let mut known = lock(&KNOWN);
    for recorded in releases {
        let release = Release::from_message(&recorded.name, &recorded.message).ok();
        let backup = release.and_then(|release| release.backup);
        known.extend(backup.map(|backup| (backup.id, backup.hash)));
    }
    known.extend(of_ledger(ledger));
}

/// The backups that operations took or restored, and the rescue files that they wrote.
fn of_ledger(state: &LedgerState) -> impl Iterator<Item = (String, String)> {
    let facts = state.operations.iter().flat_map(|operation| {
        let steps = operation.steps.iter().map(|step| &step.facts);
        let end = operation.ended.iter().map(|end| &end.facts);
        let facts = steps.chain(end);
        let taken = facts.flat_map(|facts| [(facts, "id", "hash"), (&facts["rescue"], "id", "hash")]);
        let plan = &operation.started.plan;
        taken.chain([(plan, "backup", "sha256"), (plan, "reinsert", "sha256")])
    });
    facts.filter_map(|(facts, id, hash)| {
        let text = |name: &str| facts.get(name).and_then(Value::as_str);
        let (id, hash) = (text(id)?, text(hash)?);
        check_backup_id(id).ok()?;
        Some((id.to_owned(), hash.to_owned()))
    })
}
