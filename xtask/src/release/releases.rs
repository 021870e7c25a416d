//! The releases of an environment: read from the records and tags on the remote, and published as both.

use anyhow::{Context as _, Result, bail};
use chrono::Utc;

use crate::context::Context;
use crate::domain::commit::CommitId;
use crate::domain::operation::OperationId;
use crate::domain::release::{Release, tag_name, tag_time};
use crate::operation::append::{self, Append};
use crate::report;
use crate::tools::git::{Git, RELEASES};

/// Tags of earlier releases that are pushed with a new one, at most.
const TAGS_AT_ONCE: usize = 10;
/// Files that decide whether the token of a workflow's job may push a tag.
const WORKFLOWS: &str = ".github/workflows";

/// The releases of the environment in order of time, and the tags whose record is not one.
#[derive(Debug, Default)]
pub struct Releases {
    pub all: Vec<Release>,
    /// Tag and what is wrong with its record.
    pub unreadable: Vec<(String, String)>,
    /// Names of releases whose tag the remote has not (yet).
    pub untagged: Vec<String>,
}

impl Releases {
    /// Fetches records and tags from the remote: a clone's own tags may be old, or made up.
    pub fn read(ctx: &Context) -> Result<Self> {
        let prefix = &ctx.env().tag_prefix;
        let mut releases = Self::default();
        for recorded in Git::open(ctx)
            .recorded_releases(prefix)
            .context("cannot read the releases")?
        {
            let release = tag_time(prefix, &recorded.name)
                .and_then(|_| Release::from_message(&recorded.name, &recorded.message));
            match release {
                Ok(release) => {
                    if !recorded.tagged {
                        releases.untagged.push(recorded.name);
                    }
                    releases.all.push(release);
                }
                Err(error) => releases.unreadable.push((recorded.name, format!("{error:#}"))),
            }
        }
        releases.all.sort_by(|a, b| a.tag.cmp(&b.tag));
        Ok(releases)
    }

    /// The newest release: what should be live.
    pub fn newest(&self) -> Option<&Release> {
        self.all.last()
    }

    pub fn find(&self, tag: &str) -> Option<&Release> {
        self.all.iter().find(|release| release.tag == tag)
    }

    /// The release of this name, or why there is none.
    pub fn named(&self, tag: &str) -> Result<&Release> {
        let unreadable = self.unreadable.iter().find(|(name, _)| name == tag);
        if let Some((_, why)) = unreadable {
            bail!("{why}");
        }
        self.find(tag)
            .with_context(|| format!("the remote has no tag {tag}"))
    }

    /// The release that an operation made.
    pub fn of_operation(&self, id: &OperationId) -> Option<&Release> {
        self.all.iter().find(|release| release.operation == id.as_str())
    }

    /// A name for a release that is newer than all others, also when two are made within a second.
    pub fn next_tag(&self, ctx: &Context) -> String {
        let prefix = &ctx.env().tag_prefix;
        let newest = self
            .newest()
            .and_then(|release| tag_time(prefix, &release.tag).ok());
        let after = newest.map(|time| time + chrono::TimeDelta::seconds(1));
        tag_name(prefix, after.map_or_else(Utc::now, |after| after.max(Utc::now())))
    }
}

/// Records a release in a reference of its own, which any token that can write can push, and tags it where the remote
/// takes the tag.
///
/// # Errors
/// The remote did not take the record, or has another release of this name.
pub fn publish(ctx: &Context, release: &Release) -> Result<()> {
    let git = Git::open(ctx);
    let reference = format!("{RELEASES}/{}", release.tag);
    let commit = git.commit_message(None, &release.message()?)?;
    let appended = append::push(&git, &reference, None, &commit)
        .with_context(|| format!("cannot push the release record {reference}"))?;
    if appended == Append::Overtaken {
        bail!("the remote has another release {}", release.tag);
    }
    push_tag(&git, release)
}

/// Pushes the tags of releases that could not be pushed when they were recorded, the newest first.
pub fn push_missing_tags(ctx: &Context, releases: &Releases) -> Result<()> {
    let git = Git::open(ctx);
    let untagged = releases
        .all
        .iter()
        .rev()
        .filter(|release| releases.untagged.contains(&release.tag));
    untagged
        .take(TAGS_AT_ONCE)
        .try_for_each(|release| push_tag(&git, release))
}

/// A tag that the remote refuses is no error: the release is recorded without it. Another tag of this name is one.
fn push_tag(git: &Git, release: &Release) -> Result<()> {
    let commit = git.resolve(&release.commit)?;
    let pushed = git
        .create_annotated_tag(&release.tag, &release.message()?, &commit)
        .and_then(|()| git.push_tag(&release.tag));
    let Err(error) = pushed else {
        return Ok(());
    };
    if matches!(git.tag(&release.tag), Ok(Some(_))) {
        return Err(error.context(format!("cannot push the tag {}", release.tag)));
    }
    report::progress(&format!(
        "note: the remote refused the tag {} ({error:#}); the release is recorded in {RELEASES}/{}, and a later release \
         pushes the tag",
        release.tag, release.tag
    ));
    Ok(())
}

/// What the plan says where the token of this workflow's job may not tag the commit: its workflow files differ from
/// those of the branch. `None` outside of a job, and where it cannot be determined.
pub fn tag_note(ctx: &Context, commit: &str) -> Option<String> {
    if !report::is_workflow() {
        return None;
    }
    let git = Git::open(ctx);
    let commit: CommitId = commit.parse().ok()?;
    let tip = git.fetch(&ctx.config.git.branch).ok()?;
    let differ = git.changed_paths(&commit, &tip, &[WORKFLOWS.into()]).ok()?;
    (!differ.is_empty()).then(|| {
        format!(
            "the job's token cannot push the tag ({} differ from {}): the release is recorded in {RELEASES}, and a later \
             release pushes the tag",
            differ.join(", "),
            ctx.config.git.branch
        )
    })
}
