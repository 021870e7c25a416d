//! `cargo xtask migrations`: what the migrations since a release do to the data, for a pull request and before a deploy.

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Common;
use crate::context::Context;
use crate::domain::commit::CommitId;
use crate::domain::migration::ChangedMigration;
use crate::domain::release::tag_time;
use crate::error::catalogue::health as errors;
use crate::release::migrations;
use crate::release::releases::Releases;
use crate::report;
use crate::tools::git::Git;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  the migrations are printed
  1  failed
  2  wrong usage or configuration: no such release, a path that matches nothing

Example:
  cargo xtask migrations --since prod-20260101-120000";

/// Options of `migrations`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The release, branch or commit to compare with; the newest release unless given
    #[arg(long, value_name = "TAG")]
    since: Option<String>,
    /// Also ask the database which of them were applied to it
    #[arg(long)]
    applied: bool,
}

/// The migrations of the commit that is checked out which that release has not, or has otherwise.
#[derive(Serialize)]
struct MigrationList {
    since: String,
    commit: String,
    migrations: Vec<ListedMigration>,
}

#[derive(Serialize)]
struct ListedMigration {
    #[serde(flatten)]
    migration: ChangedMigration,
    /// `None` where the database was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
}

/// Compares and prints.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = &common.context()?;
    let git = Git::open(ctx);
    let commit = git.head()?;
    let (since, from) = since(ctx, &git, args.since.as_deref())?;
    let changed = migrations::changed(ctx, &git, &from, &commit)?;
    let recorded = args.applied.then(|| migrations::recorded(ctx)).transpose()?;
    let listed = changed.into_iter().map(|migration| ListedMigration {
        applied: recorded.as_ref().map(|names| names.contains(&migration.path)),
        migration,
    });
    let list = MigrationList {
        since,
        commit: commit.as_str().to_owned(),
        migrations: listed.collect(),
    };
    report::emit(common.format, "migrations/1", &list, || list.text())
}

/// The name and commit to compare with. A clone need not have the tags of the releases: their records are read.
fn since(ctx: &Context, git: &Git, name: Option<&str>) -> Result<(String, CommitId)> {
    let is_tag = |name: &&str| tag_time(&ctx.env().tag_prefix, name).is_ok();
    if let Some(other) = name.filter(|name| !is_tag(name)) {
        return Ok((other.to_owned(), git.resolve(other)?));
    }
    let releases = Releases::read(ctx)?;
    let release = match name {
        Some(tag) => releases.find(tag).ok_or_else(|| errors::release_unknown(tag))?,
        None => releases
            .newest()
            .context("there is no release yet: name a commit with --since")?,
    };
    Ok((release.tag.clone(), git.resolve(&release.commit)?))
}

impl MigrationList {
    fn text(&self) -> String {
        if self.migrations.is_empty() {
            return format!("no migration differs from {}\n", self.since);
        }
        let rows = self.migrations.iter().map(|listed| {
            let word = |known: Option<bool>| match known {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not known",
            };
            let classified = &listed.migration.classified;
            vec![
                listed.migration.path.clone(),
                classified.class.word().to_owned(),
                word(classified.has_down).to_owned(),
                word(listed.applied).to_owned(),
                classified.because.join(", "),
            ]
        });
        report::table(
            &["migration", "class", "down", "applied", "because"],
            &rows.collect::<Vec<_>>(),
        )
    }
}
