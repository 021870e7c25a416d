//! The migrations of a commit: where their paths match nothing, nothing follows from a comparison.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::context::Context;
use crate::database::Live;
use crate::domain::commit::CommitId;
use crate::domain::migration::{ChangedMigration, Classified, FileChange, classify};
use crate::error::catalogue::configuration as errors;
use crate::tools::git::{ChangedFile, Git};
use crate::tools::railway::database_uri;

/// Configured paths at which no commit up to this one has a file: they are misspelt, or not committed yet.
pub fn unmatched(ctx: &Context, git: &Git, commit: &CommitId) -> Result<Vec<String>> {
    git.never_committed(commit, &ctx.config.migrations.paths)
}

/// Migrations that differ between two commits; `to` is the later one.
///
/// # Errors
/// Exit 2 where a path matches nothing up to `to`: nothing would ever differ there.
pub fn changed(ctx: &Context, git: &Git, from: &CommitId, to: &CommitId) -> Result<Vec<ChangedMigration>> {
    require(ctx, git, to)?;
    since(ctx, git, from, to)
}

/// Migrations that differ between a commit and any of several later ones, each once: where they differ in what one does, as the
/// one that does more than add.
///
/// # Errors
/// As [`changed`].
pub fn changed_by_any(
    ctx: &Context,
    git: &Git,
    from: &CommitId,
    later: &[CommitId],
) -> Result<Vec<ChangedMigration>> {
    let mut all: BTreeMap<String, ChangedMigration> = BTreeMap::new();
    for to in later {
        for migration in changed(ctx, git, from, to)? {
            if all.get(&migration.path).is_none_or(ChangedMigration::is_additive) {
                all.insert(migration.path.clone(), migration);
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The same without the refusal.
pub fn since(ctx: &Context, git: &Git, from: &CommitId, to: &CommitId) -> Result<Vec<ChangedMigration>> {
    let paths = &ctx.config.migrations.paths;
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let files = git.changed_files(from, to, paths)?;
    let read = files.into_iter().map(|file| {
        Ok(ChangedMigration {
            classified: class_of(git, to, &file)?,
            path: file.path,
            change: file.change,
        })
    });
    read.collect()
}

/// What a migration does follows from its text only where it was not another one before.
fn class_of(git: &Git, commit: &CommitId, file: &ChangedFile) -> Result<Classified> {
    if file.is_submodule {
        return Ok(Classified::unknown(
            "a submodule: its files are not in this repository",
        ));
    }
    match file.change {
        FileChange::Changed => Ok(Classified::unknown("its text is another one than before")),
        FileChange::Removed => Ok(Classified::unknown("it was removed")),
        FileChange::Added => {
            let text = git.file_at(commit, &file.path)?.unwrap_or_default();
            Ok(classify(&file.path, &text))
        }
    }
}

/// Refuses paths that match nothing up to this commit.
///
/// # Errors
/// Exit 2.
pub fn require(ctx: &Context, git: &Git, commit: &CommitId) -> Result<()> {
    let unmatched = unmatched(ctx, git, commit)?;
    if unmatched.is_empty() {
        return Ok(());
    }
    Err(errors::migrations_unmatched(unmatched.join(", ")).into())
}

/// A collection with more texts is no record of migrations.
const RECORDED_LIMIT: usize = 10_000;

/// What the database records as applied.
#[derive(Debug, Default)]
pub struct RecordedMigrations {
    names: BTreeSet<String>,
}

impl RecordedMigrations {
    /// Whether a file of this name was applied. One that failed midway is not recorded, and may have changed data all the same.
    pub fn contains(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.split('.').next().unwrap_or(name);
        self.names.contains(name) || self.names.contains(stem)
    }
}

/// A note of a plan about which of its migrations the database has on record, where there are any.
pub fn applied_note(ctx: &Context, migrations: &[ChangedMigration]) -> Option<String> {
    if migrations.is_empty() || ctx.env().mongodb.is_none() {
        return None;
    }
    let Ok(recorded) = recorded(ctx) else {
        return Some("the database does not show which of these migrations are applied".to_owned());
    };
    let names = |wanted: bool| {
        let some = migrations
            .iter()
            .filter(|one| recorded.contains(&one.path) == wanted);
        let some: Vec<&str> = some.map(|one| one.path.as_str()).collect();
        if some.is_empty() {
            "none".to_owned()
        } else {
            some.join(", ")
        }
    };
    Some(format!(
        "on record in the database as applied: {}; not on record: {}",
        names(true),
        names(false)
    ))
}

/// Reads the collections of `migrations.records`. migrate-mongo has the name of the file in `fileName`, others in `name` or `_id`:
/// every text of a record counts.
pub fn recorded(ctx: &Context) -> Result<RecordedMigrations> {
    let place = ctx.mongodb()?;
    let live = Live::connect(&database_uri(ctx)?, &place.database)?;
    let listed = live.listed()?;
    let mut recorded = RecordedMigrations::default();
    for collection in ctx
        .config
        .migrations
        .records
        .iter()
        .filter(|name| listed.contains_key(*name))
    {
        recorded.names.extend(live.texts(collection, RECORDED_LIMIT)?);
    }
    Ok(recorded)
}
