//! The releases of an environment: read from the tags on the remote, and published as tags.

use anyhow::{Context as _, Result};
use chrono::Utc;

use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::domain::release::{Release, tag_name, tag_time};
use crate::tools::git::Git;

/// The releases of the environment in order of time, and the tags whose record is not one.
#[derive(Debug, Default)]
pub struct Releases {
    pub all: Vec<Release>,
    /// Tag and what is wrong with its record.
    pub unreadable: Vec<(String, String)>,
}

impl Releases {
    /// Fetches the tags from the remote: a clone's own tags may be old, or made up.
    pub fn read(ctx: &Context) -> Result<Self> {
        let prefix = &ctx.env().tag_prefix;
        let mut releases = Self::default();
        for tag in Git::open(ctx)
            .list_tags(prefix)
            .context("cannot read the release tags")?
        {
            match tag_time(prefix, &tag.name)
                .and_then(|_| Release::from_message(&tag.name, tag.message.as_deref().unwrap_or_default()))
            {
                Ok(release) => releases.all.push(release),
                Err(error) => releases.unreadable.push((tag.name, format!("{error:#}"))),
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

/// Records a release as an annotated tag and pushes it, unless the operation recorded it before it was stopped.
pub fn publish(ctx: &Context, release: &Release) -> Result<()> {
    let git = Git::open(ctx);
    let commit = git.resolve(&release.commit)?;
    git.create_annotated_tag(&release.tag, &release.message()?, &commit)?;
    git.push_tag(&release.tag)
        .with_context(|| format!("cannot push the tag {}", release.tag))
}
